"""The best predictor of a table: width and smoothness chosen by held-out data."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from edgewise.basis import Basis, BSpline
from edgewise.discovery.topology import Rows
from edgewise.discovery.view import View, natural_views
from edgewise.errors import OptionError
from edgewise.kan import KAN
from edgewise.network import NodeWidth, arities, check_names
from edgewise.symbolic import sharpened
from edgewise.training import History, MeanSquaredError, Smoothness, fit

# Hidden layers tried where no width is given, from additive on.
_LADDER: tuple[tuple[NodeWidth, ...], ...] = ((), (1,), (2,), (5,), (10,))
_SMOOTHNESS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-7)  # from stiff to free, each fit starting from the one before
_STEPS = 40
_PATIENCE = 12
_FINAL_STEPS = 15
_WORSE = 1.1  # factor by which the held-out error may rise before freer fits are not tried
_IN_VAIN = 2  # widths in a row without gain before wider ones are not tried
_GAIN = 0.98
_SHARP = 1e-3  # of the spread: below this held-out error the data are as good as free of noise
_MOST_PARAMETERS = 3000


@dataclass(frozen=True)
class TableFit:
    """A network fitted to a table.

    Args:
        model: in the user's units.
        history: of the last training.
        notes: what was chosen, a line each.
    """

    model: KAN
    history: History
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Choice:
    """A trained network, how it was trained, and its held-out error in the user's units."""

    model: KAN
    view: View
    weight: float
    error: float


