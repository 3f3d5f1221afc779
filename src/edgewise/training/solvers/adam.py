"""Adam on minibatches, for large data and deep networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.errors import OptionError
from edgewise.training.objective import Objective
from edgewise.training.solvers.solver import Step


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam; one step is one minibatch.

    Args:
        learning_rate: positive.
        batch: rows of a minibatch; all if None. `fit(batch=…)` sets it too.
        decay: decoupled weight decay, as in AdamW; 0 or more.

    Raises:
        OptionError: the learning rate or the batch is not positive.

    Example:
        >>> from edgewise import Adam
        >>> Adam(learning_rate=1e-2, batch=256)
        Adam(learning_rate=0.01, batch=256, decay=0.0)

    Source: Kingma and Ba, Adam (2015); Loshchilov and Hutter, Decoupled weight decay regularization (2019).
    """

    learning_rate: float = 1e-2
    batch: int | None = None
    decay: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not self.learning_rate > 0 or (self.batch is not None and self.batch < 1):
            raise OptionError(f"the learning rate and the batch must be positive, got {self}")

    def start(self, objective: Objective, *, seed: int) -> AdamRun:
        """See `Solver.start`; the seed orders the minibatches."""
        return AdamRun(self, objective, torch.Generator().manual_seed(seed))


class AdamRun:
    """One run; see `Run`."""

    def __init__(self, options: Adam, objective: Objective, generator: torch.Generator) -> None:
        self.options = options
        self.objective = objective
        self.generator = generator
        self.waiting: list[Tensor] = []
        self.restart()

    def restart(self) -> None:
        """See `Run.restart`."""
        parameters = self.objective.model.parameters()
        self.optimizer = torch.optim.AdamW(parameters, lr=self.options.learning_rate, weight_decay=self.options.decay)

    def step(self) -> Step:
        """See `Run.step`; the figures are those of the minibatch, before the step."""
        batch = self._next_batch()
        with torch.enable_grad():
            self.optimizer.zero_grad()
            loss = batch.loss()
            penalty = batch.penalty_value()
            (loss + penalty).backward()
        self._update()
        whole = not self.waiting
        return Step(loss=float(loss.detach()), penalty=float(penalty.detach()), exact=False, whole=whole)

    def _update(self) -> None:
        """The optimiser's step, with decay only of what has ever had a gradient: locked edges have none."""
        parameters = list(self.objective.model.parameters())
        before = [parameter.detach().clone() for parameter in parameters] if self.options.decay else []
        self.optimizer.step()
        for parameter, old in zip(parameters, before, strict=False):
            moment = self.optimizer.state[parameter].get("exp_avg_sq")
            if moment is not None:
                parameter.data.copy_(torch.where(moment == 0, old, parameter.data))

    def _next_batch(self) -> Objective:
        rows = self.objective.x.shape[0]
        if self.options.batch is None or self.options.batch >= rows:
            return self.objective
        if not self.waiting:
            order = torch.randperm(rows, generator=self.generator).to(self.objective.x.device)
            self.waiting = list(order.split(self.options.batch))
        return self.objective.batch(self.waiting.pop())
