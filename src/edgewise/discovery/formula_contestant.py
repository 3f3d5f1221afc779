"""A formula as a contestant of a race between networks."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from edgewise.discovery.problem import NOISY, Problem
from edgewise.discovery.solver import DIRECT, EXACT, Finding, is_noise, solve
from edgewise.discovery.surrogate import noise_level
from edgewise.discovery.tree import network_of, scaled
from edgewise.discovery.view import View
from edgewise.network import Network
from edgewise.training import fit
from edgewise.training.gauss_newton import get_parameters
from edgewise.training.multilevel import Rows, Stage, rmse

_SHARE_FOR_NOISY = 0.7  # of the time
_STEPS = 20
_POINTS, _REACH, _BEYOND = 4096, 1.5, 0.01  # of the box: points, how far they are drawn, and where they are held


@dataclass
class FormulaContestant:
    """A formula that leaves nothing, or nothing but noise; see `Contestant`. It is done at once.

    Args:
        model: its network, from the inputs to standard targets.
        label: for the history.
        error: on held-out rows.
        is_exact: whether it leaves nothing.
    """

    model: Network
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
        y = rows.y[:, 0] * view.spread[0] + view.center[0]
        best = _formula(Problem(rows.x, y, torch.ones_like(y), noise=0.0, floor=0.0, deadline=deadline, seed=seed))
        if best is None:
            return None
        spread, center = float(view.spread[0]), float(view.center[0])
        model = network_of(scaled(best.tree, 1 / spread, -center / spread), rows.x, hold=True)
        is_exact = best.error <= EXACT
        if not is_exact and not _has_values(model, rows.x):
            return None
        error = rows.error(model)
        label = f"formula ({best.stage})"
        train_error, size = rmse(model, rows.x, rows.y), len(get_parameters(model))
        stage = Stage(label, None, size, train_error, error, 0.0, time.monotonic(), accepted=True)
        return cls(model, label, error, is_exact=is_exact, stages=[stage])

    @property
    def promise(self) -> float:
        """See `Contestant.promise`."""
        return self.error

    def climb(self) -> None:
        """See `Contestant.climb`: there is nothing to be had."""

    def refit(self, x: Tensor, y: Tensor, deadline: float) -> Network:
        """See `Contestant.refit`: the constants, where they are not exact as they are."""
        if self.is_exact or time.monotonic() > deadline:
            return self.model
        model = self.model.copied()
        fit(model, x, y, steps=_STEPS, solver="lm")
        return model if _has_values(model, x) else self.model


@torch.no_grad()
def _has_values(model: Network, x: Tensor) -> bool:
    """Whether a network has values all over the box that rows fill: noise may end a domain early."""
    low, high = x.amin(dim=0), x.amax(dim=0)
    drawn = torch.rand((_POINTS, x.shape[1]), generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    share = (_REACH * (drawn - 0.5)).clamp(-0.5 - _BEYOND, 0.5 + _BEYOND)  # many at the ends, where domains end
    return bool(model((low + high) / 2 + share * (high - low)).isfinite().all())


def _formula(problem: Problem) -> Finding | None:
    """The best formula if it leaves nothing, or nothing but noise."""
    noise = noise_level(problem.x, problem.y, problem.scale, problem.seed)
    if noise > NOISY:
        now = time.monotonic()
        noisy = replace(problem, noise=noise, deadline=now + _SHARE_FOR_NOISY * (problem.deadline - now))
        best = solve(noisy, stages=DIRECT)[0]
        if is_noise(best, noisy):
            return best
    best = solve(problem, stages=DIRECT)[0]  # poles and fast turns may pass for noise
    return best if best.error <= EXACT else None
