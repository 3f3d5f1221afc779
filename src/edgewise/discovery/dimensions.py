"""What units say of a formula: dimensionless groups of the inputs, and sums that cannot be.

Source: Buckingham, On physically similar systems (1914).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

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
_ROUNDING = 1e-9  # of a number that is 1
_DENOMINATOR, _SAME = 12, 1e-3  # of an exponent that is one, and how far from it a fitted one is the same
_EXPONENTS = {name: Fraction(exponent) for name, exponent in EXPONENTS.items()} | {"x": Fraction(1), "abs": Fraction(1)}


class _ImpossibleError(Exception):
    """A sum of different dimensions, or a function of something that is no pure number."""


@dataclass(frozen=True)
class _Logarithm:
    """A sum of logarithms of quantities: other units move it by a constant, which a number beside it can make up for.

    Args:
        of: dimension of the quantity whose logarithm it is.
        scaled: whether a number before it may have any unit.
    """

    of: Dimension
    scaled: bool = False


_Measure: TypeAlias = Dimension | _Logarithm | None
"""What is known of the unit of a part of a formula; None where a number may give it any."""


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
        # A logarithm of a quantity is possible with a number added, as log(x/x0) = log(x) − log(x0).
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

    def _of(self, tree: Tree) -> _Measure:
        match tree:
            case Input(index):
                return self.inputs[index]
            case Curve():
                return _of_curve(tree, None if tree.name == "0" else self._of(tree.child))
            case Sum(terms):
                shifted = any(isinstance(term, Curve) and _may_have_unit(term.d) for term in terms)
                return _of_sum([self._of(term) for term in terms], shifted)
            case Product(factors):
                return _of_product([self._of(factor) for factor in factors])


def _of_sum(parts: Sequence[_Measure], shifted: bool) -> _Measure:
    """Of terms, with a number among them or not."""
    logarithms = [part for part in parts if isinstance(part, _Logarithm)]
    known = {part for part in parts if part is not None and not isinstance(part, _Logarithm)}
    known |= {NONE for part in logarithms if not part.scaled}
    if len(known) > 1:
        raise _ImpossibleError
    dimension = known.pop() if known else None
    unit = NONE
    for part in logarithms:
        unit = times(unit, part.of)
    return dimension if shifted or unit == NONE else _Logarithm(unit, scaled=dimension is None)


def _of_product(parts: Sequence[_Measure]) -> Dimension | None:
    found: Dimension | None = NONE
    for part in parts:
        if isinstance(part, _Logarithm):
            raise _ImpossibleError
        found = None if found is None or part is None else times(found, part)
    return found


def _of_curve(curve: Curve, inner: _Measure) -> _Measure:
    """Of c·f(a·inner + b) + d."""
    if isinstance(inner, _Logarithm):
        return _of_logarithm(curve, inner)
    if curve.name == "0":
        return NONE if _is_one(curve.d) else None
    argument = _with_offset(None if _may_have_unit(curve.a) else inner, curve.b)
    is_free = _may_have_unit(curve.c)
    if curve.name == "log" and curve.d == 0 and argument is not None and argument != NONE:
        return _Logarithm(to_power(argument, _exponent(curve.c)), scaled=is_free)
    exponent = _EXPONENTS.get(curve.name)
    if exponent is not None:
        value = None if argument is None else to_power(argument, exponent)
    elif argument in {None, NONE} or curve.name == "sgn" or (curve.name == "log" and _may_have_unit(curve.d)):
        value = NONE
    else:
        raise _ImpossibleError
    return _with_offset(None if is_free else value, curve.d)


def _with_offset(dimension: Dimension | None, offset: float) -> Dimension | None:
    """Of a quantity and a number that is added, which has its unit unless it is 1."""
    if not _is_one(offset):
        return dimension
    if dimension not in {None, NONE}:
        raise _ImpossibleError
    return NONE


def _of_logarithm(curve: Curve, inner: _Logarithm) -> _Measure:
    """Of c·f(a·inner + b) + d, where a number that is added may make up for the unit inside."""
    within = to_power(inner.of, _exponent(curve.a))
    is_free = inner.scaled or _may_have_unit(curve.a * curve.c)
    if curve.name == "exp":  # exp(a·log(x) + b) = eᵇ·xᵃ
        value = None if curve.b != 0 or _may_have_unit(curve.c) else within
        return _with_offset(value, curve.d)
    if curve.name == "x" and curve.b == curve.d == 0:
        return _Logarithm(to_power(within, _exponent(curve.c)), is_free)
    if not (_may_have_unit(curve.b) or (curve.name == "x" and _may_have_unit(curve.d))):
        raise _ImpossibleError
    return _of_curve(curve, None if inner.scaled else NONE)


def _is_one(number: float) -> bool:
    return abs(abs(number) - 1) <= _ROUNDING


def _may_have_unit(number: float) -> bool:
    return number != 0 and not _is_one(number)


def _exponent(number: float) -> Fraction:
    """A power as a fraction, a simple one where it is near one."""
    simple = Fraction(number).limit_denominator(_DENOMINATOR)
    return simple if abs(simple - number) < _SAME else Fraction(number)


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
