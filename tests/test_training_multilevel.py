"""From coarse splines to fine ones: levels, smoothing, climbers, the race, starts, and `fit_multilevel` as a whole."""

import itertools
import math
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline as ScipySpline

from edgewise import KAN, BSpline, Chebyshev, Fourier, fit_multilevel
from edgewise.errors import DataError, OptionError, ShapeError
from edgewise.network import BasisBlock, SymbolicBlock
from edgewise.training.gauss_newton import get_parameters, set_parameters
from edgewise.training.losses import MeanSquaredError
from edgewise.training.multilevel import Climber, Rows, SmoothedObjective, Stage, race, restarted, thinned, warm_up
from edgewise.training.multilevel.climber import descend, settle
from edgewise.training.multilevel.level import (
    START,
    Polynomials,
    Splines,
    at_level,
    level_of,
    parameters_at,
    refinable,
    with_tight_domains,
)
from edgewise.training.multilevel.rows import rmse, spread_of
from edgewise.training.multilevel.starts import _sparser
from edgewise.training.objective import OutputObjective

F64 = torch.float64
MODULE = sys.modules["edgewise.training.multilevel.race"]  # the package's own `race` is the function


def soon(seconds):
    return time.monotonic() + seconds


def exp_sin(x):
    return torch.exp(torch.sin(torch.pi * x[:, :1]) + x[:, 1:] ** 2)


def error_of(model, truth, x):
    return float((model(x) - truth(x)).detach().square().mean().sqrt())


# ------------------------------------------------------------------------------------------------ levels


@pytest.mark.parametrize(
    ("level", "finer"),
    [
        (Splines(5, 3), [(10, 3), (5, 5)]),
        (Splines(7, 3), [(14, 3), (7, 5)]),
        (Splines(8, 3), [(8, 5), (16, 3)]),  # 8 ≥ 10/7·5
        (Splines(10, 5), [(10, 7), (20, 5)]),
        (Splines(9, 5), [(18, 5), (9, 7)]),
        (Splines(5, 7), [(10, 7), (5, 9)]),
        (Splines(40, 8), [(80, 8)]),
        (Splines(40, 9), [(80, 9)]),
    ],
)
def test_degrees_are_raised_once_cells_are_many(level, finer):
    assert [(each.grid, each.degree) for each in level.finer()] == finer


@given(st.integers(1, 300), st.integers(1, 9))
def test_finer_levels_are_finer(grid, degree):
    level = Splines(grid, degree)
    for finer in level.finer():
        assert finer.basis.size > level.basis.size
        assert finer.degree <= 9
        assert finer.grid % grid == 0
    assert str(level) == f"grid {grid}, degree {degree}"


@given(st.integers(1, 64))
def test_finer_polynomials_are_of_higher_degree(degree):
    for finer in Polynomials(degree).finer():
        assert degree < finer.degree <= 64
        assert finer.basis.size == finer.degree + 1
    assert not Polynomials(60).finer()
    assert str(Polynomials(degree)) == f"polynomials of degree {degree}"


@given(st.integers(1, 300), st.integers(1, 9))
def test_polynomials_for_splines_have_more_functions_up_to_a_bound(grid, degree):
    splines = Splines(grid, degree)
    found = splines.polynomials()
    assert found.basis.size > splines.basis.size or found.degree == 64


def test_polynomials_take_the_place_of_splines_and_not_the_other_way_round(uniform):
    """Splines of one cell are polynomials: the function stays, and goes on as a polynomial beyond the domain."""
    x = uniform(-1, 1, 200, 2)
    model = KAN([2, 2, 1], basis=[BSpline(1, 4), Chebyshev(5)], seed=3).lock(0, 1, 0)
    found = at_level(model, Polynomials(8), x)
    assert level_of(found) == Polynomials(8)
    torch.testing.assert_close(found(x), model(x), rtol=0, atol=1e-13)
    points = uniform(-3, 3, 30)
    assert torch.equal(found.edge(0, 1, 0)(points), model.edge(0, 1, 0)(points))
    beyond = torch.tensor([1.1, 1.2], dtype=F64)
    spline = ScipySpline(*scipy_spline(model, 0, 0, 0), extrapolate=True)
    ours, lines = found.edge(0, 0, 0)(beyond).detach(), model.edge(0, 0, 0)(beyond).detach()
    np.testing.assert_allclose(ours, spline(beyond), atol=1e-11)
    assert bool(((lines - ours).abs() > 1e-6).all())
    again = at_level(found, Splines(10, 3), x)
    assert level_of(again) == Polynomials(8)
    assert torch.equal(again(x), found(x))


def scipy_spline(model, layer, source, target):
    """Knots, coefficients and degree of a spline edge."""
    block = model.layer_at(layer).block_of(source, target)
    cells, degree = block.basis.grid, block.basis.degree
    low, high = block.grid[source, 0].item(), block.grid[source, -1].item()
    knots = low + (high - low) / cells * np.arange(-degree, cells + degree + 1)
    return knots, block.effective_coefficients[source, :, target].detach().numpy(), degree


def test_the_level_of_a_network_is_its_finest(mixed_network):
    assert level_of(KAN([2, 3, 1], basis=[BSpline(7, 3), BSpline(4, 5)])) == Splines(7, 5)
    assert level_of(KAN([2, 3, 1], basis=[Chebyshev(4), BSpline(4, 2)])) == Splines(4, 2)
    assert level_of(mixed_network) == Splines(3, 3)
    assert level_of(KAN([2, 2, 1], basis=[Chebyshev(4), Chebyshev(7)])) == Polynomials(7, reach=0.0)
    assert level_of(KAN([2, 1], basis=Fourier(4))) is None
    assert level_of(KAN([2, 1], basis=Chebyshev(1))) is None  # straight lines
    assert level_of(KAN([2, 1], basis=BSpline(1, 1))) is None  # straight lines
    assert level_of(KAN([1, 1]).lock(0, 0, 0)) is None


@pytest.mark.parametrize("level", [Splines(5, 3), Splines(10, 3), Splines(3, 5), Splines(20, 1)], ids=str)
def test_the_number_of_parameters_is_known_beforehand(level, mixed_network, network, uniform):
    x = uniform(-1, 1, 30, 2)
    models = [
        mixed_network,
        network([2, 3, 2], base="silu"),
        KAN([2, [1, 2], 1], basis=[BSpline(4, 3), BSpline(1, 1)]),
        KAN([2, 2], basis=Fourier(2)),
        KAN([2, 2, 1]).lock(0, 1, 1).fix_symbolic(1, 0, 0, "sin"),
    ]
    for model in models:
        assert parameters_at(model, level) == len(get_parameters(at_level(model, level, x)))


