"""A KAN layer: blocks of edges, added up at subnodes, merged at nodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from edgewise.basis import Basis, BSpline, gram, least_squares
from edgewise.errors import DomainError, OptionError, ShapeError
from edgewise.network.base import Base
from edgewise.network.basis_block import BasisBlock
from edgewise.network.block import Block
from edgewise.network.nodes import merge, split_adjoint
from edgewise.network.trace import LayerTrace

Domain = tuple[float, float] | Sequence[Sequence[float]]


class KANLayer(nn.Module):
    """A layer of learnable univariate functions, to stand where `nn.Linear` stands.

    Args:
        in_features: number of inputs I.
        out_features: number of outputs O.
        basis: function family of every edge; cubic B-splines on 5 intervals if not given.
        base: base function of every edge: "silu", "identity", None or a callable.
        domain: the interval of the inputs, one pair for all or one per input; outside it edges continue linearly.
        nodes: number of factors of each output node, 1 for a sum; all sums if not given.
        dtype: floating type of the parameters; torch's default if not given.
        device: where the parameters live.
        seed: makes the start reproducible; torch's global generator is used if it is None.

    Raises:
        OptionError: a size is below 1 or the nodes do not number out_features.
        DomainError: the domain is empty, reversed or not finite.

    Example:
        >>> import torch
        >>> from edgewise import BSpline, KANLayer
        >>> layer = KANLayer(64, 32, basis=BSpline(grid=8))
        >>> layer(torch.rand(10, 64)).shape
        torch.Size([10, 32])

    Source: Liu et al., KAN (2024), section 2.2; the start keeps variances as in Glorot and Bengio (2010).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        basis: Basis | None = None,
        base: Base = "silu",
        domain: Domain = (-1.0, 1.0),
        nodes: tuple[int, ...] | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(size, int) or size < 1:
                raise OptionError(f"{name} is a whole number of 1 or more, got {size!r}")
        nodes = (1,) * out_features if nodes is None else tuple(nodes)
        if len(nodes) != out_features:
            raise OptionError(f"{out_features} outputs need as many nodes, got {len(nodes)}")
        if min(nodes) < 1:
            raise OptionError(f"a node has 1 or more factors, got nodes={nodes}")
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        dtype = torch.get_default_dtype() if dtype is None else dtype
        grid = domain_grid(domain, in_features, dtype).to(device)
        basis = BSpline() if basis is None else basis
        self.nodes = nodes
        self.in_features = in_features
        self.blocks = nn.ModuleList([_variance_preserving(basis, base, grid, sum(nodes), generator)])

    @classmethod
    def from_blocks(cls, blocks: Sequence[Block], nodes: tuple[int, ...], in_features: int) -> KANLayer:
        """A layer of given blocks.

        Args:
            blocks: their masks are disjoint.
            nodes: number of factors of each output node.
            in_features: number of inputs.

        Returns:
            The layer, which takes the blocks over without copying them.
        """
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer.nodes = nodes
        layer.in_features = in_features
        layer.blocks = nn.ModuleList(blocks)
        return layer

    def with_blocks(self, blocks: Sequence[Block]) -> KANLayer:
        """A layer of the same nodes with other blocks; blocks without edges are left out, as long as one stays."""
        serving = [block for block in blocks if bool(block.mask.any())]
        return KANLayer.from_blocks(serving or list(blocks)[:1], self.nodes, self.in_features)

    def map_blocks(self, change: Callable[[Block], Block]) -> KANLayer:
        """A layer of the same nodes with every block changed."""
        return self.with_blocks([change(block) for block in self.all_blocks()])

    @property
    def out_features(self) -> int:
        """Number of outputs O."""
        return len(self.nodes)

    @property
    def subnodes(self) -> int:
        """Number of sums S: as many as outputs, and more where product nodes have several factors."""
        return sum(self.nodes)

    @property
    def mask(self) -> Tensor:
        """Which edges there are, bool (I, S)."""
        return _union([block.mask for block in self.all_blocks()])

    @property
    def locked(self) -> Tensor:
        """Which edges no solver may change, bool (I, S)."""
        return _union([block.locked for block in self.all_blocks()])

    def all_blocks(self) -> list[Block]:
        """The blocks, typed."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def block_of(self, source: int, target: int) -> Block | None:
        """The block that serves an edge, or None where there is no edge."""
        return next((block for block in self.all_blocks() if bool(block.mask[source, target])), None)

    def forward(self, x: Tensor) -> Tensor:
        """Any leading batch shape: (..., I) to (..., O).

        Args:
            x: inputs.

        Returns:
            The nodes' values.

        Raises:
            ShapeError: the last dimension is not I.
        """
        if x.shape[-1:] != (self.in_features,):
            raise ShapeError(f"the layer takes inputs of shape (..., {self.in_features}), got {tuple(x.shape)}")
        if x.dim() == 2:
            return merge(self.sums(x), self.nodes)
        flat = x.reshape(-1, self.in_features)
        return merge(self.sums(flat), self.nodes).reshape(*x.shape[:-1], self.out_features)

    def sums(self, x: Tensor) -> Tensor:
        """What arrives at the subnodes: (B, I) to (B, S)."""
        first, *others = self.blocks
        total = first(x)
        for block in others:
            total = total + block(x)
        return total

    def merged(self, sums: Tensor) -> Tensor:
        """What the nodes make of their subnodes: (B, S) to (B, O)."""
        return merge(sums, self.nodes)

    def trace(self, x: Tensor) -> LayerTrace:
        """All inner values for inputs of shape (B, I)."""
        edges = sum((block.edges(x) for block in self.all_blocks()), start=x.new_zeros(()))
        sums = edges.sum(dim=1)
        return LayerTrace(inputs=x, edges=edges, sums=sums, outputs=merge(sums, self.nodes))

    def adjoint(self, x: Tensor, sums: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Adjoints of the subnodes, (B, S), and of the inputs, (B, I), from those of the outputs, (B, O).

        Args:
            x: inputs, shape (B, I).
            sums: what arrives at the subnodes for these inputs, shape (B, S).
            delta: adjoints of the outputs, shape (B, O).

        Returns:
            Adjoints of the subnodes and of the inputs.
        """
        at_sums = split_adjoint(delta, sums, self.nodes)
        back = sum((block.adjoint(x, at_sums) for block in self.all_blocks()), start=at_sums.new_zeros(()))
        return at_sums, back

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        products = "" if max(self.nodes) == 1 else f", nodes={self.nodes}"
        return f"{self.in_features}, {self.out_features}{products}"


