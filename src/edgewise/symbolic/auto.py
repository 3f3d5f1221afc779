"""`auto_symbolic`: name all edges of a trained network, and check every name on the whole model.

Edges are named one after the other, the surest first. A name stays only if the network, refitted with it, predicts
held-out data about as well as before; else it is undone and reported. At the end constants that the data cannot tell
from simple numbers become exact, and the rest is refitted.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from edgewise.errors import OptionError
from edgewise.network import BasisBlock, Network
from edgewise.primitives import Primitive, get_primitive
from edgewise.surgery import refine
from edgewise.symbolic.constants import canonical, snapped
from edgewise.symbolic.match import Match, rank_matches
from edgewise.symbolic.name_edge import edge_samples, with_match
from edgewise.training import CrossEntropy, Loss, find_loss, fit
from edgewise.training.problem import training_rows

Model = TypeVar("Model", bound=Network)

EdgeIndex = tuple[int, int, int]

_FEWEST_TO_HOLD_OUT = 50
_HELD_OUT = 0.2
_TRIED = 4  # names per edge that are checked on the whole model
_TRIED_SIMPLE = 2  # of those that are exact enough, the simplest
_REFIT_STEPS = 25
_FINAL_STEPS = 200
_BITS_PER_HALVING = 4.0  # of the error; compared with the complexity of a primitive and its number of constants
TOLERANCE = 1.25  # factor by which a name may raise the root of the loss
_SHARP = 1e-4  # of the spread of the targets: below this error the data are free of noise, the splines are what limits
_EXACT = 1e-10  # of the spread: the formula is found
_SHARP_TOLERANCE = 10.0  # there, names may cost more: the exact ones win it back at the end
_LABEL_SMOOTHING = 0.02  # without it, curves that tell classes apart grow steeper for ever and have no shape to name
_FINEST_GRID = 40
_WORTH_REFINING = 1.5  # factor by which the root of the loss must fall per doubling of the grid
_CURVE_POINTS = 500  # at most, to rank names on


@dataclass(frozen=True)
class _Data:
    """Rows to refit on, and rows to judge by."""

    x: Tensor
    y: Tensor
    x_held: Tensor
    y_held: Tensor
    loss: Loss

    def score(self, model: Network) -> float:
        """Root of the loss on the rows to judge by; infinite where the model has no value."""
        with torch.no_grad():
            value = float(self.loss.value(model(self.x_held), self.y_held))
        return math.sqrt(max(value, 0.0)) if math.isfinite(value) else math.inf

    def spread(self) -> float:
        """Standard deviation of real targets; 0 for labels, whose loss is never small."""
        return float(self.y_held.std(correction=0)) if self.y_held.is_floating_point() else 0.0

    def refit(self, model: Network, steps: int) -> None:
        """Train on the rows to refit on."""
        fit(model, self.x, self.y, loss=self.loss, steps=steps, solver="lm")


def auto_symbolic(
    model: Model,
    data: Any,
    *,
    loss: str | Loss = "mse",
    primitives: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
    max_time: float | None = None,
    seed: int = 0,
) -> Model:
    """Name the edges of a trained network.

    Args:
        model: a trained network, best a pruned one; it is left as it is.
        data: what `fit` takes; a fifth of the rows (from 50 rows on) is held out to judge names by.
        loss: "mse", "cross_entropy" or a `Loss`; labels are smoothed a little, so that curves keep a shape.
        primitives: names to try; all registered ones if not given.
        tolerance: factor by which a name may raise the root of the held-out loss, 1 or more.
        max_time: stop naming after this many seconds; edges that are left stay numeric.
        seed: fixes the hold-out.

    Returns:
        A new network. `model.options.notes` says for each edge what it was named, or which names were refused and why.

    Raises:
        DataError: the data cannot be used.
        OptionError: a name is unknown, or the tolerance is below 1.

    Example:
        >>> import edgewise as ew
        >>> data = ew.create_dataset(lambda x: x[:, 0] ** 2, n_var=1)
        >>> model = ew.KAN([1, 1], seed=0)
        >>> history = model.fit(data)
        >>> model.auto_symbolic(data).symbolic_formula()
        x0**2

    Source: Liu et al., KAN (2024), section 2.5.1, with a test of the whole model in place of a threshold on R².
    """
    if tolerance < 1:
        raise OptionError(f"the tolerance is a factor of 1 or more, got {tolerance}")
    chosen = None if primitives is None else [get_primitive(name) for name in primitives]
    rows = _split(model, data, loss, seed)
    deadline = math.inf if max_time is None else time.monotonic() + max_time
    sharp = sharpened(model, rows.x, rows.y, loss=rows.loss, held_out=(rows.x_held, rows.y_held))
    attempts: list[tuple[float, Model]] = []
    for floor in _floors(rows, sharp):
        naming = _Naming(sharp, rows, chosen, floor)
        named, notes = _finished(naming.run(tolerance, deadline), rows)
        score = rows.score(named) + (math.inf if _numeric_edges(named) else 0.0)
        attempts.append((score, named.rebuilt(named.all_layers, notes=(*naming.notes, *notes))))
        if score <= _EXACT * rows.spread() or time.monotonic() > deadline:
            break
    return min(attempts, key=lambda attempt: attempt[0])[1]


def _floors(rows: _Data, model: Network) -> list[float]:
    """Errors below which names count as equally exact, so that the simplest is taken.

    Where the data are free of noise, many functions come close to a curve. First the simplest of the close ones is
    tried; if the formula does not turn out exact, the closest.

    Returns:
        The floors, to be tried in order.
    """
    if rows.score(model) >= _SHARP * rows.spread():
        return [0.0]
    return [_SHARP * rows.spread(), 0.0]


def sharpened(
    model: Model, x: Tensor, y: Tensor, *, loss: Loss, held_out: tuple[Tensor, Tensor] | None = None
) -> Model:
    """Refine and refit as long as that pays: sharper curves are easier to name.

    Args:
        model: a trained network, which is left as it is.
        x: inputs, shape (N, I).
        y: targets as the loss takes them.
        loss: the loss.
        held_out: inputs and targets to judge by; the training rows if not given.

    Returns:
        A new network, on finer grids where the loss fell by more than noise would let it.
    """
    rows = _Data(x, y, *(held_out if held_out is not None else (x, y)), loss)
    best = model.copied()
    rows.refit(best, _REFIT_STEPS)
    score = rows.score(best)
    while True:
        finer = _doubled(best, len(x))
        if finer is None:
            return best
        rows.refit(finer, _REFIT_STEPS)
        reached = rows.score(finer)
        if not reached * _WORTH_REFINING < score:
            return best
        best, score = finer, reached


def _doubled(model: Model, samples: int) -> Model | None:
    """The network on twice as fine grids, or None where they are fine enough for the data."""
    blocks = [block for layer in model.all_layers for block in layer.all_blocks()]
    grids = {getattr(block.basis, "grid", 0) for block in blocks if isinstance(block, BasisBlock)}
    if len(grids) != 1 or 0 in grids:
        return None  # several grids or none: doubling is the user's choice
    grid = 2 * grids.pop()
    parameters = sum(block.gather().numel() for block in blocks)
    if grid > _FINEST_GRID or 2 * parameters > samples / 2:
        return None
    return refine(model, grid=grid)


class _Naming:
    """Names edges one after the other."""

    def __init__(self, model: Network, rows: _Data, primitives: list[Primitive] | None, floor: float) -> None:
        self.model = model
        self.rows = rows
        self.primitives = primitives
        self.floor = floor
        self.notes: list[str] = []

    def run(self, tolerance: float, deadline: float) -> Any:
        """Name what can be named, the surest edge first.

        A name may raise the error above the best seen by the tolerance, in all: errors do not add up edge by edge.

        Returns:
            The network with names.
        """
        best = self.rows.score(self.model)
        edges = _numeric_edges(self.model)
        surest = {edge: self._ranked(edge) for edge in edges}
        for edge in sorted(edges, key=lambda each: surest[each][0].bits if surest[each] else math.inf):
            if time.monotonic() > deadline:
                self.notes.append(f"edge {edge}: not tried, the time is over")
                continue
            trials = [self._try(edge, match) for match in self._ranked(edge)]
            limit = self._allowed(best, tolerance)
            fitting = [trial for trial in trials if trial.score <= limit]
            if fitting:
                chosen = min(fitting, key=lambda trial: trial.bits(self.floor))
                self.model = chosen.model
                self.notes.append(f"edge {edge}: {chosen.match.primitive.name}")
                best = min(best, chosen.score)
            else:
                self.notes.append(f"edge {edge}: kept as a curve; {_refusal(trials, best)}")
        return self.model

    def _allowed(self, best: float, tolerance: float) -> float:
        """The error up to which a name stays."""
        sharp = best < _SHARP * self.rows.spread()
        return max(best * (max(tolerance, _SHARP_TOLERANCE) if sharp else tolerance), self.floor) + _rounding(
            self.rows.y_held
        )

    def _ranked(self, edge: EdgeIndex) -> list[Match]:
        x, y = edge_samples(self.model, *edge, self.rows.x)
        step = max(1, len(x) // _CURVE_POINTS)
        order = x.argsort()[::step]
        ranked = rank_matches(x[order], y[order], self.primitives)
        # Among those below the floor the simplest may stand far down in the ranking.
        floor = _SHARP * float(y.std(correction=0)) if self.floor else 0.0
        simplest = sorted((match for match in ranked if match.rmse <= floor), key=_cost)
        return list(dict.fromkeys([*ranked[:_TRIED], *simplest[:_TRIED_SIMPLE]]))

    def _try(self, edge: EdgeIndex, match: Match) -> _Trial:
        """The whole network, refitted with a name."""
        model = with_match(self.model, *edge, match)
        self.rows.refit(model, _REFIT_STEPS)
        return _Trial(match, model, self.rows.score(model))


@dataclass(frozen=True)
class _Trial:
    """A network with one more name, and its error."""

    match: Match
    model: Any
    score: float

    def bits(self, floor: float) -> float:
        """What error and name cost together; errors below the floor are alike."""
        return _BITS_PER_HALVING * math.log2(max(self.score, floor, sys.float_info.min)) + _cost(self.match)


def _refusal(trials: list[_Trial], best: float) -> str:
    """Why an edge has no name."""
    if not trials:
        return "no name fits its range"
    nearest = min(trials, key=lambda trial: trial.score)
    return (
        f"the best name, {nearest.match.primitive.name}, would raise the error from {best:.3g} to {nearest.score:.3g}"
    )


def _cost(match: Match) -> int:
    """What naming the primitive and giving its constants costs, in bits."""
    return match.complexity + match.primitive.redundant.constants


def _finished(model: Model, rows: _Data) -> tuple[Model, list[str]]:
    """Canonical constants, all refitted, exact ones where the data allow."""
    before = rows.score(model)
    final = canonical(model)
    rows.refit(final, _FINAL_STEPS)
    if not rows.score(final) <= before * TOLERANCE + _rounding(rows.y_held):
        return model, ["constants were left as they are: refitting them in canonical form did not keep the error"]
    if _numeric_edges(final):
        return final, []
    exact, notes = snapped(final, rows.x, rows.y, rows.loss)
    rows.refit(exact, _FINAL_STEPS)
    return exact, notes


def _numeric_edges(model: Network) -> list[EdgeIndex]:
    """Edges that carry a trainable curve."""
    found = []
    for index, layer in enumerate(model.all_layers):
        for block in layer.all_blocks():
            if isinstance(block, BasisBlock):
                edges = torch.nonzero(block.mask & ~block.locked).tolist()
                found += [(index, source, target) for source, target in edges]
    return sorted(found)


def _split(model: Network, data: Any, loss: str | Loss, seed: int) -> _Data:
    chosen = find_loss(loss)
    if callable(chosen):
        raise OptionError("auto_symbolic judges names by predictions: use loss='mse', 'cross_entropy' or a Loss")
    if isinstance(chosen, CrossEntropy):
        chosen = CrossEntropy(smoothing=max(chosen.smoothing, _LABEL_SMOOTHING))
    x, y = training_rows(model, data, chosen)
    assert y is not None
    if len(x) < _FEWEST_TO_HOLD_OUT:
        return _Data(x, y, x, y, chosen)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).to(x.device)
    held, kept = order[: round(_HELD_OUT * len(x))], order[round(_HELD_OUT * len(x)) :]
    return _Data(x[kept], y[kept], x[held], y[held], chosen)


def _rounding(y: Tensor) -> float:
    """The error below which all models are as good as exact."""
    if not y.is_floating_point():
        return 0.0
    return 64 * torch.finfo(y.dtype).eps * float(y.abs().max())
