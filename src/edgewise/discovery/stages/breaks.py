"""y = P(x) + sgn(u − a)·Q(x): jumps and kinks along an input, or a sum or a difference of two.

Where a polynomial on each side of a cut explains far more than one for all rows, and more than at cuts elsewhere, the
sides are solved by themselves. Their formulas give Q and the exact place, and what is left is solved on all rows.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from edgewise.discovery.analytic import on_unit_interval, products_of_polynomials
from edgewise.discovery.polynomial_fit import exponents_up_to
from edgewise.discovery.problem import Problem, box_of
from edgewise.discovery.stage import Solve
from edgewise.discovery.surrogate import smooth_error, smooth_residual
from edgewise.discovery.tree import Curve, Input, Tree, constant, evaluate, product_of, scaled, sum_of

_ROWS = 2000
_ROUGH = 1e-3  # held-out error of a smooth fit from which a break may be the reason
_FEWEST_ROWS = 30  # of a side
_CUTS = 39
_DEGREES = {1: 9, 2: 5, 3: 4, 4: 3} | dict.fromkeys(range(5, 11), 2)  # by the number of inputs; 1 of more
_MOST_INPUTS = 60
_RIDGE = 1e-13
_SHARP = 0.8  # error at the best cut relative to that at cuts some way off, and to that without one
_AWAY = 5  # cuts
_MENDED = 0.75  # held-out error of a smooth fit of each side relative to that of one fit of both
_MOST_BREAKS = 2
_UNSURE = 0.02  # share of the rows that are nearest to a cut
_KINK = 1e-3  # size of Q at a kink, relative to that elsewhere
_HALVINGS = 60
_NEGLIGIBLE = 1e-9  # of the spread of the target
_DIGITS = 6


@dataclass(frozen=True)
class _Cut:
    """A cut between rows.

    Args:
        direction: d of u = Σ d_i·x_i, shape (I,).
        place: how many rows have a smaller u.
        error: sum of squares that polynomials on both sides leave.
    """

    direction: Tensor
    place: int
    error: float


class Breaks:
    """See the module."""

    name = "jumps and kinks"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas, those of the sharpest break first."""
        if {"abs", "sgn"} <= problem.rules.forbidden:
            return
        few = problem.thinned(_ROWS)
        if len(few.y) < 4 * _FEWEST_ROWS or few.x.shape[1] > _MOST_INPUTS:
            return
        error = _smooth_error(few, torch.arange(len(few.y)))
        for cut in _cuts(few) if error > _ROUGH * few.spread else []:
            sides = _sides(few, cut)
            if sum(len(side) * _smooth_error(few, side) for side in sides) < _MENDED * error * sum(map(len, sides)):
                yield from _mended(few, cut, *sides, solve)


def _smooth_error(problem: Problem, rows: Tensor) -> float:
    """What a smooth fit of some of the rows leaves on others of them."""
    return smooth_residual(problem.x[rows], problem.y[rows], problem.scale[rows], problem.seed)[0]


def _cuts(problem: Problem) -> list[_Cut]:
    """The sharpest breaks, each along another direction, the best first."""
    x = problem.x
    inputs = x.shape[1]
    degrees = exponents_up_to(inputs, _DEGREES.get(inputs, 1))
    design = products_of_polynomials(on_unit_interval(x, box_of(x)), degrees)
    both = torch.cat([design, ((problem.y - problem.mean) / problem.y.std()).unsqueeze(1)], dim=1)
    places = torch.linspace(_FEWEST_ROWS, len(x) - _FEWEST_ROWS, _CUTS).long()
    found = []
    for direction in _directions(inputs, x):
        if time.monotonic() > problem.deadline:
            break
        along = x @ direction
        if not bool(along.max() > along.min()):
            continue
        ordered = both[along.argsort(stable=True)]
        grams = (ordered.unsqueeze(2) * ordered.unsqueeze(1)).cumsum(dim=0)
        errors = _left(grams, places)
        best = int(errors.argmin())
        away = [errors[k] for k in (best - _AWAY, best + _AWAY) if 0 <= k < _CUTS]
        if errors[best] > _SHARP**2 * min(away) or errors[best] > _SHARP**2 * _left(grams, torch.tensor([len(x)])):
            continue
        near = torch.arange(int(places[max(best - 1, 0)]), int(places[min(best + 1, _CUTS - 1)]) + 1)
        exact = _left(grams, near)
        found.append(_Cut(direction, int(near[exact.argmin()]), float(exact.min())))
    return sorted(found, key=lambda cut: cut.error)[:_MOST_BREAKS]


def _directions(inputs: int, x: Tensor) -> Iterator[Tensor]:
    """Of every input, and of sums and differences of two."""
    every = torch.eye(inputs, dtype=x.dtype)
    yield from every
    for i, j in itertools.combinations(range(inputs), 2):
        yield every[i] - every[j]
        yield every[i] + every[j]


