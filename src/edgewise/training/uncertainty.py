"""How far a fitted network can be trusted: standard errors of what it says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edgewise.basis import BSpline
from edgewise.errors import OptionError
from edgewise.network import Network
from edgewise.training.gauss_newton import get_parameters, jacobian_rows
from edgewise.training.losses import MeanSquaredError
from edgewise.training.multilevel.smoothing import SmoothedObjective
from edgewise.training.problem import training_rows

_MOST_PARAMETERS = 4000
_UPDATES = 3  # of the smoothing, from the network as it is
_ROWS_AT_A_TIME = 256


@torch.no_grad()
def standard_errors(model: Network, data: Any, x: Tensor) -> Tensor:
    """Standard errors of a fitted network's outputs.

    Near the fit the network is linear in its parameters. With the curvature H of the squared error on the training
    data, the smoothing S that the residuals ask for, and their variance σ², the output f(x) with derivatives j(x) has
    the variance σ²·jᵀ(H + S)⁻¹j. It is that of the function, without the noise of a new measurement.

    Args:
        model: a network fitted by least squares.
        data: what it was fitted to: a `Dataset` or a pair (X, y).
        x: inputs, shape (N, I).

    Returns:
        Standard errors of shape (N, O).

    Raises:
        DataError: data are missing, or hold NaN or infinite values.
        ShapeError: data do not fit the model.
        OptionError: the network has more than 4000 free parameters, or none.

    Example:
        >>> import torch, edgewise as ew
        >>> rng = torch.Generator().manual_seed(0)
        >>> X = torch.rand(300, 1, generator=rng, dtype=torch.float64)
        >>> y = X**2 + 0.1 * torch.randn(300, 1, generator=rng, dtype=torch.float64)
        >>> model, history = ew.fit_multilevel(ew.KAN([1, 1], domain=(0, 1)), X, y)
        >>> errors = ew.standard_errors(model, (X, y), X)
        >>> 0.003 < float(errors.mean()) < 0.03
        True

    Source: Wood, Generalized Additive Models (2017), section 6.10 (the Bayesian covariance of a penalised fit).
    """
    rows, target = training_rows(model, data, MeanSquaredError())[:2]
    assert target is not None
    parameters = len(get_parameters(model))
    if not 0 < parameters <= _MOST_PARAMETERS:
        raise OptionError(f"standard errors take 1 to {_MOST_PARAMETERS} free parameters, the model has {parameters}")
    # Polynomials of a few terms are taken at their word: classic regression.
    objective = SmoothedObjective(model, rows, target, families=(BSpline,))
    for _ in range(_UPDATES):
        objective.update_smoothing()
    factor = objective.factor()
    identity = torch.eye(model.out_features, dtype=model.dtype, device=x.device)
    errors = []
    for part in x.split(_ROWS_AT_A_TIME):
        jacobian = jacobian_rows(model, part, identity.expand(len(part), -1, -1))  # (O, n, P)
        reach = torch.linalg.solve_triangular(factor, jacobian.flatten(0, 1).T, upper=False).square().sum(dim=0)
        errors.append((2 / target.numel() * objective.variance * reach).sqrt().view(model.out_features, -1).T)
    return torch.cat(errors) if errors else x.new_zeros((0, model.out_features))
