"""Jumps and kinks at fresh random places: found, named and placed."""

import time

import pytest
import torch

from edgewise import discover
from edgewise.discovery.problem import Problem
from edgewise.discovery.solver import EXACT, findings
from edgewise.discovery.stages.breaks import Breaks
from edgewise.discovery.stages.polynomials import Polynomials
from edgewise.discovery.tree import Curve, Input, evaluate, power

F64 = torch.float64


def problem(x, y, noise=0.0):
    return Problem(x, y, torch.ones_like(y), noise, 0.0, time.monotonic() + 60, seed=0)


def found(given):
    """The formula of least error."""
    best = findings(Breaks(), given, (Polynomials(), Breaks()), 0)
    return min(best, key=lambda each: each.error, default=None)


CASES = {
    "a kink": lambda a, x: 2 * (x[:, 0] - a).abs() + x[:, 1] ** 2,
    "a kink times a curve": lambda a, x: x[:, 1] ** 3 * (x[:, 0] - a).abs() - x[:, 0],
    "a change of sign": lambda a, x: x[:, 1] * torch.sign(x[:, 0] - a),
    "a step": lambda a, x: (x[:, 2] > a) * x[:, 1] + x[:, 0],
    "the larger one": lambda a, x: torch.maximum(x[:, 0] + a, x[:, 1]),
    "a fold": lambda a, x: (x[:, 1] + x[:, 2] - a).abs() - x[:, 0] * x[:, 2],
}


@pytest.mark.parametrize("name", CASES)
def test_breaks_are_found(name, uniform):
    x, a = uniform(-2.0, 2.0, 800, 3), float(uniform(-1.0, 1.0, 1))
    best = found(problem(x, CASES[name](a, x)))
    assert best is not None
    assert best.error < EXACT
    fresh = uniform(-2.0, 2.0, 3000, 3)
    off = (evaluate(best.tree, fresh) - CASES[name](a, fresh)).abs() > 1e-6
    assert float(off.to(F64).mean()) < 4 / 800  # a jump can be anywhere between two rows


@pytest.mark.parametrize("place", [-1.88, 1.9])
def test_breaks_near_the_end_of_the_rows(place, uniform):
    x = uniform(-2.0, 2.0, 2000, 2)
    best = found(problem(x, x[:, 1] ** 2 + 3 * torch.sign(x[:, 0] - place)))
    assert best is not None
    assert best.error < EXACT


@pytest.mark.parametrize("name", ["a kink", "a change of sign", "a step"])
def test_breaks_are_found_under_noise(name, uniform, normal):
    x, a = uniform(-2.0, 2.0, 800, 3), float(uniform(-1.0, 1.0, 1))
    y = CASES[name](a, x)
    noise = 0.01 * float(y.std())
    best = found(problem(x, y + noise * normal(800), 0.01))
    fresh = uniform(-2.0, 2.0, 3000, 3)
    assert best is not None
    assert float((evaluate(best.tree, fresh) - CASES[name](a, fresh)).abs().median()) < noise


def test_two_breaks_of_which_one_is_sharper(uniform):
    x = uniform(-2.0, 2.0, 1000, 2)
    a, b = uniform(-1.0, 1.0, 2).tolist()
    best = found(problem(x, torch.sign(x[:, 0] - a) * 3 + (x[:, 1] - b).abs()))
    assert best is not None
    assert best.error < EXACT


def test_smooth_functions_are_not_cut(uniform):
    x, a = uniform(-2.0, 2.0, 600, 3), float(uniform(2.0, 4.0, 1))
    for y in (torch.sin(a * x.prod(dim=1)), 1 / (0.1 + x[:, 0] ** 2 + x[:, 1] ** 2), torch.exp(x[:, 0]) * x[:, 1]):
        assert list(Breaks().propose(problem(x, y), lambda smaller: pytest.fail(f"cut: {smaller}"))) == []


def test_a_side_whose_formula_has_no_values_on_the_other(uniform):
    x = uniform(-2.0, 2.0, 800, 2)
    y = torch.where(x[:, 0] > 0, torch.sqrt(x[:, 0].clamp_min(0)), x[:, 1] - 3)

    def root(smaller):
        return [Curve("sqrt", Input(0))]

    assert list(Breaks().propose(problem(x, y), root)) == []


def test_places_of_jumps_are_simple_numbers(uniform):
    x = uniform(-2.0, 2.0, 500, 2)
    y = x[:, 1] * torch.sign(x[:, 0] - 0.3)
    formula = discover(x, y, names=["u", "v"], max_time=30).formula
    assert str(formula) in {"v*sign(u - 3/10)", "v*sign(u - 0.3)"}


def test_any_whole_exponent_has_a_tree():
    x = torch.tensor([[1.5]], dtype=F64)
    for exponent in (7.0, -13.0, 30.0):
        assert float(evaluate(power(Input(0), exponent), x)) == pytest.approx(1.5**exponent)
    assert float(evaluate(power(Input(0), -1e20), x)) == 0.0
