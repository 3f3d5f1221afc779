"""`discover`: from a table to a front of formulas in one call."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgewise.data import as_dataset, column_transforms
from edgewise.discovery.formulas import Formula, Front, rated
from edgewise.discovery.problem import Problem
from edgewise.discovery.solver import EXACT, Finding, front, solve
from edgewise.discovery.surrogate import smooth_error
from edgewise.discovery.tree import Input, Tree, complexity, constant, network_of, scaled, substituted, tree_of
from edgewise.errors import OptionError, ShapeError
from edgewise.kan import KAN
from edgewise.lazy import LazyModule
from edgewise.network import Options, check_names
from edgewise.symbolic import canonical, snapped
from edgewise.threads import threads_for
from edgewise.training import MeanSquaredError, fit

if TYPE_CHECKING:
    import sympy
    from matplotlib.figure import Figure
else:
    sympy = LazyModule("sympy")

_MOST_COMPLEX = 100  # of a tree that a reader can make use of
_SNAPPED = 3  # formulas whose constants are made exact where the data allow
_STEPS = 60
_SHARE_OF_SEARCH = 0.85  # of the time; the rest is for constants
_ORDINARY = (1e-3, 1e3)  # columns of other magnitudes are searched in units of their own
_ROWS = 4000  # for constants
_LEAST_RELATIVE = 1e-3  # of the median of y: errors of smaller values are no smaller


@dataclass(frozen=True)
class Discovery:
    """What was found.

    Args:
        formulas: the front, the simplest formula first; one is the pick.
        network: the network of the pick before its constants were made exact, in the user's units.
        stages: what was done, a line each.
    """

    formulas: Front
    network: KAN
    stages: tuple[str, ...]

    @property
    def formula(self) -> sympy.Expr:
        """The pick, in the user's names and units."""
        return self.formulas.picked.expression

    @property
    def model(self) -> KAN:
        """The symbolic network of the pick."""
        return self.formulas.picked.model

    def predict(self, x: Any) -> Tensor:
        """Values of the pick.

        Args:
            x: inputs, shape (N, I): a tensor, an array or a frame.

        Returns:
            Predictions of shape (N,).
        """
        inputs = as_dataset(x).train_input
        with torch.no_grad():
            return self.model(inputs).squeeze(-1)

    def plot(self) -> Figure:
        """Loss against complexity of the formulas."""
        return self.formulas.plot()

    def __str__(self) -> str:
        """The table of formulas."""
        return str(self.formulas)


def discover(
    X: Any,
    y: Any,
    *,
    names: Sequence[str] | None = None,
    max_time: float = 60.0,
    noise: float | str = "auto",
    seed: int = 0,
) -> Discovery:
    """Find formulas for y in X.

    Stages look for products of powers, polynomials, curves of monomials, sums of few terms, separable parts and inputs
    that matter only together, and solve what is left in the same way; sparse networks come last. The search ends when
    a formula explains all but noise. Constants are fitted together, and exact where the data cannot tell the
    difference; the formula of least description length is the pick.

    Args:
        X: inputs, shape (N, I): a tensor, an array or a frame.
        y: target, shape (N,) or (N, 1).
        names: of the inputs; a frame's own, or x0, x1, …, if not given.
        max_time: seconds after which nothing new is tried, positive.
        noise: standard deviation of the errors of y, 0 or more, or "auto" to have it judged by the data.
        seed: fixes what is random.

    Returns:
        The formulas.

    Raises:
        DataError: the data hold NaN or infinite values.
        ShapeError: there are several targets, or X and y differ in length.
        OptionError: the names or the time are out of range.

    Example:
        >>> import torch, edgewise as ew
        >>> x = torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
        >>> found = ew.discover(x, 3 * x[:, 0] ** 2 + x[:, 1], names=["a", "b"])
        >>> found.formula
        3*a**2 + b
    """
    started = time.monotonic()
    if not max_time > 0:
        raise OptionError(f"max_time must be a positive number of seconds, got {max_time!r}")
    if noise != "auto" and not (isinstance(noise, int | float) and noise >= 0):
        raise OptionError(f"noise is a standard deviation of 0 or more, or 'auto', got {noise!r}")
    data = as_dataset((X, y), labels=False)
    x, target = data.train_input, data.train_target
    if target.shape[1] != 1:
        raise ShapeError(f"discover finds one formula for one target, got {target.shape[1]}; call it for each column")
    input_names = check_names(names, x.shape[1], "inputs") or data.input_names
    search = _Search(
        x,
        target,
        Options(input_names=input_names, output_names=data.target_names),
        noise=None if noise == "auto" else float(noise),
        seed=seed,
        deadline=started + max_time,
        until=started + _SHARE_OF_SEARCH * max_time,
    )
    return search.run()


