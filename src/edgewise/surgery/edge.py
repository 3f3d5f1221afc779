"""The learned function of one edge, to be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgewise.lazy import LazyModule
from edgewise.network import Block, Network, SymbolicBlock
from edgewise.surgery.blocks import input_ranges, single_edge
from edgewise.surgery.change import require_edge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from edgewise import plot
else:
    plot = LazyModule("edgewise.plot")


class Edge:
    """φ of edge (layer, source, target) as a callable.

    Args:
        model: the network.
        layer: index of the layer.
        source: input of the edge.
        target: output of the edge.

    Raises:
        EdgeError: there is no such edge.

    Example:
        >>> import torch, edgewise as ew
        >>> curve = ew.KAN([2, 5, 1], seed=0).edge(0, 1, 2)
        >>> x = torch.linspace(-1, 1, 3, dtype=torch.float64)
        >>> curve(x).shape, curve.derivative(1)(x).shape, sorted(curve.table(points=5))
        (torch.Size([3]), torch.Size([3]), ['x', 'y'])
    """

    def __init__(self, model: Network, layer: int, source: int, target: int) -> None:
        require_edge(model, layer, source, target)
        block = model.layer_at(layer).block_of(source, target)
        assert block is not None
        self.block: Block = block
        self.index = (layer, source, target)
        low, high = input_ranges(model, layer)[source].tolist()
        self.domain: tuple[float, float] = (low, high)
        self._mask = single_edge(model.layer_at(layer), source, target)
        self._like = model.sample
        with torch.no_grad():
            self.sample = model.trace(model.sample).layers[layer].inputs[:, source]

    @property
    def name(self) -> str | None:
        """The primitive of a symbolic edge, None for a learned curve."""
        return self.block.primitive.name if isinstance(self.block, SymbolicBlock) else None

    def __call__(self, x: Tensor) -> Tensor:
        """Values of φ at x of any shape."""
        _, source, target = self.index
        return self.block.edges(self._padded(x))[:, source, target].reshape(x.shape)

    def derivative(self, order: int = 1) -> _Derivative:
        """The order-th derivative of φ, as a callable of x."""
        return _Derivative(self, order)

    def table(self, points: int = 200) -> dict[str, Tensor]:
        """Points x over the domain and y = φ(x), each of shape (points,)."""
        x = torch.linspace(*self.domain, points, dtype=self._like.dtype, device=self._like.device)
        with torch.no_grad():
            return {"x": x, "y": self(x)}

    def plot(self) -> Figure:
        """The curve over its domain, with the sample's values as a rug."""
        table = self.table()
        layer, source, target = self.index
        return plot.draw_curve(
            table["x"].cpu().numpy(),
            table["y"].cpu().numpy(),
            points=self.sample.cpu().numpy(),
            domain=self.domain,
            label=self.name,
            title=f"edge ({layer}, {source}, {target})",
        )

    def _alone(self, x: Tensor) -> Tensor:
        """Values of φ by the kernels, from a block of this edge only: no other edge's singular points get in."""
        return self.block.restricted(self._mask)(self._padded(x))[:, self.index[2]].reshape(x.shape)

    def _padded(self, x: Tensor) -> Tensor:
        """Inputs of the block, (N, I): x at this edge, 0 elsewhere."""
        inputs = self._mask.shape[0]
        columns = torch.arange(inputs, device=x.device) == self.index[1]
        return torch.where(columns, x.reshape(-1, 1), x.new_zeros((x.numel(), inputs)))


class _Derivative:
    """A derivative of an edge, by autograd: exact, as the kernels are closed under differentiation."""

    def __init__(self, edge: Edge, order: int) -> None:
        self.edge = edge
        self.order = order

    def __call__(self, x: Tensor) -> Tensor:
        """Values at x of any shape."""
        with torch.enable_grad():
            at = x.detach().requires_grad_()
            values = self.edge._alone(at)
            for _ in range(self.order):
                if not values.requires_grad:
                    return torch.zeros_like(x)
                (values,) = torch.autograd.grad(values.sum(), at, create_graph=True, materialize_grads=True)
        return values.detach()
