"""Tables of the report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

from rows import Row


def table(header: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table; None is left empty."""
    body = [list(header), ["---"] * len(header), *([("" if cell is None else cell) for cell in line] for line in lines)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in body)


def error(value: float | None) -> str | None:
    """An error with two digits; a failed fit has none."""
    return None if value is None else "failed" if math.isinf(value) else f"{value:.1e}"


def errors(rows: Iterable[Row], name: str = "test_rmse") -> list[float]:
    """The errors of rows; infinity where a fit failed."""
    return [math.inf if row.get(name) is None else row[name] for row in rows]


def median(values: Sequence[float]) -> float | None:
    """The median, or None of nothing."""
    return statistics.median(values) if values else None


def median_of(rows: Iterable[Row], name: str) -> float | None:
    """The median of a figure over the rows that have it."""
    return median([row[name] for row in rows if row.get(name) is not None])


def figure_of(rows: Iterable[Row], name: str, form: str) -> str | None:
    """The median of a figure in a given format, or None where no row has it."""
    value = median_of(rows, name)
    return None if value is None else format(value, form)


def verdict(met: bool | None) -> str | None:
    """Whether a bound was met; None where nothing was measured."""
    return None if met is None else "yes" if met else "NO"


def count(number: int, of: int, what: str) -> str:
    """A line that sums up."""
    return f"{number} of {of} {what}."
