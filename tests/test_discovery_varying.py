"""Coefficients that vary with an input, functions times quotients, inverses: fresh random formulas of each kind."""

import itertools
import math
import time
from dataclasses import replace

import pytest
import torch

from edgewise.discovery.problem import Problem
from edgewise.discovery.rules import Rules
from edgewise.discovery.solver import EXACT, STAGES, findings, solve
from edgewise.discovery.stages.factored_quotients import FactoredQuotients
from edgewise.discovery.stages.inverse import Inverse
from edgewise.discovery.stages.polynomials import Quotients
from edgewise.discovery.stages.ridge import Ridge
from edgewise.discovery.stages.surrounded_quotients import SurroundedQuotients
from edgewise.discovery.stages.varying import Varying
from edgewise.discovery.tree import Input, complexity, evaluate, inputs_in

F64 = torch.float64


def problem(x, y, noise=0.0):
    return Problem(x, y, torch.ones_like(y), noise, 0.0, time.monotonic() + 60, seed=0)


def proposals(stage, given):
    """What a stage proposes, smaller problems solved as usual."""
    return stage.propose(given, lambda smaller: [each.tree for each in solve(smaller, depth=1)])


def least_error(stage, given):
    """That of the stage's findings, the best of them with their constants fitted together."""
    return min((each.error for each in findings(stage, given, STAGES, depth=0)), default=math.inf)


@pytest.fixture
def factor(uniform):
    """A random number near 1."""
    return float(uniform(0.5, 1.5, 1, 1))


VARYING = {
    "one function": lambda a, x: (a * x[:, 0]).sin() + x[:, 0].exp() / (x[:, 1] * x[:, 2]),
    "every other input": lambda a, x: a - (x[:, 0] + x[:, 1]) * x[:, 0].cos() + x[:, 2] * x[:, 0].log(),
    "a square": lambda a, x: (x[:, 1] * x[:, 2] + x[:, 1] ** 2) * (x[:, 0] + a).sin(),
    "a pole of several inputs": lambda a, x: a * x[:, 0] / (x[:, 0] - x[:, 1]) + (2 * x[:, 0]).sin(),
    "a constant coefficient": lambda a, x: (x[:, 2] + a).log() + a * (x[:, 0] * x[:, 1]).sqrt(),
}


@pytest.mark.parametrize("name", VARYING)
def test_coefficients_that_vary_with_an_input(name, uniform, factor):
    x = uniform(0.5, 3, 900, 3)
    assert least_error(Varying(), problem(x, VARYING[name](factor, x))) < EXACT


def test_coefficients_with_a_pole_where_their_input_is_zero(uniform, factor):
    x = uniform(-2, 2, 900, 3)
    y = x[:, 1] * x[:, 0].cos() + factor * x[:, 2] / x[:, 0]
    assert least_error(Varying(), problem(x, y)) < EXACT


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_coefficients_in_spite_of_noise(noise, uniform, normal, factor):
    x = uniform(1, 4, 5000, 2)
    y = 3 * factor * x[:, 1].sin() / (x[:, 0] + 2.5)
    sigma = noise * float(y.std())
    given = problem(x, y + sigma * normal(5000), noise=noise)
    off = [float((evaluate(tree, x) - y).square().mean().sqrt()) for tree in proposals(Varying(), given)]
    assert min(off) < sigma / 5


def test_what_has_no_such_coefficients_is_left_alone(uniform, normal):
    x = uniform(0.5, 3, 900, 3)
    deep = (x[:, 0] * x[:, 1] + x[:, 2].exp()).sin() * (x[:, 0] + x[:, 1] * x[:, 2]).log()
    for y in (normal(900), deep):
        assert list(proposals(Varying(), problem(x, y))) == []
    assert list(proposals(Varying(), problem(x[:, :1], x[:, 0].exp()))) == []  # there is nothing beside the input


def test_constant_columns_have_no_coefficients(uniform, factor):
    x = torch.cat([torch.full((900, 1), 2.0, dtype=F64), uniform(0.5, 3, 900, 2)], dim=1)
    given = problem(x, factor * x[:, 1].sin() * x[:, 2] + x[:, 1])
    trees = list(proposals(Varying(), given))
    assert min(given.error(tree) for tree in trees) < EXACT
    assert all(inputs_in(tree) <= {1, 2} for tree in trees)


FACTORED = {
    "above": lambda a, x: x[:, 0].exp() * x[:, 1] / (x[:, 2] * (x[:, 0] + a * x[:, 2] ** 2)),
    "below": lambda a, x: (x[:, 0] + x[:, 1]) / ((x[:, 0] * x[:, 2] + a) * x[:, 1].sin()),
    "a root": lambda a, x: x[:, 0].sqrt() / ((x[:, 0] + x[:, 1]) * (x[:, 1] * x[:, 2] - a)),
    "two functions": lambda a, x: (a * x[:, 0] + x[:, 1]) * x[:, 1].log() * x[:, 2].exp() / (x[:, 0] + x[:, 2]),
}


