"""y = 1/z for a target with poles: z has none, and all stages may look for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from edgewise.discovery.problem import Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.surrogate import noise_level
from edgewise.discovery.tree import Curve, Tree

_FAR, _NEAR = 30.0, 0.02  # absolute values of a target with poles, relative to their median


class Inverse:
    """See the module."""

    name = "inverse of the target"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Inverses of the formulas of 1/y."""
        if not has_poles(problem.y) or "1/x" in problem.rules.forbidden:
            return
        z, even = 1 / problem.y, torch.ones_like(problem.y)  # errors by their true size would count poles alone
        noise = noise_level(problem.x, z, even, problem.seed)
        for tree in solve(replace(problem, y=z, scale=even, noise=noise)):
            yield Curve("1/x", tree)


def has_poles(y: Tensor) -> bool:
    """Whether some values are far from 0 and none is near it, so that its sign, if at all, changes at poles."""
    size = y.abs() / y.abs().median()
    return float(size.max()) > _FAR and float(size.min()) > _NEAR
