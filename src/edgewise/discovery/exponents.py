"""Exponents that the data cannot tell from a simple fraction."""

from __future__ import annotations

_DENOMINATORS = (1, 2, 3)
_SIGMAS = 3.0
_ROUNDING = 1e-6
_MOST_REACH = 0.2  # of the spacing of the fractions


def simple_exponent(value: float, sigma: float) -> float:
    """The simplest fraction within what is known of an exponent, or the exponent as it is.

    Args:
        value: as fitted.
        sigma: its standard error.

    Returns:
        An integer, a half, a third, or the value.
    """
    for denominator in _DENOMINATORS:
        nearest = round(value * denominator) / denominator
        if abs(value - nearest) <= min(max(_SIGMAS * sigma, _ROUNDING), _MOST_REACH / denominator):
            return nearest
    return value
