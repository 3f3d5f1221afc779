"""`fit_multilevel`: train a network to the limit, with nothing to tune."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from edgewise.errors import OptionError
from edgewise.network import Network
from edgewise.surgery import scale_outputs
from edgewise.surgery.blocks import Model
from edgewise.threads import threads_for
from edgewise.training.fit import random_sample
from edgewise.training.gauss_newton import get_parameters
from edgewise.training.history import History, Reason
from edgewise.training.losses import MeanSquaredError
from edgewise.training.multilevel.climber import Climber, Contestant
from edgewise.training.multilevel.race import Starter, race
from edgewise.training.multilevel.rows import Rows, rmse, spread_of
from edgewise.training.multilevel.starts import restarted, thinned, warm_up
from edgewise.training.problem import training_rows

EXACT = 1e-14  # of the spread of the targets: nothing more to win
SHARE_OF_RACE = 0.85  # of the time; the rest is for training the best on all rows
_FIRST = 6  # starts that are compared before the best go on
_MOST_STARTS = 12
_UNTRAINED = 0.5  # of the spread of the targets: the error from which a new start is better than the given network
_PATIENCE = 6  # starts in a row that were not better
_SAFETY = 0.3  # of the target: an error from which no other start is tried,
_AIM = 1e-3  # but at which the best goes on: at the edge of the data new inputs do worse than held-out ones


def fit_multilevel(
    model: Model,
    data: Any,
    y: Any = None,
    *,
    target: float | None = None,
    max_time: float = 60.0,
    seed: int = 0,
) -> tuple[Model, History]:
    """Train a network from coarse splines to fine ones, from several starts, as far as the data allow.

    Each start, random or thinned by a sparse fit, is trained on a coarse grid; those that promise most go on to finer
    grids and higher degrees. At every level a smoothing that follows from the residuals keeps noise and empty cells
    from blowing up the fit. A fifth of the rows is held out to judge by; at the end the best network is trained on all.

    Args:
        model: the network, which is left as it is and serves as the first start where it explains much of the
            targets; its widths, locked edges and symbols are kept, though a sparse start may leave edges and nodes out.
        data: a `Dataset`, a pair (X, y), or X with y beside it: X of shape (N, I), y of shape (N, O) or (N,).
        y: the targets, where data is X.
        target: root mean square error on held-out rows that is good enough, in the units of y; as small as possible
            if None.
        max_time: seconds after which the best so far is returned, positive.
        seed: fixes the starts and the hold-out.

    Returns:
        A new network; and the history, with a row for each level of the best start and a note for all of them.

    Raises:
        DataError: data are missing, or hold NaN or infinite values.
        ShapeError: data do not fit the model.
        OptionError: an option is out of range.

    Example:
        >>> import torch, edgewise as ew
        >>> data = ew.create_dataset(lambda x: torch.exp(x[:, 0] + x[:, 1] ** 2), n_var=2)
        >>> model, history = ew.fit_multilevel(ew.KAN([2, 1, 1]), data, target=1e-9)
        >>> float((model(data.test_input) - data.test_target).detach().square().mean().sqrt()) < 1e-9
        True

    Source: the grid refinement of Liu et al., KAN (2024), section 2.4, made exact and combined with a higher degree.
    """
    if not max_time > 0:
        raise OptionError(f"max_time must be a positive number of seconds, got {max_time!r}")
    if target is not None and not target >= 0:
        raise OptionError(f"the target is a root mean square error of 0 or more, got {target!r}")
    started = time.monotonic()
    deadline = started + SHARE_OF_RACE * max_time
    x, y = _regression_rows(model, data, y)
    center, spread = _units(model, y)
    rows = Rows.split(x, (y - center) / spread, seed)
    enough = EXACT if target is None else max(EXACT, target / float(spread.max()))
    first = scale_outputs(model, 1 / spread, -center / spread)
    with threads_for(len(x) * len(get_parameters(model))):
        field = race(
            _starters(first, rows, seed, deadline),
            first=_FIRST,
            patience=_PATIENCE,
            target=_SAFETY * enough,
            aim=max(EXACT, _AIM * enough),
            deadline=deadline,
        )
        in_time = time.monotonic() < deadline
        best = scale_outputs(field[0].refit(x, (y - center) / spread, started + max_time), spread, center)
    assert isinstance(best, type(model))
    best.sample = random_sample(x, seed)
    reason: Reason = "converged"
    if target is not None and rmse(best, x, y) <= target:
        reason = "target"
    elif not in_time:
        reason = "max_time"
    return best, history_of(field, float(spread.square().mean()), started, reason)


def history_of(field: Sequence[Contestant], variance: float, started: float, reason: Reason) -> History:
    """A race as a history: a row for each level of the winner, a note for each level of all and for the end of each.

    Args:
        field: the networks, the best first.
        variance: of the targets: squared errors of standard targets times this are in their units. Of several targets
            both are means, so that their product weighs all of them alike, whatever their units.
        started: monotonic time of the start.
        reason: why the race ended.

    Returns:
        The history.
    """
    rows: list[dict[str, float | None]] = [
        {
            "step": number,
            "time": stage.finished - started,
            "train_loss": stage.train_error**2 * variance,
            "validation_loss": stage.error**2 * variance,
            "penalty": 0.0,
            "grid": None if stage.level is None else stage.level.grid,
            "degree": None if stage.level is None else stage.level.degree,
            "parameters": stage.parameters,
            "spline_floor": stage.floor * math.sqrt(variance),
        }
        for number, stage in enumerate((stage for stage in field[0].stages if stage.accepted), start=1)
    ]
    stages = sorted((stage for each in field for stage in each.stages), key=lambda stage: stage.finished)
    ends = (f"{each.label}: {_end(each, field[0], reason)}" for each in field)
    return History(rows=rows, reason=reason, notes=(*map(str, stages), *ends))


def _end(contestant: Contestant, winner: Contestant, reason: Reason) -> str:
    """What became of a network, and why it went no further."""
    if contestant.done:
        why = "no further level is better or affordable"
    elif reason == "max_time":
        why = "the time was up"
    else:
        why = "that is good enough" if contestant is winner else "others promise more"
    return f"{'chosen' if contestant is winner else 'left'}; {why}"


def _regression_rows(model: Network, data: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Checked inputs and targets."""
    x, target = training_rows(model, data if y is None else (data, y), MeanSquaredError())[:2]
    assert target is not None
    return x, target


