"""Test rows beyond the training rows: there an outer function goes on by itself, whatever its grid."""

from __future__ import annotations

import torch
from torch import Tensor

import edgewise as ew


def rows_inside(model: ew.KAN, x: Tensor, test_x: Tensor) -> Tensor:
    """Which test rows have a sum that lies within those of all training rows.

    Args:
        model: of one hidden node.
        x: the training rows, shape (N, I).
        test_x: the test rows, shape (M, I).

    Returns:
        Bool, shape (M,).
    """
    with torch.no_grad():
        seen, hidden = (model.trace(rows).layers[0].outputs[:, 0] for rows in (x, test_x))
    return (hidden >= seen.min()) & (hidden <= seen.max())