@pytest.mark.parametrize("degree", [1, 3, 5])
def test_halved_cells_keep_the_function_where_domains_stay(degree, network, uniform):
    model = network([3, 2], basis=BSpline(5, degree))
    x = uniform(-1.5, 1.5, 50, 3)
    before = model(x).detach()
    for cells in (5, 10, 30):
        finer = at_level(model, Splines(cells, degree), x)
        torch.testing.assert_close(finer(x).detach(), before, rtol=0, atol=1e-13)
    assert torch.equal(model(x).detach(), before)
    assert level_of(model) == Splines(5, degree)


def test_hidden_domains_are_tight_around_the_values(network, uniform):
    x = uniform(-1, 1, 400, 2)
    model = network([2, 3, 1], scale=0.05)  # values in a small part of [−1, 1]
    finer = at_level(model, Splines(12, 3), x)
    values = model.trace(x).layers[1].inputs.detach()
    low, high = values.amin(dim=0), values.amax(dim=0)
    grid = finer.all_layers[1].all_blocks()[0].grid
    share = 0.6 / 400**0.5  # wider than half a cell
    assert share < 0.5 / 11
    margin = 0.5 / 11 * (high - low)
    torch.testing.assert_close(grid, torch.stack([low - margin, high + margin], dim=1))
    assert torch.equal(
        finer.all_layers[0].all_blocks()[0].grid, model.all_layers[0].all_blocks()[0].grid
    )  # the user's domain
    again = at_level(finer, Splines(24, 3), x)
    assert torch.equal(again.all_layers[1].all_blocks()[0].grid, grid)  # which fits well enough
    torch.testing.assert_close(again(x), finer(x), rtol=0, atol=1e-13)


def test_domains_of_few_and_of_equal_values_are_left_sensible(network, uniform):
    model = network([1, 2, 1])
    for x in (uniform(-1, 1, 1, 1), torch.zeros(40, 1, dtype=F64), uniform(-1, 1, 2, 1)):
        finer = at_level(model, Splines(10, 3), x)
        grid = finer.all_layers[1].all_blocks()[0].grid
        assert bool((grid[:, 1] > grid[:, 0]).all())
        assert bool(finer(x).isfinite().all())


def test_what_has_no_level_is_left_alone(uniform):
    x = uniform(-1, 1, 100, 2)
    model = KAN([2, 2, 1], basis=[BSpline(1, 1), Fourier(5)], seed=3).fix_symbolic(0, 0, 1, "sin")
    same = at_level(model, Splines(20, 5), x)
    assert torch.equal(same(x), model(x))
    for ours, theirs in zip(same.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    kinds = {type(block) for layer in same.all_layers for block in layer.all_blocks()}
    assert kinds == {BasisBlock, SymbolicBlock}


@pytest.mark.parametrize("level", [Splines(10, 3), Splines(5, 5), Splines(7, 7)], ids=str)
def test_locked_edges_are_the_same_to_the_last_bit_at_every_level(level, uniform):
    x = uniform(-1, 1, 100, 2)
    model = KAN([2, 3, 1], seed=5).lock(0, 1, 2).lock(1, 0, 0)
    finer = at_level(model, level, x)
    points = uniform(-2, 2, 40)
    for edge in [(0, 1, 2), (1, 0, 0)]:
        assert torch.equal(finer.edge(*edge)(points), model.edge(*edge)(points))
    for layer, own in zip(model.all_layers, finer.all_layers, strict=True):
        assert torch.equal(layer.locked, own.locked)
        assert torch.equal(layer.mask, own.mask)
    assert level_of(finer) == level
    assert refinable(finer.layer_at(0).block_of(0, 0)) == level.basis


def test_tight_domains_leave_the_levels(uniform):
    model = KAN([2, 3, 1], basis=[BSpline(6, 3), BSpline(4, 1)], seed=1)
    tight = with_tight_domains(model, uniform(-1, 1, 200, 2))
    assert [layer.all_blocks()[0].basis for layer in tight.all_layers] == [BSpline(6, 3), BSpline(4, 1)]
    assert not torch.equal(tight.all_layers[1].all_blocks()[0].grid, model.all_layers[1].all_blocks()[0].grid)
    assert len(get_parameters(tight)) == len(get_parameters(model))


# ------------------------------------------------------------------------------------------------ smoothing


def penalty_by_quadrature(basis, grid, coefficients, weights):
    """Σ_e w_e ∫ φ_e⁽q⁾(u)² du, u on [−1, 1]; coefficients (I, S, M), weights (I, S)."""
    order = 2 if basis.degree < 5 else 3
    nodes, gauss = np.polynomial.legendre.leggauss(basis.degree + 1)
    total = coefficients.new_zeros(())
    for source in range(len(grid)):
        low, high = grid[source, 0].item(), grid[source, -1].item()
        half = (high - low) / 2
        ends = np.linspace(low, high, basis.grid + 1)
        for left, right in itertools.pairwise(ends):
            for node, weight in zip(nodes, gauss, strict=True):
                at = torch.full((1, len(grid)), (left + right) / 2 + (right - left) / 2 * node, dtype=F64)
                slopes = coefficients[source] @ basis.values(at, grid, order)[0, source] * half**order
                total = total + (weight * (right - left) / 2 / half) * (weights[source] * slopes**2).sum()
    return total


@pytest.mark.parametrize("degree", [2, 3, 5])
def test_the_smoothed_objective_is_loss_plus_penalty(degree, normal, uniform):
    widths, basis = [(2, 2), (2, 2)], BSpline(4, degree)
    model = KAN([2, 2, 2], basis=basis, domain=[(-1, 3), (0, 0.5)], seed=2)
    x = uniform(0, 1, 40, 2) * torch.tensor([4.0, 0.5]) + torch.tensor([-1.0, 0.0])
    y = normal(40, 2)
    set_parameters(model, normal(len(get_parameters(model))))
    objective = SmoothedObjective(model, x, y)
    weights = [uniform(0.1, 1, 4) for _ in widths]
    objective.set_smoothing(weights)
    grids = [layer.all_blocks()[0].grid for layer in model.all_layers]

    def split(flat):
        return [part.view(*width, basis.size) for part, width in zip(flat.chunk(2), widths, strict=True)]

    def outputs(flat):
        values = {f"layers.{i}.blocks.0.coefficients": part.mT for i, part in enumerate(split(flat))}
        return torch.func.functional_call(model, values, (x,)).flatten()

    def penalty(flat):
        parts = zip(grids, split(flat), weights, widths, strict=True)
        return sum(penalty_by_quadrature(basis, grid, c, w.view(*width)) for grid, c, w, width in parts)

    at = get_parameters(model)
    residual = outputs(at) - y.flatten()
    jacobian = torch.autograd.functional.jacobian(outputs, at)
    value = float((residual.square().mean() + penalty(at)).detach())
    gradient = 2 / y.numel() * jacobian.T @ residual + torch.autograd.functional.jacobian(penalty, at)
    curvature = 2 / y.numel() * jacobian.T @ jacobian + torch.autograd.functional.hessian(penalty, at)
    near = objective.linearise()
    assert objective.value() == pytest.approx(value, rel=1e-11)
    assert near.value == pytest.approx(value, rel=1e-11)
    torch.testing.assert_close(near.gradient, gradient.detach(), rtol=1e-9, atol=1e-9 * float(gradient.abs().max()))
    torch.testing.assert_close(near.curvature, curvature.detach(), rtol=1e-9, atol=1e-9 * float(curvature.max()))


def test_the_gradient_is_that_of_the_value(mixed_network, normal, uniform):
    """Masked and locked edges, symbols and products: against central differences."""
    x, y = uniform(-1, 1, 30, 2), normal(30, 2)
    objective = SmoothedObjective(mixed_network, x, y)
    objective.set_smoothing([uniform(0.1, 1, len(own)) for own in objective.smoothing()])
    at, gradient, step = objective.parameters, objective.linearise().gradient, 1e-6
    for direction in normal(3, len(at)):
        values = []
        for sign in (1, -1):
            objective.parameters = at + sign * step * direction
            values.append(objective.value())
        objective.parameters = at
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(gradient @ direction), rel=1e-6)


