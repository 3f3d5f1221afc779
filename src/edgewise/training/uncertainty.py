"""How far a fitted network can be trusted: standard errors of what it says, and intervals for what will be measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgewise.basis import BSpline
from edgewise.errors import OptionError
from edgewise.lazy import LazyModule
from edgewise.network import Network
from edgewise.training.gauss_newton import get_parameters, jacobian_rows
from edgewise.training.losses import MeanSquaredError
from edgewise.training.multilevel.smoothing import SmoothedObjective
from edgewise.training.problem import training_rows

if TYPE_CHECKING:
    from scipy import special
else:
    special = LazyModule("scipy.special")

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
    return _standard_errors(_smoothed(model, data), x)


@torch.no_grad()
def prediction_intervals(model: Network, data: Any, x: Tensor, *, coverage: float = 0.9) -> tuple[Tensor, Tensor]:
    """Intervals that hold new measurements with a given probability, as far as a fitted network is right.

    Their half width is t·√(σ² + s²) with the variance σ² of the residuals, the standard errors s of the outputs, both
    from one factorisation, and the quantile t of Student's distribution with as many degrees of freedom as the fit
    leaves. The errors of measurements are thought to be normal and alike for all rows and outputs. Intervals that ask
    for neither are those of `KANRegressor.predict_interval`.

    Args:
        model: a network fitted by least squares.
        data: what it was fitted to: a `Dataset` or a pair (X, y).
        x: inputs, shape (N, I).
        coverage: probability, between 0 and 1.

    Returns:
        Lower and upper ends, each of shape (N, O).

    Raises:
        DataError: data are missing, or hold NaN or infinite values.
        ShapeError: data do not fit the model.
        OptionError: the coverage is no probability, or the network has more than 4000 free parameters, or none.

    Example:
        >>> import torch, edgewise as ew
        >>> rng = torch.Generator().manual_seed(0)
        >>> X = torch.rand(300, 1, generator=rng, dtype=torch.float64)
        >>> y = X**2 + 0.1 * torch.randn(300, 1, generator=rng, dtype=torch.float64)
        >>> model, history = ew.fit_multilevel(ew.KAN([1, 1], domain=(0, 1)), X, y)
        >>> low, high = ew.prediction_intervals(model, (X, y), X)
        >>> 0.85 < float(((low < y) & (y < high)).double().mean()) < 0.95
        True

    Source: Wood, Generalized Additive Models (2017), section 6.10; Seber and Wild, Nonlinear Regression (1989), 5.1.
    """
    if not 0 < coverage < 1:
        raise OptionError(f"the coverage is a probability between 0 and 1, got {coverage!r}")
    objective = _smoothed(model, data)
    left = max(objective.target.numel() - objective.freedom, 1.0)
    errors = (objective.variance + _standard_errors(objective, x).square()).sqrt()
    reach = float(special.stdtrit(left, (1 + coverage) / 2)) * errors
    centre = model(x)
    return centre - reach, centre + reach


def _smoothed(model: Network, data: Any) -> SmoothedObjective:
    """What a network was fitted to, with the smoothing and the variance that its residuals ask for."""
    rows, target = training_rows(model, data, MeanSquaredError())[:2]
    assert target is not None
    parameters = len(get_parameters(model))
    if not 0 < parameters <= _MOST_PARAMETERS:
        raise OptionError(f"standard errors take 1 to {_MOST_PARAMETERS} free parameters, the model has {parameters}")
    # Polynomials of a few terms are taken at their word: classic regression.
    objective = SmoothedObjective(model, rows, target, families=(BSpline,))
    for _ in range(_UPDATES):
        objective.update_smoothing()
    return objective


def _standard_errors(objective: SmoothedObjective, x: Tensor) -> Tensor:
    """Of the outputs at x, shape (N, O)."""
    model, factor = objective.model, objective.factor()
    identity = torch.eye(model.out_features, dtype=model.dtype, device=x.device)
    errors = []
    for part in x.split(_ROWS_AT_A_TIME):
        jacobian = jacobian_rows(model, part, identity.expand(len(part), -1, -1))  # (O, n, P)
        reach = torch.linalg.solve_triangular(factor, jacobian.flatten(0, 1).T, upper=False).square().sum(dim=0)
        variance = 2 / objective.target.numel() * objective.variance * reach
        errors.append(variance.sqrt().view(model.out_features, -1).T)
    return torch.cat(errors) if errors else x.new_zeros((0, model.out_features))
