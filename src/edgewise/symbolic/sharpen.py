"""Finer grids before edges are named: sharper curves are easier to tell."""

from __future__ import annotations

import math
import time
from typing import TypeVar

from torch import Tensor

from edgewise.network import BasisBlock, Network
from edgewise.surgery import refine
from edgewise.symbolic.held_out import HeldOut
from edgewise.training import Loss

Model = TypeVar("Model", bound=Network)

_REFIT_STEPS = 25
_FINEST_GRID = 40
_WORTH_REFINING = 1.5  # factor by which the root of the loss must fall per doubling of the grid


def sharpened(
    model: Model,
    x: Tensor,
    y: Tensor,
    *,
    loss: Loss,
    held_out: tuple[Tensor, Tensor] | None = None,
    deadline: float = math.inf,
) -> Model:
    """Refine and refit as long as that pays: sharper curves are easier to name.

    Args:
        model: a trained network, which is left as it is.
        x: inputs, shape (N, I).
        y: targets as the loss takes them.
        loss: the loss.
        held_out: inputs and targets to judge by; the training rows if not given.
        deadline: monotonic time after which no finer grid is tried.

    Returns:
        A new network, on finer grids where the loss fell by more than noise would let it.
    """
    rows = HeldOut(x, y, *(held_out if held_out is not None else (x, y)), loss)
    best = model.copied()
    rows.refit(best, _REFIT_STEPS)
    score = rows.score(best)
    while time.monotonic() < deadline and (finer := _doubled(best, len(x))) is not None:
        rows.refit(finer, _REFIT_STEPS)
        reached = rows.score(finer)
        if not reached * _WORTH_REFINING < score:
            break
        best, score = finer, reached
    return best


def _doubled(model: Model, samples: int) -> Model | None:
    """The network on twice as fine grids, or None where they are fine enough for the data."""
    blocks = [block for layer in model.all_layers for block in layer.all_blocks()]
    grids = {getattr(block.basis, "grid", 0) for block in blocks if isinstance(block, BasisBlock)}
    if len(grids) != 1 or 0 in grids:
        return None  # several grids or none: doubling is the user's choice
    grid = 2 * grids.pop()
    parameters = sum(block.gather().numel() for block in blocks)
    if grid > _FINEST_GRID or 2 * parameters > samples / 2:
        return None
    return refine(model, grid=grid)
