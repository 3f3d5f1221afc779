"""L-BFGS on the whole data set, by torch's implementation with a strong-Wolfe line search."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.training.objective import Objective
from edgewise.training.solvers.solver import Step


@dataclass(frozen=True, kw_only=True)
class LBFGS:
    """Limited-memory BFGS.

    Args:
        history: number of updates that approximate the inverse curvature.
        learning_rate: length of the first trial step of a line search.
        tolerance: converged when the gradient's largest entry or the change of the objective falls below it.

    Example:
        >>> from edgewise import LBFGS
        >>> LBFGS(history=20)
        LBFGS(history=20, learning_rate=1.0, tolerance=1e-15)

    Source: Liu and Nocedal, On the limited memory BFGS method (1989).
    """

    history: int = 50
    learning_rate: float = 1.0
    tolerance: float = 1e-15

    def start(self, objective: Objective, *, seed: int) -> LBFGSRun:
        """See `Solver.start`; nothing is random."""
        del seed
        return LBFGSRun(self, objective)


class LBFGSRun:
    """One run; see `Run`."""

    def __init__(self, options: LBFGS, objective: Objective) -> None:
        self.options = options
        self.objective = objective
        self.restart()

    def restart(self) -> None:
        """See `Run.restart`."""
        self.fresh = True
        self.optimizer = torch.optim.LBFGS(
            self.objective.model.parameters(),
            lr=self.options.learning_rate,
            max_iter=1,
            max_eval=25,
            history_size=self.options.history,
            tolerance_grad=self.options.tolerance,
            tolerance_change=self.options.tolerance,
            line_search_fn="strong_wolfe",
        )

    def step(self) -> Step:
        """See `Run.step`; a step to where the objective is not finite is undone, and the next one starts afresh."""
        before, fresh, self.fresh = self.objective.parameters, self.fresh, False
        self.optimizer.step(self._closure)
        value = self.objective.value()
        failed = not math.isfinite(value)
        if failed:
            self.objective.parameters = before
            self.restart()
            value = self.objective.value()
        with torch.enable_grad():
            penalty = float(self.objective.penalty_value().detach())
        unmoved = bool((self.objective.parameters == before).all())
        stuck = unmoved and (fresh or not failed)
        return Step(loss=value - penalty, penalty=penalty, converged=stuck)

    def _closure(self) -> Tensor:
        with torch.enable_grad():
            self.optimizer.zero_grad()
            total = self.objective.total()
            total.backward()
        return total.detach()
