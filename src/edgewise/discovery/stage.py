"""What a stage of the search is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from edgewise.discovery.problem import Problem
from edgewise.discovery.tree import Tree

Solve = Callable[[Problem], list[Tree]]


class Stage(Protocol):
    """A way to find formulas."""

    @property
    def name(self) -> str:
        """What it finds, for reports."""
        ...

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas of a problem, in the order in which they are worth a look; `solve` answers smaller problems."""
        ...
