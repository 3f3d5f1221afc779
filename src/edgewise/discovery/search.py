"""One discovery under way: columns in units of ordinary size, the search, and constants made exact."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from edgewise.data import column_transforms
from edgewise.discovery.formulas import Formula, rated
from edgewise.discovery.noise import with_judged_noise
from edgewise.discovery.outliers import inliers, smooth_inliers
from edgewise.discovery.problem import Problem
from edgewise.discovery.rules import Rules
from edgewise.discovery.solver import EXACT, STAGES, Finding, front, solve
from edgewise.discovery.stages.networks import Networks
from edgewise.discovery.surrogate import errors_are_relative
from edgewise.discovery.tree import (
    Input,
    Tree,
    complexity,
    constant,
    evaluate,
    network_of,
    scaled,
    substituted,
    tree_of,
)
from edgewise.kan import KAN
from edgewise.network import Options
from edgewise.symbolic import canonical, rounded, snapped
from edgewise.threads import threads_for
from edgewise.training import MeanSquaredError, fit_in_search

_MOST_COMPLEX = 100  # of a tree that a reader can make use of
_SNAPPED = 8  # formulas whose constants are made exact where the data allow
_CLOSE = 40.0  # bits, what round constants may save
_STEPS = 60
_SHARE_OF_SEARCH = 0.8  # of the time
_SHARE_WITH_CONSTANTS = 0.95  # of the time; the rest is for the step that is under way then
_ORDINARY = (1e-3, 1e3)  # columns of other magnitudes are searched in units of their own
_ROWS = 10_000  # for constants
_LEAST_RELATIVE = 1e-3  # of the median of y: errors of smaller values are no smaller
_NEWS = 0.999  # factor by which an error has to fall to be worth a line
_MOST_ROUNDS = 3  # of leaving out outliers

Watch = Callable[[str], None]


@dataclass(frozen=True)
class Question:
    """What a search was asked. A search that goes on with another's formulas begins anew where it is asked another.

    Args:
        rules: what formulas may be made of.
        noise: standard deviation of the errors of y, or None to have it judged by the data.
        robust: whether rows far from what the others say are left out.
        own: names of primitives that were registered beside those of the library.
        table: fingerprint of the rows and their weights.
    """

    rules: Rules
    noise: float | None
    robust: bool
    own: tuple[str, ...]
    table: str


def fingerprint(*tensors: Tensor | None) -> str:
    """A text that is the same for the same tensors only."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(b"none" if tensor is None else repr(tuple(tensor.shape)).encode() + tensor.numpy().tobytes())
    return found.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to search.

    Args:
        question: what is asked.
        jobs: processes.
        seed: fixes what is random.
        started: monotonic time from which the time counts.
        max_time: seconds.
    """

    question: Question
    jobs: int
    seed: int
    started: float
    max_time: float


@dataclass
class Search:
    """One discovery under way.

    Args:
        x: inputs in the user's units, shape (N, I).
        y: target, shape (N, 1).
        weights: how much each row counts, above 0, shape (N,); None where nothing is known.
        options: names of inputs and target.
        settings: how to search.
        watch: told of every step; nobody is if not given.
    """

    x: Tensor
    y: Tensor
    weights: Tensor | None
    options: Options
    settings: Settings
    watch: Watch | None
    stages: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    found: list[Finding] = field(default_factory=list)
    noted: float | None = None

    def __post_init__(self) -> None:
        """Choose units, and guess what no formula can explain."""
        settings, y = self.settings, self.y[:, 0]
        self.units = torch.tensor([_unit(column) for column in self.x.T], dtype=self.x.dtype)
        self.unit = _unit(y)
        inner = y / self.unit
        self.everything = Problem(
            x=self.x / self.units,
            y=inner,
            scale=self._scale(inner),
            noise=0.0,
            floor=0.0,
            deadline=settings.started + _SHARE_OF_SEARCH * settings.max_time,
            seed=settings.seed,
            rules=settings.question.rules,
        )
        self.kept = torch.ones_like(y, dtype=torch.bool)

    def run(
        self, start: Sequence[KAN], finished: Sequence[str] = (), kept: Tensor | None = None
    ) -> list[tuple[Formula, KAN]]:
        """Search, and rate what was found.

        Args:
            start: symbolic networks in the user's units that are known already.
            finished: stages that need not be tried again.
            kept: rows that are no outliers, bool (N,), where a search that is gone on with has told them.

        Returns:
            Formulas, and the network of each before its constants were made exact; one at least.
        """
        self.finished += finished
        with threads_for(self.x.numel() * _SNAPPED):
            try:
                self._search(start, kept)
            except KeyboardInterrupt:
                self._note("interrupted: the formulas found so far are returned")
            return self._formulas()

    def _search(self, start: Sequence[KAN], kept: Tensor | None) -> None:
        everything = self.everything
        if kept is not None:
            self._keep(kept)
        elif self.settings.question.robust and not everything.is_constant:
            self._keep(smooth_inliers(everything))
        for _ in range(_MOST_ROUNDS):
            problem = self._problem()
            self.found = self._known(start, problem) + self.found
            best = solve(
                problem,
                stages=STAGES,
                finished=self.finished,
                found=self.found,
                jobs=self.settings.jobs,
                report=self._report,
            )
            self._report("", best)
            if not self.settings.question.robust or problem.is_constant or time.monotonic() > problem.deadline:
                break
            kept = inliers(evaluate(self.found[0].tree, everything.x) - everything.y, everything)
            if torch.equal(kept, self.kept):
                break
            self.finished.clear()
            self._keep(kept)
            rows = self._rows()
            known = [] if rows.is_constant else self.found
            self.found = [replace(each, error=rows.error(each.tree)) for each in known]
            self.noted = None

    def _keep(self, kept: Tensor) -> None:
        self.kept = kept
        count = int((~kept).sum())
        if count:
            self._note(f"{count} of {len(kept)} rows are far from what the others say and are left out")

    def _problem(self) -> Problem:
        """The rows that are kept, and what no formula can explain of them."""
        problem = self._rows()
        if problem.is_constant:
            return problem
        noise = self.settings.question.noise
        if noise is not None:
            return replace(problem, noise=noise / self.unit / problem.spread, noise_freedom=math.inf)
        return with_judged_noise(problem)

    def _rows(self) -> Problem:
        return self.everything.of_rows(self.kept)

    def _scale(self, inner: Tensor) -> Tensor:
        """How large the errors of y are thought to be, up to a common factor."""
        if self.weights is not None:
            return (self.weights / self.weights.mean()).rsqrt()
        spans_decades = self.settings.question.noise is None and column_transforms(self.y) == ("log",)
        if spans_decades and errors_are_relative(self.x / self.units, inner, self.settings.seed):
            return inner.abs().clamp_min(_LEAST_RELATIVE * float(inner.abs().median()))
        return torch.ones_like(inner)

    def _known(self, models: Sequence[KAN], problem: Problem) -> list[Finding]:
        """Formulas in the user's units as those of the search, where they keep the rules."""
        if problem.is_constant:
            return []
        inputs: dict[int, Tree] = {i: scaled(Input(i), unit) for i, unit in enumerate(self.units.tolist())}
        trees = [scaled(substituted(tree_of(model), inputs), 1 / self.unit) for model in models]
        return [Finding(tree, problem.error(tree), "given") for tree in trees if problem.rules.allow(tree)]

    def _report(self, stage: str, found: list[Finding], came_to_its_end: bool = True) -> None:
        best = found[0]
        if (self.noted is None or best.error < _NEWS * self.noted) and (best.error < 1 or not stage):
            self.noted = best.error
            self._note(f"{best.stage}: error {best.error:.2g} of the target's spread")
        self.found = found
        # Networks are searched for in a share of the time: with more of it there may be more of them.
        if stage and came_to_its_end and stage != Networks.name:
            self.finished.append(stage)
        if stage and self.watch is not None:
            self.watch(f"{stage} done; best so far: {self._shown(best.tree)}  (error {best.error:.2g})")

    def _note(self, line: str) -> None:
        self.stages.append(line)
        if self.watch is not None:
            self.watch(line)

    def _shown(self, tree: Tree) -> str:
        """A formula with short numbers, for a line of progress."""
        expression = self._network(tree).symbolic_formula()
        assert not isinstance(expression, list)
        return str(expression.evalf(4))

    def _formulas(self) -> list[tuple[Formula, KAN]]:
        """The formulas found, and each before its constants were made exact."""
        problem = self._rows()
        x, y, scale = self.x[self.kept], self.y[self.kept], problem.scale.unsqueeze(1)
        weights = None if self.weights is None else self.weights[self.kept].unsqueeze(1)
        is_exact = bool(self.found) and self.found[0].error < EXACT
        flat = constant(problem.mean)
        shown = [*front(self.found), *([] if is_exact else self._close(problem))]
        trees = [each.tree for each in shown]
        simple = [tree for tree in trees if complexity(tree) <= _MOST_COMPLEX] or sorted(trees, key=complexity)[:1]
        distinct = list(dict.fromkeys([*(_plain(tree, problem.x) for tree in simple), flat]))
        exact = self._with_exact_constants(distinct[: 1 if is_exact else _SNAPPED], problem)
        formulas = []
        for tree in distinct:
            network = self._network(tree)
            tried = (exact.get(tree, network), network)  # a number made exact may leave a row without a value
            forms = (rated(each, x, y, scale=scale, weights=weights) for each in tried)
            formula = next((each for each in forms if each is not None), None)
            if formula is not None and (tree == flat or formula.complexity <= problem.rules.most_complex):
                formulas.append((formula, network))
        return formulas

    def _close(self, problem: Problem) -> list[Finding]:
        """Formulas that round constants may make better than the best."""
        bits = [each.bits(problem) for each in self.found]
        return [each for each, own in zip(self.found, bits, strict=True) if own < min(bits) + _CLOSE]

    @property
    def _deadline(self) -> float:
        """When no more constants are made exact."""
        return self.settings.started + _SHARE_WITH_CONSTANTS * self.settings.max_time

    def _with_exact_constants(self, trees: Sequence[Tree], problem: Problem) -> dict[Tree, KAN]:
        """Their networks with constants as simple as the data allow, as far as there is time."""
        exact: dict[Tree, KAN] = {}
        try:
            for tree in trees:
                if time.monotonic() < self._deadline:
                    exact[tree] = self._exact(tree, problem)
        except KeyboardInterrupt:
            self._note("interrupted: constants are left as they were fitted")
        return exact

    def _exact(self, tree: Tree, problem: Problem) -> KAN:
        """The network of a formula with constants as simple as the data allow."""
        few = problem.thinned(_ROWS)
        model = network_of(tree_of(canonical(network_of(tree, few.x))), few.x, hold=True)
        y, weights = few.y.unsqueeze(1), few.scale**-2
        self._fit(model, few.x, y, weights)
        model, snaps = snapped(model, few.x, y, MeanSquaredError(), weights, deadline=self._deadline)
        model, rounds = rounded(model, few.x, y, MeanSquaredError(), weights, deadline=self._deadline)
        self._fit(model, few.x, y, weights)
        # A number that is 1 exactly has no unit any more, and what it made up for may be impossible.
        simple = tree_of(model)
        possible = problem.rules.dimensions is None or problem.rules.dimensions.allow(simple)
        if not possible:
            return self._network(tree)
        simplified = (*snaps, *rounds)
        return self._network(simple, (*self._own_units(), *simplified) if simplified else ())

    def _own_units(self) -> tuple[str, ...]:
        """A line on the units of the search, where it has some of its own: constants are simplified in these."""
        names = (*(self.options.input_names or ()), *(self.options.output_names or ()))
        units = zip(names, (*self.units.tolist(), self.unit), strict=True)
        own = [f"{name} in units of {unit:g}" for name, unit in units if unit != 1]
        return (f"constants below are those of a table with {', '.join(own)}",) if own else ()

    def _fit(self, model: KAN, x: Tensor, y: Tensor, weights: Tensor) -> None:
        """Fit all constants together in the time that is left."""
        left = self._deadline - time.monotonic()
        if left > 0:
            fit_in_search(model, x, y, weights=weights, steps=_STEPS, solver="lm", max_time=left)

    def _network(self, tree: Tree, notes: tuple[str, ...] = ()) -> KAN:
        """The network of a formula in the user's units."""
        options = replace(self.options, notes=notes)
        if self.unit != 1 or bool((self.units != 1).any()):
            inputs: dict[int, Tree] = {i: scaled(Input(i), 1 / unit) for i, unit in enumerate(self.units.tolist())}
            tree = scaled(substituted(tree, inputs), self.unit)
            return canonical(network_of(tree, self.x, options))
        return network_of(tree, self.x, options)


def _plain(tree: Tree, x: Tensor) -> Tree:
    """A formula without numbers that say nothing, as the 1 of exp(x + 1)/e."""
    plainer = tree_of(canonical(network_of(tree, x)))
    return plainer if complexity(plainer) < complexity(tree) else tree


def _unit(column: Tensor) -> float:
    """A power of ten near the size of a column, 1 where that is ordinary."""
    there = column[column != 0].abs()
    size = float(there.median()) if len(there) else 0.0
    low, high = _ORDINARY
    return 1.0 if low <= size <= high or size == 0 else 10.0 ** round(math.log10(size))
