"""The recursive search: stages propose formulas, problems that they reduce are solved in turn."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import cast

import joblib
import torch

from edgewise.discovery.problem import HOPELESS, Problem
from edgewise.discovery.stage import Solve, Stage
from edgewise.discovery.stages.additive import Additive
from edgewise.discovery.stages.breaks import Breaks
from edgewise.discovery.stages.combined import Combined
from edgewise.discovery.stages.curves import Curves
from edgewise.discovery.stages.dimensional import Dimensional
from edgewise.discovery.stages.factored_quotients import FactoredQuotients
from edgewise.discovery.stages.inverse import Inverse
from edgewise.discovery.stages.networks import Networks
from edgewise.discovery.stages.polynomials import Polynomials, Quotients
from edgewise.discovery.stages.products import Products
from edgewise.discovery.stages.relevant import Relevant
from edgewise.discovery.stages.ridge import Ridge
from edgewise.discovery.stages.strip import Strip
from edgewise.discovery.stages.structure import Structure
from edgewise.discovery.stages.sums import Sums
from edgewise.discovery.stages.surrounded import Surrounded
from edgewise.discovery.stages.surrounded_quotients import SurroundedQuotients
from edgewise.discovery.stages.varying import Varying
from edgewise.discovery.surrogate import looks_like_noise
from edgewise.discovery.tree import (
    Tree,
    complexity,
    constant,
    constants,
    evaluate,
    network_of,
    on_inputs,
    tree_of,
)
from edgewise.primitives import Primitive, get_primitive, primitives, register_primitive
from edgewise.symbolic import Size, canonical, description_length
from edgewise.training import fit_in_search

EXACT = 1e-9  # error relative to the spread of a target without noise: the formula is found
_FIRST: tuple[Stage, ...] = (Products(), Polynomials(), Quotients(), Curves())
_OTHERS: tuple[Stage, ...] = (
    Ridge(), Strip(), Curves.deep(), Sums(), Surrounded(), SurroundedQuotients(), FactoredQuotients(), Varying(),
    Inverse(), Combined(), Surrounded.deep(), Additive(), Curves.deepest(),
)  # fmt: skip
DIRECT: tuple[Stage, ...] = (*_FIRST, *_OTHERS, Breaks())
"""Stages that need no more than seconds."""
STAGES: tuple[Stage, ...] = (Dimensional(), *_FIRST, Relevant(), *_OTHERS, Structure(), Breaks(), Networks())
_KEPT = 8
_DEEPEST = 3
_REFITTED = 2  # formulas of a stage whose constants are fitted together
_STEPS = 20
_ROWS, _NOISY_ROWS = 300, 4000
_PROMISING = 0.5  # error from which that is worth the time
_QUICK, _QUICK_FOR_MANY = len(_FIRST), 13  # stages before a formula of few, or of many constants is believed
_PLAIN = 5  # complexity of a formula than which there is hardly a simpler one
_SIMPLE = 20  # complexity of a formula that is believed as soon as it leaves noise
_REGULAR, _FEW = 40, 3  # complexity of such a formula, if it has no more constants than few
_MORE = 8  # proposals of a stage that are looked at after such a formula: the next may be simpler
_READABLE = 60  # complexity of a formula whose constants are worth the time
_NOISE = 3e-4  # errors below are no noise that a measurement has
_UNEXPLAINED = 0.5  # error of a formula that explains little
_CLEARLY = 0.5  # factor by which one that explains far more lowers it
_FEWEST_ROWS = 50
_SIGMAS = 3.0  # by which the root mean square of what is left may be above a noise that is known
_ROUNDING = 1e-13  # errors below differ by chance
_BETTER = 0.99  # factor by which a more complex formula has to lower the error to be worth showing

Outcomes = Generator[tuple[list["Finding"], bool], None, None]


@dataclass(frozen=True)
class Finding:
    """A formula and how well it does.

    Args:
        tree: the formula.
        error: root mean square error relative to the spread of the target.
        stage: what found it.
    """

    tree: Tree
    error: float
    stage: str

    def bits(self, problem: Problem) -> float:
        """Bits for the residuals, down to what can be told, and for the formula."""
        floor = max(self.error, EXACT, problem.floor)
        return description_length(floor**2, Size(complexity(self.tree), constants(self.tree)), len(problem.y))


def solve(
    problem: Problem,
    *,
    depth: int = 0,
    stages: Sequence[Stage] = STAGES,
    finished: Collection[str] = (),
    found: Sequence[Finding] = (),
    jobs: int = 1,
    report: Callable[[str, list[Finding], bool], None] | None = None,
) -> list[Finding]:
    """The best formulas of a problem.

    Args:
        problem: rows, noise and time.
        depth: how many problems this one is a part of.
        stages: ways to find formulas, in their order.
        finished: names of stages that need not be tried again on the whole; smaller problems are solved by all.
        found: formulas that are known already.
        jobs: processes that work on stages at the same time; while there is time, what is found does not depend on it.
        report: called after each stage with its name, the formulas so far, the best first, and whether it came to its
            end.

    Returns:
        A few at most, the best first. The search ends with the stage that explains all but noise.
    """
    if problem.is_constant:
        return [Finding(constant(problem.mean), 0.0, "constant")]
    enough = max(EXACT, problem.floor)
    best = _best([*found, Finding(constant(problem.mean), 1.0, "constant")], problem)
    unexplained = math.inf if math.isinf(problem.noise_freedom) else _UNEXPLAINED  # who gives the noise is believed
    doubted = depth == 0 and is_noise(best[0], problem)
    if best[0].error < enough or (doubted and best[0].error < unexplained):
        return best
    tried = [(number, stage) for number, stage in enumerate(stages) if stage.name not in finished]
    with closing(_stage_by_stage(problem, [stage for _, stage in tried], stages, depth, jobs)) as fresh:
        for (more, came_to_its_end), (number, stage) in zip(fresh, tried, strict=False):
            # What turns too often for its rows looks like noise, but a formula of noise does not halve the error.
            better = [each for each in more if not doubted or each.error < _CLEARLY * best[0].error]
            best = _best([*best, *better], problem)
            doubted = doubted and not better
            if report is not None:
                report(stage.name, best, came_to_its_end)
            quick = _QUICK if constants(best[0].tree) <= _FEW else _QUICK_FOR_MANY
            if best[0].error < enough and (number >= quick or not _may_be_simpler(best[0], problem)):
                break
            if depth and number == _QUICK and problem.noise > HOPELESS and not problem.has_poles:
                break  # a part that no smooth function follows is none
            if number >= _QUICK and (doubted or (number >= quick and _leaves_only_noise(best[0], problem))):
                doubted = best[0].error >= unexplained
                if not doubted:
                    break
            if list(stages[number + 1 :]) == [Networks()] and (doubted or is_noise(best[0], problem)):
                break
    return best


def _best(found: Sequence[Finding], problem: Problem) -> list[Finding]:
    """A few formulas, the best first, each in one of its forms only."""
    kept: dict[str, Finding] = {}
    for each in sorted(found, key=lambda each: each.bits(problem)):
        kept.setdefault(f"{each.error:.9g}", each)
    return list(kept.values())[:_KEPT]


def _stage_by_stage(
    problem: Problem, tried: Sequence[Stage], stages: Sequence[Stage], depth: int, jobs: int
) -> Outcomes:
    """What each stage that is tried finds, and whether it came to its end, until the time is up."""
    if jobs == 1:
        for stage in tried:
            if time.monotonic() > problem.deadline:
                return
            more: list[Finding] = []
            try:
                for each in _each_finding(stage, problem, stages, depth):
                    more.append(each)
            except KeyboardInterrupt as interrupted:
                try:
                    if depth == 0:
                        yield more, False
                finally:  # also where what was found ends the search
                    raise interrupted
            yield more, time.monotonic() <= problem.deadline
        return
    own = [get_primitive(name) for name in problem.rules.own]
    # The monotonic clocks of processes may differ; the time of day does not.
    until = time.time() + problem.deadline - time.monotonic()
    tasks = (joblib.delayed(in_worker)(stage, problem, stages, until, own) for stage in tried)
    results = cast("Outcomes", joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks))
    try:
        for outcome in results:  # noqa: UP028 - to close the results here
            yield outcome
    finally:
        with warnings.catch_warnings():  # that stages were begun in vain is what was wanted
            warnings.simplefilter("ignore", UserWarning)
            results.close()


def in_worker(
    stage: Stage, problem: Problem, stages: Sequence[Stage], until: float, own: Sequence[Primitive]
) -> tuple[list[Finding], bool]:
    """What a stage finds in another process, whose clock and registry are its own.

    Args:
        stage: proposes formulas.
        problem: rows and noise; its deadline is of another clock.
        stages: ways to solve smaller problems.
        until: time of day at which the search ends.
        own: primitives that were registered.

    Returns:
        Formulas, and whether the stage came to its end.
    """
    left = until - time.time()
    if left <= 0:
        return [], False
    known = {each.name for each in primitives()}
    for each in own:
        if each.name not in known:
            register_primitive(each)
    problem = replace(problem, deadline=time.monotonic() + left)
    more = findings(stage, problem, stages, 0)
    return more, time.monotonic() <= problem.deadline


def findings(stage: Stage, problem: Problem, stages: Sequence[Stage], depth: int) -> list[Finding]:
    """The formulas that a stage finds, the best of them with their constants fitted together, too.

    Args:
        stage: proposes formulas.
        problem: rows, noise and time.
        stages: ways to solve smaller problems.
        depth: how many problems this one is a part of.

    Returns:
        Formulas that keep the rules and are better than a constant, the best first.
    """
    return sorted(_each_finding(stage, problem, stages, depth), key=lambda each: each.bits(problem))


def _proposals(stage: Stage, problem: Problem, solve_part: Solve) -> Iterator[Tree]:
    """What a stage proposes from the inputs that tell something; with units, constants do."""
    places = problem.distinct_inputs()
    if len(places) == problem.x.shape[1] or isinstance(stage, Dimensional):
        yield from stage.propose(problem, solve_part)
    elif places:
        for tree in stage.propose(problem.of_inputs(problem.x[:, places]), solve_part):
            yield on_inputs(tree, places)


def _each_finding(stage: Stage, problem: Problem, stages: Sequence[Stage], depth: int) -> Iterator[Finding]:
    """The same as they come."""

    def solve_part(smaller: Problem) -> list[Tree]:
        if depth == _DEEPEST:
            return []
        # Parts have a structure by themselves or are given up: networks would take all the time that there is.
        direct = [each for each in stages if not isinstance(each, Networks)]
        return [each.tree for each in solve(smaller, depth=depth + 1, stages=direct) if each.error < 1]

    enough = max(EXACT, problem.floor)
    found: list[Finding] = []
    least, left = math.inf, math.inf
    noisy = problem.noise > _NOISE
    for tree in _proposals(stage, problem, solve_part):
        left -= 1
        if problem.rules.allow(tree):
            found.append(Finding(tree, problem.error(tree), stage.name))
            if found[-1].error < 1:
                yield found[-1]
            if found[-1].error < enough:
                if not _may_be_simpler(found[-1], problem):
                    break
                left = min(left, _MORE)
            bits = found[-1].bits(problem)
            simple = noisy and bits < least and complexity(tree) <= _SIMPLE
            if simple and math.isinf(left) and is_noise(found[-1], problem):
                left = _MORE
            least = min(bits, least)
        if left == 0 or time.monotonic() > problem.deadline:
            break
    found = sorted((each for each in found if each.error < 1), key=lambda each: each.bits(problem))
    if found and found[0].error > enough:
        worth = (each for each in found if each.error < _PROMISING and complexity(each.tree) <= _READABLE)
        promising = list(itertools.islice(worth, _REFITTED))
        ways = None if math.isinf(left) else 1  # where only noise is left no constant is wanting
        for each in promising:
            yield from itertools.islice(refitted(each, problem), ways)


def front(found: Sequence[Finding]) -> list[Finding]:
    """Those of which none is both simpler and better, the best first."""
    kept: list[Finding] = []
    for each in sorted(found, key=lambda each: (complexity(each.tree), each.error)):
        if not kept or max(each.error, _ROUNDING) < _BETTER * kept[-1].error:
            kept.append(each)
    return kept[::-1]


def refitted(finding: Finding, problem: Problem) -> Iterator[Finding]:
    """The formula with its numbers fitted together, and with a number for every constant that there might be."""
    few = problem.reduced(_NOISY_ROWS if problem.noise > _NOISE else _ROWS)
    for model in (network_of(finding.tree, few.x, hold=True), canonical(network_of(finding.tree, few.x))):
        fit_in_search(model, few.x, few.y.unsqueeze(1), weights=few.scale**-2, steps=_STEPS, solver="lm")
        tree = tree_of(model)
        if problem.rules.allow(tree):
            yield Finding(tree, problem.error(tree), finding.stage)


def _may_be_simpler(finding: Finding, problem: Problem) -> bool:
    """Whether a formula that is near enough may be one of many, as the target is not known exactly."""
    return problem.floor > 0 and complexity(finding.tree) > _PLAIN


def _leaves_only_noise(finding: Finding, problem: Problem) -> bool:
    """Whether a formula is simple enough to be believed, and nothing can be seen in what it leaves."""
    most = _REGULAR if constants(finding.tree) <= _FEW else _SIMPLE
    return complexity(finding.tree) <= most and is_noise(finding, problem)


@torch.no_grad()
def is_noise(finding: Finding, problem: Problem) -> bool:
    """Whether a formula leaves no more than noise.

    Returns:
        Where the noise is known, whether the root mean square of what is left is within three standard errors of it, as
        an F-test of the lack of fit has it. Where it is not given, inputs must not explain any of what is left, either.
    """
    if problem.floor:
        return False
    if problem.noise_freedom:
        standard_error = math.sqrt(0.5 / len(problem.y) + 0.5 / problem.noise_freedom)
        if finding.error > (1 + _SIGMAS * standard_error) * problem.noise:
            return False
        if math.isinf(problem.noise_freedom):
            return True
    if finding.error < _NOISE or len(problem.y) < _FEWEST_ROWS:
        return False
    predicted = evaluate(finding.tree, problem.x)
    return looks_like_noise(problem.x, (predicted - problem.y) / problem.scale, predicted, problem.seed)
