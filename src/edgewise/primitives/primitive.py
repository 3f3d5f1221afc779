"""A symbolic function of one variable: everything that Edgewise knows of it, in one record."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor

from edgewise.errors import DomainError, OptionError
from edgewise.lazy import LazyModule
from edgewise.primitives.redundancy import Redundancy

if TYPE_CHECKING:
    import sympy
else:
    sympy = LazyModule("sympy")


@dataclass(frozen=True, kw_only=True)
class Primitive:
    """A function f of one variable that an edge c·f(a·x + b) + d can be given.

    The functions take a tensor of any shape and floating dtype and keep both. Outside of the domain they give NaN, at a
    singular point the infinity that torch gives, and they never warn.

    Attributes:
        name: how the function is called, as in "sin" or "1/x^2".
        function: f, in plain torch operations, so that it can be differentiated.
        derivative: the first derivative of f; at a kink any value between those of its two sides.
        expression: f of a SymPy expression.
        domain: the ends of the natural domain, ±inf where there is none; f need not be finite at the ends themselves.
        complexity: what it costs to name the function, in bits: 0 for a constant, 1 for x, 2 for sin.
        excluded: singular points inside of the domain (0 for 1/x); of a periodic function those of one period.
        kinks: points at which f or its derivative jumps, where a smooth optimiser may get stuck (0 for |x|).
        redundant: which of the parameters a, b, c, d are redundant for this f.
        aliases: other names under which `get_primitive` finds the function.

    Raises:
        OptionError: the name is empty or the complexity is negative.
        DomainError: the domain is empty or reversed, or an excluded point or kink is outside of it.

    Example:
        >>> import torch
        >>> versine = Primitive(
        ...     name="versin",
        ...     function=lambda u: 1.0 - torch.cos(u),
        ...     derivative=torch.sin,
        ...     expression=lambda u: 1 - sympy.cos(u),
        ...     complexity=3,
        ... )
        >>> versine.expression(sympy.Symbol("t"))
        1 - cos(t)
    """

    name: str
    function: Callable[[Tensor], Tensor] = field(repr=False, compare=False)
    derivative: Callable[[Tensor], Tensor] = field(repr=False, compare=False)
    expression: Callable[[sympy.Expr], sympy.Expr] = field(repr=False, compare=False)
    complexity: int
    domain: tuple[float, float] = (-math.inf, math.inf)
    excluded: tuple[float, ...] = ()
    kinks: tuple[float, ...] = ()
    redundant: Redundancy = field(default=Redundancy(), repr=False, compare=False)
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a record that contradicts itself."""
        if not self.name:
            raise OptionError("got a primitive without a name; give it one, such as 'sin'")
        if self.complexity < 0:
            raise OptionError(f"got the complexity {self.complexity} for {self.name!r}; it must be 0 or more")
        low, high = self.domain
        if not low < high:
            raise DomainError(f"got the domain {self.domain} for {self.name!r}; its first end must be below its second")
        if not all(low < point < high for point in (*self.excluded, *self.kinks)):
            raise DomainError(
                f"got the excluded points {self.excluded} and kinks {self.kinks} for {self.name!r}; "
                f"they must lie inside of the domain {self.domain}"
            )

    @property
    def branches(self) -> tuple[tuple[float, float], ...]:
        """The longest intervals without a singular point inside, ascending; of a periodic f those of one period.

        Returns:
            The pairs (low, high); for 1/x they are (−inf, 0) and (0, inf), for tan there is only (−π/2, π/2).
        """
        if not self.excluded:
            return (self.domain,)
        points = sorted(self.excluded)
        if self.redundant.turn is not None:
            ends = [points[-1] - self.redundant.turn.length, *points]
        else:
            ends = [self.domain[0], *points, self.domain[1]]
        return tuple(pairwise(ends))
