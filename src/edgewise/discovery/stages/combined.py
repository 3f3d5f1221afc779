"""y = f(z) with z a simple combination of the inputs: the one along which neighbouring rows are most alike.

No smooth fit in all inputs is needed: f may have poles and turn often.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from scipy.optimize import fminbound
from torch import Tensor

from edgewise.discovery.library import combinations_of_inputs, simple_terms
from edgewise.discovery.problem import Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.tree import Tree, evaluate, inputs_in, scaled, substituted, sum_of

_ROWS = 1000
_ALIKE = 0.1  # half the mean square difference of neighbours, relative to the variance
_MOST_INPUTS = 4  # of sums with a ratio
_DECADES, _PLACES = 1.5, 40  # of the ratio of the sizes of two terms
_PERHAPS, _TRIED, _XTOL = 0.6, 6, 1e-5  # what is looked at more closely
_TAIL = 0.05  # share of the rows at either end that are left out, where z is large and rows are few


class Combined:
    """See the module."""

    name = "curve of a combination"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas of the best combination, then of the best one with a ratio in it."""
        if problem.x.shape[1] < 2:
            return
        few = problem.thinned(_ROWS)
        for search in (_best, _best_with_a_ratio):
            combination = search(few)
            if combination is None:
                continue
            z = evaluate(combination, problem.x)
            if not bool(z.isfinite().all()):
                continue  # it was chosen by some of the rows
            low, high = z.quantile(_TAIL), z.quantile(1 - _TAIL)
            kept = (z >= low) & (z <= high)
            inner = problem.some(kept).of_inputs(z[kept].unsqueeze(1))
            if inner.is_constant:
                continue
            if search is _best_with_a_ratio:  # which is not exact before all constants are fitted together
                inner = inner.guessing(max(inner.noise, inner.roughness() / inner.spread))
            for tree in solve(inner):
                yield substituted(tree, {0: combination})


def _unlike(y: Tensor, z: Tensor) -> Tensor:
    """How much neighbours along each column of z, shape (N, F), differ: about 0 for a curve, 1 for none, shape (F,)."""
    ranks = y.argsort(stable=True).argsort().to(y.dtype)
    return ranks[z.argsort(dim=0, stable=True)].diff(dim=0).square().mean(dim=0) / (2 * ranks.var())


def _best(problem: Problem) -> Tree | None:
    """The combination of a library along which neighbours are most alike, or None where none is good."""
    library = combinations_of_inputs(problem.x, problem.rules)
    several = torch.tensor([len(inputs_in(tree)) > 1 for tree in library.trees], dtype=torch.bool)
    unlike = torch.where(several, _unlike(problem.y, library.values), torch.inf)
    if not bool((unlike < _ALIKE).any()):
        return None
    return library.trees[int(unlike.argmin())]


def _best_with_a_ratio(problem: Problem) -> Tree | None:
    """The best u + ρ·v of simple terms u and v, or None where none is good."""
    if problem.x.shape[1] > _MOST_INPUTS:
        return None
    terms = simple_terms(problem.x).allowed(problem.rules).usable()
    sizes = terms.values.std(dim=0)
    ratios = torch.logspace(-_DECADES, _DECADES, _PLACES, dtype=sizes.dtype)
    ratios = torch.cat([ratios, -ratios])
    found = []
    for i, j in itertools.combinations(range(len(terms.trees)), 2):
        if len(inputs_in(terms.trees[i]) | inputs_in(terms.trees[j])) > 1:
            own = ratios * sizes[i] / sizes[j]
            unlike = _unlike(problem.y, terms.values[:, [i]] + own * terms.values[:, [j]])
            best = int(unlike.argmin())
            found.append((float(unlike[best]), i, j, float(own[best])))
    for least, i, j, ratio in sorted(found)[:_TRIED]:
        u, v = terms.values[:, [i, j]].T
        log = _best_log(problem.y, u, ratio * v) if least < _PERHAPS else None
        if log is not None:
            return sum_of(terms.trees[i], scaled(terms.trees[j], ratio * math.exp(log)))
    return None


def _best_log(y: Tensor, u: Tensor, v: Tensor) -> float | None:
    """The logarithm of the factor of v, near 0, with which u and v make the best sum; None where it is not good."""

    def unlike(log: float) -> float:
        return float(_unlike(y, (u + math.exp(log) * v).unsqueeze(1)))

    reach = 2 * _DECADES * math.log(10) / (_PLACES - 1)
    log, least, *_ = fminbound(unlike, -reach, reach, xtol=_XTOL, full_output=True, disp=0)
    return float(log) if least < _ALIKE else None
