"""y = f(z) with z a simple combination of the inputs: the one along which neighbouring rows are most alike.

No smooth fit in all inputs is needed: f may have poles and turn often.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from edgewise.discovery.library import combinations_of_inputs
from edgewise.discovery.problem import Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.tree import Tree, evaluate, inputs_in, substituted

_ROWS = 1000
_ALIKE = 0.1  # half the mean square difference of neighbours, relative to the variance
_TAIL = 0.05  # share of the rows at either end that are left out, where z is large and rows are few


class Combined:
    """See the module."""

    name = "curve of a combination"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas of the best combination."""
        inputs = problem.x.shape[1]
        if inputs < 2:
            return
        few = problem.thinned(_ROWS)
        library = combinations_of_inputs(few.x, problem.rules)
        ranks = few.y.argsort(stable=True).argsort().to(few.y.dtype)
        along = ranks[library.values.argsort(dim=0, stable=True)]
        unlike = along.diff(dim=0).square().mean(dim=0) / (2 * ranks.var())
        several = torch.tensor([len(inputs_in(tree)) > 1 for tree in library.trees])
        best = int(torch.where(several, unlike, torch.inf).argmin())
        if not float(unlike[best]) < _ALIKE:
            return
        z = evaluate(library.trees[best], problem.x)
        low, high = z.quantile(_TAIL), z.quantile(1 - _TAIL)
        kept = (z >= low) & (z <= high)
        for tree in solve(problem.some(kept).of_inputs(z[kept].unsqueeze(1))):
            yield substituted(tree, {0: library.trees[best]})