def scipy_design(x, low, high, cells, degree):
    """Design matrix and Gram matrix of second derivatives in units of the domain, by SciPy."""
    step = (high - low) / cells
    knots = low + step * np.arange(-degree, cells + degree + 1)
    size = cells + degree
    design = ScipySpline.design_matrix(x, knots, degree, extrapolate=True).toarray()
    second = ScipySpline(knots, np.eye(size), degree).derivative(2)
    nodes, gauss = np.polynomial.legendre.leggauss(degree)
    half = (high - low) / 2
    rough = np.zeros((size, size))
    for cell in range(cells):
        at = second(low + step * (cell + (nodes + 1) / 2)) * half**2
        rough += at.T @ (at * (gauss * step / 2 / half)[:, None])
    return design, rough


def test_weights_are_those_of_the_fellner_schall_update(uniform, normal):
    low, high, cells, n = -1.0, 2.0, 9, 150
    x = uniform(low, high, n, 1)
    y = torch.sin(2 * x) + 0.2 * normal(n, 1)
    model = KAN([1, 1], basis=BSpline(cells, 3), domain=(low, high), seed=0)
    objective = SmoothedObjective(model, x, y)
    design, rough = scipy_design(x[:, 0].numpy(), low, high, cells, 3)
    data = design.T @ design / n
    for _ in range(4):
        descend(objective, 20, math.inf, damping=1e-6)
        (before,) = objective.smoothing()
        w, c = float(before), get_parameters(model).numpy()
        inverse = np.linalg.inv(data + w * rough)
        freedom = np.trace(inverse @ data)
        variance = ((y[:, 0].numpy() - design @ c) ** 2).sum() / (n - freedom)
        rank = np.linalg.matrix_rank(rough)
        expected = variance * (rank - w * np.trace(inverse @ rough)) / (n * (c @ rough @ c))
        objective.update_smoothing()
        assert objective.freedom == pytest.approx(freedom, rel=1e-6)
        assert objective.variance == pytest.approx(variance, rel=1e-6)
        assert float(objective.smoothing()[0]) == pytest.approx(expected, rel=1e-5)
    # That is where the update stays.
    assert float(objective.smoothing()[0]) == pytest.approx(w, rel=0.3)


@pytest.mark.parametrize("sigma", [0.03, 0.3])
def test_the_noise_is_told_from_the_function(sigma, uniform, normal):
    x = uniform(-1, 1, 1500, 1)
    y = torch.sin(3 * x) + sigma * normal(1500, 1)
    model = KAN([1, 1], basis=BSpline(40, 3), seed=0)
    objective = SmoothedObjective(model, x, y)
    for _ in range(20):
        descend(objective, 3, math.inf, damping=1e-6)
        objective.update_smoothing()
    assert objective.variance == pytest.approx(sigma**2, rel=0.2)
    assert 3 < objective.freedom < 35  # of 43 coefficients
    assert error_of(model, lambda x: torch.sin(3 * x), uniform(-0.95, 0.95, 500, 1)) < 0.3 * sigma


def test_cells_without_samples_are_bridged(uniform, normal):
    truth = lambda x: torch.sin(3 * x)  # noqa: E731
    x = torch.cat([uniform(-1, -0.15, 150, 1), uniform(0.2, 1, 150, 1)])
    y = truth(x) + 0.02 * normal(300, 1)
    gap = uniform(-0.1, 0.15, 200, 1)
    smooth, rough = (KAN([1, 1], basis=BSpline(50, 3), seed=0) for _ in range(2))
    settle(smooth, Rows(x, y, x, y), soon(60))
    rough.fit(x, y, steps=30)
    assert error_of(smooth, truth, gap) < 0.1
    assert error_of(smooth, truth, gap) < 0.1 * error_of(rough, truth, gap)


def test_weights_can_be_taken_to_another_objective(uniform, normal):
    x, y = uniform(-1, 1, 50, 2), normal(50, 1)
    one, other = (SmoothedObjective(KAN([2, 2, 1], seed=seed), x, y) for seed in (1, 2))
    given = one.smoothing()
    other.set_smoothing(given)
    for own, theirs in zip(other.smoothing(), given, strict=True):
        assert torch.equal(own, theirs)
        assert own is not theirs
    with pytest.raises(ValueError, match="shorter"):
        other.set_smoothing(given[:1])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_smoothing_of_a_network_without_a_value_stays(value, uniform, normal):
    model = KAN([1, 2, 1], seed=0)
    objective = SmoothedObjective(model, uniform(-1, 1, 40, 1), normal(40, 1))
    objective.update_smoothing()
    before = objective.smoothing()
    set_parameters(model, torch.full_like(get_parameters(model), value))
    assert objective.update_smoothing() == 1
    assert all(torch.equal(mine, old) for mine, old in zip(objective.smoothing(), before, strict=True))
    assert bool(objective.factor().isnan().all())


def test_a_network_of_other_families_is_not_smoothed(uniform, normal):
    x, y = uniform(-1, 1, 50, 2), normal(50, 1)
    objective = SmoothedObjective(KAN([2, 1], basis=Fourier(2), seed=0), x, y)
    assert objective.smoothing() == []
    residual = (objective.model(x) - y).detach()
    assert objective.value() == pytest.approx(float(residual.square().mean()), rel=1e-14)
    assert objective.update_smoothing() == 1.0
    assert objective.freedom == pytest.approx(9, rel=1e-4)  # 2·5 coefficients, one constant too many


