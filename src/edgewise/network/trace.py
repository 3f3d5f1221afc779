"""The inner values of a network for given inputs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class LayerTrace:
    """The inner values of one layer.

    Args:
        inputs: shape (B, I).
        edges: every edge's output, shape (B, I, S); zero where there is no edge.
        sums: what arrives at the subnodes, shape (B, S).
        outputs: the nodes' values, shape (B, O).
    """

    inputs: Tensor
    edges: Tensor
    sums: Tensor
    outputs: Tensor


@dataclass(frozen=True)
class Trace:
    """The inner values of a network, layer by layer."""

    layers: tuple[LayerTrace, ...]

    @property
    def output(self) -> Tensor:
        """The network's output, shape (B, O)."""
        return self.layers[-1].outputs
