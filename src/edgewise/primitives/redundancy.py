"""Which of the affine parameters of c·f(a·x + b) + d say the same thing twice.

Every redundancy is an identity f(T u) = factor·f(u) + offset, where T scales, shifts or reflects the argument: what T
did to a and b can then be done by c and d. `Redundancy` holds the identities of one function, and its `canonical` uses
them to give each curve one set of parameters.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

_ROUNDING = 1e-9  # so that a phase of exactly half a turn does not flip its sign with the last digit


class Affine(NamedTuple):
    """The map value ↦ factor·value + offset."""

    factor: float
    offset: float


class Turn(NamedTuple):
    """The identity f(u + length) = factor·f(u) + offset, where factor is 1 (a period) or −1 (half a period)."""

    length: float
    factor: float
    offset: float

    def repeated(self, times: int) -> Affine:
        """The identity of `times` turns, of which there may be a negative number.

        Args:
            times: how many turns.

        Returns:
            The map from f(u) to f(u + times·length).

        Example:
            >>> Turn(3.14, -1.0, 0.0).repeated(3)
            Affine(factor=-1.0, offset=0.0)
        """
        if self.factor > 0.0:
            return Affine(1.0, times * self.offset)
        return Affine(-1.0, self.offset) if times % 2 else Affine(1.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Redundancy:
    """The identities of one function f, by which affine parameters are redundant.

    Attributes:
        scaling: for s > 0 the map from f(u) to f(s·u), which makes the size of a redundant; None where there is none.
        shifting: for any s the map from f(u) to f(u + s), which makes b redundant; None where there is none.
        reflection: the map from f(u) to f(−u), which makes the sign of a redundant; None where there is none.
        turn: the shift by a whole or half period, which makes all turns of b but one redundant; None for no period.
        amplitude: whether c is redundant too, because f is 0.

    Example:
        >>> even_and_quadratic = Redundancy(scaling=lambda s: Affine(s**2, 0.0), reflection=Affine(1.0, 0.0))
        >>> even_and_quadratic.canonical(-2.0, 6.0, 0.5, 1.0)
        (1.0, -3.0, 2.0, 1.0)
        >>> even_and_quadratic.constants
        3
    """

    scaling: Callable[[float], Affine] | None = None
    shifting: Callable[[float], Affine] | None = None
    reflection: Affine | None = None
    turn: Turn | None = None
    amplitude: bool = False

    @property
    def constants(self) -> int:
        """How many of a, b, c, d are free, from 1 (a constant) to 4 (a sine)."""
        return 4 - (self.scaling is not None) - (self.shifting is not None) - self.amplitude

    def canonical(self, a: float, b: float, c: float, d: float) -> tuple[float, float, float, float]:
        """The parameters, of all those that give the same curve, that stand for it.

        In this order, as far as f allows: a > 0, |a| = 1, b = 0, b within half a turn of 0, c = 0.
        A step that would leave the range of floating point numbers is left out, so that the curve is always kept
        (exp(30·x − 30000) keeps its b: exp(−30000) is no float64).

        Args:
            a: the scale of the argument.
            b: the shift of the argument.
            c: the scale of the value.
            d: the shift of the value.

        Returns:
            The canonical a, b, c, d.
        """
        if a < 0.0 and self.reflection is not None:
            a, b = -a, -b
            c, d = _absorb(self.reflection, c, d) or (c, d)
        if self.scaling is not None and a != 0.0:
            absorbed = _absorb_member(self.scaling, abs(a), c, d)
            if absorbed is not None and math.isfinite(b / a):
                a, b, (c, d) = math.copysign(1.0, a), b / abs(a), absorbed
        if self.shifting is not None and b != 0.0:
            absorbed = _absorb_member(self.shifting, b, c, d)
            if absorbed is not None:
                b, (c, d) = 0.0, absorbed
        if self.turn is not None and math.isfinite(b):
            turns = math.ceil(b / self.turn.length - 0.5 - _ROUNDING)
            b -= turns * self.turn.length
            c, d = _absorb(self.turn.repeated(turns), c, d) or (c, d)
        return a, b, 0.0 if self.amplitude else c, d


def _absorb(identity: Affine, c: float, d: float) -> tuple[float, float] | None:
    """The c and d that do what `identity` does, or None where floating point numbers cannot hold them."""
    scaled, shifted = c * identity.factor, d + c * identity.offset
    lost = c != 0.0 and abs(scaled) < 1e-290
    return None if lost or not (math.isfinite(scaled) and math.isfinite(shifted)) else (scaled, shifted)


def _absorb_member(family: Callable[[float], Affine], size: float, c: float, d: float) -> tuple[float, float] | None:
    """As `_absorb`, for the member `size` of a family of identities."""
    try:
        return _absorb(family(size), c, d)
    except (OverflowError, ZeroDivisionError):
        return None
