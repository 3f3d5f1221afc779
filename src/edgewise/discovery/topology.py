"""Choosing a network's width by held-out data, from additive to general."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from edgewise.basis import BSpline
from edgewise.kan import KAN
from edgewise.network import NodeWidth, arities
from edgewise.surgery import attribution
from edgewise.training import Sparsity, fit_in_search
from edgewise.training.multilevel import Rows

_PLAIN_STEPS = 20
_SPARSE_STEPS = 100
_REFIT_STEPS = 40
_STARTS = 3  # of each small network
_SAMPLES_PER_PARAMETER = 2
_WORTH = 2.0  # factor by which the error must fall for a larger network
_EXACT = 1e-9  # of the spread of the targets: nothing more to win
_PATIENCE = 2  # networks in a row that were not worth it
# Hidden layers, from additive to general: none, one sum, one product of two sums, sums enough to be thinned.
_LADDER: tuple[tuple[NodeWidth, ...], ...] = ((), (1,), ([0, 1],), (5,), (10,))


@dataclass(frozen=True)
class Candidate:
    """A trained network and its held-out error."""

    model: KAN
    error: float


def climb(rows: Rows, domain: Tensor, *, seed: int, deadline: float) -> Iterator[Candidate]:
    """Sparse networks of growing width, each at least twice as good as the one before.

    Args:
        rows: the data.
        domain: of the inputs, shape (I, 2).
        seed: fixes the starts.
        deadline: monotonic time after which no further network is tried.

    Yields:
        Candidates, from the additive network on.
    """
    best, in_vain = math.inf, 0
    inputs, outputs = rows.x.shape[1], rows.y.shape[1]
    for hidden in _LADDER:
        width = [inputs, *hidden, outputs]
        if best < _EXACT or in_vain == _PATIENCE or time.monotonic() > deadline:
            return
        grid = 5 if _parameters(width, 5) * _SAMPLES_PER_PARAMETER <= len(rows.x) else 3
        if best < math.inf and _parameters(width, grid) * _SAMPLES_PER_PARAMETER > len(rows.x):
            return
        found = _best_start(rows, domain, width, grid, seed=seed, deadline=deadline)
        in_vain += 1
        if found.error * _WORTH < best or best == math.inf:
            best, in_vain = found.error, 0
            yield found


def _best_start(
    rows: Rows, domain: Tensor, width: list[NodeWidth], grid: int, *, seed: int, deadline: float
) -> Candidate:
    """The sparsest of the good fits from several starts; an additive fit has one minimum and needs one start."""
    starts = 1 if len(width) == 2 else _STARTS
    candidates: list[Candidate] = []
    for start in range(starts):
        if candidates and time.monotonic() > deadline:
            break
        model = _sparse_fit(rows, domain, width, grid, seed + start)
        candidates.append(Candidate(model, rows.error(model)))
    least = min(candidate.error for candidate in candidates)
    good = [candidate for candidate in candidates if candidate.error <= _WORTH * least]
    return min(good, key=lambda candidate: (_edges(candidate.model), candidate.error))


def _sparse_fit(rows: Rows, domain: Tensor, width: list[NodeWidth], grid: int, seed: int) -> KAN:
    """Train, train sparsely, prune, and train what is left; the dense network where thinning cost too much."""
    dense = KAN(width, basis=BSpline(grid=grid), domain=domain.tolist(), seed=seed)
    fit_in_search(dense, rows.x, rows.y, steps=_PLAIN_STEPS)
    thinned = dense.copied()
    fit_in_search(thinned, rows.x, rows.y, steps=_SPARSE_STEPS, penalty=Sparsity())
    thinned = thinned.prune(rows.x)
    for model in (dense, thinned):
        fit_in_search(model, rows.x, rows.y, steps=_REFIT_STEPS)
    if rows.error(thinned) <= _WORTH * rows.error(dense):
        return thinned
    return dense


def _edges(model: KAN) -> int:
    scores = attribution(model)
    return sum(int((edges > 0).sum()) for edges in scores.edges)


def _parameters(width: list[NodeWidth], grid: int) -> int:
    nodes = [arities(entry) for entry in width]
    edges = sum(len(before) * sum(after) for before, after in pairwise(nodes))
    return edges * BSpline(grid=grid).size
