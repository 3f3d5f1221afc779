"""What `fit_table` is made of: products of polynomials, the ladder of topologies, views; and what it reaches."""

import itertools
import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev

from edgewise import KAN, BSpline, Chebyshev
from edgewise.discovery import analytic, committee, fit_table, formula_contestant
from edgewise.discovery.analytic import (
    AnalyticContestant,
    AnalyticFit,
    bent,
    quick_fit,
    rows_on_unit_interval,
    straightened,
)
from edgewise.discovery.committee import consensus, possibly_best, supported
from edgewise.discovery.formula_contestant import FormulaContestant
from edgewise.discovery.ladder import ladder, parameters_of
from edgewise.discovery.tree import Curve, Input, Sum, network_of, product_of
from edgewise.discovery.view import View, possible_views
from edgewise.network import arities
from edgewise.training.floor import spline_floor
from edgewise.training.gauss_newton import get_parameters
from edgewise.training.multilevel import Climber, Rows, rmse

F64 = torch.float64


def soon(seconds):
    return time.monotonic() + seconds


def straight(inputs):
    return (0.0,) * inputs


def error_of(model, truth, x):
    return float((model(x) - truth(x)).detach().square().mean().sqrt())


# ------------------------------------------------------------------------------------------------ polynomials


@pytest.mark.parametrize("decays", [(2.0,), (1.3, 4.0), (1.05, 1.05), (1.5, 2.7, 1.2), (8.0, 1.1, 3.0, 2.0)], ids=str)
def test_the_terms_are_those_thought_largest(decays):
    fit = AnalyticFit(decays, straight(len(decays)), most=45)
    degrees, sizes = fit.terms(1000)
    highest = 45 if len(decays) < 3 else 20
    powers = [[decay**-power for power in range(highest + 1)] for decay in decays]
    brute = sorted((math.prod(factors) for factors in itertools.product(*powers)), reverse=True)[:45]
    np.testing.assert_allclose(np.sort(sizes)[::-1], brute, rtol=1e-12)
    own = np.prod(np.array(decays) ** -degrees.numpy().astype(float), axis=1)
    np.testing.assert_allclose(sizes, own, rtol=1e-12)
    assert len(np.unique(degrees.numpy(), axis=0)) == 45


@pytest.mark.parametrize(("rows", "most", "count"), [(1, 10, 1), (2, 10, 1), (10, 100, 9), (100, 7, 7)])
def test_there_are_fewer_terms_than_rows(rows, most, count):
    degrees, sizes = AnalyticFit((2.0, 3.0), straight(2), most=most).terms(rows)
    assert degrees.shape == (count, 2)
    assert sizes.shape == (count,)
    assert degrees[0].tolist() == [0, 0]


def vandermonde(u, degrees):
    """Products of Chebyshev polynomials by NumPy."""
    design = np.ones((len(u), len(degrees)))
    for index in range(u.shape[1]):
        design *= chebyshev.chebvander(u[:, index].numpy(), int(degrees.max()))[:, degrees[:, index].numpy()]
    return design


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_coefficients_without_a_prior_are_those_of_least_squares(inputs, uniform, normal):
    u, y = uniform(-1, 1, 200, inputs), normal(200, 2)
    found = AnalyticFit((1.5,) * inputs, straight(inputs), ridge=1e-14, most=15).trained(u, y)
    expected = np.linalg.lstsq(vandermonde(u, found.degrees), y.numpy(), rcond=None)[0]
    np.testing.assert_allclose(found.coefficients, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found(u), vandermonde(u, found.degrees) @ expected, rtol=0, atol=1e-9)


def test_the_prior_is_a_ridge_in_units_of_the_sizes(uniform, normal):
    u, y = uniform(-1, 1, 60, 2), normal(60, 1)
    fit = AnalyticFit((1.5, 2.0), (0.7, -1.0), ridge=0.1, most=20)
    found = fit.trained(u, y)
    sizes = fit.terms(60)[1].numpy()
    design = vandermonde(bent(u, (0.7, -1.0)), found.degrees) * sizes
    weight = (0.1 * np.linalg.norm(design)) ** 2
    expected = sizes[:, None] * np.linalg.solve(design.T @ design + weight * np.eye(20), design.T @ y.numpy())
    np.testing.assert_allclose(found.coefficients, expected, rtol=1e-8, atol=1e-12)


