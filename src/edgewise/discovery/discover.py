"""`discover`: from a table to a front of formulas in one call."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgewise.data import as_dataset, inputs_by_name
from edgewise.discovery.dimensions import Dimensions
from edgewise.discovery.formulas import SELECTIONS, Front
from edgewise.discovery.rules import Rules
from edgewise.discovery.search import Question, Search, Settings, fingerprint
from edgewise.discovery.units import dimension
from edgewise.errors import DataError, OptionError, ShapeError
from edgewise.kan import KAN
from edgewise.lazy import LazyModule
from edgewise.network import Options, check_names
from edgewise.primitives import Primitive, get_primitive, primitives
from edgewise.training import LiveLine, sample_weights

if TYPE_CHECKING:
    import sympy
    from matplotlib.figure import Figure
else:
    sympy = LazyModule("sympy")

_LEAST, _MOST = 1e-150, 1e150  # of y: squares of smaller or larger ones are no numbers any more
_ALWAYS = {"0", "x"}  # numbers and straight lines are no functions that one could do without


@dataclass(frozen=True)
class Discovery:
    """What was found.

    Args:
        formulas: the front, the simplest formula first; one is the pick.
        network: the network of the pick before its constants were made exact, in the user's units.
        stages: what was done, a line each.
        finished: names of the stages of the search that came to their ends.
        question: what was asked; a search that is asked another begins anew.
        outliers: rows that were left out, counted from 0, shape (K,).
    """

    formulas: Front
    network: KAN
    stages: tuple[str, ...]
    finished: tuple[str, ...]
    question: Question
    outliers: Tensor

    @property
    def formula(self) -> sympy.Expr:
        """The pick, in the user's names and units."""
        return self.formulas.picked.formula

    @property
    def model(self) -> KAN:
        """The symbolic network of the pick."""
        return self.formulas.picked.model

    def predict(self, x: Any, index: int | None = None) -> Tensor:
        """Values of a formula.

        Args:
            x: inputs, shape (N, I): a tensor or an array, or a frame that has a column for each of their names.
            index: of the formula within `formulas`; the pick if not given.

        Returns:
            Predictions of shape (N,).

        Raises:
            DataError: the inputs hold NaN or infinite values, or a frame lacks a column.
            OptionError: there is no formula of this index.
            ShapeError: the inputs are not as many as those of the search.

        Example:
            >>> import torch, edgewise as ew
            >>> x = torch.linspace(1, 2, 50, dtype=torch.float64).unsqueeze(1)
            >>> ew.discover(x, x[:, 0] ** 2).predict([[3.0], [0.5]])
            tensor([9.0000, 0.2500], dtype=torch.float64)
        """
        if index is not None and not -len(self.formulas) <= index < len(self.formulas):
            raise OptionError(f"there are {len(self.formulas)} formulas, counted from 0; got the index {index}")
        model = self.model if index is None else self.formulas[index].model
        inputs = inputs_by_name(x, model.input_names)
        with torch.no_grad():
            return model(inputs).squeeze(-1)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which constants of the pick were made simpler, and how the other formulas compare with it, a line each."""
        pick = self.formulas.picked
        refused = (
            f"not picked: {each.formula}, {each.description_length - pick.description_length:+.1f} bits, "
            f"a loss of {each.loss:.3g} rather than {pick.loss:.3g}"
            for each in self.formulas
            if not each.pick
        )
        return (*self.model.options.notes, *refused)

    def plot(self) -> Figure:
        """Loss against complexity of the formulas."""
        return self.formulas.plot()

    def latex(self) -> str:
        """The table of formulas in LaTeX."""
        return self.formulas.latex()

    def __str__(self) -> str:
        """The table of formulas."""
        return str(self.formulas)


def discover(  # noqa: PLR0913 - the options of a search, all with defaults
    X: Any,
    y: Any,
    *,
    names: Sequence[str] | None = None,
    units: Sequence[str] | Mapping[str, str] | None = None,
    weights: Any = None,
    noise: float | str = "auto",
    robust: bool = False,
    primitives: Sequence[str] | None = None,
    forbidden: Sequence[str] = (),
    max_complexity: int | None = None,
    model_selection: str = "best",
    start: Discovery | KAN | Sequence[KAN] = (),
    max_time: float = 60.0,
    jobs: int = 1,
    progress: bool = False,
    seed: int = 0,
) -> Discovery:
    """Find formulas for y in X.

    Stages look for products of powers, polynomials, curves of monomials, sums of few terms, separable parts and inputs
    that matter only together, and solve what is left in the same way; sparse networks come last. The search ends when
    a formula explains all but noise. Constants are fitted together, and exact where the data cannot tell the
    difference; the formula of least description length is the pick. Ctrl-C ends the search and keeps what was found.

    Args:
        X: inputs, shape (N, I): a tensor, an array or a frame.
        y: target, shape (N,) or (N, 1).
        names: of the inputs; a frame's own, or x0, x1, …, if not given.
        units: such as "m/s^2", or "1" for a pure number: one for each input and the last one for y, or by the names of
            the inputs and of y. Then dimensionless groups are tried first, and sums of different units are ruled out;
            numbers in a formula may have units.
        weights: how much each row counts, shape (N,), 0 or more: 1/σ² for values with errors σ. Formulas are fitted and
            judged by them; smooth fits that only look for structure, and networks, the last stage, go without.
        noise: standard deviation of the errors of y, with weights that of a row of average weight, 0 or more: the
            search ends where no more than that is left; or "auto" to have it judged by the data.
        robust: leave out rows that are far from what the others say.
        primitives: names of the functions that a formula may have, beside numbers, sums and products; powers that have
            names, such as "x^2", "1/x" and "sqrt", have to be among them. All registered ones, those of your own too,
            if not given.
        forbidden: names of functions that it may not have, nor what is made of them, as gaussian is of exp.
        max_complexity: the most nodes that a formula may have.
        model_selection: "best" picks the least description length, "accuracy" the least loss, "simplest" the simplest
            formula whose loss is at most 1.5 times the least.
        start: formulas to begin with, as far as the rules allow them: symbolic networks whose inputs are in the order
            of the columns, or a former discovery in the same table, which is resumed: where table, weights, noise and
            rules are the same, stages that came to their ends are not repeated, other than networks, whose search is
            as long as there is time.
        max_time: seconds, positive, of which four fifths are for the search. What is under way is finished, which may
            take a little longer.
        jobs: processes that search at the same time, −1 for as many as there are cores.
        progress: show what is done, and the best formula so far, on standard error.
        seed: fixes what is random: a search that ends by itself, before 0.4 max_time, gives the same formulas again.

    Returns:
        The formulas.

    Raises:
        DataError: the data hold NaN or infinite values, y is of no size whose square is a number, or weights are
            negative or all zero.
        ShapeError: there are several targets, or X, y and weights differ in length.
        OptionError: an option is out of range, or a name or a unit is not known.

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
    if noise != "auto" and not (isinstance(noise, Real) and 0 <= float(noise) < math.inf):
        raise OptionError(f"noise is a standard deviation of 0 or more, or 'auto', got {noise!r}")
    if max_complexity is not None and max_complexity < 1:
        raise OptionError(f"max_complexity is a number of nodes of 1 or more, got {max_complexity!r}")
    if model_selection not in SELECTIONS:
        raise OptionError(f"model_selection is one of {', '.join(SELECTIONS)}; got {model_selection!r}")
    if not isinstance(jobs, int) or (jobs < 1 and jobs != -1):
        raise OptionError(f"jobs is a number of processes of 1 or more, or -1 for one per core, got {jobs!r}")
    data = as_dataset((X, y), labels=False)
    x, target = data.train_input, data.train_target
    if target.shape[1] != 1:
        raise ShapeError(f"discover finds one formula for one target, got {target.shape[1]}; call it for each column")
    options = Options(
        input_names=check_names(names, x.shape[1], "inputs") or data.input_names, output_names=data.target_names
    )
    rules = Rules(
        _forbidden(primitives, forbidden),
        math.inf if max_complexity is None else max_complexity,
        _dimensions(units, options),
    )
    counted = None if weights is None else sample_weights(weights, x)
    rows = torch.arange(len(x)) if counted is None else counted.nonzero().flatten()
    x, target, counted = x[rows], target[rows], None if counted is None else counted[rows]
    size = float(target.abs().max())
    if size and not _LEAST < size < _MOST:
        raise DataError(f"y is of the size {size:.0e}, whose square no number holds; count it in another unit")
    question = Question(
        rules=rules,
        noise=None if isinstance(noise, str) else float(noise),
        robust=robust,
        own=tuple(rules.own),
        table=fingerprint(x, target, counted, rows),
    )
    settings = Settings(question=question, jobs=jobs, seed=seed, started=started, max_time=max_time)
    models, finished, kept = _models(start), (), None
    if isinstance(start, Discovery) and start.question == question and start.finished:
        finished, kept = start.finished, ~torch.isin(rows, start.outliers)
    with LiveLine() if progress else nullcontext() as shown:
        search = Search(x, target, counted, options, settings, None if shown is None else shown.write)
        formulas = search.run(_checked(models, x.shape[1]), finished, kept)
    front = Front.of([formula for formula, _ in formulas], model_selection)
    return Discovery(
        formulas=front,
        network=next(network for formula, network in formulas if formula.model is front.picked.model),
        stages=(*search.stages, f"picked {SELECTIONS[model_selection].meaning} of {len(formulas)}"),
        finished=tuple(search.finished),
        question=question,
        outliers=rows[~search.kept],
    )