# ------------------------------------------------------------------------------------------------ rows


def test_a_fifth_is_held_out(uniform, normal):
    x, y = uniform(-1, 1, 103, 2), normal(103, 1)
    rows, again, other = (Rows.split(x, y, seed) for seed in (1, 1, 2))
    assert (len(rows.x), len(rows.x_held)) == (82, 21)
    assert rows.judged_apart
    assert torch.equal(rows.x_held, again.x_held)
    assert not torch.equal(rows.x_held, other.x_held)
    whole = torch.cat([torch.cat([rows.x, rows.x_held]), torch.cat([rows.y, rows.y_held])], dim=1)
    given_rows = torch.cat([x, y], dim=1)
    assert sorted(map(tuple, whole.tolist())) == sorted(map(tuple, given_rows.tolist()))
    few = Rows.split(x[:19], y[:19], 0)
    assert few.x is few.x_held is not None
    assert not few.judged_apart
    assert len(Rows.split(x[:20], y[:20], 0).x_held) == 4


@pytest.mark.parametrize("count", [1, 99, 350])
def test_the_error_is_that_of_the_rows_to_judge_by(count, uniform, normal):
    model = KAN([1, 1], seed=0)
    x, y = uniform(-1, 1, count, 1), normal(count, 1)
    squares = ((model(x) - y).detach() ** 2).numpy()
    assert Rows(x[:0], y[:0], x, y).error(model) == pytest.approx(math.sqrt(squares.mean()), rel=1e-13)


def test_errors_are_judged_in_the_units_of_the_rows(uniform):
    model = KAN([1, 2], seed=0)
    x = uniform(-1, 1, 30, 1)
    y = 10 * model(x).detach().exp() + 3
    outward = lambda standard: 10 * standard.exp()  # noqa: E731
    assert Rows(x, y, x, y, outward).error(model) == pytest.approx(3, rel=1e-12)


def test_a_model_without_a_value_is_infinitely_wrong(uniform):
    x = uniform(-1, 1, 200, 1)
    model = KAN([1, 1], seed=0)
    nan = torch.full((200, 1), math.nan, dtype=F64)
    partly = torch.zeros(200, 1, dtype=F64)
    partly[0] = math.nan
    assert Rows(x, partly, x, partly).error(model) == math.inf
    assert Rows(x, nan, x, nan, lambda y: y * math.inf).error(model) == math.inf
    assert rmse(model, x, nan) == math.inf
    assert rmse(model, x, model(x).detach() + 2) == pytest.approx(2)


def test_a_constant_has_no_spread(normal):
    y = torch.cat([normal(500, 1), torch.full((500, 1), 0.1, dtype=F64), 1e-30 * normal(500, 1)], dim=1)
    spread = spread_of(y)
    assert spread[1] == 1  # though its standard deviation is a rounding error
    for column in (0, 2):
        assert float(spread[column]) == pytest.approx(float(np.std(y[:, column].numpy())))
    assert spread_of(torch.zeros(3, 1, dtype=F64)) == 1
    assert spread_of(torch.full((1, 1), 1e20, dtype=F64)) == 1


# ------------------------------------------------------------------------------------------------ climbers


@pytest.fixture
def smooth_rows(uniform):
    x = uniform(-1, 1, 600, 1)
    return Rows.split(x, torch.sin(3 * x), 0)


def test_descent_ends_when_time_is_up(smooth_rows):
    """One step is taken, so that what is returned is a step on the way."""
    objective = SmoothedObjective(KAN([1, 2, 1], seed=0), smooth_rows.x, smooth_rows.y)
    calls = []
    wanted = objective.linearise
    objective.linearise = lambda: calls.append(0) or wanted()
    before = objective.value()
    descend(objective, 50, -math.inf)
    assert len(calls) == 1
    assert objective.value() <= before
    descend(objective, 4, math.inf)
    assert len(calls) == 5
    at = objective.parameters
    descend(objective, 0, math.inf)
    assert torch.equal(objective.parameters, at)


def test_settling_trains_and_gives_the_weights(smooth_rows):
    model = KAN([1, 1], basis=BSpline(10, 3), seed=0)
    before = smooth_rows.error(model)
    weights = settle(model, smooth_rows, soon(60))
    assert smooth_rows.error(model) < 1e-3 * before
    assert [own.shape for own in weights] == [(1,)]
    assert bool((weights[0] > 0).all())
    late = KAN([1, 1], basis=BSpline(10, 3), seed=0)
    settle(late, smooth_rows, -math.inf)
    assert smooth_rows.error(late) <= before


def test_climbing_without_noise_leads_to_the_floor(smooth_rows):
    climber = Climber.settled(KAN([1, 1], seed=0), smooth_rows, "start", soon(60))
    assert len(climber.stages) == 1
    assert climber.promise == climber.error * 1e-7  # for newcomers
    while not climber.done and climber.error > 1e-12:
        error, model = climber.error, climber.model
        climber.climb()
        assert climber.error < error or (climber.done and climber.model is model)
    assert climber.error < 1e-12
    assert len(climber.stages) >= 3
    kept = [stage for stage in climber.stages if stage.accepted]
    assert climber.error == kept[-1].error == smooth_rows.error(climber.model)
    assert all(later.error < 0.98 * earlier.error for earlier, later in itertools.pairwise(kept))
    assert all(later.parameters > earlier.parameters for earlier, later in itertools.pairwise(kept))
    assert level_of(climber.model) == kept[-1].level
    assert climber.promise == climber.error * climber.gain ** (1 if kept[-1].overfits else 2)
    assert str(climber.stages[0]).startswith("start: grid 5, degree 3, 8 parameters, error ")


def too_narrow(uniform, normal):
    """A sum of functions of two inputs does not hold their product."""
    x = uniform(-1, 1, 600, 2)
    return x, x[:, :1].exp() + 0.3 * x[:, :1] * x[:, 1:]


def hidden_by_noise(uniform, normal):
    x = uniform(-1, 1, 600, 1)
    return x, x**3 + 0.05 * normal(600, 1)


@pytest.mark.parametrize("limit", [too_narrow, hidden_by_noise])
def test_a_newcomer_far_above_its_spline_floor_promises_no_more_than_it_has(limit, uniform, normal):
    x, y = limit(uniform, normal)
    rows = Rows.split(x, (y - y.mean()) / y.std(), 0)
    climber = Climber.settled(KAN([x.shape[1], 1], seed=0), rows, "start", soon(60))
    first = climber.stages[0]
    assert 20 * first.floor < first.train_error < 0.5
    assert first.is_limited_elsewhere
    assert climber.promise == climber.error
    climber.climb()
    assert climber.stages[1].error > 0.9 * first.error  # rightly so


