"""Tables of measurements: a CSV file or a frame to a `Dataset`, or one clear line on why it cannot be one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch

from edgewise.data.columns import Column, column_from_cells, read_frame
from edgewise.data.dataset import Dataset
from edgewise.data.delimited import read_cells
from edgewise.errors import DataError, OptionError

MIN_ROWS = 3
"""The fewest rows a table may have: two to train on, so that a target can vary, and one to test on."""


def read_table(
    path: str | PathLike[str],
    *,
    target: str | Sequence[str],
    inputs: str | Sequence[str] | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Read a CSV file and split it at random into training and test rows.

    The first row holds the column names; cells are separated by commas, semicolons or tabs, and may be quoted.
    Columns of words, empty columns and constant columns are left out of the inputs, and `notes` says which.

    Args:
        path: of the file, UTF-8.
        target: the name of the column to predict, or several.
        inputs: the names of the columns to predict from, in this order; by default all others, in the file's order.
            A column of words that is named here is an error.
        test_fraction: of the rows, in [0, 1).
        seed: of the split; the same seed gives the same split.

    Returns:
        The data; numbers are float64, as close to the text as float64 can be.

    Raises:
        DataError: the file or its values cannot be used; the message says where and what to do.
        OptionError: test_fraction is outside [0, 1).

    Example:
        >>> from edgewise import datasets
        >>> data = read_table(datasets.path("orbits"), target="period_days")
        >>> data
        Dataset(47 training rows, 12 test rows: central_mass_kg, semi_major_axis_km -> period_days)
        >>> print(data.notes[0])
        column 'central_body' is left out: it holds words ('Sun', …)
    """
    cells = read_cells(path)
    by_column = zip(*cells.rows, strict=True)
    columns = {name: column_from_cells(column) for name, column in zip(cells.names, by_column, strict=True)}
    table = Table(source=str(path), columns=columns, rows=cells.numbers)
    return table.dataset(target=target, inputs=inputs, test_fraction=test_fraction, seed=seed)


