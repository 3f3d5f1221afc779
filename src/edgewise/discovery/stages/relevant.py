"""Tables of many inputs of which some tell nothing: the problem of the others."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from edgewise.discovery.problem import Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.surrogate import Surrogate
from edgewise.discovery.tree import Tree, on_inputs

_FEW = 5  # inputs: the other stages find those that matter among so many
_ROWS = 400
_USABLE = 0.5  # error of the fit, relative to the spread of the target
_AS_GOOD = 1.1  # factor by which the error may rise without the inputs that tell nothing


class Relevant:
    """See the module."""

    name = "inputs that matter"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas of the inputs without which a smooth fit would be worse, where not all are such."""
        inputs = problem.x.shape[1]
        if inputs <= _FEW:
            return
        few = problem.thinned(_ROWS)
        surrogate = Surrogate(few)
        if surrogate.error > _USABLE:
            return
        kept = [i for i in range(inputs) if _effect(surrogate, few, i) > surrogate.error]
        if not 0 < len(kept) < inputs:
            return
        # What moves the fit by less than its error may matter, too.
        if Surrogate(few.of_inputs(few.x[:, kept])).error > _AS_GOOD * surrogate.error:
            return
        for tree in solve(problem.of_inputs(problem.x[:, kept])):
            yield on_inputs(tree, kept)


def _effect(surrogate: Surrogate, problem: Problem, index: int) -> float:
    """How far the fit moves with one input, which takes the values of other rows, relative to the target's spread."""
    order = torch.randperm(len(problem.x), generator=torch.Generator().manual_seed(1))
    moved = problem.x.clone()
    moved[:, index] = moved[order, index]
    return float((surrogate(moved) - surrogate(problem.x)).square().mean().sqrt()) / surrogate.spread
