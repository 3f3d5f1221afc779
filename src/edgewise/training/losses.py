"""Losses of a network's outputs, with the curvature that Gauss–Newton methods need.

A loss is a mean over samples. Besides its value it gives, per sample, a factor L (O, R) and rows ρ (R,) such that its
gradient by the outputs is L·ρ and its generalised Gauss–Newton curvature L·Lᵀ. So least squares, cross-entropy and
counts look alike to a solver.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from edgewise.errors import DataError, OptionError, ShapeError

_SMALLEST_PROBABILITY = 1e-12
_SMALLEST_RATE = 1e-12


class Loss(Protocol):
    """What training needs of a loss on outputs."""

    def check(self, target: Tensor, outputs: int) -> Tensor:
        """The targets in the shape that `value` takes, or an error that says what is wrong."""
        ...

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of every sample, shape (N,), differentiable."""
        ...

    def value(self, output: Tensor, target: Tensor) -> Tensor:
        """The mean loss, 0-d, differentiable."""
        return self.per_sample(output, target).mean()

    def rows(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Factors (N, O, R) and rows (N, R): gradient and curvature of N times the mean loss, sample by sample."""
        ...


class MeanSquaredError(Loss):
    """Mean over samples and outputs of the squared error."""

    def check(self, target: Tensor, outputs: int) -> Tensor:
        """Targets of shape (N, outputs).

        Args:
            target: as given.
            outputs: of the model.

        Returns:
            The targets.

        Raises:
            ShapeError: the targets are class labels or have another number of columns.
        """
        return _columns(target, outputs, "mse")

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        """See `Loss.per_sample`."""
        return (output - target).square().mean(dim=1)

    def rows(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """See `Loss.rows`: L is a multiple of the identity."""
        outputs = output.shape[1]
        scale = math.sqrt(2 / outputs)
        factor = scale * torch.eye(outputs, dtype=output.dtype, device=output.device)
        return factor.expand(output.shape[0], outputs, outputs), scale * (output - target)


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Loss):
    """Mean over samples of the negative log-likelihood of the class, the outputs being logits.

    Args:
        smoothing: share of each label that is spread evenly over all classes, from 0 to below 1. With some, separable
            classes have a finite optimum.

    Raises:
        OptionError: the share is out of range.

    Source of the curvature: Schraudolph, Fast curvature matrix-vector products (2002); of label smoothing: Szegedy et
    al., Rethinking the inception architecture (2016).
    """

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Check the range."""
        if not 0 <= self.smoothing < 1:
            raise OptionError(f"label smoothing is a share from 0 to below 1, got {self.smoothing}")

    def check(self, target: Tensor, outputs: int) -> Tensor:
        """Labels of shape (N,), integers from 0 to outputs − 1; a column of whole numbers is taken as such.

        Args:
            target: as given.
            outputs: of the model.

        Returns:
            The labels.

        Raises:
            ShapeError: the targets are no labels.
            OptionError: a label is out of range.
        """
        labels = target.squeeze(1) if target.dim() == 2 and target.shape[1] == 1 else target
        if labels.dim() != 1 or bool((labels != labels.long()).any()):
            raise ShapeError(
                f"cross_entropy takes class labels of shape (N,), whole numbers, got {target.dtype} of shape "
                f"{tuple(target.shape)}"
            )
        labels = labels.long()
        if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= outputs):
            raise OptionError(
                f"the model has {outputs} outputs, so labels are 0 to {outputs - 1}; got {int(labels.min())} to "
                f"{int(labels.max())}"
            )
        return labels

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        """See `Loss.per_sample`."""
        return torch.nn.functional.cross_entropy(output, target, label_smoothing=self.smoothing, reduction="none")

    def rows(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """See `Loss.rows`: L = diag(√p) − p·√pᵀ, so that L·Lᵀ = diag(p) − p·pᵀ."""
        p = output.softmax(dim=1).clamp_min(_SMALLEST_PROBABILITY)
        root = p.sqrt()
        factor = torch.diag_embed(root) - p.unsqueeze(2) * root.unsqueeze(1)
        classes = output.shape[1]
        certain = torch.nn.functional.one_hot(target, classes).to(p.dtype)
        expected = (1 - self.smoothing) * certain + self.smoothing / classes
        return factor, (p - expected) / root


class Poisson(Loss):
    """Half the mean deviance of counts whose log-rates are the outputs.

    For a count y and a rate λ = exp(output) it is λ − y − y·log(λ/y): the negative log-likelihood of a Poisson
    distribution up to a constant, and zero where the rates are the counts. A mean over samples and outputs.

    Source: McCullagh and Nelder, Generalized linear models (1989), sections 2.3 and 6.2.
    """

    def check(self, target: Tensor, outputs: int) -> Tensor:
        """Counts of shape (N, outputs), 0 or more; they need not be whole numbers.

        Args:
            target: as given.
            outputs: of the model.

        Returns:
            The counts.

        Raises:
            ShapeError: the targets have another number of columns.
            DataError: a count is negative.
        """
        counts = _columns(target, outputs, "poisson")
        negative = torch.nonzero(counts < 0)
        if len(negative):
            row, column = negative[0].tolist()
            raise DataError(
                f"counts are 0 or more: the target of row {row} (counted from 0), output {column} is "
                f"{float(counts[row, column]):g}; use loss='mse' for values of both signs"
            )
        return counts

    def per_sample(self, output: Tensor, target: Tensor) -> Tensor:
        """See `Loss.per_sample`."""
        return (output.exp() - target - target * output + torch.xlogy(target, target)).mean(dim=1)

    def rows(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """See `Loss.rows`: L = diag(√λ), as the log link is the canonical one."""
        rate = output.exp().clamp_min(_SMALLEST_RATE)
        scale = math.sqrt(1 / output.shape[1])
        root = rate.sqrt()
        return torch.diag_embed(scale * root), scale * (rate - target) / root


def _columns(target: Tensor, outputs: int, name: str) -> Tensor:
    """Targets with a column for every output, or a ShapeError."""
    if not target.is_floating_point():
        raise ShapeError(
            f"got class labels as targets of the {name}; use loss='cross_entropy' or floating-point targets"
        )
    if target.dim() != 2 or target.shape[1] != outputs:
        raise ShapeError(f"the model has {outputs} outputs, got targets of shape {tuple(target.shape)}")
    return target


_NAMED: dict[str, Loss] = {"mse": MeanSquaredError(), "cross_entropy": CrossEntropy(), "poisson": Poisson()}

ModelLoss = Callable[[Any, Any], Tensor]


def find_loss(loss: str | Loss | ModelLoss) -> Loss | ModelLoss:
    """The loss that an option names.

    Args:
        loss: "mse", "cross_entropy", "poisson", a `Loss`, or a callable of (model, batch).

    Returns:
        The loss.

    Raises:
        OptionError: the name is unknown.
    """
    if not isinstance(loss, str):
        return loss
    if loss not in _NAMED:
        raise OptionError(f"unknown loss {loss!r}; use {', '.join(map(repr, _NAMED))} or a callable of (model, batch)")
    return _NAMED[loss]
