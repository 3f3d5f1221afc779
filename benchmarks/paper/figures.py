"""Pictures of the tables: errors over parameters and over time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from cases import Case
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from power_law import exponent, frontier
from report_text import median_of
from rows import Rows

CONTENDERS = ("edgewise", "mlp", "pykan")
_AXES = (("parameters", 0), ("seconds", 1))
_LEAST = 1e-16  # a fit that is exact has to be drawn somewhere


def all_cases(tables: Mapping[str, tuple[Sequence[Case], Rows]]) -> Figure:
    """A point for each case and contender, a row of pictures for each table."""
    drawing = Figure(figsize=(9, 3.2 * len(tables)), layout="constrained")
    for line, (name, (cases, rows)) in zip(
        drawing.subplots(len(tables), 2, squeeze=False), tables.items(), strict=True
    ):
        for axes, (figure, _) in zip(line, _AXES, strict=True):
            for number, contender in enumerate(CONTENDERS):
                points = _points(cases, rows, contender, figure)
                if points:
                    sizes, errors = zip(*points, strict=True)
                    axes.loglog(sizes, errors, "o^s"[number], color=f"C{number}", alpha=0.7, label=contender)
            axes.set(xlabel=figure, ylabel="test RMSE", title=name)
            _legend(axes)
    return drawing


def on_the_way(cases: Sequence[Case], rows: Rows) -> Figure:
    """For each toy function how the error falls as parameters and seconds grow, with the exponents."""
    drawing = Figure(figsize=(9, 2.8 * len(cases)), layout="constrained")
    for line, case in zip(drawing.subplots(len(cases), 2, squeeze=False), cases, strict=True):
        for axes, (figure, column) in zip(line, _AXES, strict=True):
            for number, contender in enumerate(CONTENDERS):
                curve = [point for row in rows.of(case.name, contender)[:1] for point in row.get("curve") or []]
                points = frontier([(point[column], max(point[2], _LEAST)) for point in curve if point[column] > 0])
                if points:
                    sizes, errors = zip(*points, strict=True)
                    slope = exponent(sizes, errors)
                    label = contender if slope is None else f"{contender}: exponent {slope:.1f}"
                    axes.loglog(sizes, errors, ".-", color=f"C{number}", label=label)
            axes.set(xlabel=figure, ylabel="RMSE", title=case.name)
            _legend(axes)
    return drawing


def _points(cases: Iterable[Case], rows: Rows, contender: str, figure: str) -> list[tuple[float, float]]:
    medians = [[median_of(rows.of(case.name, contender), wanted) for wanted in (figure, "test_rmse")] for case in cases]
    return [
        (size, max(error, _LEAST)) for size, error in medians if size and error is not None and math.isfinite(error)
    ]


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
