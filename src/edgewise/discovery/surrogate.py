"""How well smooth functions of some inputs explain a target: a quick fit, judged by held-out rows."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from edgewise.data import column_transforms
from edgewise.discovery.analytic import Budget, best_fit, on_unit_interval, quick_fit, rows_on_unit_interval
from edgewise.discovery.problem import MEDIAN_OF_NORMAL, NOISY, Problem, box_of
from edgewise.training.multilevel import Rows

_PAD = 1e-9
_TRIES = 60  # in the search of the best degrees
_SAFETY, _SAFETY_OF_NOISE = 10.0, 3.0  # of a fit's error near the edge: of what it misses, of what it follows of noise
_WHITE = 0.97  # share of its spread that a smooth fit leaves of noise
_LUCK = 25.0  # over the number of rows: what it may explain of noise by chance
_SIGMAS = 3.5
_POLE = 0.3  # median of the errors over their root mean square: that of errors with long tails is larger
_BINS, _ROWS_TO_BIN = 20, 200  # of fewer rows a few that belong together would decide
_BIN_SIGMAS = 4.5  # of a sum of squares, whose distribution has a long tail
_ROWS_PER_SHAPE = 10
_ROWS_TO_JUDGE = 150
_MIDWAY = 0.5  # squares of relative errors fall as y^(-2) where the errors are absolute, as y^0 where they are relative


def smooth_error(x: Tensor, y: Tensor, seed: int = 0) -> float:
    """Held-out error of a fit by products of polynomials, relative to the spread there.

    Args:
        x: inputs, shape (N, I).
        y: target, shape (N,).
        seed: fixes the hold-out.

    Returns:
        Near 0 where y is a smooth function of the inputs, near 1 or above where it is not a function of them.
    """
    error, around = smooth_residual(x, y, torch.ones_like(y), seed)
    return error / around if around else 0.0


def smooth_residual(x: Tensor, y: Tensor, scale: Tensor, seed: int = 0) -> tuple[float, float]:
    """Held-out error of a fit by products of polynomials, and what the mean would leave, in units of the errors.

    Args:
        x: inputs, shape (N, I).
        y: target, shape (N,).
        scale: error of each value up to a common factor, positive, shape (N,).
        seed: fixes the hold-out.

    Returns:
        Two root mean squares.
    """
    rows, unit = _standard_rows(x, y, scale, seed)
    judged = replace(rows, y_held=rows.y_held / unit, outward=lambda standard: standard / unit)
    around = float(((rows.y_held - rows.y.mean()) / unit).square().mean().sqrt())
    return quick_fit(judged).error, around


def noise_level(x: Tensor, y: Tensor, scale: Tensor, seed: int = 0) -> float:
    """What smooth functions leave of y on held-out rows, relative to its spread: its noise, or a bound of it.

    Where the median of the errors is far below their root mean square, or that of the fit of 1/y is, it counts: few
    rows near a pole would pass for noise.

    Args:
        x: inputs, shape (N, I).
        y: target, shape (N,).
        scale: error of each value up to a common factor, positive, shape (N,).
        seed: fixes the hold-out.

    Returns:
        A share of the spread of y, both in units of the errors.
    """
    error, around = smooth_residual(x, y, scale, seed)
    if not around:
        return 0.0
    typical = []
    for values, slope in ((y, torch.ones_like(y)), (1 / y, y**-2)):
        if bool(values.isfinite().all()) and float(values.std(correction=0)) > 0:
            rows, unit = _standard_rows(x, values, slope * scale, seed)
            off = (quick_fit(rows).trained(rows.x, rows.y)(rows.x_held) - rows.y_held) / unit
            typical.append(float(off.abs().median()) / MEDIAN_OF_NORMAL)
    least = min(typical, default=error)
    return (least if least < _POLE * error else error) / around


def errors_are_relative(x: Tensor, y: Tensor, seed: int = 0) -> bool:
    """Whether a smooth fit of log y is about as far off where y is small as where it is large.

    Args:
        x: inputs, shape (N, I).
        y: positive target, shape (N,).
        seed: fixes the hold-out.

    Returns:
        False where the errors of small values are much larger in proportion: then they are rather absolute. Few rows
        cannot tell, and values that span decades speak for relative errors.
    """
    if len(y) < _ROWS_TO_JUDGE:
        return True
    columns = [
        column.log() if transform == "log" else column
        for column, transform in zip(x.T, column_transforms(x), strict=True)
    ]
    log = y.log()
    rows = _unit_rows(torch.stack(columns, dim=1), ((log - log.mean()) / log.std(correction=0)).unsqueeze(1), seed)
    predicted = quick_fit(rows).trained(rows.x, rows.y)(rows.x_held)[:, 0]
    off = (predicted - rows.y_held[:, 0]).square()
    large = predicted > predicted.median()
    step = log.std(correction=0) * (predicted[large].median() - predicted[~large].median())
    return not float(off[large].median() / off[~large].median()) < math.exp(-_MIDWAY * float(step))


def _standard_rows(x: Tensor, y: Tensor, scale: Tensor, seed: int) -> tuple[Rows, Tensor]:
    """Rows of the standard target, and the errors of those held out in its units, shape (H, 1)."""
    center, spread = y.mean(), y.std(correction=0)
    rows = _unit_rows(x, torch.stack([(y - center) / spread, scale / spread], dim=1), seed)
    return replace(rows, y=rows.y[:, :1], y_held=rows.y_held[:, :1]), rows.y_held[:, 1:]


def _unit_rows(x: Tensor, y: Tensor, seed: int) -> Rows:
    """Rows with some held out, their inputs on [−1, 1]."""
    low, high = x.amin(dim=0), x.amax(dim=0)
    pad = _PAD * torch.maximum(high - low, high.abs().clamp_min(1e-300))
    return rows_on_unit_interval(Rows.split(x, y, seed), torch.stack([low - pad, high + pad], dim=1))


def looks_like_noise(x: Tensor, values: Tensor, along: Tensor, seed: int = 0) -> bool:
    """Whether values show no dependence on inputs: neither along one, nor along a curve, nor of a smooth fit.

    Along each order neighbours are compared, which sees what is rough, and means of many neighbours, which sees what
    is smooth and small. Smaller still may be what a formula of almost the right form leaves: a smooth function of one
    input, or that times the formula (the score test of Rao 1948 for such terms).

    Args:
        x: inputs, shape (N, I).
        values: shape (N,).
        along: another order in which neighbours are compared, shape (N,).
        seed: fixes the hold-out.

    Returns:
        True where they might as well be independent of the inputs.
    """
    # Ranks: a few large values would hide what the others show.
    ranks = _ranks(values)
    standard = (ranks - ranks.mean()) / ranks.std(correction=0)
    bound = _SIGMAS / math.sqrt(len(values))
    for column in (*x.T, along):
        ordered = standard[column.argsort(stable=True)]
        if float((ordered[1:] * ordered[:-1]).mean()) > bound:
            return False
        if len(values) >= _ROWS_TO_BIN and _excess_between_bins(ordered) > _BIN_SIGMAS:
            return False
    if _excess_of_shapes(x, standard, along) > _SIGMAS:
        return False
    return smooth_error(x, ranks, seed) > min(_WHITE, 1 - _LUCK / len(values))


def _excess_between_bins(ordered: Tensor) -> float:
    """How far means of neighbours differ more than those of independent values, in standard deviations."""
    between = sum(float(part.sum().square()) / len(part) for part in ordered.tensor_split(_BINS))
    return (between - (_BINS - 1)) / math.sqrt(2 * (_BINS - 1))


def off_at_edge(error: float, noise: float, share: float) -> float:
    """How far a linear fit may be from the target without its noise, near the edge, where it is least exact.

    Args:
        error: what it leaves of the target, relative to the spread.
        noise: of the target, or a guess of it.
        share: of noise that the fit follows: its degrees of freedom per row.

    Returns:
        Relative to the spread. Without noise what is left is what the fit misses everywhere, and more at the edge.
    """
    off = _SAFETY * error
    if noise <= NOISY:
        return off
    missed = math.sqrt(max(error**2 - noise**2, 0.0))
    return min(off, _SAFETY_OF_NOISE * math.hypot(error * math.sqrt(share), missed))


def _excess_of_shapes(x: Tensor, standard: Tensor, along: Tensor) -> float:
    """How much more cubics in one order, and products of those of inputs with `along`, explain than of noise.

    Returns:
        Standard deviations; 0 for so few rows that nothing could be said.
    """
    factor = _even(along).unsqueeze(1)
    shapes = [torch.ones_like(factor), _cubics(factor)]
    for column in x.T:
        cubics = _cubics(_even(column).unsqueeze(1))
        shapes += [cubics, cubics * factor]
    design = torch.cat(shapes, dim=1)
    count = design.shape[1] - 1
    if len(x) < _ROWS_PER_SHAPE * count:
        return 0.0
    solution = torch.linalg.lstsq(design, standard.unsqueeze(1), driver="gelsd").solution
    return (float((design @ solution).square().sum()) - count) / math.sqrt(2 * count)


def _cubics(u: Tensor) -> Tensor:
    """The Legendre polynomials of degrees 1 to 3, shape (N, 3)."""
    return torch.cat([u, 1.5 * u**2 - 0.5, 2.5 * u**3 - 1.5 * u], dim=1)


def _even(column: Tensor) -> Tensor:
    """Ranks on [−1, 1]."""
    return 2 * _ranks(column) / max(len(column) - 1, 1) - 1


def _ranks(values: Tensor) -> Tensor:
    return values.argsort(stable=True).argsort().to(values.dtype)


class Surrogate:
    """A smooth function through a table, which can be asked anywhere within the box of the inputs.

    Args:
        problem: rows and noise.
        domain: of the inputs, shape (I, 2); the box of the rows if not given.

    Attributes:
        spread: of the target.
        error: on held-out rows, relative to it.
        off: how far from the target without its noise the fit may be near the edge, where it is least exact.
    """

    def __init__(self, problem: Problem, domain: Tensor | None = None) -> None:
        x, y = problem.x, problem.y
        self._domain = box_of(x) if domain is None else domain
        self._center, self._spread = y.mean(), y.std(correction=0)
        self.spread = float(self._spread)
        standard = ((y - self._center) / self._spread).unsqueeze(1)
        rows = Rows.split(self._unit(x), standard, problem.seed)
        fit = best_fit(rows, Budget(problem.deadline, _TRIES))
        self.error = fit.error
        self._standard = fit.trained(self._unit(x), standard)
        self.off = off_at_edge(self.error, problem.noise, self._standard.freedom / len(y))

    def __call__(self, x: Tensor) -> Tensor:
        """Values at rows of shape (N, I), shape (N,)."""
        return self._standard(self._unit(x)).squeeze(1) * self._spread + self._center

    def gradient(self, x: Tensor) -> Tensor:
        """Derivatives by the inputs at rows of shape (N, I), shape (N, I)."""
        at = x.detach().clone().requires_grad_()
        with torch.enable_grad():
            return torch.autograd.grad(self(at).sum(), at)[0]

    def _unit(self, x: Tensor) -> Tensor:
        return on_unit_interval(x, self._domain).clamp(-1, 1)
