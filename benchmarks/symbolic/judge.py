"""Whether a formula is the one that was to be found, by the rules of SRBench and by stricter ones."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import sympy
from problems import Problem

_DIGITS = 3
_SECONDS = 20  # for one simplification
_ROWS = 500
_SAME = 1e-10  # relative distance of two formulas that are the same function
_FAR = 0.2  # relative distance from which they are not
_VISIBLE = 0.5 * 10.0**-_DIGITS


def verdict(problem: Problem, found: sympy.Expr) -> dict[str, bool]:
    """The rules that a formula meets.

    Args:
        problem: what was to be found.
        found: a formula of the problem's symbols.

    Returns:
        "exact": with floats of both rounded to three decimals, truth minus formula is a constant, or truth over
        formula one that is not 0. "strict": the difference is 0, and no term of the formula vanished by the rounding.
    """
    x, truth = problem.draw(_ROWS, 0.0, seed=4321)
    values = problem.values(found, x)
    spread = float(np.std(truth)) or 1.0
    distance = float(np.sqrt(np.mean(np.abs(values - truth) ** 2))) / spread
    if distance < _SAME:
        return {"exact": True, "strict": True}
    with np.errstate(all="ignore"):
        ratio = values / truth
        offset = values - truth
    apart = min(distance, float(np.std(ratio) / np.abs(np.mean(ratio))), float(np.std(offset)) / spread)
    if not apart < _FAR:
        return {"exact": False, "strict": False}
    rounded = _rounded(found)
    difference, quotient = _compared(problem.formula, rounded)
    exact = _is_number(difference) or (_is_number(quotient) and quotient != 0)
    if not exact:
        # A number such as 1/(2·pi) inside of a function is a float to three decimals, too.
        difference, quotient = _compared(_rounded(_in_floats(problem.formula)), _rounded(_in_floats(rounded)))
        exact = _is_number(difference) or (_is_number(quotient) and quotient != 0)
    small = any(abs(float(value)) < _VISIBLE for value in found.atoms(sympy.Float))
    strict = exact and not small and difference is not None and _rounded(difference) == 0
    return {"exact": exact, "strict": bool(strict)}


def _compared(truth: sympy.Expr, found: sympy.Expr) -> tuple[sympy.Expr | None, sympy.Expr | None]:
    return _simplified(truth - found), _simplified(truth / found)


def _in_floats(expression: sympy.Expr) -> sympy.Expr:
    """With every number that is not whole as a float, also inside of functions, where evalf leaves it."""
    numbers = expression.atoms(sympy.NumberSymbol) | {q for q in expression.atoms(sympy.Rational) if not q.is_Integer}
    return expression.xreplace({number: sympy.Float(number) for number in numbers})


def _rounded(expression: sympy.Expr) -> sympy.Expr:
    floats = expression.atoms(sympy.Float)
    return expression.xreplace({value: sympy.Float(round(float(value), _DIGITS)) for value in floats})


def _simplified(expression: sympy.Expr) -> sympy.Expr | None:
    """Simplified, with constants as rounded floats, or None where that takes too long or has no value."""
    try:
        with _at_most(_SECONDS):
            return _rounded(sympy.simplify(_rounded(sympy.simplify(expression).evalf())))
    except (TimeoutError, TypeError, ValueError, RecursionError, AttributeError, ZeroDivisionError):
        return None


def _is_number(expression: sympy.Expr | None) -> bool:
    return expression is not None and not expression.free_symbols and bool(expression.is_finite)


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
