"""Units as dimensions: "kg m^2/s^2" as powers of the seven base units of the SI. Prefixes change no dimension."""

from __future__ import annotations

import difflib
import re
from fractions import Fraction
from typing import TypeAlias

from edgewise.errors import OptionError

Dimension: TypeAlias = tuple[Fraction, ...]
"""Exponents of m, kg, s, A, K, mol, cd."""

_BASE = ("m", "g", "s", "A", "K", "mol", "cd")  # g: the prefix of kg is one like others
NONE: Dimension = (Fraction(0),) * len(_BASE)
"""The dimension of a pure number."""

_PREFIXES = ("", "da", *"QRYZEPTGMkhdcmµμunpfazyrq")
_DERIVED = {
    "Hz": "1/s", "N": "kg m/s^2", "Pa": "N/m^2", "J": "N m", "W": "J/s", "C": "A s", "V": "W/A", "F": "C/V",
    "Ω": "V/A", "ohm": "V/A", "S": "A/V", "Wb": "V s", "T": "Wb/m^2", "H": "Wb/A", "lm": "cd", "lx": "cd/m^2",
    "Bq": "1/s", "Gy": "J/kg", "Sv": "J/kg", "kat": "mol/s", "L": "m^3", "l": "m^3", "eV": "J", "bar": "Pa", "t": "kg",
    "pc": "m", "cal": "J", "Wh": "J", "dyn": "N", "erg": "J", "G": "T",
}  # fmt: skip
_WITHOUT_PREFIX = {
    "1": "", "%": "", "rad": "", "sr": "", "deg": "", "°": "", "min": "s", "h": "s", "hr": "s", "d": "s", "day": "s",
    "days": "s", "week": "s", "yr": "s", "year": "s", "years": "s", "AU": "m", "au": "m", "ly": "m", "in": "m",
    "ft": "m", "yd": "m", "mi": "m", "nmi": "m", "lb": "kg", "oz": "kg", "u": "kg", "Da": "kg", "atm": "Pa",
    "mmHg": "Pa", "psi": "Pa", "ha": "m^2", "kn": "m/s", "mph": "m/s", "kph": "m/s", "hp": "W", "degC": "K",
    "°C": "K", "Å": "m", "rpm": "1/s", "M": "mol/m^3",
}  # fmt: skip
_TOKEN = re.compile(r"\s*(?:(\*\*|\^)|([()*·/])|(-?\d+(?:\.\d+)?)|([^\W\d_]+|%|°C?))", re.UNICODE)


def dimension(text: str) -> Dimension:
    """The dimension of a unit.

    Args:
        text: such as "m", "kg m^2/s^2", "N*m", "km/h", "W/(m^2 K^4)" or "1" for a pure number.

    Returns:
        Exponents of m, kg, s, A, K, mol, cd.

    Raises:
        OptionError: the text cannot be read, or names an unknown unit.

    Example:
        >>> dimension("N*m") == dimension("kg m^2/s^2") == dimension("kW h")
        True
        >>> [str(power) for power in dimension("m^(1/2)/s")[:3]]
        ['1/2', '0', '-1']
    """
    return _Reader(text).read()


class _Reader:
    """Reads a product of units from left to right."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens = text, []
        place = 0
        while text[place:].strip():
            match = _TOKEN.match(text, place)
            if match is None:
                raise self._error(f"at {text[place:].strip()!r}")
            self.tokens.append(match.group().strip())
            place = match.end()

    def read(self) -> Dimension:
        """The whole text."""
        found = self._product()
        if self.tokens:
            raise self._error(f"at {self.tokens[0]!r}")
        return found

    def _product(self) -> Dimension:
        found = self._power()
        while self.tokens and self.tokens[0] != ")":
            sign = -1 if self.tokens[0] == "/" else 1
            if self.tokens[0] in {"*", "·", "/"}:
                self.tokens.pop(0)
            found = times(found, self._power(), sign)
        return found

    def _power(self) -> Dimension:
        found = self._unit()
        exponent = Fraction(1)
        if self.tokens and self.tokens[0] in {"^", "**"}:
            self.tokens.pop(0)
            exponent = self._exponent()
        elif self.tokens and _is_number(self.tokens[0]):
            exponent = Fraction(self.tokens.pop(0))
        return to_power(found, exponent)

    def _unit(self) -> Dimension:
        if not self.tokens:
            raise self._error("a unit is missing at its end")
        token = self.tokens.pop(0)
        if token == "(":
            found = self._product()
            if not self.tokens:
                raise self._error("a bracket is not closed")
            self.tokens.pop(0)
            return found
        found = _known(token)
        if found is None:
            close = difflib.get_close_matches(token, [*_BASE, *_DERIVED, *_WITHOUT_PREFIX], n=1)
            raise self._error(f"{token!r} is not known" + (f"; did you mean {close[0]!r}?" if close else ""))
        return found

    def _exponent(self) -> Fraction:
        bracket = bool(self.tokens) and self.tokens[0] == "("
        parts = self.tokens[1:4] if bracket else self.tokens[:1]
        if bracket and parts[1:2] == [")"]:
            parts = parts[:1]
        is_ratio = len(parts) == 3 and parts[1] == "/"
        numbers = parts[::2] if is_ratio else parts
        closed = not bracket or self.tokens[1 + len(parts) : 2 + len(parts)] == [")"]
        if not parts or not closed or not all(map(_is_number, numbers)) or (is_ratio and float(parts[2]) == 0):
            raise self._error("an exponent is a number such as 2, -1, 0.5 or (1/2)")
        del self.tokens[: len(parts) + 2 * bracket]
        return Fraction(parts[0]) / (Fraction(parts[2]) if is_ratio else 1)

    def _error(self, what: str) -> OptionError:
        return OptionError(f"cannot read the unit {self.text!r}: {what}; write it like 'kg m^2/s^2', or '1' for none")


def times(left: Dimension, right: Dimension, exponent: Fraction | int = 1) -> Dimension:
    """left·right^exponent."""
    return tuple(a + exponent * b for a, b in zip(left, right, strict=True))


def to_power(base: Dimension, exponent: Fraction | int) -> Dimension:
    """base^exponent."""
    return tuple(exponent * a for a in base)


def _is_number(token: str) -> bool:
    return token.lstrip("-").replace(".", "", 1).isdigit()


def _known(token: str) -> Dimension | None:
    """The dimension of one symbol, with or without a prefix."""
    if token in _WITHOUT_PREFIX:
        meaning = _WITHOUT_PREFIX[token]
        return dimension(meaning) if meaning else NONE
    for prefix in _PREFIXES:
        symbol = token[len(prefix) :]
        if not token.startswith(prefix) or not symbol:
            continue
        if symbol in _BASE:
            return tuple(Fraction(symbol == base) for base in _BASE)
        if symbol in _DERIVED:
            return dimension(_DERIVED[symbol])
    return None
