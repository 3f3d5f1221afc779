"""Text tables: a CSV file to rows of cells, each with the row number that the user's editor shows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from os import PathLike
from pathlib import Path

from edgewise.data.columns import column_from_cells, require_unique
from edgewise.errors import DataError

_DELIMITERS = (",", ";", "\t")
_SAMPLE = 50  # records from which the delimiter is guessed


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The rectangle of cells in a text table.

    Attributes:
        names: of the d columns, all different.
        rows: N rows of d cells, as written, without blank rows.
        numbers: for each row its number in the file; the header is usually 1.
    """

    names: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int]


def read_cells(path: str | PathLike[str]) -> Cells:
    """Read a file of cells separated by commas, semicolons or tabs, the column names first.

    Quoted cells, a byte order mark, blank rows, and blank columns at the right are taken as spreadsheets write them.

    Args:
        path: of the file, UTF-8.

    Returns:
        The cells.

    Raises:
        DataError: the file cannot be read, is no text, has no header or no rows, a column is unnamed or named
            twice, or a row has too many or too few cells.
    """
    source = str(path)
    records = _records(_text(path), source)
    if not records:
        raise DataError(f"{source}: the file is empty, expected a row of column names and rows of numbers")
    number, header = records[0]
    names = _header(header, source, number)
    if len(records) == 1:
        raise DataError(f"{source}: there are no rows below the column names, expected one for each measurement")
    return Cells(
        names=names,
        rows=[_fitted(cells, len(names), source, number) for number, cells in records[1:]],
        numbers=[number for number, _ in records[1:]],
    )


def _text(path: str | PathLike[str]) -> str:
    """The text of a file, or one line saying why there is none."""
    file = Path(path)
    if file.is_dir():
        raise DataError(f"{path}: this is a folder, expected a CSV file")
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; check the path") from error
    except OSError as error:
        raise DataError(f"{path}: the file cannot be read: {error.strerror or error}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: row {row} is not UTF-8 text, expected a CSV file; save the table as CSV (UTF-8)"
        ) from error


def _records(text: str, source: str) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, with their numbers in the file."""
    try:
        return list(_split(text, _delimiter(text)))
    except csv.Error as error:
        raise DataError(f"{source}: {error}; close or remove them") from error


def _split(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Row numbers and cells, blank rows left out; a quoted cell may run over several lines."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    start = 1
    try:
        for record in reader:
            cells = [cell.strip() for cell in record]
            if any(cells):
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise csv.Error(f"the quotes in row {start} do not match ({error})") from error


def _delimiter(text: str) -> str:
    """The delimiter under which most of the first rows have as many cells as the header, and then the most cells."""
    # Agreement comes first: a header like "length, m; width, m" has as many commas as semicolons.
    best, best_score = _DELIMITERS[0], (0.0, 1)
    for delimiter in _DELIMITERS:
        try:
            widths = [_width(cells) for _, cells in islice(_split(text, delimiter), _SAMPLE)]
        except csv.Error:  # the quotes are not quotes under this delimiter
            continue
        if widths and widths[0] > 1:
            score = (widths.count(widths[0]) / len(widths), widths[0])
            if score > best_score:
                best, best_score = delimiter, score
    return best


def _width(cells: Sequence[str]) -> int:
    """The number of cells up to the last that is filled."""
    return next((place for place in range(len(cells), 0, -1) if cells[place - 1]), 0)


def _header(cells: Sequence[str], source: str, number: int) -> tuple[str, ...]:
    """The column names, checked."""
    names = tuple(cells[: _width(cells)])
    if "" in names:
        raise DataError(
            f"{source}: column {names.index('') + 1} has no name in row {number}; name it, or remove the column"
        )
    if column_from_cells(names).numbers == len(names):
        raise DataError(
            f"{source}: row {number} has numbers only, expected the names of the columns; add a row of names at the top"
        )
    require_unique(names, source=source)
    return names


def _fitted(cells: list[str], width: int, source: str, number: int) -> list[str]:
    """A row cut to the header's width; what is cut off must be blank."""
    filled = _width(cells)
    if filled > width or len(cells) < width:
        found = filled if filled > width else len(cells)
        raise DataError(
            f"{source}: row {number} has {found} cells, expected {width} as in the header; add or remove cells, "
            "or quote those that contain the delimiter"
        )
    return cells[:width]
