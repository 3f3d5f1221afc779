"""An exact formula as a contestant of a race between networks."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from edgewise.discovery.problem import Problem
from edgewise.discovery.solver import DIRECT, EXACT, solve
from edgewise.discovery.tree import network_of, scaled
from edgewise.discovery.view import View
from edgewise.network import Network
from edgewise.training.gauss_newton import get_parameters
from edgewise.training.multilevel import Rows, Stage, rmse


@dataclass
class FormulaContestant:
    """A formula that leaves nothing; see `Contestant`. It is done at once.

    Args:
        model: its network, from the inputs to standard targets.
        label: for the history.
        error: on held-out rows.
    """

    model: Network
    label: str
    error: float
    done: bool = True
    stages: list[Stage] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Rows, view: View, seed: int, deadline: float) -> FormulaContestant | None:
        """The formula behind rows of one output, or None where none is exact.

        Args:
            rows: the data in units of training.
            view: how these rows see the table, without transforms.
            seed: fixes what is random.
            deadline: monotonic time after which the search ends.

        Returns:
            The contestant.
        """
        y = rows.y[:, 0] * view.spread[0] + view.center[0]
        problem = Problem(rows.x, y, torch.ones_like(y), noise=0.0, floor=0.0, deadline=deadline, seed=seed)
        best = solve(problem, stages=DIRECT)[0]
        if best.error > EXACT:
            return None
        spread, center = float(view.spread[0]), float(view.center[0])
        model = network_of(scaled(best.tree, 1 / spread, -center / spread), rows.x)
        error = rows.error(model)
        label = f"formula ({best.stage})"
        train_error, size = rmse(model, rows.x, rows.y), len(get_parameters(model))
        stage = Stage(label, None, size, train_error, error, 0.0, time.monotonic(), accepted=True)
        return cls(model, label, error, stages=[stage])

    @property
    def promise(self) -> float:
        """See `Contestant.promise`."""
        return self.error

    def climb(self) -> None:
        """See `Contestant.climb`: there is nothing to be had."""

    def refit(self, x: Tensor, y: Tensor, deadline: float) -> Network:
        """See `Contestant.refit`: it is exact as it is."""
        del x, y, deadline
        return self.model
