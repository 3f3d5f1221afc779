"""y = P/Q with P and Q of polynomials and one or two functions of a library.

y·(Q(x) + b·g(x)) = P(x) + a·f(x) is linear: beside the space of the polynomials and their products with y, two of the
columns f and y·g are parallel, or one of them is 0. The two may also be both of P, or both of Q.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from edgewise.discovery.polynomial_fit import (
    exponents_up_to,
    monomial_trees,
    monomial_values,
    quotient_tree,
    varying_inputs,
)
from edgewise.discovery.problem import Problem
from edgewise.discovery.rational import exact_quotient
from edgewise.discovery.stage import Solve
from edgewise.discovery.stages.surrounded import surrounded_functions
from edgewise.discovery.tree import Tree, on_inputs

_DEGREES = {1: 3, 2: 3, 3: 2, 4: 2, 5: 2}  # of P and Q by the number of inputs
_DEGREE_OF_MANY = 1
_ROWS, _ROWS_PER_TERM = 400, 3
_MOST_FUNCTIONS = 1000
_LARGEST = 1e6
_KEPT = 5
_NEAR = 1e-6  # to each other or to the space, before a quotient is computed exactly
_MOST_TERMS = 12  # so many come close to any smooth function
_MOST_RANGE = 1e8  # of the median of a function
_TINY = 1e-300


class SurroundedQuotients:
    """See the module."""

    name = "quotients around a function"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """The quotients that leave nothing, whatever is thought of the noise: poles may pass for it."""
        del solve
        few = problem.thinned(_ROWS)
        varying = varying_inputs(few.x)
        x, inputs = few.x[:, varying], len(varying)
        powers = exponents_up_to(inputs, _DEGREES.get(inputs, _DEGREE_OF_MANY))
        if not inputs or len(x) < _ROWS_PER_TERM * 2 * len(powers) or float(x.abs().amax()) > _LARGEST:
            return
        if "1/x" in problem.rules.forbidden:
            return
        functions = surrounded_functions(x, problem.rules).first(_MOST_FUNCTIONS)
        polynomials, trees = monomial_values(x, powers), monomial_trees(powers)
        for chosen in _dependent(polynomials, functions.values, few.y):
            columns = torch.cat([polynomials, functions.values[:, chosen]], dim=1)
            found = exact_quotient(columns, columns, few.y)
            if found is not None and sum(int((part != 0).sum()) for part in found) <= _MOST_TERMS:
                quotient = quotient_tree([*trees, *(functions.trees[k] for k in chosen)], *found)
                yield on_inputs(quotient, varying.tolist())


def _dependent(polynomials: Tensor, functions: Tensor, y: Tensor) -> list[list[int]]:
    """The functions, one or two at a time, with which y is nearest to a quotient.

    Args:
        polynomials: shape (N, K).
        functions: shape (N, F).
        y: target, shape (N,).

    Returns:
        Their places, the nearest first.
    """
    ratio = (y / y.abs().median().clamp_min(_TINY)).unsqueeze(1)
    rows = (1 + ratio.square()).rsqrt()  # rows near a pole would hide all others
    base = torch.cat([polynomials, ratio * polynomials], dim=1) * rows
    rest = torch.cat([_outside(base, functions * rows), _outside(base, ratio * functions * rows)], dim=1)
    beside = _outside(polynomials, functions)
    in_few_rows = functions.abs().amax(dim=0) > _MOST_RANGE * functions.abs().median(dim=0).values
    useless = in_few_rows | (beside.norm(dim=0) < _NEAR)
    sizes = rest.norm(dim=0).masked_fill(useless.repeat(2), torch.inf)
    alone = [(float(sizes[k]), [k % len(useless)]) for k in (sizes < _NEAR).nonzero().flatten().tolist()]
    # Functions that are parallel whatever y is say nothing about it, both with y or both without.
    same = _sines(beside / beside.norm(dim=0).clamp_min(_TINY)) < _NEAR
    apart = _sines(rest / sizes.masked_fill(sizes < _NEAR, torch.inf)).masked_fill(
        torch.block_diag(same, same), torch.inf
    )
    places = (apart < _NEAR).triu(1).nonzero().tolist()
    pairs = [(float(apart[i, j]), sorted({i % len(useless), j % len(useless)})) for i, j in places]
    # Pairs come after single functions, and without those: what one can do, it can with any other, too.
    single = dict.fromkeys(tuple(chosen) for _, chosen in sorted(alone))
    double = dict.fromkeys(tuple(chosen) for _, chosen in sorted(pairs) if not {(k,) for k in chosen} & single.keys())
    return [list(chosen) for kind in (single, double) for chosen in list(kind)[:_KEPT]]


def _sines(unit: Tensor) -> Tensor:
    """Sines of the angles between columns of length 1, or 0; of the latter 1."""
    return (1 - (unit.T @ unit).square()).clamp_min(0).sqrt()


def _outside(base: Tensor, values: Tensor) -> Tensor:
    """What a space leaves of columns of length 1."""
    q = torch.linalg.qr(base / base.norm(dim=0)).Q
    unit = values / values.norm(dim=0).clamp_min(_TINY)
    rest = unit - q @ (q.T @ unit)
    return rest - q @ (q.T @ rest)
