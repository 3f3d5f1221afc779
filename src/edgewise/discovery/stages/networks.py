"""Sparse networks of growing width, each edge named by itself: for what no simple structure explains."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from edgewise.discovery.problem import Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.topology import climb
from edgewise.discovery.tree import Tree, tree_of
from edgewise.discovery.view import natural_views
from edgewise.symbolic import TOLERANCE, auto_symbolic
from edgewise.training.multilevel import Rows

_NAMES_AT_ANY_PRICE = 1e9  # tolerance that lets every edge have its best name
_SHARE = 0.5  # of the time that is left; the rest is for names


@dataclass(frozen=True)
class Networks:
    """See the module."""

    name: str = "sparse networks"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas of networks, the smallest first: names that keep the error, else the nearest names."""
        del solve
        names = [f"x{i}" for i in range(problem.x.shape[1])]
        primitives = [each.name for each in problem.rules.primitives]
        y = problem.y.unsqueeze(1)
        for view in natural_views(problem.x, y):
            now = time.monotonic()
            until = now + _SHARE * (problem.deadline - now)
            rows = Rows.split(view.inner_inputs(problem.x), view.standard_targets(y), problem.seed)
            for candidate in climb(rows, view.domain, seed=problem.seed, deadline=until):
                inner = (view.inner_inputs(problem.x), view.inner_targets(y))
                for tolerance in (TOLERANCE, _NAMES_AT_ANY_PRICE):
                    left = max(1.0, problem.deadline - time.monotonic())
                    model = view.unscaled(candidate.model)
                    named = auto_symbolic(
                        model, inner, max_time=left, seed=problem.seed, tolerance=tolerance, primitives=primitives
                    )
                    if named.is_symbolic:
                        yield tree_of(view.outer(named, problem.x, input_names=tuple(names), output_names=("y",)))
                        break