@settings(deadline=None)
@given(bend=st.just(0.0) | st.floats(1e-3, 5) | st.floats(-5, -1e-3), share=st.floats(0, 1))
def test_a_bend_keeps_the_ends_and_moves_its_singularity_to_infinity(bend, share):
    u = torch.tensor([[-1.0], [2 * share - 1], [1.0]], dtype=F64)
    low, at, high = bent(u, [bend])[:, 0].tolist()
    assert (low, high) == (-1, pytest.approx(1, abs=1e-14))
    assert -1 <= at <= 1 + 1e-14
    # Bending back is the same map of the mirrored interval.
    assert -bent(-u, [-bend])[1, 0] == pytest.approx(at, abs=1e-12)
    if bend:
        pole = 1 / (1 - math.exp(bend))
        assert not 0 < pole < 1
        inner = math.log(abs((share - pole) / pole)) / bend  # of the logarithm that is singular there
        assert at == pytest.approx(2 * inner - 1, abs=1e-10)


@pytest.mark.parametrize("bend", [-5.0, -2.0, 0.0, 0.3, 3.0, 5.0])
def test_straightened_series_are_the_same_functions(bend, uniform, normal):
    series = normal(3, 24) * 1.3 ** -torch.arange(24, dtype=F64)
    u = uniform(-1, 1, 200, 1)
    found = straightened(series, bend)
    expected = chebyshev.chebval(bent(u, [bend])[:, 0].numpy(), series.T.numpy())
    values = chebyshev.chebval(u[:, 0].numpy(), found.T.numpy())
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    assert found.shape[0] == 3


def test_straightened_constants_are_constants():
    assert straightened(torch.zeros(2, 5, dtype=F64), 2.0).tolist() == [[0.0], [0.0]]
    found = straightened(torch.tensor([[3.0, 0.0, 0.0]], dtype=F64), -4.0)
    assert found.shape == (1, 1)
    assert float(found) == pytest.approx(3, rel=1e-14)


def test_a_fit_moves_within_its_limits():
    fit = AnalyticFit((2.0, 7.9), (4.9, -4.9), error=0.3)
    assert fit.moved(0, bend=0.2, decay=0.0) is None
    assert fit.moved(1, bend=-0.2, decay=0.0) is None
    assert fit.moved(1, bend=0.0, decay=0.5) is None
    assert fit.moved(0, bend=0.0, decay=-5.0) is None
    moved = fit.moved(0, bend=-1.0, decay=0.4)
    assert moved.bends == (pytest.approx(3.9), -4.9)
    assert moved.decays == (pytest.approx(2 ** math.exp(0.4)), 7.9)


def polynomial(degrees, coefficients, u):
    """Σ c·Π T by NumPy, from the tensor of coefficients."""
    tensor = np.zeros([int(highest) + 1 for highest in degrees.amax(dim=0)])
    tensor[tuple(degrees.T.numpy())] = coefficients[:, 0]
    evaluate = {1: chebyshev.chebval, 2: chebyshev.chebval2d, 3: chebyshev.chebval3d}[u.shape[1]]
    return evaluate(*u.T.numpy(), tensor)


@pytest.mark.parametrize("bends", [(0.0, 0.0, 0.0), (1.0, 0.0, -2.5)], ids=["straight", "bent"])
@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_the_network_is_the_sum_of_products(inputs, bends, uniform, normal):
    domain = torch.tensor([[-1.0, 3.0], [10.0, 11.0], [-5.0, -4.0]], dtype=F64)[:inputs]
    u, y = uniform(-1, 1, 150, inputs), normal(150, 1)
    x = torch.lerp(domain[:, 0], domain[:, 1], (u + 1) / 2)
    fit = AnalyticFit((1.5, 2.0, 3.0)[:inputs], bends[:inputs], ridge=1e-10, most=30, error=0.0)
    start = KAN([inputs, 1], domain=domain.tolist(), seed=0)
    start = start.rebuilt(
        [layer.map_blocks(lambda block: block.scaled(torch.full((1,), 1e6))) for layer in start.layers]
    )
    model = AnalyticContestant(start, fit, domain, "exact", 0.0).refit(x, y, math.inf)
    assert model is not start
    fresh = uniform(-1, 1, 100, inputs)
    found = fit.trained(u, y)
    expected = polynomial(found.degrees, found.coefficients, bent(fresh, fit.bends))
    values = model(torch.lerp(domain[:, 0], domain[:, 1], (fresh + 1) / 2)).detach()[:, 0]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def smooth(x):
    return torch.exp(0.3 * x[:, :1] * x[:, 1:2]) + 0.5 * torch.sin(0.7 * x[:, 2:3] + x[:, :1])


