"""The stages of a discovery: each finds what it is there for, in fresh random formulas."""

import itertools
import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from edgewise.discovery.exponents import simple_exponent
from edgewise.discovery.library import combinations_of_inputs, inputs_of, unary
from edgewise.discovery.problem import Problem, transforms_of
from edgewise.discovery.rational import likeliest_quotient
from edgewise.discovery.rules import Rules
from edgewise.discovery.solver import DIRECT, EXACT, Finding, findings, front, is_noise, refitted, solve
from edgewise.discovery.stages.additive import Additive
from edgewise.discovery.stages.breaks import Breaks
from edgewise.discovery.stages.combined import Combined
from edgewise.discovery.stages.curves import Curves
from edgewise.discovery.stages.factored_quotients import FactoredQuotients
from edgewise.discovery.stages.inverse import Inverse
from edgewise.discovery.stages.joins import joined
from edgewise.discovery.stages.modulated import modulated
from edgewise.discovery.stages.networks import Networks
from edgewise.discovery.stages.polynomials import Polynomials, Quotients
from edgewise.discovery.stages.products import Products
from edgewise.discovery.stages.relevant import Relevant
from edgewise.discovery.stages.ridge import Ridge
from edgewise.discovery.stages.strip import Strip
from edgewise.discovery.stages.structure import Structure
from edgewise.discovery.stages.sums import Sums, terms
from edgewise.discovery.stages.surrounded import Surrounded
from edgewise.discovery.stages.surrounded_quotients import SurroundedQuotients
from edgewise.discovery.stages.varying import Varying
from edgewise.discovery.subsets import best_subsets
from edgewise.discovery.surrogate import Surrogate, errors_are_relative, looks_like_noise, noise_level, smooth_error
from edgewise.discovery.tree import Curve, Input, complexity, constant, constants, evaluate, inputs_in, sum_of

F64 = torch.float64


def problem(x, y, noise=0.0, seconds=60.0):
    return Problem(x, y, torch.ones_like(y), noise, 0.0, time.monotonic() + seconds, seed=0)


def best(stage, given):
    """The least error of what a stage proposes, smaller problems solved as usual."""

    def inner(smaller):
        return [each.tree for each in solve(smaller, depth=1)]

    errors = []
    for tree in stage.propose(given, inner):
        errors.append(given.error(tree))
        if errors[-1] < EXACT:
            break
    return min(errors, default=math.inf)


@pytest.fixture
def factor(uniform):
    """A random number near 1."""
    return float(uniform(0.5, 1.5, 1, 1))


# ------------------------------------------------------------------------------------------------ subsets


def test_the_best_pair_is_the_best_of_all_pairs(normal):
    columns, base, target = normal(60, 9), torch.cat([torch.ones(60, 1, dtype=F64), normal(60, 2)], dim=1), normal(60)

    def left(chosen):
        design = torch.cat([base, columns[:, list(chosen)]], dim=1).numpy()
        found = np.linalg.lstsq(design, target.numpy(), rcond=None)[0]
        return float(np.linalg.norm(design @ found - target.numpy()) / np.linalg.norm(target.numpy()))

    found = best_subsets(target, base, columns, most=2, kept=4, enough=0.0)
    assert found[0].columns == ()
    assert found[0].left == pytest.approx(left(()), rel=1e-9)
    for size in (1, 2):
        mine = [subset for subset in found if len(subset.columns) == size]
        expected = sorted(left(chosen) for chosen in itertools.combinations(range(9), size))[:4]
        assert [subset.left for subset in mine] == pytest.approx(expected, rel=1e-6)
        assert [left(subset.columns) for subset in mine] == pytest.approx(expected, rel=1e-6)


def test_of_columns_that_explain_as_much_the_cheaper_ones_are_better(normal):
    same, other = normal(200, 1), normal(200, 1)
    nearly = [column + 1e-3 * normal(200, 1) for column in (same, other)]
    columns = torch.cat([nearly[0], same, normal(200, 3), other, nearly[1]], dim=1)
    target = same[:, 0] + other[:, 0] + 0.1 * normal(200)
    price = torch.tensor([90.0, 3.0, 3.0, 3.0, 3.0, 3.0, 90.0], dtype=F64)
    base = torch.ones(200, 1, dtype=F64)
    found = best_subsets(target, base, columns, most=3, kept=5, enough=0.0, price=price)
    first = {size: next(each.columns for each in found if len(each.columns) == size) for size in (1, 2, 3)}
    assert first[1] in {(1,), (5,)}
    assert first[2] == (1, 5)
    assert {1, 5} < set(first[3])


def test_useless_columns_are_not_chosen_because_they_are_cheap(normal):
    columns = torch.cat([torch.ones(50, 1, dtype=F64), normal(50, 2)], dim=1)
    price = torch.tensor([0.0, 500.0, 500.0], dtype=F64)
    found = best_subsets(normal(50), torch.ones(50, 1, dtype=F64), columns, most=3, kept=2, enough=0.0, price=price)
    assert [each.columns for each in found if len(each.columns) > 1] == [(1, 2)]
    assert {each.columns for each in found if len(each.columns) == 1} == {(1,), (2,)}


