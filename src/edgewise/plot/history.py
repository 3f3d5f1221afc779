"""How a training went: the losses over the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from edgewise.errors import ShapeError
from edgewise.plot.figure import BLUE, GREEN, INK, ORANGE, PAPER, new_chart, use_log_scale, write_note

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 30  # rows up to which each one is marked


class _Curve(NamedTuple):
    column: str
    label: str
    color: str
    dashes: str | tuple[int, tuple[float, ...]]


# Told apart by their dashes as well as by their colours, for readers and printers that see no colours.
CURVES = (
    _Curve("train_loss", "training", BLUE, "-"),
    _Curve("validation_loss", "validation", ORANGE, (0, (4, 1.5))),
    _Curve("penalty", "penalty", GREEN, (0, (1, 1.5))),
)


def draw_history(table: Mapping[str, Sequence[float | None]]) -> Figure:
    """Draw the losses of a training over its steps, on a logarithmic scale where they allow one.

    Args:
        table: Columns of equal length. Of these, ``step``, ``train_loss``, ``validation_loss`` and ``penalty`` are
            drawn, as far as they are there; others are ignored. None and NaN are gaps, over which the line goes on; a
            penalty that is zero throughout is left out. Without ``step``, rows are counted from 0.

    Returns:
        The figure. Zeros, which have no place on a logarithmic scale, are marked on its lower edge. Where there are
        negative losses, or none that are positive, the scale is linear.

    Raises:
        ShapeError: If the columns to be drawn are not equally long.

    Example:
        >>> figure = draw_history(
        ...     {"step": [0, 1, 2], "train_loss": [1.0, 0.1, 0.01], "validation_loss": [1, None, 0.2]}
        ... )
        >>> figure.axes[0].get_yscale()
        'log'
    """
    steps, curves = _read(table)
    figure, ax = new_chart(xlabel="step", ylabel="loss")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if not curves:
        write_note(ax, "no losses recorded")
        return figure
    losses = np.concatenate(list(curves.values()))
    losses = losses[np.isfinite(losses)]
    if losses.min() >= 0 and losses.max() > 0:
        use_log_scale(ax, losses[losses > 0])
    for curve in CURVES:
        if curve.column in curves:
            _draw_losses(ax, steps, curves[curve.column], curve)
    if ax.get_yscale() == "log" and losses.min() == 0:
        _mark_zeros(ax, steps, curves)
    if len(ax.get_lines()) > 1:
        ax.legend(frameon=False, fontsize=9, labelcolor=INK, handlelength=2.6)
    return figure


def _read(table: Mapping[str, Sequence[float | None]]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the steps, and those columns that hold anything to draw.

    Raises:
        ShapeError: If the columns are not equally long.
    """
    columns = {
        name: np.array([np.nan if value is None else float(value) for value in table[name]], dtype=float)
        for name in ("step", *(curve.column for curve in CURVES))
        if name in table
    }
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"a history got columns of the lengths {lengths}; expected equal lengths: fill gaps with None")
    steps = columns.pop("step", np.arange(max(lengths.values(), default=0), dtype=float))
    if "penalty" in columns and not np.nan_to_num(columns["penalty"]).any():
        del columns["penalty"]
    return steps, {name: column for name, column in columns.items() if np.isfinite(column).any()}


def _draw_losses(ax: Axes, steps: np.ndarray, losses: np.ndarray, curve: _Curve) -> None:
    there = np.isfinite(steps) & np.isfinite(losses)
    if ax.get_yscale() == "log":
        there &= losses > 0
    (line,) = ax.plot(
        steps[there], losses[there], color=curve.color, linestyle=curve.dashes, linewidth=1.5, label=curve.label
    )
    if there.sum() <= FEW:
        line.set(marker="o", markersize=3.2, markeredgewidth=0.0)


def _mark_zeros(ax: Axes, steps: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    """Mark the zeros on the lower edge of the axes, since no height above it would be true."""
    label = "exactly 0"
    for curve in CURVES:
        zeros = steps[(curves[curve.column] == 0) & np.isfinite(steps)] if curve.column in curves else steps[:0]
        if zeros.size:
            (marks,) = ax.plot(zeros, np.zeros(zeros.size), "v", transform=ax.get_xaxis_transform(), label=label)
            marks.set(color=curve.color, markerfacecolor=PAPER, markersize=6, clip_on=False, zorder=4)
            label = "_also 0"  # matplotlib leaves names with an underscore out of the legend
