"""One edge's curve, large enough to read values from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgewise.errors import DomainError, ShapeError
from edgewise.plot.figure import BLUE, HAIRLINE, INK, ORANGE, QUIET, new_chart
from edgewise.plot.text import PLAIN, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OUTSIDE = "#f3f4f6"


def draw_curve(
    x: np.ndarray,
    y: np.ndarray,
    *,
    points: np.ndarray | None = None,
    domain: tuple[float, float] | None = None,
    label: str | None = None,
    xlabel: str = "input",
    ylabel: str = "output",
    title: str | None = None,
) -> Figure:
    """Draw the function of one edge, and where its domain begins and ends.

    Args:
        x: Where the function was sampled, shape (K,).
        y: Its values, shape (K,); gaps are left where they are not finite.
        points: What was measured: inputs alone, shape (N,), shown as ticks along the bottom, or inputs and outputs,
            shape (N, 2), shown as dots. Points that are not finite are left out.
        domain: The interval on which the function was learned; beyond it the ground is grey. By default all of ``x``.
        label: What the curve is, such as ``"sin"``; shown in a legend.
        xlabel: Under the horizontal axis; never read as mathtext, like all texts here.
        ylabel: Beside the vertical axis.
        title: Above the axes.

    Returns:
        The figure. Notebooks show it; `Figure.savefig` writes it.

    Raises:
        ShapeError: If ``x`` and ``y`` are not one-dimensional and of equal length, or ``points`` has another shape.
        DomainError: If ``domain`` is empty, reversed or not finite.

    Example:
        >>> x = np.linspace(-2, 2, 200)
        >>> figure = draw_curve(x, np.sin(x), domain=(-1, 1), label="sin", xlabel="angle")
        >>> figure.axes[0].get_xlabel()
        'angle'
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ShapeError(
            f"a curve got x of shape {x.shape} and y of shape {y.shape}; expected two one-dimensional arrays of equal "
            "length: pass one value of y for each value of x"
        )
    figure, ax = new_chart(
        xlabel=one_line(xlabel), ylabel=one_line(ylabel), title=None if title is None else one_line(title)
    )
    order = np.argsort(x, kind="stable")
    x, y = x[order], np.where(np.isfinite(y[order]), y[order], np.nan)
    if points is not None:
        _draw_points(ax, np.asarray(points, dtype=float))
    (curve,) = ax.plot(x, y, color=BLUE, linewidth=1.8, solid_capstyle="round", zorder=3, gid="curve")
    _mark_domain(ax, x[np.isfinite(x)], domain)
    if label is not None:
        legend = ax.legend([curve], [""], loc="best", frameon=False, fontsize=9, labelcolor=INK)
        # Set afterwards, because `legend` reads its labels as mathtext.
        legend.get_texts()[0].set(text=one_line(label), **PLAIN)
    return figure


def _draw_points(ax: Axes, points: np.ndarray) -> None:
    if points.ndim not in {1, 2} or (points.ndim == 2 and points.shape[1] != 2):
        raise ShapeError(
            f"a curve got points of shape {points.shape}; expected (N,) for inputs alone, or (N, 2) for inputs and "
            "outputs side by side"
        )
    finite = points[np.isfinite(points) if points.ndim == 1 else np.isfinite(points).all(axis=1)]
    if points.ndim == 1:
        # Their height is a fraction of the axes, so that they do not widen the vertical range.
        across, height = ax.get_xaxis_transform(), np.full(len(finite), 0.022)
        ax.plot(finite, height, "|", transform=across, color=QUIET, markersize=6, alpha=0.5, zorder=2, gid="points")
    else:
        ax.scatter(finite[:, 0], finite[:, 1], s=9, color=ORANGE, alpha=0.45, linewidths=0, zorder=2, gid="points")


def _mark_domain(ax: Axes, x: np.ndarray, domain: tuple[float, float] | None) -> None:
    if domain is None and x.size == 0:
        return
    low, high = (float(x.min()), float(x.max())) if domain is None else (float(domain[0]), float(domain[1]))
    if domain is not None and not (np.isfinite([low, high]).all() and low < high):
        raise DomainError(f"a curve got the domain ({low}, {high}); expected two finite numbers, the lower one first")
    left, right = ax.get_xlim()
    left, right = min(left, low), max(right, high)
    for start, end in (left, low), (high, right):
        ax.axvspan(start, end, facecolor=OUTSIDE, edgecolor="none", zorder=0, gid="outside")
    for end in (low, high):
        ax.axvline(end, color=HAIRLINE, linewidth=1.0, zorder=1, gid="domain")
    ax.set_xlim(left, right)
