"""y = A + F(x_i)·G, with A and G functions of the other inputs: what changes with x_i has one shape, of varying size.

The change D(x_i, others) from a middle value of x_i is then of rank one: D(a, u)·D(b, v) = D(b, u)·D(a, v).
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor

from edgewise.discovery.problem import Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.surrogate import Surrogate
from edgewise.discovery.tree import Tree, constant, on_inputs, product_of, sum_of

_CLEAR = 3.0  # times how far off the fit may be: a second shape that is there
_LEAST_CLEAR = 1e-7
_MOST = 2  # inputs that are tried
_PARTS, _COMBINED = 3, 12  # formulas of each part, and of them together


def modulated(problem: Problem, surrogate: Surrogate, probes: Tensor, solve: Solve) -> Iterator[Tree]:
    """Formulas of that form, for the inputs whose changes are most nearly of one shape.

    Args:
        problem: rows and noise.
        surrogate: a smooth fit of its target.
        probes: where the fit is trusted, shape (M, I).
        solve: answers smaller problems.

    Yields:
        Formulas.
    """
    ranked = sorted((_second_shape(surrogate, probes, index), index) for index in range(problem.x.shape[1]))
    for left, index in ranked[:_MOST]:
        if left > max(_CLEAR * surrogate.off, _LEAST_CLEAR) or time.monotonic() > problem.deadline:
            return
        yield from _by_parts(problem, surrogate, probes, index, solve)


def _moved(x: Tensor, index: int, to: Tensor) -> Tensor:
    moved = x.clone()
    moved[:, index] = to
    return moved


def _second_shape(surrogate: Surrogate, probes: Tensor, index: int) -> float:
    """What is left of the changes with an input beside one shape, relative to the spread of the target."""
    order = torch.randperm(len(probes), generator=torch.Generator().manual_seed(1))
    own, others = probes[:, index], probes[order]
    middle = own.median()
    still, still_other = (surrogate(_moved(rows, index, middle)) for rows in (probes, others))
    change = surrogate(probes) - still
    crossed = surrogate(_moved(others, index, own)) - still_other
    swapped = surrogate(_moved(probes, index, others[:, index])) - still
    other = surrogate(others) - still_other
    left = (change * other - crossed * swapped).square().mean().sqrt()
    size = float(torch.stack([change, other, crossed, swapped]).square().mean().sqrt())
    return float(left) / (size * surrogate.spread) if size > 0 else math.inf


def _by_parts(problem: Problem, surrogate: Surrogate, probes: Tensor, index: int, solve: Solve) -> Iterator[Tree]:
    x = problem.x
    others = [k for k in range(x.shape[1]) if k != index]
    middle = x[:, index].median()
    changes = surrogate(probes) - surrogate(_moved(probes, index, middle))
    place = changes.abs().argmax()
    most, largest = probes[place], changes[place]
    still = surrogate(_moved(x, index, middle))
    size = surrogate(_moved(x, index, most[index])) - still
    at_most = most.repeat(len(x), 1)
    shape = (surrogate(_moved(at_most, index, x[:, index])) - surrogate(_moved(at_most, index, middle))) / largest
    error = surrogate.off * surrogate.spread

    def part(columns: list[int], values: Tensor, off: float) -> list[Tree]:
        spread = float(values.std())
        if spread <= off:
            return [constant(float(values.mean()))]
        found = solve(problem.part(x[:, columns], values, off / spread))[:_PARTS]
        return [on_inputs(tree, columns) for tree in found]

    # Where what stands still is a multiple of the size, y is a product.
    share = float((still @ size) / size.square().sum())
    is_product = float((still - share * size).square().mean().sqrt()) < error
    own = part([index], shape + share if is_product else shape, error / abs(float(largest)))
    sizes = part(others, size, error) if own else []
    rests = ([constant(0.0)] if is_product else part(others, still, error)) if sizes else []
    for rest, factor, curve in itertools.islice(itertools.product(rests, sizes, own), _COMBINED):
        yield sum_of(rest, product_of(factor, curve))
