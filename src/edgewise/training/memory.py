"""`remember`: keep of a task what the next one must not destroy."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from edgewise.errors import OptionError
from edgewise.network import Network
from edgewise.training.anchor import Anchor
from edgewise.training.gauss_newton import Linearisation, accumulate, get_parameters
from edgewise.training.losses import Loss, ModelLoss, find_loss
from edgewise.training.objective import MOST_DENSE_PARAMETERS
from edgewise.training.problem import DataRows, objective_of, training_rows


def remember(
    model: Network,
    data: Any,
    y: Any = None,
    *,
    loss: str | Loss | ModelLoss = "mse",
    hidden: float = 0.0,
    before: Anchor | None = None,
) -> Anchor:
    """The losses of data as a quadratic function of the parameters, for `fit(..., anchor=)` on later data.

    It takes P² numbers for P free parameters, however many rows there were, and none of the rows are kept.

    Where inner layers are free to train, the quadratic function holds near the present parameters only, and most of
    what is forgotten is forgotten because inner nodes wander. With `hidden` the anchor holds their values too, as if
    they were outputs: soft locks, on what the data have occupied and nowhere else. It also helps to train with
    `Anchor.prior` from the first task on, because grids stay where they are from then on.

    Args:
        model: a network trained on the data. It stays as it is.
        data: the training data as `fit` takes them.
        y: the targets, where data is X.
        loss: what the network was trained with.
        hidden: how much the square of a change of a hidden node's value counts, 0 or more.
        before: what was remembered of still earlier data: the new anchor is about both.

    Returns:
        The anchor.

    Raises:
        DataError: data are missing, or hold NaN or infinite values.
        ShapeError: data do not fit the model.
        OptionError: the model has more than 3000 free parameters, `hidden` is negative, the loss is one number for all
            rows, or `before` is that of another network.

    Example:
        >>> import torch, edgewise as ew
        >>> x = torch.linspace(-1, 1, 200, dtype=torch.float64)[:, None]
        >>> y = torch.exp(-20 * x**2)
        >>> model = ew.KAN([1, 1], basis=ew.BSpline(grid=40))
        >>> anchor = None
        >>> for part in (slice(0, 100), slice(100, 200)):
        ...     history = model.fit(x[part], y[part], anchor=anchor)
        ...     anchor = ew.remember(model, x[part], y[part], before=anchor)
        >>> bool((model(x) - y).abs().max() < 1e-3)
        True
    """
    chosen = find_loss(loss)
    rows = DataRows(*training_rows(model, data if y is None else (data, y), chosen))
    parameters = len(get_parameters(model))
    if not 0 < parameters <= MOST_DENSE_PARAMETERS:
        raise OptionError(
            f"an anchor holds a matrix of the free parameters, from 1 to {MOST_DENSE_PARAMETERS} of them; "
            f"the model has {parameters}"
        )
    if hidden < 0:
        raise OptionError(f"hidden is a weight of 0 or more, got {hidden}")
    summed = objective_of(model, rows, chosen).loss_linearised().times(len(rows.x))
    if hidden:
        held = hidden * _hidden_curvature(model, rows.x)
        summed = Linearisation(summed.value, summed.gradient, summed.curvature + held)
    if before is None:
        return Anchor.about(model, len(rows.x), summed)
    earlier = before.checked(model).linearised(model)
    return Anchor.about(model, before.rows + len(rows.x), summed.plus(earlier))


@torch.no_grad()
def _hidden_curvature(model: Network, x: Tensor) -> Tensor:
    """That of Σ|h − h*|² over rows and hidden nodes, shape (P, P); a layer's nodes depend on it and those before."""
    parameters = len(get_parameters(model))
    total = x.new_zeros((parameters, parameters))
    for depth in range(1, len(model.all_layers)):
        part = model.rebuilt(model.all_layers[:depth])
        nodes = part.out_features
        factor = math.sqrt(2) * torch.eye(nodes, dtype=x.dtype, device=x.device).expand(len(x), nodes, nodes)
        _, curvature = accumulate(part, x, factor, x.new_zeros((len(x), nodes)))
        total[: len(curvature), : len(curvature)] += len(x) * curvature
    return total
