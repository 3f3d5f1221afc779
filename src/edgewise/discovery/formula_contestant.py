"""A formula as a contestant of a race between networks."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from edgewise.discovery.noise import with_judged_noise
from edgewise.discovery.problem import NOISY, Problem
from edgewise.discovery.solver import DIRECT, EXACT, Finding, is_noise, solve
from edgewise.discovery.tree import Curve, Product, network_of, scaled, tree_of
from edgewise.discovery.view import View
from edgewise.kan import KAN
from edgewise.network import Network, SymbolicBlock
from edgewise.symbolic import snapped
from edgewise.training import MeanSquaredError, fit
from edgewise.training.gauss_newton import get_parameters
from edgewise.training.multilevel import Rows, Stage

_SHARE_FOR_NOISY = 0.7  # of the time
_STEPS = 20
_FEW = 3  # constants that are left free, up to which a formula is a law
_POINTS, _REACH, _BEYOND = 4096, 1.5, 0.01  # of the box: points, how far they are drawn, and where they are held


@dataclass
class FormulaContestant:
    """A formula that leaves nothing, or nothing but noise; see `Contestant`. It is done at once.

    Args:
        model: its network, from the inputs to standard targets.
        formula: its network in the units of the table, in which its constants may be exact numbers.
        view: which has these units.
        label: for the history.
        error: on held-out rows.
        is_exact: whether it leaves nothing.
    """

    model: Network
    formula: KAN
    view: View
    label: str
    error: float
    is_exact: bool
    done: bool = True
    stages: list[Stage] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Rows, view: View, seed: int, deadline: float) -> FormulaContestant | None:
        """The formula behind rows of one output, or None where none leaves nothing, or nothing but noise.

        Args:
            rows: the data in units of training.
            view: how these rows see the table, without transforms.
            seed: fixes what is random.
            deadline: monotonic time after which the search ends.

        Returns:
            The contestant.
        """
        y = rows.y * view.spread + view.center
        target = y[:, 0]
        problem = Problem(rows.x, target, torch.ones_like(target), noise=0.0, floor=0.0, deadline=deadline, seed=seed)
        best = _formula(problem)
        if best is None:
            return None
        is_exact = best.error <= EXACT
        formula = network_of(best.tree, rows.x, hold=True)
        if not is_exact:
            formula = _settled(formula, rows.x, y)
            if not _has_values(formula, rows.x):
                return None
        model = _standard(formula, rows.x, view)
        error = rows.error(model)
        label = f"formula ({best.stage})"
        train_error, size = rows.training_error(model), len(get_parameters(model))
        stage = Stage(label, None, size, train_error, error, 0.0, time.monotonic(), accepted=True)
        return cls(model, formula, view, label, error, is_exact=is_exact, stages=[stage])

    @property
    def promise(self) -> float:
        """See `Contestant.promise`."""
        return self.error

    @property
    def is_law(self) -> bool:
        """Whether so few of its constants are free that noise can hardly mislead it: then it holds beyond the rows."""
        return _free_constants(self.formula) <= _FEW

    def climb(self) -> None:
        """See `Contestant.climb`: there is nothing to be had."""

    def refit(self, x: Tensor, y: Tensor, deadline: float) -> Network:
        """See `Contestant.refit`: the constants, where they are not exact as they are."""
        if self.is_exact or time.monotonic() > deadline:
            return self.model
        formula = _settled(self.formula, x, y * self.view.spread + self.view.center)
        return _standard(formula, x, self.view) if _has_values(formula, x) else self.model


def _settled(formula: KAN, x: Tensor, y: Tensor) -> KAN:
    """With its constants fitted, and exact where the data cannot tell the difference: there noise ends."""
    fitted = formula.copied()
    fit(fitted, x, y, steps=_STEPS, solver="lm")
    return snapped(fitted, x, y, MeanSquaredError())[0]


def _free_constants(formula: KAN) -> int:
    """How many constants are not exact."""
    blocks = [block for layer in formula.all_layers for block in layer.all_blocks()]
    return sum(int((~block.frozen).sum()) for block in blocks if isinstance(block, SymbolicBlock))


def _standard(formula: KAN, x: Tensor, view: View) -> KAN:
    """The network that gives standard targets."""
    spread, center = float(view.spread[0]), float(view.center[0])
    tree = scaled(tree_of(formula), 1 / spread, -center / spread)
    return network_of(Curve("x", tree) if isinstance(tree, Product) else tree, x)  # what is scaled ends in a sum


@torch.no_grad()
def _has_values(formula: KAN, x: Tensor) -> bool:
    """Whether it has values all over the box that rows fill, and a little beyond: noise may end a domain early."""
    low, high = x.amin(dim=0), x.amax(dim=0)
    drawn = torch.rand((_POINTS, x.shape[1]), generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    end = 0.5 + (_BEYOND if _free_constants(formula) else 0.0)  # a domain may well end where the rows do
    share = (_REACH * (drawn - 0.5)).clamp(-end, end)  # many at the ends, where domains end
    return bool(formula((low + high) / 2 + share * (high - low)).isfinite().all())


def _formula(problem: Problem) -> Finding | None:
    """The best formula if it leaves nothing, or nothing but noise."""
    judged = with_judged_noise(problem)
    if judged.noise > NOISY:
        now = time.monotonic()
        noisy = replace(judged, deadline=now + _SHARE_FOR_NOISY * (problem.deadline - now))
        best = solve(noisy, stages=DIRECT)[0]
        if is_noise(best, noisy):
            return best
    best = solve(problem, stages=DIRECT)[0]  # poles and fast turns may pass for noise
    return best if best.error <= EXACT else None
