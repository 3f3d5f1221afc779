"""Curves of a combination of inputs that no smooth fit follows: found in fresh random formulas."""

import time

import pytest
import torch

from edgewise.discovery.problem import Problem
from edgewise.discovery.solver import EXACT, findings
from edgewise.discovery.stages.combined import Combined
from edgewise.discovery.stages.curves import Curves
from edgewise.discovery.tree import Input, scaled, sum_of


def found(x, y):
    given = Problem(x, y, torch.ones_like(y), 0.0, 0.0, time.monotonic() + 60, seed=0)
    return findings(Combined(), given, (Curves(), Curves.deep()), 0)


CASES = {
    "a quotient with a pole": lambda x: x[:, 0] / x[:, 1],
    "a difference": lambda x: x[:, 2] - x[:, 0],
    "a product of sums": lambda x: (x[:, 0] + x[:, 2]) * (x[:, 2] + 1),
    "a function beside a product": lambda x: x[:, 0] * x[:, 1] + torch.exp(x[:, 1]),
    "a square beside a product": lambda x: x[:, 0] * x[:, 1] + x[:, 1] ** 2,
    "three terms": lambda x: x[:, 0] - x[:, 1] + x[:, 2] * x[:, 1],
    "three inputs": lambda x: x[:, 0] * (x[:, 1] + x[:, 2]),
}


def test_the_ratio_of_two_terms_is_found(uniform):
    x, a = uniform(-2.0, 2.0, 1000, 2), float(uniform(1.0, 2.0, 1))
    best = found(x, torch.cos(x[:, 1] * (x[:, 0] + a)))
    assert min(each.error for each in best) < EXACT


@pytest.mark.parametrize("name", CASES)
def test_a_curve_of_a_combination(name, uniform):
    x, a = uniform(-2.0, 2.0, 1000, 3), float(uniform(0.7, 1.4, 1))
    best = found(x, torch.exp(a * torch.sin(CASES[name](x))))
    assert best
    assert best[0].error < EXACT


def test_what_is_constant_but_for_the_tails_is_left_alone(monkeypatch, uniform):
    x = uniform(-2.0, 2.0, 500, 2)
    z = x[:, 0] + 0.37 * x[:, 1]
    y = torch.where(z > z.quantile(0.99), 1.0, 0.0).to(x.dtype)
    given = Problem(x, y, torch.ones_like(y), 0.1, 0.0, time.monotonic() + 60, seed=0)
    monkeypatch.setattr("edgewise.discovery.stages.combined._best", lambda _: sum_of(Input(0), scaled(Input(1), 0.37)))
    monkeypatch.setattr("edgewise.discovery.stages.combined._best_with_a_ratio", lambda _: None)
    assert list(Combined().propose(given, lambda smaller: pytest.fail(f"nothing to solve, got {smaller}"))) == []


def test_what_is_no_such_curve_is_left_alone(uniform):
    x = uniform(-2.0, 2.0, 1000, 3)
    assert found(x, torch.sin(2 * x[:, 0] * x[:, 1]) + torch.cos(2 * x[:, 2])) == []
