"""T(y) = c_0 + Σ c_k·g_k: a linear fit with a few columns of a library."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from edgewise.discovery.library import (
    MOST_INPUTS_OF_PRODUCTS,
    Library,
    arguments,
    inputs_of,
    monomials,
    nested,
    pair_exponents,
    sums_of_two,
    triple_exponents,
    turns,
    unary,
)
from edgewise.discovery.problem import NOISY, Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.subsets import best_subsets
from edgewise.discovery.tree import Tree, constant, scaled, sum_of

_ROWS, _NOISY_ROWS = 300, 1200
_MOST_VALUES = 6_000_000  # of the library
_MOST_TERMS, _MOST_NOISY_TERMS = 6, 3
_MOST_TERMS_OF_TRANSFORMS = 4
_MOST_TRANSFORMS = 4  # under noise
_KEPT = 6
_EXACT = 1e-11
_SHARE_OF_NOISE = 0.02  # below it no more terms are tried
_NEGLIGIBLE = 1e-10
_MOST_COLUMNS = 24_000


class Sums:
    """See the module."""

    name = "sums of few terms"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas, those of the plainest transform of the target first."""
        del solve
        few = problem.reduced(_NOISY_ROWS if problem.noise > NOISY else _ROWS)
        library = terms(few.x, problem.rules.own).allowed(problem.rules)
        noisy = problem.noise > NOISY
        price = library.prices() if noisy else None
        transformed = islice(few.transformed(), _MOST_TRANSFORMS if noisy else None)
        for number, (undo, target, weight) in enumerate(transformed):
            if time.monotonic() > problem.deadline:
                return
            most = _MOST_NOISY_TERMS if noisy else _MOST_TERMS
            subsets = best_subsets(
                target * weight,
                weight.unsqueeze(1),
                library.values * weight.unsqueeze(1),
                most=most if number == 0 else min(most, _MOST_TERMS_OF_TRANSFORMS),
                kept=_KEPT,
                enough=max(_EXACT, _SHARE_OF_NOISE * problem.noise),
                price=price,
            )
            for subset in subsets[1:]:
                chosen = list(subset.columns)
                design = torch.cat([torch.ones_like(weight).unsqueeze(1), library.values[:, chosen]], dim=1)
                w = weight.unsqueeze(1)
                found = torch.linalg.lstsq(design * w, target.unsqueeze(1) * w, driver="gelsd").solution[:, 0]
                sizes = found * design.abs().mean(dim=0)
                factors = torch.where(sizes.abs() > _NEGLIGIBLE * sizes.abs().max(), found, 0.0).tolist()
                parts = [scaled(library.trees[i], c) for i, c in zip(chosen, factors[1:], strict=True) if c]
                if parts:
                    offset = [constant(factors[0])] if factors[0] else []
                    yield undo(sum_of(*parts, *offset))


def terms(x: Tensor, own: Sequence[str] = ()) -> Library:
    """What is added: functions of one, two and three inputs, and products of simple ones."""
    inputs = x.shape[1]
    columns = inputs_of(x)
    whole = arguments(x)
    simple = Library.of([columns, unary(columns, own), turns(columns)]).usable()
    parts = [whole[torch.arange(len(whole.trees) // 3)], simple, columns.times(simple)]
    if 1 < inputs <= MOST_INPUTS_OF_PRODUCTS:
        pairs = monomials(x, pair_exponents(inputs)).usable()
        angles = turns(Library.of([columns, pairs, sums_of_two(columns)]).usable())
        plain = monomials(x, _plain_products(inputs))
        parts.insert(0, plain)
        parts += [angles, plain.times(turns(columns)), columns.times(angles)]
        roots = monomials(x, _roots(inputs))
        parts.append(Library.of([plain, roots]).times(Library.of([turns(columns), turns(sums_of_two(columns))])))
        parts += [nested(x, own), simple.times(simple)]
    elif inputs == 1:
        simple = Library.of([simple, unary(whole, own), turns(columns.curves("x^2"))]).usable()
        parts += [simple, simple.times(simple)]
    parts.append(monomials(x, triple_exponents(inputs)))
    if inputs <= MOST_INPUTS_OF_PRODUCTS:
        parts.append(unary(whole, own))
    found = Library.of(parts)
    return found.first(min(_MOST_COLUMNS, _MOST_VALUES // len(x))).usable()


def _plain_products(inputs: int) -> list[list[float]]:
    return [[1.0 if k in {i, j} else 0.0 for k in range(inputs)] for i in range(inputs) for j in range(i + 1, inputs)]


def _roots(inputs: int) -> list[list[float]]:
    return [[p / 2 for p in row] for row in _plain_products(inputs)]