def test_an_analytic_function_of_three_inputs_is_met(uniform):
    x, fresh = uniform(-1, 1, 600, 3), uniform(-0.97, 0.97, 1000, 3)
    domain = torch.tensor([[-1.0, 1.0]] * 3, dtype=F64)
    rows = Rows.split(x, smooth(x), 0)
    found = AnalyticContestant.of(rows, domain, "products", soon(3))
    assert found is not None
    assert found.done
    assert found.promise == found.error == pytest.approx(rows.error(found.model))
    (stage,) = found.stages
    assert (stage.label, stage.level, stage.accepted) == ("products", None, True)
    assert stage.parameters == len(get_parameters(found.model))
    assert error_of(found.model, smooth, fresh) < 1e-8
    refitted = found.refit(x, smooth(x), math.inf)
    assert rmse(refitted, x, smooth(x)) <= rmse(found.model, x, smooth(x))
    assert error_of(refitted, smooth, fresh) < 1e-8


def singular(x):
    """Poles beside the domain, at -0.1 and 3.2."""
    return torch.exp(0.3 * x[:, :1]) / (x[:, 1:] + 0.1) + torch.sin(x[:, :1]) / (3.2 - x[:, :1])


def test_a_singularity_beside_the_domain_is_bent_away(uniform):
    scale = torch.tensor([3.0, 1.0], dtype=F64)
    x, fresh = scale * uniform(0, 1, 700, 2), scale * uniform(0.01, 0.99, 2000, 2)
    domain = torch.stack([torch.zeros(2, dtype=F64), scale], dim=1)
    rows = Rows.split(x, singular(x), 0)
    found = AnalyticContestant.of(rows, domain, "products", soon(20))
    assert found.fit.bends[1] > 1
    refitted = found.refit(x, singular(x), math.inf)
    assert error_of(refitted, singular, fresh) < 1e-7


def test_too_many_products_are_none(monkeypatch, uniform):
    x = uniform(-1, 1, 200, 2)
    domain = torch.tensor([[-1.0, 1.0]] * 2, dtype=F64)
    rows = Rows.split(x, x[:, :1] + x[:, 1:] ** 2, 0)  # of rank 2
    found = AnalyticContestant.of(rows, domain, "sum", soon(0.5))
    assert found.model.width == [2, [0, (2, 2)], 1] or len(arities(found.model.width[1])) >= 2
    monkeypatch.setattr(analytic, "_MOST_PRODUCTS", 1)
    assert AnalyticContestant.of(rows, domain, "sum", soon(0.5)) is None
    assert found.refit(x, rows.outward(x[:, :1]), math.inf) is not None
    wild = AnalyticContestant(
        found.model, AnalyticFit((1.5, 1.5), straight(2), most=40, error=0.0), domain, "wild", 0.0
    )
    assert wild.refit(x, torch.sin(9 * x[:, :1] * x[:, 1:]), math.inf) is found.model


def test_constant_targets_and_few_rows_are_no_obstacle(uniform):
    domain = torch.tensor([[-1.0, 1.0]], dtype=F64)
    for count, target in itertools.product((1, 2, 25), (0.0, 2.5)):
        x = uniform(-1, 1, count, 1)
        y = torch.full((count, 1), target, dtype=F64)
        found = AnalyticContestant.of(Rows.split(x, y, 0), domain, "constant", soon(1))
        torch.testing.assert_close(found.model(x).detach(), y, rtol=0, atol=1e-9)


def test_a_rough_fit_tells_smooth_tables_from_others(uniform, normal):
    x = uniform(-1, 1, 400, 3)
    assert quick_fit(Rows.split(x, smooth(x), 0)).error < 1e-6
    assert quick_fit(Rows.split(x, normal(400, 1), 0)).error > 0.5
    assert quick_fit(Rows.split(x, x.abs().sum(dim=1, keepdim=True), 0)).error > 1e-3


# ------------------------------------------------------------------------------------------------ the ladder


@pytest.mark.parametrize("inputs", range(1, 9))
def test_every_topology_can_be_built(inputs, uniform):
    for outputs in (1, 2, 3):
        domain = [(float(i), i + 2.0) for i in range(inputs)]
        x = torch.tensor(domain, dtype=F64)[:, 0] + uniform(0, 2, 5, inputs)
        topologies = list(ladder(inputs, outputs))
        assert topologies[0].label == "additive"
        assert topologies[0].build(BSpline(5, 3), domain, 0).width == [inputs, outputs]
        for topology in dict.fromkeys(topologies):
            model = topology.build(BSpline(5, 3), domain, 1)
            assert (model.in_features, model.out_features) == (inputs, outputs)
            values = model(x)
            assert values.shape == (5, outputs)
            assert bool(values.isfinite().all())
            grid = model.all_layers[0].all_blocks()[0].grid
            assert torch.equal(grid[:, [0, -1]], torch.tensor(domain, dtype=F64))
            assert parameters_of(topology, inputs, BSpline(5, 3)) == len(get_parameters(model))


