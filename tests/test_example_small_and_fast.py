import math

import pytest
import torch
from torch import nn

import edgewise as ew
import small_and_fast as example


@pytest.fixture(scope="module")
def data():
    return ew.create_dataset(example.target, n_var=2, seed=0)


@pytest.fixture(scope="module")
def forms(data):
    return example.network_forms(data)


def test_each_form_is_smaller_and_the_last_is_exact(data, forms):
    trained, pruned, symbolic, formula = forms
    assert trained.parameters > pruned.parameters > symbolic.parameters
    assert trained.operations > pruned.operations > symbolic.operations > formula.operations
    assert trained.rmse(data) < 2e-3
    assert pruned.rmse(data) < 2e-2  # the floor of splines on 5 intervals
    assert symbolic.rmse(data) < 1e-14
    assert formula.rmse(data) < 1e-14


def test_the_formula_of_one_row_is_the_function(forms):
    x, y = 0.3, -0.8
    value = forms[-1].evaluate_one(x, y)
    assert isinstance(value, float)
    assert value == pytest.approx(math.exp(math.sin(math.pi * x) + y * y), rel=1e-14)
    assert forms[-1].operations == 5  # a square, a product with π, a sine, a sum, an exponential


def test_the_formula_is_much_faster_than_the_network_on_one_row(forms):
    with torch.no_grad():
        trained, formula = (
            example.microseconds(form.evaluate_one, *form.one_row, repeats=2) for form in (forms[0], forms[-1])
        )
    assert trained > 10 * formula  # 20 is what the full run shows; here other work may share the machine


def test_the_formula_is_faster_than_a_perceptron_on_many_rows(data, forms):
    perceptron = example.trained_perceptron(data, (10, 10), iterations=2, seed=0)
    x = data.test_input.repeat(10, 1)
    with torch.no_grad():
        of_formula, of_perceptron = (
            example.microseconds(form.evaluate, x, repeats=2) for form in (forms[-1], perceptron)
        )
    assert of_formula < of_perceptron


def test_operations_of_splines_and_perceptrons(data):
    # Two inputs with 4 cubic functions, 2·16 each; three edges with sums of 4 products, 2·4 each, and as many behind.
    model = ew.KAN([2, 3, 1])
    assert example.spline_operations(model) == 2 * 32 + 6 * 8 + 3 * 32 + 3 * 8
    perceptron = example.trained_perceptron(data, (5,), iterations=2, seed=0)
    assert perceptron.operations == 2 * 2 * 5 + 5 + 2 * 5
    assert perceptron.parameters == 3 * 5 + 6


def test_the_smallest_perceptron_that_is_accurate_enough_is_taken(data, monkeypatch):
    monkeypatch.setattr(example, "LADDER", [(2,), (5,), (10,)])
    small = example.trained_perceptron(data, (2,), iterations=30, seed=0).rmse(data)
    first = example.equal_perceptron(data, 1.01 * small, iterations=30)
    assert first.name == "perceptron [2, 2, 1]"
    best = example.equal_perceptron(data, 0.0, iterations=30)
    assert best.rmse(data) < small


def test_a_perceptron_is_trained_without_touching_the_global_seed(data):
    before = torch.random.get_rng_state()
    example.trained_perceptron(data, (3,), iterations=1, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_parameters_are_those_of_the_module():
    form = example.Form.of_module("linear", nn.Linear(2, 1, dtype=torch.float64), 4)
    assert form.parameters == 3
    assert form.evaluate_one(*form.one_row).shape == (1, 1)