def from_frame(
    frame: Any,
    *,
    target: str | Sequence[str],
    inputs: str | Sequence[str] | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Take a pandas, Polars or PyArrow table and split it at random into training and test rows.

    Args:
        frame: what narwhals takes for a data frame. Booleans are 0 and 1, missing values are empty cells.
        target: the name of the column to predict, or several.
        inputs: the names of the columns to predict from, in this order; by default all others, in the frame's
            order, without columns of words, empty columns and constant columns.
        test_fraction: of the rows, in [0, 1).
        seed: of the split; the same seed gives the same split.

    Returns:
        The data, float64.

    Raises:
        DataError: this is no frame or its values cannot be used; the message says where (rows are counted from 0).
        OptionError: test_fraction is outside [0, 1).

    Example:
        >>> import pandas
        >>> frame = pandas.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 3.0, 5.0, 7.0]})
        >>> from_frame(frame, target="y", test_fraction=0)
        Dataset(4 training rows, 0 test rows: x -> y)
    """
    read = read_frame(frame)
    if read is None or read.is_series:
        raise DataError(f"got a {type(frame).__name__}, expected a pandas, Polars or PyArrow table")
    table = Table(source="frame (rows counted from 0)", columns=read.columns, rows=range(len(read)))
    return table.dataset(target=target, inputs=inputs, test_fraction=test_fraction, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Named columns, not yet known to be numbers.

    Attributes:
        source: what messages call the table.
        columns: d columns of N cells by name, in order.
        rows: what messages call each row, shape (N,).
    """

    source: str
    columns: Mapping[str, Column]
    rows: Sequence[int]

    def dataset(
        self,
        *,
        target: str | Sequence[str],
        inputs: str | Sequence[str] | None = None,
        test_fraction: float = 0.2,
        seed: int = 0,
    ) -> Dataset:
        """Choose columns, check them and split the rows; see `read_table`.

        Args:
            target: one name or several.
            inputs: one name or several; by default all that are not targets.
            test_fraction: of the rows, in [0, 1).
            seed: of the split.

        Returns:
            The data.

        Raises:
            DataError: the columns cannot be used.
            OptionError: test_fraction is outside [0, 1).
        """
        if not 0 <= test_fraction < 1:
            raise OptionError(f"test_fraction is {test_fraction}, expected a number in [0, 1)")
        target_names = self._requested(target, "target")
        input_names = None if inputs is None else self._requested(inputs, "inputs")
        if len(self.rows) < MIN_ROWS:
            raise DataError(f"{self.source}: there are {len(self.rows)} rows, expected at least {MIN_ROWS}")
        targets = {name: self._target(name) for name in target_names}
        features, notes = self._features(input_names, targets)
        train, test = _split(len(self.rows), test_fraction, seed)
        x, y = _stacked(features), _stacked(targets)
        return Dataset(
            x[train],
            y[train],
            x[test],
            y[test],
            input_names=tuple(features),
            target_names=target_names,
            notes=tuple(notes),
        )

    def _requested(self, names: str | Sequence[str], option: str) -> tuple[str, ...]:
        """The names that the user gave, each one of a column and given once."""
        names = (names,) if isinstance(names, str) else tuple(names)
        if not names:
            raise DataError(f"{option} names no column; the columns are {_listed(self.columns)}")
        for name in names:
            if name not in self.columns:
                raise DataError(
                    f"{self.source}: there is no column {name!r} for {option}{_closest(name, self.columns)}; "
                    f"the columns are {_listed(self.columns)}"
                )
            if names.count(name) > 1:
                raise DataError(f"{option} names column {name!r} {names.count(name)} times; name it once")
        return names

    def _numbers(self, name: str) -> np.ndarray:
        """The values of a column that must hold numbers."""
        column = self.columns[name]
        if column.is_empty:
            raise DataError(f"{self.source}: column {name!r} is empty, expected numbers")
        return column.require_numbers(name, source=self.source, rows=self.rows)

    def _target(self, name: str) -> np.ndarray:
        """The values of a target, which must vary."""
        values = self._numbers(name)
        if np.all(values == values[0]):
            raise DataError(
                f"{self.source}: the target {name!r} is {values[0]:g} in every row, so there is nothing to predict; "
                "choose another target"
            )
        return values

    def _features(
        self, names: tuple[str, ...] | None, targets: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], list[str]]:
        """The input columns that can be used, and a note on each that was left out."""
        both = [name for name in names or () if name in targets]
        if both:
            raise DataError(f"column {both[0]!r} is both target and input; remove it from one of them")
        features: dict[str, np.ndarray] = {}
        notes: list[str] = []
        for name in names or [name for name in self.columns if name not in targets]:
            reason = _no_numbers(self.columns[name]) if names is None else ""
            values = None if reason else self._numbers(name)
            if values is not None and np.all(values == values[0]):
                reason = f"it is {values[0]:g} in every row"
            if reason or values is None:
                notes.append(f"column {name!r} is left out: {reason}")
            else:
                self._check_leak(name, values, targets)
                features[name] = values
        if not features:
            left_out = f"; {'; '.join(notes)}" if notes else ""
            raise DataError(f"{self.source}: there is no column of numbers to predict from{left_out}")
        return features, notes

    def _check_leak(self, name: str, values: np.ndarray, targets: Mapping[str, np.ndarray]) -> None:
        """Refuse an input that is the target under another name."""
        for target, answer in targets.items():
            if np.array_equal(values, answer):
                raise DataError(
                    f"{self.source}: the input {name!r} equals the target {target!r} in every row and would leak the "
                    "answer; remove one of them, or choose other inputs"
                )


def _no_numbers(column: Column) -> str:
    """Why a column that nobody asked for by name is left out; "" if it is to be used."""
    if column.is_empty:
        return "it is empty"
    if not column.is_text:
        return ""
    example = next(iter(column.text.values()))
    if not column.numbers:
        return f"it holds words ({example!r}, …)"
    return f"it holds mostly words ({example!r}, …); only {column.numbers} of its cells are numbers"


def _stacked(columns: Mapping[str, np.ndarray]) -> torch.Tensor:
    """Columns side by side, shape (N, number of columns)."""
    return torch.from_numpy(np.stack(list(columns.values()), axis=1))


def _split(count: int, test_fraction: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random training and test rows, each in the table's order; a fraction above 0 gives at least one test row."""
    test_count = min(max(round(count * test_fraction), int(test_fraction > 0)), count - 2)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[test_count:].sort().values, order[:test_count].sort().values


def _closest(name: Any, names: Mapping[str, Any]) -> str:
    """A suggestion for a name that does not exist, whatever its case."""
    folded = {known.casefold(): known for known in names}
    close = difflib.get_close_matches(str(name).casefold(), folded, n=1, cutoff=0.5)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""


def _listed(names: Mapping[str, Any], most: int = 10) -> str:
    """Column names for a message."""
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, list(names)[:most])) + more
