"""y = Π x_i^a_i · f(dimensionless groups): fewer inputs, and no sum that units forbid."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from edgewise.discovery.problem import Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.tree import Tree, constant, monomial, product_of, substituted


class Dimensional:
    """See the module."""

    name = "dimensional analysis"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas of the groups, where the units of a table give fewer groups than it has inputs."""
        dimensions = problem.rules.dimensions
        groups = None if dimensions is None else dimensions.groups()
        if groups is None or len(groups.groups) == problem.x.shape[1]:
            return
        factor = (problem.x ** torch.tensor(groups.factor, dtype=problem.x.dtype)).prod(dim=1)
        rows = [(problem.x ** torch.tensor(each, dtype=problem.x.dtype)).prod(dim=1) for each in groups.groups]
        inner = problem.divided(torch.stack(rows, dim=1) if rows else problem.x[:, :0], factor)
        if not bool(inner.y.isfinite().all() & inner.x.isfinite().all() & (factor != 0).all()):
            return
        outside = monomial(dict(enumerate(groups.factor)))
        if not rows:
            yield product_of(outside, constant(inner.mean))
            return
        inside = {k: monomial(dict(enumerate(each))) for k, each in enumerate(groups.groups)}
        for tree in solve(inner):
            yield product_of(outside, substituted(tree, inside))
