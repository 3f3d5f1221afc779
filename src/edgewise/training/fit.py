"""`fit`: train a network's parameters on data, in place."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from edgewise.errors import OptionError
from edgewise.network import SAMPLE_SIZE, Network
from edgewise.threads import threads_for
from edgewise.training.anchor import Anchor
from edgewise.training.history import History, Reason
from edgewise.training.losses import Loss, ModelLoss, find_loss
from edgewise.training.objective import Objective
from edgewise.training.penalties import Penalty
from edgewise.training.problem import DataRows, objective_of, training_rows, weighted
from edgewise.training.progress import Progress
from edgewise.training.ranges import AT_REST, ON_THE_WAY, fit_grids_to_values
from edgewise.training.solvers import LBFGS, Adam, LevenbergMarquardt, Run, Solver, Step

_STEPS_BETWEEN_GRID_MOVES = 5
_CALM_AFTER = 0.7  # of the steps: then grids stay, so that the solver can converge

_SOLVERS: dict[str, Solver] = {"lm": LevenbergMarquardt(), "lbfgs": LBFGS(), "adam": Adam()}

Callback = Callable[[Network, dict[str, float | None]], bool | None]


@dataclass(kw_only=True)
class Stopping:
    """When a fit ends before its last step.

    Args:
        target: end when the loss (of validation data, if there are any) is at most this.
        patience: end when it has not improved for this many steps.
        max_time: end after this many seconds.
    """

    target: float | None = None
    patience: int | None = None
    max_time: float | None = None

    def reason(self, score: float | None, stale: int, elapsed: float, converged: bool) -> Reason | None:
        """Why to stop now, or None."""
        if self.target is not None and score is not None and score <= self.target:
            return "target"
        if converged:
            return "converged"
        if self.patience is not None and stale >= self.patience:
            return "patience"
        if self.max_time is not None and elapsed >= self.max_time:
            return "max_time"
        return None


def fit(  # noqa: PLR0913 - the options of a training, all with defaults
    model: Network,
    data: Any,
    y: Any = None,
    *,
    solver: str | Solver = "auto",
    steps: int = 100,
    loss: str | Loss | ModelLoss = "mse",
    penalty: Penalty | None = None,
    anchor: Anchor | None = None,
    weights: Any = None,
    validation: float | Any = None,
    batch: int | None = None,
    patience: int | None = None,
    max_time: float | None = None,
    target: float | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
    seed: int = 0,
) -> History:
    """Train a network in place.

    Args:
        model: the network; its parameters, the grids of its hidden layers and its sample change.
        data: a `Dataset`, a pair (X, y), a mapping with "train_input" and "train_target", or X with y beside it.
            X has shape (N, I), y (N, O) or, for one output or class labels, (N,).
        y: the targets, where data is X.
        solver: "auto", "lm", "lbfgs", "adam" or a solver object. "auto" is Levenberg–Marquardt where the loss has
            residual rows and the network at most 3000 free parameters, or where samples times outputs are at most 4000
            and there is no penalty; Adam where a batch is given; else L-BFGS.
        steps: the most steps.
        loss: "mse", "cross_entropy", "poisson" (the outputs are logarithms of rates, the targets counts), a `Loss`, or
            a callable of (model, batch) that returns a 0-d objective or 1-d residual rows. The batch is (X, y), or X
            where there are no targets.
        penalty: added to the loss, such as `Sparsity()`.
        anchor: what `edgewise.remember` kept of earlier data. Its sum is added to the sum of the losses of these rows,
            so that rows count alike, old or new; the total is divided by the number of these rows. Grids stay where
            they are, so the domains have to reach over all that is to come.
        weights: how much each row of the training data counts, shape (N,), 0 or more and not all zero. A row of
            weight 2 counts like two of the same, one of weight 0 is left out; only their ratios matter.
        validation: a share of the rows to hold out, or data of its own; the best step is chosen by its loss.
        batch: rows of a minibatch, for first-order solvers.
        patience: end when the loss has not improved for this many steps; with a batch, passes over the data.
        max_time: end after this many seconds.
        target: end when the loss is at most this, that of the validation data if there are any.
        callbacks: called after every step with the model and the row of the history; a true result ends the fit.
        progress: show the progress on standard error.
        seed: fixes what is random: the hold-out, the sample and the minibatches.

    Returns:
        What happened, step by step, and why it ended. The model holds the best parameters seen, also when the fit was
        interrupted from the keyboard.

    Raises:
        DataError: data are missing, or hold NaN or infinite values, or weights are negative or all zero.
        ShapeError: data do not fit the model.
        OptionError: an option is unknown or out of range, a callable loss is given weights, or the anchor is that of
            another network.

    Example:
        >>> import edgewise as ew
        >>> data = ew.create_dataset(lambda x: x[:, 0] ** 2 + x[:, 1], n_var=2, train_num=200)
        >>> model = ew.KAN([2, 1], seed=1)
        >>> history = ew.fit(model, data, steps=60)
        >>> history.last["train_loss"] < 1e-20
        True
        >>> history.reason, history.detail
        ('converged', 'no step lowers the objective, up to rounding')
    """
    _check_options(steps, batch, patience, max_time)
    chosen_loss = find_loss(loss)
    rows = DataRows(*training_rows(model, (data, y) if y is not None else data, chosen_loss))
    if weights is not None:
        rows = weighted(rows, weights, chosen_loss)
    rows, held_out = _hold_out(model, rows, validation, chosen_loss, seed)
    kept = None if anchor is None else anchor.checked(model).times(1 / len(rows.x))
    objective = objective_of(model, rows, chosen_loss, penalty, kept)
    run = _choose_solver(solver, objective, batch).start(objective, seed=seed)
    model.sample = random_sample(rows.x, seed)
    stopping = Stopping(target=target, patience=patience, max_time=max_time)
    scored = None if held_out is None else objective_of(model, held_out, chosen_loss, anchor=kept)
    training = _Training(model, objective, run, scored, stopping, list(callbacks), steps)
    with (
        threads_for(len(objective.x) * objective.parameters.numel()),
        Progress(steps) if progress else nullcontext() as shown,
    ):
        return training.train(shown)


def fit_in_search(model: Network, x: Tensor, y: Tensor, **options: Any) -> History:
    """`fit` as one step of a longer search, which is what Ctrl-C is meant to end.

    Args:
        model: the network, trained in place.
        x: inputs, shape (N, I).
        y: targets as the loss takes them.
        **options: of `fit`.

    Returns:
        What happened.

    Raises:
        KeyboardInterrupt: the fit was interrupted.
    """
    history = fit(model, x, y, **options)
    if history.reason == "interrupted":
        raise KeyboardInterrupt
    return history


@dataclass
class _Training:
    """One fit under way: takes steps, keeps the best parameters, and knows when to end."""

    model: Network
    objective: Objective
    run: Run
    held_out: Objective | None
    stopping: Stopping
    callbacks: list[Callback]
    steps: int
    history: History = field(default_factory=History)
    best: tuple[float, dict[str, Tensor]] | None = None
    stale: int = 0
    compared: bool = True

    def train(self, shown: Progress | None) -> History:
        """Take all steps; keyboard interrupts end the fit like any other reason."""
        started = time.monotonic()
        try:
            self._remember_if_best(self.objective.value())
            for number in range(1, self.steps + 1):
                reason = self._step(number, started, shown)
                if reason is not None:
                    self.history.reason = reason
                    break
        except KeyboardInterrupt:
            self.history.reason = "interrupted"
        if not self.compared:
            self._remember_if_best(None)
        if self.best is not None:
            self.model.load_state_dict(self.best[1])
        return self.history

    def _step(self, number: int, started: float, shown: Progress | None) -> Reason | None:
        # An anchor is about the coefficients on the grids as they are.
        calm = number > _CALM_AFTER * self.steps or self.objective.anchor is not None
        if not calm and number % _STEPS_BETWEEN_GRID_MOVES == 1:
            self._move_grids(ON_THE_WAY)
        self.compared = False
        step = self.run.step()
        validation = None
        if step.whole or number == self.steps:
            validation = self._remember_if_best(step.loss + step.penalty if step.exact else None)
        row = _row(number, time.monotonic() - started, step, validation)
        self.history.append(row)
        if shown is not None:
            shown.show(row)
        if any([callback(self.model, row) for callback in self.callbacks]):  # noqa: C419 - all are to be called
            return "target"
        elapsed = time.monotonic() - started
        # A solver that is done on grids that no longer fit the values is not done.
        converged = step.converged and (calm or not self._move_grids(AT_REST))
        self.history.detail = step.detail if converged else ""
        return self.stopping.reason(self._goal(step, validation), self.stale, elapsed, converged)

    def _goal(self, step: Step, validation: float | None) -> float | None:
        """The loss that the target is compared with; None where this step's parameters were not compared."""
        if not self.compared or self.held_out is not None or self.stopping.target is None:
            return validation
        return step.loss if step.exact else float(self.objective.loss().detach())

    def _move_grids(self, room: float) -> bool:
        moved = fit_grids_to_values(self.model, self.objective.x, room)
        if moved:
            self.run.restart()
            self.best = None  # what was best stood on other grids
            self._remember_if_best(self.objective.value())
        return moved

    def _remember_if_best(self, objective: float | None) -> float | None:
        """Keep the parameters if they are the best so far.

        Args:
            objective: loss and penalty at the present parameters, computed here if None.

        Returns:
            The validation loss, or None without validation data.
        """
        validation = None if self.held_out is None else float(self.held_out.loss().detach())
        self.compared = True
        if self.held_out is not None:
            score = self.held_out.value()
        else:
            score = self.objective.value() if objective is None else objective
        if self.best is None or score < self.best[0]:
            self.best = (score, {name: value.detach().clone() for name, value in self.model.state_dict().items()})
            self.stale = 0
        else:
            self.stale += 1
        return validation


