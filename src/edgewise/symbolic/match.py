"""Naming one curve: the fit of y ≈ c·f(a·x + b) + d for a given function f, and which f to prefer.

A fit scans many a and b on some hundreds of points, then runs Levenberg–Marquardt from the best of them, with c and d
in closed form at each step. All of this happens in standard units, so that the units of x and y do not matter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgewise.lazy import LazyModule
from edgewise.primitives import Primitive
from edgewise.primitives import primitives as all_primitives
from edgewise.symbolic.charts import Starts, joined, knots, starts
from edgewise.symbolic.curve import EPS, Sample
from edgewise.symbolic.variable_projection import levenberg_marquardt, scan
from edgewise.threads import threads_for

if TYPE_CHECKING:
    import sympy
else:
    sympy = LazyModule("sympy")

_REFINED = 6  # local minima of the scan that are improved on the same points
_SECTIONS = 8  # sections of the range whose best starting points are improved, too
_SAME, _RIVAL = 1.0 + 1e-4, 1.5  # ratios of the sums of squares of equal minima, and of such as may change places
_STEPS, _LAST = 12, 4  # the number of steps of the first improvement, and of that on the whole of a long curve
_HOPEFUL = 100.0  # ratio of sums of squares above which a fit is not improved on the whole of a long curve
_EDGE = 1e-4  # distance from the edge of a domain below which the edge itself is tried
_NEGLIGIBLE = 1e-11  # relative error that a rounder parameter may cost


@dataclass(frozen=True, kw_only=True)
class Match:
    """A curve y ≈ c·f(a·x + b) + d, in the units of x and y.

    Attributes:
        primitive: the function f.
        a: the scale of the argument.
        b: the shift of the argument.
        c: the scale of the value.
        d: the shift of the value.
        r2: the weighted share of y's variance that the curve explains, at most 1; 1 where y is constant.
        rmse: the weighted root mean square error, in the units of y.
        bits: the score of `rank_matches`, less for a better match.

    Example:
        >>> from edgewise.primitives import get_primitive
        >>> x = torch.linspace(-1.0, 2.0, 50, dtype=torch.float64)
        >>> match = match_primitive(x, 3.0 * torch.exp(2.0 * x) - 1.0, get_primitive("exp"))
        >>> [round(value, 9) for value in (match.a, match.b, match.c, match.d)]
        [2.0, 0.0, 3.0, -1.0]
        >>> match(torch.zeros(1, dtype=torch.float64)).round(decimals=9)
        tensor([2.], dtype=torch.float64)
    """

    primitive: Primitive
    a: float
    b: float
    c: float
    d: float
    r2: float
    rmse: float
    bits: float

    @property
    def complexity(self) -> int:
        """The complexity of f."""
        return self.primitive.complexity

    def __call__(self, x: Tensor) -> Tensor:
        """The values of the curve.

        Args:
            x: inputs of any shape and floating dtype.

        Returns:
            c·f(a·x + b) + d, of the same shape and dtype; NaN where the argument is outside of f's domain.
        """
        return self.c * self.primitive.function(self.a * x + self.b) + self.d

    def expression(self, symbol: sympy.Expr) -> sympy.Expr:
        """The curve as a SymPy expression.

        Args:
            symbol: the expression of x.

        Returns:
            c·f(a·x + b) + d, with the parameters as they are, except that 0, 1 and −1 are exact integers.
        """
        a, b, c, d = (_number(value) for value in (self.a, self.b, self.c, self.d))
        return c * self.primitive.expression(a * symbol + b) + d


def match_primitive(x: Tensor, y: Tensor, primitive: Primitive, weights: Tensor | None = None) -> Match | None:
    """Fit y ≈ c·f(a·x + b) + d to a curve.

    Singular points of f are kept out of the range of x. Where several parameters give the same curve, the canonical
    ones are returned (see `Redundancy.canonical`). The work is done on the CPU.

    Args:
        x: inputs, shape (N,), float64, in any order and unit; may repeat.
        y: outputs, shape (N,), float64.
        primitive: the function f.
        weights: how much each point counts, shape (N,), none negative; the same for all if None.

    Returns:
        The best fit found, or None where f cannot serve: it is not finite, or is constant, on the range of x, whatever
        a and b. Of a curve whose x or y is constant, c is 0.

    Raises:
        ShapeError: x, y and weights are not vectors of one length of 1 or more.
        PrecisionError: one of them is not float64.
        DataError: one of them has NaN or infinite values, or the weights are negative or all 0.

    Example:
        >>> from edgewise.primitives import get_primitive
        >>> x = torch.linspace(-3.0, 3.0, 200, dtype=torch.float64)
        >>> match = match_primitive(x, 0.3 * torch.sin(7.0 * x - 1.0) + 2.0, get_primitive("sin"))
        >>> [round(value, 9) for value in (match.a, match.b, match.c, match.d)]
        [7.0, -1.0, 0.3, 2.0]

    Source: variable projection, Golub and Pereyra (1973); the affine form is that of Liu et al., "KAN:
        Kolmogorov–Arnold Networks" (2024), section 2.5.1.
    """
    with torch.no_grad(), threads_for(x.numel()):
        return next(iter(_fit(Sample.of(x, y, weights), [primitive])), None)


def rank_matches(
    x: Tensor, y: Tensor, primitives: Sequence[Primitive] | None = None, weights: Tensor | None = None
) -> list[Match]:
    """Fit many primitives to a curve and order them by description length, best first.

    The score, in bits, is log₂(rmse / standard deviation of y) + (complexity of f + constants) / 2, so that two more
    units of complexity have to halve the error to pay. The relative error is floored at 2⁻³⁰, or at what the rounding
    of x and y leaves of it if that is more: below, all fits are exact, and the simplest comes first. The constants are
    a and b, unless redundant for f; a shift b of less than the relative error does not count. The number of points does
    not matter, since the error of a trained edge is mostly not noise.

    Of a curve of more than 2048 points, fits far from the best are improved on some of the points only.

    Args:
        x: inputs, shape (N,), float64, in any order and unit; may repeat.
        y: outputs, shape (N,), float64.
        primitives: the functions to try; all registered ones if None.
        weights: how much each point counts, shape (N,), none negative; the same for all if None.

    Returns:
        One match per primitive that can serve.

    Raises:
        ShapeError: x, y and weights are not vectors of one length of 1 or more.
        PrecisionError: one of them is not float64.
        DataError: one of them has NaN or infinite values, or the weights are negative or all 0.

    Example:
        >>> x = torch.linspace(0.5, 4.0, 200, dtype=torch.float64)
        >>> rank_matches(x, 5.0 / (x + 1.0) ** 2)[0].primitive.name
        '1/x^2'
    """
    with torch.no_grad(), threads_for(x.numel()):
        sample = Sample.of(x, y, weights)
        chosen = all_primitives() if primitives is None else primitives
        found = _fit(sample, chosen)
    # Twins such as sin and cos differ in the last digits of their scores: rounded, they keep the registry's order.
    return sorted(found, key=lambda match: round(match.bits, 6))


def _fit(sample: Sample, primitives: Sequence[Primitive]) -> list[Match]:
    """The best match of each primitive that can serve."""
    if sample.degenerate:
        flats = [_degenerate(sample, primitive) for primitive in primitives]
        return [flat for flat in flats if flat is not None]
    found = _search(sample, primitives)
    matches = []
    for place, primitive in enumerate(primitives):
        if primitive.redundant.amplitude:
            matches.append(_flat(sample, primitive, 1.0, 0.0))
        elif place in found:
            matches.append(_finished(sample, primitive, found[place]))
    return [match for match in matches if match is not None]


def _degenerate(sample: Sample, primitive: Primitive) -> Match | None:
    """The match of a curve without a shape."""
    every = joined([grid.flattened() for grid in starts(primitive, 0, sample.thin.tau[0], sample.distinct)])
    places = chain([(1.0, 0.0)], _places(sample, primitive, every))
    return next((flat for a, b in places if (flat := _flat(sample, primitive, a, b)) is not None), None)


def _finished(sample: Sample, primitive: Primitive, points: Starts) -> Match | None:
    """The match at the best of some points in coordinates, with the roundest parameters that do as well."""
    tried = [_project(sample, primitive, a, b) for a, b in _settled(sample, primitive, points)]
    fits = [fit for fit in tried if fit is not None]
    enough = min((fit.rmse for fit in fits), default=0.0) * (1.0 + _NEGLIGIBLE) + _NEGLIGIBLE * sample.spread
    return next((fit for fit in fits if fit.rmse <= enough), None)


def _search(sample: Sample, primitives: Sequence[Primitive]) -> dict[int, Starts]:
    """The best points in coordinates of each primitive, by its place; without those that are nowhere of use."""
    # Of a long curve some hundreds of points show which starts lead to the best fit, and some thousands how good it can
    # be; only the best of all primitives are then improved on the whole of it.
    scanned = [_scanned(sample, primitive, place) for place, primitive in enumerate(primitives)]
    usable = [chosen for chosen in scanned if chosen is not None]
    if not usable:
        return {}
    points, loss = levenberg_marquardt(primitives, sample.thin, joined(usable), iterations=_STEPS)
    points, loss = levenberg_marquardt(primitives, sample.middling, points[_leading(points.owner, loss, rival=True)])
    best = _leading(points.owner, loss)
    points, loss = points[best], loss[best]
    if sample.middling is not sample.curve:
        hopeful = (loss <= _HOPEFUL * loss.min()).nonzero().squeeze(1)
        improved, _ = levenberg_marquardt(primitives, sample.curve, points[hopeful], iterations=_LAST)
        points = points.moved(points.theta.index_copy(0, hopeful, improved.theta))
    points = points[loss < math.inf]
    edges = _at_edges(points)
    if len(edges.owner):
        edges, _ = levenberg_marquardt(primitives, sample.middling, edges, iterations=_STEPS)
    points = joined([edges, points, *_with_kinks(sample, primitives, points)])
    return {owner: points[points.owner == owner] for owner in points.owner.unique().tolist()}


def _leading(owner: Tensor, loss: Tensor, rival: bool = False) -> Tensor:
    """The row of each owner's least loss, and of another minimum that is nearly as low, in the order of the owners."""
    leading = []
    for place in owner.unique_consecutive().tolist():
        rows = (owner == place).nonzero().squeeze(1)
        rows = rows[loss[rows].argsort()]
        least = loss[rows[0]]
        rivals = rows[(loss[rows] > _SAME * least) & (loss[rows] < _RIVAL * least)]
        leading += [rows[:1], rivals[:1]] if rival else [rows[:1]]
    return torch.cat(leading)


