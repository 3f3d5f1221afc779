"""Topologies to try where no width is given, from additive to general."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.basis import Basis, BSpline
from edgewise.kan import KAN
from edgewise.network import Domain, NodeWidth
from edgewise.surgery.blocks import without_edges
from edgewise.training.gauss_newton import get_parameters

_LINE = BSpline(grid=1, degree=1)
_FEW = 6  # inputs up to which deep and nested networks are tried


@dataclass(frozen=True)
class Topology:
    """How to build a network of one shape.

    Args:
        label: what it is called in the history.
        build: from a basis, the domain of the inputs and a seed.
        thin: whether a sparse fit is to leave out what is not needed.
    """

    label: str
    build: Callable[[Basis, Domain, int], KAN]
    thin: bool = False


def ladder(inputs: int, outputs: int) -> Iterator[Topology]:
    """All topologies in the order in which they are worth trying.

    Args:
        inputs: number of inputs.
        outputs: number of outputs.

    Yields:
        Topologies; some appear twice, for another start.
    """
    yield _sums("additive", [inputs, outputs])
    one_sum = _sums("one sum", [inputs, 1, outputs])
    yield one_sum
    if inputs == 1:
        yield _sums("three sums", [1, 3, outputs])
        return
    one_product = _products(1, inputs, outputs, outer=True)
    yield from (one_product, one_sum, one_product)
    if 2 < inputs <= _FEW:
        yield from [_sums("two layers", [inputs, inputs, 2, outputs])] * 3
        yield from [_nested(inputs, outputs, rank=1)] * 2
    yield _products(2, inputs, outputs, outer=True)
    yield _sums("thinned sums", [inputs, inputs, outputs], thin=True)
    yield _products(4, inputs, outputs, outer=True)
    if 2 < inputs <= _FEW:
        yield from [_nested(inputs, outputs, rank=4)] * 2
    yield _products(8, inputs, outputs, outer=False)
    yield _sums("many thinned sums", [inputs, 2 * inputs + 1, outputs], thin=True)
    yield _sums("many sums", [inputs, 2 * inputs + 1, outputs])
    if inputs <= _FEW:
        yield from [_sums("two thinned layers", [inputs, inputs, 2, outputs], thin=True)] * 2
    yield _products(12, inputs, outputs, outer=False)


def parameters_of(topology: Topology, inputs: int, basis: Basis) -> int:
    """How many parameters a topology has at the start."""
    return len(get_parameters(topology.build(basis, [(-1.0, 1.0)] * inputs, 0)))


def _sums(label: str, width: Sequence[NodeWidth], *, thin: bool = False) -> Topology:
    def build(basis: Basis, domain: Domain, seed: int) -> KAN:
        return KAN(width, basis=basis, domain=domain, seed=seed)

    return Topology(label, build, thin)


def _products(rank: int, inputs: int, outputs: int, *, outer: bool) -> Topology:
    """Σ_r Π_i φ_ri(x_i), within an outer function or not."""

    def build(basis: Basis, domain: Domain, seed: int) -> KAN:
        width: list[NodeWidth] = [inputs, [0, (inputs,) * rank], *([1] if outer else []), outputs]
        model = KAN(width, basis=[basis, _LINE, *([basis] if outer else [])], domain=domain, seed=seed)
        return _with_separate_factors(model, 0, rank)

    return Topology(f"{rank} product{'s' * (rank > 1)} of all inputs{', outer function' * outer}", build)


def _nested(inputs: int, outputs: int, *, rank: int) -> Topology:
    """Σ_r φ_r(h_1)·ψ_r(h_2) of two sums of the inputs: a function of two combinations."""

    def build(basis: Basis, domain: Domain, seed: int) -> KAN:
        width: list[NodeWidth] = [inputs, 2, [0, (2,) * rank], outputs]
        model = KAN(width, basis=[basis, basis, _LINE], domain=domain, seed=seed)
        return _with_separate_factors(model, 1, rank)

    return Topology(f"{rank} product{'s' * (rank > 1)} of two sums", build)


def _with_separate_factors(model: KAN, index: int, rank: int) -> KAN:
    """The network in which the k-th factor of every product depends on the k-th input of its layer alone."""
    layer = model.all_layers[index]
    keep: Tensor = torch.eye(layer.in_features, dtype=torch.bool).repeat(1, rank)
    return model.with_layer(index, without_edges(layer, ~keep))