def test_more_columns_are_added_greedily(normal):
    columns = normal(80, 20)
    target = columns[:, [2, 5, 11, 17]] @ torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=F64)
    found = best_subsets(target, torch.ones(80, 1, dtype=F64), columns, most=4, kept=3, enough=1e-11)
    assert found[-1].left > found[-3].left or len(found[-1].columns) == 4
    assert min(found, key=lambda subset: subset.left).columns == (2, 5, 11, 17)


def test_columns_that_say_the_same_are_no_pair(normal):
    one = normal(30, 1)
    found = best_subsets(
        normal(30), torch.ones(30, 1, dtype=F64), torch.cat([one, 2 * one], dim=1), most=2, kept=3, enough=0
    )
    assert all(math.isfinite(subset.left) for subset in found)
    assert not any(len(subset.columns) == 2 for subset in found)


@pytest.mark.parametrize(
    ("value", "sigma", "expected"),
    [
        (1.02, 0.01, 1.0),
        (0.4999, 1e-3, 0.5),
        (0.334, 1e-3, 1 / 3),
        (1.02, 1e-4, 1.02),
        (2.0000001, 0.0, 2.0),
        (0.7, 9.0, 2 / 3),
    ],
)
def test_exponents_within_their_errors_are_simple(value, sigma, expected):
    assert simple_exponent(value, sigma) == pytest.approx(expected, abs=1e-15)


# ------------------------------------------------------------------------------------------------ stages


def test_products_of_powers(uniform, factor):
    x = uniform(0.5, 3, 200, 4)
    y = -factor * x[:, 0] ** 2 / x[:, 1].sqrt() * (x[:, 2] ** 2 - x[:, 3] ** 2) ** -1
    assert best(Products(), problem(x, y)) < EXACT


def test_products_of_inputs_and_targets_that_are_zero_somewhere(uniform, factor):
    x = uniform(1, 3, 300, 3)
    x[::50, 0], x[7, 1] = 0.0, x[7, 2]
    assert best(Products(), problem(x, factor * x[:, 0] ** 1.5 / x[:, 1])) < EXACT
    assert best(Products(), problem(x, factor * x[:, 0] * (x[:, 1] - x[:, 2]))) < EXACT


def test_products_of_three_factors(uniform, factor):
    x = uniform(1, 4, 400, 2)
    y = factor * (x[:, 0] - x[:, 0].exp() / 5).exp() * x[:, 1].cos()
    assert best(Products(), problem(x, y)) < EXACT


def test_products_with_an_exponential(uniform, factor):
    x = uniform(0.5, 3, 200, 2)
    assert best(Products(), problem(x, x[:, 0] * (-factor * x[:, 1] * x[:, 0]).exp())) < EXACT


def test_polynomials(uniform, factor):
    x = uniform(-2, 2, 300, 3)
    y = 1 + factor * x[:, 0] ** 3 - x[:, 1] * x[:, 2] ** 2
    assert best(Polynomials(), problem(x, y)) < EXACT
    assert best(Polynomials(), problem(x, (y - y.min() + factor).sqrt())) < EXACT


def test_quotients_with_a_pole(uniform, factor):
    x = uniform(-2, 2, 1000, 2)
    y = (x[:, 1] + factor) / (x[:, 0] + x[:, 1]) - x[:, 0] ** 2
    assert best(Quotients(), problem(x, y)) < EXACT
    # Rows near a pole may pass for noise.
    assert best(Quotients(), problem(x, y, noise=0.3)) < EXACT


def test_quotients(uniform, factor):
    x = uniform(-1, 1, 300, 2)
    y = (x[:, 0] + factor * x[:, 1]) / (1 + x[:, 0] * x[:, 1] / 3)
    assert best(Quotients(), problem(x, y)) < EXACT
    z = uniform(1, 5, 300, 4)
    centre = (z[:, 0] * z[:, 1] + z[:, 2] * z[:, 3]) / (z[:, 0] + z[:, 2])
    assert best(Quotients(), problem(z, centre)) < EXACT


@pytest.mark.parametrize(
    "curve",
    [lambda z: 1 / (z.exp() - 1), lambda z: (1 + z * z).sqrt(), lambda z: (2 * z).tanh() / 3, lambda z: 1 - z.cos()],
)
def test_curves(curve, uniform, factor):
    x = uniform(0.5, 2, 200, 1)
    assert best(Curves(), problem(x, curve(factor * x[:, 0]))) < 1e-8


def test_deeper_curves(uniform):
    x = uniform(-2, 2, 200, 1)
    assert best(Curves.deep(), problem(x, x[:, 0].cos().cos())) < 1e-8
    assert best(Curves.deep(), problem(x, x[:, 0] * (3 * x[:, 0] + 1).sin())) < 1e-8


def test_curves_are_for_one_input(uniform):
    x = uniform(-2, 2, 50, 2)
    assert best(Curves(), problem(x, x[:, 0])) == math.inf


def test_a_curve_of_a_monomial(uniform, factor):
    x = uniform(1, 3, 600, 5)
    z = factor * x[:, 0] * x[:, 1] / (x[:, 2] * x[:, 3])
    assert best(Ridge(), problem(x, x[:, 4] ** 2 * x[:, 0] / (z.exp() - 1))) < EXACT
    assert best(Ridge(), problem(x, x[:, 4] * (0.5 * z).tanh())) < EXACT


