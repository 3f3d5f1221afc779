"""T(y) = P(x), and y·Q(x) = P(x): polynomials and their quotients by linear algebra."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from edgewise.discovery.polynomial_fit import (
    exponents_up_to,
    monomial_trees,
    monomial_values,
    polynomial_tree,
    quotient_tree,
    sparse_fit,
)
from edgewise.discovery.problem import NOISY, Problem
from edgewise.discovery.rational import exact_quotient, likeliest_quotient
from edgewise.discovery.stage import Solve
from edgewise.discovery.tree import Curve, Tree
from edgewise.symbolic import Size, description_length

_HIGHEST = {1: 10, 2: 5, 3: 4, 4: 4, 5: 3}  # degree by the number of inputs
_HIGHEST_OF_MANY = 2
_HIGHEST_OF_QUOTIENT = {1: 5, 2: 4, 3: 3, 4: 2}
_ROWS_PER_TERM = 1.5
_MOST_TERMS = 260
_ROWS, _NOISY_ROWS = 600, 4000
_EXACT = 1e-9
_LOW, _ROUNDING = 5, 1e-12  # polynomials of higher degree come close to any smooth function: they have to be exact
_MULTIPLES = (1, 2, 3, 4, 6)
_OFF = 0.05  # from a whole multiple


class Polynomials:
    """See the module."""

    name = "polynomials"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas with the terms that count, the lowest degrees first."""
        del solve
        few = problem.reduced(_ROWS)
        inputs = few.x.shape[1]
        if float(few.x.abs().amax()) > 1e6:
            return
        for undo, target, weight in few.transformed():
            least = math.inf
            for degree in range(1, _HIGHEST.get(inputs, _HIGHEST_OF_MANY) + 1):
                powers = exponents_up_to(inputs, degree)
                if len(powers) > min(_MOST_TERMS, len(target) / _ROWS_PER_TERM):
                    break
                found, left = sparse_fit(monomial_values(few.x, powers), target, weight)
                if not left < max(_EXACT if degree <= _LOW else _ROUNDING, 2 * problem.noise):
                    continue
                bits = description_length(left**2, Size(0, int((found != 0).sum())), len(target))
                if not bits < least:
                    break
                least = bits
                # Noise may leave a sum of squares negative somewhere; with whole ratios it is one again.
                if few.noise and (whole := _with_whole_ratios(found)) is not None:
                    yield undo(polynomial_tree(powers, whole))
                yield undo(polynomial_tree(powers, found))
                if left < _EXACT:
                    break


class Quotients:
    """See the module."""

    name = "quotients of polynomials"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """The quotient of least degree that leaves nothing; under noise the likeliest of each degree."""
        del solve
        inputs = problem.x.shape[1]
        if float(problem.x.abs().amax()) > 1e6:
            return
        noisy = problem.noise > NOISY
        few = problem.reduced(_NOISY_ROWS if noisy else _ROWS)
        for exponent in (1, 2):
            y = few.y**exponent
            if exponent == 2 and not bool((few.y > 0).all() | (few.y < 0).all()):
                continue
            weight = (few.y.abs() ** (exponent - 1) * few.scale).reciprocal()
            for degree in range(1, _HIGHEST_OF_QUOTIENT.get(inputs, 2) + 1):
                powers = exponents_up_to(inputs, degree)
                if 2 * len(powers) > min(_MOST_TERMS, len(y) / _ROWS_PER_TERM):
                    break
                design = monomial_values(few.x, powers)
                exact = exact_quotient(design, design, y)  # whatever is thought of the noise: poles may pass for it
                found = likeliest_quotient(design, y, weight) if exact is None and noisy else exact
                if found is not None:
                    tree = quotient_tree(monomial_trees(powers), *found)
                    yield tree if exponent == 1 else _root(tree, problem)
                if exact is not None:
                    break


def _root(tree: Tree, problem: Problem) -> Tree:
    root = Curve("sqrt", tree)
    return min((root, Curve("x", root, c=-1.0)), key=problem.error)


def _with_whole_ratios(coefficients: Tensor) -> Tensor | None:
    """Coefficients as small multiples of one number, or None where they are not close to it."""
    present = coefficients != 0
    for count in _MULTIPLES:
        unit = float(coefficients.abs().max()) / count
        whole = (coefficients / unit).round()
        if float((coefficients / unit - whole).abs().max()) < _OFF and bool((whole[present] != 0).all()):
            unit = float((coefficients * whole).sum() / whole.square().sum())
            return unit * whole
    return None