def test_topologies_differ_by_seed():
    for topology in dict.fromkeys(ladder(3, 1)):
        one, same, other = (topology.build(BSpline(4, 3), [(-1.0, 1.0)] * 3, seed) for seed in (0, 0, 1))
        x = torch.linspace(-0.9, 0.8, 3, dtype=F64).repeat(4, 1)
        assert torch.equal(one(x), same(x))
        assert not torch.equal(one(x), other(x))


@pytest.mark.parametrize(("inputs", "rank"), [(2, 1), (3, 4), (5, 8)])
def test_each_factor_depends_on_one_input(inputs, rank, uniform):
    label = f"{rank} product{'s' * (rank > 1)} of all inputs"
    topology = next(each for each in ladder(inputs, 1) if each.label.startswith(label))
    model = topology.build(Chebyshev(4), [(-1.0, 1.0)] * inputs, 0)
    first = model.all_layers[0]
    assert first.nodes == (inputs,) * rank
    expected = torch.zeros(inputs, inputs * rank, dtype=torch.bool)
    for product, factor in itertools.product(range(rank), range(inputs)):
        expected[factor, product * inputs + factor] = True
    assert torch.equal(first.mask, expected)
    # Σ_r Π_i: the hidden values are products of functions of one variable each.
    x = uniform(-1, 1, 6, inputs)
    trace = model.trace(x).layers[0]
    factors = trace.edges.sum(dim=1).view(6, rank, inputs)
    torch.testing.assert_close(trace.outputs, factors.prod(dim=2))


def test_nested_products_are_of_two_sums():
    topology = next(each for each in ladder(3, 2) if each.label == "4 products of two sums")
    model = topology.build(BSpline(5, 3), [(-1.0, 1.0)] * 3, 0)
    assert model.all_layers[0].mask.shape == (3, 2)
    assert model.all_layers[1].nodes == (2,) * 4
    assert torch.equal(model.all_layers[1].mask, torch.eye(2, dtype=torch.bool).repeat(1, 4))


# ------------------------------------------------------------------------------------------------ views


@pytest.mark.parametrize("how", ["x", "log", "x^2", "1/x"])
def test_targets_go_through_a_view_and_back(how, uniform):
    x, y = uniform(0.5, 20, 50, 2), uniform(0.1, 30, 50, 2)
    view = View.of(x, y, inputs=("log", "x"), outputs=(how, how))
    forward = {"x": lambda v: v, "log": np.log, "x^2": np.square, "1/x": np.reciprocal}[how]
    inner = forward(y.numpy())
    np.testing.assert_allclose(view.inner_targets(y), inner, rtol=1e-14)
    standard = view.standard_targets(y)
    np.testing.assert_allclose(standard, (inner - inner.mean(0)) / inner.std(0), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(view.outer_targets(standard), y, rtol=1e-10, atol=0)
    logarithm, plain = np.log(x[:, 0].numpy()), x[:, 1].numpy()
    np.testing.assert_allclose(view.inner_inputs(x), np.stack([logarithm, plain], axis=1), rtol=1e-14)
    inner_x = view.inner_inputs(x)
    assert bool((view.domain[:, 0] < inner_x.amin(dim=0)).all())
    assert bool((view.domain[:, 1] > inner_x.amax(dim=0)).all())
    rows = rows_on_unit_interval(Rows(inner_x, standard, inner_x[:9], standard[:9]), view.domain)
    assert float(rows.x.abs().max()) <= 1
    assert float(rows.x.amax()) > 0.8
    assert torch.equal(rows.x_held, rows.x[:9])


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (("x", "x"), ("x", "x")),
        (("log", "x"), ("x", "log")),
        (("x", "log"), ("x^2", "x^2")),
        (("log", "log"), ("1/x", "x^2")),
    ],
    ids=str,
)
def test_the_outer_network_is_the_inner_one_behind_the_view(inputs, outputs, uniform):
    x, y = uniform(0.5, 3, 40, 2), uniform(2, 5, 40, 2)
    view = View.of(x, y, inputs=inputs, outputs=outputs)
    model = KAN([2, 3, 2], domain=view.domain.tolist(), seed=0)
    outer = view.outer(view.unscaled(model), x, input_names=("a", "b"), output_names=("c", "d"))
    fresh = uniform(0.5, 3, 30, 2)
    expected = view.outer_targets(model(view.inner_inputs(fresh)))
    torch.testing.assert_close(outer(fresh), expected, rtol=1e-11, atol=1e-12)
    assert (outer.input_names, outer.output_names) == (("a", "b"), ("c", "d"))
    assert torch.equal(outer.sample, x)


