"""The core: a stack of KAN layers that can be traced and rebuilt. It knows nothing of training, plots or files."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn

from edgewise.errors import EdgeError, OptionError, ShapeError
from edgewise.network.layer import KANLayer
from edgewise.network.precision import in_precision
from edgewise.network.trace import Trace

SAMPLE_SIZE = 1024


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a network carries besides its layers; surgery keeps it with `dataclasses.replace`.

    Args:
        input_names: one per input, or None for x0, x1, …
        output_names: one per output, or None for y or y0, y1, …
        notes: what the last change of the network did and refused, a line each.
        moved: root mean square by which the last refinement moved the outputs on the sample; None without one.
    """

    input_names: tuple[str, ...] | None = None
    output_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    moved: float | None = None


class Network(nn.Module):
    """Layers one after the other, and a small sample of the inputs they were trained on.

    Args:
        layers: the outputs of each are the inputs of the next.
        options: names of inputs and outputs.
        sample: inputs of shape (S, I) that plots, pruning and symbols look at when they are not given data.

    Raises:
        ShapeError: the layers do not fit each other.
    """

    sample: Tensor

    def __init__(self, layers: Sequence[KANLayer], *, sample: Tensor, options: Options | None = None) -> None:
        super().__init__()
        for index, (before, after) in enumerate(pairwise(layers)):
            if before.out_features != after.in_features:
                raise ShapeError(
                    f"layer {index} has {before.out_features} outputs, layer {index + 1} takes {after.in_features}"
                )
        self.layers = nn.ModuleList(layers)
        self.options = Options() if options is None else options
        self.register_buffer("sample", sample.detach().clone())

    @classmethod
    def assemble(cls, layers: Sequence[KANLayer], *, sample: Tensor, options: Options) -> Self:
        """A network of this class from parts, whatever the arguments of its own constructor."""
        network = cls.__new__(cls)
        Network.__init__(network, layers, sample=sample, options=options)
        return network

    def rebuilt(self, layers: Sequence[KANLayer], **options: Any) -> Self:
        """The same network with other layers and changed options: what surgery returns."""
        return self.assemble(layers, sample=self.sample, options=replace(self.options, **options))

    @property
    def all_layers(self) -> list[KANLayer]:
        """The layers, typed."""
        return [layer for layer in self.layers if isinstance(layer, KANLayer)]

    @property
    def width(self) -> list[int | list[int | tuple[int, ...]]]:
        """Inputs, then the nodes of every layer: a number of sums, or [sums, (factors of each product)]."""
        widths: list[int | list[int | tuple[int, ...]]] = [self.in_features]
        for layer in self.all_layers:
            products = tuple(arity for arity in layer.nodes if arity > 1)
            widths.append([len(layer.nodes) - len(products), products] if products else len(layer.nodes))
        return widths

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.all_layers[0].in_features

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.all_layers[-1].out_features

    @property
    def dtype(self) -> torch.dtype:
        """The floating type in which the network computes."""
        return self.sample.dtype

    @property
    def input_names(self) -> tuple[str, ...]:
        """One name per input."""
        return self.options.input_names or tuple(f"x{i}" for i in range(self.in_features))

    @property
    def output_names(self) -> tuple[str, ...]:
        """One name per output."""
        if self.options.output_names:
            return self.options.output_names
        return ("y",) if self.out_features == 1 else tuple(f"y{i}" for i in range(self.out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the network.

        Args:
            x: inputs, shape (..., I), in the model's floating type.

        Returns:
            Outputs of shape (..., O).

        Raises:
            ShapeError: the last dimension is not I.
            PrecisionError: x is not a tensor of the model's floating type.
        """
        x = self._checked(x)
        flat = x.reshape(-1, self.in_features)
        for layer in self.layers:
            flat = layer(flat)
        return flat.reshape(*x.shape[:-1], self.out_features)

    def trace(self, x: Tensor) -> Trace:
        """All inner values: every layer's inputs, edge outputs, sums and node outputs.

        Args:
            x: inputs, shape (..., I); leading dimensions are flattened into one batch B.

        Returns:
            The values, layer by layer.

        Raises:
            ShapeError: the last dimension is not I.
            PrecisionError: x is not a tensor of the model's floating type.
        """
        x = self._checked(x)
        values = x.reshape(-1, self.in_features)
        layers = []
        for layer in self.all_layers:
            layers.append(layer.trace(values))
            values = layers[-1].outputs
        return Trace(tuple(layers))

    def copied(self) -> Self:
        """An independent copy, to be changed while this stays."""
        return self.rebuilt([copy.deepcopy(layer) for layer in self.all_layers])

    def with_layer(self, index: int, layer: KANLayer) -> Self:
        """The same network with one layer replaced; the others are copied."""
        layers = [copy.deepcopy(other) for other in self.all_layers]
        layers[index] = layer
        return self.rebuilt(layers)

    def layer_at(self, index: int) -> KANLayer:
        """The layer with this index, or an EdgeError where there is none."""
        layers = self.all_layers
        if not 0 <= index < len(layers):
            raise EdgeError(f"there is no layer {index}; the model has layers 0 to {len(layers) - 1}")
        return layers[index]

    def check_edge(self, layer: int, source: int, target: int) -> None:
        """Refuse indices of edges that the widths do not allow.

        Raises:
            EdgeError: there is no such layer, input or subnode.
        """
        found = self.layer_at(layer)
        if not (0 <= source < found.in_features and 0 <= target < found.subnodes):
            raise EdgeError(
                f"there is no edge ({layer}, {source}, {target}); layer {layer} has inputs 0 to "
                f"{found.in_features - 1} and outputs 0 to {found.subnodes - 1}"
            )

    def _checked(self, x: Tensor) -> Tensor:
        x = in_precision(x, self.dtype)
        if x.shape[-1:] != (self.in_features,):
            raise ShapeError(f"the model takes inputs of shape (..., {self.in_features}), got {tuple(x.shape)}")
        return x

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        sample = state_dict.get(prefix + "sample")
        if sample is not None and sample.shape[-1:] == self.sample.shape[-1:]:
            self.sample = self.sample.new_empty(sample.shape)  # as many rows as were kept
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def check_names(names: Sequence[str] | None, count: int, what: str) -> tuple[str, ...] | None:
    """Names as a tuple, or an OptionError where their number is wrong or one appears twice."""
    if names is None:
        return None
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise OptionError(f"names of {what} are texts, such as 'x0'; got {names!r}")
    if len(names) != count or len(set(names)) != count:
        raise OptionError(f"{count} {what} need as many different names, got {list(names)}")
    return tuple(names)
