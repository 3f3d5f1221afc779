"""Gradient and Gauss–Newton curvature of a network's loss, assembled from the structure of its Jacobian.

The Jacobian of the outputs in the parameters of one edge is δ ⊗ features: the adjoint of the subnode at which the edge
arrives, times the derivatives of the edge's output by its own parameters. No autograd graph is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from edgewise.kernels import gram
from edgewise.network import Block, KANLayer, Network

_CHUNK_ELEMENTS = 8_000_000  # of a Jacobian held at one time
_SCALE_FLOOR = 1e-8  # of the largest diagonal entry: flat directions are damped like others


class QuadraticModel(Protocol):
    """An objective near the present parameters, as damped steps need it: with curvature H, gradient g and scale D."""

    @property
    def value(self) -> float:
        """The objective."""
        ...

    @property
    def gradient(self) -> Tensor:
        """Shape (P,)."""
        ...

    @property
    def scale(self) -> Tensor:
        """The diagonal D that damping is relative to, shape (P,)."""
        ...

    def solve(self, damping: float) -> Tensor | None:
        """The step with (H + damping·D)·step = −g, shape (P,), or None where it cannot be computed."""
        ...


def floored(diagonal: Tensor, largest: float | None = None) -> Tensor:
    """The diagonal of a curvature with flat directions raised to a share of the largest entry, its own if not given."""
    return diagonal.clamp_min(_SCALE_FLOOR * (float(diagonal.max()) if largest is None else largest))


@dataclass(frozen=True)
class Linearisation:
    """The quadratic model whose curvature is a matrix: steps by its Cholesky factor, P³/3 multiplications.

    Args:
        value: the objective.
        gradient: shape (P,).
        curvature: shape (P, P), positive semi-definite.
    """

    value: float
    gradient: Tensor
    curvature: Tensor

    @property
    def scale(self) -> Tensor:
        """See `QuadraticModel.scale`."""
        return floored(self.curvature.diagonal())

    def solve(self, damping: float) -> Tensor | None:
        """See `QuadraticModel.solve`; None where the damped curvature is not numerically positive definite."""
        return cholesky_solution(self.curvature, damping * self.scale, -self.gradient)

    def at(self, step: Tensor) -> Tensor:
        """Its value a step away, 0-d, differentiable by the step, which has shape (P,)."""
        return self.value + (self.gradient + self.curvature @ step / 2) @ step

    def moved(self, step: Tensor) -> Linearisation:
        """The same quadratic function, written about a point that is a step away."""
        return Linearisation(float(self.at(step)), self.gradient + self.curvature @ step, self.curvature)

    def plus(self, other: Linearisation) -> Linearisation:
        """The sum of two about the same point."""
        return Linearisation(self.value + other.value, self.gradient + other.gradient, self.curvature + other.curvature)

    def times(self, factor: float) -> Linearisation:
        """A multiple."""
        return Linearisation(factor * self.value, factor * self.gradient, factor * self.curvature)


def cholesky_solution(matrix: Tensor, added: Tensor | float, rhs: Tensor) -> Tensor | None:
    """(matrix + diag(added))⁻¹·rhs, or None where the sum is not numerically positive definite."""
    damped = matrix.clone()
    damped.diagonal().add_(added)
    factor, info = torch.linalg.cholesky_ex(damped)
    if int(info) != 0:
        return None
    solution = torch.cholesky_solve(rhs.unsqueeze(1), factor).squeeze(1)
    return solution if bool(solution.isfinite().all()) else None


def blocks_of(model: Network) -> list[Block]:
    """All blocks of a network, in the order of its flat parameter vector."""
    return [block for layer in model.all_layers for block in layer.all_blocks()]


def get_parameters(model: Network) -> Tensor:
    """All free parameters as one vector, shape (P,)."""
    return torch.cat([block.gather().flatten() for block in blocks_of(model)])


def differentiable_parameters(model: Network) -> Tensor:
    """The same with gradients."""
    return torch.cat([block.gather(list(block.parameters())).flatten() for block in blocks_of(model)])


def set_parameters(model: Network, values: Tensor) -> None:
    """Set all free parameters from one vector, shape (P,)."""
    start = 0
    for block in blocks_of(model):
        shape = block.gather().shape
        block.scatter_(values[start : start + shape.numel()].view(shape))
        start += shape.numel()


def gather_gradients(model: Network, grads: dict[str, Tensor | None]) -> Tensor:
    """Gradients of the named parameters as one vector of free parameters, with any leading dimensions."""
    columns = []
    for index, layer in enumerate(model.all_layers):
        for position, block in enumerate(layer.all_blocks()):
            names = [f"layers.{index}.blocks.{position}.{name}" for name, _ in block.named_parameters()]
            columns.append(block.gather([grads[name] for name in names]).flatten(-2))
    leading = max((column.shape[:-1] for column in columns), key=len)
    return torch.cat([column.expand(*leading, -1) for column in columns], dim=-1)


def block_slices(model: Network) -> Iterator[tuple[KANLayer, int, Block, int]]:
    """(layer, its index, block, where the block's parameters start) in the order of the flat vector."""
    start = 0
    for index, layer in enumerate(model.all_layers):
        for block in layer.all_blocks():
            yield layer, index, block, start
            start += block.gather().numel()


@torch.no_grad()
def jacobian_rows(model: Network, x: Tensor, factor: Tensor) -> Tensor:
    """Rows Σ_o factor[n, o, r]·∂y_o(x_n)/∂parameters.

    Args:
        model: the network.
        x: inputs, shape (N, I).
        factor: weights of the outputs for each of R rows per sample, shape (N, O, R).

    Returns:
        Rows of shape (R, N, P).
    """
    inputs, sums = forward_values(model, x)
    features = [
        [block.features(at) for block in layer.all_blocks()] for layer, at in zip(model.all_layers, inputs, strict=True)
    ]
    per_row = []
    for r in range(factor.shape[2]):
        columns = []
        for layer, deltas, own in zip(
            model.all_layers, adjoints(model, inputs, sums, factor[:, :, r]), features, strict=True
        ):
            for block, values in zip(layer.all_blocks(), own, strict=True):
                columns.append((values * deltas[:, block.free_edges()[1]].unsqueeze(-1)).flatten(1))
        per_row.append(torch.cat(columns, dim=1))
    return torch.stack(per_row)


@torch.no_grad()
def forward_values(model: Network, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Every layer's inputs, (N, I_l), and sums, (N, S_l)."""
    inputs, sums = [], []
    for layer in model.all_layers:
        inputs.append(x)
        sums.append(layer.sums(x))
        x = layer.merged(sums[-1])
    return inputs, sums


@torch.no_grad()
def accumulate(model: Network, x: Tensor, factor: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient Jᵀρ and curvature JᵀJ, a mean over samples, in chunks: J is never held whole.

    Args:
        model: the network.
        x: inputs, shape (N, I).
        factor: shape (N, O, R), from `Loss.rows`.
        rows: ρ of shape (N, R).

    Returns:
        Gradient (P,) and curvature (P, P).
    """
    columns = get_parameters(model).numel() + 1  # ρ is the last column of J, so that one product gives both results
    entries = 1 + sum(len(block.free_edges()[0]) * block.entries for block in blocks_of(model))
    sparse = gram.why_not(entries, columns, x) is None
    half = x.new_zeros((columns, columns))
    numbers = factor.shape[2] * (entries if sparse else columns)
    for part in torch.arange(x.shape[0], device=x.device).split(max(1, _CHUNK_ELEMENTS // numbers)):
        add_product = _add_sparse_product if sparse else _add_dense_product
        add_product(model, x[part], factor[part], rows[part], half)
    total = (half + half.T).div_(x.shape[0])
    return total[:-1, -1], total[:-1, :-1]


def _add_dense_product(model: Network, x: Tensor, factor: Tensor, rows: Tensor, half: Tensor) -> None:
    """Add half of [J, ρ]ᵀ[J, ρ] with J formed."""
    jacobian = jacobian_rows(model, x, factor).flatten(0, 1)
    half[:-1, :-1].addmm_(jacobian.T, jacobian, alpha=0.5)
    half[:-1, -1].addmv_(jacobian.T, rows.T.flatten())


def _add_sparse_product(model: Network, x: Tensor, factor: Tensor, rows: Tensor, half: Tensor) -> None:
    """Add half of [J, ρ]ᵀ[J, ρ] from the parts of J that are not zero."""
    inputs, sums = forward_values(model, x)
    located = [
        (index, start, block.gather().shape[1], block.free_edges()[1].tolist(), block.sparse_features(inputs[index]))
        for _, index, block, start in block_slices(model)
    ]
    ones, none = torch.ones_like(x[:, 0]), torch.zeros(len(x), dtype=torch.int32)
    for r in range(factor.shape[2]):
        deltas = [delta.T.contiguous() for delta in adjoints(model, inputs, sums, factor[:, :, r])]
        segments = [gram.Segment(rows[:, r : r + 1], ones, none, len(half) - 1)]
        for index, start, size, targets, features in located:
            for parts in features:
                values, first, delta = parts.values.contiguous(), parts.first.contiguous(), deltas[index]
                for edge, (source, target) in enumerate(zip(parts.source.tolist(), targets, strict=True)):
                    segments.append(gram.Segment(values[source], delta[target], first[source], start + edge * size))
        gram.add_half_gram(segments, half)


@torch.no_grad()
def adjoints(model: Network, inputs: list[Tensor], sums: list[Tensor], delta: Tensor) -> list[Tensor]:
    """The adjoints of every layer's subnodes, (N, S_l), from those of the outputs, (N, O)."""
    deltas = []
    for index in reversed(range(len(inputs))):
        at_sums, delta = model.all_layers[index].adjoint(inputs[index], sums[index], delta)
        deltas.append(at_sums)
    return deltas[::-1]