def test_a_square_that_comes_out_negative_has_a_root(uniform):
    x, y = uniform(-1, 1, 20, 1), uniform(0, 1, 20, 1)
    view = View.of(x, y, inputs=("x",), outputs=("x^2",))
    low = torch.full((1, 1), -10.0, dtype=F64)
    assert float(view.outer_targets(low)) == pytest.approx(abs(float(-10 * view.spread + view.center)) ** 0.5)


def test_the_views_are_those_that_the_columns_allow(uniform):
    narrow, wide, signed = uniform(1, 2, 60, 1), 10 ** uniform(-3, 3, 60, 1), uniform(-1, 1, 60, 1)
    wide[:2] = torch.tensor([[1e-3], [1e3]])

    def of(x, y):
        return [(view.inputs, view.outputs) for view in possible_views(x, y)]

    positive = of(torch.cat([narrow, wide, signed], dim=1), narrow)
    assert positive[0] == (("x", "x", "x"), ("x",))  # the plain one first
    assert {outputs for _, outputs in positive} == {("x",), ("log",), ("x^2",), ("1/x",)}
    assert {inputs for inputs, _ in positive} == {("x", "x", "x"), ("x", "log", "x")}
    assert len(set(positive)) == len(positive)
    with_zero = narrow.clone()
    with_zero[3] = 0
    assert of(signed, with_zero) == [(("x",), ("x",)), (("x",), ("x^2",))]
    assert of(signed, signed) == [(("x",), ("x",))]
    assert of(-wide, -wide) == [(("x",), ("x",))]


def test_views_of_constants_are_finite():
    x, y = torch.full((30, 2), 0.7, dtype=F64), torch.full((30, 1), 0.1, dtype=F64)
    for view in possible_views(x, y):
        assert view.spread.tolist() == [1.0]
        assert bool((view.domain[:, 0] < view.domain[:, 1]).all())
        assert float(view.standard_targets(y).abs().max()) < 1e-12


# ------------------------------------------------------------------------------------------------ fit_table


def test_a_root_is_seen_through_its_square(uniform, monkeypatch):
    monkeypatch.setattr(FormulaContestant, "of", lambda *arguments: None)  # it would win
    truth = lambda x: (x[:, :1] ** 2 + x[:, 1:] ** 2).sqrt()  # noqa: E731
    x, fresh = uniform(-2, 2, 300, 2), uniform(-1.9, 1.9, 500, 2)
    fitted = fit_table(x, truth(x), max_time=6, input_names=["a", "b"], output_names=["r"])
    assert error_of(fitted.model, truth, fresh) < 1e-9
    assert "seen through: r by its square" in fitted.notes


def test_a_quotient(uniform):
    truth = lambda x: x[:, :1] / x[:, 1:]  # noqa: E731
    x, fresh = uniform(1, 5, 300, 2), uniform(1.1, 4.9, 500, 2)
    fitted = fit_table(x, truth(x), max_time=6)
    assert error_of(fitted.model, truth, fresh) < 1e-9


def test_a_sum_of_six_inputs(uniform):
    truth = lambda x: (x * torch.arange(1.0, 7.0, dtype=F64)).sin().sum(dim=1, keepdim=True)  # noqa: E731
    x, fresh = uniform(-0.6, 0.6, 500, 6), uniform(-0.59, 0.59, 500, 6)
    fitted = fit_table(x, truth(x), max_time=5)
    assert error_of(fitted.model, truth, fresh) < 1e-6
    assert fitted.notes[0].startswith("additive, width [6, 1]")
    assert fitted.notes[0].endswith("chosen by held-out rows")


def test_two_targets(uniform):
    truth = lambda x: torch.cat([x[:, :1].exp() + x[:, 1:], 1e3 * (x[:, :1] - x[:, 1:] ** 2)], dim=1)  # noqa: E731
    x, fresh = uniform(-1, 1, 200, 2), uniform(-0.95, 0.95, 300, 2)
    fitted = fit_table(x, truth(x), max_time=3)
    errors = (fitted.model(fresh) - truth(fresh)).detach().square().mean(dim=0).sqrt()
    assert errors[0] < 1e-6
    assert errors[1] < 1e-3
    assert fitted.residuals.shape == (40, 2)


