"""Inputs that matter only together: y depends on x_i and x_j through z = α(x_i) + ρ·β(x_j), their product or quotient.

Along z the gradient points as that of z does, whatever the other inputs are: ∂y/∂x_i ÷ ∂y/∂x_j = α′(x_i) ÷ ρβ′(x_j).
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch
from numpy.polynomial import Chebyshev as ChebyshevSeries
from scipy.optimize import fminbound
from torch import Tensor

from edgewise.basis import Chebyshev
from edgewise.discovery.problem import Problem, box_of
from edgewise.discovery.stage import Solve
from edgewise.discovery.surrogate import Surrogate, smooth_error
from edgewise.discovery.tree import Curve, Input, Tree, evaluate, product_of, scaled, substituted, sum_of

_ADDED = ("x", "x^2", "x^3", "sqrt", "1/x", "log", "exp", "sin", "cos")  # what stands for α and β
_ASKEW = 0.02  # share of a gradient that points another way
_PLAINER = 2.0  # factor by which a curve has to point better than none
_MOST = 3  # joins of a kind that are solved
_AROUND = 3.0  # times what is askew: where the best ρ is looked for
_PLACES = 30  # at which it is
_DEGREE = 14  # of α′ and β′ where they are found first
_CLEARLY = 0.2  # share of what the best named curves are askew, from which others are looked for
_SAFETY = 3.0  # of how askew a join is: the error of its curves
_TINY = 1e-300
_DENOMINATOR = 4  # of a simple ρ
_SAME, _AS_GOOD = 1e-6, 0.2  # distance of ρ from it, and logarithm of the ratio of errors, at which it is taken


@dataclass(frozen=True)
class _Join:
    """A function of two inputs, as a tree of Input(0) and Input(1), and how far from its gradient that of y points.

    Args:
        first: place of the one input.
        second: place of the other.
        tree: of the function for a given ρ.
        ratio: ρ, or None where the tree does not have it.
        askew: share of the gradient that points another way.
        curves: how many of the two inputs are bent.
    """

    first: int
    second: int
    tree: Callable[[float], Tree]
    ratio: float | None
    askew: float
    curves: int


def joined(problem: Problem, surrogate: Surrogate, probes: Tensor, solve: Solve) -> Iterator[Tree]:
    """Y as a function of z(x_i, x_j) and the others, for the pairs whose gradients say so.

    Args:
        problem: rows and noise.
        surrogate: a smooth fit of its target.
        probes: where the fit is trusted, shape (M, I).
        solve: answers smaller problems.

    Yields:
        Formulas, those of the best directions first.
    """
    gradient = surrogate.gradient(probes)
    found = sorted(_joins(probes, gradient), key=lambda join: join.askew * _PLAINER**join.curves)
    near = [join for join in found[:_MOST] if join.askew < _ASKEW + problem.noise]
    for join in near:
        yield from _solved(problem, join, solve)
    least = min((join.askew for join in found), default=math.inf)
    for join in itertools.islice(_unnamed(problem, probes, gradient, solve, _CLEARLY * least), _MOST):
        yield from _solved(problem, join, solve)


def _solved(problem: Problem, join: _Join, solve: Solve) -> Iterator[Tree]:
    """Formulas with one input in the place of two."""
    pair = problem.x[:, [join.first, join.second]]
    others = [k for k in range(problem.x.shape[1]) if k not in {join.first, join.second}]

    def smaller(ratio: float) -> Tensor:
        return torch.cat([evaluate(join.tree(ratio), pair).unsqueeze(1), problem.x[:, others]], dim=1)

    defined = bool(smaller(1.0 if join.ratio is None else join.ratio).isfinite().all())
    if not defined or time.monotonic() > problem.deadline:
        return
    ratio = 1.0 if join.ratio is None else _best_ratio(problem, join.ratio, join.askew, smaller)
    together = substituted(join.tree(ratio), {0: Input(join.first), 1: Input(join.second)})
    inputs = {0: together} | {k: Input(other) for k, other in enumerate(others, start=1)}
    for tree in solve(problem.of_inputs(smaller(ratio))):
        yield substituted(tree, inputs)


def _joins(probes: Tensor, gradient: Tensor) -> Iterator[_Join]:
    """All that are defined, with the ρ of least squares."""
    a, b = Input(0), Input(1)
    products = (product_of(a, b), product_of(a, Curve("1/x", b)), product_of(b, Curve("1/x", a)))
    columns = range(probes.shape[1])
    slopes = {(name, k): _slopes(Curve(name, Input(k)), probes)[:, k] for name in _ADDED for k in columns}
    for i, j in itertools.combinations(columns, 2):
        by_i, by_j = gradient[:, i], gradient[:, j]
        for tree in products:
            along = _slopes(tree, probes[:, [i, j]])
            askew = _askew(by_i * along[:, 1], by_j * along[:, 0])
            if askew is not None:
                yield _Join(i, j, lambda _, tree=tree: tree, None, askew, 1)
        for first, second in itertools.product(_ADDED, repeat=2):
            across, along = by_i * slopes[second, j], by_j * slopes[first, i]
            ratio = float((across @ along) / across.square().sum())
            askew = _askew(ratio * across, along)
            if askew is not None and ratio:
                curves = (first != "x") + (second != "x")
                yield _Join(i, j, _sum_of(_bent(first, a), _bent(second, b)), ratio, askew, curves)


def _bent(name: str, child: Tree) -> Tree:
    return child if name == "x" else Curve(name, child)


def _sum_of(first: Tree, second: Tree) -> Callable[[float], Tree]:
    """What gives first + ρ·second."""
    return lambda ratio: sum_of(first, scaled(second, ratio))


def _unnamed(problem: Problem, probes: Tensor, gradient: Tensor, solve: Solve, most: float) -> Iterator[_Join]:
    """Joins by curves α and β that are found as polynomials first, then named; none more askew than given.

    Here ∂y/∂x_i·β′(x_j) = ∂y/∂x_j·α′(x_i) is linear in both slopes: they are a null vector.

    Args:
        problem: rows and noise.
        probes: where the gradient is, shape (M, I).
        gradient: of y, shape (M, I).
        solve: names the curves.
        most: how askew a join may be.

    Yields:
        Joins, a few of each pair of inputs, the best pair first.
    """
    ends = box_of(problem.x)
    basis = Chebyshev(degree=_DEGREE)
    values = basis.values(probes, ends)
    ranked = []
    for i, j in itertools.combinations(range(probes.shape[1]), 2):
        by_i, by_j = gradient[:, [i]], gradient[:, [j]]
        size = (by_i.square() + by_j.square()).sqrt().clamp_min(_TINY)
        slopes = torch.linalg.svd(torch.cat([by_j * values[:, i], -by_i * values[:, j]], dim=1) / size).Vh[-1]
        of_i, of_j = slopes.tensor_split(2)
        askew = _askew(gradient[:, j] * (values[:, i] @ of_i), gradient[:, i] * (values[:, j] @ of_j))
        if askew is not None and askew < min(most, _ASKEW + problem.noise):
            ranked.append((askew, i, j, of_i, of_j))
    for askew, i, j, *slopes in sorted(ranked, key=lambda entry: entry[0]):
        named = []
        for index, series in zip((i, j), slopes, strict=True):
            low, high = ends[index].tolist()
            curve = ChebyshevSeries(series.numpy(), domain=[low, high]).integ()(problem.x[:, index].numpy())
            named.append(solve(problem.part(problem.x[:, [index]], torch.from_numpy(curve), _SAFETY * askew)))
        for first, second in zip(*named, strict=False):
            yield _Join(i, j, _sum_of(first, substituted(second, {0: Input(1)})), 1.0, askew, 2)


def _slopes(tree: Tree, x: Tensor) -> Tensor:
    """Derivatives of a tree by the columns of x, shape (M, I)."""
    at = x.clone().requires_grad_()
    with torch.enable_grad():
        (slopes,) = torch.autograd.grad(evaluate(tree, at).sum(), at, materialize_grads=True)
    return slopes


def _askew(one: Tensor, other: Tensor) -> float | None:
    """What is left of two vectors that should be the same, as a share of their size."""
    size = float((one.square() + other.square()).mean().sqrt())
    return float((one - other).square().mean().sqrt()) / size if math.isfinite(size) and size > 0 else None


def _best_ratio(problem: Problem, ratio: float, askew: float, smaller: Callable[[float], Tensor]) -> float:
    """The ρ for which a smooth fit of the smaller problem leaves least, or a simple one that is about as good."""

    def left(log: float) -> float:
        if time.monotonic() > problem.deadline:
            return math.inf
        error = smooth_error(smaller(ratio * math.exp(log)), problem.y, problem.seed)
        return math.log(max(error, _TINY)) if math.isfinite(error) else math.inf

    reach = _AROUND * max(askew, problem.noise)
    log, least, *_ = fminbound(left, -reach, reach, xtol=0.0, maxfun=_PLACES, full_output=True, disp=0)
    best = ratio * math.exp(log)
    simple = float(Fraction(best).limit_denominator(_DENOMINATOR))
    off = abs(simple / best - 1)
    if not simple * ratio > 0:  # a very small ρ is near none
        return best
    if off < _SAME or (off < reach and left(math.log(simple / ratio)) < least + _AS_GOOD):
        return simple
    return best
