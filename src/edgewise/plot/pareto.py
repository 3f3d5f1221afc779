"""The formulas that were found: how much each explains for how much it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from edgewise.errors import OptionError, ShapeError
from edgewise.plot.figure import (
    BLUE,
    HAIRLINE,
    INK,
    ORANGE,
    PAPER,
    blend,
    new_figure,
    style_axes,
    use_log_scale,
    write_note,
)
from edgewise.plot.layout import spread
from edgewise.plot.text import PLAIN, one_line, shorten, text_height, text_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHART = (3.6, 2.7)  # inches, of the axes
LEFT, BOTTOM, TOP = 0.85, 0.55, 0.2  # inches around them
LEADER = 0.45  # from the axes to the formulas
FORMULA_SIZE = 9.0
FORMULA_WIDTH = (0.8, 3.4)  # inches, of the column of formulas


def draw_pareto(complexity: Sequence[float], loss: Sequence[float], labels: Sequence[str], pick: int | None) -> Figure:
    """Draw a front of formulas: the loss of each over its complexity, with the formulas in a column beside.

    Args:
        complexity: Of each formula, shape (N,).
        loss: Of each formula, not negative, shape (N,); drawn on a logarithmic scale. Zeros are put at its bottom.
        labels: The formulas as plain text, never read as mathtext; long ones are shortened.
        pick: The index of the recommended formula, which is drawn in orange; None if none is.

    Returns:
        The figure. Formulas whose complexity or loss is not finite are left out.

    Raises:
        ShapeError: If the three sequences are not equally long.
        OptionError: If there is no formula with the index ``pick``, or a loss is negative.

    Example:
        >>> figure = draw_pareto([1, 4, 7], [0.5, 0.02, 0.019], ["x", "sin(x)", "sin(x) + 0.1*y"], pick=1)
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['sin(x) + 0.1*y', 'sin(x)', 'x']
    """
    x, y = np.asarray(complexity, dtype=float), np.asarray(loss, dtype=float)
    _check(x, y, labels, pick)
    kept = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    # From the bottom of the chart to its top, and among equal losses the simplest on top.
    order = kept[np.lexsort((-x[kept], y[kept]))]
    formulas = [shorten(one_line(labels[int(index)]), FORMULA_SIZE, FORMULA_WIDTH[1]) for index in order]
    column = max([FORMULA_WIDTH[0], *(text_width(formula, FORMULA_SIZE) for formula in formulas)])
    high = max(CHART[1], len(formulas) * text_height(FORMULA_SIZE))
    width, height = LEFT + CHART[0] + LEADER + column + 0.15, BOTTOM + high + TOP
    figure = new_figure(width, height)
    ax = figure.add_axes((LEFT / width, BOTTOM / height, CHART[0] / width, high / height))
    style_axes(ax, xlabel="complexity", ylabel="loss")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if not formulas:
        write_note(ax, "no formulas found")
        return figure
    places = np.column_stack([x[order], _scale_losses(ax, y[order])])
    picked = order == pick
    _draw_front(ax, places, picked)
    _draw_formulas(ax, places, formulas, picked, high)
    return figure


def _check(x: np.ndarray, y: np.ndarray, labels: Sequence[str], pick: int | None) -> None:
    if x.ndim != 1 or x.shape != y.shape or len(labels) != len(x):
        raise ShapeError(
            f"a front got complexities of shape {x.shape}, losses of shape {y.shape} and {len(labels)} labels; "
            "expected one of each for every formula"
        )
    if pick is not None and not 0 <= pick < len(x):
        raise OptionError(f"a front got pick={pick} among {len(x)} formulas; expected an index from 0, or None")
    if (y < 0).any():
        raise OptionError(f"a front got the loss {y.min()}; expected none below 0, since the scale is logarithmic")


def _scale_losses(ax: Axes, losses: np.ndarray) -> np.ndarray:
    """Return the heights at which the losses are drawn, on an axis whose scale and range are chosen for them."""
    positive = losses[losses > 0]
    if positive.size == 0:
        ax.set_ylim(0.0, 1.0)
        return losses
    use_log_scale(ax, positive)
    return np.clip(losses, *ax.get_ylim())


def _draw_front(ax: Axes, places: np.ndarray, picked: np.ndarray) -> None:
    path = places[np.lexsort((places[:, 1], places[:, 0]))]
    ax.step(path[:, 0], path[:, 1], where="post", color=blend(BLUE, 0.45), linewidth=1.2, zorder=2, gid="front")
    # Not clipped, because zeros lie on the edge of the axes.
    dots = ax.scatter(*places[~picked].T, s=30, color=BLUE, zorder=3, clip_on=False, gid="formulas")
    pick = ax.scatter(*places[picked].T, s=64, color=ORANGE, zorder=4, clip_on=False, gid="pick", marker="D")
    for marks in (dots, pick):
        marks.set(edgecolors=PAPER, linewidths=0.8)
    low, high = places[:, 0].min(), places[:, 0].max()
    margin = 0.08 * (high - low) or 1.0
    ax.set_xlim(low - margin, high + margin)


def _draw_formulas(ax: Axes, places: np.ndarray, formulas: Sequence[str], picked: np.ndarray, high: float) -> None:
    """Write the formulas beside the axes, each at the height of its point or as near as its neighbours allow."""
    points = ax.transAxes.inverted().transform(ax.transData.transform(places))
    line = text_height(FORMULA_SIZE)
    heights = spread(high * points[:, 1], [line] * (len(formulas) - 1), line / 2, high - line / 2) / high
    for point, formula, is_pick, height in zip(points, formulas, picked, heights, strict=True):
        # A leader runs level from the point to the edge of the chart, then aslant to where its formula has found room.
        across = (point[0], 1.0 + 0.08 / CHART[0], 1.0 + (LEADER - 0.08) / CHART[0])
        color = blend(ORANGE, 0.6) if is_pick else HAIRLINE
        leader = Line2D(across, (point[1], point[1], height), color=color, linewidth=0.7, zorder=1, gid="leader")
        leader.set(transform=ax.transAxes, clip_on=False)
        ax.add_line(leader)
        words = ax.text(1.0 + LEADER / CHART[0], height, formula, transform=ax.transAxes, **PLAIN)
        words.set(fontsize=FORMULA_SIZE, color=ORANGE if is_pick else INK, va="center_baseline")
