"""Standard errors of a fitted network: the classic formula, and that of penalised fits."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.interpolate import BSpline as ScipySpline

from edgewise import KAN, BSpline, Chebyshev, prediction_intervals, standard_errors
from edgewise.errors import DataError, OptionError, ShapeError
from edgewise.training.gauss_newton import get_parameters
from edgewise.training.multilevel import SmoothedObjective
from edgewise.training.multilevel.climber import descend

F64 = torch.float64


def fitted(model, x, y, steps=40):
    model.fit(x, y, steps=steps)
    return model


def test_polynomial_regression_has_the_classic_errors(uniform, normal):
    """Chebyshev polynomials are not smoothed: σ²·jᵀ(JᵀJ)⁻¹j with σ² = RSS/(n − p)."""
    n, degree = 80, 4
    x, fresh = uniform(-1, 1, n, 1), uniform(-1.2, 1.2, 20, 1)
    fresh = fresh.clamp(-1, 1)
    y = x**3 + 0.2 * normal(n, 1)
    model = fitted(KAN([1, 1], basis=Chebyshev(degree), seed=0), x, y)
    design, at = (np.polynomial.chebyshev.chebvander(part[:, 0].numpy(), degree) for part in (x, fresh))
    solution, rss, *_ = np.linalg.lstsq(design, y.numpy(), rcond=None)
    variance = float(rss[0]) / (n - degree - 1)
    expected = np.sqrt(variance * np.einsum("ni,ij,nj->n", at, np.linalg.inv(design.T @ design), at))
    np.testing.assert_allclose(model(fresh).detach(), at @ solution, atol=1e-9)
    np.testing.assert_allclose(standard_errors(model, (x, y), fresh)[:, 0], expected, rtol=1e-6)


def test_smoothed_splines_have_the_bayesian_errors(uniform, normal):
    n, cells = 120, 8
    x, fresh = uniform(-1, 1, n, 1), uniform(-1, 1, 300, 1)  # more than are computed at a time
    y = torch.sin(3 * x) + 0.3 * normal(n, 1)
    model = KAN([1, 1], basis=BSpline(cells, 3), seed=0)
    objective = SmoothedObjective(model, x, y)
    for _ in range(5):
        descend(objective, 10, math.inf, damping=1e-6)
        objective.update_smoothing()
    step = 2 / cells
    knots = -1 + step * np.arange(-3, cells + 4)
    design, at = (ScipySpline.design_matrix(part[:, 0].numpy(), knots, 3).toarray() for part in (x, fresh))
    second, nodes = ScipySpline(knots, np.eye(cells + 3), 3).derivative(2), np.array([-1, 1]) / math.sqrt(3)
    rough = sum(
        step / 2 * np.outer(row, row) for cell in range(cells) for row in second(-1 + step * (cell + (nodes + 1) / 2))
    )
    c, target = get_parameters(model).numpy(), y[:, 0].numpy()
    rank = cells + 1
    # The weights are estimated anew, from a small start, in three updates at the network as it is.
    weight = 1e-4 * ((target - design @ c) ** 2).mean() * rank / n / (c @ rough @ c)
    for _ in range(3):
        inverse = np.linalg.inv(design.T @ design / n + weight * rough)
        freedom = np.trace(inverse @ design.T @ design) / n
        variance = ((target - design @ c) ** 2).sum() / (n - freedom)
        weight *= min(variance * (rank / weight - np.trace(inverse @ rough)) / (n * (c @ rough @ c)), 1e3)
    covariance = variance * np.linalg.inv(design.T @ design + n * weight * rough)
    expected = np.sqrt(np.einsum("ni,ij,nj->n", at, covariance, at))
    np.testing.assert_allclose(standard_errors(model, (x, y), fresh)[:, 0], expected, rtol=1e-4)


def test_errors_of_deep_networks_follow_the_jacobian(uniform, normal):
    """Two outputs; directions that change nothing, as constants that slide between edges, have no part in them."""
    n = 200
    x, y, fresh = uniform(-1, 1, n, 2), normal(n, 2), uniform(-1, 1, 9, 2)
    model = fitted(KAN([2, 1, 2], basis=Chebyshev(3), seed=0), x, y)
    names = [name for name, _ in model.named_parameters()]
    flat = torch.cat([parameter.detach().mT.flatten() for parameter in model.parameters()])
    shapes = [parameter.detach().mT.shape for parameter in model.parameters()]

    def outputs(values, at):
        parts = values.split([shape.numel() for shape in shapes])
        own = {name: part.view(shape).mT for name, part, shape in zip(names, parts, shapes, strict=True)}
        return torch.func.functional_call(model, own, (at,))

    train, new = (torch.autograd.functional.jacobian(lambda v, at=at: outputs(v, at), flat) for at in (x, fresh))
    design = train.flatten(0, 1).numpy()
    rank = np.linalg.matrix_rank(design, tol=1e-6 * np.linalg.norm(design, 2))
    residual = (model(x) - y).detach().numpy()
    variance = (residual**2).sum() / (2 * n - rank)
    covariance = variance * np.linalg.pinv(design.T @ design, rcond=1e-10)
    expected = np.sqrt(np.einsum("noi,ij,noj->no", new.numpy(), covariance, new.numpy()))
    np.testing.assert_allclose(standard_errors(model, (x, y), fresh), expected, rtol=1e-3)


def test_errors_grow_with_the_noise_and_shrink_with_the_samples(uniform, normal):
    def mean_error(n, sigma):
        x = uniform(-1, 1, n, 1)
        y = torch.sin(2 * x) + sigma * normal(n, 1)
        model = fitted(KAN([1, 1], basis=Chebyshev(5), seed=0), x, y)
        return float(standard_errors(model, (x, y), uniform(-0.9, 0.9, 200, 1)).mean())

    few = mean_error(200, 0.1)
    assert mean_error(200, 1.0) == pytest.approx(10 * few, rel=0.4)
    assert mean_error(3200, 0.1) == pytest.approx(few / 4, rel=0.4)


def test_errors_are_in_the_units_of_the_targets(uniform, normal):
    x, noise = uniform(-1, 1, 100, 1), normal(100, 1)
    sizes = []
    for scale in (1e-12, 1.0, 1e12):
        y = scale * (torch.sin(2 * x) + 0.1 * noise)
        sizes.append(standard_errors(fitted(KAN([1, 1], basis=Chebyshev(4), seed=0), x, y), (x, y), x) / scale)
    torch.testing.assert_close(sizes[0], sizes[1], rtol=1e-5, atol=0)
    torch.testing.assert_close(sizes[2], sizes[1], rtol=1e-5, atol=0)


def test_the_truth_is_within_two_errors(uniform, normal):
    shares = []
    for _ in range(5):
        x, fresh = uniform(-1, 1, 200, 1), uniform(-0.95, 0.95, 200, 1)
        y = torch.sin(3 * x) + 0.2 * normal(200, 1)
        model = KAN([1, 1], basis=BSpline(15, 3), seed=0)
        objective = SmoothedObjective(model, x, y)
        for _ in range(6):
            descend(objective, 5, math.inf, damping=1e-6)
            objective.update_smoothing()
        miss = (model(fresh) - torch.sin(3 * fresh)).detach().abs()
        shares.append(float((miss < 2 * standard_errors(model, (x, y), fresh)).double().mean()))
    assert 0.8 < np.mean(shares) <= 1


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
def test_polynomial_regression_has_the_classic_intervals(coverage, uniform, normal):
    """Few rows, so that Student's quantiles are not those of the normal distribution."""
    n, degree = 12, 3
    x, fresh = uniform(-1, 1, n, 1), uniform(-1, 1, 20, 1)
    y = torch.cat([x**3, 2 - x], dim=1) + 0.2 * normal(n, 2)
    model = fitted(KAN([1, 2], basis=Chebyshev(degree), seed=0), x, y)
    design, at = (np.polynomial.chebyshev.chebvander(part[:, 0].numpy(), degree) for part in (x, fresh))
    solution, rss, *_ = np.linalg.lstsq(design, y.numpy(), rcond=None)
    left = 2 * (n - degree - 1)  # the outputs share the variance
    spread = np.sqrt(rss.sum() / left * (1 + np.einsum("ni,ij,nj->n", at, np.linalg.inv(design.T @ design), at)))
    reach = stats.t.ppf((1 + coverage) / 2, left) * spread[:, None]
    low, high = prediction_intervals(model, (x, y), fresh, coverage=coverage)
    np.testing.assert_allclose(low, at @ solution - reach, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(high, at @ solution + reach, rtol=1e-6, atol=1e-8)


def test_intervals_hold_as_many_measurements_as_they_promise(uniform, normal):
    shares = []
    for _ in range(10):
        x, fresh = uniform(-1, 1, 150, 1), uniform(-0.95, 0.95, 400, 1)
        y, new = (torch.sin(3 * at) + 0.2 * normal(len(at), 1) for at in (x, fresh))
        low, high = prediction_intervals(fitted(KAN([1, 1], basis=Chebyshev(6), seed=0), x, y), (x, y), fresh)
        shares.append(float(((low < new) & (new < high)).double().mean()))
    assert np.mean(shares) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_coverage_that_is_no_probability_is_refused(coverage, uniform, normal):
    x, y = uniform(-1, 1, 30, 1), normal(30, 1)
    with pytest.raises(OptionError, match="probability between 0 and 1"):
        prediction_intervals(KAN([1, 1], seed=0), (x, y), x, coverage=coverage)


def test_no_inputs_have_no_errors(uniform, normal):
    x, y = uniform(-1, 1, 30, 2), normal(30, 3)
    model = KAN([2, 3], basis=Chebyshev(2), seed=0)
    assert standard_errors(model, (x, y), x[:0]).shape == (0, 3)
    assert prediction_intervals(model, (x, y), x[:0])[1].shape == (0, 3)
    before = get_parameters(model)
    assert standard_errors(model, (x, y), x[:1]).shape == (1, 3)
    assert torch.equal(get_parameters(model), before)


def test_what_cannot_be_told_is_refused(uniform, normal):
    x, y = uniform(-1, 1, 30, 2), normal(30, 1)
    model = KAN([2, 1], seed=0)
    with pytest.raises(OptionError, match="1 to 4000 free parameters, the model has 4216"):
        standard_errors(KAN([2, 22, 21, 1]), (x, y), x)
    with pytest.raises(OptionError, match="the model has 0"):
        standard_errors(model.lock(0, 0, 0).lock(0, 1, 0), (x, y), x)
    with pytest.raises(ShapeError, match="2 inputs"):
        standard_errors(model, (x[:, :1], y), x)
    with pytest.raises(ShapeError):
        standard_errors(model, (x, torch.cat([y, y], dim=1)), x)
    with pytest.raises(ShapeError):
        standard_errors(model, (x, y), x[:, :1])
    y[3] = math.nan
    with pytest.raises(DataError, match="row 3"):
        standard_errors(model, (x, y), x)