def test_inputs_that_are_factors(uniform, factor):
    x = uniform(1, 3, 600, 4)
    y = x[:, 0] / x[:, 1] ** 2 * (factor + x[:, 2] * x[:, 3].sin())
    assert best(Strip(), problem(x, y)) < EXACT


def test_factors_of_either_sign(uniform, factor):
    x = uniform(-2, 2, 800, 3)
    assert best(Strip(), problem(x, x[:, 0] / x[:, 1] * (2.6 * factor * x[:, 2]).cos())) < EXACT


SURROUNDED = {
    "a term beside a polynomial": lambda a, x: a * x[:, 0] ** 3 * x[:, 1] + (x[:, 0] + x[:, 1]).log() / 2,
    "a factor of a polynomial": lambda a, x: (x[:, 0] - a * x[:, 2]) * (x[:, 1] * x[:, 2] - x[:, 0]) * x[:, 1].cos(),
    "both": lambda a, x: x[:, 2] - x[:, 0] + (a + x[:, 1] ** 2) * (x[:, 0] * x[:, 2]).sin(),
    "above a product": lambda a, x: a * x[:, 0] + x[:, 2] - x[:, 0].cos() / (x[:, 1] * x[:, 2]),
}


@pytest.mark.parametrize("name", SURROUNDED)
def test_polynomials_around_a_function(name, uniform, normal, factor):
    x = uniform(0.5, 3, 800, 3)
    y = SURROUNDED[name](factor, x)
    assert best(Surrounded(), problem(x, y)) < EXACT
    noise = 0.01 * y.std()
    noisy = y + noise * normal(800)
    trees = Surrounded().propose(problem(x, noisy, noise=0.01), lambda smaller: pytest.fail(f"got {smaller}"))
    assert min(float((evaluate(tree, x) - y).square().mean().sqrt()) for tree in trees) < noise / 3


def test_polynomials_around_a_deeper_function(uniform, factor):
    x = uniform(0.5, 3, 800, 3)
    y = factor * x[:, 2] + (x[:, 0] + x[:, 1]) * x[:, 2] - (x[:, 0] * x[:, 1] + x[:, 2].cos()).cos()
    assert best(Surrounded.deep(), problem(x, y)) < EXACT


QUOTIENTS = {
    "below": lambda a, x: (x[:, 1] * x[:, 2] - a * x[:, 0]) / (x[:, 1] + x[:, 2] + (a * 2 + x[:, 0].exp())),
    "above": lambda a, x: (x[:, 0].log() + a * x[:, 1]) / (x[:, 1] * x[:, 2] + 1),
    "with a pole": lambda a, x: (x[:, 1] * x[:, 2] - a * x[:, 0]) / (x[:, 0] + a - x[:, 1].exp()),
    "large somewhere": lambda a, x: (x[:, 0] ** 2 + a * x[:, 2]) / (x[:, 1] + (x[:, 0] * x[:, 1]).exp()),
}


@pytest.mark.parametrize("name", QUOTIENTS)
def test_quotients_around_a_function(name, uniform, factor):
    x = uniform(0.8, 4.5, 800, 3)
    y = QUOTIENTS[name](factor, x)
    assert best(SurroundedQuotients(), problem(x, y)) < EXACT
    assert best(SurroundedQuotients(), problem(x, y, noise=0.3)) < EXACT  # poles may pass for noise


def test_what_is_no_quotient_is_left_alone(uniform, normal):
    x = uniform(0.5, 3, 800, 2)
    assert list(SurroundedQuotients().propose(problem(x, normal(800)), lambda smaller: [])) == []
    assert list(SurroundedQuotients().propose(problem(x, (x[:, 0] * x[:, 1] ** 1.5).sin()), lambda smaller: [])) == []


def test_many_terms_that_come_close_are_no_formula(uniform):
    x = uniform(1, 2, 800, 2)
    # So smooth that thirty terms leave less than a millionth of it.
    y = ((x[:, 0].sqrt() + 1.7).log() * x[:, 1].sqrt() / 3).exp()
    assert list(Surrounded().propose(problem(x, y), lambda smaller: [])) == []


@pytest.mark.parametrize("stage", [Surrounded(), SurroundedQuotients()])
def test_constant_columns_are_left_out(stage, uniform, factor):
    x = torch.cat([torch.full((800, 1), 2.0, dtype=F64), uniform(0.5, 3, 800, 2)], dim=1)
    assert best(stage, problem(x, x[:, 1] ** 3 * factor + x[:, 2].log())) < EXACT


def test_a_polynomial_has_no_function_in_it(uniform, normal):
    x = uniform(0.5, 3, 800, 2)
    y = x[:, 0] ** 2 + x[:, 1] + 0.01 * normal(800)
    trees = Surrounded().propose(problem(x, y, noise=0.005), lambda smaller: [])
    assert not any("c=0.0," in str(tree) for tree in trees)


def test_forbidden_functions_are_replaced_by_others(uniform, factor):
    x = uniform(0.5, 3, 800, 2)
    given = problem(x, factor * x[:, 1] + x[:, 0] * x[:, 0].sin() ** 2)
    trees = list(Surrounded().propose(replace(given, rules=Rules(frozenset({"cos"}))), lambda smaller: []))
    assert min(given.error(tree) for tree in trees) < EXACT
    assert not any("cos" in str(tree) for tree in trees)


