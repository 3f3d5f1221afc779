"""Curves of single inputs beside terms of several: found in fresh random formulas, their constants inside included."""

import math
import time

import pytest
import torch

from edgewise.discovery.problem import Problem
from edgewise.discovery.solver import EXACT, solve
from edgewise.discovery.stages.additive import Additive
from edgewise.discovery.stages.curves import Curves
from edgewise.discovery.stages.polynomials import Polynomials
from edgewise.discovery.tree import Curve, Input, constant, inputs_in, monomial, sum_of


def unused(smaller):
    pytest.fail(f"nothing to solve, got {smaller}")


def problem(x, y, noise=0.0):
    return Problem(x, y, torch.ones_like(y), noise, 0.0, time.monotonic() + 60, seed=0)


def solved(given):
    """The error of the first good formula that is proposed, each curve named by polynomials and primitives."""

    def inner(smaller):
        return [each.tree for each in solve(smaller, depth=1, stages=(Polynomials(), Curves(), Curves.deep()))]

    return next((error for tree in Additive().propose(given, inner) if (error := given.error(tree)) < 1e-6), math.inf)


CASES = {
    "constants inside of two curves": lambda a, b, x: torch.sin(a * x[:, 0].sqrt()) + 2 * torch.sin(b / x[:, 1]),
    "curves and products": lambda a, b, x: torch.sin(2 * a * x[:, 0] + b) + x[:, 1] * (x[:, 2] - a * x[:, 0]),
    "a pole": lambda a, b, x: torch.cos(torch.sin(x[:, 1]) + b) + a / (x[:, 0] - 1),
    "under a root": lambda a, b, x: torch.sqrt(torch.exp(a * x[:, 0]) + b * x[:, 1] * x[:, 2] + x[:, 1].log() + 3),
}


@pytest.mark.parametrize("name", CASES)
def test_curves_are_told_apart_and_named(name, uniform):
    x = uniform(0.5, 3.0, 800, 3)
    a, b = uniform(0.7, 1.4, 2).tolist()
    assert solved(problem(x, CASES[name](a, b, x))) < 1e-6


def test_what_no_curves_explain_is_left_alone(uniform):
    x = uniform(0.5, 3.0, 800, 3)
    y = torch.sin(3 * x[:, 0] * x[:, 1].sqrt() + 2 * x[:, 2] ** 1.7)
    assert list(Additive().propose(problem(x, y), unused)) == []


def test_a_smooth_curve_is_no_polynomial(uniform):
    x = uniform(0.5, 3.0, 500, 1)
    y = (x[:, 0] + 1.3) * torch.exp(-x[:, 0])
    assert all(problem(x, y).error(tree) > EXACT for tree in Polynomials().propose(problem(x, y), unused))
    y = x[:, 0] ** 9 - 2 * x[:, 0] ** 4
    assert min(problem(x, y).error(tree) for tree in Polynomials().propose(problem(x, y), unused)) < EXACT


def test_the_inputs_of_a_tree():
    tree = sum_of(monomial({3: 2.0, 1: -1.0}), Curve("sin", Input(5), 2.0), constant(4.0))
    assert inputs_in(tree) == {1, 3, 5}
    assert inputs_in(constant(2.0)) == set()