def _at_edges(points: Starts) -> Starts:
    """For each point whose argument ends close to an edge of the domain, those that end right there."""
    _, _, gap, _, _, _, shrink, _ = points.table.unbind(1)
    close = (points.theta < math.log(_EDGE)) & (torch.stack((gap, shrink), dim=1) != 0.0)
    choices = torch.tensor([[True, True], [True, False], [False, True]])
    rows, choice = (close[:, None] | ~choices).all(2).nonzero().unbind(1)
    return points[rows].moved(points.theta[rows].masked_fill(choices[choice], -math.inf))


def _with_kinks(sample: Sample, primitives: Sequence[Primitive], points: Starts) -> list[Starts]:
    """For each point that places a kink, one that places it best between the points of the whole curve."""
    if sample.thin is sample.curve:
        return []
    _, linear, _, span, *_ = points.table.unbind(1)
    places = ((linear != 0.0) & (span != 0.0)).tolist()
    owners = [primitives[owner] for owner in points.owner.tolist()]
    return [
        _zoomed(sample, primitive, points[torch.tensor([row])])
        for row, (primitive, place) in enumerate(zip(owners, places, strict=True))
        if primitive.kinks and place
    ]


def _scanned(sample: Sample, primitive: Primitive, place: int) -> Starts | None:
    """The most promising starting points, or None where f is nowhere finite and of some shape."""
    if primitive.redundant.amplitude:
        return None
    found, losses = [], []
    for grid in starts(primitive, place, sample.thin.tau[0], sample.distinct):
        loss = scan(primitive, sample.thin, grid.flattened()).view(grid.theta.shape[:2])
        rows = _promising(loss)
        found.append(grid.flattened()[rows])
        losses.append(loss.flatten()[rows])
    loss = torch.cat(losses)
    if len(loss) == 0:
        return None
    return joined(found)[loss.argsort()[: _REFINED + _SECTIONS]]


