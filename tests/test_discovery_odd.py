"""Searches that are gone on with or interrupted, and tables of an odd kind."""

import math
import time
from dataclasses import replace

import pytest
import sympy
import torch

from edgewise import KAN, discover
from edgewise.discovery.outliers import smooth_inliers
from edgewise.discovery.problem import Problem
from edgewise.discovery.rules import nodes_of
from edgewise.discovery.search import _unit
from edgewise.discovery.solver import EXACT, STAGES, solve
from edgewise.discovery.stages.inverse import Inverse
from edgewise.discovery.stages.networks import Networks
from edgewise.discovery.stages.polynomials import Polynomials
from edgewise.discovery.tree import Curve, Input, monomial, on_inputs, product_of, scaled
from edgewise.errors import DataError, OptionError
from edgewise.training import fit_in_search

F64 = torch.float64


def problem_of(x, y, seconds=60.0):
    return Problem(x, y, torch.ones_like(y), 0.0, 0.0, time.monotonic() + seconds, 0)


def interrupt(*_):
    raise KeyboardInterrupt


def unwanted(*_):
    raise AssertionError


# ------------------------------------------------------------------------------------------------ going on


class Part:
    """Hands the table without its last input back to be solved."""

    name = "part"

    def propose(self, problem, solve):
        for tree in solve(problem.of_inputs(problem.x[:, :1])):
            yield on_inputs(tree, [0])


def test_parts_are_solved_by_stages_that_the_whole_is_done_with(uniform):
    x = uniform(-1, 1, 100, 2)
    stages = (Polynomials(), Part())
    best, *_ = solve(problem_of(x, x[:, 0] ** 2 + x[:, 0]), stages=stages, finished={Polynomials.name})
    assert best.stage == Part.name
    assert best.error < EXACT


def test_a_robust_search_goes_on_with_the_rows_it_ended_with(uniform, normal, monkeypatch):
    x = uniform(0.5, 2, 200, 2)
    y = x[:, 0] * x[:, 1] + 0.01 * normal(200)
    y[::20] += 30
    before = discover(x, y, robust=True, max_time=20)
    assert set(before.outliers.tolist()) >= set(range(0, 200, 20))
    monkeypatch.setattr("edgewise.discovery.search.smooth_inliers", unwanted)  # it is not asked again
    after = discover(x, y, robust=True, start=before, max_time=20)
    assert torch.equal(before.outliers, after.outliers)
    assert after.formula == before.formula


# ------------------------------------------------------------------------------------------------ interruptions


def test_an_interrupted_fit_ends_the_search_and_not_the_fit_alone(uniform):
    x = uniform(-1, 1, 50, 1)
    with pytest.raises(KeyboardInterrupt):
        fit_in_search(KAN([1, 1]), x, x**2, steps=5, callbacks=[interrupt])
    assert fit_in_search(KAN([1, 1]), x, x**2, steps=2).reason in {"steps", "converged"}


class Interrupted:
    """Proposes something, then Ctrl-C is pressed while it fits a network."""

    name = "interrupted"

    def propose(self, problem, solve):
        yield monomial({0: 2.0})
        fit_in_search(KAN([2, 1]), problem.x, problem.y.unsqueeze(1), steps=5, callbacks=[interrupt])
        yield monomial({0: 1.0})


def test_ctrl_c_within_a_fit_keeps_what_was_found(uniform, monkeypatch):
    monkeypatch.setattr("edgewise.discovery.search.STAGES", (Interrupted(), Polynomials()))
    x = uniform(0.5, 2, 100, 2)
    found = discover(x, x[:, 0] ** 2 + 0.1 * (9 * x[:, 1]).sin(), max_time=30)
    assert found.finished == ()
    assert any(each.formula.has(sympy.Symbol("x0")) for each in found.formulas)
    assert any(stage.startswith("interrupted") for stage in found.stages)


class Nothing:
    """Proposes nothing."""

    name = "nothing"

    def propose(self, problem, solve):
        return iter(())


class Unwanted(Nothing):
    """Must not be begun."""

    name = "unwanted"

    def propose(self, problem, solve):
        raise AssertionError


def test_ctrl_c_ends_a_search_also_where_what_was_found_would_end_it(uniform, normal, monkeypatch):
    stages = (*[Nothing()] * 5, Interrupted(), Unwanted())
    monkeypatch.setattr("edgewise.discovery.search.STAGES", stages)
    x = uniform(0.5, 2, 300, 2)
    found = discover(x, x[:, 0] ** 2 + 0.1 * normal(300), max_time=30)
    assert found.formula.has(sympy.Symbol("x0"))
    assert any(stage.startswith("interrupted") for stage in found.stages)


# ------------------------------------------------------------------------------------------------ odd tables


def test_some_rows_vary_where_all_do(uniform):
    x, y = uniform(0, 1, 10_000, 2), torch.zeros(10_000, dtype=F64)
    y[[17, 4711, 9000]] = 1.0
    few = problem_of(x, y).thinned(200)
    assert len(few.y) == 200
    assert {0.0, 1.0} == set(few.y.tolist())
    constant = problem_of(x, torch.zeros_like(y)).thinned(200)
    assert constant.is_constant


@pytest.mark.slow
def test_a_table_that_is_nearly_all_zero(uniform):
    x, y = uniform(0, 1, 10_000, 6), torch.zeros(10_000, dtype=F64)
    y[[17, 4711, 9000]] = 1.0
    found = discover(x, y, max_time=3)
    assert bool(found.predict(x).isfinite().all())


