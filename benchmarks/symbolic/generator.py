"""Random expressions to be found: of 2 to 5 variables, of depth 2 to 4.

A node is a binary operator with probability 0.65 (+ 0.3, − 0.2, × 0.3, ÷ 0.2), else a unary one (sin, cos, exp, log,
sqrt, square, all alike); a leaf is a variable with probability 0.8, else a constant: a whole number from 1 to 5 or,
as likely, a decimal with two digits between 0.1 and 5. A tree is rejected where it is not finite on its range, where a
variable accounts for less than 1 % of its root mean square, or where it simplifies to fewer than 5 nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import sympy

_RANGES = ((0.5, 3.0), (1.0, 5.0), (-2.0, 2.0))
_BINARY = ("+", "-", "*", "/")
_BINARY_SHARES = (0.3, 0.2, 0.3, 0.2)
_UNARY = (sympy.sin, sympy.cos, sympy.exp, sympy.log, sympy.sqrt, lambda u: u**2)
_SHARE_OF_BINARY = 0.65
_SHARE_OF_VARIABLES = 0.8
_PROBES = 2000
_LEAST_SHARE = 0.01
_FEWEST_NODES = 5
_LARGEST = 1e4


@dataclass(frozen=True)
class Expression:
    """A formula and the ranges of its variables, in the order of their names."""

    name: str
    formula: sympy.Expr
    ranges: dict[str, tuple[float, float]]


def random_expressions(count: int, seed: int) -> Iterator[Expression]:
    """Expressions, the same for the same seed."""
    generator = np.random.default_rng(seed)
    made = 0
    while made < count:
        variables = [f"x{i}" for i in range(generator.integers(2, 6))]
        depth = int(generator.integers(2, 5))
        formula = _tree(generator, variables, depth)
        ranges = {name: _RANGES[generator.integers(len(_RANGES))] for name in variables}
        simple = sympy.simplify(formula) if _is_worth(formula, ranges, generator) else None
        if simple is None or sum(1 for _ in sympy.preorder_traversal(simple)) < _FEWEST_NODES:
            continue
        used = {name for name in variables if sympy.Symbol(name) in simple.free_symbols}
        if len(used) < 2:
            continue
        yield Expression(f"random-{seed}-{made}", formula, {name: ranges[name] for name in variables if name in used})
        made += 1


def _tree(generator: np.random.Generator, variables: list[str], depth: int) -> sympy.Expr:
    if depth == 0:
        if generator.random() < _SHARE_OF_VARIABLES:
            return sympy.Symbol(variables[generator.integers(len(variables))])
        if generator.random() < 0.5:
            return sympy.Integer(int(generator.integers(1, 6)))
        return sympy.Float(round(float(generator.uniform(0.1, 5)), 2))
    if generator.random() < _SHARE_OF_BINARY:
        left, right = _tree(generator, variables, depth - 1), _tree(generator, variables, depth - 1)
        how = generator.choice(_BINARY, p=_BINARY_SHARES)
        return {"+": left + right, "-": left - right, "*": left * right, "/": left / right if right != 0 else left}[how]
    return _UNARY[generator.integers(len(_UNARY))](_tree(generator, variables, depth - 1))


def _is_worth(formula: sympy.Expr, ranges: dict[str, tuple[float, float]], generator: np.random.Generator) -> bool:
    """Whether a formula has finite values on its range to which each of its variables contributes."""
    names = [name for name in ranges if sympy.Symbol(name) in formula.free_symbols]
    if len(names) < 2 or formula.has(sympy.zoo, sympy.nan, sympy.I):
        return False
    rows = {name: generator.uniform(*ranges[name], _PROBES) for name in names}
    with np.errstate(all="ignore"):
        function = sympy.lambdify([sympy.Symbol(name) for name in names], formula, "numpy")
        whole = np.asarray(function(*rows.values()), dtype=complex)
        if np.any(whole.imag) or not np.all(np.isfinite(whole)) or np.abs(whole).max() > _LARGEST:
            return False
        rms = np.sqrt(np.mean(whole.real**2))
        for name in names:
            moved = rows | {name: generator.permutation(rows[name])}
            change = np.asarray(function(*moved.values()), dtype=complex).real - whole.real
            if not np.sqrt(np.mean(change**2) / 2) > _LEAST_SHARE * rms:
                return False
    return True