def _promising(loss: Tensor) -> Tensor:
    """The flat positions of the best starting points in a grid of losses (G, P)."""
    # These are the local minima, cells no worse than those around them, and the best of each section of members. Local
    # minima alone are not enough: where sinh is nearly an exponential, all of them lead to one.
    framed = torch.nn.functional.pad(loss, (1, 1, 1, 1), value=math.inf)
    around = torch.nn.functional.max_pool2d(-framed[None], 3, stride=1).squeeze(0).neg()
    minima = ((loss <= around) & (loss < math.inf)).flatten().nonzero().squeeze(1)
    minima = minima[loss.flatten()[minima].argsort()[:_REFINED]]
    if loss.shape[1] <= _SECTIONS:
        return minima
    least, group = loss.min(dim=0)
    members = torch.arange(loss.shape[1])
    best = torch.stack([part[least[part].argmin()] for part in members.tensor_split(_SECTIONS)])
    best = best[least[best] < math.inf]
    return torch.cat((minima, group[best] * loss.shape[1] + best)).unique()


def _zoomed(sample: Sample, primitive: Primitive, point: Starts) -> Starts:
    """The best place of a kink on the whole curve, near the one point given."""
    tau = sample.curve.tau[0]
    places = torch.cat([kink - knots(tau) for kink in primitive.kinks]).unique()
    centre = int(torch.searchsorted(places, point.theta[0, 0]))
    reach = 4 * math.ceil(len(places) / len(sample.thin.z))
    while True:
        low, high = max(0, centre - reach), min(len(places) - 1, centre + reach)
        ranks = torch.linspace(low, high, 65, dtype=torch.float64).round().long().unique()
        theta = torch.stack((places[ranks], torch.zeros(len(ranks), dtype=places.dtype)), dim=1)
        tried = point[torch.zeros(len(ranks), dtype=torch.long)].moved(theta)
        row = scan(primitive, sample.curve, tried).argmin()
        if high - low < len(ranks):
            best, _ = levenberg_marquardt([primitive], sample.curve, tried[row[None]].owned(0), iterations=_LAST)
            return best.owned(int(point.owner[0]))
        centre, reach = int(ranks[row]), math.ceil(reach / 16)


