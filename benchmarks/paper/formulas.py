"""Formulas written as text, evaluated on arrays: a small grammar over Python's syntax tree, of which nothing is run."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

CONSTANTS = {"pi": np.pi}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("exp", "log", "sqrt", "sin", "cos", "real")},
    **{name: getattr(special, name) for name in ("ellipj", "ellipkinc", "ellipeinc", "jv", "yv", "kv", "iv", "lpmv")},
    "asin": np.arcsin,
    "sph_harm_y": special.sph_harm_y,
    "J0": special.j0,
}
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def formula(text: str, names: Sequence[str]) -> Callable[[np.ndarray], np.ndarray]:
    """A function of shape (N, I) → (N,) from a formula in the columns' names.

    >>> formula("x**2 - sin(y)", ["x", "y"])(np.array([[3.0, 0.0]]))
    array([9.])
    """
    tree = ast.parse(text, mode="eval").body
    nothing = np.zeros((0, len(names)))
    grammar = Grammar(CONSTANTS, FUNCTIONS)
    grammar.value(tree, dict(zip(names, nothing.T, strict=True)))  # what the grammar lacks is told now

    def function(x: np.ndarray) -> np.ndarray:
        # Points outside a function's domain come out as NaN; who samples rejects them.
        with np.errstate(all="ignore"):
            return np.asarray(grammar.value(tree, dict(zip(names, x.T, strict=True))), dtype=np.float64)

    return function


@dataclass(frozen=True)
class Grammar:
    """What the names, the calls and the numbers of a formula stand for: arrays, or expressions of SymPy."""

    constants: Mapping[str, Any]
    functions: Mapping[str, Callable[..., Any]]
    number: Callable[[float], Any] = lambda number: number

    def value(self, node: ast.AST, variables: Mapping[str, Any]) -> Any:
        """The value of a part of a formula; a ValueError where it is none."""
        match node:
            case ast.Constant(value=int() | float() as number):
                return self.number(number)
            case ast.Name(id=name) if name in variables:
                return variables[name]
            case ast.Name(id=name) if name in self.constants:
                return self.constants[name]
            case ast.BinOp(left, sign, right) if type(sign) in _OPERATORS:
                return _OPERATORS[type(sign)](self.value(left, variables), self.value(right, variables))
            case ast.UnaryOp(sign, operand) if type(sign) in _OPERATORS:
                return _OPERATORS[type(sign)](self.value(operand, variables))
            case ast.Call(ast.Name(id=name), arguments, []) if name in self.functions:
                return self.functions[name](*(self.value(argument, variables) for argument in arguments))
            case ast.Subscript(ast.Call() as call, ast.Constant(value=int() as index)):  # one of several results
                return self.value(call, variables)[index]
        raise ValueError(
            f"{ast.unparse(node)!r} is no part of a formula; use numbers, {', '.join(variables)} and functions"
        )
