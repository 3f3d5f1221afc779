"""`Dataset`: training and test data with named columns, checked once; `as_dataset` makes one of what users have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgewise.data.columns import Frame, read_frame, require_unique
from edgewise.errors import DataError, OptionError, ShapeError

_KEYS = ("train_input", "train_target", "test_input", "test_target")
_PYKAN_KEYS = {"train_label": "train_target", "test_label": "test_target"}


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Mapping[str, Tensor]):
    """Training and test data: four tensors, as attributes and as keys, with the names of their columns.

    Values are checked and converted on construction, so whoever holds a Dataset need not check again: inputs are
    (rows, d), real targets (rows, m), class labels (rows,) int64, all numbers are finite. There is at least one
    training row; the test part may have none. m is 0 where there are no targets (losses that need none).

    Attributes:
        train_input: shape (N, d), any real values.
        train_target: shape (N, m), any real values, or int64 labels, shape (N,). A real (N,) is taken as (N, 1).
        test_input: shape (N', d), N' ≥ 0.
        test_target: shape (N', m) or (N',), as in training.
        input_names: d different names; by default x0, x1, …
        target_names: m different names, one for labels; by default y, or y0, y1, … if there are several.
        notes: what was done to the data on the way here and should be known, one sentence each.
        dtype: the floating type of inputs and real targets.

    Raises:
        DataError: a value is NaN or infinite (the message names row and column), there is no row, a name is
            used twice, or values are not real numbers.
        ShapeError: shapes or numbers of names do not agree.
        OptionError: dtype is no real floating type.

    Example:
        >>> x = torch.linspace(0, 1, 6).reshape(3, 2)
        >>> data = Dataset(x, x.sum(1), x[:1], x[:1].sum(1), input_names=("width", "height"))
        >>> data
        Dataset(3 training rows, 1 test row: width, height -> y)
        >>> data["train_target"].shape, data.train_target.dtype
        (torch.Size([3, 1]), torch.float64)
    """

    train_input: Tensor
    train_target: Tensor
    test_input: Tensor
    test_target: Tensor
    input_names: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    dtype: torch.dtype = torch.float64

    def __post_init__(self) -> None:
        """Convert and check every field."""
        if not self.dtype.is_floating_point:
            raise OptionError(f"dtype is {self.dtype}, expected a floating type such as torch.float64")
        for part in ("train", "test"):
            x = _inputs(self[f"{part}_input"], f"{part}_input", self.dtype)
            y = _targets(self[f"{part}_target"], f"{part}_target", self.dtype)
            if len(x) != len(y):
                raise ShapeError(f"{part}_input has {len(x)} rows and {part}_target {len(y)}; they must have as many")
            self._set(f"{part}_input", x)
            self._set(f"{part}_target", y)
        self._check_parts()
        width = self.train_input.shape[1]
        outputs = 1 if self.is_labelled else self.train_target.shape[1]
        single = ("y",) if outputs == 1 else ()
        self._set("input_names", _names(self.input_names, "input_names", width, default=_numbered("x", width)))
        self._set(
            "target_names",
            _names(self.target_names, "target_names", outputs, default=single or _numbered("y", outputs)),
        )
        self._set("notes", tuple(str(note) for note in self.notes))
        for key, columns in zip(_KEYS, (self.input_names, self.target_names) * 2, strict=True):
            _require_finite(self[key], key, columns)

    def _set(self, name: str, value: Any) -> None:
        """Fill a field of a frozen dataclass while it is being built."""
        object.__setattr__(self, name, value)

    def _check_parts(self) -> None:
        """Training and test data are of the same kind, and there is something to train on."""
        x, y, test_x, test_y = self.values()
        if not len(x):
            raise DataError("train_input has no rows; expected at least one")
        if not x.shape[1]:
            raise ShapeError("train_input has no columns; expected at least one")
        if x.shape[1] != test_x.shape[1]:
            raise ShapeError(f"train_input has {x.shape[1]} columns and test_input {test_x.shape[1]}")
        if y.shape[1:] != test_y.shape[1:]:
            raise ShapeError(
                f"train_target is {_shape(y)} and test_target {_shape(test_y)}; expected as many columns, "
                "and class labels (integers of shape (rows,)) in both or in neither"
            )

    @property
    def is_labelled(self) -> bool:
        """Whether the targets are class labels."""
        return self.train_target.ndim == 1

    def __getitem__(self, key: str) -> Tensor:
        if key not in _KEYS:
            raise KeyError(f"{key!r}; a Dataset has {', '.join(_KEYS)}")
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(_KEYS)

    def __len__(self) -> int:
        return len(_KEYS)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dataset):
            return NotImplemented
        mine, theirs = (
            (data.input_names, data.target_names, data.notes, data.dtype, [value.shape for value in data.values()])
            for data in (self, other)
        )
        return mine == theirs and all(torch.equal(self[key], other[key]) for key in _KEYS)

    __hash__ = None  # pyright: ignore[reportAssignmentType] - tensors can change, so no hash would hold

    def __repr__(self) -> str:
        test = len(self.test_input)
        return (
            f"Dataset({len(self.train_input)} training row{'s' * (len(self.train_input) != 1)}, "
            f"{test} test row{'s' * (test != 1)}: {_listed(self.input_names)} -> {_listed(self.target_names)})"
        )


def as_dataset(data: Any, *, dtype: torch.dtype = torch.float64, labels: bool = True) -> Dataset:
    """Turn what users have into a Dataset.

    Args:
        data: one of

            - a Dataset;
            - a tuple (X, y) of tensors, arrays, nested lists, or frames and series (pandas, Polars, PyArrow);
            - a mapping with the keys train_input, train_target, test_input, test_target (or pykan's train_label,
              test_label), of which the test part may be left out;
            - X alone, where the loss needs no targets.

            X is (N, d); y is (N,) or (N, m). Frames give their column names.
        dtype: the floating type that the model wants.
        labels: whether integer or boolean y of shape (N,) are class labels, kept as int64; if not, they are
            numbers like others, and become (N, 1).

    Returns:
        The checked data; `data` itself where nothing was to be done.

    Raises:
        DataError: the values are not finite numbers, or `data` is of another kind.
        ShapeError: the shapes do not agree.

    Example:
        >>> as_dataset(([[0.0, 1.0], [2.0, 3.0]], [4.0, 5.0]))
        Dataset(2 training rows, 0 test rows: x0, x1 -> y)
        >>> as_dataset({"train_input": [[0.0]], "train_label": [[1.0]]}).train_target
        tensor([[1.]], dtype=torch.float64)
    """
    if isinstance(data, Dataset):
        dataset = data
    elif isinstance(data, Mapping):
        dataset = _from_mapping(data, dtype)
    elif isinstance(data, tuple):
        if len(data) != 2:
            raise DataError(f"got a tuple of {len(data)}, expected (X, y)")
        dataset = _from_parts({"train_input": data[0], "train_target": data[1]}, dtype)
    else:
        dataset = _from_parts({"train_input": data}, dtype)
    if dataset.is_labelled and not labels:
        dataset = replace(
            dataset, train_target=dataset.train_target.to(dtype), test_target=dataset.test_target.to(dtype)
        )
    return dataset if dataset.dtype == dtype else replace(dataset, dtype=dtype)


def _from_mapping(data: Mapping[Any, Any], dtype: torch.dtype) -> Dataset:
    """A Dataset from a dict such as pykan's; foreign keys would be data that silently goes unused, so refuse them."""
    parts = {_PYKAN_KEYS.get(str(key), str(key)): value for key, value in data.items()}
    unknown = [key for key in parts if key not in _KEYS]
    if unknown or "train_input" not in parts or len(parts) < len(data):
        raise DataError(
            f"got a mapping with the keys {', '.join(map(str, data)) or '(none)'}; expected train_input, "
            "train_target and, if there are test data, test_input, test_target"
        )
    return _from_parts(parts, dtype)


def _from_parts(parts: Mapping[str, Any], dtype: torch.dtype) -> Dataset:
    """A Dataset from one to four things that can become tensors."""
    if ("test_input" in parts) != ("test_target" in parts) and "train_target" in parts:
        raise DataError("got one of test_input and test_target; expected both or neither")
    read = {key: _read(value, key) for key, value in parts.items()}
    x, input_names = read["train_input"]
    y, target_names = read.get("train_target", (x.new_empty((len(x), 0)), ()))
    test_x, test_input_names = read.get("test_input", (x[:0], ()))
    test_y, test_target_names = read.get("test_target", (y.new_empty((len(test_x), *y.shape[1:])), ()))
    _require_same_columns("input", input_names, test_input_names)
    _require_same_columns("target", target_names, test_target_names)
    return Dataset(x, y, test_x, test_y, input_names=input_names, target_names=target_names, dtype=dtype)


def inputs_by_name(data: Any, names: Sequence[str]) -> Tensor:
    """Inputs in the order of their names: the columns of a frame whatever their order, anything else as it is.

    Args:
        data: N rows: a tensor, an array or nested list of d columns, or a frame with more of them or not.
        names: of the inputs, d different ones.

    Returns:
        Float64, shape (N, d).

    Raises:
        DataError: a frame lacks a column, or a value is NaN or infinite.
        ShapeError: there are not as many columns as names.

    Example:
        >>> import pandas
        >>> inputs_by_name(pandas.DataFrame({"b": [1.0], "a": [2.0]}), ["a", "b"])
        tensor([[2., 1.]], dtype=torch.float64)
    """
    frame = read_frame(data)
    if frame is not None and not frame.is_series:
        missing = [name for name in names if name not in frame.columns]
        if missing:
            raise DataError(
                f"the frame has no column {missing[0]!r}: expected {_listed(names)}, "
                f"got {_listed(tuple(frame.columns))}; rename its columns, or give an array to go by position"
            )
        x = _read_columns(replace(frame, columns={name: frame.columns[name] for name in names}), "inputs")
    else:
        x, _ = _read(data, "inputs")
    if x.ndim == 2 and x.shape[1] != len(names):
        raise ShapeError(f"there are {x.shape[1]} columns, expected {len(names)}: {_listed(names)}")
    nothing = x.new_empty((len(x), 0))
    return Dataset(x, nothing, x[:0], nothing[:0], input_names=tuple(names)).train_input


def _require_same_columns(kind: str, train: tuple[str, ...], test: tuple[str, ...]) -> None:
    """Frames bring names along: the test part's must be the training part's, in the same order."""
    if train and test and train != test:
        raise DataError(
            f"train_{kind} has the columns {_listed(train)} and test_{kind} {_listed(test)}; "
            "expected the same names in the same order"
        )


def _read(value: Any, key: str) -> tuple[Tensor, tuple[str, ...]]:
    """Anything with numbers in it as a tensor of at least one dimension, and the names it brings along."""
    names: tuple[str, ...] = ()
    if isinstance(value, Tensor):
        tensor = value
    elif (frame := read_frame(value)) is not None:
        tensor, names = _read_columns(frame, key), tuple(frame.columns)
    else:
        tensor = _read_array(value, key)
    if tensor.ndim == 0:
        raise ShapeError(f"{key} is a single value; expected rows")
    return tensor, names if all(names) else ()


def _read_columns(frame: Frame, key: str) -> Tensor:
    """The numbers of a frame, (N, d), or of a series, (N,), where whole numbers stay integers, as in an array."""
    if not frame.columns:
        raise ShapeError(f"{key} has no columns; expected at least one")
    source, rows = f"{key} (rows counted from 0)", range(len(frame))
    arrays = [column.require_numbers(name, source=source, rows=rows) for name, column in frame.columns.items()]
    if not frame.is_series:
        return torch.from_numpy(np.stack(arrays, axis=1))
    is_integer = next(iter(frame.columns.values())).is_integer
    return torch.from_numpy(arrays[0].astype(np.int64) if is_integer else arrays[0])


def _read_array(value: Any, key: str) -> Tensor:
    """An array or nested list of real numbers as a tensor of its own."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{key} has rows of different lengths; expected a rectangle of numbers") from error
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{key} is a {type(value).__name__} of {array.dtype} values; expected real numbers, in a tensor, array, "
            "nested list or frame"
        )
    kind = np.float64 if array.dtype.kind == "f" else np.int64
    return torch.from_numpy(array.astype(kind, copy=True))


def _inputs(value: Tensor, key: str, dtype: torch.dtype) -> Tensor:
    """Inputs in their final type and shape (rows, d)."""
    _require_real_tensor(value, key)
    if value.ndim != 2:
        hint = "; for a single input use X[:, None]" if value.ndim == 1 else ""
        raise ShapeError(f"{key} is {_shape(value)}, expected (rows, inputs){hint}")
    return value.detach().to(dtype)


def _targets(value: Tensor, key: str, dtype: torch.dtype) -> Tensor:
    """Targets in their final type and shape: (rows, m), or (rows,) for labels."""
    _require_real_tensor(value, key)
    if value.ndim not in {1, 2}:
        raise ShapeError(f"{key} is {_shape(value)}, expected (rows, targets) or (rows,)")
    if value.ndim == 2:
        return value.detach().to(dtype)
    return value.detach().to(dtype)[:, None] if value.is_floating_point() else value.detach().to(torch.int64)


def _require_real_tensor(value: Any, key: str) -> None:
    """Refuse what is no tensor of real numbers."""
    if not isinstance(value, Tensor):
        raise DataError(f"{key} is a {type(value).__name__}, expected a tensor; as_dataset converts other things")
    if value.is_complex():
        raise DataError(f"{key} holds {value.dtype} values; expected real numbers")


def _require_finite(value: Tensor, key: str, names: Sequence[str]) -> None:
    """Refuse NaN and infinity, naming the first."""
    bad = ~torch.isfinite(value)
    if bad.any():
        row, column = bad.nonzero()[0].tolist()
        others = int(bad.sum()) - 1
        more = f" ({others} more such values)" if others else ""
        raise DataError(
            f"{key}: row {row} (counted from 0), column {names[column]!r} is {value[row, column].item()} "
            f"in {value.dtype}, expected a finite number; correct or remove the row{more}"
        )


def _names(given: Sequence[str], field: str, count: int, *, default: tuple[str, ...]) -> tuple[str, ...]:
    """Column names as a tuple of `count` different strings."""
    if isinstance(given, str):
        raise DataError(f"{field} is the string {given!r}; expected a sequence of names such as ({given!r},)")
    names = tuple(str(name) for name in given) or default
    if len(names) != count:
        raise ShapeError(f"{field} has {len(names)} names for {count} columns")
    require_unique(names, source=field)
    return names


def _numbered(letter: str, count: int) -> tuple[str, ...]:
    return tuple(f"{letter}{index}" for index in range(count))


def _shape(value: Tensor) -> str:
    return f"{value.dtype} of shape {tuple(value.shape)}"


def _listed(names: Sequence[str], most: int = 6) -> str:
    """Names for a one-line message, the middle left out if there are many."""
    if len(names) > most:
        names = (*names[: most - 2], f"… {len(names) - most + 1} more …", names[-1])
    return ", ".join(names) or "(none)"
