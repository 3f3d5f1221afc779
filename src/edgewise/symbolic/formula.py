"""Reading a formula off a network whose edges are all symbolic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from edgewise.errors import SymbolicError
from edgewise.lazy import LazyModule
from edgewise.network import Network, SymbolicBlock, check_names, subnodes

if TYPE_CHECKING:
    import sympy
else:
    sympy = LazyModule("sympy")

_MOST_OPERATIONS = 400  # larger expressions are returned as they are: expanding them takes long and helps nobody
_MOST_TERMS = 200  # the same for short expressions that would become long, such as powers of products of sums
_DENOMINATORS = range(1, 13)
_EXACT = 4 * 2.0**-52  # relative: constants this close to a simple number were put there
_SHORT = 4  # decimals
QUARTERS = (-1, 1, -2, 2, -3, 3, -4, 4)  # of a turn, which sines, cosines, their signs and their period may hide


def symbolic_formula(
    model: Network, *, names: Sequence[str] | None = None, digits: int | None = None
) -> sympy.Expr | list[sympy.Expr]:
    """The formula that a symbolic network computes.

    Args:
        model: a network without numeric edges.
        names: of the inputs; the model's own if not given.
        digits: round constants to this many significant digits; all digits if not given.

    Returns:
        A SymPy expression in plain symbols of these names, or a list of them where there are several outputs.

    Raises:
        SymbolicError: an edge is still numeric; the message names it.
        OptionError: the number of names is wrong, or one appears twice.

    Example:
        >>> import edgewise as ew
        >>> model = ew.KAN([1, 1], seed=0)
        >>> data = ew.create_dataset(lambda x: 3 * x[:, 0] ** 2, n_var=1)
        >>> history = model.fit(data)
        >>> model.auto_symbolic(data).symbolic_formula(names=["t"], digits=6)
        3*t**2
    """
    names = check_names(names, model.in_features, "inputs") or model.input_names
    _require_symbolic(model)
    # Powers of products only come apart for positive bases: assume so where the model's sample says so.
    positive = (model.sample > 0).all(dim=0).tolist()
    inner = [sympy.Dummy(f"x{i}", positive=True if positive[i] else None, real=True) for i in range(len(names))]
    values: list[sympy.Expr] = list(inner)
    for layer in model.all_layers:
        sums: list[sympy.Expr] = [sympy.Integer(0)] * layer.subnodes
        for block in layer.all_blocks():
            assert isinstance(block, SymbolicBlock)
            rows = zip(block.source.tolist(), block.target.tolist(), block.affine.tolist(), strict=True)
            for source, target, (a, b, c, d) in rows:
                shift = number(b) if block.primitive.redundant.turn is None else _phase(b)
                argument = number(a) * values[source] + shift
                sums[target] += number(c) * block.primitive.expression(argument) + number(d)
        values = [sympy.Mul(*[sums[subnode] for subnode in group]) for group in subnodes(layer.nodes)]
    outer = dict(zip(inner, [sympy.Symbol(name) for name in names], strict=True))
    formulas: list[Any] = [_rounded(tidy(value), digits).xreplace(outer) for value in values]
    return formulas[0] if len(formulas) == 1 else formulas


def number(value: float) -> sympy.Expr:
    """A float as an exact number where it is one: an integer, a small fraction, such a multiple of π; else a float.

    Args:
        value: finite.

    Returns:
        The number.

    Example:
        >>> import math
        >>> [number(value) for value in (2.0, -0.75, math.pi / 2, 0.123)]
        [2, -3/4, pi/2, 0.123]
    """
    for unit, symbol in ((1.0, sympy.Integer(1)), (math.pi, sympy.pi)):
        for denominator in _DENOMINATORS:
            scaled = value / unit * denominator
            nearest = round(scaled)
            if abs(nearest) <= 1_000_000 and abs(scaled - nearest) <= _EXACT * abs(scaled) and (nearest or not value):
                fraction = Fraction(nearest, denominator)
                return sympy.Rational(fraction.numerator, fraction.denominator) * symbol
    return sympy.Float(value)


def _phase(value: float) -> sympy.Expr:
    """The number that is added to an angle, with quarters of a turn by themselves if that leaves a short one."""
    plain = number(value)
    rounding = _EXACT * max(1.0, abs(value))
    if plain.is_Float and abs(value - round(value, _SHORT)) > rounding:
        for quarters in QUARTERS:
            rest = value - quarters * math.pi / 2
            if abs(rest - round(rest, _SHORT)) <= rounding:
                return number(round(rest, _SHORT)) + quarters * sympy.pi / 2
    return plain


def tidy(expression: sympy.Expr) -> sympy.Expr:
    """The shortest of a few forms of an expression: as it is, expanded, with exponentials of sums as products.

    Args:
        expression: any.

    Returns:
        An equal expression.
    """
    if sympy.count_ops(expression) > _MOST_OPERATIONS:
        return expression
    if max(map(_terms_expanded, sympy.preorder_traversal(expression))) > _MOST_TERMS:
        return expression
    forms = [expression, sympy.expand(expression), sympy.expand_power_exp(sympy.expand(expression, deep=True))]
    forms += [sympy.powsimp(form) for form in forms[1:]]
    forms.append(sympy.expand(expression, mul=True, power_exp=False, power_base=False, log=False, deep=True))
    return min(forms, key=sympy.count_ops)


def _terms_expanded(expression: Any) -> int:
    """How many terms an expression has at most when it is multiplied out."""
    if expression.is_Add:
        return sum(map(_terms_expanded, expression.args))
    if expression.is_Mul:
        return math.prod(map(_terms_expanded, expression.args))
    if expression.is_Pow and expression.exp.is_Number:
        power = abs(int(expression.exp))
        return math.comb(_terms_expanded(expression.base) + power - 1, power)
    return 1


def _rounded(expression: sympy.Expr, digits: int | None) -> Any:
    if digits is None:
        return expression
    floats = expression.atoms(sympy.Float)
    return expression.xreplace({value: _short(float(f"{float(value):.{digits}g}"), digits) for value in floats})


def _short(value: float, digits: int) -> sympy.Expr:
    return sympy.Integer(value) if value.is_integer() else sympy.Float(value, digits)


def numeric_edges(model: Network) -> list[tuple[int, int, int]]:
    """The edges without a name, as (layer, input, output)."""
    return [
        (index, source, target)
        for index, layer in enumerate(model.all_layers)
        for block in layer.all_blocks()
        if not isinstance(block, SymbolicBlock)
        for source, target in block.mask.nonzero().tolist()
    ]


def _require_symbolic(model: Network) -> None:
    edges = numeric_edges(model)
    if edges:
        raise SymbolicError(
            f"{len(edges)} edges are not symbolic, the first is {edges[0]}; name them with auto_symbolic or "
            "fix_symbolic"
        )
