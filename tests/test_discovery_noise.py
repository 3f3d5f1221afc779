"""How large the noise of a table is: replicates, and when they end a search."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgewise import discover
from edgewise.discovery.noise import pure_error, with_judged_noise
from edgewise.discovery.problem import Problem
from edgewise.discovery.solver import Finding, is_noise
from edgewise.discovery.surrogate import noise_level
from edgewise.discovery.tree import monomial

F64 = torch.float64


def problem_of(x, y):
    return Problem(x, y, torch.ones_like(y), 0.0, 0.0, time.monotonic() + 60, 0)


@pytest.mark.parametrize("inputs", [1, 3])
def test_pure_error_is_that_of_an_analysis_of_variance(inputs, uniform, normal):
    repeats = [4, 2, 1, 7, 3]
    settings_of = uniform(-1, 1, len(repeats), inputs)
    x = torch.cat([row.expand(count, inputs) for row, count in zip(settings_of, repeats, strict=True)])
    y = x.sum(dim=1) + 0.3 * normal(len(x))
    shuffled = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    found = pure_error(x[shuffled], y[shuffled], torch.ones_like(y))

    groups = [group.numpy() for group in y.split(repeats)]
    assert found.freedom == sum(repeats) - len(repeats)
    # SciPy gives the F statistic alone: between groups over within them.
    grand = float(y.mean())
    between = sum(len(group) * (group.mean() - grand) ** 2 for group in groups) / (len(groups) - 1)
    assert found.size**2 == pytest.approx(between / stats.f_oneway(*groups).statistic, rel=1e-10)


@settings(deadline=None, max_examples=30)
@given(
    factor=st.floats(1e-9, 1e9),
    shift=st.floats(-1e3, 1e3),
    counts=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    seed=st.integers(0, 10_000),
)
def test_pure_error_follows_units_and_not_the_formula(factor, shift, counts, seed):
    generator = torch.Generator().manual_seed(seed)
    place = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    noise = torch.randn(len(place), generator=generator, dtype=F64)
    x = place.to(F64).unsqueeze(1)
    plain = pure_error(x, noise, torch.ones_like(noise))
    law = shift * (3 * x[:, 0]).sin()
    moved = pure_error(x, factor * (noise + law), torch.ones_like(noise))
    assert plain.freedom == moved.freedom == sum(counts) - len(counts)
    assert moved.size == pytest.approx(factor * plain.size, rel=1e-6)


def test_pure_error_in_units_of_errors_that_differ(uniform, normal):
    """Weighted least squares of one mean per setting is the reference."""
    place = torch.arange(60) % 20
    x = uniform(0, 1, 20, 2)[place]
    scale = 0.5 + uniform(0, 2, 60)
    y = 5 * place + 0.1 * scale * normal(60)
    found = pure_error(x, y, scale)
    design = np.eye(20)[place.numpy()] / scale.numpy()[:, None]
    left = np.linalg.lstsq(design, (y / scale).numpy(), rcond=None)[1]
    assert found.freedom == 40
    assert found.size == pytest.approx(float(np.sqrt(left[0] / 40)), rel=1e-9)


def test_copies_of_rows_are_no_measurements(uniform, normal):
    x, y = uniform(0, 1, 50, 2), normal(50)
    twice = pure_error(torch.cat([x, x]), torch.cat([y, y]), torch.ones(100, dtype=F64))
    assert (twice.size, twice.freedom) == (0.0, 0)
    zeros = torch.tensor([[0.0], [-0.0]], dtype=F64)
    assert pure_error(zeros, torch.tensor([1.0, 2.0], dtype=F64), torch.ones(2, dtype=F64)).freedom == 1


def test_replicates_tell_the_noise_where_no_smooth_fit_does(uniform, normal):
    """A function that jumps about between its settings: all of it would pass for noise."""
    place = torch.arange(240) // 4
    x, y = uniform(0, 1, 60, 2)[place], normal(60)[place] + 0.05 * normal(240)
    problem = problem_of(x, y)
    judged = with_judged_noise(problem)
    assert judged.noise_freedom == 180
    assert judged.noise == pytest.approx(0.05 / problem.spread, rel=0.2)
    assert noise_level(x, y, problem.scale) > 3 * judged.noise


def test_few_replicates_are_not_relied_on(uniform, normal):
    x = uniform(1, 2, 100, 2)
    x[:5] = x[5:10]
    y = x[:, 0] * x[:, 1] + 0.1 * normal(100)
    problem = problem_of(x, y)
    judged = with_judged_noise(problem)
    assert judged.noise_freedom == 0
    assert judged.noise == noise_level(x, y, problem.scale)


@pytest.mark.parametrize(("known", "ends"), [(0.1, True), (0.05, False)])
def test_a_formula_that_leaves_more_than_replicates_differ_by_is_not_the_end(known, ends, uniform, normal):
    x = uniform(0.5, 2, 400, 2)
    y = x[:, 0] * x[:, 1] + 0.1 * normal(400)
    problem = problem_of(x, y)
    tree = monomial({0: 1.0, 1: 1.0})
    finding = Finding(tree, problem.error(tree), "test")
    assert is_noise(finding, problem)
    assert is_noise(finding, replace(problem, noise=known / problem.spread, noise_freedom=200)) is ends


def test_what_inputs_explain_is_no_noise_however_few_replicates_tell(uniform, normal):
    x = uniform(0.5, 2, 400, 2)
    y = x[:, 0] * x[:, 1] + 0.1 * normal(400)
    problem = problem_of(x, y)
    wrong = monomial({0: 1.0})
    finding = Finding(wrong, problem.error(wrong), "test")
    assert not is_noise(finding, replace(problem, noise=finding.error, noise_freedom=10))
    assert is_noise(finding, replace(problem, noise=finding.error, noise_freedom=math.inf))  # its user says so


def test_a_law_behind_repeated_measurements(uniform, normal):
    place = torch.arange(300) // 5
    x = uniform(0.5, 2, 60, 2)[place]
    y = 3 * x[:, 0] ** 2 / x[:, 1] + 0.05 * normal(300)
    found = discover(x, y, names=["a", "b"], max_time=20)
    a, b = sympy.symbols("a b")
    assert sympy.simplify(found.formula * b / a**2).is_number
    assert float(found.formula.subs({a: 1, b: 1})) == pytest.approx(3, rel=0.01)


@pytest.mark.parametrize("freedom", [30, math.inf])
def test_what_is_known_of_the_noise_is_not_known_of_a_part(freedom, uniform):
    """A curve that a smooth fit gives has less noise than its table; neighbours tell how much less."""
    x = uniform(0, 1, 300, 2)
    problem = replace(problem_of(x, x[:, 0] * x[:, 1]), noise=0.2, noise_freedom=freedom)
    part = problem.part(x[:, :1], (3 * x[:, 0]).sin(), floor=0.05)
    assert part.noise_freedom == 0
    assert part.noise < 0.01
    same = problem.of_inputs(x[:, :1])  # other inputs, the same values
    assert (same.noise, same.noise_freedom) == (problem.noise, freedom)
