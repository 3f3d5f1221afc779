"""Data sampled from a known function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgewise.data.dataset import Dataset
from edgewise.errors import DataError, DomainError, OptionError, ShapeError


def create_dataset(
    f: Callable[[Tensor], Any],
    n_var: int = 2,
    ranges: Sequence[Any] | np.ndarray | Tensor = (-1, 1),
    train_num: int = 1000,
    test_num: int = 1000,
    seed: int = 0,
    f_mode: str = "col",
) -> Dataset:
    """Sample a function at uniform random points.

    Args:
        f: takes inputs of shape (N, n_var), float64, and returns (N,) or (N, m).
        n_var: number of inputs, at least 1.
        ranges: one pair (low, high) for all inputs, or one pair for each, shape (n_var, 2); low < high.
        train_num: training rows, at least 1.
        test_num: test rows, 0 or more; drawn after the training rows, so that those do not depend on it.
        seed: of the generator; the same seed gives the same data. Global generators are left alone.
        f_mode: "col" if f takes one input per column, or "row" if it takes the transpose, shape (n_var, N).

    Returns:
        The sampled data, float64.

    Raises:
        OptionError: a count is too small or f_mode unknown.
        ShapeError: ranges, or what f returns, has another shape.
        DomainError: a range is empty, reversed or not finite.
        DataError: f returns a NaN, an infinity or something other than real numbers.

    Example:
        >>> data = create_dataset(lambda x: torch.exp(x[:, 0]) + x[:, 1] ** 2, ranges=[(0, 1), (-2, 2)], train_num=50)
        >>> data
        Dataset(50 training rows, 1000 test rows: x0, x1 -> y)
    """
    for name, count, least in (("n_var", n_var, 1), ("train_num", train_num, 1), ("test_num", test_num, 0)):
        if count < least:
            raise OptionError(f"{name} is {count}, expected at least {least}")
    if f_mode not in {"col", "row"}:
        raise OptionError(f'f_mode is {f_mode!r}, expected "col" (f takes (N, n_var)) or "row" (f takes (n_var, N))')
    low, high = _bounds(ranges, n_var)
    generator = torch.Generator().manual_seed(seed)
    train, test = (
        low + (high - low) * torch.rand((count, n_var), generator=generator, dtype=torch.float64)
        for count in (train_num, test_num)
    )
    train_target = _evaluate(f, train, f_mode)
    test_target = _evaluate(f, test, f_mode) if test_num else train_target[:0]
    return Dataset(train, train_target, test, test_target)


def _bounds(ranges: Any, n_var: int) -> tuple[Tensor, Tensor]:
    """Lower and upper ends of the inputs' ranges, shape (n_var,) each."""
    try:
        pairs = np.asarray(ranges, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(f"ranges is {ranges!r}, expected a pair (low, high), or one pair for each input") from error
    if pairs.shape not in {(2,), (n_var, 2)}:
        raise ShapeError(f"ranges has shape {pairs.shape}, expected (2,) or ({n_var}, 2): one pair, or one per input")
    pairs = np.broadcast_to(pairs, (n_var, 2))
    for index, (low, high) in enumerate(pairs):
        if not (np.isfinite(pairs[index]).all() and low < high):
            raise DomainError(f"the range of x{index} is ({low}, {high}), expected finite numbers with low < high")
    low, high = torch.tensor(pairs.T.copy())
    return low, high


def _evaluate(f: Callable[[Tensor], Any], x: Tensor, f_mode: str) -> Tensor:
    """The function's values, shape (N, m), float64 and finite."""
    points = x.clone()  # f may work in place
    result = f(points.T if f_mode == "row" else points)
    y = result.detach() if isinstance(result, Tensor) else _tensor(result)
    if y.ndim not in {1, 2} or len(y) != len(x):
        raise ShapeError(
            f"f returned shape {tuple(y.shape)} for {len(x)} rows, expected ({len(x)},) or ({len(x)}, m); "
            "f works on whole columns, such as x[:, 0] or x[:, [0]]"
        )
    if y.is_complex():
        raise DataError(f"f returned {y.dtype} values, expected real numbers")
    y = y.to(torch.float64)
    bad = (~torch.isfinite(y.reshape(len(y), -1))).any(dim=1).nonzero()
    if len(bad):
        row = int(bad[0])
        inputs = ", ".join(f"x{index} = {value:.6g}" for index, value in enumerate(x[row].tolist()))
        value = next(value for value in y[row].reshape(-1).tolist() if not np.isfinite(value))
        raise DataError(
            f"f is {value} at row {row}, where {inputs} ({len(bad)} such rows); keep `ranges` within f's domain"
        )
    return y[:, None] if y.ndim == 1 else y


def _tensor(result: Any) -> Tensor:
    """What a function other than a torch one returned: an array or a list."""
    array = np.array(result)
    if array.dtype.kind not in "biufc":
        raise DataError(f"f returned a {type(result).__name__} of {array.dtype} values, expected real numbers")
    return torch.from_numpy(array)
