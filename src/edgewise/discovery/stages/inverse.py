"""y = 1/z for a target with poles: z has none, and all stages may look for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edgewise.discovery.problem import MEDIAN_OF_NORMAL, NOISY, Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.surrogate import noise_level
from edgewise.discovery.tree import Curve, Tree, network_of, tree_of
from edgewise.training import fit_in_search

_SIGMAS = 5.0  # of noise: of smaller values the inverse is hardly known
_POLE = 30.0  # times that: where the largest value lies if there are poles
_FEWEST = 100  # rows with such values
_LEAST_ERROR = 0.1  # of the median: else rows at the poles would be all that counts
_ROWS, _STEPS = 4000, 40


class Inverse:
    """See the module."""

    name = "inverse of the target"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Inverses of the formulas of 1/y."""
        if "1/x" in problem.rules.forbidden:
            return
        if problem.has_poles:
            yield from _everywhere(problem, solve)
        elif problem.noise > NOISY:
            yield from _above_noise(problem, solve)


def _everywhere(problem: Problem, solve: Solve) -> Iterator[Tree]:
    # The errors are left as those of y: by those of 1/y rows at poles would be all that counts.
    inverse = replace(problem, y=1 / problem.y, rules=problem.rules.of_part())
    if inverse.has_poles:
        return
    noise = noise_level(inverse.x, inverse.y, inverse.scale, inverse.seed)
    for tree in solve(inverse.guessing(noise)):
        yield Curve("1/x", tree)


def _above_noise(problem: Problem, solve: Solve) -> Iterator[Tree]:
    """The same where most values are lost in noise that is no smaller between the poles: by the rows that are not."""
    size = (problem.y / problem.scale).abs()
    typical = float(size.median()) / MEDIAN_OF_NORMAL  # of noise, or of noise and more: half of the rows are smaller
    clear = size > _SIGMAS * typical
    if not float(size.max()) > _POLE * _SIGMAS * typical > 0 or int(clear.sum()) < _FEWEST:
        return
    few = problem.some(clear)
    error = typical * few.scale / few.y.square()
    capped = error.clamp_min(_LEAST_ERROR * float(error.median()))
    inverse = replace(few, y=1 / few.y, scale=capped)
    noise = noise_level(inverse.x, inverse.y, inverse.scale, inverse.seed)
    for tree in solve(inverse.guessing(min(noise, 1 / inverse.spread))):
        yield Curve("1/x", _sharpened(tree, replace(inverse, scale=error)))


def _sharpened(tree: Tree, inverse: Problem) -> Tree:
    """With constants fitted by the errors that 1/y really has: a pole is where rows next to it say."""
    few = inverse.thinned(_ROWS)
    model = network_of(tree, few.x, hold=True)
    weights = few.scale**-2
    fit_in_search(model, few.x, few.y.unsqueeze(1), weights=weights / weights.mean(), steps=_STEPS, solver="lm")
    return tree_of(model)