def _forbidden(allowed: Sequence[str] | None, forbidden: Sequence[str]) -> frozenset[str]:
    """Names of the registered functions that may not occur, or are made of one that may not, as gaussian is of exp."""
    for option, given in (("primitives", allowed), ("forbidden", forbidden)):
        if isinstance(given, str):
            raise OptionError(f"{option} is a list of names, such as [{given!r}]; got the text {given!r}")
    found = {each.name for name in forbidden for each in primitives() if _has(each, get_primitive(name))}
    if allowed is not None:
        kept = {get_primitive(name).name for name in allowed}
        found |= {primitive.name for primitive in primitives()} - kept
    return frozenset(found - _ALWAYS)


def _has(primitive: Primitive, part: Primitive) -> bool:
    """Whether a primitive is another one, or its expression has the other's function in it."""
    u = sympy.Symbol("u")
    function = part.expression(u).func
    named = issubclass(function, sympy.Function) and part.expression(u) == function(u)
    return primitive.name == part.name or (named and bool(primitive.expression(u).has(function)))


def _dimensions(units: Sequence[str] | Mapping[str, str] | None, options: Options) -> Dimensions | None:
    """The dimensions of inputs and target."""
    if units is None:
        return None
    names = (*(options.input_names or ()), *(options.output_names or ()))
    if isinstance(units, Mapping):
        if len(set(names)) < len(names):
            raise OptionError(
                f"the target is named {names[-1]!r} like an input: give the units in a list, inputs first"
            )
        if set(units) != set(names):
            raise OptionError(
                f"units are needed for {', '.join(names)}, got them for {', '.join(map(str, units)) or 'none'}; "
                "give '1' where there is none"
            )
        units = [units[name] for name in names]
    if isinstance(units, str) or len(units) != len(names):
        raise OptionError(
            f"{len(names)} units are needed, those of {', '.join(names)} in this order, got {units!r}; "
            "give '1' where there is none"
        )
    if not all(isinstance(unit, str) for unit in units):
        raise OptionError(f"units are texts such as 'm/s^2', or '1' for a pure number; got {list(units)!r}")
    *inputs, target = map(dimension, units)
    return Dimensions(tuple(inputs), target)


def _models(start: Discovery | KAN | Sequence[KAN]) -> Sequence[KAN]:
    """The networks to begin with."""
    if isinstance(start, Discovery):
        return [each.model for each in start.formulas]
    return [start] if isinstance(start, KAN) else start


def _checked(models: Sequence[KAN], inputs: int) -> Sequence[KAN]:
    """Symbolic networks of one output."""
    for model in models:
        if model.in_features != inputs or model.out_features != 1 or not model.is_symbolic:
            raise OptionError(
                f"start takes symbolic networks of {inputs} inputs and one output; got one of width {model.width} "
                "(auto_symbolic names the edges of a network)"
            )
    return models