def _left(grams: Tensor, places: Tensor) -> Tensor:
    """What polynomials on both sides of each place leave, sums of squares, from sums of products of columns."""
    below = grams[places - 1]
    return sum((_residual(part) for part in (below, grams[-1] - below)), torch.zeros(len(places), dtype=grams.dtype))


def _residual(grams: Tensor) -> Tensor:
    """The sum of squares that all columns leave of the last one, for each Gram matrix."""
    inner, across, whole = grams[:, :-1, :-1], grams[:, :-1, -1:], grams[:, -1, -1]
    ridge = _RIDGE * grams.diagonal(dim1=1, dim2=2).sum(dim=1) + torch.finfo(grams.dtype).tiny
    inner = inner + ridge[:, None, None] * torch.eye(inner.shape[1], dtype=grams.dtype)
    return (whole - (across * torch.linalg.solve(inner, across)).sum(dim=(1, 2))).clamp_min(0)


def _sides(problem: Problem, cut: _Cut) -> tuple[Tensor, Tensor]:
    """The rows below and above a cut, without those that may be of either side."""
    order = (problem.x @ cut.direction).argsort(stable=True)
    unsure = max(2, min(int(_UNSURE * len(order)), min(cut.place, len(order) - cut.place) // 2))
    return order[: cut.place - unsure], order[cut.place + unsure :]


def _mended(problem: Problem, cut: _Cut, below: Tensor, above: Tensor, solve: Solve) -> Iterator[Tree]:
    """The formula that those of both sides make."""
    u = problem.x @ cut.direction
    between = (float(u[below].max()), float(u[above].min()))
    along = sum_of(*(scaled(Input(i), d) for i, d in enumerate(cut.direction.tolist()) if d))
    upper = _solved(problem, problem.y, above, solve)
    rest = problem.y - evaluate(upper, problem.x)
    if not bool(rest.isfinite().all()):  # a formula of one side need not have values on the other
        return
    difference = _solved(problem, rest, below, solve)
    q = scaled(difference, -0.5)
    at = _root(problem.x, u, cut.direction, q, between)
    is_kink = at is not None
    if at is None:
        at = _step(u, rest, evaluate(difference, problem.x), between)
    change = evaluate(q, problem.x)
    if not bool(change.isfinite().all()):
        return
    smooth = _solved(problem, problem.y - (u - at).sign() * change, torch.arange(len(u)), solve)
    if is_kink:
        slope = _solved(problem, change / (u - at), torch.cat([below, above]), solve)
        yield sum_of(product_of(Curve("abs", along, 1.0, -at), slope), smooth)
    else:
        yield sum_of(product_of(Curve("sgn", along, 1.0, -at), q), smooth)


def _solved(problem: Problem, values: Tensor, rows: Tensor, solve: Solve) -> Tree:
    """The best formula of values on some of the rows, a number where there is none."""
    x, y = problem.x[rows], values[rows]
    size, mean, whole = float(y.std()), float(y.mean()), float(problem.y.std())
    if size < _NEGLIGIBLE * whole:
        return constant(mean if abs(mean) > _NEGLIGIBLE * whole else 0.0)
    noise = min(problem.noise * whole / size, smooth_error(x, y, problem.seed))
    part = replace(problem.some(rows), y=y).guessing(noise)
    return next(iter(solve(part)), constant(mean))


def _root(x: Tensor, u: Tensor, direction: Tensor, q: Tree, between: tuple[float, float]) -> float | None:
    """Where along a direction Q vanishes for all rows, or None where it does not."""

    def at(place: float) -> Tensor:
        moved = x - ((u - place) / direction.square().sum()).unsqueeze(1) * direction
        return evaluate(q, moved)

    low, high = between
    sign = at(high).sign()
    if not float((at(low) * sign).sum()) < 0 < float((at(high) * sign).sum()):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if float((at(middle) * sign).sum()) < 0:
            low = middle
        else:
            high = middle
    size = float(evaluate(q, x).square().mean())
    return high if float(at(high).square().mean()) < _KINK**2 * size else None


def _step(u: Tensor, rest: Tensor, difference: Tensor, between: tuple[float, float]) -> float:
    """The simplest number between the rows that are nearer to one formula and those nearer to the other."""
    near = (u >= between[0]) & (u <= between[1])
    order = u[near].argsort()
    below = (rest[near].abs() > (rest - difference)[near].abs())[order].to(u.dtype)
    none = below.new_zeros(1)
    wrong = torch.cat([none, (1 - below).cumsum(0)]) + torch.cat([below.flip(0).cumsum(0).flip(0), none])
    place = min(max(int(wrong.argmin()), 1), len(order) - 1)
    low, high = u[near][order][place - 1 : place + 1].tolist()
    middle = (low + high) / 2
    return next((r for d in range(_DIGITS) if low < (r := round(middle, d)) < high), middle)
