"""`discover`: from a table to a front of formulas in one call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import Tensor

from edgewise.data import as_dataset
from edgewise.discovery.formulas import Formula, Front, rated
from edgewise.discovery.topology import Candidate, climb
from edgewise.discovery.view import View, natural_views
from edgewise.errors import OptionError, ShapeError, SymbolicError
from edgewise.kan import KAN
from edgewise.lazy import LazyModule
from edgewise.network import KANLayer, Options, SymbolicBlock, check_names
from edgewise.symbolic import TOLERANCE, auto_symbolic
from edgewise.training.multilevel import Rows

if TYPE_CHECKING:
    import sympy
    from matplotlib.figure import Figure
else:
    sympy = LazyModule("sympy")

_NAMES_AT_ANY_PRICE = 1e9  # tolerance that lets every edge have its best name
_EXACT = 1 - 1e-13  # R² of a formula that leaves nothing to be found
_SETTLED = 0.999  # R² of a formula in logarithms from which plain columns are not looked at
_SHARE_FOR_NETWORKS = 0.5  # of the time; the rest is for names


@dataclass(frozen=True)
class Discovery:
    """What was found.

    Args:
        formulas: the front, the simplest formula first; one is the pick.
        network: the sparse network behind the pick, before its edges were named, in the user's units.
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
    seed: int = 0,
) -> Discovery:
    """Find formulas for y in X.

    Positive columns that span decades are looked at by their logarithm. Networks of growing width are trained
    sparsely and judged by held-out rows; the edges of those that are worth it are named; the formula of least
    description length is the pick.

    Args:
        X: inputs, shape (N, I): a tensor, an array or a frame.
        y: target, shape (N,) or (N, 1).
        names: of the inputs; a frame's own, or x0, x1, …, if not given.
        max_time: seconds after which no new network or name is tried, positive.
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
    data = as_dataset((X, y), labels=False)
    x, target = data.train_input, data.train_target
    if target.shape[1] != 1:
        raise ShapeError(f"discover finds one formula for one target, got {target.shape[1]}; call it for each column")
    input_names = check_names(names, x.shape[1], "inputs") or data.input_names
    search = _Search(x, target, input_names, data.target_names, seed, started, max_time)
    return search.run()


class _Names(TypedDict):
    """Of the inputs and of the target."""

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]


class _Search:
    """One discovery under way."""

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        input_names: tuple[str, ...],
        output_names: tuple[str, ...],
        seed: int,
        started: float,
        max_time: float,
    ) -> None:
        self.x, self.y = x, y
        self.names: _Names = {"input_names": input_names, "output_names": output_names}
        self.seed = seed
        self.networks_until = started + _SHARE_FOR_NETWORKS * max_time
        self.deadline = started + max_time
        self.stages: list[str] = []
        self.found: list[Formula] = [self._constant()]
        self.networks: dict[int, KAN] = {id(self.found[0]): self.found[0].model}

    def run(self) -> Discovery:
        """Views, networks, names."""
        if float(self.y.max()) > float(self.y.min()):
            for view in natural_views(self.x, self.y):
                self._search_view(view)
                if self._is_settled():
                    break
        front = Front.of(self.found)
        self.stages.append(f"picked the formula of least description length of {len(self.found)}")
        picked = front.picked
        network = next(self.networks[id(f)] for f in self.found if f.model is picked.model)
        return Discovery(formulas=front, network=network, stages=tuple(self.stages))

    def _search_view(self, view: View) -> None:
        names = (*self.names["input_names"], *self.names["output_names"])
        transforms = (*view.inputs, *view.outputs)
        logs = [name for name, transform in zip(names, transforms, strict=True) if transform == "log"]
        self.stages.append(f"logarithms of {', '.join(logs)}" if logs else "all columns as they are")
        rows = Rows.split(view.inner_inputs(self.x), view.standard_targets(self.y), self.seed)
        for candidate in climb(rows, view.domain, seed=self.seed, deadline=self.networks_until):
            self._report(candidate)
            self._name(view.unscaled(candidate.model), view)
            if max(formula.r2 for formula in self.found) > _EXACT:
                return

    def _report(self, candidate: Candidate) -> None:
        model = candidate.model
        total = sum(layer.in_features * layer.subnodes for layer in model.all_layers)
        edges = sum(int(layer.mask.sum()) for layer in model.all_layers)
        self.stages.append(
            f"network {model.width}, {edges} of {total} edges, held-out error {candidate.error:.2g} of the "
            "target's spread"
        )

    def _name(self, model: KAN, view: View) -> None:
        """Formulas of a network: names that keep its error, and if some edges have none, the nearest names."""
        inner = (view.inner_inputs(self.x), view.inner_targets(self.y))
        network = view.outer(model, self.x, **self.names)
        for tolerance in (TOLERANCE, _NAMES_AT_ANY_PRICE):
            left = max(1.0, self.deadline - time.monotonic())
            named = auto_symbolic(model, inner, max_time=left, seed=self.seed, tolerance=tolerance)
            try:
                formula = rated(
                    view.outer(named, self.x, **self.names), self.x, self.y, logarithm="log" in view.outputs
                )
            except SymbolicError:
                self.stages += [f"  {note}" for note in named.notes if "kept as a curve" in note]
                continue
            if formula is not None:
                self.stages.append(f"  formula {_short(formula.expression)}, R² {formula.r2:.9f}")
                self.found.append(formula)
                self.networks[id(formula)] = network
            return

    def _is_settled(self) -> bool:
        """Whether other views are not worth the time."""
        best = min(self.found, key=lambda formula: formula.description_length)
        return time.monotonic() > self.networks_until or best.r2 > _SETTLED

    def _constant(self) -> Formula:
        """The mean of y: what every formula has to beat."""
        edge = torch.zeros(1, dtype=torch.long)
        affine = torch.tensor([[1.0, 0.0, 0.0, float(self.y.mean())]], dtype=self.y.dtype)
        inputs = self.x.shape[1]
        layer = KANLayer.from_blocks([SymbolicBlock("0", edge, edge, affine, shape=(inputs, 1))], (1,), inputs)
        formula = rated(
            KAN.assemble([layer], sample=self.x, options=Options(**self.names)), self.x, self.y, logarithm=False
        )
        assert formula is not None
        return formula


def _short(expression: sympy.Expr) -> str:
    """A formula with its constants to four digits."""
    rounded = expression.xreplace({value: sympy.Float(value, 4) for value in expression.atoms(sympy.Float)})
    return str(rounded)
