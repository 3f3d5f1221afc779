"""Rows that are far from what the others say: found by a smooth fit, then by a formula."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from edgewise.discovery.problem import MEDIAN_OF_NORMAL, Problem, box_of
from edgewise.discovery.surrogate import Surrogate

_SIGMAS = 5.0
_LEAST = 1e-6  # of the median size of the target: no error below it is an outlier
_MOST_ROUNDS = 8
_ROWS = 1000  # that a smooth fit looks at
_AT_A_TIME = 10_000  # rows at which it is evaluated: each takes as many numbers as it has terms
_MOST_LEFT_OUT = 0.4  # of the rows: beyond, they are no exceptions


def smooth_inliers(problem: Problem) -> Tensor:
    """Rows that a smooth function of the others explains as well as the others.

    Args:
        problem: all rows.

    Returns:
        Which rows to keep, shape (N,): all of them where too many would have to go.
    """
    kept = torch.ones_like(problem.y, dtype=torch.bool)
    for _ in range(_MOST_ROUNDS):
        rest = problem.some(kept)
        if rest.is_constant or time.monotonic() > problem.deadline:
            break
        smooth = Surrogate(rest.thinned(_ROWS), box_of(rest.x))
        predicted = torch.cat([smooth(rows) for rows in problem.x.split(_AT_A_TIME)])
        before, kept = kept, inliers(predicted - problem.y, problem)
        if torch.equal(before, kept):
            break
    return kept


def inliers(residual: Tensor, problem: Problem) -> Tensor:
    """Rows whose residual is of the size of the others.

    Args:
        residual: shape (N,).
        problem: its rows.

    Returns:
        Which rows to keep, shape (N,): all of them where too many would have to go.
    """
    size = (residual / problem.scale).nan_to_num(nan=torch.inf).abs()
    least = _LEAST * float((problem.y / problem.scale).abs().median())
    kept = size <= max(_SIGMAS * float(size.median()) / MEDIAN_OF_NORMAL, least)
    return kept if float(kept.double().mean()) >= 1 - _MOST_LEFT_OUT else torch.ones_like(kept)