@pytest.mark.parametrize("rows", [3, 10, 25])
def test_few_rows(rows, uniform):
    x = uniform(-1, 1, rows, 2)
    y = 5 + x[:, :1] - 2 * x[:, 1:]
    fitted = fit_table(x, y, max_time=1)
    assert rmse(fitted.model, x, y) < 0.1
    assert bool(fitted.model(uniform(-1, 1, 100, 2)).isfinite().all())
    assert fitted.residuals.shape == ((0, 1) if rows < 20 else (5, 1))
    assert fitted.notes[0].endswith("chosen by the few rows it was trained on" if rows < 20 else "by held-out rows")
    assert fitted.history.notes


def test_residuals_are_those_of_rows_that_did_not_train(uniform, normal):
    """Large as the noise, in the units of the table."""
    x = uniform(-1, 1, 400, 1)
    fitted = fit_table(x, 100 * (torch.sin(2 * x) + 0.1 * normal(400, 1)), max_time=2)
    assert fitted.residuals.shape == (80, 1)
    assert 7 < float(fitted.residuals.std()) < 14
    assert abs(float(fitted.residuals.mean())) < 4


def test_errors_and_floors_are_in_the_units_of_the_table(uniform, normal):
    """Behind a logarithm, too: training and held-out rows of one kind have errors of one size."""
    x = uniform(-1, 1, 3000, 1)
    y = torch.exp(7 * x + 0.1 * normal(3000, 1))
    view = View.of(x, y, inputs=("x",), outputs=("log",))
    inner = view.standard_targets(y)
    rows = Rows(x[:1500], inner[:1500], x[1500:], y[1500:], view.outer_targets)
    climber = Climber.settled(KAN([1, 1], basis=BSpline(6, 3), seed=0), rows, "start", soon(9))
    (stage,), model = climber.stages, climber.model
    assert stage.train_error == pytest.approx(rmse(lambda x: view.outer_targets(model(x)), x[:1500], y[:1500]))
    assert 0.7 < stage.error / stage.train_error < 1.4
    assert not stage.overfits
    floor = spline_floor(model, x[:1500]) / rmse(model, x[:1500], inner[:1500])
    assert stage.floor / stage.train_error == pytest.approx(floor)


def test_constant_targets_of_any_kind_are_met(uniform):
    x = uniform(-1, 1, 40, 2)
    for constant in (0.1, -3e8, 0.0):
        y = torch.full((40, 1), constant, dtype=F64)
        fitted = fit_table(x, y, max_time=1)
        assert float((fitted.model(x) - y).detach().abs().max()) <= 1e-9 * max(abs(constant), 1)


# ------------------------------------------------------------------------------------------------ committees


def test_one_that_is_clearly_best_is_alone(normal):
    noise = normal(4, 200)
    errors = (noise * torch.tensor([[1.0], [0.5], [1.2], [0.9]])).square()
    assert possibly_best(errors, 0) == [1]
    assert possibly_best(errors[1:2], 0) == [0]
    assert possibly_best(errors[:, :1], 0) == [int(errors[:, 0].argmin())]  # one row tells


def test_networks_that_win_often_on_rows_drawn_anew_are_those_kept(normal):
    """Against draws of NumPy: who wins in 4 % of them is in, who wins in 1 % is out."""
    errors = (normal(5, 60) * torch.tensor([[1.0], [1.02], [1.1], [1.3], [3.0]])).square()
    rng = np.random.default_rng(5)
    rows = rng.integers(0, 60, (4000, 60))
    wins = np.bincount(errors.numpy()[:, rows].mean(axis=2).argmin(axis=0), minlength=5) / 4000
    found = possibly_best(errors, 3)
    assert found == possibly_best(errors, 3)
    assert set(np.flatnonzero(wins > 0.04)) <= set(found) <= set(np.flatnonzero(wins > 0.01))


def test_many_rows_are_drawn_in_parts(monkeypatch, normal):
    errors = normal(3, 50).square()
    at_once = possibly_best(errors, 0)
    monkeypatch.setattr(committee, "_AT_A_TIME", 120)
    assert possibly_best(errors, 0) == at_once


