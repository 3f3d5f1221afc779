"""Separable functions, and inputs that matter only together: read off a smooth fit, then solved in parts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from edgewise.discovery.problem import IDENTITY, NOISY, Problem, Transform, transforms_of
from edgewise.discovery.stage import Solve
from edgewise.discovery.stages.joins import joined
from edgewise.discovery.stages.modulated import modulated
from edgewise.discovery.surrogate import Surrogate
from edgewise.discovery.tree import Curve, Tree, on_inputs, product_of, scaled, sum_of

_ROWS, _NOISY_ROWS = 1000, 3000
_MOST_INPUTS = 5
_USABLE = 0.1  # error of the fit, relative to the spread of the target
_TOLERATED = 1.5  # times the noise
_PROBES = 300
_CLEAR = 3.0  # times how far off the fit may be: an interaction that is there
_LEAST_CLEAR = 1e-7
_INSIDE = 0.9  # of the box: where the fit is trusted
_MOST_SPLITS = 2
_SEPARABLE = {None, "exp", "sqrt", "1/x", "log", "arcsin", "sin", "arccos"}  # what undoes the transforms that are tried
_TINY = 1e-300
_PARTS = 4  # formulas of each part that are combined


class Structure:
    """See the module."""

    name = "separable parts and joined inputs"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas put together from those of the parts."""
        if not 2 <= problem.x.shape[1] <= _MOST_INPUTS:
            return
        few = problem.thinned(_NOISY_ROWS if problem.noise > NOISY else _ROWS)
        surrogate = Surrogate(few)
        if surrogate.error > problem.tolerated(_USABLE, _TOLERATED) or time.monotonic() > problem.deadline:
            return
        probes = _probes(few)
        yield from _separated(few, surrogate, probes, solve)
        yield from joined(problem, surrogate, probes, solve)
        yield from modulated(few, surrogate, probes, solve)


def _separated(problem: Problem, surrogate: Surrogate, probes: Tensor, solve: Solve) -> Iterator[Tree]:
    """T(y) = F(all but x_i) + G(x_i and what it interacts with), for the T and i that leave the smallest G."""
    inputs = problem.x.shape[1]
    choices = []
    for transform, sign in transforms_of(problem.y):
        neighbours = _interactions(surrogate, probes, transform, sign)
        if transform.undo not in _SEPARABLE or neighbours is None:
            continue
        for index in range(inputs):
            near = [k for k in range(inputs) if bool(neighbours[index, k])]
            if len(near) < inputs - 1:
                choices.append((len(near), transform is not IDENTITY, index, near, transform, sign))
    for _, _, index, near, transform, sign in sorted(choices, key=lambda choice: choice[:3])[:_MOST_SPLITS]:
        yield from _by_parts(problem, surrogate, index, near, transform, sign, solve)


def _by_parts(
    problem: Problem, surrogate: Surrogate, index: int, near: list[int], transform: Transform, sign: float, solve: Solve
) -> Iterator[Tree]:
    x = problem.x
    anchored = x.clone()
    anchored[:, index] = x[:, index].median()
    target = surrogate(x) if problem.noise > NOISY else problem.y
    whole, rest = (transform.forward(sign * values) for values in (target, surrogate(anchored)))
    if not bool((whole.isfinite() & rest.isfinite()).all()):
        return
    others = [k for k in range(x.shape[1]) if k != index]
    own = [index, *near]
    change = whole - rest
    error = surrogate.off * float(whole.std())
    outer, inner = (
        problem.part(x[:, columns], values, error / max(float(values.std()), _TINY))
        for columns, values in ((others, rest), (own, change))
    )
    of_own = solve(inner)
    of_others = solve(outer) if of_own else []
    for first, second in itertools.product(of_others[:_PARTS], of_own[:_PARTS]):
        parts = (on_inputs(first, others), on_inputs(second, own))
        if transform.undo == "exp":
            yield scaled(product_of(Curve("exp", parts[0]), Curve("exp", parts[1])), sign)
        yield transform.undone(sum_of(*parts), sign)


def _interactions(surrogate: Surrogate, probes: Tensor, transform: Transform, sign: float) -> Tensor | None:
    """Whether the mixed difference of T(y) by two inputs is there, bool (I, I); None where T(y) has no value."""
    inputs = probes.shape[1]
    order = torch.randperm(len(probes), generator=torch.Generator().manual_seed(1))
    other = probes[order]

    def at(*moved: int) -> Tensor:
        mixed = probes.clone()
        mixed[:, list(moved)] = other[:, list(moved)]
        return transform.forward(sign * surrogate(mixed))

    base = at()
    single = [at(i) for i in range(inputs)]
    spread = float(base.std())
    if not all(bool(part.isfinite().all()) for part in (base, *single)) or not spread > 0:
        return None
    slope = transform.slope(sign * surrogate(probes)).abs()
    error = float((slope * surrogate.off * surrogate.spread).square().mean().sqrt())
    found = torch.zeros((inputs, inputs), dtype=torch.bool)
    for i, j in itertools.combinations(range(inputs), 2):
        both = at(i, j)
        change = both - single[i] - single[j] + base
        size = float(change.square().mean().sqrt())
        found[i, j] = found[j, i] = not size < max(_CLEAR * error, _LEAST_CLEAR * spread)
    return found


def _probes(problem: Problem) -> Tensor:
    """Rows drawn a little towards the middle of the box, where a fit is most exact."""
    low, high = problem.x.amin(dim=0), problem.x.amax(dim=0)
    middle = (low + high) / 2
    return middle + _INSIDE * (problem.x[:_PROBES] - middle)
