"""Rows to fit on and rows to judge by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from edgewise.errors import OptionError
from edgewise.network import Network
from edgewise.training import CrossEntropy, Loss, find_loss, fit_in_search
from edgewise.training.problem import training_rows

_FEWEST_TO_HOLD_OUT = 50
_HELD_OUT = 0.2
_MOST_EXPONENT = 700.0  # that a float can hold
_LABEL_SMOOTHING = 0.02  # without it, curves that tell classes apart grow steeper for ever and have no shape to name


@dataclass(frozen=True)
class HeldOut:
    """Rows to refit on, rows to judge by, and the loss of both.

    Args:
        x: inputs to refit on, shape (N, I).
        y: their targets as the loss takes them.
        x_held: inputs to judge by, shape (M, I).
        y_held: their targets.
        loss: the loss.
    """

    x: Tensor
    y: Tensor
    x_held: Tensor
    y_held: Tensor
    loss: Loss

    @classmethod
    def split(cls, model: Network, data: Any, loss: str | Loss, seed: int) -> HeldOut:
        """A fifth of the rows held out, none where there are few.

        Args:
            model: the network that is to be judged.
            data: what `fit` takes.
            loss: "mse", "cross_entropy" or a `Loss`.
            seed: fixes which rows are held out.

        Returns:
            The rows.

        Raises:
            DataError: the data cannot be used.
            OptionError: the loss is none of outputs.
        """
        chosen = find_loss(loss)
        if callable(chosen):
            raise OptionError("auto_symbolic judges names by predictions: use loss='mse', 'cross_entropy' or a Loss")
        if isinstance(chosen, CrossEntropy):
            chosen = CrossEntropy(smoothing=max(chosen.smoothing, _LABEL_SMOOTHING))
        x, y = training_rows(model, data, chosen)
        assert y is not None
        if len(x) < _FEWEST_TO_HOLD_OUT:
            return cls(x, y, x, y, chosen)
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).to(x.device)
        held, kept = order[: round(_HELD_OUT * len(x))], order[round(_HELD_OUT * len(x)) :]
        return cls(x[kept], y[kept], x[held], y[held], chosen)

    def predicted(self, model: Network) -> Tensor:
        """The outputs on the rows to judge by, shape (M, O)."""
        with torch.no_grad():
            return model(self.x_held)

    def score(self, model: Network) -> float:
        """Root of the loss on the rows to judge by; infinite where the model has no value."""
        return self.score_of(self.predicted(model))

    def score_of(self, predicted: Tensor) -> float:
        """As `score`, of outputs."""
        value = float(self.loss.value(predicted, self.y_held))
        return math.sqrt(max(value, 0.0)) if math.isfinite(value) else math.inf

    def share(self, score: float) -> float:
        """The share of the targets' variance that a score leaves; for labels, that which takes as many bits a row."""
        if self.y_held.is_floating_point():
            relative = score / (self.spread or 1.0)
            return relative * relative
        return math.exp(min(2 * score**2, _MOST_EXPONENT))  # the loss is minus the logarithm of a probability

    @property
    def spread(self) -> float:
        """Standard deviation of real targets; 0 for labels, whose loss is never small."""
        return float(self.y_held.std(correction=0)) if self.y_held.is_floating_point() else 0.0

    @property
    def rounding(self) -> float:
        """The score below which all models are as good as exact."""
        if not self.y_held.is_floating_point():
            return 0.0
        return 64 * torch.finfo(self.y_held.dtype).eps * float(self.y_held.abs().max())

    def refit(self, model: Network, steps: int) -> None:
        """Train on the rows to refit on."""
        fit_in_search(model, self.x, self.y, loss=self.loss, steps=steps, solver="lm")