def _places(sample: Sample, primitive: Primitive, points: Starts) -> Iterator[tuple[float, float]]:
    """The canonical a and b of points in coordinates."""
    p, s = points.line()
    high = sample.low + sample.extent
    for near, slope, reverse in zip(p.tolist(), s.tolist(), points.reverse.tolist(), strict=True):
        # u = near + slope·(x − low)/extent, or near + slope·(high − x)/extent
        end, slope_of_x = (high, -slope) if reverse else (sample.low, slope)
        if primitive.redundant.scaling is not None:
            direction = math.copysign(1.0, slope_of_x)
            a, b = direction, near * sample.extent / abs(slope) - direction * end
        else:
            a = slope_of_x / sample.extent
            b = near - a * end
        canonical_a, canonical_b, *_ = primitive.redundant.canonical(a, b, 1.0, 0.0)
        yield canonical_a, canonical_b + 0.0  # no −0
        yield a, b


def _settled(sample: Sample, primitive: Primitive, points: Starts) -> Iterator[tuple[float, float]]:
    """Candidates for the final a and b, of each point in coordinates the roundest first: b = 0, then as found."""
    largest = float(sample.x.abs().max())
    for a, b in _places(sample, primitive, points):
        if 0.0 < abs(b) <= _NEGLIGIBLE * abs(a) * largest:
            yield a, 0.0
        if primitive.redundant.scaling is not None:
            # f is singular or has a kink where its argument is 0; if that is at a point of the curve, then exactly so.
            nearest = float(sample.x[(a * sample.x + b).abs().argmin()])
            if abs(a * nearest + b) <= 8.0 * EPS * largest:
                yield a, 0.0 - a * nearest
        yield _inside(sample, primitive, a, b)


