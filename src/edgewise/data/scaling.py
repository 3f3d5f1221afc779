"""Which columns are better taken by their logarithm: positive columns that span decades."""

from __future__ import annotations

import torch
from torch import Tensor

from edgewise.errors import ShapeError

DECADES_RATIO = 100.0
"""A column spans decades if its largest value is at least this many times its smallest: two decades."""


def spans_decades(column: Tensor) -> bool:
    """Whether a column is better taken by its logarithm.

    It is if all values are finite and positive, the largest is at least `DECADES_RATIO` times the smallest, and the
    logarithms fill their range more evenly than the raw values fill theirs. Evenness is what a grid over the range
    needs, and is measured as the Kolmogorov–Smirnov distance from the uniform distribution over the range: the
    largest gap between the fraction of values up to a point and the fraction of the range up to it. It needs no
    moments, so one far value weighs no more than any other, and ties are no problem. A uniform column of (0, 1) spans
    decades by its smallest values alone, and stays raw.

    Args:
        column: shape (N,), any real values.

    Returns:
        True if the logarithm should be taken.

    Raises:
        ShapeError: the column is not of shape (N,).

    Example:
        >>> spans_decades(torch.logspace(0, 4, 50)), spans_decades(torch.linspace(0.001, 1, 50))
        (True, False)
    """
    if column.ndim != 1:
        raise ShapeError(f"the column has shape {tuple(column.shape)}, expected (N,)")
    values = column.detach().to(torch.float64)
    if not len(values) or not torch.isfinite(values).all() or values.min() <= 0:
        return False
    if values.max() / values.min() < DECADES_RATIO:
        return False
    return _unevenness(values.log()) < _unevenness(values)


def column_transforms(X: Tensor) -> tuple[str, ...]:
    """The transform under which each column is better taken.

    Args:
        X: shape (N, d), any real values.

    Returns:
        For each of the d columns "log", where `spans_decades`, or "x".

    Raises:
        ShapeError: X is not of shape (N, d).

    Example:
        >>> column_transforms(torch.tensor([[1.0, 1.0], [10.0, 2.0], [1000.0, 3.0]]))
        ('log', 'x')
    """
    if X.ndim != 2:
        raise ShapeError(f"X has shape {tuple(X.shape)}, expected (N, d)")
    return tuple("log" if spans_decades(column) else "x" for column in X.T)


def _unevenness(values: Tensor) -> float:
    """Kolmogorov–Smirnov distance of N values, not all equal, from the uniform distribution over their range."""
    ordered = values.sort().values
    place = (ordered - ordered[0]) / (ordered[-1] - ordered[0])
    count = len(ordered)
    steps = torch.arange(count + 1, dtype=torch.float64, device=values.device) / count
    return float(torch.maximum((steps[1:] - place).abs().max(), (steps[:-1] - place).abs().max()))
