"""How a table is looked at: which columns by their logarithm, and in what units networks are trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from edgewise.data import column_transforms
from edgewise.network import Network
from edgewise.surgery import scale_outputs, with_transforms

Model = TypeVar("Model", bound=Network)

_INVERSE = {"log": "exp", "x": "x"}
_PAD = 1e-9  # of a column's magnitude: half the width of the domain of a constant column


@dataclass(frozen=True)
class View:
    """Columns in the units in which networks are trained: logarithms where chosen, targets of mean 0 and spread 1.

    Args:
        inputs: "log" or "x" for each input column.
        outputs: "log" or "x" for each target column.
        center: mean of each transformed target, shape (O,).
        spread: standard deviation of each transformed target, shape (O,); 1 where it is constant.
        domain: smallest and largest transformed value of each input, shape (I, 2).
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    center: Tensor
    spread: Tensor
    domain: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor, *, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> View:
        """The view of a table with chosen transforms.

        Args:
            x: inputs, shape (N, I).
            y: targets, shape (N, O).
            inputs: "log" or "x" for each input column.
            outputs: "log" or "x" for each target column.

        Returns:
            The view.
        """
        inner_x, inner_y = _transformed(x, inputs), _transformed(y, outputs)
        spread = inner_y.std(dim=0, correction=0)
        low, high = inner_x.amin(dim=0), inner_x.amax(dim=0)
        pad = torch.where(high > low, 0.0, _PAD * torch.maximum(low.abs(), torch.ones_like(low)))
        return cls(
            inputs=inputs,
            outputs=outputs,
            center=inner_y.mean(dim=0),
            spread=torch.where(spread > 0, spread, 1.0),
            domain=torch.stack([low - pad, high + pad], dim=1),
        )

    def inner_inputs(self, x: Tensor) -> Tensor:
        """Inputs as networks take them, (N, I): logarithms where chosen."""
        return _transformed(x, self.inputs)

    def inner_targets(self, y: Tensor) -> Tensor:
        """Targets in the units in which formulas are named, (N, O): logarithms where chosen."""
        return _transformed(y, self.outputs)

    def standard_targets(self, y: Tensor) -> Tensor:
        """Targets in the units in which networks are trained, (N, O): of mean 0 and spread 1."""
        return (self.inner_targets(y) - self.center) / self.spread

    def unscaled(self, model: Model) -> Model:
        """A network trained on standard targets, as a new one that gives inner targets."""
        return scale_outputs(model, self.spread, self.center)

    def outer(self, model: Model, x: Tensor, *, input_names: tuple[str, ...], output_names: tuple[str, ...]) -> Model:
        """A network that gives inner targets, in the user's units.

        Args:
            model: from inner inputs to inner targets.
            x: inputs of the user, shape (N, I), for the new network's sample.
            input_names: one per input.
            output_names: one per output.

        Returns:
            A new network from the user's inputs to the user's targets.
        """
        outputs = [_INVERSE[name] for name in self.outputs]
        return with_transforms(
            model, self.inputs, outputs, sample=x, input_names=input_names, output_names=output_names
        )


def natural_views(x: Tensor, y: Tensor) -> list[View]:
    """The views worth trying: positive columns that span decades by their logarithm, then all columns as they are.

    Args:
        x: inputs, shape (N, I).
        y: targets, shape (N, O).

    Returns:
        One or more views, the one with most logarithms first.
    """
    by_rule = (column_transforms(x), column_transforms(y))
    plain = (("x",) * x.shape[1], ("x",) * y.shape[1])
    choices = dict.fromkeys([by_rule, (by_rule[0], plain[1]), plain])
    return [View.of(x, y, inputs=inputs, outputs=outputs) for inputs, outputs in choices]


def _transformed(columns: Tensor, names: tuple[str, ...]) -> Tensor:
    logarithm = torch.tensor([name == "log" for name in names], device=columns.device)
    return torch.where(logarithm, torch.where(logarithm, columns, 1.0).log(), columns)
