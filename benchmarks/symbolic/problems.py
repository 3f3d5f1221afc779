"""Formulas to be found: the Feynman equations, published sets, and random expressions."""

from __future__ import annotations

import ast
import csv
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "paper"))  # the grammar of formulas is the same

import numpy as np
import sympy
from formulas import Grammar
from generator import random_expressions

DATA = Path(__file__).parent / "data"
TABLES = ("feynman100", "published")
RANDOM = "random"
TEST_ROWS = 2000
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(sympy, name) for name in ("exp", "sqrt", "sin", "cos", "tan", "log", "tanh", "asin", "acos", "Abs")
} | {"arcsin": sympy.asin, "arccos": sympy.acos, "ln": sympy.log, "abs": sympy.Abs}


@dataclass(frozen=True)
class Problem:
    """A formula, and the ranges its variables are drawn from, uniformly."""

    name: str
    formula: sympy.Expr
    ranges: dict[str, tuple[float, float]]

    @property
    def symbols(self) -> list[sympy.Symbol]:
        """The variables in the order of the columns."""
        return [sympy.Symbol(name) for name in self.ranges]

    def values(self, formula: sympy.Expr, x: np.ndarray) -> np.ndarray:
        """A formula of the variables on rows of shape (N, I), shape (N,)."""
        with np.errstate(all="ignore"):
            found = sympy.lambdify(self.symbols, formula, "numpy")(*x.T)
        return np.broadcast_to(np.asarray(found, dtype=complex), len(x)).copy()

    def draw(self, rows: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and a target with errors of noise times the target's root mean square."""
        generator = np.random.default_rng(seed)
        x = np.stack([generator.uniform(*bounds, rows) for bounds in self.ranges.values()], axis=1)
        y = self.values(self.formula, x).real
        return x, y + noise * np.sqrt(np.mean(y**2)) * generator.standard_normal(rows)


def problems(table: str, *, count: int = 100, seed: int = 0) -> dict[str, Problem]:
    """The problems of a table by their names; random expressions are drawn."""
    if table == RANDOM:
        found = random_expressions(count, seed)
        return {each.name: Problem(each.name, each.formula, each.ranges) for each in found}
    with (DATA / f"{table}.csv").open(newline="") as file:
        return {row["id"]: _problem(row) for row in csv.DictReader(file)}


def _problem(row: dict[str, str]) -> Problem:
    ranges = {}
    for part in row["ranges"].split(";"):
        name, bounds = part.split(":")
        low, high = bounds.strip(" []").split(",")
        ranges[name.strip()] = (float(low), float(high))
    return Problem(row["id"], expression(row["formula"], {name: sympy.Symbol(name) for name in ranges}), ranges)


def expression(
    text: str, symbols: Mapping[str, sympy.Symbol], functions: Mapping[str, Callable[..., Any]] | None = None
) -> sympy.Expr:
    """A formula written as text, of which nothing is run.

    Args:
        text: in the syntax of Python.
        symbols: what its names stand for.
        functions: what it may call besides the usual ones.

    Returns:
        The formula; its whole numbers are exact.
    """
    grammar = Grammar({"pi": sympy.pi}, _FUNCTIONS | dict(functions or {}), _number)
    return grammar.value(ast.parse(text, mode="eval").body, symbols)


def _number(number: float) -> sympy.Expr:
    return sympy.Integer(number) if isinstance(number, int) else sympy.Float(number)