def test_before_anything_is_learned_the_spline_floor_does_not_count(uniform):
    x = uniform(-1, 1, 600, 1)
    climber = Climber.settled(KAN([1, 1], seed=0), Rows.split(x, torch.sin(40 * x), 0), "start", soon(60))
    assert climber.stages[0].train_error > 0.5
    assert not climber.stages[0].is_limited_elsewhere
    assert climber.promise == climber.error * 1e-7


def test_levels_that_do_not_help_are_not_kept(uniform, normal):
    x = uniform(-1, 1, 200, 1)
    rows = Rows.split(x, x**2 + 0.5 * normal(200, 1), 0)
    climber = Climber.settled(KAN([1, 1], seed=0), rows, "noisy", soon(60))
    for _ in range(20):
        climber.climb()
        if climber.done:
            break
    assert climber.done
    *_, last = climber.stages
    assert not last.accepted
    assert "not better than before" in str(last)
    assert climber.error == min(stage.error for stage in climber.stages if stage.accepted)
    assert climber.error == rows.error(climber.model)
    assert climber.promise > 0.1 * climber.error
    most = len(rows.y) / 1.1
    assert all(stage.parameters <= most for stage in climber.stages)


def test_after_the_deadline_a_climber_is_left_as_it_is(smooth_rows):
    climber = Climber.settled(KAN([1, 1], seed=0), smooth_rows, "late", -math.inf)
    error, model = climber.error, climber.model
    climber.climb()
    assert climber.error <= error
    assert climber.model is model or climber.error < error


def test_a_climber_that_may_not_climb_is_done(smooth_rows):
    climber = Climber.settled(KAN([1, 1], seed=0), smooth_rows, "fixed", soon(60), climbs=False)
    assert climber.done
    assert level_of(climber.model) == START
    lines = Climber.settled(KAN([1, 1], basis=Fourier(9), seed=0), smooth_rows, "waves", soon(60))
    assert "no splines" in str(lines.stages[0])
    lines.climb()
    assert lines.done
    assert len(lines.stages) == 1


def test_few_rows_allow_few_parameters(uniform):
    x = uniform(-1, 1, 12, 1)
    climber = Climber.settled(KAN([1, 1], seed=0), Rows.split(x, x.sin(), 0), "few", soon(60))
    while not climber.done:
        climber.climb()
    assert [stage.parameters for stage in climber.stages] == [8, 10]  # 13 on a grid of 10


@pytest.mark.parametrize("basis", [BSpline(5, 3), [BSpline(5, 3), BSpline(5, 1)], Chebyshev(4)], ids=str)
def test_training_on_all_rows_does_no_harm(basis, uniform, normal):
    x = uniform(-1, 1, 100, 2)
    y = exp_sin(x) + 0.1 * normal(100, 1)
    climber = Climber.settled(KAN([2, 1, 1], basis=basis, seed=1), Rows.split(x, y, 0), "start", soon(60))
    before = get_parameters(climber.model)
    refitted = climber.refit(x, y, soon(60))
    assert rmse(refitted, x, y) <= rmse(climber.model, x, y)
    assert torch.equal(get_parameters(climber.model), before)


# ------------------------------------------------------------------------------------------------ race


class Fake:
    """A contestant that takes a given course of errors."""

    def __init__(self, label, errors, promise=0.05, log=None, parameters=10, refused=None):
        self.label, self.errors, self.share, self.log = label, list(errors), promise, log
        self.error = self.errors.pop(0)
        self.done = not self.errors
        self.model, self.stages = None, [SimpleNamespace(parameters=parameters, accepted=True)]
        self.stages += [] if refused is None else [SimpleNamespace(parameters=refused, accepted=False)]

    @property
    def promise(self):
        return self.error * self.share

    def climb(self):
        self.log.append(self.label)
        self.error = min(self.error, self.errors.pop(0))
        self.done = not self.errors

    def refit(self, x, y, deadline):
        raise NotImplementedError


def raced(makers, log, **options):
    """Labels of the field, best first; starters leave "+label" in the log."""

    def starter(make):
        def start():
            made = make()
            if made is not None:
                log.append(f"+{made.label}")
            return made

        return start

    defaults = {"first": 2, "patience": 3, "target": 1e-9, "aim": 1e-12, "deadline": soon(60)}
    return [each.label for each in race(iter([starter(make) for make in makers]), **(defaults | options))]


def test_time_goes_to_the_one_that_promises_most():
    log = []
    makers = [
        lambda: Fake("a", [1.0, 0.5, 0.4], 0.03, log),
        lambda: Fake("b", [2.0, 0.05, 0.01, 0.001], 0.01, log),
        lambda: Fake("c", [3.0], 1.0, log),
    ]
    field = raced(makers, log, first=3)
    # a promises 0.03 and b 0.02; from then on a's 0.03 is worse than a tenth of the best, 0.05.
    assert log == ["+a", "+b", "+c", "b", "b", "b"]
    assert field == ["b", "a", "c"]


def test_few_parameters_promise_more_than_many():
    log = []
    makers = [
        lambda: Fake("many", [1.0, 0.5], 0.01, log, parameters=200),
        lambda: Fake("few", [4.0, 1e-13], 0.01, log, parameters=100),  # 16 times less at 200
        lambda: Fake("more", [4.0, 1.0], 0.01, log, parameters=400),
    ]
    assert raced(makers, log, first=3)[0] == "few"
    assert log == ["+many", "+few", "+more", "few"]


@pytest.mark.parametrize(("kept", "climbs"), [(10, False), (1000, True)])
def test_parameters_of_a_level_that_was_refused_do_not_count(kept, climbs):
    """Beside the 1000 that the leader tried in vain the other's are few; beside the 10 that it kept they are not."""
    log = []
    makers = [
        lambda: Fake("leader", [1.0, 1.0], 1.0, log, parameters=kept, refused=1000),
        lambda: Fake("other", [1.1, 1.1], 1.0, log, parameters=10),
    ]
    raced(makers, log)
    assert log == ["+leader", "+other", *(["other"] if climbs else []), "leader"]


def test_new_ones_start_where_none_promises_more():
    log = []
    makers = [
        lambda: Fake("a", [1.0, 0.9], 0.9, log),
        lambda: None,
        lambda: Fake("b", [1.5], 1.0, log),
        lambda: Fake("c", [0.3, 1e-13], 0.05, log),
        lambda: Fake("d", [1e-14], 1.0, log),
    ]
    # a is not able; the next one comes to nothing, then b, which is not better; c is, and reaches the aim.
    assert raced(makers, log, first=1) == ["c", "a", "b"]
    assert log == ["+a", "+b", "+c", "c"]