def test_sums_of_few_terms(uniform, factor):
    x = uniform(-2, 2, 300, 3)
    y = factor * (x[:, 0] * x[:, 1]).sin() - x[:, 2].exp() + 0.5
    assert best(Sums(), problem(x, y)) < EXACT
    assert best(Sums(), problem(x, (y - y.min() + 1).reciprocal())) < EXACT


def test_functions_of_functions_are_terms(uniform, factor):
    x = uniform(1, 4, 500, 2)
    y = factor * x[:, 0].exp().sin() - (x[:, 1] + 2 * factor).cos()  # more turns than a smooth fit follows
    assert best(Sums(), problem(x, y)) < EXACT


def test_separable_parts(uniform):
    x = uniform(0.5, 3, 600, 2)
    y = (1.7 * x[:, 0].sqrt()).sin() + (1.3 / x[:, 1]).sin()
    found = [each.error for each in solve(problem(x, y), stages=(Products(), Curves(), Curves.deep(), Structure()))]
    assert min(found) < EXACT


def found_by_structure(x, y):
    """The least error by structure and curves alone."""
    return solve(problem(x, y), stages=(Products(), Curves(), Curves.deep(), Structure()))[0].error


def test_joined_inputs(uniform):
    x = uniform(-2, 2, 600, 2)
    assert found_by_structure(x, (x[:, 0] - x[:, 1]).cos().cos()) < EXACT


def test_inputs_joined_with_a_factor_and_bent(uniform, factor):
    x = uniform(-2, 2, 400, 2)
    assert found_by_structure(x, (2 * x[:, 0] - 0.3 * factor * x[:, 1]).cos()) < EXACT
    x = uniform(0.5, 3, 400, 3)
    z = x[:, 0].sqrt() - 2 * factor * x[:, 1].log()
    assert found_by_structure(x, x[:, 2] ** 2 * z.sin()) < EXACT


def test_inputs_joined_by_curves_that_have_to_be_named_first(uniform, factor):
    x = uniform(0.5, 2.5, 800, 2)
    z = (2.5 * factor * x[:, 0]).cos() + (x[:, 1] + factor).log()
    assert found_by_structure(x, (2 * z).sin()) < EXACT


def joins(x, y):
    """What is proposed where every smaller problem has one answer."""
    given = problem(x, y)
    surrogate = Surrogate(given)
    return list(joined(given, surrogate, 0.9 * x, lambda smaller: [Input(0)]))


def test_inputs_joined_by_a_very_small_factor(uniform):
    x = uniform(-1, 1, 800, 2)
    assert found_by_structure(x, (2 * x[:, 0] + 0.04 * x[:, 1]).sin()) < EXACT


def test_inputs_that_do_not_matter_only_together_are_not_joined(uniform):
    x = uniform(-1, 1, 600, 2)
    assert joins(x, x[:, 0] * x[:, 1].sin() + x[:, 1] ** 2 * x[:, 0] ** 3) == []
    assert joins(x, (x[:, 0] + 2 * x[:, 1]).exp()) != []


def test_a_product_of_changing_sign(uniform, factor):
    x = uniform(0.5, 3, 600, 2)
    y = (0.7 * factor * x[:, 0] ** 2).sin() * (2 * x[:, 1]).sin()
    assert found_by_structure(x, y) < EXACT


def test_a_curve_of_one_input_times_a_function_of_the_others(uniform, factor):
    x = uniform(-1, 1, 400, 3)
    y = x[:, 1] ** 2 - (1.5 * factor * x[:, 0]).sin() * (x[:, 1] * x[:, 2]).exp()
    # What stands still is a sum of two terms: x1², and the function of the others times the curve in its middle.
    assert solve(problem(x, y), stages=(Products(), Curves(), Sums(), Structure()))[0].error < EXACT


def asked_by_relevant(x, y, noise=0.0):
    """The inputs of the smaller problems that a table of many inputs is reduced to."""
    asked = []
    list(Relevant().propose(problem(x, y, noise), lambda smaller: asked.append(smaller.x) or []))
    return [[i for i, own in enumerate(x.T) if any(torch.equal(own, left) for left in each.T)] for each in asked]


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_inputs_that_tell_nothing_are_left_out(uniform, noise, factor):
    x = uniform(0.5, 2.5, 500, 9)
    y = x[:, 7] * (x[:, 2] + 2 * factor * x[:, 4]).exp().log1p()
    y = y + noise * y.std() * torch.randn(500, generator=torch.Generator().manual_seed(4), dtype=F64)
    assert asked_by_relevant(x, y, noise) == [[2, 4, 7]]


def test_inputs_that_matter_a_little_stay(uniform):
    x = uniform(0.5, 2.5, 500, 8)
    assert asked_by_relevant(x, x.prod(dim=1)) == []  # all matter
    assert asked_by_relevant(x[:, :5], x[:, 0]) == []  # few inputs are no burden
    reduced = [asked_by_relevant(x, (x[:, 0] * x[:, 1]).sin() + share * x[:, 2]) for share in (1.0, 0.1, 0.01)]
    assert reduced[0] == [[0, 1, 2]]
    assert all({0, 1, 2} <= set(kept) for asked in reduced for kept in asked)  # none is reduced to fewer