class _Search:
    """One discovery under way."""

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        options: Options,
        *,
        noise: float | None,
        seed: int,
        deadline: float,
        until: float,
    ) -> None:
        self.x, self.y, self.options, self.deadline = x, y, options, deadline
        relative = column_transforms(y) == ("log",)
        self.units = torch.tensor([_unit(column) for column in x.T], dtype=x.dtype)
        self.unit = _unit(y[:, 0])
        inner = y[:, 0] / self.unit
        self.problem = Problem(
            x=x / self.units,
            y=inner,
            scale=inner.abs().clamp_min(_LEAST_RELATIVE * float(inner.abs().median()))
            if relative
            else torch.ones_like(inner),
            noise=0.0,
            floor=0.0,
            deadline=until,
            seed=seed,
        )
        spread = self.problem.spread
        guess = smooth_error(self.problem.x, inner, seed) if noise is None else noise / self.unit / spread
        self.problem = replace(self.problem, noise=guess)
        self.found: list[Finding] = []
        self.stages: list[str] = []

    def run(self) -> Discovery:
        """Formulas, then their constants."""
        with threads_for(self.x.numel() * _SNAPPED):
            try:
                self._report(solve(self.problem, report=self._report))
            except KeyboardInterrupt:
                self.stages.append("interrupted: the formulas found so far are returned")
            formulas = self._formulas()
        front = Front.of([formula for formula, _ in formulas])
        self.stages.append(f"picked the formula of least description length of {len(formulas)}")
        picked = front.picked
        network = next(network for formula, network in formulas if formula.model is picked.model)
        return Discovery(formulas=front, network=network, stages=tuple(self.stages))

    def _report(self, found: list[Finding]) -> None:
        best = found[0]
        if not self.found or best.tree != self.found[0].tree:
            self.stages.append(f"{best.stage}: error {best.error:.2g} of the target's spread")
        self.found = found

    def _formulas(self) -> list[tuple[Formula, KAN]]:
        """The formulas found, and each before its constants were made exact."""
        is_exact = bool(self.found) and self.found[0].error < EXACT
        formulas = []
        simple = [each.tree for each in front(self.found) if complexity(each.tree) <= _MOST_COMPLEX]
        for number, tree in enumerate(dict.fromkeys([*simple, constant(self.problem.mean)])):
            network = self._network(tree)
            snap = number < (1 if is_exact else _SNAPPED) and time.monotonic() < self.deadline
            formula = rated(
                self._exact(tree) if snap else network, self.x, self.y, scale=self.problem.scale.unsqueeze(1)
            )
            if formula is not None:
                formulas.append((formula, network))
        return formulas

    def _exact(self, tree: Tree) -> KAN:
        """The network of a formula with exact constants where the data cannot tell the difference."""
        few = self.problem.thinned(_ROWS)
        model = network_of(tree, few.x, hold=True)
        y, weights = few.y.unsqueeze(1), few.scale**-2
        fit(model, few.x, y, weights=weights, steps=_STEPS, solver="lm")
        model, _ = snapped(model, few.x, y, MeanSquaredError(), weights)
        fit(model, few.x, y, weights=weights, steps=_STEPS, solver="lm")
        return self._network(tree_of(model))

    def _network(self, tree: Tree) -> KAN:
        """The network of a formula in the user's units."""
        if self.unit != 1 or bool((self.units != 1).any()):
            inputs = {i: scaled(Input(i), 1 / unit) for i, unit in enumerate(self.units.tolist())}
            tree = scaled(substituted(tree, inputs), self.unit)
            return canonical(network_of(tree, self.x, self.options))
        return network_of(tree, self.x, self.options)


def _unit(column: Tensor) -> float:
    """A power of ten near the size of a column, 1 where that is ordinary."""
    size = float(column.abs().median())
    low, high = _ORDINARY
    return 1.0 if low <= size <= high or size == 0 else 10.0 ** round(math.log10(size))
