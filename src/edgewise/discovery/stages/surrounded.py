"""T(y) = P(x) + g(x)·Q(x) with polynomials P and Q around one function g of a library, by linear fits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from edgewise.basis import Chebyshev
from edgewise.discovery.library import (
    Library,
    arguments,
    combinations_of_inputs,
    inputs_of,
    monomials,
    nested,
    pair_exponents,
    turns,
    unary,
)
from edgewise.discovery.polynomial_fit import (
    exponents_up_to,
    left_beside,
    monomial_values,
    polynomial_tree,
    sparse_fit,
    varying_inputs,
)
from edgewise.discovery.problem import NOISY, Problem, box_of
from edgewise.discovery.rules import Rules
from edgewise.discovery.stage import Solve
from edgewise.discovery.tree import Tree, on_inputs, product_of, sum_of

_DEGREES = {  # of P and Q by the number of inputs
    1: ((3, 2),),
    2: ((5, 3), (0, 6)),
    3: ((4, 2), (0, 4)),
    4: ((3, 2), (0, 3)),
    5: ((2, 2), (0, 3)),
    6: ((2, 1),),
}
_LOW_DEGREES = {2: ((3, 1),), 3: ((2, 1),)}
_MANY_INPUTS = max(_DEGREES)
_ROWS, _NOISY_ROWS = 300, 900
_ROWS_PER_TERM = 3
_MOST_COLUMNS, _MOST_FUNCTIONS = 6000, 2000
_MOST_TERMS = 12  # so many come close to any smooth function
_MOST_VALUES = 6_000_000  # of a library
_KEPT, _NOISY_KEPT = 2, 4
_GOOD = 1e-6  # share of the target that the right function may leave
_TOLERATED = 1.2  # times the noise
_LARGEST = 1e6
_TRANSFORMS = 3


def surrounded_functions(x: Tensor, rules: Rules) -> Library:
    """What may stand for g: functions of x of shape (N, I), the simplest first."""
    columns = inputs_of(x)
    whole = arguments(x)
    count = len(whole.trees) // 3  # what follows are the same, with 1 added to them and taken from 1
    plain = whole.first(min(count, _MOST_COLUMNS))
    single = unary(columns, rules.own)
    products = [row for row in pair_exponents(x.shape[1]) if row.count(1.0) == 2]
    below = Library.of([columns, monomials(x, products)])
    quotients = below.curves("1/x").times(Library.of([columns, single]))
    secants = Library.of([plain.curves(name) for name in ("cos", "sin")]).curves("1/x")
    parts = [single, turns(columns), nested(x, rules.own), plain, quotients, unary(plain, rules.own), turns(plain)]
    parts.append(secants)
    if sum(len(part.trees) for part in parts) < _MOST_COLUMNS:
        shifted = whole[torch.arange(count, len(whole.trees))]
        parts += [shifted, unary(shifted, rules.own)]
    return Library.of(parts).allowed(rules).first(_MOST_COLUMNS).usable().first(_MOST_FUNCTIONS)


def _functions_of_combinations(x: Tensor, rules: Rules) -> Library:
    """Elementary functions of what functions of several inputs may be functions of, the simplest first."""
    found = unary(combinations_of_inputs(x, rules), rules.own).allowed(rules)
    return found[found.prices().argsort(stable=True)].first(_MOST_VALUES // len(x)).usable()


@dataclass(frozen=True)
class Surrounded:
    """See the module.

    Args:
        functions: what may stand for g, from rows of the inputs and the rules.
        degrees: pairs of degrees of P and Q by the number of inputs.
        name: for reports.
    """

    functions: Callable[[Tensor, Rules], Library] = surrounded_functions
    degrees: Mapping[int, Sequence[tuple[int, int]]] = field(default_factory=lambda: _DEGREES)
    name: str = "polynomials around a function"

    @classmethod
    def deep(cls) -> Surrounded:
        """With functions of combinations of inputs, and polynomials of low degrees."""
        return cls(_functions_of_combinations, _LOW_DEGREES, "polynomials around a deeper function")

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas with the terms that count, those of the best functions first."""
        del solve
        noisy = problem.noise > NOISY
        few = problem.reduced(_NOISY_ROWS if noisy else _ROWS)
        varying = varying_inputs(few.x)
        inputs = len(varying)
        few = replace(few, x=few.x[:, varying])
        degrees = self.degrees.get(min(inputs, _MANY_INPUTS), ())
        tables = [[exponents_up_to(inputs, degree) for degree in pair] for pair in degrees]
        tables = [pair for pair in tables if len(few.y) >= _ROWS_PER_TERM * sum(map(len, pair))]
        if not inputs or not tables or float(few.x.abs().amax()) > _LARGEST:
            return
        functions = self.functions(few.x, problem.rules)
        for number, (undo, target, weight) in enumerate(itertools.islice(few.transformed(), _TRANSFORMS)):
            # Of other forms than y itself only what is exact counts.
            form = few if number == 0 else replace(few, y=target, scale=weight.reciprocal())
            enough = problem.tolerated(_GOOD, _TOLERATED) if number == 0 else _GOOD
            for of_sum, of_factor in tables:
                for tree in _fitted(form, functions, of_sum, of_factor, enough):
                    yield on_inputs(undo(tree), varying.tolist())


def _fitted(problem: Problem, functions: Library, of_sum: Tensor, of_factor: Tensor, enough: float) -> Iterator[Tree]:
    """P + g·Q with the terms that count, for the functions g that leave the least."""
    noisy = problem.noise > NOISY
    left = _left(problem, functions, of_sum, of_factor)
    price = functions.prices() if noisy else torch.zeros_like(left)
    best = (len(problem.y) * left.log2() + price).argsort(stable=True)[: _NOISY_KEPT if noisy else _KEPT]
    beside, inside = monomial_values(problem.x, of_sum), monomial_values(problem.x, of_factor)
    for place in best[left[best] < enough].tolist():
        design = torch.cat([beside, functions.values[:, [place]] * inside], dim=1)
        found, _ = sparse_fit(design, problem.y, problem.scale.reciprocal())
        outer, factor = found.split([len(of_sum), len(of_factor)])
        if bool(factor.any()) and int((found != 0).sum()) <= _MOST_TERMS:
            around = product_of(functions.trees[place], polynomial_tree(of_factor, factor))
            yield sum_of(polynomial_tree(of_sum, outer), around)


def _left(problem: Problem, functions: Library, of_sum: Tensor, of_factor: Tensor) -> Tensor:
    """What each function leaves of the target, as a share of its spread, shape (F,)."""
    x = problem.x
    series = Chebyshev(degree=int(max(of_sum.max(), of_factor.max()))).values(x, box_of(x))
    beside, inside = (
        torch.stack([series[:, torch.arange(x.shape[1]), row].prod(dim=1) for row in table], dim=1)
        for table in (of_sum, of_factor)
    )
    return left_beside(problem, beside, functions.values, inside)[1]
