"""The rows of a table that train, and those that judge."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.network import Network

_FEWEST_TO_HOLD_OUT = 20
_HELD_OUT = 0.2
_MOST_PARAMETERS = 4000  # of a network whose curvature is factored again and again
_TARGETS_PER_PARAMETER = 1.1
_ROUNDING = 10.0  # units in the last place


def _unchanged(y: Tensor) -> Tensor:
    return y


@dataclass(frozen=True)
class Rows:
    """Rows to train on and rows to judge by.

    Args:
        x: inputs to train on, shape (N, I).
        y: their targets in the units of training, shape (N, O).
        x_held: inputs to judge by, shape (M, I).
        y_held: their targets in the units in which errors are judged, shape (M, O).
        outward: from the units of training to those in which errors are judged.
    """

    x: Tensor
    y: Tensor
    x_held: Tensor
    y_held: Tensor
    outward: Callable[[Tensor], Tensor] = _unchanged

    @classmethod
    def split(cls, x: Tensor, y: Tensor, seed: int) -> Rows:
        """Hold out a fifth of the rows, or judge by the training rows where there are few.

        Args:
            x: inputs, shape (N, I).
            y: targets, shape (N, O).
            seed: fixes which rows are held out.

        Returns:
            The parts.
        """
        if len(x) < _FEWEST_TO_HOLD_OUT:
            return cls(x, y, x, y)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).to(x.device)
        count = round(_HELD_OUT * len(x))
        held, kept = order[:count], order[count:]
        return cls(x[kept], y[kept], x[held], y[held])

    @property
    def judged_apart(self) -> bool:
        """Whether the rows to judge by are not those of the training."""
        return self.x_held is not self.x

    @property
    def most_parameters(self) -> float:
        """The most that a network may have: no more than the targets determine, nor than second-order steps carry."""
        return min(_MOST_PARAMETERS, self.y.numel() / _TARGETS_PER_PARAMETER)

    @torch.no_grad()
    def error(self, model: Network) -> float:
        """Root mean square error on the rows to judge by; infinite where the model has no value."""
        return _finite((self.outward(model(self.x_held)) - self.y_held).square().mean().sqrt())

    @torch.no_grad()
    def training_error(self, model: Network) -> float:
        """Root mean square error on the rows to train on, in the units in which errors are judged."""
        return _finite((self.outward(model(self.x)) - self.outward(self.y)).square().mean().sqrt())


def spread_of(y: Tensor) -> Tensor:
    """Standard deviation of each target, shape (O,); 1 where it is constant, up to the rounding of its mean."""
    spread = y.std(dim=0, correction=0)
    rounding = _ROUNDING * torch.finfo(y.dtype).eps * y.abs().amax(dim=0)
    return torch.where(spread > rounding, spread, 1.0)


@torch.no_grad()
def rmse(model: Network, x: Tensor, y: Tensor) -> float:
    """Root mean square error of a network; infinite where it has no value."""
    return _finite((model(x) - y).square().mean().sqrt())


def _finite(error: Tensor) -> float:
    """An error, infinite where it is none."""
    value = float(error)
    return value if math.isfinite(value) else math.inf
