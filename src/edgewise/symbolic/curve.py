"""A curve given as points: checked, sorted, and in standard units."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.errors import DataError, PrecisionError, ShapeError

EPS = torch.finfo(torch.float64).eps
_THIN, _MIDDLING = 256, 2048  # points of the thinned curves
_FLOOR = 2.0**-30  # relative error below which a fit counts as exact


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A curve in standard units.

    Attributes:
        tau: the inputs mapped to [0, 1], once ascending and once descending with x, shape (2, N).
        z: the outputs, weighted mean 0 and weighted variance 1, shape (N,).
        weights: the weights, of sum 1, shape (N,).
    """

    tau: Tensor
    z: Tensor
    weights: Tensor

    def thinned(self, count: int) -> "Curve":
        """Some of the points, again in standard units; the curve itself where it has no more.

        They are spread evenly over the ranks, with a tenth of them more at each end and where the curve is farthest
        from its mean: a pole or a narrow peak shows nowhere else. Each stands for the points between its neighbours.

        Args:
            count: how many points, 10 or more.

        Returns:
            The thinner curve, its points in the same order.
        """
        total, more = len(self.z), count // 10
        if total <= count:
            return self
        even = torch.linspace(0.0, total - 1.0, count - 3 * more, dtype=torch.float64).round().long()
        ends = torch.arange(more)
        peaks = self.z.abs().topk(more).indices
        ranks = torch.cat((even, ends, total - 1 - ends, peaks)).unique()
        places = ranks.double()
        bounds = torch.cat((places[:1] - 0.5, 0.5 * (places[1:] + places[:-1]), places[-1:] + 0.5))
        weights = self.weights[ranks] * bounds.diff()
        weights = weights / weights.sum()
        z = self.z[ranks] - self.z[ranks] @ weights
        size = (z.square() @ weights).sqrt()
        return Curve(tau=self.tau[:, ranks], z=z / torch.where(size > 0.0, size, 1.0), weights=weights)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A curve in its own units and in standard ones.

    Attributes:
        x: inputs, ascending, shape (N,).
        y: outputs, shape (N,).
        low: the least x.
        extent: the range of x, or 1 where all are the same.
        mean: the weighted mean of y.
        spread: the weighted standard deviation of y, 0 where it is no more than rounding.
        curve: the curve in standard units.
        thin: some hundreds of its points.
        middling: some thousands of its points.
        distinct: how many different inputs there are.
    """

    x: Tensor
    y: Tensor
    low: float
    extent: float
    mean: float
    spread: float
    curve: Curve
    thin: Curve
    middling: Curve
    distinct: int

    @staticmethod
    def of(x: Tensor, y: Tensor, weights: Tensor | None) -> "Sample":
        """Check, sort and standardise."""
        x, y, weights = _checked(x, y, weights)
        low, high = float(x[0]), float(x[-1])
        extent = high - low
        distinct = len(x.unique_consecutive())
        if extent <= 4.0 * EPS * max(abs(low), abs(high)):
            extent, distinct = 1.0, 1
        middle = 0.5 * float(y.max()) + 0.5 * float(y.min())
        unit = float((y - middle).abs().max())
        scaled = (y - middle) / unit if unit > 0.0 else torch.zeros_like(y)
        mean = float(scaled @ weights)
        size = math.sqrt(float((scaled - mean).square() @ weights))
        constant = unit <= 4.0 * EPS * float(y.abs().max()) or size == 0.0
        curve = Curve(
            tau=torch.stack(((x - low) / extent, (high - x) / extent)),
            z=(scaled - mean) / (1.0 if constant else size),
            weights=weights,
        )
        return Sample(
            x=x,
            y=y,
            low=low,
            extent=extent,
            mean=middle + unit * mean,
            spread=0.0 if constant else unit * size,
            curve=curve,
            thin=curve.thinned(_THIN),
            middling=curve.thinned(_MIDDLING),
            distinct=distinct,
        )

    @property
    def degenerate(self) -> bool:
        """Whether x or y is constant, so that there is no shape to match."""
        return self.distinct == 1 or self.spread == 0.0

    def rmse(self, fitted: Tensor) -> float:
        """The weighted root mean square error of fitted outputs, safe from under- and overflow."""
        error = (self.y - fitted).abs()
        unit = float(error.max())
        return unit * math.sqrt(float((error / unit).square() @ self.curve.weights)) if unit > 0.0 else 0.0

    def floor(self) -> float:
        """The relative error below which a fit counts as exact."""
        if self.spread == 0.0:
            return _FLOOR
        of_y = float(self.y.abs().max()) / self.spread
        of_x = float(self.x.abs().max()) / self.extent
        return max(_FLOOR, 8.0 * EPS * of_y, 8.0 * EPS * of_x)


def _checked(x: Tensor, y: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The points that count, in ascending order of x, with weights of sum 1."""
    given = {"x": x, "y": y} if weights is None else {"x": x, "y": y, "weights": weights}
    for name, values in given.items():
        if values.ndim != 1 or len(values) != len(x) or len(values) == 0:
            shapes = ", ".join(f"{key} {tuple(value.shape)}" for key, value in given.items())
            raise ShapeError(f"got the shapes {shapes}; expected vectors of one length, 1 or more")
        if values.dtype != torch.float64:
            raise PrecisionError(f"got {name} of {values.dtype}; expected float64 ({name}.double() converts it)")
        if not bool(values.isfinite().all()):
            raise DataError(f"got NaN or infinite values in {name}; leave those points out")
    x, y = x.detach().cpu(), y.detach().cpu()
    if weights is None:
        weights = torch.ones_like(x)
    else:
        weights = weights.detach().cpu()
        if bool((weights < 0.0).any()) or not bool((weights > 0.0).any()):
            raise DataError("got weights that are negative or all 0; expected none below 0 and at least one above")
        kept = weights > 0.0
        x, y, weights = x[kept], y[kept], weights[kept] / weights.max()
    order = x.argsort(stable=True)
    return x[order], y[order], weights[order] / weights.sum()
