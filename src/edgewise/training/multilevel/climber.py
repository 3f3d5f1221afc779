"""One network on its way from a coarse level to finer ones."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from edgewise.network import Network
from edgewise.training.floor import spline_floor
from edgewise.training.gauss_newton import get_parameters, set_parameters
from edgewise.training.multilevel.level import Level, Splines, at_level, level_of, parameters_at, with_tight_domains
from edgewise.training.multilevel.rows import Rows, rmse
from edgewise.training.multilevel.smoothing import SmoothedObjective
from edgewise.training.objective import OutputObjective
from edgewise.training.ranges import fit_grids_to_values
from edgewise.training.solvers.levenberg_marquardt import Iteration

_STEPS = 60  # of Levenberg–Marquardt at a level, before smoothing
_SMOOTH_STEPS = 15  # after each update of the weights
_REFIT_STEPS = 60
_UPDATES = 6  # of the weights at a level
_WORTH = 0.9  # factor by which an update of the weights has to lower the error for another one to follow,
_TOLERATED = 1.05  # factor by which the error may rise: the marginal likelihood knows better than a few noisy rows
_SETTLED = 3.0  # or the weights have to grow
_WINDOW = 3  # steps over which progress is judged,
_STEPS_TO_EASE = 5  # before, where damping has to come down first
_PROGRESS = 1e-2  # of the loss in a window: below it a level is settled
_FIRST_DAMPING, _LATER_DAMPING = 1e-2, 1e-6
_STEPS_BETWEEN_GRID_MOVES = 5
_GAIN = 0.98  # factor by which the held-out error falls where a level is worth it,
_EXACT_GAIN = 0.5  # and where there is no noise that hides
_NOISE_FREE = 1e-4  # what a finer level brings
_HOPE = 1e-7  # factor by which the error of a newcomer may fall on the way to the finest level
_LEVELS_AHEAD = 2  # that are thought to bring as much as the last,
_LEVELS_AT_THE_EDGE = 1  # and where there are more functions than the samples determine
_SMOOTH = 1e-2  # held-out error below which a target may be smooth enough for polynomials
_AT_FLOOR = 3.0  # times the spline floor: an error that refinement will lower
_FAR_ABOVE_FLOOR = 20.0  # times: one that it will not
_LEARNED = 0.5  # of the spread of the targets: the error from which the splines tell of their floor
_OVERFIT = 3.0  # times the training error


@dataclass(frozen=True)
class Stage:
    """What a level brought.

    Args:
        label: which start or topology.
        level: of the splines or polynomials; None for a network of neither.
        parameters: how many were free.
        train_error: root mean square error on the training rows, in the units in which errors are judged.
        error: on the held-out rows.
        floor: what splines of this level leave at best, as estimated from their jumps; 0 where it cannot be told.
        finished: monotonic time when it was done.
        accepted: whether the network stayed at this level.
    """

    label: str
    level: Level | None
    parameters: int
    train_error: float
    error: float
    floor: float
    finished: float
    accepted: bool

    @property
    def overfits(self) -> bool:
        """Whether held-out rows do so much worse that more functions would not help."""
        return self.error > _OVERFIT * self.train_error

    @property
    def is_limited_elsewhere(self) -> bool:
        """Whether the error is so far above the spline floor that its start, its width or noise is what limits it."""
        return 0 < _FAR_ABOVE_FLOOR * self.floor < self.train_error < _LEARNED

    def __str__(self) -> str:
        """One line: what was trained, what it reached, and what follows from it."""
        level = "no splines" if self.level is None else str(self.level)
        return (
            f"{self.label}: {level}, {self.parameters} parameters, error {self.error:.2g} "
            f"(training {self.train_error:.2g}, spline floor {self.floor:.2g}): {self._verdict()}"
        )

    def _verdict(self) -> str:
        if not self.accepted:
            return "not better than before"
        if self.level is None:
            return "nothing to refine"
        if self.overfits:
            return "more than the samples determine, smoothed"
        if not isinstance(self.level, Splines):
            return "better than before"
        if self.floor > 0 and self.train_error < _AT_FLOOR * self.floor:
            return "at the spline limit, to be refined"
        if self.is_limited_elsewhere:
            return "far above the spline limit: its start, its width or noise is in the way"
        return "above the spline limit"


def last_accepted(contestant: Contestant) -> Stage:
    """The level at which a network stands; the first is always accepted."""
    return next(stage for stage in reversed(contestant.stages) if stage.accepted)


class Contestant(Protocol):
    """A network that can be given time, and that says what to expect of it."""

    label: str
    model: Network
    error: float
    done: bool
    stages: list[Stage]

    @property
    def promise(self) -> float:
        """The held-out error to be hoped for."""
        ...

    def climb(self) -> None:
        """Use some time to get better; sets `done` where nothing more is to be had."""
        ...

    def refit(self, x: Tensor, y: Tensor, deadline: float) -> Network:
        """The network fitted to all rows, as far as there is time."""
        ...


@dataclass
class Climber:
    """A network of splines or polynomials, the best so far on its way.

    Args:
        model: the network, trained as far as it is.
        rows: the data in units of training.
        label: which start or topology.
        deadline: monotonic time after which no step is taken.
    """

    model: Network
    rows: Rows
    label: str
    deadline: float
    error: float = math.inf
    done: bool = False
    gain: float = 1.0
    stages: list[Stage] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    splines: Network = field(init=False)

    def __post_init__(self) -> None:
        """The last network before polynomials is kept."""
        self.splines = self.model

    @classmethod
    def settled(cls, model: Network, rows: Rows, label: str, deadline: float, *, climbs: bool = True) -> Climber:
        """A climber trained at its first level, which may be the only one."""
        climber = cls(model, rows, label, deadline, done=not climbs)
        climber._take(model)
        return climber

    @property
    def promise(self) -> float:
        """See `Contestant.promise`: the error after some more levels that bring as much as the last.

        The first level does not tell how fast errors fall: newcomers are given the benefit of the doubt, unless their
        splines are not what limits them.
        """
        last = self.stages[-1]
        if last.overfits:
            return self.error * self.gain**_LEVELS_AT_THE_EDGE
        if len(self.stages) == 1 and not last.is_limited_elsewhere:
            return self.error * _HOPE
        return self.error * self.gain**_LEVELS_AHEAD

    def climb(self) -> None:
        """See `Contestant.climb`: the next level, or the other kind of refinement where that does not help."""
        for model, finer in self._affordable_levels():
            if time.monotonic() > self.deadline or self._take(at_level(model, finer, self.rows.x)):
                return
        self.done = True

    @torch.no_grad()
    def refit(self, x: Tensor, y: Tensor, deadline: float) -> Network:
        """See `Contestant.refit`: from where it stands, with the smoothing that was found; kept if it does no harm."""
        refitted = with_tight_domains(self.model, x)
        objective = SmoothedObjective(refitted, x, y)
        objective.set_smoothing(self.weights)
        descend(objective, _REFIT_STEPS, deadline, damping=_LATER_DAMPING)
        return refitted if rmse(refitted, x, y) <= rmse(self.model, x, y) else self.model

    def _affordable_levels(self) -> Iterator[tuple[Network, Level]]:
        for model, finer in self._levels():
            if parameters_at(model, finer) <= self.rows.most_parameters:
                yield model, finer

    def _levels(self) -> Iterator[tuple[Network, Level]]:
        """Networks to refine and the levels to try, in order.

        Polynomials come first where the target looks smooth; where they get stuck, splines go on.

        Yields:
            A network, and the level it may go to.
        """
        level, splines = level_of(self.model), level_of(self.splines)
        if isinstance(level, Splines) and self.error < _SMOOTH:
            yield self.model, level.polynomials()
        yield from ((self.model, finer) for finer in (() if level is None else level.finer()))
        if self.splines is not self.model and splines is not None and not self.stages[-1].overfits:
            yield from ((self.splines, finer) for finer in splines.finer())

    def _take(self, model: Network) -> bool:
        """Train a network and keep it if it is better than what was there."""
        weights = settle(model, self.rows, self.deadline)
        error, train_error = self.rows.error(model), self.rows.training_error(model)
        gain = _GAIN if self.error > _NOISE_FREE else _EXACT_GAIN
        accepted = not self.stages or error < gain * self.error
        stage = Stage(
            label=self.label,
            level=level_of(model),
            parameters=len(get_parameters(model)),
            train_error=train_error,
            error=error,
            floor=_floor(model, self.rows, train_error),
            finished=time.monotonic(),
            accepted=accepted,
        )
        if self.stages:
            self.gain = min(error / self.error, 1.0) if self.error > 0 else 1.0
        if accepted:
            self.model, self.error, self.weights = model, error, weights
            self.splines = model if isinstance(stage.level, Splines) else self.splines
        self.stages.append(stage)
        return accepted


def _floor(model: Network, rows: Rows, train_error: float) -> float:
    """The spline floor in the units of the training error, 0 where it cannot be told."""
    floor, inner_error = spline_floor(model, rows.x), rmse(model, rows.x, rows.y)
    outward = train_error / inner_error if inner_error > 0 else 1.0
    return floor * outward if math.isfinite(floor * outward) else 0.0


@torch.no_grad()
def settle(model: Network, rows: Rows, deadline: float) -> list[Tensor]:
    """Train a network at its level, in place, and set its smoothing by the residuals; held-out rows choose.

    Args:
        model: the network.
        rows: training and held-out rows.
        deadline: monotonic time after which no step is taken.

    Returns:
        The weights of the smoothing.
    """
    objective = SmoothedObjective(model, rows.x, rows.y)
    descend(objective, _STEPS, deadline)
    best = (rows.error(model), get_parameters(model), objective.smoothing())
    for _ in range(_UPDATES if len(best[1]) else 0):
        if time.monotonic() > deadline:
            break
        growth = objective.update_smoothing()
        descend(objective, _SMOOTH_STEPS, deadline, damping=_LATER_DAMPING)
        before, error = best[0], rows.error(model)
        noisy = before > _NOISE_FREE
        if error < (_TOLERATED if noisy else 1) * before:
            best = (error, get_parameters(model), objective.smoothing())
        if not error < _WORTH * before and not (noisy and growth > _SETTLED):
            break
    set_parameters(model, best[1])
    return best[2]


def descend(
    objective: OutputObjective,
    steps: int,
    deadline: float,
    *,
    progress: float = _PROGRESS,
    damping: float = _FIRST_DAMPING,
    room: float | None = None,
) -> None:
    """Levenberg–Marquardt until a few steps bring little.

    Args:
        objective: what is minimised, in place.
        steps: the most steps.
        deadline: monotonic time after which no step is taken.
        progress: end when the objective falls by less than this share in three steps.
        damping: λ of the first step.
        room: let the grids of hidden layers follow the values, with so much room; see `fit_grids_to_values`.
    """
    iteration, values = Iteration(objective, damping), [objective.value()]
    fewest = _WINDOW + (_STEPS_TO_EASE if damping > _LATER_DAMPING else 0)
    for step in range(steps):
        if (
            room is not None
            and step % _STEPS_BETWEEN_GRID_MOVES == 0
            and fit_grids_to_values(objective.model, objective.x, room)
        ):
            iteration, values = Iteration(objective, damping), [objective.value()]
        value, moved = iteration.advance()
        values.append(value)
        if not moved or time.monotonic() > deadline:
            return
        if len(values) > fewest and values[-1 - _WINDOW] - value <= progress * values[-1 - _WINDOW]:
            return