def test_a_formula_of_some_of_many_inputs(uniform, factor):
    x = uniform(0.5, 2.5, 400, 7)
    y = factor * x[:, 5] * (x[:, 1] + 2 * x[:, 3]).exp().log1p()
    stages = (Relevant(), Products(), Curves(), Strip(), Curves.deep(), Structure())
    (best, *_) = solve(problem(x, y), stages=stages)
    assert best.error < EXACT
    assert best.stage == Relevant.name
    assert inputs_in(best.tree) == {1, 3, 5}


def test_structure_is_not_solved_when_the_time_is_over(uniform):
    x = uniform(0.5, 2, 400, 3)
    given = problem(x, x[:, 2] * (x[:, 0] + 2 * x[:, 1]).exp())
    over = replace(given, deadline=time.monotonic())

    def one_answer(smaller):
        return [Input(0)]

    surrogate = Surrogate(given)
    for parts in (joined, modulated):
        assert list(parts(given, surrogate, x, one_answer)) != []
        assert list(parts(over, surrogate, x, one_answer)) == []
    assert list(Structure().propose(given, one_answer)) != []
    assert list(Structure().propose(over, one_answer)) == []


def test_changes_of_two_shapes_are_no_curve_times_a_function(uniform):
    x = uniform(-1, 1, 600, 2)
    given = problem(x, (x[:, 0] * x[:, 1]).sin() + (x[:, 0] * x[:, 1] ** 2).exp())
    surrogate = Surrogate(given)
    assert list(modulated(given, surrogate, 0.9 * x, lambda smaller: [Input(0)])) == []


ON_ONE_PROBLEM = (
    Products(), Polynomials(), Quotients(), Curves(), Ridge(), Strip(), Sums(), Surrounded(), SurroundedQuotients(),
    FactoredQuotients(), Varying(), Inverse(), Structure(), Additive(), Combined(), Breaks(),
)  # fmt: skip


@pytest.mark.parametrize("stage", ON_ONE_PROBLEM)
@pytest.mark.parametrize("rows", [2, 3, 5, 200])
def test_few_rows_and_constant_columns_are_met(stage, rows, uniform):
    x = torch.cat([uniform(0.5, 1, rows, 1), torch.full((rows, 1), 2.0, dtype=F64)], dim=1)
    for tree in stage.propose(problem(x, x[:, 0] * 3 + 1), lambda smaller: []):
        assert evaluate(tree, x).shape in {(rows,), ()}


# ------------------------------------------------------------------------------------------------ the search


def test_columns_that_tell_nothing_are_left_out(uniform, normal):
    """A constant, a copy and another constant, so that formulas have the right inputs again."""
    x = uniform(0.5, 2, 300, 2)
    flat = torch.ones(300, dtype=F64)
    wide = torch.stack([flat, x[:, 0], x[:, 0], 1e-300 * flat, x[:, 1]], dim=1)
    given = problem(wide, x[:, 0] * x[:, 1].sin() + x[:, 1])
    assert given.distinct_inputs() == [1, 4]
    best = solve(given, stages=DIRECT)[0]
    assert best.error < EXACT
    assert inputs_in(best.tree) == {1, 4}
    noisy = problem(wide, (x[:, 0] * x[:, 1]).sin() * x[:, 0].exp() + 0.3 * normal(300))
    assert 0 < solve(replace(noisy, noise=0.3, deadline=time.monotonic() + 8), stages=DIRECT)[0].error < 1
    nothing = solve(problem(torch.stack([flat, 2 * flat], dim=1), normal(300)), stages=DIRECT)
    assert [each.stage for each in nothing] == ["constant"]


@pytest.mark.parametrize("inputs", [12, 25])
def test_many_inputs_take_no_more_room_than_there_is(inputs, uniform, normal):
    x = uniform(0.5, 2, 400, inputs)
    y = x[:, 0] * x[:, -1] + 0.1 * normal(400)
    assert terms(x).values.numel() <= 6_000_000
    assert combinations_of_inputs(x, Rules()).values.numel() <= 6_000_000
    given = replace(problem(x, y), noise=0.1, deadline=time.monotonic() + 15)
    best = solve(given, stages=(Sums(), Breaks()))[0]
    assert inputs_in(best.tree) == {0, inputs - 1}


def test_values_whose_squares_overflow_are_no_columns(uniform):
    x = 705 * uniform(0.9, 1, 100, 1)
    assert bool(x.exp().isfinite().all())
    library = unary(inputs_of(x))
    kept = library.usable()
    assert bool(kept.values.square().mean(dim=0).isfinite().all())
    assert {tree.name for tree in library.trees} - {tree.name for tree in kept.trees} >= {"exp"}
    best = solve(problem(x, x[:, 0].log() / (1 + x[:, 0])), stages=(FactoredQuotients(),))[0]
    assert best.error < EXACT


@pytest.mark.parametrize("low", [-0.9, 0.2, -5.0, 2.0])
def test_transforms_are_undone(low, uniform):
    y = uniform(low, low + 0.7, 30, 1)[:, 0]
    for transform, sign in transforms_of(y):
        x = transform.forward(sign * y).unsqueeze(1)
        torch.testing.assert_close(evaluate(transform.undone(Input(0), sign), x), y, rtol=1e-9, atol=1e-9)
        step = 1e-6
        slope = (transform.forward(sign * y + step) - transform.forward(sign * y - step)) / (2 * step)
        torch.testing.assert_close(transform.slope(sign * y), slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 0.01, 0.3])
