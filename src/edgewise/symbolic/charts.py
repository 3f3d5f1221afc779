"""How the argument u = a·x + b of a primitive may run over its domain, in coordinates that are free to take any value.

A curve's inputs are first mapped to τ in [0, 1]. On a branch of a primitive (an interval without singular points) the
argument is u = p ± s·τ, where p is its value at τ = 0 and s > 0 its span. What p and s may be depends on the branch:

    the whole line      p = θ₀,                s = θ₁
    a half-line         p = edge ± exp(θ₀),    s = exp(θ₁)
    a bounded interval  p = edge ± exp(θ₀),    s = width − exp(θ₀) − exp(θ₁)

so that u stays in the domain for all inputs, whatever θ (only that s must be positive). The logarithm of the gap
between the argument and a singular point is also the scale on which the curve's shape changes, which is what makes the
fit well conditioned. On the whole line the valleys of the error are straight in p and s themselves: along them p/s,
which places the centre, stays the same. Where the primitive makes a parameter redundant, s = 1 or p = 0 instead.
"""

import math
from dataclasses import astuple, dataclass, replace

import torch
from torch import Tensor

from edgewise.primitives import Primitive


@dataclass(frozen=True, kw_only=True)
class Chart:
    """The coordinates of one branch, seen from one end of the inputs.

    p = base + linear·θ₀ + gap·exp(θ₀) and s = span + slope·θ₁ + grow·exp(θ₁) − shrink·(exp(θ₀) + exp(θ₁)).

    Attributes:
        base: the constant part of p.
        linear: 1 where p itself is a coordinate, else 0.
        gap: ±1 where the distance from an edge is a coordinate, else 0.
        span: the constant part of s.
        slope: 1 where s itself is a coordinate, else 0.
        grow: 1 where the logarithm of s is a coordinate, else 0.
        shrink: 1 on a bounded interval, else 0.
        sign: 1 where the argument ascends with τ, else −1.
        reverse: 0 where τ ascends with x, 1 where it descends.
    """

    base: float = 0.0
    linear: float = 0.0
    gap: float = 0.0
    span: float = 0.0
    slope: float = 0.0
    grow: float = 0.0
    shrink: float = 0.0
    sign: float = 1.0
    reverse: int = 0


