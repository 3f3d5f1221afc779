"""Formulas as text and as LaTeX, with columns' names in which anything may be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sympy

_GREEK = {
    *(
        "alpha",
        "beta",
        "gamma",
        "delta",
        "epsilon",
        "zeta",
        "eta",
        "theta",
        "iota",
        "kappa",
        "lambda",
        "mu",
        "nu",
        "xi",
    ),
    *("pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
    *("Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"),
}
_SPECIAL = {"\\": r"\backslash{}", "~": r"\sim{}", "^": r"\wedge{}"} | {mark: f"\\{mark}" for mark in "#$%&_{}"}


def as_text(name: str, expression: sympy.Expr, digits: int | None = None) -> str:
    """An equation as text.

    Args:
        name: of the left side.
        expression: the right side.
        digits: significant digits of constants; as many as they need if not given.

    Returns:
        One line. Names that would not read as one word stand between backticks.

    Example:
        >>> import sympy
        >>> as_text("y", sympy.Float(1 / 3) * sympy.Symbol("a b") ** 2, digits=3)
        'y = 0.333*`a b`**2'
    """
    return f"{text_name(name)} = {expression_text(expression, digits)}"


def expression_text(expression: sympy.Expr, digits: int | None = None) -> str:
    """An expression as text; see `as_text`.

    Args:
        expression: any.
        digits: significant digits of constants; as many as they need if not given.

    Returns:
        One line.
    """
    import sympy  # noqa: PLC0415 - takes half a second

    names = {symbol: sympy.Symbol(text_name(str(symbol))) for symbol in expression.free_symbols}
    # Both at once: a column may have the name that another one gets.
    shown = expression.xreplace(_rounded(expression, digits) | names)
    return sympy.sstr(shown, full_prec=False)


def as_latex(name: str, expression: sympy.Expr, digits: int | None = None) -> str:
    r"""An equation in LaTeX.

    Args:
        name: of the left side.
        expression: the right side.
        digits: significant digits of constants; as many as they need if not given.

    Returns:
        Mathematics without its delimiters.

    Example:
        >>> import sympy
        >>> print(as_latex("y", sympy.Symbol("a_b") / 2))
        y = \frac{\mathrm{a\_b}}{2}
    """
    return f"{latex_name(name)} = {expression_latex(expression, digits)}"


def expression_latex(expression: sympy.Expr, digits: int | None = None) -> str:
    """An expression in LaTeX; see `as_latex`.

    Args:
        expression: any.
        digits: significant digits of constants; as many as they need if not given.

    Returns:
        Mathematics without its delimiters.
    """
    import sympy  # noqa: PLC0415 - takes half a second

    names: dict[Any, str] = {symbol: latex_name(str(symbol)) for symbol in expression.free_symbols}
    shown = expression.xreplace(_rounded(expression, digits))
    return sympy.latex(shown, symbol_names=names, full_prec=False)


def text_name(name: str) -> str:
    """A column's name in a line of text.

    Args:
        name: any.

    Returns:
        The name, between backticks if it is more than one word.
    """
    return name if re.fullmatch(r"\w+", name) else f"`{' '.join(name.split())}`"


def latex_name(name: str) -> str:
    r"""A column's name for LaTeX.

    Args:
        name: such as x_1, or "mass (kg)".

    Returns:
        Mathematics: letters with an index as such, the Greek ones too, other names upright with their special
        characters escaped.

    Example:
        >>> print(latex_name("x12"), latex_name("theta"), latex_name("mass_kg"))
        x_{12} \theta \mathrm{mass\_kg}
    """
    letter = re.fullmatch(r"([A-Za-z]+)_?(\d*)", name)
    if letter and (len(letter[1]) == 1 or letter[1] in _GREEK):
        shown = letter[1] if len(letter[1]) == 1 else f"\\{letter[1]}"
        return f"{shown}_{{{letter[2]}}}" if letter[2] else shown
    escaped = "".join(_SPECIAL.get(mark, mark) for mark in " ".join(name.split())).replace(" ", r"\ ")
    return rf"\mathrm{{{escaped}}}"


def _rounded(expression: sympy.Expr, digits: int | None) -> dict[Any, Any]:
    """The constants of an expression and what to show for them: the shortest text that is that number."""
    import sympy  # noqa: PLC0415 - takes half a second

    constants = {value: float(value) for value in expression.atoms(sympy.Float)}
    if digits is not None:
        constants = {value: float(f"{number:.{digits}g}") for value, number in constants.items()}
    return {value: sympy.Float(repr(number)) for value, number in constants.items()}