def domain_grid(domain: Domain, inputs: int, dtype: torch.dtype) -> Tensor:
    """The ends of each input's domain.

    Args:
        domain: one (low, high) for all inputs or one per input.
        inputs: number of inputs I.
        dtype: floating type of the result.

    Returns:
        Ends of shape (I, 2).

    Raises:
        DomainError: an interval is empty, reversed or not finite, or their number is wrong.
    """
    ends = torch.as_tensor(domain, dtype=dtype)
    if ends.shape == (2,):
        ends = ends.expand(inputs, 2)
    if ends.shape != (inputs, 2):
        raise DomainError(
            f"a domain is (low, high) or one such pair for each of {inputs} inputs, got shape {tuple(ends.shape)}"
        )
    for index, (low, high) in enumerate(ends.tolist()):
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise DomainError(f"the domain of input {index} must have finite ends with low < high, got ({low}, {high})")
    return ends.clone()


def _union(masks: list[Tensor]) -> Tensor:
    return torch.stack(masks).any(dim=0)


def _variance_preserving(
    basis: Basis, base: Base, grid: Tensor, outputs: int, generator: torch.Generator | None
) -> BasisBlock:
    """A block whose random start keeps the variance of values forward and of gradients backward.

    With E over the domain, σ² = 2 / (I·M·E[B²] + O·M·E[B'²·h²]) where h is half the domain's length: inputs are
    thought of in units of the domain.

    Returns:
        The block.
    """
    inputs, size = grid.shape[0], basis.size
    length = (grid[:, -1] - grid[:, 0]).unsqueeze(-1)
    squares = gram(basis, grid, 0).diagonal(dim1=1, dim2=2).mean(dim=1, keepdim=True) / length
    slopes = gram(basis, grid, 1).diagonal(dim1=1, dim2=2).mean(dim=1, keepdim=True) * length / 4
    sigma = torch.sqrt(2 / (size * (inputs * squares + outputs * slopes))).unsqueeze(-1)
    noise = torch.randn((inputs, size, outputs), generator=generator, dtype=grid.dtype).to(grid.device)
    if base is None:
        return BasisBlock(basis, grid, sigma * noise)
    weight = torch.randn((inputs, outputs), generator=generator, dtype=grid.dtype).to(grid.device)
    # The base branch carries half of the variance.
    glorot = math.sqrt(2 / (inputs + outputs))
    return BasisBlock(basis, grid, sigma / math.sqrt(2) * noise, base=base, base_weight=glorot * weight)


def linear_coefficients(basis: Basis, grid: Tensor) -> Tensor:
    """Least-squares coefficients of u(x), the input in units of its domain, −1 at the lower end and 1 at the upper.

    Args:
        basis: the function family.
        grid: its grid, shape (I, K).

    Returns:
        Coefficients of shape (I, M).
    """
    steps = torch.linspace(-1, 1, 8 * basis.size, dtype=grid.dtype, device=grid.device).unsqueeze(1)
    low, high = grid[:, 0], grid[:, -1]
    x = torch.lerp(low, high, (steps + 1) / 2)
    design = basis.values(x, grid).transpose(0, 1)
    return least_squares(design, steps.expand(grid.shape[0], *steps.shape)).squeeze(-1)
