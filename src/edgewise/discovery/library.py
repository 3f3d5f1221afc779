"""Many simple functions of a few inputs, as columns: what sums and products are looked for among."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product

import torch
from torch import Tensor

from edgewise.discovery.rules import Rules
from edgewise.discovery.tree import Curve, Input, Tree, complexity, monomial, power, product_of, scaled, sum_of
from edgewise.primitives import get_primitive
from edgewise.symbolic import BITS_PER_NODE

_MOST_INPUTS_OF_OWN_PRODUCTS = 2
_MOST_INPUTS_OF_TRIPLES, _MOST_INPUTS_OF_ALL_PAIRS, _MOST_INPUTS_OF_THREE_TERMS = 6, 2, 3
_MOST_INPUTS_OF_DISTANCES, _MOST_INPUTS_OF_PAIRS = 4, 30
MOST_INPUTS_OF_PRODUCTS = 9  # of functions; of more inputs there would be too many
_MOST_VALUES = 6_000_000  # of a library
_SCALES_OF_TURNS = (1.0, 0.5, 2.0, torch.pi)
_FASTER_TURNS = (3.0, 4.0, 5.0)
_SAME = 1e-9  # distance of two standard columns that are one
_PAIRS = (
    (1, 1), (1, -1), (-1, 1), (2, 1), (1, 2), (2, -1), (1, -2), (-2, 1), (-1, 2), (2, 2), (2, -2), (-2, 2), (-1, -1),
    (0.5, 0.5),
)  # fmt: skip
_UNARY = ("sin", "cos", "exp", "log", "sqrt", "x^2", "1/x")


@dataclass(frozen=True)
class Library:
    """Trees and their values.

    Args:
        trees: F of them, the simplest first.
        values: shape (N, F), finite.
    """

    trees: list[Tree]
    values: Tensor

    @classmethod
    def of(cls, parts: Sequence[Library]) -> Library:
        """All parts, in order."""
        return cls([tree for part in parts for tree in part.trees], torch.cat([part.values for part in parts], dim=1))

    def usable(self) -> Library:
        """Without columns that are not finite, or another one times a number plus a number."""
        if not self.trees:
            return self
        values = self.values
        spread = values.std(dim=0, correction=0)
        # Values that are not finite, or whose squares overflow, have no finite spread.
        good = spread.isfinite() & (spread > _SAME * values.abs().amax(dim=0))
        standard = (values - values.mean(dim=0)) / spread
        generator = torch.Generator().manual_seed(0)
        probe = torch.randn((len(values), 2), generator=generator, dtype=values.dtype)
        marks = (probe.T @ standard / len(values)).abs()
        seen: set[tuple[float, ...]] = set()
        kept = []
        for index, (ok, *mark) in enumerate(zip(good.tolist(), *marks.tolist(), strict=True)):
            key = tuple(round(value, 10) for value in mark)
            if ok and key not in seen:
                seen.add(key)
                kept.append(index)
        return self[torch.tensor(kept, dtype=torch.long)]

    def allowed(self, rules: Rules) -> Library:
        """The columns that have only allowed functions."""
        if not rules.forbidden:
            return self
        return self[torch.tensor([rules.allow_names(tree) for tree in self.trees]).nonzero().flatten()]

    def prices(self) -> Tensor:
        """Bits that each tree costs in a formula, shape (F,)."""
        return torch.tensor([BITS_PER_NODE * complexity(tree) for tree in self.trees], dtype=self.values.dtype)

    def __getitem__(self, chosen: Tensor) -> Library:
        """Some of the columns."""
        return Library([self.trees[index] for index in chosen.tolist()], self.values[:, chosen])

    def first(self, most: int) -> Library:
        """Not more than so many columns."""
        return self[torch.arange(min(most, len(self.trees)))]

    def curves(self, name: str, a: float = 1.0, b: float = 0.0) -> Library:
        """f(a·column + b) of every column."""
        trees: list[Tree] = [Curve(name, tree, a, b) for tree in self.trees]
        return Library(trees, get_primitive(name).function(a * self.values + b))

    def shifted(self, offset: float, factor: float = 1.0) -> Library:
        """factor·column + offset."""
        return Library([scaled(tree, factor, offset) for tree in self.trees], factor * self.values + offset)

    def times(self, other: Library) -> Library:
        """Products of every column with every column of another library."""
        trees = [product_of(tree, factor) for tree in self.trees for factor in other.trees]
        return Library(trees, (self.values.unsqueeze(2) * other.values.unsqueeze(1)).flatten(1))


def inputs_of(x: Tensor) -> Library:
    """The columns as they are."""
    return Library([Input(index) for index in range(x.shape[1])], x)


def monomials(x: Tensor, exponents: Sequence[Sequence[float]]) -> Library:
    """Π x_i^p_i for given exponents, one per input."""
    if not exponents:
        return Library([], x[:, :0])
    table = torch.tensor(exponents, dtype=x.dtype)
    trees = [monomial({i: p for i, p in enumerate(row) if p}) for row in exponents]
    return Library(trees, torch.stack([(x**row).prod(dim=1) for row in table], dim=1))


def pair_exponents(inputs: int) -> list[list[float]]:
    """Exponents of products and quotients of two inputs."""
    found = []
    for i, j in combinations(range(inputs), 2):
        for p, q in _PAIRS:
            row = [0.0] * inputs
            row[i], row[j] = p, q
            found.append(row)
    return found


def triple_exponents(inputs: int) -> list[list[float]]:
    """Exponents of products and quotients of three inputs, one of them perhaps squared."""
    if inputs > _MOST_INPUTS_OF_TRIPLES:
        return []
    found = []
    for chosen in combinations(range(inputs), 3):
        for signs in ((1, 1, 1), (1, 1, -1), (1, -1, 1), (-1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)):
            for squared in (None, 0, 1, 2):
                row = [0.0] * inputs
                for place, (index, sign) in enumerate(zip(chosen, signs, strict=True)):
                    row[index] = sign * (2.0 if place == squared else 1.0)
                found.append(row)
    return found


def sums_of_two(library: Library) -> Library:
    """Sums and differences of every two columns."""
    trees, values = [], []
    for i, j in combinations(range(len(library.trees)), 2):
        for sign in (1.0, -1.0):
            trees.append(sum_of(library.trees[i], scaled(library.trees[j], sign)))
            values.append(library.values[:, i] + sign * library.values[:, j])
    return Library(trees, torch.stack(values, dim=1) if values else library.values[:, :0])


def combinations_of_inputs(x: Tensor, rules: Rules) -> Library:
    """What functions of several inputs may be functions of: arguments, sums of simple terms, and products of sums."""
    parts = [arguments(x), _sums_of_simple_terms(x, rules.own)]
    if x.shape[1] <= _MOST_INPUTS_OF_TRIPLES:
        columns = inputs_of(x)
        sums = sums_of_two(columns)
        parts.append(sums.times(Library.of([columns, columns.shifted(1.0), columns.shifted(1.0, -1.0), sums])))
    return Library.of(parts).allowed(rules).first(_MOST_VALUES // len(x)).usable()


def simple_terms(x: Tensor) -> Library:
    """The inputs, their squares and logarithms, and products and quotients of two of them."""
    columns = inputs_of(x)
    pairs = [row for row in pair_exponents(x.shape[1]) if max(map(abs, row)) == 1]
    return Library.of([columns, columns.curves("x^2"), columns.curves("log"), monomials(x, pairs)])


def _sums_of_simple_terms(x: Tensor, own: Sequence[str]) -> Library:
    """Sums and differences of two or three of the inputs, functions of them, and products and quotients of two."""
    inputs = x.shape[1]
    columns = inputs_of(x)
    if inputs > MOST_INPUTS_OF_PRODUCTS:
        return sums_of_two(columns)
    simple = [row for row in pair_exponents(inputs) if max(map(abs, row)) == 1]
    pairs = monomials(x, simple if inputs > _MOST_INPUTS_OF_ALL_PAIRS else pair_exponents(inputs))
    if inputs > _MOST_INPUTS_OF_THREE_TERMS:
        return sums_of_two(Library.of([columns, columns.curves("x^2"), pairs]))
    two = sums_of_two(Library.of([columns, unary(columns, own), pairs]))
    few = Library.of([columns, monomials(x, simple)])
    signs = tuple(product((1.0, -1.0), repeat=2))
    chosen = [(i, j, k, p, q) for i, j, k in combinations(range(len(few.trees)), 3) for p, q in signs]
    trees = [sum_of(few.trees[i], scaled(few.trees[j], p), scaled(few.trees[k], q)) for i, j, k, p, q in chosen]
    values = [few.values[:, i] + p * few.values[:, j] + q * few.values[:, k] for i, j, k, p, q in chosen]
    three = Library(trees, torch.stack(values, dim=1) if values else few.values[:, :0])
    return Library.of([two, three])


def mixed_sums(x: Tensor) -> Library:
    """x_i ± x_j·x_k, x_i ± x_j/x_k, (x_i ± x_j)·x_k, (x_i ± x_j)/x_k."""
    columns = inputs_of(x)
    trees, values = [], []
    for i, j, k in permutations(range(x.shape[1]), 3):
        for sign in (1.0, -1.0):
            for exponent in (1.0, -1.0):
                other = power(Input(k), exponent)
                column = x[:, k] ** exponent
                if exponent == -1 or j < k:
                    trees.append(sum_of(Input(i), scaled(product_of(Input(j), other), sign)))
                    values.append(x[:, i] + sign * x[:, j] * column)
                if i < j:
                    trees.append(product_of(sum_of(Input(i), scaled(Input(j), sign)), other))
                    values.append((x[:, i] + sign * x[:, j]) * column)
    return Library(trees, torch.stack(values, dim=1)) if values else columns[torch.zeros(0, dtype=torch.long)]


def turns(library: Library, scales: Sequence[float] = _SCALES_OF_TURNS) -> Library:
    """Sines and cosines of multiples of every column."""
    return Library.of([library.curves(name, a) for a in scales for name in ("sin", "cos")])


def unary(library: Library, own: Sequence[str] = ()) -> Library:
    """Elementary functions, and primitives of one's own, of every column."""
    parts = [library.curves(name) for name in (*_UNARY, *own)]
    return Library.of([*parts, library.curves("exp", -1.0), library.curves("tanh")])


