"""y = 1/z for a target with poles: z has none, and all stages may look for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from edgewise.discovery.problem import Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.surrogate import noise_level
from edgewise.discovery.tree import Curve, Tree


class Inverse:
    """See the module."""

    name = "inverse of the target"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Inverses of the formulas of 1/y."""
        if not problem.has_poles or "1/x" in problem.rules.forbidden:
            return
        # The errors are left as those of y: by those of 1/y rows at poles would be all that counts.
        inverse = replace(problem, y=1 / problem.y, rules=problem.rules.of_part())
        if inverse.has_poles:
            return
        noise = noise_level(inverse.x, inverse.y, inverse.scale, inverse.seed)
        for tree in solve(replace(inverse, noise=noise)):
            yield Curve("1/x", tree)
