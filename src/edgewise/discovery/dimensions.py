"""What units say of a formula: dimensionless groups of the inputs, and sums that cannot be.

Source: Buckingham, On physically similar systems (1914).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewise.discovery.tree import EXPONENTS, Curve, Input, Product, Sum, Tree
from edgewise.discovery.units import NONE, Dimension, times, to_power
from edgewise.lazy import LazyModule

if TYPE_CHECKING:
    import sympy
else:
    sympy = LazyModule("sympy")

_MOST_ENUMERATED = 7  # inputs
_MOST_MOVED = 4  # groups
_HIGHEST = 2  # exponent in a group
_EXPONENTS = {name: Fraction(exponent) for name, exponent in EXPONENTS.items()} | {"x": Fraction(1), "abs": Fraction(1)}


class _ImpossibleError(Exception):
    """A sum of different dimensions, or a function of something that is no pure number."""


@dataclass(frozen=True)
class Groups:
    """y = Π x_i^factor_i · f(Π x_i^p_i for each p of the groups), with f and its arguments pure numbers.

    Args:
        factor: exponents, one per input.
        groups: exponents of each group, one per input.
    """

    factor: tuple[float, ...]
    groups: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Dimensions:
    """Of a table.

    Args:
        inputs: one per input.
        target: of y.
    """

    inputs: tuple[Dimension, ...]
    target: Dimension

    def allow(self, tree: Tree) -> bool:
        """Whether a formula is possible: a number other than 0 and ±1 may have any unit, nothing else may."""
        try:
            found = self._of(tree)
        except _ImpossibleError:
            return False
        return found is None or found == self.target

    def groups(self) -> Groups | None:
        """Groups of small exponents, or None where no product of powers of the inputs has the unit of the target."""
        matrix = sympy.Matrix([[column[k] for column in self.inputs] for k in range(len(NONE))])
        base = _solution(matrix, self.target)
        if base is None:
            return None
        chosen = _independent(matrix)
        steps = product(range(-_HIGHEST, _HIGHEST + 1), repeat=len(chosen)) if len(chosen) <= _MOST_MOVED else ()
        factor = min((base, *(_moved(base, chosen, step) for step in steps)), key=_size)
        return Groups(tuple(map(float, factor)), tuple(tuple(map(float, group)) for group in chosen))

    def _of(self, tree: Tree) -> Dimension | None:
        """The dimension of a tree, None where a constant may give it any."""
        match tree:
            case Input(index):
                return self.inputs[index]
            case Curve():
                return self._of_curve(tree)
            case Sum(terms):
                known = {found for term in terms if (found := self._of(term)) is not None}
                if len(known) > 1:
                    raise _ImpossibleError
                return known.pop() if known else None
            case Product(factors):
                found = NONE
                parts = [self._of(factor) for factor in factors]
                for part in parts:
                    found = None if found is None or part is None else times(found, part)
                return found

    def _of_curve(self, curve: Curve) -> Dimension | None:
        if curve.name == "0":
            return None
        inner = self._of(curve.child)
        argument = None if abs(curve.a) != 1 else inner
        exponent = _EXPONENTS.get(curve.name)
        if exponent is not None:
            value = None if argument is None else to_power(argument, exponent)
        elif argument in {None, NONE}:
            value = NONE
        else:
            raise _ImpossibleError
        return value if abs(curve.c) == 1 else None


def _solution(matrix: sympy.Matrix, target: Dimension) -> tuple[Fraction, ...] | None:
    """Exponents that give the target, zero where they are free."""
    columns = matrix.shape[1]
    reduced, pivots = matrix.row_join(sympy.Matrix(target)).rref()
    if columns in pivots:
        return None
    found = [Fraction(0)] * columns
    for row, pivot in enumerate(pivots):
        found[pivot] = _fraction(reduced[row, columns])
    return tuple(found)


def _independent(matrix: sympy.Matrix) -> list[tuple[Fraction, ...]]:
    """A basis of what has no dimension, those of few and small exponents first."""
    inputs = matrix.shape[1]
    basis = [tuple(map(_fraction, vector)) for vector in matrix.nullspace()]
    if not basis or inputs > _MOST_ENUMERATED:
        return basis
    every = np.array(list(product(range(-_HIGHEST, _HIGHEST + 1), repeat=inputs)))
    whole = np.array((matrix * sympy.ilcm(1, *(_fraction(entry).denominator for entry in matrix))).tolist(), dtype=int)
    first = every[np.arange(len(every)), (every != 0).argmax(axis=1)]
    small = every[(first > 0) & ~(every @ whole.T).any(axis=1)]
    ordered = sorted((tuple(map(Fraction, exponents)) for exponents in small.tolist()), key=_size)
    chosen: list[tuple[Fraction, ...]] = []
    for candidate in (*ordered, *basis):
        if sympy.Matrix([*chosen, candidate]).rank() > len(chosen):
            chosen.append(candidate)
        if len(chosen) == len(basis):
            break
    return chosen


def _moved(
    base: tuple[Fraction, ...], groups: list[tuple[Fraction, ...]], steps: Sequence[int]
) -> tuple[Fraction, ...]:
    for step, group in zip(steps, groups, strict=True):
        base = times(base, group, step)
    return base


def _size(exponents: Sequence[Fraction]) -> tuple[int, float]:
    return sum(1 for e in exponents if e), float(sum(abs(e) for e in exponents))


def _fraction(value: Any) -> Fraction:
    return Fraction(int(value.p), int(value.q))