def test_neighbours_tell_the_noise_of_one_input(sigma, uniform, normal):
    x, scale = uniform(0, 3, 1000, 2), uniform(0.5, 2, 1000, 1)[:, 0]
    y = x[:, 0].sin() * 5 + sigma * scale * normal(1000)
    given = Problem(x, y, scale, 0.5, 0.0, math.inf, 0)
    one = given.of_inputs(x[:, :1])
    assert one.roughness() == pytest.approx(sigma, rel=0.15, abs=1e-4)
    assert one.noise == one.roughness() / one.spread
    assert given.of_inputs(x).noise == 0.5
    assert replace(given, noise=1e-6).of_inputs(x[:, :1]).noise <= 1e-6
    halved = given.divided(x[:, :1], torch.full_like(y, 2.0))
    assert halved.noise == pytest.approx(one.noise)


def test_the_noise_of_equal_inputs_and_of_constants(uniform, normal):
    x = uniform(0, 1, 50, 1).repeat(4, 1)
    given = Problem(x.repeat(1, 2), normal(200), torch.ones(200, dtype=F64), 2.0, 0.0, math.inf, 0)
    assert given.of_inputs(x).roughness() == pytest.approx(1, rel=0.3)
    assert given.of_inputs(x[:, :0]).noise == 2.0
    assert given.part(x, torch.ones(200, dtype=F64), 0.1).noise == 0.1
    assert given.of_inputs(x[:1].expand(200, 1)).roughness() == pytest.approx(1, rel=0.3)


def test_errors_are_relative_to_the_errors_of_the_rows(uniform):
    x, scale = uniform(1, 2, 50, 1), uniform(0.1, 3, 50, 1)[:, 0]
    given = Problem(x, 2 * x[:, 0], scale, 0.0, 0.0, math.inf, 0)
    left = (x[:, 0] - 2 * x[:, 0]) / scale
    mean = np.average(2 * x[:, 0].numpy(), weights=scale.numpy() ** -2.0)
    around = (2 * x[:, 0] - mean) / scale
    expected = float(left.square().mean().sqrt() / around.square().mean().sqrt())
    assert given.error(Input(0)) == pytest.approx(expected, rel=1e-12)
    assert given.error(Curve("log", Curve("x", Input(0), a=-1.0))) == math.inf
    halved = given.divided(x, x[:, 0])
    torch.testing.assert_close(halved.y, torch.full((50,), 2.0, dtype=F64))
    torch.testing.assert_close(halved.scale, scale / x[:, 0])


def test_constants_are_fitted_together(uniform):
    x = uniform(-2, 2, 200, 2)
    y = 1.7 * (1.3 * x[:, 0] + 0.2).sin() + 0.4 * x[:, 1]
    given = problem(x, y)
    start = sum_of(Curve("sin", Input(0), a=1.2), Input(1))
    few, all_of_them = refitted(Finding(start, given.error(start), "test"), given)
    assert 1e-3 < few.error < given.error(start)
    assert all_of_them.error < 1e-10


def test_the_front_has_no_formula_that_another_one_beats():
    given = [
        Finding(Input(0), 0.5, ""),
        Finding(Curve("sin", Input(0), a=2.0), 0.4, ""),
        Finding(Curve("sin", Input(0)), 0.3, ""),
    ]
    assert [each.error for each in front(given)] == [0.3, 0.5]
    rounding = [Finding(Input(0), 3e-16, ""), Finding(Curve("sin", Input(0)), 1e-16, "")]
    assert [each.error for each in front(rounding)] == [3e-16]  # the simpler one is as exact


def test_a_smooth_fit_tells_noise_from_a_function(uniform, normal):
    x = uniform(-1, 1, 600, 2)
    smooth = (2 * x[:, 0] * x[:, 1]).sin()
    assert smooth_error(x, smooth) < 1e-3
    assert smooth_error(x, normal(600)) > 0.97
    assert looks_like_noise(x, normal(600), smooth)
    assert not looks_like_noise(x, normal(600) + smooth, smooth)
    assert not looks_like_noise(x, smooth + (x[:, 0] > 0.99) * 1e6, x[:, 1])  # a few large values hide nothing
    surrogate = Surrogate(problem(x, smooth))
    inside = 0.8 * x
    torch.testing.assert_close(surrogate(inside), (2 * inside[:, 0] * inside[:, 1]).sin(), rtol=0, atol=1e-6)
    slope = 2 * inside[:, 1] * (2 * inside[:, 0] * inside[:, 1]).cos()
    torch.testing.assert_close(surrogate.gradient(inside)[:, 0], slope, rtol=0, atol=1e-4)


def test_a_search_ends_where_only_noise_is_left(uniform, normal):
    x = uniform(1, 3, 600, 2)
    given = problem(x, x[:, 0] * x[:, 1] + 0.1 * normal(600), noise=0.1)
    found = solve(given)
    assert {found[0].stage} <= {"products of powers", "polynomials"}
    assert is_noise(found[0], given)
    torch.testing.assert_close(evaluate(found[0].tree, x), x[:, 0] * x[:, 1], rtol=0.02, atol=0.05)
    assert solve(problem(x, normal(600)))[0].stage == "constant"
    assert solve(problem(x, torch.full((600,), 2.0, dtype=F64)))[0].tree == constant(2.0)