@pytest.mark.parametrize("name", FACTORED)
def test_a_function_times_a_quotient(name, uniform, factor):
    x = uniform(0.6, 2.8, 900, 3)
    y = FACTORED[name](factor, x)
    assert least_error(FactoredQuotients(), problem(x, y)) < EXACT
    assert least_error(FactoredQuotients(), problem(x, y, noise=0.5)) < EXACT  # poles may pass for noise


def test_zeros_are_no_hindrance_to_a_function_times_a_quotient(uniform, factor):
    x = uniform(-1, 2, 900, 2)
    x[::7, 1] = 0.0
    y = x[:, 0].exp() * x[:, 1] / (x[:, 0] ** 2 + factor)
    assert least_error(FactoredQuotients(), problem(x, y)) < EXACT
    assert list(FactoredQuotients().propose(problem(x, 0 * y), lambda smaller: [])) == []


def test_what_is_no_function_times_a_quotient_is_left_alone(uniform, normal):
    x = uniform(0.5, 3, 800, 2)
    for y in (normal(800), (x[:, 0] * x[:, 1] ** 1.5).sin()):
        assert list(FactoredQuotients().propose(problem(x, y), lambda smaller: [])) == []


PAIRS = {
    "one above, one below": lambda a, x: (x[:, 0] + a * x[:, 2].cos()) / (x[:, 1] * x[:, 2] + x[:, 0].exp()),
    "both above": lambda a, x: (x[:, 0].sin() + a * x[:, 1].log()) / (x[:, 0] + x[:, 2]),
    "both below": lambda a, x: (x[:, 2] + a) / (x[:, 0].exp() + x[:, 1].sqrt() + x[:, 2]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_quotients_around_two_functions(name, uniform, factor):
    x = uniform(0.6, 2.8, 900, 3)
    assert least_error(SurroundedQuotients(), problem(x, PAIRS[name](factor, x))) < EXACT


def test_a_target_with_poles_is_inverted(uniform, factor):
    x = uniform(-1, 2, 900, 3)
    x[:, 0] = uniform(0.5, 2, 900)
    y = x[:, 0] ** 2 / ((x[:, 1] + 3.5) * (2 * x[:, 2] + factor).cos())
    given = problem(x, y, noise=0.9)  # as poles pass for noise
    assert given.has_poles
    assert least_error(Inverse(), given) < EXACT
    forbidden = replace(given, rules=Rules(frozenset({"1/x"})))
    assert list(Inverse().propose(forbidden, lambda smaller: [Input(0)])) == []


def test_a_target_without_poles_is_not_inverted(uniform):
    x = uniform(-1, 1, 900, 1)[:, 0]
    for y in (x, x.sin() + 3, (20 * x).exp(), torch.zeros(900, dtype=F64)):
        assert not problem(x.unsqueeze(1), y).has_poles


def with_noise(y, share, normal):
    """Errors that are a share of the root mean square of the target."""
    sigma = share * float(y.square().mean().sqrt())
    return y + sigma * normal(len(y)), sigma / float(y.std(correction=0))


def test_poles_are_found_where_noise_hides_all_but_the_rows_next_to_them(uniform, normal, factor):
    """The root mean square is that of few rows: most of the others are nothing but noise."""
    x = uniform(-2, 2, 10_000, 3)
    x[:, 2] = 1.5 + 0.5 * x[:, 2]
    truth = x[:, 1] / (x[:, 0] * (factor - x[:, 2]))
    y, noise = with_noise(truth, 0.01, normal)
    given = problem(x, y, noise=noise)
    best = min(findings(Inverse(), given, STAGES, depth=0), key=lambda each: each.error)
    assert best.error < 1.05 * noise
    assert float((evaluate(best.tree, x) - truth).square().mean().sqrt()) < 0.3 * noise * given.spread
    without = replace(given, rules=Rules(frozenset({"1/x"})))
    assert list(Inverse().propose(without, lambda smaller: pytest.fail("1/x is forbidden"))) == []


def test_what_has_no_poles_is_not_inverted(uniform, normal):
    x = uniform(0.5, 3, 3000, 2)
    for truth in (x[:, 0].sin() * x[:, 1], (-(x[:, 0] ** 2)).exp(), 5 * normal(3000)):
        y, noise = with_noise(truth, 0.01, normal)
        assert list(Inverse().propose(problem(x, y, noise=noise), lambda smaller: pytest.fail("no poles"))) == []
    few = torch.zeros(3000, dtype=F64)
    few[:50] = 1e6  # large values, too few to say anything of
    assert list(Inverse().propose(problem(x, few + normal(3000), noise=0.01), lambda smaller: pytest.fail("few"))) == []


# ------------------------------------------------------------------------------------------------ tables of all kinds

STAGES_HERE = (Varying(), FactoredQuotients(), SurroundedQuotients(), Inverse())


@pytest.mark.parametrize("stage", STAGES_HERE, ids=lambda stage: stage.name)
@pytest.mark.parametrize("name", ["one of two", "mostly zero", "tiny", "huge", "one row", "two alike", "few values"])
def test_tables_that_are_hard_to_divide_by(stage, name, uniform):
    x = uniform(0.5, 3, 400, 2)
    y = x[:, 0].exp() * x[:, 1] / (x[:, 0] + x[:, 1])
    if name == "one of two":
        x[:, 0] = (x[:, 0] > 1.5).double()
        x[:, 1] = 1 - x[:, 0]
    elif name == "mostly zero":
        y = (x[:, 0] - 2).clamp_min(0) * x[:, 1].sin()
    elif name == "tiny":
        y = (-(9 * x[:, 0] ** 2)).exp() * x[:, 1]
        y[:5] = 5e-324
    elif name == "huge":
        x, y = 1e155 * x, 1e300 * y
    elif name == "one row":
        x, y = x[:1], y[:1]
    elif name == "few values":
        x = (2 * x).round() / 2
        y = uniform(1, 2, 400)
    elif name == "two alike":
        x[:, 1] = x[:, 0]
    given = problem(x, y)
    for tree in itertools.islice(stage.propose(given, lambda smaller: [Input(0)]), 20):
        assert evaluate(tree, x).shape in {(len(x),), ()}


@pytest.mark.parametrize("values", [2, 3, 4])
def test_inputs_of_few_values_are_no_quotients(values, uniform, normal):
    x = (uniform(0, 1, 400, 1) * values).floor() + 1
    for y in (normal(400), x[:, 0] + normal(400)):
        for stage in (FactoredQuotients(), SurroundedQuotients(), Quotients()):
            assert all(evaluate(tree, x).isfinite().all() for tree in stage.propose(problem(x, y), lambda smaller: []))


def test_rows_without_a_value_of_a_term_are_left_out(uniform, factor):
    x = uniform(0.5, 3, 5000, 2)
    x[4999] = -0.5  # after all rows that the terms are chosen by
    x[4998, 0] = 0.0
    y = (factor * x[:, 0]).sin() * x[:, 1].abs().log() + x[:, 0]
    given = problem(x, y + 1e-3 * torch.randn(5000, generator=torch.Generator().manual_seed(0), dtype=F64), noise=1e-3)
    assert list(itertools.islice(proposals(Varying(), given), 3))


def test_the_order_of_rows_does_not_matter(uniform, factor):
    x = uniform(0.5, 3, 900, 3)
    x[:, 2] = (x[:, 2] > 1.2).double()
    x = x[x[:, 2].argsort(stable=True)]
    y = x[:, 0].exp() * x[:, 1].log() + factor * x[:, 2] * x[:, 0].sin()
    assert least_error(Varying(), problem(x, y)) < EXACT


def test_one_function_is_not_written_as_two(uniform, factor):
    x = uniform(0.5, 3, 900, 2)
    given = problem(x, (x[:, 0] + factor) / (x[:, 1] + x[:, 0].log()))
    exact = [tree for tree in proposals(SurroundedQuotients(), given) if given.error(tree) < EXACT]
    assert min(map(complexity, exact)) <= 14
    assert complexity(exact[0]) <= 14


@pytest.mark.parametrize("rows", [120, 1000])
def test_a_curve_of_a_monomial_from_few_rows(rows, uniform):
    x = uniform(1, 3, rows, 2)
    given = problem(x, x[:, 0] * (2 * x[:, 0] * x[:, 1]).sin())
    asked = []
    list(Ridge().propose(given, lambda smaller: asked.append(smaller) or []))
    z = x[:, 0] * x[:, 1]
    assert any(float(torch.corrcoef(torch.stack([smaller.x[:, 0], z]))[0, 1].abs()) > 0.999 for smaller in asked)


def test_the_inverse_has_no_units_of_its_own(uniform):
    x = uniform(-1, 1, 300, 2)
    given = problem(x, 1 / (x[:, 0] + 2 * x[:, 1]).clamp_min(1e-3))
    limited = replace(given, rules=Rules(most_complex=3))
    asked = []
    list(Inverse().propose(limited, lambda smaller: asked.append(smaller) or []))
    assert [smaller.rules.most_complex for smaller in asked] == [math.inf]
