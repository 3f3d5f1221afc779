"""Formulas side by side: how complex, how exact, and which to pick."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgewise.expressions import expression_latex
from edgewise.kan import KAN
from edgewise.lazy import LazyModule
from edgewise.symbolic import FormulaFunction, description_length, formula_function, size_of_expression

if TYPE_CHECKING:
    import sympy
    from matplotlib.figure import Figure

    from edgewise import plot
else:
    plot = LazyModule("edgewise.plot")

_CLOSE = 1.5  # times the least loss: as good, to those who want it simple
_EXACT = 1e-18  # of the largest loss: nothing is left
_DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class Formula:
    """One formula and what it is worth.

    Args:
        formula: SymPy, in the user's names and units.
        complexity: number of nodes of the expression tree.
        loss: mean square error in the user's units, by the weights of the rows where they have any.
        r2: coefficient of determination in the user's units, by the same weights.
        description_length: bits for the residuals and for the formula, relative to the best constant.
        model: the network that computes it.
        pick: whether it is the one to take.
    """

    formula: sympy.Expr
    complexity: int
    loss: float
    r2: float
    description_length: float
    model: KAN
    pick: bool = False

    def function(self, backend: str = "numpy") -> FormulaFunction:
        """The formula as a plain function of its columns; see `edgewise.formula_function`."""
        return formula_function(self.formula, self.model.input_names, backend=backend)


@dataclass(frozen=True)
class Selection:
    """A rule by which one formula of a front is picked.

    Args:
        meaning: what it picks, for messages.
        pick: from a front, the simplest formula first.
    """

    meaning: str
    pick: Callable[[Sequence[Formula]], Formula]


def _simplest(front: Sequence[Formula]) -> Formula:
    bound = max(_CLOSE * front[-1].loss, _EXACT * front[0].loss)
    return next(formula for formula in front if formula.loss <= bound)


SELECTIONS = {
    "best": Selection(
        "the formula of least description length", lambda front: min(front, key=lambda each: each.description_length)
    ),
    "accuracy": Selection("the formula of least loss", lambda front: front[-1]),
    "simplest": Selection("the simplest of the close formulas", _simplest),
}


@dataclass(frozen=True)
class Front(Sequence[Formula]):
    """Formulas of which none is both more complex and less exact than another, the simplest first."""

    rows: tuple[Formula, ...]

    @classmethod
    def of(cls, found: Sequence[Formula], selection: str = "best") -> Front:
        """The front of what was found, with one formula picked.

        Args:
            found: one formula or more.
            selection: the name of a rule in SELECTIONS.

        Returns:
            The front.
        """
        ordered = sorted(found, key=lambda formula: (formula.complexity, formula.loss))
        front: list[Formula] = []
        for formula in ordered:
            if not front or formula.loss < front[-1].loss:
                front.append(formula)
        chosen = SELECTIONS[selection].pick(front)
        return cls(tuple(replace(formula, pick=formula is chosen) for formula in front))

    @property
    def picked(self) -> Formula:
        """The formula to take."""
        return next(formula for formula in self.rows if formula.pick)

    def plot(self) -> Figure:
        """Loss against complexity."""
        return plot.draw_pareto(
            [formula.complexity for formula in self.rows],
            [formula.loss for formula in self.rows],
            [str(formula.formula) for formula in self.rows],
            next(index for index, formula in enumerate(self.rows) if formula.pick),
        )

    def latex(self) -> str:
        """The table in LaTeX, a row per formula; it needs the package booktabs."""
        lines = [r"\begin{tabular}{rrrrl}", r"\toprule", r"complexity & loss & $R^2$ & bits & formula \\", r"\midrule"]
        for row in self.rows:
            shown = expression_latex(row.formula, _DIGITS)
            figures = f"{row.complexity} & {_in_latex(row.loss)} & {row.r2:z.6f} & {row.description_length:.0f}"
            lines.append(rf"{figures} & ${shown}$ \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])

    def __getitem__(self, index):  # noqa: ANN001, ANN204 - as declared by Sequence
        """The formula at an index, or the formulas of a slice."""
        return self.rows[index]

    def __len__(self) -> int:
        """The number of formulas."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Formula]:
        """The formulas, the simplest first."""
        return iter(self.rows)

    def __str__(self) -> str:
        """A table."""
        lines = [f"{'complexity':>10}  {'loss':>10}  {'R²':>12}  {'bits':>9}  formula"]
        for row in self.rows:
            mark = "  ← pick" if row.pick else ""
            lines.append(
                f"{row.complexity:>10}  {row.loss:>10.3g}  {row.r2:>z12.9f}  {row.description_length:>9.1f}  "
                f"{row.formula}{mark}"
            )
        return "\n".join(lines)


def _in_latex(value: float) -> str:
    digits, _, exponent = f"{value:.2e}".partition("e")
    return rf"${digits} \cdot 10^{{{int(exponent)}}}$" if value else "0"


@torch.no_grad()
def rated(
    model: KAN, x: Tensor, y: Tensor, *, scale: Tensor | None = None, weights: Tensor | None = None
) -> Formula | None:
    """The formula of a symbolic network, with its figures.

    Args:
        model: a symbolic network in the user's units with one output.
        x: inputs, shape (N, I).
        y: targets, shape (N, 1).
        scale: error of each target up to a common factor, positive, shape (N, 1), by which residuals are described;
            all alike if not given.
        weights: how much each row counts in loss and R², shape (N, 1); all alike if not given.

    Returns:
        The formula, or None where it has no finite value on the data.
    """
    expression = model.symbolic_formula()
    predicted = model(x)
    loss, variance = _loss_and_variance(predicted, y, weights)
    if isinstance(expression, list) or not math.isfinite(loss):
        return None
    left, whole = _loss_and_variance(predicted, y, None if scale is None else scale**-2)
    share = left / max(whole, torch.finfo(y.dtype).tiny)
    size = size_of_expression(expression)
    return Formula(
        formula=expression,
        complexity=size.nodes,
        loss=loss,
        r2=1 - loss / variance if variance > 0 else 1.0,
        description_length=description_length(share, size, len(y)),
        model=model,
    )


def _loss_and_variance(predicted: Tensor, y: Tensor, weights: Tensor | None) -> tuple[float, float]:
    """Weighted mean squares of what is left, and of the targets around their mean."""
    share = torch.full_like(y, 1 / len(y)) if weights is None else weights / weights.sum()
    mean = (share * y).sum()
    return float((share * (predicted - y).square()).sum()), float((share * (y - mean).square()).sum())
