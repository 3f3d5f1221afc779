"""How large the noise of a table is: rows that were measured more than once tell, or else what smooth fits leave."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from edgewise.discovery.problem import Problem
from edgewise.discovery.surrogate import noise_level

_FEWEST = 10  # degrees of freedom, of which the estimate has a standard error of a fifth


@dataclass(frozen=True)
class PureError:
    """What rows of the same inputs say of the noise, whatever the formula (Draper and Smith, 1998, section 2.1).

    Args:
        size: standard deviation of the target, in units of its errors.
        freedom: degrees of freedom: rows, less the number of different inputs.
    """

    size: float
    freedom: int


def with_judged_noise(problem: Problem) -> Problem:
    """The same problem with its noise judged by the rows.

    Args:
        problem: rows, of which not all have the same target.

    Returns:
        With the noise that replicates have, where there are enough of them and smooth fits leave no less.
    """
    noise = noise_level(problem.x, problem.y, problem.scale, problem.seed)
    pure = pure_error(problem.x, problem.y, problem.scale)
    if pure.freedom < _FEWEST:
        return problem.guessing(noise)
    return replace(problem, noise=min(noise, pure.size / problem.spread), noise_freedom=pure.freedom)


def pure_error(x: Tensor, y: Tensor, scale: Tensor) -> PureError:
    """How far values of the same inputs differ.

    Rows that are the same in inputs and target count once: they are copies more often than measurements.

    Args:
        x: inputs, shape (N, I).
        y: target, shape (N,).
        scale: error of each value up to a common factor, positive, shape (N,).

    Returns:
        Their standard deviation, with 0 degrees of freedom where no inputs occur twice.
    """
    inputs, target = x.numpy() + 0.0, y.numpy()  # −0 is 0
    rows = np.unique(np.column_stack([inputs, target + 0.0]), axis=0, return_index=True)[1]
    place = np.unique(inputs[rows], axis=0, return_inverse=True)[1].reshape(-1)
    weight, value = scale.numpy()[rows] ** -2.0, target[rows]
    mean = np.bincount(place, weight * value) / np.bincount(place, weight)
    freedom = len(rows) - len(mean)
    off = float((weight * (value - mean[place]) ** 2).sum())
    return PureError(math.sqrt(off / freedom) if freedom else 0.0, freedom)