def test_what_is_left_without_outliers_may_be_constant(uniform):
    x, y = uniform(0, 1, 200, 2), torch.full((200,), 5.0, dtype=F64)
    y[::40] = 100.0
    found = discover(x, y, robust=True, max_time=20)
    assert found.formula == 5
    assert found.outliers.tolist() == list(range(0, 200, 40))


def test_outliers_of_many_rows_are_found_by_a_fit_of_few(uniform, normal, monkeypatch):
    monkeypatch.setattr("edgewise.discovery.outliers._ROWS", 200)
    monkeypatch.setattr("edgewise.discovery.outliers._AT_A_TIME", 700)
    x = uniform(0.5, 2, 5000, 2)
    y = x[:, 0] / x[:, 1] + 0.02 * normal(5000)
    y[::100] += 5
    left_out = (~smooth_inliers(problem_of(x, y))).nonzero().flatten().tolist()
    assert set(left_out) >= set(range(0, 5000, 100))
    assert len(left_out) < 60
    # Rows beyond those that the fit has seen are no outliers: without noise it is judged to its last digits.
    kept = smooth_inliers(problem_of(x, x[:, 0] * x[:, 1] ** 2))
    assert float(kept.double().mean()) > 0.99
    assert bool(smooth_inliers(problem_of(x, y, seconds=-1)).all())  # no time to look


def test_the_inverse_of_a_target_that_is_mostly_zero_is_not_looked_for(uniform):
    x = uniform(-1, 1, 1000, 1)
    y = (x[:, 0] - 0.2).clamp_min(0.0)
    problem = replace(problem_of(x, y), noise=0.1)
    assert float((y == 0).double().mean()) > 0.5
    assert list(Inverse().propose(problem, unwanted)) == []


@pytest.mark.parametrize("size", [1e-170, 1e200])
def test_targets_whose_squares_are_no_numbers(size, uniform):
    x = uniform(1, 2, 50, 1)
    y = size * x[:, 0]
    with pytest.raises(DataError, match="another unit"):
        discover(x, y)
    weights = torch.ones(50, dtype=F64)
    weights[7] = 0.0
    y = torch.where(weights == 0, y, x[:, 0] ** 2)
    assert discover(x, y, weights=weights, max_time=20).formula == sympy.Symbol("x0") ** 2


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_zeros_do_not_hide_the_unit_of_a_column(share, uniform):
    column = 1e9 * uniform(0.9, 1.1, 100)
    column[: int(100 * share)] = 0.0
    assert _unit(column) == 1e9
    assert _unit(torch.zeros(5, dtype=F64)) == 1.0


def test_a_formula_is_kept_where_its_exact_form_has_no_value(uniform, monkeypatch):
    x = uniform(0.5, 2, 100, 2)
    nowhere = Curve("log", Input(0), a=-1.0)
    monkeypatch.setattr("edgewise.discovery.search.Search._exact", lambda self, *_: self._network(nowhere))
    found = discover(x, x[:, 0] * x[:, 1], max_time=20)
    assert float((found.predict(x) - x[:, 0] * x[:, 1]).abs().max()) < 1e-9


def test_given_noise_larger_than_half_of_the_spread_ends_the_search(uniform, normal):
    x = uniform(0, 1, 1000, 2)
    y = 2 * x[:, 0] + 0.9 * normal(1000)
    noise = 0.9 / float(y.std(correction=0))
    assert noise > 0.5
    begun = []
    problem = replace(problem_of(x, y), noise=noise, noise_freedom=math.inf)
    best, *_ = solve(problem, report=lambda stage, *_: begun.append(stage))
    assert best.error == pytest.approx(noise, rel=0.1)
    assert len(begun) < len(STAGES) - 5
    assert Networks.name not in begun


# ------------------------------------------------------------------------------------------------ options


def test_a_product_of_three_is_one_node(uniform):
    x = uniform(0.5, 2, 100, 3)
    found = discover(x, x.prod(dim=1), max_complexity=4, max_time=20)
    assert found.formula == sympy.prod(sympy.symbols("x0 x1 x2"))
    tree = product_of(Input(0), Input(1), scaled(Input(2), 1 - 1e-15))
    assert nodes_of(tree) == 4
    assert nodes_of(scaled(tree, 0.5, 2.0)) == 7  # the sum, 2, the product, 0.5 and three inputs


def test_what_is_too_large_does_not_end_the_search(uniform):
    """2·x0 + 3·x1 has seven nodes."""
    x = uniform(0.5, 2, 100, 2)
    y = 2 * x[:, 0] + 3 * x[:, 1]
    found = discover(x, y, max_complexity=5, max_time=5)
    assert all(each.complexity <= 5 for each in found.formulas)
    assert len(found.finished) > len(discover(x, y, max_complexity=7, max_time=5).finished)


def test_units_by_name_need_different_names(uniform):
    x = uniform(1, 2, 50, 2)
    with pytest.raises(OptionError, match="the target is named 'y' like an input"):
        discover(x, x[:, 0], names=["x", "y"], units={"x": "m", "y": "s"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": [0, 1]}, "texts"),
        ({"names": "ab"}, "texts"),
        ({"noise": math.inf}, "standard deviation"),
        ({"units": [1, "m", "m"]}, "units are texts"),
        ({"forbidden": "exp"}, r"forbidden is a list of names, such as \['exp'\]"),
        ({"primitives": "sin"}, r"primitives is a list of names, such as \['sin'\]"),
    ],
)
def test_options_of_another_kind_are_refused_at_once(options, message, uniform):
    x = uniform(1, 2, 50, 2)
    with pytest.raises(OptionError, match=message):
        discover(x, x[:, 0], **options)