def _row(number: int, elapsed: float, step: Step, validation: float | None) -> dict[str, float | None]:
    return {
        "step": number,
        "time": elapsed,
        "train_loss": step.loss,
        "validation_loss": validation,
        "penalty": step.penalty,
        **step.figures,
    }


def _check_options(steps: int, batch: int | None, patience: int | None, max_time: float | None) -> None:
    """Refuse numbers out of range."""
    for name, value, least in (("steps", steps, 0), ("batch", batch, 1), ("patience", patience, 1)):
        if value is not None and (not isinstance(value, int) or value < least):
            raise OptionError(f"{name} must be a whole number of {least} or more, got {value!r}")
    if max_time is not None and not max_time > 0:
        raise OptionError(f"max_time must be a positive number of seconds, got {max_time!r}")


def _hold_out(
    model: Network, rows: DataRows, validation: float | Any, loss: Loss | ModelLoss, seed: int
) -> tuple[DataRows, DataRows | None]:
    """Split off validation rows, which keep their weights, or read them from the data given for it."""
    if validation is None:
        return rows, None
    if not isinstance(validation, float):
        return rows, DataRows(*training_rows(model, validation, loss))
    total = len(rows.x)
    count = round(validation * total)
    if not 0 < validation < 1 or not 0 < count < total:
        raise OptionError(
            f"validation is data, or a share between 0 and 1 that leaves some of {total} rows on both sides; "
            f"got {validation}"
        )
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed)).to(rows.x.device)
    return rows[order[count:]], rows[order[:count]]


def _choose_solver(solver: str | Solver, objective: Objective, batch: int | None) -> Solver:
    """The solver that an option names; "auto" decides by size and by what the loss offers."""
    if solver == "auto":
        solver = "adam" if batch is not None else ("lm" if objective.suits_second_order() else "lbfgs")
    if isinstance(solver, str):
        if solver not in _SOLVERS:
            raise OptionError(
                f"unknown solver {solver!r}; use 'auto', {', '.join(map(repr, _SOLVERS))} or a solver object"
            )
        solver = _SOLVERS[solver]
    if batch is None:
        return solver
    if not isinstance(solver, Adam):
        raise OptionError(f"{type(solver).__name__} works on all rows at once; leave batch out or use solver='adam'")
    return replace(solver, batch=batch)


def random_sample(x: Tensor, seed: int) -> Tensor:
    """At most SAMPLE_SIZE rows of the inputs."""
    if len(x) <= SAMPLE_SIZE:
        return x.detach().clone()
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:SAMPLE_SIZE]
    return x[chosen.to(x.device)].detach().clone()