def nested(x: Tensor, own: Sequence[str] = ()) -> Library:
    """Elementary functions of elementary functions of single inputs; of one input of faster turns, too."""
    columns = inputs_of(x)
    single = unary(columns, own)
    if x.shape[1] > 1:
        return unary(single, own)
    faster = turns(columns, _FASTER_TURNS)
    return Library.of([faster, unary(Library.of([single, turns(columns), faster]), own)])


def arguments(x: Tensor) -> Library:
    """What elementary functions are taken of."""
    inputs = x.shape[1]
    columns = inputs_of(x)
    parts = [columns]
    if 1 < inputs <= _MOST_INPUTS_OF_PAIRS:
        squares = columns.curves("x^2")
        sums = sums_of_two(columns)
        parts += [squares, monomials(x, pair_exponents(inputs)), sums, sums_of_two(squares), sums.curves("x^2")]
        shifted = Library.of([columns.shifted(1.0), columns.shifted(1.0, -1.0)])
        parts.append(shifted.times(shifted))
        if inputs <= _MOST_INPUTS_OF_OWN_PRODUCTS:
            parts.append(sums.times(columns))
        elif inputs <= _MOST_INPUTS_OF_DISTANCES:
            parts.append(sums.times(columns.curves("1/x")).curves("x^2"))  # as in exp(−(x − μ)²/2σ²)
    elif inputs == 1:
        powers = Library.of([columns, columns.curves("x^2"), columns.curves("x^3")])
        parts += [powers, columns.curves("1/x"), sums_of_two(powers)]
    if 2 < inputs <= _MOST_INPUTS_OF_TRIPLES:
        parts += [monomials(x, triple_exponents(inputs)), mixed_sums(x)]
    found = Library.of(parts).usable()
    whole = [found, found.shifted(1.0), found.shifted(1.0, -1.0)]
    return Library.of(whole)
