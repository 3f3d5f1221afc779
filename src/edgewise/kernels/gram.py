"""JᵀJ of Jacobians whose rows are mostly zero, in proportion to the squares of their non-zeros.

With s non-zeros among the P columns of each of N rows this takes N·s² steps where a product of dense matrices takes
N·P², and no memory for J. It has no derivative: it is for solvers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.errors import ShapeError
from edgewise.kernels import extension

_DENSE_ADVANTAGE = 3  # how many multiplications of a dense product take the time of one here


@dataclass(frozen=True)
class Segment:
    """Some neighbouring columns of a Jacobian: adjoint[n]·values[n] from column + first[n] on.

    Args:
        values: shape (N, W).
        adjoint: shape (N,).
        first: whole numbers (int32), shape (N,).
        column: where the columns that may be met begin; column + first[n] + W is at most the number of columns.
    """

    values: Tensor
    adjoint: Tensor
    first: Tensor
    column: int


def why_not(entries: int, columns: int, x: Tensor) -> str | None:
    """Why the product should be formed densely.

    Args:
        entries: non-zeros of a row.
        columns: of the Jacobian.
        x: a tensor of the type and on the device of the computation.

    Returns:
        The reason, or None if `add_half_gram` is the way.
    """
    if extension.module is None:
        return extension.why_missing()
    if not x.is_cpu or x.dtype not in extension.TYPES:
        return "it computes on the CPU in float32 and float64"
    if entries**2 * _DENSE_ADVANTAGE > columns**2:
        return "the rows are not sparse enough"
    return None


def add_half_gram(segments: Sequence[Segment], half: Tensor) -> None:
    """Add to `half` a matrix that with its transpose makes JᵀJ.

    Args:
        segments: what the rows of the Jacobian consist of; of one number of samples, at least one.
        half: of the segments' type, contiguous, shape (P, P); changed in place.

    Raises:
        ShapeError: a segment does not fit the others, or leaves the columns.
    """
    assert extension.module is not None, "ask why_not first"
    samples, columns, dtype = len(segments[0].values), len(half), half.dtype
    table, held = [], []
    for number, segment in enumerate(segments):
        arrays = (segment.values.contiguous(), segment.adjoint.contiguous(), segment.first.contiguous())
        if any(len(array) != samples for array in arrays) or [a.dtype for a in arrays] != [dtype, dtype, torch.int32]:
            raise ShapeError(
                f"segment {number} must have {samples} samples of {dtype} and int32, got "
                + ", ".join(f"{tuple(array.shape)} of {array.dtype}" for array in arrays)
            )
        held.append(arrays)  # they must live as long as their addresses are used
        table.append((*(array.data_ptr() for array in arrays), segment.values.shape[1], segment.column))
    try:
        extension.module.gram(table, dtype == torch.float64, samples, columns, torch.get_num_threads(), half.data_ptr())
    except IndexError as error:
        raise ShapeError(f"{error}; there are {columns}") from error