# ------------------------------------------------------------------------------------------------ noise


def normal(seed, count):
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_bins_have_less_noise_and_the_same_curve(uniform):
    x = uniform(0, 2, 5000, 1)
    given = problem(x, x[:, 0].sin() + 0.1 * normal(1, 5000), noise=0.2)
    binned = given.binned(200)
    assert binned.x.shape == (200, 1)
    assert float((binned.scale - 0.2).abs().max()) < 0.1  # one over the root of some 25 rows
    assert float((binned.y - binned.x[:, 0].sin()).square().mean().sqrt()) < 0.1 / 5 * 1.3
    assert given.binned(5000) is given


def test_bins_follow_a_curve_where_rows_are_rare_and_weigh_what_they_mean(uniform):
    x = uniform(0, 1, 5000, 1) ** -0.5  # a long tail
    scale = uniform(0.01, 3, 5000, 1)[:, 0]
    given = Problem(x, x[:, 0] ** 2 + 0.1 * scale * normal(5, 5000), scale, 0.1, 0.0, math.inf, 0)
    binned = given.binned(300)
    off = (binned.y - binned.x[:, 0] ** 2) / (0.1 * binned.scale)
    assert float(off.square().mean().sqrt()) == pytest.approx(1, abs=0.25)
    assert float((binned.scale**-2).sum()) == pytest.approx(float((scale**-2).sum()))


