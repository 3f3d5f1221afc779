"""`KAN`: the user's class. A network whose one-line methods call the folders beside this file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from edgewise.basis import Basis, BSpline
from edgewise.errors import OptionError
from edgewise.network import (
    BasisBlock,
    Domain,
    KANLayer,
    Network,
    NodeWidth,
    Options,
    arities,
    check_names,
    domain_grid,
    linear_coefficients,
)
from edgewise.network.base import Base
from edgewise.training import History, fit

_SAMPLE_ROWS = 256


class KAN(Network):
    def __init__(  # noqa: PLR0913 - the options of a network, all with defaults
        self,
        width: Sequence[NodeWidth],
        *,
        basis: Basis | Sequence[Basis] | None = None,
        base: Base = None,
        domain: Domain = (-1.0, 1.0),
        seed: int = 0,
        noise: float = 0.1,
        slope: float = 0.5,
        dtype: torch.dtype = torch.float64,
        input_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
    ) -> None:
        nodes = [arities(entry) for entry in width]
        bases = [basis or BSpline()] * (len(nodes) - 1) if basis is None or isinstance(basis, Basis) else list(basis)
        generator = torch.Generator().manual_seed(seed)
        layers = []
        for index, layer_basis in enumerate(bases):
            inputs = len(nodes[index])
            grid = domain_grid(domain if index == 0 else (-1.0, 1.0), inputs, dtype)
            block = _start(layer_basis, base, grid, sum(nodes[index + 1]), generator, noise, slope)
            layers.append(KANLayer.from_blocks([block], nodes[index + 1], inputs))
        ends = domain_grid(domain, len(nodes[0]), dtype)
        sample = torch.lerp(ends[:, 0], ends[:, 1], torch.rand((_SAMPLE_ROWS, len(nodes[0])), generator=generator, dtype=dtype))
        super().__init__(layers, sample=sample)

    def fit(self, data: Any, y: Any = None, **options: Any) -> History:
        return fit(self, data, y, **options)


def _start(basis, base, grid, outputs, generator, noise, slope):
    inputs = grid.shape[0]
    random = torch.randn((inputs, basis.size, outputs), generator=generator, dtype=grid.dtype)
    slopes = torch.randn((inputs, 1, outputs), generator=generator, dtype=grid.dtype)
    c = noise * random + slope * slopes / inputs**0.5 * linear_coefficients(basis, grid).unsqueeze(-1)
    return BasisBlock(basis, grid, c, base=base)