def _inside(sample: Sample, primitive: Primitive, a: float, b: float) -> tuple[float, float]:
    """The a and b, moved by their rounding errors where these put the argument outside of the domain."""
    low, high = primitive.domain
    ends = a * torch.stack((sample.x[0], sample.x[-1])) + b
    least, most = float(ends.min()), float(ends.max())
    slack = 8.0 * EPS * max(abs(least), abs(most), abs(b))
    if least < low <= least + slack and most > high >= most - slack:
        return a * (1.0 - slack), b
    if least < low <= least + slack:
        return a, b + 2.0 * (low - least)
    if most > high >= most - slack:
        return a, b - 2.0 * (most - high)
    return a, b


def _project(sample: Sample, primitive: Primitive, a: float, b: float) -> Match | None:
    """The match with these a and b and the best c and d for them."""
    values = primitive.function(a * sample.x + b)
    if not bool(values.isfinite().all()):
        return None
    weights, size = sample.curve.weights, float(values.abs().max()) or 1.0
    shape = values / size
    mean = float(shape @ weights)
    power = float((shape - mean).square() @ weights)
    if power == 0.0:
        return None
    c = float((shape - mean) * weights @ sample.curve.z) / power * sample.spread / size
    d = sample.mean - c * size * mean
    if not (math.isfinite(c) and math.isfinite(d)):
        return None
    return _scored(sample, primitive, (a, b, c, d), sample.rmse(c * values + d))


def _flat(sample: Sample, primitive: Primitive, a: float, b: float) -> Match | None:
    """The match with c = 0."""
    if not bool(primitive.function(a * sample.x + b).isfinite().all()):
        return None
    c, d = 0.0, sample.mean
    return _scored(sample, primitive, (a, b, c, d), sample.rmse(torch.full_like(sample.y, d)))


def _scored(sample: Sample, primitive: Primitive, parameters: tuple[float, float, float, float], rmse: float) -> Match:
    """The match with its measures."""
    a, b, c, d = parameters
    relative = rmse / sample.spread if sample.spread > 0.0 else 0.0
    counted = max(relative, sample.floor())
    redundant = primitive.redundant
    shifted = redundant.shifting is None and abs(b) > 0.5 * counted * abs(a) * sample.extent
    units = primitive.complexity + (redundant.scaling is None) + shifted
    return Match(
        primitive=primitive,
        a=a,
        b=b,
        c=c,
        d=d,
        r2=1.0 - relative**2,
        rmse=rmse,
        bits=math.log2(counted) + 0.5 * units,
    )


def _number(value: float) -> sympy.Expr:
    return sympy.Integer(int(value)) if value in {0.0, 1.0, -1.0} else sympy.Float(value)