def test_after_so_many_in_vain_the_best_goes_on():
    log = []
    makers = [lambda: Fake("a", [1.0, 0.995, 0.99], 0.9, log), *[lambda: Fake("x", [1.0], 1.0, log)] * 10]
    raced(makers, log, first=1, patience=3)
    assert log == ["+a", "+x", "+x", "+x", "a", "a"]


def test_a_newcomer_that_is_better_starts_the_count_anew():
    log = []
    errors = [1.0, 1.0, 1.0, 0.5, 0.6, 0.6, 0.6, 0.1]
    makers = [lambda error=error: Fake(str(error), [error], 1.0, log) for error in errors]
    assert raced(makers, log, first=1, patience=3)[0] == "0.5"
    assert len(log) == 7  # 0.1 never started


def test_from_the_target_on_no_other_starts_but_the_best_goes_on():
    log = []
    makers = [lambda: Fake("a", [1e-5, 1e-6, 1e-7], 0.9, log), lambda: Fake("b", [1e-9], 1.0, log)]
    assert raced(makers, log, first=1, target=1e-4) == ["a"]
    assert log == ["+a", "a", "a"]


def test_the_aim_ends_the_race():
    log = []
    makers = [lambda: Fake("a", [1.0, 1e-3, 1e-5], 0.05, log), lambda: Fake("b", [1e-4], 1.0, log)]
    assert raced(makers, log, first=1, target=1e-2, aim=1e-2) == ["a"]
    assert log == ["+a", "a"]


def test_starters_that_come_to_nothing_are_passed_over():
    log = []
    makers = [lambda: None, lambda: None, lambda: Fake("a", [0.5], 1.0, log)]
    assert raced(makers, log, first=1) == ["a"]


def test_time_that_is_up_ends_the_race_but_not_before_the_first_start():
    log = []
    makers = [lambda label=label: Fake(label, [1.0, 0.1], 0.1, log) for label in "abc"]
    assert raced(makers, log, first=3, deadline=soon(-1)) == ["a"]
    assert log == ["+a"]