def test_exponents_have_no_bias_by_noise(uniform):
    x = uniform(1, 5, 4000, 3)
    y = 2 * x[:, 0] * x[:, 1] / x[:, 2] ** 2
    given = problem(x, y + 0.1 * float(y.square().mean().sqrt()) * normal(7, 4000), noise=0.1)
    found = next(Products().propose(given, lambda smaller: []))
    ratio = evaluate(found, x) / y
    assert float(ratio.std() / ratio.mean()) < 1e-9  # whole exponents
    assert float(ratio.mean()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_quotients_in_spite_of_noise(noise, uniform, factor):
    z = uniform(1, 5, 4000, 4)
    centre = (z[:, 0] * z[:, 1] + factor * z[:, 2] * z[:, 3]) / (z[:, 0] + factor * z[:, 2])
    size = noise * float(centre.square().mean().sqrt())
    given = problem(z, centre + size * normal(6, 4000), noise=size / float(centre.std()))
    found = min(Quotients().propose(given, lambda smaller: []), key=given.error)
    assert constants(found) <= 4
    assert float((evaluate(found, z) - centre).square().mean().sqrt()) < 0.1 * size


def test_the_likeliest_quotient_has_no_bias(uniform, normal):
    x = uniform(0, 2, 20_000, 1)
    columns = x ** torch.arange(4, dtype=F64)
    y = (1 + 2 * x[:, 0]) / (1 + 0.5 * x[:, 0] ** 2) + 0.3 * normal(20_000)
    above, below = likeliest_quotient(columns, y, torch.ones_like(y))
    assert (above / below[0]).tolist() == pytest.approx([1, 2, 0, 0], abs=0.15)
    assert (below / below[0]).tolist() == pytest.approx([1, 0, 0.5, 0], abs=0.15)
    assert int((above != 0).sum() + (below != 0).sum()) <= 4


def test_what_explains_little_is_not_the_end(monkeypatch, uniform):
    x = uniform(-2, 2, 800, 2)
    y = (x[:, 0] * x[:, 1] + x[:, 0].exp()).sin()
    monkeypatch.setattr("edgewise.discovery.solver.is_noise", lambda *_: True)  # as what turns often may seem
    assert solve(problem(x, y, noise=1.0), stages=(Products(), Curves(), Combined()))[0].error < EXACT
    assert (
        solve(
            problem(x, x[:, 0] + 0.1 * y, noise=0.1),
            stages=(Polynomials(), Combined()),
            found=[Finding(Input(0), 0.06, "")],
        )[0].stage
        == ""
    )


def test_noise_is_a_constant_and_no_reason_for_networks(uniform, normal):
    x, y = uniform(-2, 2, 400, 2), normal(400)
    begun = []

    class Watched(Networks):
        def propose(self, problem, solve):
            begun.append(self)
            return super().propose(problem, solve)

    (first, *_) = solve(problem(x, y, noise=1.0), stages=[Products(), Combined(), Sums(), Networks()])
    assert complexity(first.tree) <= 2
    assert first.error == pytest.approx(1, abs=1e-3)
    solve(problem(x, y, noise=1.0), stages=[Sums(), Watched()])
    assert begun  # only the stage that comes last of all is left out


def test_some_rows_have_the_errors_of_all(uniform, normal):
    x = uniform(-1.5, 1.5, 2000, 2)
    y = (x[:, 0] + x[:, 1]).sinh() + 0.01 * normal(2000)
    given = problem(x, y, noise=0.01 / float(y.std()))
    some = given.some(y.abs() < 1)
    assert some.noise * some.spread == pytest.approx(0.01, rel=0.05)
    assert len(some.x) == len(some.y) == len(some.scale) == int((y.abs() < 1).sum())


def test_a_part_is_as_noisy_as_its_target(uniform, normal):
    x = uniform(1, 2, 500, 2)
    given = replace(problem(x, 0.002 * x[:, 0], noise=0.01), scale=torch.full((500,), 1e-3, dtype=F64))
    assert given.part(x, x[:, 0].log(), floor=0.1).noise == 0.01
    assert given.part(x, x[:, 0].log(), floor=1e-6).noise == 1e-6
    assert given.part(x[:, :1], x[:, 0].log(), floor=0.1).noise < 1e-3  # neighbours say more


@pytest.mark.parametrize("errors", ["normal", "Laplace", "uneven"])
def test_noise_of_any_shape_is_not_taken_for_less(errors, uniform, normal):
    x = uniform(1, 3, 2000, 2)
    shape = {
        "normal": normal(2000),
        "Laplace": -normal(2000).sign() * uniform(0, 1, 2000).log() / 2**0.5,
        "uneven": normal(2000) * torch.where(x[:, 0] < 2, 0.5, 1.3),
    }[errors]
    y = x[:, 0].sin() + x[:, 1]
    noisy = y + 0.1 * y.std() * shape / shape.std()
    assert 0.09 < noise_level(x, noisy, torch.ones_like(y)) < 0.12


def test_poles_are_no_noise(uniform, normal):
    x = uniform(1, 3, 1000, 2)
    y = (x[:, 0] + x[:, 1]) / x[:, 0].log()
    assert noise_level(x, y, torch.ones_like(y)) < 1e-6
    assert noise_level(x, y, y.abs()) < 1e-6
    smooth = x[:, 0].sin() + x[:, 1]
    noisy = smooth + 0.1 * smooth.std() * normal(1000)
    assert 0.07 < noise_level(x, noisy, torch.ones_like(y)) < 0.13


def test_errors_that_are_relative_and_errors_that_are_not(uniform):
    x = uniform(0.1, 5, 1000, 2)
    y = x[:, 0] ** 3 * x[:, 1]
    assert errors_are_relative(x, y * (1 + 0.05 * normal(2, 1000)))
    assert not errors_are_relative(x, (y + 0.5 * normal(3, 1000)).clamp_min(1e-2))
    assert errors_are_relative(x[:50], y[:50])  # too few to tell


def test_small_smooth_remains_are_no_noise(uniform):
    x = uniform(0, 1, 4000, 2)
    rest = normal(4, 4000)
    assert looks_like_noise(x, rest, x.sum(dim=1))
    assert not looks_like_noise(x, rest + 0.4 * (3 * x[:, 0]).sin(), x.sum(dim=1))


@pytest.mark.parametrize("is_curve", [True, False])
def test_what_is_no_curve_of_a_monomial_takes_no_time_under_noise(is_curve, uniform, normal):
    x = uniform(0.2, 1, 3000, 2) * torch.tensor([5.0, 3.0], dtype=F64)
    truth = (x[:, 0] / x[:, 1]).sin() + 2 if is_curve else x[:, 0].log() - x[:, 1] + 2.46
    given = problem(x, truth + 0.02 * float(truth.std()) * normal(3000), noise=0.022)
    asked = []
    list(Ridge().propose(given, lambda smaller: asked.append(smaller) or []))
    assert bool(asked) == is_curve


def test_what_a_formula_of_almost_the_right_form_leaves_is_no_noise(uniform, normal):
    """A tenth of the noise: a factor x^p in the place of 1 + c·log x, wrong where the formula is large."""
    x = uniform(0.5, 3, 10_000, 2)
    formula = x[:, 0] ** 2 * x[:, 1].cos()
    wrong = formula * (x[:, 1].log() ** 2 - x[:, 1].log())
    noise = normal(10_000)
    assert looks_like_noise(x, noise, formula)
    assert not looks_like_noise(x, noise + 0.1 * wrong / wrong.std(), formula)


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1])
def test_how_far_off_a_fit_may_be_is_known(noise, uniform, normal):
    x = uniform(-1, 1, 1000, 2)
    truth = (x[:, 0] + x[:, 1]).sin() + x[:, 0].exp() * x[:, 1]
    spread = float(truth.std())
    surrogate = Surrogate(problem(x, truth + noise * spread * normal(1000), noise=noise))
    off = float((surrogate(x) - truth).abs().max()) / spread
    assert off < 3 * surrogate.off
    if noise:
        assert surrogate.off < 1.5 * noise
        assert surrogate.error > 0.9 * noise


def test_parts_under_noise_are_known_better_than_the_noise(uniform, normal):
    """The smallest curve is three times the noise: were all that the fit leaves its error, there would be none."""
    x = uniform(-2, 2, 4000, 3)
    truth = 3 * (2 * x[:, 1]).sin() + x[:, 2].exp() + 0.6 * (3 * x[:, 0]).cos()
    noise = 0.05 * float(truth.std())
    given = problem(x, truth + noise * normal(4000), noise=0.05)
    found = min(findings(Additive(), given, (Polynomials(), Curves()), depth=0), key=lambda each: each.error)
    assert float((evaluate(found.tree, x) - truth).square().mean().sqrt()) < 0.2 * noise


@pytest.mark.parametrize("rows", [60, 200, 1000])
def test_noise_looks_like_noise(rows):
    wrong = 0
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand((rows, 1 + seed % 4), generator=generator, dtype=F64)
        values = torch.randn(rows, generator=generator, dtype=F64)
        wrong += not looks_like_noise(x, values.exp() if seed % 2 else values, x.sum(dim=1))
    assert wrong <= 2
