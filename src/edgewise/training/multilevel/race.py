"""A race between networks: time goes to the one that promises most, and new ones start when none promises enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from edgewise.training.multilevel.climber import Contestant

Starter = Callable[[], Contestant | None]

_WORTH = 0.5  # of the least error: what a network has to promise to be given time
_START_SHARE = 0.15  # of the time, for the first networks
_GAIN = 0.98  # factor by which a new network has to beat the best to count


def race(
    starters: Iterator[Starter], *, first: int, patience: int, target: float, aim: float, deadline: float
) -> list[Contestant]:
    """Let networks climb from level to level until one is good enough, none promises more, or time is up.

    Time goes to the one that promises most; where none promises to be better than the best, a new one starts; where
    none is left to start, the best goes on as far as it gets.

    Args:
        starters: make the networks, the most promising first, each settled at its first level; None stands for one
            that was not worth it.
        first: how many to start with.
        patience: end after so many new networks in a row during which the least error stood still.
        target: held-out error from which no new network is started.
        aim: held-out error that ends the race.
        deadline: monotonic time that ends it.

    Returns:
        The networks, the one of the least error first; at least one.
    """
    field = _first(starters, first, time.monotonic() + _START_SHARE * (deadline - time.monotonic()))
    in_vain, least = 0, min(each.error for each in field)
    while time.monotonic() < deadline:
        leader = min(field, key=lambda each: each.error)
        if leader.error <= aim:
            break
        able = [each for each in field if not each.done and each.promise < _WORTH * leader.error]
        if able:
            min(able, key=lambda each: each.promise).climb()
            continue
        in_vain, least = (0, leader.error) if leader.error < _GAIN * least else (in_vain, least)
        starter = next(starters, None) if leader.error > target and in_vain < patience else None
        if starter is not None:
            newcomer = starter()
            in_vain += 1
            field += [] if newcomer is None else [newcomer]
        elif leader.done:
            break
        else:
            leader.climb()
    return sorted(field, key=lambda each: each.error)


def _first(starters: Iterator[Starter], most: int, until: float) -> list[Contestant]:
    """The first networks: as many as are to be compared, fewer where they are slow, but one at least."""
    field: list[Contestant] = []
    for number, starter in enumerate(starters):
        newcomer = starter()
        field += [] if newcomer is None else [newcomer]
        if field and (number + 1 >= most or time.monotonic() > until):
            break
    return field
