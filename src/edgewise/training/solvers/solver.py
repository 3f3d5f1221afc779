"""The protocol of solvers: a frozen configuration starts a run, a run takes steps on an objective."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edgewise.training.objective import Objective


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one step reached.

    Args:
        loss: the loss without the penalty.
        penalty: the penalty.
        figures: the solver's own figures (damping, learning rate, …).
        converged: no further step can make progress.
        exact: loss and penalty are those of all data at the parameters now in the model.
        whole: a pass over the data is complete; in between, nothing is compared or validated.
        detail: how it converged, in words; empty where it did not.
    """

    loss: float
    penalty: float
    figures: dict[str, float] = field(default_factory=dict)
    converged: bool = False
    exact: bool = True
    whole: bool = True
    detail: str = ""


class Run(Protocol):
    """One run of a solver."""

    def step(self) -> Step:
        """Change the model's parameters once."""
        ...

    def restart(self) -> None:
        """Forget what was learned of the objective: a grid has moved."""
        ...


class Solver(Protocol):
    """The configuration of a solver."""

    def start(self, objective: Objective, *, seed: int) -> Run:
        """A run on an objective; `seed` fixes what is random in it."""
        ...