def test_slow_starts_are_fewer(monkeypatch):
    """The first ones have 15 % of the time, here 15 s of 100 s; the clock goes on with what is done."""
    clock = [0.0]
    monkeypatch.setattr(MODULE, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    log = []

    def slow(label):
        clock[0] += 6
        return Fake(label, [1.0, 0.5, 1e-20], 0.05, log)

    raced([lambda label=label: slow(label) for label in "abcdef"], log, first=6, deadline=100)
    assert log == ["+a", "+b", "a", "a"]  # the third would end after 18 s


# ------------------------------------------------------------------------------------------------ starts


def test_restarts_differ_by_seed_and_keep_what_is_given(uniform):
    x = uniform(-1, 1, 50, 2)
    model = KAN([2, [2, 1], 1], basis=BSpline(12, 5), seed=4).lock(0, 1, 0).fix_symbolic(0, 0, 1, "sin")
    before = model(x).detach()
    one, same, other = (restarted(model, seed) for seed in (1, 1, 2))
    assert one.width == model.width
    assert torch.equal(one(x), same(x))
    assert not torch.equal(one(x), other(x))
    assert torch.equal(model(x), before)
    points = uniform(-1, 1, 20)
    for edge in [(0, 1, 0), (0, 0, 1)]:
        assert torch.equal(one.edge(*edge)(points), model.edge(*edge)(points))
    assert one.edge(0, 0, 1).name == "sin"
    assert torch.equal(one.all_layers[0].locked, model.all_layers[0].locked)
    assert torch.equal(one.all_layers[0].mask, model.all_layers[0].mask)
    assert level_of(restarted(KAN([2, 3, 1], basis=BSpline(40, 7)), 0)) == START


def test_a_restart_is_all_but_a_sum_of_functions_of_the_inputs(uniform):
    """The first step of Gauss and Newton foresees nearly what a linear fit of such a sum would reach."""
    x = uniform(-1, 1, 400, 3)
    y = torch.sin(3 * x[:, :1]) + x[:, 1:2] ** 2 - x[:, 2:]
    standard = (y - y.mean()) / y.std()

    def foreseen(start):
        near = OutputObjective(start, x, standard, MeanSquaredError(), None).linearise()
        return near.value - 0.5 * float(near.gradient @ torch.linalg.lstsq(near.curvature, near.gradient).solution)

    assert np.median([foreseen(restarted(KAN([3, 1, 1]), seed)) for seed in range(15)]) < 0.15


def test_a_network_that_explains_nothing_is_no_start(uniform):
    """It starts anew, by the seed of the fit and not by that of the network."""
    x = uniform(-1, 1, 200, 2)
    y = torch.sin(x[:, 0] + x[:, 1])
    fits = [fit_multilevel(KAN([2, 1, 1], seed=seed), (x, y), target=1e-3)[0] for seed in (1, 2)]
    assert torch.equal(fits[0](x), fits[1](x))


def test_other_families_and_straight_lines_keep_their_basis():
    model = KAN([2, 2, 1], basis=[Chebyshev(5), BSpline(1, 1)], domain=[(0, 1), (5, 9)])
    again = restarted(model, 3)
    assert [layer.all_blocks()[0].basis for layer in again.all_layers] == [Chebyshev(5), BSpline(1, 1)]
    assert again.all_layers[0].all_blocks()[0].grid.tolist() == [[0, 1], [5, 9]]
    assert again.all_layers[1].all_blocks()[0].grid.tolist() == [[-1, 1], [-1, 1]]


def started(width, x, y, seed):
    rows = Rows.split(x, (y - y.mean()) / y.std(), 0)
    model = KAN(width, seed=seed)
    warm_up(model, rows, soon(60))
    return model, rows


@pytest.mark.parametrize(("hidden", "most", "times"), [(2, 1, 3), (5, 1, 2)])
def test_sparse_fits_find_smaller_networks(hidden, most, times, uniform):
    """One sum is enough; on a coarse grid more of them fit better, of which those are left that matter, as a rule."""
    x = uniform(-1, 1, 400, 2)
    found = 0
    for seed in range(4):
        model, rows = started([2, hidden, 1], x, exp_sin(x), seed)
        before = get_parameters(model)
        small = thinned(model, rows, soon(60))
        assert torch.equal(get_parameters(model), before)
        larger, smaller = model, _sparser(model, rows, soon(60))
        while smaller is not None:
            assert rows.error(smaller) <= 5 * rows.error(larger)  # in each sparse fit
            larger, smaller = smaller, _sparser(smaller, rows, soon(60))
        assert (small is None) == (larger is model)
        if small is not None:
            assert torch.equal(small(x), larger(x))
            assert rows.error(small) < 0.01
            found += small.width[1] <= most
    assert found >= times


def test_nothing_is_left_out_where_everything_is_needed(uniform):
    x = uniform(-1, 1, 300, 2)
    model, rows = started([2, 1, 1], x, exp_sin(x), 1)
    assert thinned(model, rows, soon(60)) is None


# ------------------------------------------------------------------------------------------------ fit_multilevel


@pytest.fixture
def table(uniform):
    """Inputs on [−1, 1]², targets of a function, and fresh inputs."""

    def make(truth, rows=400, inputs=2):
        x = uniform(-1, 1, rows, inputs)
        return x, truth(x), uniform(-1, 1, 1000, inputs)

    return make


def test_the_classic_example_reaches_rounding(table, rng):
    x, y, fresh = table(exp_sin, 1000)
    seed = int(torch.randint(1000, (1,), generator=rng))
    model, history = fit_multilevel(KAN([2, 1, 1], seed=seed), x, y, target=1e-11, max_time=20, seed=seed)
    assert error_of(model, exp_sin, fresh) < 1e-11
    assert history.reason == "target"
    assert model.width == [2, 1, 1]


def test_products_are_learned_by_two_sums(table):
    truth = lambda x: x[:, :1] * x[:, 1:]  # noqa: E731
    x, y, fresh = table(truth, 200)
    model, _ = fit_multilevel(KAN([2, 2, 1], seed=1), (x, y), target=1e-3, max_time=20)
    assert error_of(model, truth, fresh) < 5e-3


def test_outputs_of_different_sizes_are_met_alike(table):
    truth = lambda x: torch.cat([x[:, :1].exp() + x[:, 1:], 1e6 * (x[:, :1] * 2).sin() - 3e6], dim=1)  # noqa: E731
    x, y, fresh = table(truth)
    model, history = fit_multilevel(KAN([2, 2], seed=1), x, y, max_time=20)
    errors = (model(fresh) - truth(fresh)).detach().abs().amax(dim=0)
    assert errors[0] < 1e-10
    assert errors[1] < 1e-4
    assert history.last["train_loss"] < 1e-9


def test_noise_is_smoothed_away(table, normal):
    truth = lambda x: torch.sin(2 * x[:, :1]) + x[:, 1:] ** 2  # noqa: E731
    x, y, fresh = table(truth, 300)
    sigma = 0.1 * float(y.std())
    model, _ = fit_multilevel(KAN([2, 1], seed=2), x, y + sigma * normal(300, 1), max_time=20)
    assert error_of(model, truth, fresh) < sigma / 2


@pytest.mark.parametrize("basis", [BSpline(5, 3), [BSpline(5, 3), BSpline(5, 1)]], ids=str)
def test_few_samples(basis, table):
    truth = lambda x: x[:, :1] + 0.5 * x[:, 1:]  # noqa: E731
    x, y, fresh = table(truth, 15)
    model, history = fit_multilevel(KAN([2, 1, 1], basis=basis, seed=0), x, y, target=0.5, max_time=4)
    assert rmse(model, x, y) < 0.15
    assert error_of(model, truth, 0.5 * fresh) < 0.4
    assert len(history) >= 1


@pytest.mark.parametrize("width", [[2, 1], [2, 2, 1], [2, [0, 1]]], ids=str)
def test_one_sample(width, uniform):
    x, y = uniform(-1, 1, 1, 2), torch.full((1, 1), 3.0, dtype=F64)
    model, _ = fit_multilevel(KAN(width, seed=0), x, y, max_time=20)
    torch.testing.assert_close(model(x).detach(), y, rtol=0, atol=1e-6)
    assert bool(model(uniform(-1, 1, 50, 2)).isfinite().all())


@pytest.mark.parametrize("constant", [0.0, 0.1, -7e8])
def test_a_constant_target(constant, uniform):
    x = uniform(-1, 1, 50, 2)
    y = torch.full((50,), constant, dtype=F64)
    model, _ = fit_multilevel(KAN([2, 1], seed=0), x, y, max_time=20)
    error = (model(uniform(-1, 1, 100, 2)) - constant).detach().abs().max()
    assert error <= 1e-12 * max(abs(constant), 1)


def test_a_constant_target_beside_another(table):
    """Its rounding errors are not blown up into something to be learned."""
    truth = lambda x: torch.cat([torch.full_like(x[:, :1], 0.1), x[:, :1].exp() + x[:, 1:]], dim=1)  # noqa: E731
    x, y, fresh = table(truth, 200)
    model, _ = fit_multilevel(KAN([2, 2], seed=0), x, y, max_time=20)
    assert error_of(model, truth, fresh) < 1e-11


def test_a_constant_column(table):
    truth = lambda x: torch.sin(2 * x[:, :1])  # noqa: E731
    x, y, fresh = table(truth, 200)
    x[:, 1] = fresh[:, 1] = 0.3
    model, _ = fit_multilevel(KAN([2, 1], seed=0), x, y, max_time=20)
    assert error_of(model, truth, fresh) < 1e-11


def test_the_scale_of_the_targets_makes_no_difference(table):
    truth = lambda x: torch.sin(3 * x[:, :1]) + x[:, 1:] ** 2 + 1  # noqa: E731
    x, y, fresh = table(truth, 200)
    for scale in (1e20, 1e-20):
        model, history = fit_multilevel(KAN([2, 1], seed=0), x, scale * y, target=1e-9 * scale, max_time=20)
        assert error_of(model, lambda x, scale=scale: scale * truth(x), fresh) < 1e-9 * scale
        assert history.reason == "target"
        assert history.last["train_loss"] < 1e-18 * scale**2


def test_the_model_is_left_as_it_is_and_is_the_first_start(table):
    x, y, _ = table(exp_sin, 200)
    given_model = KAN([2, 1, 1], seed=0)
    given_model.fit(x, y, steps=20)
    before = {name: value.clone() for name, value in given_model.state_dict().items()}
    already = rmse(given_model, x, y)
    model, _ = fit_multilevel(given_model, x, y, target=0.5 * already, max_time=4)
    assert rmse(model, x, y) < already
    assert model is not given_model
    for name, value in given_model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_product_node_in_the_last_layer(table):
    truth = lambda x: torch.exp(0.5 * x[:, :1]) * (2 + x[:, 1:])  # noqa: E731
    x, y, fresh = table(truth, 200)
    model, _ = fit_multilevel(KAN([2, [0, 1]], seed=2), x, y, target=1e-2, max_time=20)
    assert error_of(model, truth, fresh) < 5e-2


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_products_as_outputs_are_trained_in_units_of_the_targets(scale, table):
    truth = lambda x: scale * torch.exp(0.5 * x[:, :1]) * (2 + x[:, 1:])  # noqa: E731
    x, y, fresh = table(truth, 400)
    model, history = fit_multilevel(KAN([2, [0, 1]], seed=2), x, y, target=1e-9 * scale, max_time=20)
    assert error_of(model, truth, fresh) < 1e-7 * scale
    assert history.reason == "target"


def test_other_bases_are_trained_as_they_are(table):
    truth = lambda x: torch.sin(3 * torch.pi * x[:, :1]) + torch.cos(2 * torch.pi * x[:, 1:])  # noqa: E731
    x, y, fresh = table(truth, 200)
    basis = Fourier(4)
    model, history = fit_multilevel(KAN([2, 1], basis=basis, seed=0), x, y, max_time=20)
    assert model.all_layers[0].all_blocks()[0].basis == basis
    assert error_of(model, truth, fresh) < 1e-10
    assert (history.last["grid"], history.last["degree"]) == (None, None)


def test_polynomials_stay_polynomials(table):
    truth = lambda x: torch.sin(4 * x[:, :1]) + x[:, 1:] ** 3  # noqa: E731
    x, y, fresh = table(truth, 200)
    model, history = fit_multilevel(KAN([2, 1], basis=Chebyshev(4), seed=0), x, y, max_time=20)
    assert history.rows[0]["degree"] == 4
    degree = history.last["degree"]
    assert degree > 4
    assert history.last["grid"] is None
    assert level_of(model) == Polynomials(degree, reach=0.0)  # as they were given
    assert error_of(model, truth, fresh) < 1e-12


def test_a_locked_edge_stays(table, uniform):
    given_model = KAN([2, 2, 1], seed=1).lock(0, 0, 0)
    edge, points = given_model.edge(0, 0, 0), uniform(-1, 1, 50)
    truth = lambda x: torch.exp(edge(x[:, 0]).detach()[:, None] + x[:, 1:] ** 2)  # noqa: E731
    x, y, fresh = table(truth, 200)
    model, _ = fit_multilevel(given_model, x, y, target=1e-2, max_time=2)
    assert error_of(model, truth, fresh) < 0.2
    if bool(model.all_layers[0].locked.any()):  # or a sparse start left it out
        torch.testing.assert_close(model.edge(0, 0, 0)(points), edge(points), rtol=0, atol=1e-15)


def test_the_history_tells_of_every_level(table):
    x, y, _ = table(lambda x: 5 * torch.sin(3 * x), 300, 1)
    model, history = fit_multilevel(KAN([1, 1], seed=0), x, y, max_time=20)
    assert history.reason == "converged"
    steps, grids, degrees, counts, losses = (
        history.to_dict()[name] for name in ("step", "grid", "degree", "parameters", "train_loss")
    )
    assert steps == list(range(1, len(history) + 1))
    assert (grids[0], degrees[0]) == (5, 3)
    assert [(1 if grid is None else grid) + degree for grid, degree in zip(grids, degrees, strict=True)] == counts
    assert losses == sorted(losses, reverse=True)
    assert grids[-1] is None  # a sine is smooth
    assert level_of(model) == Polynomials(degrees[-1])
    first, *_ = history.notes
    assert first.startswith("start 0: grid 5, degree 3, 8 parameters, error ")
    assert len(history.notes) >= len(history)
    (chosen,) = (note for note in history.notes if ": chosen; " in note)
    assert chosen.startswith("start 0")
    assert all(": left; " in note for note in history.notes[history.notes.index(chosen) + 1 :])
    times = history.to_dict()["time"]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= 60
    # In the units of y: an error of splines near the floor that goes with it.
    assert 0.3 < losses[0] ** 0.5 / history.rows[0]["spline_floor"] < 3


def test_time_that_is_up_is_a_reason(table):
    x, y, _ = table(exp_sin)
    started_at = time.monotonic()
    model, history = fit_multilevel(KAN([2, 2, 1], seed=0), x, y, max_time=0.2)
    assert time.monotonic() - started_at < 10
    assert history.reason == "max_time"
    assert "time was up" in history.notes[-1]
    assert rmse(model, x, y) < float(y.std())


def test_equal_seeds_give_equal_networks(table):
    x, y, fresh = table(lambda x: torch.sin(2 * x), 100, 1)
    one, same = (fit_multilevel(KAN([1, 1], seed=0), x, y, target=1e-9, seed=7, max_time=20)[0] for _ in range(2))
    assert torch.equal(one(fresh), same(fresh))


@pytest.mark.parametrize("options", [{"max_time": 0}, {"max_time": -1}, {"max_time": math.nan}])
def test_a_time_that_is_none_is_refused(options, table):
    x, y, _ = table(exp_sin, 30)
    with pytest.raises(OptionError, match="max_time must be a positive number"):
        fit_multilevel(KAN([2, 1]), x, y, **options)


@pytest.mark.parametrize("target", [-1e-9, math.nan])
def test_a_target_that_is_no_error_is_refused(target, table):
    x, y, _ = table(exp_sin, 30)
    with pytest.raises(OptionError, match="root mean square error of 0 or more"):
        fit_multilevel(KAN([2, 1]), x, y, target=target)


def test_data_that_do_not_fit_are_refused(table):
    x, y, _ = table(exp_sin, 30)
    model = KAN([2, 1])
    with pytest.raises(ShapeError, match="2 inputs, got data with 1 columns"):
        fit_multilevel(model, x[:, :1], y)
    with pytest.raises(ShapeError):
        fit_multilevel(model, x, torch.cat([y, y], dim=1))
    with pytest.raises((ShapeError, DataError)):
        fit_multilevel(model, x, y[:-1])
    x[4, 1] = math.nan
    with pytest.raises(DataError, match=r"row 4 \(counted from 0\), column 'x1' is nan"):
        fit_multilevel(model, x, y)


def test_stages_say_what_follows():
    stage = Stage("a", Splines(5, 3), 8, 1e-3, 1.1e-3, 9e-4, 0.0, accepted=True)
    assert str(stage).endswith("at the spline limit, to be refined")
    assert str(Stage("a", Splines(5, 3), 8, 1e-3, 1e-2, 9e-4, 0.0, accepted=True)).endswith("smoothed")
    assert str(Stage("a", Splines(5, 3), 8, 1e-2, 1e-2, 9e-4, 0.0, accepted=True)).endswith("above the spline limit")
    far = Stage("a", Splines(5, 3), 8, 1e-1, 1e-1, 9e-5, 0.0, accepted=True)
    assert str(far).endswith("far above the spline limit: its start, its width or noise is in the way")
    assert str(Stage("a", None, 8, 1e-1, 1e-1, 0.0, 0.0, accepted=True)).endswith("nothing to refine")
