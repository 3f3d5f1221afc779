"""Columns of cells, numbers or not: what CSV files and frames have in common.

A cell is a number, a text or empty. A `Column` keeps all three apart, so that the decision whether a text is a slip
in a column of measurements or a name in a column of names is made once, when the whole column is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw
import numpy as np
from narwhals.exceptions import DuplicateError

from edgewise.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table.

    Attributes:
        values: float64, shape (N,); NaN where the cell is a text or empty.
        text: the cells that are no numbers, by position.
        empty: the positions of the empty cells.
        is_integer: whether the cells came as integers or booleans of a frame, as class labels do.
    """

    values: np.ndarray
    text: Mapping[int, str] = field(default_factory=dict)
    empty: Sequence[int] = ()
    is_integer: bool = False

    @property
    def numbers(self) -> int:
        """How many cells are numbers; NaN and infinity count."""
        return len(self.values) - len(self.text) - len(self.empty)

    @property
    def is_text(self) -> bool:
        """Whether the column is one of words: fewer than half of its filled cells are numbers."""
        return 2 * self.numbers < len(self.values) - len(self.empty)

    @property
    def is_empty(self) -> bool:
        """Whether no cell is filled."""
        return len(self.empty) == len(self.values)

    def require_numbers(self, name: str, *, source: str, rows: Sequence[int]) -> np.ndarray:
        """Hand out the values if every cell is a finite number.

        Args:
            name: of the column, for the message.
            source: of the table, for the message.
            rows: the number of each row, for the message, shape (N,).

        Returns:
            The values, shape (N,).

        Raises:
            DataError: a cell is empty, a text, NaN or infinite; the message names the first of its kind.
        """
        kinds = (
            (list(self.text), "text", "correct the cell or remove the row"),
            (list(self.empty), "empty cell", "fill the cell, or remove the row or the column"),
            (np.flatnonzero(~np.isfinite(self.values)).tolist(), "non-finite value", "fill the cell or remove the row"),
        )
        for positions, kind, remedy in kinds:
            if positions:
                first, others = positions[0], len(positions) - 1
                found = repr(_clip(self.text[first])) if kind == "text" else _describe(kind, self.values[first])
                more = f" ({others} more like it in this column)" if others else ""
                remedy = _DECIMAL_COMMA if kind == "text" and _has_comma(self.text[first]) else remedy
                raise DataError(
                    f"{source}: row {rows[first]}, column {name!r}: found {found}, expected a finite number; "
                    f"{remedy}{more}"
                )
        return self.values


_DECIMAL_COMMA = "write a decimal point, and no thousands separators"


def _describe(kind: str, value: float) -> str:
    """What stands in a cell that is not text."""
    return "an empty cell" if kind == "empty cell" else f"{value}"


def _has_comma(text: str) -> bool:
    """Whether a text would be a number but for its commas."""
    return "," in text and _number(text.replace(",", "")) is not None


def _clip(text: str, width: int = 40) -> str:
    """A text that fits into a message."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _number(text: str) -> float | None:
    """The number a text spells, or None. Python's underscores (1_000) are no notation of data."""
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def column_from_cells(cells: Sequence[Any]) -> Column:
    """Sort the cells of a column into numbers, texts and empty ones.

    Args:
        cells: N strings, as in a file, or any Python values, as in a frame: what `float` takes is a number; None
            and blank strings are empty.

    Returns:
        The column.

    Example:
        >>> column = column_from_cells(["1.5e3", "", "seven"])
        >>> column.values.tolist(), column.text, column.empty
        ([1500.0, nan, nan], {2: 'seven'}, [1])
    """
    values = np.full(len(cells), np.nan)
    text: dict[int, str] = {}
    empty: list[int] = []
    for position, cell in enumerate(cells):
        if isinstance(cell, str):
            cell = cell.strip()
            number = _number(cell) if cell else None
        else:
            number = _as_float(cell)
        if number is not None:
            values[position] = number
        elif cell is None or cell == "":
            empty.append(position)
        else:
            text[position] = str(cell)
    return Column(values=values, text=text, empty=empty)


def _as_float(cell: Any) -> float | None:
    """A cell of a frame as a number, or None."""
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The columns of a data frame, or the one column of a series.

    Attributes:
        columns: by name, in order; the column of a nameless series is named "".
        is_series: whether it was a series.
    """

    columns: Mapping[str, Column]
    is_series: bool

    def __len__(self) -> int:
        return next((len(column.values) for column in self.columns.values()), 0)


def read_frame(value: Any) -> Frame | None:
    """Read a pandas, Polars, PyArrow or other narwhals-compatible frame or series.

    Args:
        value: anything.

    Returns:
        The columns, or None if `value` is neither a frame nor a series.

    Raises:
        DataError: two columns have the same name.
    """
    try:
        native = nw.from_native(value, pass_through=True, allow_series=True)
    except DuplicateError as error:
        detail = " ".join(str(error).split())
        raise DataError(f"frame: two columns have the same name; rename or remove one of them ({detail})") from error
    if isinstance(native, nw.LazyFrame):
        native = native.collect()
    if isinstance(native, nw.Series):
        name = "" if native.name is None else str(native.name)
        return Frame(columns={name: _column_from_series(native)}, is_series=True)
    if not isinstance(native, nw.DataFrame):
        return None
    names = [str(name) for name in native.columns]
    require_unique(names, source="frame")
    columns = {name: _column_from_series(series) for name, series in zip(names, native.iter_columns(), strict=True)}
    return Frame(columns=columns, is_series=False)


def _column_from_series(series: nw.Series[Any]) -> Column:
    """Numeric and boolean series at once, others cell by cell."""
    missing = series.is_null().to_numpy()
    if not (series.dtype.is_numeric() or series.dtype == nw.Boolean):
        return column_from_cells([None if gone else cell for gone, cell in zip(missing, series.to_list(), strict=True)])
    empty = np.flatnonzero(missing).tolist()
    values = np.array(series.cast(nw.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64)
    is_integer = series.dtype.is_integer() or series.dtype == nw.Boolean
    return Column(values=values, empty=empty, is_integer=is_integer)


def require_unique(names: Sequence[str], *, source: str) -> None:
    """Refuse a table in which two columns have the same name.

    Args:
        names: of the columns, in order.
        source: of the table, for the message.

    Raises:
        DataError: a name occurs twice; the message names it and both places.
    """
    first: dict[str, int] = {}
    for place, name in enumerate(names, start=1):
        if name in first:
            raise DataError(
                f"{source}: columns {first[name]} and {place} are both named {name!r}; rename or remove one of them"
            )
        first[name] = place
