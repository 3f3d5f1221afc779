"""What a stage of the search is given: rows, and what may be done with the target."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from edgewise.discovery.rules import Rules
from edgewise.discovery.tree import Curve, Tree, evaluate, scaled

NOISY = 1e-4  # noise from which it matters
HOPELESS = 0.9  # error of a fit that explains nothing
_FAR, _NEAR = 30.0, 0.02  # absolute values of a target with poles, relative to their median
_TINY = 1e-300
_FEWEST = 30  # rows from which neighbours tell the noise
MEDIAN_OF_NORMAL = 0.6745  # of the absolute value of a standard normal
_BINS = 500  # few enough to be fast, so many that a curve is straight within each
_ROUNDING = 1e-12  # of the largest value
_SIGMAS = 4.0  # of noise: values beyond 0 by no more may be of the other sign
_VALID = 0.9  # of the rows that have to have a value
_MOST_WEIGHT = 10.0  # times the median: near 0 the errors of 1/y, y² and the like are no longer proportional
_MOST_OF_EXP = 30.0  # range of a target whose exponential is looked at


@dataclass(frozen=True)
class Problem:
    """Rows to find a formula for.

    Args:
        x: inputs, shape (N, I).
        y: target, shape (N,).
        scale: error of each value of y up to a common factor, positive, shape (N,).
        noise: a guess of what no formula can explain, relative to the spread of y.
        floor: relative error below which nothing can be told, as y itself comes from a fit; 0 for data.
        deadline: monotonic time after which nothing new is begun.
        seed: fixes what is random.
        rules: what formulas may be made of.
        noise_freedom: degrees of freedom by which the noise is known: those of replicates, infinite where it is given,
            0 where it is a guess.
    """

    x: Tensor
    y: Tensor
    scale: Tensor
    noise: float
    floor: float
    deadline: float
    seed: int
    rules: Rules = field(default_factory=Rules)
    noise_freedom: float = 0.0

    @property
    def spread(self) -> float:
        """Root mean square of y around its mean, in units of the errors."""
        return self.size_of(self.y - self.mean)

    @property
    def mean(self) -> float:
        """The constant nearest to y."""
        weights = self.scale**-2
        return float((weights * self.y).sum() / weights.sum())

    @property
    def is_constant(self) -> bool:
        """Whether y is one number, up to rounding."""
        return float(self.y.max() - self.y.min()) <= _ROUNDING * float(self.y.abs().max())

    @property
    def has_poles(self) -> bool:
        """Whether some values are far from 0 and none is near it, so that their sign, if at all, changes at poles."""
        size = self.y.abs() / self.y.abs().median()
        return float(size.max()) > _FAR and float(size.min()) > _NEAR

    def distinct_inputs(self) -> list[int]:
        """The places of the inputs that vary and are no copies of others."""
        first: dict[bytes, int] = {}
        for place, column in enumerate(self.x.T):
            if bool(column.max() > column.min()):
                first.setdefault(column.contiguous().numpy().tobytes(), place)
        return list(first.values())

    def tolerated(self, good: float, factor: float) -> float:
        """The relative error up to which a fit is one of the right form.

        Args:
            good: error without noise.
            factor: how many times the noise it may be.

        Returns:
            An error from which on a fit would explain nothing, at most.
        """
        return min(max(good, factor * self.noise), HOPELESS)

    def size_of(self, residual: Tensor) -> float:
        """Root mean square of residuals, shape (N,), in units of the errors."""
        return float((residual / self.scale).square().mean().sqrt())

    def error(self, tree: Tree) -> float:
        """Root mean square error of a formula relative to the spread of the target; infinite where it has no value."""
        value = self.size_of(evaluate(tree, self.x) - self.y) / self.spread
        return value if math.isfinite(value) else math.inf

    def transformed(self) -> Iterator[tuple[Callable[[Tree], Tree], Tensor, Tensor]]:
        """The target in every form that it allows, the plainest first.

        Yields:
            What undoes the transform T, the values T(y), and how much each counts, both of shape (N,): the inverse of
            its error, 0 where noise left y without a value of T.
        """
        slack = _SIGMAS * self.noise * float(self.y.std(correction=0))
        for transform, sign in transforms_of(self.y, slack):
            if transform.undo in self.rules.forbidden:
                continue
            target, weight = transform.forward(sign * self.y), transform.weight(sign * self.y, self.scale)
            valid = target.isfinite() & weight.isfinite() & (weight > 0)
            if float(valid.double().mean()) > (_VALID if slack else 1 - 1e-12):
                zero = torch.zeros_like(target)
                undo = partial(transform.undone, sign=sign)
                yield undo, torch.where(valid, target, zero), torch.where(valid, weight, zero)

    def divided(self, x: Tensor, factor: Tensor) -> Problem:
        """The problem of y over a factor, shape (N,), as a function of other inputs."""
        return self._smaller(x, self.y / factor, self.scale / factor.abs())

    def part(self, x: Tensor, y: Tensor, floor: float) -> Problem:
        """The problem of a part of y, known up to an error relative to the spread of that part."""
        rules = self.rules.of_part()
        known = replace(self, x=x, y=y, scale=torch.ones_like(y), floor=floor, rules=rules)
        return known.guessing(min(self.noise, floor))._by_neighbours()

    def guessing(self, noise: float) -> Problem:
        """The same rows with a guess of their noise, relative to the spread of y, in place of what is known of it."""
        return replace(self, noise=noise, noise_freedom=0.0)

    def of_inputs(self, x: Tensor) -> Problem:
        """The same target as a function of other inputs."""
        return self._smaller(x, self.y, self.scale)

    def some(self, rows: Tensor) -> Problem:
        """Some of the rows, by their places or by a mask; the errors are as large as before."""
        return self._smaller(self.x[rows], self.y[rows], self.scale[rows])

    def _smaller(self, x: Tensor, y: Tensor, scale: Tensor) -> Problem:
        """With other values whose errors, in units of theirs, are as large as before."""
        smaller = replace(self, x=x, y=y, scale=scale, rules=self.rules.of_part())
        if self.noise == 0 or smaller.is_constant:
            return smaller
        return replace(smaller, noise=self.noise * self.spread / smaller.spread)._by_neighbours()

    def _by_neighbours(self) -> Problem:
        """With less noise where neighbours in one input tell that there is less."""
        is_settled = self.noise == 0 or self.noise_freedom > 0 or self.is_constant
        if self.x.shape[1] != 1 or len(self.y) < _FEWEST or is_settled:
            return self
        return replace(self, noise=min(self.noise, self.roughness() / self.spread))

    def roughness(self) -> float:
        """How far rows of one input are from the straight line between their neighbours: their noise, or a bound of it.

        Returns:
            A standard deviation in units of the errors; see Gasser, Sroka and Jennen-Steinmetz, Biometrika 73 (1986),
            with a median in the place of their mean.
        """
        order = self.x[:, 0].argsort(stable=True)
        (before, x, after), (left, y, right), scales = (
            (values[:-2], values[1:-1], values[2:]) for values in (self.x[order, 0], self.y[order], self.scale[order])
        )
        gap = after - before
        share = torch.where(gap > 0, (x - before) / gap.clamp_min(_TINY), 0.5)
        off = y - torch.lerp(left, right, share)
        error = (scales[1].square() + ((1 - share) * scales[0]).square() + (share * scales[2]).square()).sqrt()
        return float((off / error).abs().median()) / MEDIAN_OF_NORMAL

    def thinned(self, most: int) -> Problem:
        """With some of the rows, two or more, drawn at random; their target varies if it does in all rows."""
        if len(self.y) <= most:
            return self
        chosen = torch.randperm(len(self.y), generator=torch.Generator().manual_seed(self.seed))[:most]
        few = self.of_rows(chosen)
        if few.is_constant and not self.is_constant:
            chosen[0], chosen[1] = self.y.argmin(), self.y.argmax()
            return self.of_rows(chosen)
        return few

    def of_rows(self, chosen: Tensor) -> Problem:
        """Some of the rows, with all that is known of the noise."""
        return replace(self, x=self.x[chosen], y=self.y[chosen], scale=self.scale[chosen])

    def reduced(self, most: int) -> Problem:
        """With fewer rows that tell the same: of one input with noise means of neighbours, else some of the rows."""
        if self.noise > NOISY and self.x.shape[1] == 1:
            return self.binned(min(most, _BINS))
        return self.thinned(most)

    def binned(self, most: int) -> Problem:
        """Of one input, with means of neighbours in the place of rows, by their weights: less noise, the same curve.

        No bin has more than twice its share of the rows or of the range: where rows are rare, a curve would not be
        straight within bins of equally many.

        Args:
            most: number of bins.

        Returns:
            The same problem if it has no more rows than that.
        """
        count = len(self.y)
        if count <= most:
            return self
        x = self.x[:, 0]
        ranks = x.argsort(stable=True).argsort() / count
        places = ((ranks + (x - x.min()) / (x.max() - x.min()).clamp_min(_TINY)) / 2 * most).long().clamp_max(most - 1)
        weights = self.scale**-2
        sums = torch.zeros(most, 3, dtype=x.dtype)
        sums.index_add_(0, places, torch.stack([weights, weights * x, weights * self.y], dim=1))
        total, along, target = sums[sums[:, 0] > 0].T
        return replace(self, x=(along / total).unsqueeze(1), y=target / total, scale=total.rsqrt())


def box_of(x: Tensor) -> Tensor:
    """Least and largest value of each column of x, shape (I, 2): 1 apart where all are equal, as in a few rows."""
    low, high = x.amin(dim=0), x.amax(dim=0)
    return torch.stack(
        [low, torch.where(high > low, high, low + torch.maximum(low.abs(), torch.ones_like(low)))], dim=1
    )


@dataclass(frozen=True)
class Transform:
    """A function of the target that may have a simpler formula, and how to undo it.

    Args:
        forward: T.
        slope: its derivative, positive or negative.
        undo: the primitive that gives y back from T(y), for y of one sign; None for the identity.
    """

    forward: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    undo: str | None

    def weight(self, y: Tensor, scale: Tensor) -> Tensor:
        """How much T(y) may be relied on, shape (N,), the inverse of its errors."""
        weight = (self.slope(y).abs() * scale).reciprocal()
        return (weight / weight.median()).clamp_max(_MOST_WEIGHT)

    def undone(self, tree: Tree, sign: float) -> Tree:
        """The formula of y from that of T(|y|)."""
        return tree if self.undo is None else scaled(Curve(self.undo, tree), sign)


IDENTITY = Transform(lambda y: y, torch.ones_like, None)
_OF_ONE_SIGN = (
    Transform(torch.reciprocal, lambda y: -(y**-2), "1/x"),
    Transform(torch.square, lambda y: 2 * y, "sqrt"),
    Transform(torch.log, torch.reciprocal, "exp"),
    Transform(lambda y: y**-2, lambda y: -2 * y**-3, "1/sqrt(x)"),
    Transform(torch.sqrt, lambda y: 0.5 * y**-0.5, "x^2"),
)
_OF_ANY_SIGN = (
    (math.inf, Transform(torch.exp, torch.exp, "log")),
    (math.pi / 2, Transform(torch.sin, torch.cos, "arcsin")),
    (math.pi / 2, Transform(torch.tan, lambda y: 1 + torch.tan(y) ** 2, "arctan")),
    (1.0, Transform(torch.arcsin, lambda y: (1 - y * y).rsqrt(), "sin")),
    (1.0, Transform(torch.arctanh, lambda y: (1 - y * y).reciprocal(), "tanh")),
)
_COS = Transform(torch.cos, lambda y: -torch.sin(y), "arccos")


def transforms_of(y: Tensor, slack: float = 0.0) -> list[tuple[Transform, float]]:
    """The transforms that a target allows, the plainest first, each with the sign of y that it takes away.

    Args:
        y: target, shape (N,).
        slack: how far values may be beyond 0.

    Returns:
        Pairs of a transform and a sign.
    """
    found = [(IDENTITY, 1.0)]
    low, high = float(y.min()), float(y.max())
    if max(low, -high) > -slack and low != high:
        sign = 1.0 if low + high > 0 else -1.0
        found += [(each, sign) for each in _OF_ONE_SIGN]
    most = max(-low, high)
    if most < _MOST_OF_EXP:
        found += [(each, 1.0) for bound, each in _OF_ANY_SIGN if most < bound]
        if low > 0 and high < math.pi:
            found.append((_COS, 1.0))
    return found
