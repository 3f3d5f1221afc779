"""A formula as a plain function: no network and no SymPy, only the operations that it consists of."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from edgewise.errors import OptionError, SymbolicError
from edgewise.lazy import LazyModule
from edgewise.primitives import primitives

if TYPE_CHECKING:
    import sympy
else:
    sympy = LazyModule("sympy")


def _sign(u: float) -> float:
    return math.copysign(1.0, u) if u else 0.0


_SAME = ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sqrt", "pow")
_INVERSE = ("asin", "acos", "atan", "atanh")
_BACKENDS: dict[str, dict[str, Callable[..., Any]]] = {
    "math": {name: getattr(math, name) for name in (*_SAME, *_INVERSE)} | {"Abs": math.fabs, "sign": _sign},
    "numpy": {name: getattr(np, name) for name in (*_SAME[:-1], "sign")}
    | {name: getattr(np, f"arc{name[1:]}") for name in _INVERSE}
    | {"Abs": np.abs, "pow": np.power},
    "torch": {name: getattr(torch, name) for name in (*_SAME, *_INVERSE, "sign")} | {"Abs": torch.abs},
}
_FROM_TORCH: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "math": lambda function: lambda u: float(function(torch.tensor(u, dtype=torch.float64))),
    "numpy": lambda function: lambda u: function(torch.as_tensor(u, dtype=torch.float64)).numpy()[()],
    "torch": lambda function: function,
}
_LARGEST_POWER = 64  # whole powers up to this one are products


class Step(NamedTuple):
    """One operation: a function of one or two values, given by their positions."""

    function: Callable[..., Any]
    first: int
    second: int | None = None


@dataclass(frozen=True)
class FormulaFunction:
    """A function of columns as a list of single operations.

    Args:
        names: of the columns.
        constants: the numbers of the formula.
        steps: the operations in their order; positions count columns, then constants, then the values of steps.
        result: the position of what is returned.
    """

    names: tuple[str, ...]
    constants: tuple[float, ...]
    steps: tuple[Step, ...]
    result: int

    @property
    def operations(self) -> int:
        """How many floating-point operations one evaluation takes; a sine, a root or a power counts as one."""
        return len(self.steps)

    def __call__(self, *columns: Any) -> Any:
        """The value of the formula.

        Args:
            columns: a number or an array for each name, in their order.

        Returns:
            What the columns are, numbers or arrays; a number where the formula depends on none of them.

        Raises:
            OptionError: the number of columns is wrong.
        """
        if len(columns) != len(self.names):
            raise OptionError(f"the formula takes {len(self.names)} columns, {self.names}, got {len(columns)}")
        values = [*columns, *self.constants]
        for function, first, second in self.steps:
            values.append(function(values[first]) if second is None else function(values[first], values[second]))
        return values[self.result]


def formula_function(expression: sympy.Expr, names: Sequence[str], *, backend: str = "numpy") -> FormulaFunction:
    """Turn a formula into a plain function, to compute with it fast and without a network.

    Parts that appear twice are computed once. The formula is walked through, never written as code and read back.

    Args:
        expression: a formula, such as that of `symbolic_formula` or `discover`.
        names: of its symbols, in the order in which the function takes their columns.
        backend: "numpy" for arrays, "torch" for tensors and gradients, "math" for single numbers, for which it is the
            fastest. Where a formula has no value they do as those modules do: NaN, infinity, or an exception of `math`.

    Returns:
        The function; it knows its number of `operations`.

    Raises:
        SymbolicError: the formula has a symbol that is not among the names, or a function that no primitive has.
        OptionError: there is no such backend, or a name appears twice.

    Example:
        >>> import sympy
        >>> mass, speed = sympy.symbols("mass speed")
        >>> energy = formula_function(mass * speed**2 / 2, ["mass", "speed"], backend="math")
        >>> energy(2.0, 3.0), energy.operations
        (9.0, 3)
    """
    if backend not in _BACKENDS:
        raise OptionError(f"unknown backend {backend!r}; use {', '.join(map(repr, _BACKENDS))}")
    if len(set(names)) < len(names):
        raise OptionError(f"names of columns appear twice: {list(names)}")
    walk = _Walk(tuple(names), backend)
    return walk.finished(walk.value(sympy.sympify(expression, strict=True)))


class _Place(NamedTuple):
    """Where a value is: among the columns (0), the constants (1) or the values of steps (2), and its number there."""

    kind: int
    number: int


class _Walk:
    """A walk through an expression that notes each operation once."""

    def __init__(self, names: tuple[str, ...], backend: str) -> None:
        self.names = names
        self.functions = _BACKENDS[backend]
        self.from_torch = _FROM_TORCH[backend]
        self.places: dict[Any, _Place] = {}  # by expression
        self.constants: dict[float, _Place] = {}
        self.steps: list[tuple[Callable[..., Any], tuple[_Place, ...]]] = []

    def finished(self, result: _Place) -> FormulaFunction:
        """The function, now that it is known how many constants there are."""
        starts = (0, len(self.names), len(self.names) + len(self.constants))
        steps = tuple(
            Step(function, *(starts[place.kind] + place.number for place in places)) for function, places in self.steps
        )
        return FormulaFunction(self.names, tuple(self.constants), steps, starts[result.kind] + result.number)

    def value(self, expression: Any) -> _Place:
        """Where the value of an expression is; what it takes to compute it is noted if it is new."""
        if expression not in self.places:
            self.places[expression] = self._new_value(expression)
        return self.places[expression]

    def _new_value(self, expression: Any) -> _Place:
        if expression.is_number:
            return self._constant(expression)
        if expression.is_Symbol:
            return self._column(expression)
        if expression.is_Add:
            return self._sum(expression)
        if expression.is_Mul:
            return self._product(expression)
        if expression.is_Pow:
            return self._power(*expression.as_base_exp())
        function = self.functions.get(type(expression).__name__) or self._of_primitive(expression)
        if function is None:
            raise SymbolicError(
                f"the formula has {expression}, which cannot be computed here; known functions are "
                f"{', '.join(sorted(self.functions))}, and those of registered primitives"
            )
        return self._step(function, *map(self.value, expression.args))

    def _of_primitive(self, expression: Any) -> Callable[..., Any] | None:
        """What computes a function that SymPy knows by its name only."""
        for primitive in primitives() if len(expression.args) == 1 else ():
            if primitive.expression(expression.args[0]) == expression:
                return self.from_torch(primitive.function)
        return None

    def _step(self, function: Callable[..., Any], *places: _Place) -> _Place:
        self.steps.append((function, places))
        return _Place(2, len(self.steps) - 1)

    def _constant(self, expression: Any) -> _Place:
        number = sympy.N(expression, 17)
        if not (number.is_real and number.is_finite):
            raise SymbolicError(f"the formula has the number {expression}, which is not real and finite")
        return self.constants.setdefault(float(number), _Place(1, len(self.constants)))

    def _column(self, symbol: Any) -> _Place:
        if symbol.name not in self.names:
            raise SymbolicError(f"the formula has the symbol {symbol}, the columns are {list(self.names)}")
        return _Place(0, self.names.index(symbol.name))

    def _sum(self, expression: Any) -> _Place:
        """Terms with a minus are subtracted, so that they need no product with −1."""
        number, terms = _apart(expression)
        plus = [term for term in terms if not term.could_extract_minus_sign()]
        minus = [-term for term in terms if term.could_extract_minus_sign()]
        added = [*map(self.value, plus), *([self.value(number)] if number != 0 else [])]
        if not added:
            added = [self._step(operator.neg, self.value(minus.pop(0)))]
        total = reduce(lambda left, right: self._step(operator.add, left, right), added)
        return reduce(lambda left, term: self._step(operator.sub, left, self.value(term)), minus, total)

    def _product(self, expression: Any) -> _Place:
        """Factors with a negative power are divided by."""
        number, factors = _apart(expression)
        below = [factor for factor in factors if _is_reciprocal(factor)]
        above = [self.value(factor) for factor in factors if not _is_reciprocal(factor)]
        if abs(number) != 1 or not above:
            above = [self.value(number), *above]
            number = sympy.Integer(1)
        result = reduce(lambda left, right: self._step(operator.mul, left, right), above)
        if number == -1:
            result = self._step(operator.neg, result)
        return reduce(lambda left, factor: self._step(operator.truediv, left, self.value(1 / factor)), below, result)

    def _power(self, base: Any, exponent: Any) -> _Place:
        """Whole powers and half ones by products and a root, which are faster and as exact; others by `pow`."""
        if _is_reciprocal(base**exponent):
            return self._step(operator.truediv, self.value(sympy.Integer(1)), self.value(base**-exponent))
        if exponent == sympy.S.Half:
            return self._step(self.functions["sqrt"], self.value(base))
        doubled = 2 * exponent
        if doubled.is_Integer and doubled <= 2 * _LARGEST_POWER:
            left = exponent // 2 if exponent.is_Integer else sympy.floor(exponent)
            return self._step(operator.mul, self.value(base**left), self.value(base ** (exponent - left)))
        return self._step(self.functions["pow"], self.value(base), self.value(exponent))


def _apart(expression: Any) -> tuple[Any, list[Any]]:
    """The number that a sum or product begins with, all its numbers taken together, and its other arguments."""
    numbers = [argument for argument in expression.args if argument.is_number]
    return expression.func(*numbers), [argument for argument in expression.args if not argument.is_number]


def _is_reciprocal(factor: Any) -> bool:
    return factor.is_Pow and factor.exp.is_number and bool(factor.exp < 0)