@settings(deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=7), st.floats(-10, 10), st.floats(0.1, 10))
def test_the_consensus_is_a_location(values, shift, factor):
    """It moves with the values, lies among them, and is the mean of one and of two."""
    tensors = [torch.tensor([value], dtype=F64) for value in values]
    found = committee.consensus(tensors)
    assert min(values) - 1e-9 <= float(found) <= max(values) + 1e-9
    torch.testing.assert_close(committee.consensus([factor * v + shift for v in tensors]), factor * found + shift)
    pairs = [(a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2)]
    assert float(found) == pytest.approx(np.median(pairs), abs=1e-9)
    if len(values) <= 2:
        assert float(found) == pytest.approx(np.mean(values), abs=1e-9)


@pytest.mark.parametrize("others", [3, 5])
def test_one_of_several_may_go_astray(others, normal):
    good = normal(others, 100)
    wild = committee.consensus([*good, torch.full((100,), 1e6, dtype=F64)])
    assert bool((wild <= good.amax(dim=0) + 1e-12).all())


def test_several_networks_predict_noisy_tables(uniform, normal):
    """The residuals are those of the consensus, so intervals are as wide as its errors."""
    x = uniform(-1, 1, 150, 3)
    y = torch.sin(2 * x[:, :1]) + x[:, 1:2] * x[:, 2:] + 0.8 * normal(150, 1)
    fitted = fit_table(x, y, max_time=6)
    assert fitted.members[0] is fitted.model
    assert len(fitted.members) > 1
    held = Rows.split(x, y, 0)
    outputs = committee.consensus([model(held.x_held) for model in fitted.members]).detach()
    # Trained again on all rows, the members do a little better there than before.
    assert float((outputs - held.y_held).square().mean()) < 1.2 * float(fitted.residuals.square().mean())


def test_exact_tables_have_one_network(uniform):
    x = uniform(-1, 1, 200, 2)
    fitted = fit_table(x, x[:, :1].exp() + x[:, 1:], max_time=3)
    assert fitted.members == (fitted.model,)


# ------------------------------------------------------------------------------------------------ formulas in the race


def test_an_exact_formula_wins_where_splines_have_a_corner(uniform):
    def corner(x):
        return (x[:, :1] * x[:, 1:].sin()).arcsin()

    x, new = uniform(0, 1, 400, 2), uniform(0, 1, 2000, 2)
    fitted = fit_table(x, corner(x))
    assert "formula" in fitted.notes[0]
    torch.testing.assert_close(fitted.model(new).detach(), corner(new), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 30, 2500])
