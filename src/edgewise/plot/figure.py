"""The figures that every plot of Edgewise is drawn on: their class, their colours and their axes.

A figure here is never registered with `matplotlib.pyplot`: nothing global changes, nothing has to be closed, and no
display is needed. Colours are set on the artists and not through `rcParams`, so a plot looks the same whatever style
the user has chosen.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAPER = "#ffffff"
INK = "#1f2328"
QUIET = "#6e7781"
HAIRLINE = "#d0d7de"
# Three hues of the Okabe-Ito palette (the orange a little darker, so that small text in it can be read): they stay
# apart for every common kind of colour blindness, and differ in lightness where they are printed in grey.
BLUE = "#0072b2"
ORANGE = "#c44e00"
GREEN = "#009e73"

_CHART_SIZE = (5.0, 3.3)  # inches
_NOTEBOOK_DENSITY = 2  # pixels drawn per pixel shown, for sharp lines on today's screens


class NotebookFigure(Figure):
    """A matplotlib figure that a notebook shows by itself, although `pyplot` does not know of it.

    IPython learns how to show a plain `Figure` only once `pyplot` has set up its inline backend; a figure made without
    `pyplot` would appear as text. Everything else is matplotlib's: `savefig("net.svg")`, `axes`, `set_size_inches`, …
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, int]] | None:
        """Return the figure as PNG, with the size in pixels at which IPython shows it (nothing for an empty figure)."""
        if not self.axes:
            return None
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=_NOTEBOOK_DENSITY * self.dpi, facecolor=PAPER)
        width, height = self.get_size_inches() * self.dpi
        return buffer.getvalue(), {"width": round(width), "height": round(height)}


def new_figure(width: float, height: float) -> NotebookFigure:
    """Return an empty white figure with a canvas of its own.

    Args:
        width: In inches, positive.
        height: In inches, positive.

    Returns:
        The figure, without axes.

    Example:
        >>> new_figure(4.0, 3.0).get_size_inches().tolist()
        [4.0, 3.0]
    """
    figure = NotebookFigure(figsize=(width, height), facecolor=PAPER, edgecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def new_chart(*, xlabel: str, ylabel: str, title: str | None = None) -> tuple[NotebookFigure, Axes]:
    """Return a new figure with one pair of axes, laid out so that its labels have the room they need.

    Args:
        xlabel: Under the horizontal axis; never read as mathtext or TeX.
        ylabel: Beside the vertical axis; likewise.
        title: Above the axes, left-aligned; likewise.

    Returns:
        The figure and its axes.

    Example:
        >>> figure, axes = new_chart(xlabel="step", ylabel="cost in $")
        >>> axes.get_ylabel()
        'cost in $'
    """
    figure = new_figure(*_CHART_SIZE)
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    axes = figure.add_subplot()
    style_axes(axes, xlabel=xlabel, ylabel=ylabel, title=title)
    return figure, axes


def style_axes(axes: Axes, *, xlabel: str, ylabel: str, title: str | None = None) -> None:
    """Give axes the look that all charts of the library share: two thin spines, quiet ticks, plain-text labels.

    Args:
        axes: Changed in place.
        xlabel: Under the horizontal axis; never read as mathtext or TeX.
        ylabel: Beside the vertical axis; likewise.
        title: Above the axes, left-aligned; likewise.
    """
    axes.set_facecolor(PAPER)
    axes.grid(visible=False)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set(color=QUIET, linewidth=0.8)
    axes.tick_params(which="both", direction="out", color=QUIET, labelcolor=INK, labelsize=8.5, width=0.8)
    axes.set_xlabel(xlabel, fontsize=9.5, color=INK, parse_math=False, usetex=False)
    axes.set_ylabel(ylabel, fontsize=9.5, color=INK, parse_math=False, usetex=False)
    if title is not None:
        axes.set_title(title, fontsize=10.5, color=INK, loc="left", parse_math=False, usetex=False)


def use_log_scale(axes: Axes, values: np.ndarray) -> None:
    """Make the vertical axis logarithmic, with limits a little beyond the values.

    The limits stay between 1e-150 and 1e150, since matplotlib overflows when it looks for ticks near the largest float,
    which the losses of a training that diverges may reach.

    Args:
        axes: Changed in place.
        values: All positive and finite, shape (N,), N at least 1.
    """
    axes.set_yscale("log")
    most, least = float(np.log10(values.max())), float(np.log10(values.min()))
    # More than a decade in all, so that small differences do not look large.
    margin = max(0.1 + 0.07 * (most - least), 0.6 - (most - least) / 2)
    low, high = np.clip([least - margin, most + margin], [-150.0, -148.0], [148.0, 150.0])
    axes.set_ylim(10.0**low, 10.0**high)


def write_note(axes: Axes, note: str) -> None:
    """Write in the middle of empty axes why they are empty, and take away their ticks.

    Args:
        axes: Changed in place.
        note: A few words.
    """
    axes.text(0.5, 0.5, note, transform=axes.transAxes, ha="center", va="center", color=QUIET, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])


def blend(color: str, opacity: float) -> tuple[float, float, float]:
    """Return what a colour looks like on white paper at some opacity.

    Args:
        color: As ``#rrggbb``.
        opacity: From 0 (white) to 1 (the colour itself).

    Returns:
        Red, green and blue, each from 0 to 1: a solid colour, because PostScript files know no transparency, and many
        faint lines over one another should stay faint.

    Example:
        >>> blend("#000000", 0.25)
        (0.75, 0.75, 0.75)
    """
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (1 - opacity * (1 - channel) for channel in channels)
    return red, green, blue
