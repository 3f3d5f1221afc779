"""How a table is looked at: columns by their logarithm or another transform, and the units of training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from edgewise.data import column_transforms
from edgewise.network import Network
from edgewise.primitives import get_primitive
from edgewise.surgery import scale_outputs, with_transforms
from edgewise.training.multilevel import spread_of

Model = TypeVar("Model", bound=Network)

_FORWARD: dict[str, Callable[[Tensor], Tensor]] = {
    "x": lambda column: column,
    "log": torch.log,
    "x^2": torch.square,
    "1/x": torch.reciprocal,
}
# Primitives that undo a transform, one after the other: a square that comes out negative has no root.
_INVERSE: dict[str, tuple[str, ...]] = {"x": (), "log": ("exp",), "x^2": ("abs", "sqrt"), "1/x": ("1/x",)}
_REACH, _MOST_REACH = 5.0, 0.05  # of the range, the first over the number of rows: how far domains go beyond
_LEAST_RATIO = 4.0  # of largest to smallest value: positive columns of less are much the same by their logarithm
_PAD = 1e-9  # of a column's magnitude: half the width of the domain of a constant column


@dataclass(frozen=True)
class View:
    """Columns in the units in which networks are trained: logarithms where chosen, targets of mean 0 and spread 1.

    Args:
        inputs: "log" or "x" for each input column.
        outputs: "x", "log", "x^2" or "1/x" for each target column.
        center: mean of each transformed target, shape (O,).
        spread: standard deviation of each transformed target, shape (O,); 1 where it is constant.
        domain: of the transformed inputs, a little wider than their range, shape (I, 2).
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
            outputs: "x", "log", "x^2" or "1/x" for each target column.

        Returns:
            The view.
        """
        inner_x, inner_y = _transformed(x, inputs), _transformed(y, outputs)
        low, high = inner_x.amin(dim=0), inner_x.amax(dim=0)
        reach = min(_REACH / len(x), _MOST_REACH)
        pad = torch.where(high > low, reach * (high - low), _PAD * torch.maximum(low.abs(), torch.ones_like(low)))
        # Where values are dense before a transform they may be sparse behind it.
        lowest = x.amin(dim=0) - reach * (x.amax(dim=0) - x.amin(dim=0))
        reachable = torch.tensor([name == "log" for name in inputs], device=x.device) & (lowest > 0)
        start = torch.where(reachable, torch.minimum(low - pad, torch.where(reachable, lowest, 1.0).log()), low - pad)
        return cls(
            inputs=inputs,
            outputs=outputs,
            center=inner_y.mean(dim=0),
            spread=spread_of(inner_y),
            domain=torch.stack([start, high + pad], dim=1),
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

    def outer_targets(self, standard: Tensor) -> Tensor:
        """What networks give, (N, O), in the user's units."""
        inner = standard * self.spread + self.center
        columns = []
        for column, name in zip(inner.T, self.outputs, strict=True):
            for inverse in _INVERSE[name]:
                column = get_primitive(inverse).function(column)
            columns.append(column)
        return torch.stack(columns, dim=1)

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
        inputs: Sequence[str] = self.inputs
        undone = [_INVERSE[name] for name in self.outputs]
        for position in range(max(1, *map(len, undone))):
            outputs = [inverse[position] if position < len(inverse) else "x" for inverse in undone]
            model = with_transforms(
                model, inputs, outputs, sample=x, input_names=input_names, output_names=output_names
            )
            inputs = ("x",) * len(self.inputs)
        return model


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


def possible_views(x: Tensor, y: Tensor) -> list[View]:
    """All views that a table allows: its inputs as they are, by rule, or all by their logarithm; targets likewise.

    Args:
        x: inputs, shape (N, I).
        y: targets, shape (N, O).

    Returns:
        One or more views, the plain one first.
    """
    plain = ("x",) * x.shape[1]
    wide = tuple("log" if _is_wide(column) else "x" for column in x.T)
    inputs = dict.fromkeys([plain, column_transforms(x), wide])
    transforms = ["x"]
    if bool((y > 0).all()):
        transforms += ["log", "x^2", "1/x"]
    elif bool((y >= 0).all()):
        transforms += ["x^2"]
    return [View.of(x, y, inputs=each, outputs=(name,) * y.shape[1]) for each in inputs for name in transforms]


def _is_wide(column: Tensor) -> bool:
    return bool(column.min() > 0) and float(column.max() / column.min()) > _LEAST_RATIO


def _transformed(columns: Tensor, names: tuple[str, ...]) -> Tensor:
    return torch.stack([_FORWARD[name](column) for column, name in zip(columns.T, names, strict=True)], dim=1)