def test_those_join_that_make_the_consensus_better(rows, normal):
    residuals = normal(7, rows, 2) * torch.tensor([1.0, 1.1, 1.2, 1.3, 2.0, 9.0, 40.0], dtype=F64)[:, None, None]
    together = supported(residuals, [0, 3])
    assert together[:2] == [0, 3]
    assert len(set(together)) == len(together)
    seen = residuals[:, :: max(1, rows // 1000)]
    sizes = [
        float(consensus([seen[place] for place in together[:count]]).square().mean())
        for count in range(2, len(together) + 1)
    ]
    assert sizes == sorted(sizes, reverse=True)
    for other in set(range(7)) - set(together):
        assert float(consensus([seen[place] for place in [*together, other]]).square().mean()) >= sizes[-1]
    if rows > 100:  # errors that have nothing to do with each other
        assert {1, 2} <= set(together)
        assert 6 not in together


def test_the_same_network_does_not_join_twice(normal):
    residuals = normal(1, 50, 1).expand(3, -1, -1)
    assert supported(residuals, [0]) == [0]


def test_a_formula_that_leaves_nothing_but_noise_wins(uniform, normal):
    def law(x):
        return x[:, :1] * x[:, 1:2].exp() / (x[:, 2:] + 1)

    x, new = uniform(0.5, 2, 600, 3), uniform(0.5, 2, 2000, 3)
    sigma = 0.1 * float(law(x).std())
    fitted = fit_table(x, law(x) + sigma * normal(600, 1), max_time=20)
    assert "formula" in fitted.notes[0]
    assert len(fitted.members) == 1
    assert float((fitted.model(new) - law(new)).detach().square().mean().sqrt()) < sigma / 4
    assert float(fitted.residuals.std()) == pytest.approx(sigma, rel=0.2)


def noisy_formula(x, y):
    """The contestant for a table, its view and the standard targets."""
    view = View.of(x, y, inputs=("x",) * x.shape[1], outputs=("x",))
    target = view.standard_targets(y)
    contestant = FormulaContestant.of(Rows.split(x, target, seed=0), view, 0, math.inf)
    assert contestant is not None
    assert not contestant.is_exact
    return contestant, view, target


def test_a_formula_found_in_noise_is_fitted_to_all_rows(uniform, normal):
    x = uniform(1, 2, 400, 2)
    contestant, _, target = noisy_formula(x, math.e * x[:, :1] * x[:, 1:] + 0.05 * normal(400, 1))
    refitted = contestant.refit(x, target, math.inf)
    before, after = (float((model(x) - target).detach().square().sum()) for model in (contestant.model, refitted))
    assert after < before


def test_constants_of_a_formula_found_in_noise_are_exact_where_the_data_allow(uniform, normal):
    x, far = uniform(1, 2, 400, 2), uniform(10, 20, 50, 2)
    contestant, view, target = noisy_formula(x, 3 * x[:, :1] * x[:, 1:] + 0.05 * normal(400, 1))
    assert contestant.is_law
    for model in (contestant.model, contestant.refit(x, target, math.inf)):
        found = view.unscaled(model)(far).detach()
        torch.testing.assert_close(found, 3 * far[:, :1] * far[:, 1:], rtol=1e-10, atol=0)


def test_a_product_of_standard_targets_can_be_scaled_back(uniform, normal):
    """Where nothing has to be scaled the formula of the targets is the product itself, which holds no constant."""
    x = uniform(1, 2, 400, 2)
    y = x[:, :1] * x[:, 1:] + 0.05 * normal(400, 1)
    plain = View.of(x, y, inputs=("x", "x"), outputs=("x",))
    view = replace(plain, center=torch.zeros(1, dtype=F64), spread=torch.ones(1, dtype=F64))
    contestant = FormulaContestant.of(Rows.split(x, y, seed=0), view, 0, math.inf)
    assert contestant is not None
    scaled_back = plain.unscaled(contestant.model)(x).detach()
    torch.testing.assert_close(scaled_back, x[:, :1] * x[:, 1:] * plain.spread + plain.center)


def test_a_formula_of_many_free_constants_is_no_law(uniform, normal):
    x = uniform(1, 2, 400, 2)
    contestant, _, _ = noisy_formula(x, math.e * x[:, :1] * x[:, 1:] + 0.05 * normal(400, 1))
    assert contestant.is_law
    bumps = Sum(tuple(Curve("gaussian", Input(index), 1.7, -2.1, 0.3, 0.7) for index in range(2)))
    assert not replace(contestant, formula=network_of(bumps, x)).is_law


def test_a_formula_is_no_contestant_where_something_is_left(uniform, normal, monkeypatch):
    monkeypatch.setattr(formula_contestant, "DIRECT", ())
    x = uniform(1, 2, 200, 2)
    y = x[:, :1] * x[:, 1:]
    for target in (y, y + 0.01 * normal(200, 1)):
        view = View.of(x, target, inputs=("x", "x"), outputs=("x",))
        rows = Rows.split(x, view.standard_targets(target), seed=0)
        assert FormulaContestant.of(rows, view, 0, math.inf) is None


def test_a_formula_without_values_somewhere_is_no_contestant(uniform, normal):
    """With noise the factor of the argument comes out a little above 1, and arcsin has no value in the corner."""
    x = torch.cat([uniform(0, 0.9, 300, 1), uniform(0, 1.2, 300, 1)], dim=1)
    sine = network_of(Curve("arcsin", product_of(Input(0), Curve("sin", Input(1))), 1.3), x)
    assert not formula_contestant._has_values(sine, x)
    assert formula_contestant._has_values(network_of(Curve("arcsin", product_of(Input(0), Input(1)), 0.5), x), x)
    # The true one ends just where the rows do; a constant that is not exact leaves doubt.
    unit, whole = uniform(0, 1, 600, 2), Curve("arcsin", product_of(Input(0), Input(1)))
    assert formula_contestant._has_values(network_of(whole, unit, hold=True), unit)
    assert not formula_contestant._has_values(network_of(whole, unit), unit)


def test_an_exact_formula_is_left_as_it_is(uniform):
    x = uniform(1, 2, 200, 2)
    y = x[:, :1] * x[:, 1:]
    view = View.of(x, y, inputs=("x", "x"), outputs=("x",))
    rows = Rows.split(x, view.standard_targets(y), seed=0)
    products = replace(rows, y=view.standard_targets(rows.x[:, :1] * rows.x[:, 1:]))
    exact = FormulaContestant.of(products, view, 0, math.inf)
    assert exact is not None
    assert exact.done
    inner = view.unscaled(exact.refit(rows.x, rows.y, math.inf))
    torch.testing.assert_close(inner(x).detach(), x[:, :1] * x[:, 1:], rtol=1e-12, atol=1e-12)