def fit_table(
    x: Tensor,
    y: Tensor,
    *,
    width: Sequence[NodeWidth] | None = None,
    basis: Basis | None = None,
    max_time: float | None = None,
    seed: int = 0,
    progress: bool = False,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> TableFit:
    """Fit a network to a table, with nothing to tune.

    Positive columns that span decades are tried by their logarithm. Width and smoothness are chosen by held-out rows;
    then the choice is trained on all rows.

    Args:
        x: inputs, shape (N, I), float64.
        y: targets, shape (N, O), float64.
        width: of the network, inputs and outputs included; chosen if not given.
        basis: function family of every edge; cubic B-splines if not given.
        max_time: seconds after which nothing new is tried.
        seed: fixes what is random.
        progress: show the progress of the last training on standard error.
        input_names: one per input.
        output_names: one per output.

    Returns:
        The network in the user's units.

    Raises:
        OptionError: the width does not fit the table.

    Example:
        >>> import torch
        >>> from edgewise.discovery import fit_table
        >>> x = torch.rand(100, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        >>> fitted = fit_table(x, 1e6 * x**2, width=[1, 1])
        >>> float((fitted.model(x) - 1e6 * x**2).detach().abs().max()) < 1e-3
        True
    """
    deadline = math.inf if max_time is None else time.monotonic() + max_time
    inputs, outputs = x.shape[1], y.shape[1]
    of_inputs = check_names(input_names, inputs, "inputs") or tuple(f"x{i}" for i in range(inputs))
    numbered = ("y",) if outputs == 1 else tuple(f"y{i}" for i in range(outputs))
    of_outputs = check_names(output_names, outputs, "outputs") or numbered
    if width is not None and (width[0] != inputs or _plain_nodes(width[-1]) != outputs):
        raise OptionError(f"the table has {inputs} inputs and {outputs} outputs, which the width {width} does not fit")
    widths = [list(width)] if width is not None else [[inputs, *hidden, outputs] for hidden in _LADDER]
    best = _best_choice(x, y, widths, BSpline() if basis is None else basis, seed, deadline)
    history = _final_training(best, x, y, seed, progress)
    notes = [f"width {best.model.width}, smoothness {best.weight:g}, chosen by held-out rows"]
    transforms = (*best.view.inputs, *best.view.outputs)
    logs = [name for name, how in zip((*of_inputs, *of_outputs), transforms, strict=True) if how == "log"]
    if logs:
        notes.append(f"by their logarithm: {', '.join(logs)}")
    inner = best.view.unscaled(best.model)
    model = best.view.outer(inner, x, input_names=of_inputs, output_names=of_outputs)
    return TableFit(model=model, history=history, notes=tuple(notes))


def _best_choice(
    x: Tensor, y: Tensor, widths: list[list[NodeWidth]], basis: Basis, seed: int, deadline: float
) -> _Choice:
    best: _Choice | None = None
    in_vain = 0
    for width in widths:
        if best is not None and (time.monotonic() > deadline or not _affordable(width, basis, len(x))):
            break
        tried = [_path(x, y, view, width, basis, seed, deadline) for view in _views_left(best, x, y)]
        found = min(tried, key=lambda choice: choice.error)
        in_vain += 1
        if best is None or found.error < _GAIN * best.error:
            best, in_vain = found, 0
        if in_vain == _IN_VAIN or best.error == 0:
            break
    assert best is not None
    return best


def _views_left(best: _Choice | None, x: Tensor, y: Tensor) -> list[View]:
    """All views for the first width; the targets' transform is chosen anew only while networks are small."""
    views = natural_views(x, y)
    return views if best is None or max(map(_plain_nodes, best.model.width)) <= x.shape[1] else [best.view]


def _plain_nodes(entry: NodeWidth) -> int:
    return len(arities(entry))


def _affordable(width: list[NodeWidth], basis: Basis, rows: int) -> bool:
    nodes = [arities(entry) for entry in width]
    parameters = basis.size * sum(len(before) * sum(after) for before, after in pairwise(nodes))
    return parameters <= min(_MOST_PARAMETERS, rows)


def _path(
    x: Tensor, y: Tensor, view: View, width: list[NodeWidth], basis: Basis, seed: int, deadline: float
) -> _Choice:
    """The best of fits from stiff to free, each starting from the one before."""
    rows = Rows.split(view.inner_inputs(x), view.standard_targets(y), seed)
    raw = Rows.split(x, y, seed)
    model = KAN(width, basis=basis, domain=view.domain.tolist(), seed=seed)
    best: _Choice | None = None
    for weight in _SMOOTHNESS:
        options = {"steps": _STEPS, "patience": _PATIENCE, "validation": (rows.x_held, rows.y_held), "seed": seed}
        fit(model, rows.x, rows.y, penalty=Smoothness(weight=weight), **options)
        error = _error(model, view, raw)
        if best is None or error < best.error:
            best = _Choice(_copy(model), view, weight, error)
        if error > _WORSE * best.error or time.monotonic() > deadline:
            break
    assert best is not None
    if rows.error(best.model) < _SHARP:
        held_out = (rows.x_held, rows.y_held)
        sharp = sharpened(best.model, rows.x, rows.y, loss=_MSE, held_out=held_out)
        error = _error(sharp, view, raw)
        if error < best.error:
            best = _Choice(sharp, view, 0.0, error)
    return best


@torch.no_grad()
def _error(model: KAN, view: View, raw: Rows) -> float:
    """Root mean square error on held-out rows, each target in units of its spread; infinite where not finite."""
    predicted = view.unscaled(model)(view.inner_inputs(raw.x_held))
    logarithm = torch.tensor([name == "log" for name in view.outputs])
    predicted = torch.where(logarithm, predicted.exp(), predicted)
    spread = raw.y.std(dim=0, correction=0)
    error = float(((predicted - raw.y_held) / torch.where(spread > 0, spread, 1.0)).square().mean().sqrt())
    return error if math.isfinite(error) else math.inf


def _final_training(best: _Choice, x: Tensor, y: Tensor, seed: int, progress: bool) -> History:
    """Train the choice on all rows."""
    inner = (best.view.inner_inputs(x), best.view.standard_targets(y))
    penalty = Smoothness(weight=best.weight) if best.weight else None
    return fit(best.model, inner, steps=_FINAL_STEPS, penalty=penalty, seed=seed, progress=progress)


def _copy(model: KAN) -> KAN:
    return model.copied()


_MSE = MeanSquaredError()
