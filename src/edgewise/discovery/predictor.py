"""The best predictor of a table: view, topology, level and smoothing chosen by held-out data."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.basis import Basis
from edgewise.discovery.analytic import MOST_INPUTS, AnalyticContestant, quick_fit, rows_on_unit_interval
from edgewise.discovery.committee import consensus, possibly_best, supported
from edgewise.discovery.formula_contestant import FormulaContestant
from edgewise.discovery.ladder import Topology, ladder, parameters_of
from edgewise.discovery.surrogate import smooth_error
from edgewise.discovery.view import View, natural_views, possible_views
from edgewise.errors import OptionError
from edgewise.kan import KAN
from edgewise.network import Domain, NodeWidth, arities, check_names
from edgewise.threads import threads_for
from edgewise.training import History
from edgewise.training.multilevel import (
    EXACT,
    SHARE_OF_RACE,
    Climber,
    Contestant,
    Rows,
    Starter,
    history_of,
    last_accepted,
    race,
    spread_of,
    thinned,
    warm_up,
)
from edgewise.training.multilevel.level import START

_FIRST = 3  # topologies of each view that are compared before the best go on
_PATIENCE = 4  # topologies in a row that were not better
_STARTS_OF_WIDTH = 6
_USUAL_PARAMETERS = 400  # of a network on the way: decides about threads
_EXCELLENT = 1e-12  # of the spread of the targets: an error from which simpler is better, and nothing new is started
_WORTH = 0.5  # factor by which a transformed view has to beat the plain one,
_MUCH_BETTER = 0.05  # and by which it has to for the plain one not to be tried
_WORDS = {"log": "logarithm", "x^2": "square", "1/x": "reciprocal"}
_MOST_ANALYTIC_INPUTS = 4  # of more, functions take too many products
_ANALYTIC_SHARE = 0.4  # of the time
_FORMULA_SHARE = 0.4
_SHARP = 1e-3  # error of the best network, below which it is alone, unless a formula does as well
_MOST, _MOST_RIVALS = 16, 8  # networks that may predict together, and that may be as good as the best
_NOISY = 0.2  # error of the best network, from which a formula is not to be hoped for


@dataclass(frozen=True)
class TableFit:
    """A network fitted to a table.

    Args:
        model: in the user's units.
        history: of the network, with a note for everything that was tried.
        notes: what was chosen, a line each.
        residuals: on rows that were held out, in the user's units, shape (M, O); empty where none were.
        members: networks whose consensus predicts, as held-out rows cannot tell which of them is best; else the model
            alone. The residuals are theirs.
        is_law: whether the model is a formula with few constants that are not exact, which holds beyond the rows.
    """

    model: KAN
    history: History
    notes: tuple[str, ...]
    residuals: Tensor
    members: tuple[KAN, ...]
    is_law: bool


def fit_table(
    x: Tensor,
    y: Tensor,
    *,
    width: Sequence[NodeWidth] | None = None,
    basis: Basis | None = None,
    max_time: float | None = None,
    seed: int = 0,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> TableFit:
    """Fit a network to a table, with nothing to tune.

    Inputs and targets are tried as they are, by their logarithm and, for targets, by their square and reciprocal.
    Topologies from additive to general race against each other from coarse splines to fine ones, together with a
    quick search for a formula and a linear fit of products of polynomials; held-out rows choose. Then the choice
    is trained on all rows.

    Args:
        x: inputs, shape (N, I), float64.
        y: targets, shape (N, O), float64.
        width: of the network, inputs and outputs included; chosen if not given.
        basis: function family of every edge, kept as it is; splines of growing resolution if not given.
        max_time: seconds after which nothing new is tried.
        seed: fixes what is random.
        input_names: one per input.
        output_names: one per output.

    Returns:
        The network in the user's units.

    Raises:
        OptionError: the width does not fit the table.

    Example:
        >>> import torch
        >>> from edgewise.discovery import fit_table
        >>> x = torch.rand(100, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        >>> fitted = fit_table(x, 1e6 * x**2, width=[1, 1])
        >>> float((fitted.model(x) - 1e6 * x**2).detach().abs().max()) < 1e-3
        True
    """
    started = time.monotonic()
    end = math.inf if max_time is None else started + max_time
    deadline = math.inf if max_time is None else started + SHARE_OF_RACE * max_time
    inputs, outputs = x.shape[1], y.shape[1]
    of_inputs = check_names(input_names, inputs, "inputs") or tuple(f"x{i}" for i in range(inputs))
    numbered = ("y",) if outputs == 1 else tuple(f"y{i}" for i in range(outputs))
    of_outputs = check_names(output_names, outputs, "outputs") or numbered
    if width is not None and (width[0] != inputs or len(arities(width[-1])) != outputs):
        raise OptionError(f"the table has {inputs} inputs and {outputs} outputs, which the width {width} does not fit")
    if width is not None and max(arities(width[-1])) > 1:
        raise OptionError(f"outputs that are products hold no mean; append a layer of {outputs} sums to {width}")
    search = _Search(x, y, width, basis, seed, deadline)
    with threads_for(len(x) * _USUAL_PARAMETERS):
        field = race(
            search.starters(),
            first=_FIRST * len(search.views) + 1,
            patience=_PATIENCE * len(search.views) if search.rows[0].judged_apart else 0,
            target=_EXCELLENT,
            aim=EXACT,
            deadline=deadline,
        )
        best = _simplest_of_the_best(field)
        committee = search.committee(best, field)
        best, in_time = committee[0], time.monotonic() < deadline
        members = [search.finished(each, end, input_names=of_inputs, output_names=of_outputs) for each in committee]
    history = history_of(
        [best, *(each for each in field if each is not best)],
        float(y.var(dim=0, correction=0).mean()),
        started,
        "converged" if in_time else "max_time",
    )
    return TableFit(
        model=members[0],
        history=history,
        notes=_notes(best, *search.seen_by(best), (*of_inputs, *of_outputs)),
        residuals=consensus([search.residuals(each) for each in committee]),
        members=tuple(members),
        is_law=_is_law(best),
    )


def _is_law(contestant: Contestant) -> bool:
    return isinstance(contestant, FormulaContestant) and contestant.is_law


def _simplest_of_the_best(field: Sequence[Contestant]) -> Contestant:
    """The network of fewest parameters among those that are excellent, else the one of the least error."""
    excellent = [each for each in field if each.error <= max(_EXCELLENT, field[0].error)]
    return min(excellent, key=lambda each: last_accepted(each).parameters)


def _notes(best: Contestant, view: View, rows: Rows, names: tuple[str, ...]) -> tuple[str, ...]:
    level = last_accepted(best).level
    by = "held-out rows" if rows.judged_apart else "the few rows it was trained on"
    notes = [f"{best.label}, width {best.model.width}{'' if level is None else f', {level}'}, chosen by {by}"]
    transformed = [
        f"{name} by its {_WORDS[how]}"
        for name, how in zip(names, (*view.inputs, *view.outputs), strict=True)
        if how != "x"
    ]
    return (*notes, *([f"seen through: {', '.join(transformed)}"] if transformed else []))


class _Search:
    """Everything that may be tried on a table.

    Args:
        x: inputs, shape (N, I).
        y: targets, shape (N, O).
        width: of the network, or None.
        basis: of every edge, or None.
        seed: fixes what is random.
        deadline: monotonic time after which no step is taken.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        width: Sequence[NodeWidth] | None,
        basis: Basis | None,
        seed: int,
        deadline: float,
    ) -> None:
        self.x, self.y = x, y
        self.width, self.basis, self.seed, self.deadline = width, basis, seed, deadline
        self.center, self.spread = y.mean(dim=0), spread_of(y)
        self.views = self._promising_views()
        self.rows = [self._rows(view) for view in self.views]
        self._seen: list[tuple[Contestant, View, Rows]] = []

    @property
    def is_open(self) -> bool:
        """Whether any network of one output may be the answer."""
        return self.width is None and self.basis is None and self.y.shape[1] == 1

    def starters(self) -> Iterator[Starter]:
        """The networks to try, the most promising first."""
        inputs, outputs = self.x.shape[1], self.y.shape[1]
        if self.width is not None:
            topology = Topology("given width", self._build_given)
            topologies = [topology] if len(self.width) == 2 else [topology] * _STARTS_OF_WIDTH
        else:
            topologies = list(ladder(inputs, outputs))
        for position, topology in enumerate(topologies):
            for number in range(len(self.views)):
                if position == 0 or self._is_affordable(topology):
                    yield lambda number=number, topology=topology, position=position: self._started(
                        number, topology, self.seed + position
                    )
            if position == _FIRST - 1 and self.is_open and self.rows[0].judged_apart:
                yield self._formula
                for number in range(len(self.views) if inputs <= _MOST_ANALYTIC_INPUTS else 0):
                    yield lambda number=number: self._analytic(number)

    def seen_by(self, contestant: Contestant) -> tuple[View, Rows]:
        """How a network of the race sees the table."""
        return next((view, rows) for each, view, rows in self._seen if each is contestant)

    def residuals(self, contestant: Contestant) -> Tensor:
        """Of the held-out rows, in the user's units."""
        _, rows = self.seen_by(contestant)
        if not rows.judged_apart:
            return self.y[:0]
        with torch.no_grad():
            return (rows.outward(contestant.model(rows.x_held)) - rows.y_held) * self.spread

    def committee(self, best: Contestant, field: Sequence[Contestant]) -> list[Contestant]:
        """Those that predict together: the best alone, or with others that may be as good or make it better."""
        if not self.rows[0].judged_apart:
            return [best]
        compared = [best, *(each for each in field[:_MOST] if each is not best and math.isfinite(each.error))]
        residuals = torch.stack([self.residuals(each) / self.spread for each in compared])
        possible = {0, *possibly_best(residuals[:_MOST_RIVALS].square().mean(dim=2), self.seed)}
        law = next((compared[place] for place in sorted(possible) if _is_law(compared[place])), None)
        if law is not None:
            return [law]
        if best.error < _SHARP:
            return [best]
        return [compared[place] for place in supported(residuals, sorted(possible))]

    def finished(
        self, contestant: Contestant, end: float, *, input_names: tuple[str, ...], output_names: tuple[str, ...]
    ) -> KAN:
        """A network trained on all rows, in the user's units."""
        view, _ = self.seen_by(contestant)
        refitted = contestant.refit(view.inner_inputs(self.x), view.standard_targets(self.y), end)
        assert isinstance(refitted, KAN)
        return view.outer(view.unscaled(refitted), self.x, input_names=input_names, output_names=output_names)

    def _started(self, number: int, topology: Topology, seed: int) -> Climber | None:
        view, rows = self.views[number], self.rows[number]
        basis = START.basis if self.basis is None else self.basis
        model = topology.build(basis, view.domain.tolist(), seed)
        warm_up(model, rows, self.deadline)
        if topology.thin:
            model = thinned(model, rows, self.deadline)
            if model is None:
                return None
        climbs = self.basis is None and rows.judged_apart
        climber = Climber.settled(model, rows, topology.label, self.deadline, climbs=climbs)
        self._seen.append((climber, view, rows))
        return climber

    def _analytic(self, number: int) -> AnalyticContestant | None:
        view, rows = self.views[number], self.rows[number]
        until = self._share_of_time(_ANALYTIC_SHARE)
        contestant = AnalyticContestant.of(rows, view.domain, "products of polynomials", until)
        if contestant is not None:
            self._seen.append((contestant, view, rows))
        return contestant

    def _formula(self) -> FormulaContestant | None:
        errors = [each.error for each, *_ in self._seen]
        if min(*errors, smooth_error(self.x, self.y[:, 0], self.seed)) > _NOISY:
            return None
        view = possible_views(self.x, self.y)[0]
        rows = self._rows(view)
        contestant = FormulaContestant.of(rows, view, self.seed, self._share_of_time(_FORMULA_SHARE))
        if contestant is not None:
            self._seen.append((contestant, view, rows))
        return contestant

    def _share_of_time(self, share: float) -> float:
        """The deadline of something that may take a share of the time that is left."""
        now = time.monotonic()
        return now + share * (self.deadline - now)

    def _build_given(self, basis: Basis, domain: Domain, seed: int) -> KAN:
        assert self.width is not None
        return KAN(self.width, basis=basis, domain=domain, seed=seed)

    def _is_affordable(self, topology: Topology) -> bool:
        if self.width is not None:
            return True
        basis = START.basis if self.basis is None else self.basis
        return parameters_of(topology, self.x.shape[1], basis) <= self.rows[0].most_parameters

    def _promising_views(self) -> list[View]:
        """The plain view, before it another one if that makes the table much easier to fit."""
        if self.x.shape[1] > MOST_INPUTS or self.y.shape[1] > 1:
            return natural_views(self.x, self.y)
        plain, *others = possible_views(self.x, self.y)
        errors = {
            id(view): quick_fit(rows_on_unit_interval(self._rows(view), view.domain)).error for view in (plain, *others)
        }
        best = min((plain, *others), key=lambda view: errors[id(view)])
        share = errors[id(best)] / errors[id(plain)] if errors[id(plain)] > 0 else 1.0
        return [plain] if share > _WORTH else ([best] if share < _MUCH_BETTER else [best, plain])

    def _rows(self, view: View) -> Rows:
        """Rows whose errors are judged in the user's units, in which the targets have spread 1."""
        raw = Rows.split(self.x, (self.y - self.center) / self.spread, self.seed)
        x, y = raw.x, raw.y * self.spread + self.center

        def outward(standard: Tensor) -> Tensor:
            return (view.outer_targets(standard) - self.center) / self.spread

        inner = view.inner_inputs(x)
        held = inner if not raw.judged_apart else view.inner_inputs(raw.x_held)
        return Rows(inner, view.standard_targets(y), held, raw.y_held, outward)
