"""L-BFGS on the whole data set, by torch's implementation with a strong-Wolfe line search."""

from __future__ import annotations

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
        self.plateau = 1.0
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
        """See `Run.step`."""
        before = self.objective.parameters
        self.optimizer.step(self._closure)
        value = self.objective.value()
        with torch.enable_grad():
            penalty = float(self.objective.penalty_value().detach())
        stuck = bool((self.objective.parameters == before).all())
        detail = "no step changes the parameters" if stuck else ""
        return Step(loss=value - penalty, penalty=penalty, converged=stuck, detail=detail)

    def _closure(self) -> Tensor:
        """The objective and its gradient; a plateau above all values seen where it is not finite."""
        with torch.enable_grad():
            self.optimizer.zero_grad()
            total = self.objective.total()
            if not bool(total.isfinite()):
                for parameter in self.objective.model.parameters():
                    parameter.grad = torch.zeros_like(parameter)
                return torch.full_like(total.detach(), self.plateau)
            total.backward()
        self.plateau = max(self.plateau, 2 * abs(float(total.detach())))
        return total.detach()
