"""One input: y = T⁻¹(c·f(a·g(x) + b) + d), with f from the registry and simple T and g."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from torch import Tensor

from edgewise.discovery.library import Library, inputs_of
from edgewise.discovery.problem import NOISY, Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.tree import Curve, Input, Tree, network_of, power, product_of, scaled, tree_of
from edgewise.symbolic import Match, rank_matches
from edgewise.training import fit_in_search

_ROWS = 200
_MOST_MATCHES, _MOST_NOISY_MATCHES = 3, 5
_STEPS = 20
_INNER = ("x^2", "1/x", "log", "sqrt", "exp", "sin", "cos")
_FACTORS = (1.0, -1.0, 2.0, -2.0)


@dataclass(frozen=True)
class Curves:
    """See the module.

    Args:
        inner: primitives that stand for g.
        factors: exponents p of a factor x^p that is tried beside g(x) = x.
        first: position of the first T that is tried.
        last: position of the last one; None for all.
    """

    inner: tuple[str, ...] = ("x",)
    factors: tuple[float, ...] = (0.0,)
    name: str = "curves"
    first: int = 0
    last: int | None = None

    @classmethod
    def deep(cls) -> Curves:
        """Compositions f(g(x)), and x^p times a curve."""
        return cls(_INNER, _FACTORS, "deeper curves", last=0)

    @classmethod
    def deepest(cls) -> Curves:
        """Compositions T⁻¹(f(g(x))), which take longer."""
        return cls(_INNER, _FACTORS, "deepest curves", first=1)

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas of one input, the plainest arguments first."""
        del solve
        if problem.x.shape[1] != 1:
            return
        few = problem.binned(_ROWS) if problem.noise > NOISY else problem.thinned(_ROWS)
        columns = inputs_of(few.x)
        for exponent in self.factors:
            yield from self._matched(few, columns.curves("x"), exponent)
        for name in self.inner:
            inner = columns.curves(name)
            if name != "x" and name not in problem.rules.forbidden and bool(inner.values.isfinite().all()):
                yield from self._matched(few, inner, 0.0)

    def _matched(self, problem: Problem, inner: Library, exponent: float) -> Iterator[Tree]:
        x = problem.x[:, 0]
        if exponent and bool((x == 0).any()):
            return
        primitives = problem.rules.primitives
        transformed = problem.divided(problem.x, x**exponent).transformed()
        for undo, target, weight in islice(transformed, self.first, None if self.last is None else self.last + 1):
            if time.monotonic() > problem.deadline:
                return
            matches = rank_matches(inner.values[:, 0], target, primitives, weights=weight.square())
            # Without noise the right function is the one that leaves least; with noise others come as close.
            by_error = sorted(matches, key=lambda each: each.rmse)[:_MOST_MATCHES]
            rough = max(problem.noise, problem.floor) > NOISY
            for match in matches[:_MOST_NOISY_MATCHES] if rough else by_error:
                curve = _curve(match, inner.trees[0])
                for each in (curve, *_without_offset(curve, problem.x, target, weight)) if rough else (curve,):
                    yield product_of(power(Input(0), exponent), undo(each)) if exponent else undo(each)


def _without_offset(curve: Tree, x: Tensor, target: Tensor, weight: Tensor) -> Iterator[Tree]:
    """The same form with nothing added to it, its other constants fitted again; none where it has nothing added."""
    if not isinstance(curve, Curve) or curve.d == 0:
        return
    model = network_of(replace(curve, d=0.0), x, hold=True)
    fit_in_search(model, x, target.unsqueeze(1), weights=weight.square(), steps=_STEPS, solver="lm")
    yield tree_of(model)


def _curve(match: Match, child: Tree) -> Tree:
    argument, a, b = child, match.a, match.b
    if isinstance(child, Curve) and child.name == "x":
        argument = child.child
    return scaled(Curve(match.primitive.name, argument, a, b), match.c, match.d)