def _units(model: Network, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and spread of each target, shapes (O,); 0 for the mean where a product gives it, which holds no constant."""
    is_sum = torch.tensor(model.all_layers[-1].nodes, device=y.device) == 1
    return torch.where(is_sum, y.mean(dim=0), 0.0), spread_of(y)


def _starters(model: Network, rows: Rows, seed: int, deadline: float) -> Iterator[Starter]:
    """The network as given if it is of use, then random starts, each followed by what a sparse fit leaves of it."""
    convex = len(model.all_layers) == 1 and max(model.all_layers[0].nodes) == 1
    untrained = not rows.error(model) < _UNTRAINED
    for number in range(1 if convex else _MOST_STARTS):
        start = restarted(model, seed + number) if number or untrained else model.copied()
        yield lambda start=start, number=number: _started(start, rows, f"start {number}", deadline)
        if not convex:
            yield lambda start=start, number=number: _thinned(start, rows, f"start {number}, thinned", deadline)


def _started(start: Network, rows: Rows, label: str, deadline: float) -> Climber:
    warm_up(start, rows, deadline)
    return Climber.settled(start.copied(), rows, label, deadline)


def _thinned(start: Network, rows: Rows, label: str, deadline: float) -> Climber | None:
    pruned = thinned(start, rows, deadline)
    return None if pruned is None else Climber.settled(pruned, rows, label, deadline)
