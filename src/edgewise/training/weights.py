"""Sample weights: how much each row of the data counts in a loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgewise.errors import DataError, ShapeError


def sample_weights(weights: Any, like: Tensor) -> Tensor:
    """Checked weights.

    Args:
        weights: numbers of 0 or more, one per row, not all zero: a tensor, array, list or series.
        like: the inputs that they belong to, shape (N, I).

    Returns:
        The weights, shape (N,), in the type and on the device of the inputs.

    Raises:
        DataError: a weight is negative or not finite, all are zero, or they are no numbers.
        ShapeError: there are not as many weights as rows.

    Example:
        >>> import torch
        >>> from edgewise.training.weights import sample_weights
        >>> sample_weights([1, 2, 0], torch.zeros(3, 2))
        tensor([1., 2., 0.])
    """
    try:
        given = weights if isinstance(weights, Tensor) else torch.from_numpy(np.array(weights, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise DataError(f"weights are numbers of 0 or more, one per row; got {type(weights).__name__}") from error
    given = given.detach().to(like)
    if given.shape != like.shape[:1]:
        raise ShapeError(f"{len(like)} rows need weights of shape ({len(like)},), got {tuple(given.shape)}")
    wrong = torch.nonzero(~(given.isfinite() & (given >= 0))).flatten()
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"weights must be finite and 0 or more: that of row {row} (counted from 0) is {float(given[row])}; "
            "correct it, or give a weight of 0 to leave the row out"
        )
    if not bool(given.any()):
        raise DataError("all weights are zero; at least one row must count")
    return given