@dataclass(frozen=True, kw_only=True)
class Starts:
    """Points in coordinates, each with its chart.

    Attributes:
        theta: the coordinates, shape (S, 2).
        table: the charts' numbers, in the order of the fields of `Chart`, shape (S, 8).
        reverse: the charts' direction of τ, 0 or 1, shape (S,).
        owner: the place of the primitive in the list of those that are fitted, shape (S,).
    """

    theta: Tensor
    table: Tensor
    reverse: Tensor
    owner: Tensor

    def __getitem__(self, rows: Tensor) -> "Starts":
        """Those of the given rows."""
        return Starts(
            theta=self.theta[rows], table=self.table[rows], reverse=self.reverse[rows], owner=self.owner[rows]
        )

    def moved(self, theta: Tensor) -> "Starts":
        """The same charts at other points, shape (S, 2)."""
        return replace(self, theta=theta)

    def owned(self, owner: int) -> "Starts":
        """The same points of a primitive at another place in the list."""
        return replace(self, owner=torch.full_like(self.owner, owner))

    def flattened(self) -> "Starts":
        """The same starts in one row, where they were in groups: G·P = S."""
        return Starts(
            theta=self.theta.flatten(0, 1),
            table=self.table.flatten(0, 1),
            reverse=self.reverse.flatten(),
            owner=self.owner.flatten(),
        )

    def line(self) -> tuple[Tensor, Tensor]:
        """The p and the signed s of u = p + s·τ, each of shape (S,); NaN where s is not positive."""
        base, _, gap, span, _, grow, shrink, sign = self.table.unbind(1)
        (first, second), (near, far) = self._parts()
        p = base + first + gap * near
        s = span + second + grow * far - shrink * (near + far)
        return p, torch.where(s > 0.0, sign * s, math.nan)

    def jacobian(self) -> Tensor:
        """The derivatives of p and the signed s by θ₀ and θ₁, shape (S, 2, 2)."""
        _, linear, gap, _, slope, grow, shrink, sign = self.table.unbind(1)
        _, (near, far) = self._parts()
        by_first = (linear + gap * near, -sign * shrink * near)
        by_second = (torch.zeros_like(near), sign * (slope + (grow - shrink) * far))
        return torch.stack((by_first[0], by_second[0], by_first[1], by_second[1]), dim=1).view(-1, 2, 2)

    def _parts(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Both θ where they are coordinates as they are, and their exponentials where they are logarithms; else 0."""
        _, linear, gap, _, slope, grow, shrink, _ = self.table.unbind(1)
        plain = torch.stack((linear, slope), dim=1) != 0.0
        logarithm = torch.stack((gap, grow + shrink), dim=1) != 0.0
        as_they_are = torch.where(plain, self.theta, 0.0).unbind(1)
        return as_they_are, torch.where(logarithm, self.theta, -math.inf).exp().unbind(1)


def joined(parts: list[Starts]) -> Starts:
    """All starts of several sets.

    Args:
        parts: the sets, at least one.

    Returns:
        One set, in the same order.
    """
    return Starts(
        theta=torch.cat([part.theta for part in parts]),
        table=torch.cat([part.table for part in parts]),
        reverse=torch.cat([part.reverse for part in parts]),
        owner=torch.cat([part.owner for part in parts]),
    )


def charts(primitive: Primitive) -> list[Chart]:
    """The charts that together reach every curve c·f(a·x + b) + d which is finite on the inputs.

    Args:
        primitive: f.

    Returns:
        One chart per branch and direction, without those that are reflections of another.
    """
    found = []
    reflects = primitive.redundant.reflection is not None
    for low, high in primitive.branches:
        if reflects and high <= 0.0 and (-high, -low) in primitive.branches:
            continue  # a positive branch seen from the other end
        for reverse in (0,) if reflects and low == -high else (0, 1):
            found.append(_chart(primitive, low, high, reverse))
    return found


def _chart(primitive: Primitive, low: float, high: float, reverse: int) -> Chart:
    redundant = primitive.redundant
    if math.isfinite(low) and math.isfinite(high):
        return Chart(base=low, gap=1.0, span=high - low, shrink=1.0, reverse=reverse)
    scaled = redundant.scaling is not None and (0.0 in {low, high} or low == -high)
    size = {"span": 1.0} if scaled else {"grow": 1.0}
    if math.isfinite(low):
        return Chart(base=low, gap=1.0, reverse=reverse, **size)
    if math.isfinite(high):
        return Chart(base=high, gap=-1.0, sign=-1.0, reverse=reverse, **size)
    place = 0.0 if redundant.shifting is not None else 1.0
    return Chart(linear=place, span=1.0, reverse=reverse) if scaled else Chart(linear=place, slope=1.0, reverse=reverse)


def starts(primitive: Primitive, owner: int, tau: Tensor, distinct: int) -> list[Starts]:
    """Where to begin the search for the best a and b.

    Args:
        primitive: f.
        owner: the place of f in the list of the primitives that are fitted.
        tau: the curve's inputs in ascending order, mapped to [0, 1], shape (N,).
        distinct: how many different inputs the whole curve has, which limits the frequencies that it can show.

    Returns:
        One set per chart. Its coordinates have the shape (G, P, 2), where the G groups are in the order of the
        coordinate that shapes the curve most (its scale or the place of its singular point) and each has P members.
    """
    found = []
    for chart in charts(primitive):
        theta = _grid(primitive, chart, tau if chart.reverse == 0 else (1.0 - tau).flip(0), distinct)
        numbers = astuple(chart)[:-1]
        found.append(
            Starts(
                theta=theta,
                table=torch.tensor(numbers, dtype=theta.dtype).expand(*theta.shape[:2], -1),
                reverse=torch.full(theta.shape[:2], chart.reverse),
                owner=torch.full(theta.shape[:2], owner),
            )
        )
    return found


def _grid(primitive: Primitive, chart: Chart, tau: Tensor, distinct: int) -> Tensor:
    """The coordinates, shape (G, P, 2), of the starts on one chart."""
    if chart.shrink:
        return _bounded_grid(chart.span)
    if chart.gap:
        gaps = _log_spaced(-9.0, 5.0, 43)
        return _product(gaps.log(), torch.zeros(1) if chart.span else _log_spaced(-1.0, 2.4, 14).log())
    if chart.span:
        return _product(_places(primitive, tau) if chart.linear else torch.zeros(1), torch.zeros(1))
    if not chart.linear:
        spans = _log_spaced(-2.0, 2.5, 46)
        return torch.stack((torch.zeros_like(spans), spans), dim=-1)[:, None]
    if primitive.redundant.turn is not None:
        return _periodic_grid(primitive.redundant.turn.length, primitive.redundant.turn.factor, distinct)
    return _centred_grid(tau)


def _log_spaced(low: float, high: float, count: int) -> Tensor:
    return torch.logspace(low, high, count, dtype=torch.float64)


def _product(first: Tensor, second: Tensor) -> Tensor:
    """All pairs, the first along the groups: shape (G, P, 2)."""
    pairs = torch.cartesian_prod(first.to(torch.float64), second.to(torch.float64))
    return pairs.view(len(first), len(second), 2)


def _places(primitive: Primitive, tau: Tensor) -> Tensor:
    """Values of p, ascending, that put the origin of a scale-free function inside and outside of the inputs."""
    if primitive.kinks:
        return torch.cat([kink - knots(tau) for kink in primitive.kinks]).unique()
    far = _log_spaced(-2.0, 5.0, 29)
    return torch.cat((-1.0 - far.flip(0), -torch.linspace(1.0, 0.0, 33, dtype=torch.float64), far))


def knots(tau: Tensor) -> Tensor:
    """The places where a kink makes a difference: on each input and between each two.

    Args:
        tau: the inputs in ascending order, shape (N,).

    Returns:
        The places, ascending, of shape (2·M − 1,) for M different inputs.
    """
    tau = tau.unique_consecutive()
    return torch.cat((tau, 0.5 * (tau[1:] + tau[:-1]))).sort().values


def _bounded_grid(width: float) -> Tensor:
    """Spans from a hundredth of the interval to nearly all of it, at places from one of its ends to the other."""
    small = _log_spaced(-2.0, -0.4, 7)
    spans = torch.cat((small, 1.0 - _log_spaced(-0.4, -7.0, 14)))
    small = _log_spaced(-5.0, -0.7, 7)
    places = torch.cat((small, torch.tensor([0.35, 0.5, 0.65], dtype=torch.float64), 1.0 - small.flip(0)))
    gaps = width * (1.0 - spans)[:, None]
    return torch.stack(((gaps * places).log(), (gaps * (1.0 - places)).log()), dim=-1)


def _periodic_grid(length: float, factor: float, distinct: int) -> Tensor:
    """Frequencies in equal steps, from a fraction of a period to what the inputs can show, and some phases of each."""
    # A third of a period more over the whole curve is a step that no frequency falls through: the correlation of two
    # sinusoids half a step apart is still 0.95.
    period, count = (length, 12) if factor > 0.0 else (2.0 * length, 6)
    limit = min(0.5 * period * (distinct - 1), 80.0 * period)
    steps = torch.arange(0.4 * period, max(limit, 0.5 * period), period / 3.0, dtype=torch.float64)
    spans = torch.cat((period * _log_spaced(-2.0, -0.6, 7), steps))[:, None]
    phases = length / count * torch.arange(count, dtype=torch.float64)
    return torch.stack((phases - 0.5 * spans, spans.expand(-1, count)), dim=-1)


def _centred_grid(tau: Tensor) -> Tensor:
    """Spans from nearly straight to a step, with the centre at inputs, between them and somewhat outside."""
    spans = _log_spaced(-1.0, 2.4, 16)[:, None]
    ranks = torch.linspace(0.0, len(tau) - 1.0, 20).round().long()
    inside = torch.cat((tau[ranks], torch.linspace(0.0, 1.0, 20, dtype=torch.float64))).sort().values
    outside = torch.tensor([0.5, 1.0, 2.0, 4.0, 7.0], dtype=torch.float64)
    places = torch.cat((-outside.flip(0) / spans, inside.expand(len(spans), -1), 1.0 + outside / spans), dim=1)
    return torch.stack((-spans * places, spans.expand_as(places)), dim=-1)
