"""What formulas may be made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from edgewise.discovery.dimensions import Dimensions
from edgewise.discovery.tree import Curve, Input, Product, Sum, Tree, expression_of
from edgewise.primitives import LIBRARY, Primitive, primitives
from edgewise.symbolic import size_of_expression

_ARITHMETIC = {"0", "x"}


@dataclass(frozen=True)
class Rules:
    """What formulas may be made of.

    Args:
        forbidden: names of primitives that may not occur.
        most_complex: largest complexity of a formula.
        dimensions: of the inputs and the target; None where they are not known.
    """

    forbidden: frozenset[str] = frozenset()
    most_complex: float = math.inf
    dimensions: Dimensions | None = None

    def allow(self, tree: Tree) -> bool:
        """Whether a formula keeps the rules."""
        return (
            self.allow_names(tree)
            and (math.isinf(self.most_complex) or nodes_of(tree) <= self.most_complex)
            and (self.dimensions is None or self.dimensions.allow(tree))
        )

    def allow_names(self, tree: Tree) -> bool:
        """Whether a formula, or a part of one, has only allowed functions."""
        return not self.forbidden or self.forbidden.isdisjoint(names(tree))

    @property
    def primitives(self) -> list[Primitive]:
        """The allowed ones."""
        return [each for each in primitives() if each.name not in self.forbidden]

    @property
    def own(self) -> list[str]:
        """Names of allowed primitives that were registered beside those of the library."""
        return [each.name for each in self.primitives if each not in LIBRARY]

    def of_part(self) -> Rules:
        """The rules for a part of a formula, or for one of other inputs."""
        return Rules(self.forbidden)


def nodes_of(tree: Tree) -> int:
    """The number of nodes of the formula as it is shown."""
    return size_of_expression(expression_of(tree)).nodes


def names(tree: Tree) -> Iterator[str]:
    """The functions of a tree other than straight lines and constants."""
    match tree:
        case Input():
            return
        case Curve("exp", Curve("log", child)):  # a power, and shown as one
            yield from names(child)
        case Curve(name, child):
            if name not in _ARITHMETIC:
                yield name
            if name != "0":
                yield from names(child)
        case Sum(parts) | Product(parts):
            for part in parts:
                yield from names(part)
