"""A race between networks: time goes to the one that promises most, and new ones start when none promises enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from edgewise.training.multilevel.climber import Contestant, last_accepted

Starter = Callable[[], Contestant | None]

_WORTH = 0.1  # of the least error: what a network has to promise to be given time
_ORDER = 4  # power of the number of parameters by which errors fall: of cubic splines
_START_SHARE = 0.15  # of the time, for the first networks
_GAIN = 0.98  # factor by which a new network has to beat the best to count


def race(
    starters: Iterator[Starter], *, first: int, patience: int, target: float, aim: float, deadline: float
) -> list[Contestant]:
    """Let networks climb from level to level until one is good enough, none promises more, or time is up.

    Time goes to the one that promises most, and few parameters promise more than many; where none promises to be much
    better than the best, a new one starts; where none is left to start, the best goes on as far as it gets.

    Args:
        starters: make the networks, the most promising first, each settled at its first level; None stands for one
            that was not worth it.
        first: how many to start with.
        patience: start no other after so many new networks in a row during which the least error stood still.
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
        able = [each for each in field if not each.done and _promise(each, leader) < _WORTH * leader.error]
        if able:
            min(able, key=lambda each: _promise(each, leader)).climb()
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


def _promise(each: Contestant, leader: Contestant) -> float:
    """The error to be hoped for of a network, with as many parameters as the leader has if it has fewer."""
    size, most = last_accepted(each).parameters, last_accepted(leader).parameters
    return each.promise * min(size / max(most, 1), 1.0) ** _ORDER


def _first(starters: Iterator[Starter], most: int, until: float) -> list[Contestant]:
    """The first networks: as many as are to be compared, fewer where they are slow, but one at least."""
    field: list[Contestant] = []
    for number, starter in enumerate(starters, start=1):
        started = time.monotonic()
        newcomer = starter()
        field += [] if newcomer is None else [newcomer]
        as_long_again = 2 * time.monotonic() - started
        if field and (number >= most or as_long_again > until):
            break
    return field
