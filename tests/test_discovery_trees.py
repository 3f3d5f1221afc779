"""Formulas as trees, and the networks that compute them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.discovery.tree import (
    Curve,
    Input,
    Product,
    Sum,
    complexity,
    constant,
    evaluate,
    monomial,
    network_of,
    power,
    product_of,
    scaled,
    substituted,
    sum_of,
    tree_of,
)

F64 = torch.float64
INPUTS = 3
numbers = st.floats(-2, 2, allow_nan=False).map(lambda value: round(value, 3))
leaves = st.builds(Input, st.integers(0, INPUTS - 1))


def _grown(children):
    curves = st.builds(
        Curve, st.sampled_from(["sin", "x^2", "tanh", "x", "abs"]), children, numbers, numbers, numbers, numbers
    )
    several = st.lists(children, min_size=1, max_size=3)
    return curves | several.map(lambda parts: sum_of(*parts)) | several.map(lambda parts: product_of(*parts))


trees = st.recursive(leaves, _grown, max_leaves=8)


def reference(tree, row):
    """A tree by the book, for one row of numbers."""
    functions = {
        "sin": math.sin,
        "x^2": lambda u: u * u,
        "tanh": math.tanh,
        "x": lambda u: u,
        "abs": abs,
        "0": lambda u: 0.0,
    }
    match tree:
        case Input(index):
            return row[index]
        case Curve(name, child, a, b, c, d):
            return c * functions[name](a * reference(child, row) + b) + d
        case Sum(terms):
            return sum(reference(term, row) for term in terms)
        case Product(factors):
            return math.prod(reference(factor, row) for factor in factors)


@pytest.fixture
def rows(uniform):
    return uniform(-1.5, 1.5, 40, INPUTS)


@settings(max_examples=60, deadline=None)
@given(tree=trees)
def test_values_networks_and_trees_of_networks_agree(tree):
    x = 3 * torch.rand((20, INPUTS), generator=torch.Generator().manual_seed(1), dtype=F64) - 1.5
    expected = torch.tensor([reference(tree, row) for row in x.tolist()], dtype=F64)
    close = {"rtol": 1e-9, "atol": 1e-9 * (1 + float(expected.abs().max()))}
    torch.testing.assert_close(evaluate(tree, x), expected, **close)
    model = network_of(tree, x)
    torch.testing.assert_close(model(x).detach()[:, 0], expected, **close)
    torch.testing.assert_close(evaluate(tree_of(model), x), expected, **close)


@settings(max_examples=30, deadline=None)
@given(tree=trees, factor=numbers, offset=numbers)
def test_factors_and_offsets(tree, factor, offset):
    x = torch.rand((10, INPUTS), generator=torch.Generator().manual_seed(2), dtype=F64)
    expected = factor * evaluate(tree, x) + offset
    torch.testing.assert_close(evaluate(scaled(tree, factor, offset), x), expected, rtol=1e-9, atol=1e-9)


def test_curves_of_the_same_value_are_added(rows):
    tree = sum_of(Curve("sin", Input(0)), Curve("x^2", Input(0)), Curve("sin", Input(0), a=2.0), Input(0))
    x = rows[:, 0]
    expected = x.sin() + x**2 + (2 * x).sin() + x
    torch.testing.assert_close(network_of(tree, rows)(rows).detach()[:, 0], expected)


@pytest.mark.parametrize("exponent", [0, 1, 2, 5, 6, 9, 12, -1, -3, -7, 0.5, -0.5, 1.5, 1 / 3, 0.2])
def test_powers(exponent, uniform):
    x = uniform(0.5, 2, 20, 1)
    torch.testing.assert_close(evaluate(power(Input(0), exponent), x) + 0 * x[:, 0], x[:, 0] ** exponent)


@pytest.mark.parametrize("exponent", [2, 3, 6, 7, -1, -6])
def test_whole_powers_of_negative_values(exponent, uniform):
    x = uniform(-2, -0.5, 20, 1)
    torch.testing.assert_close(evaluate(power(Input(0), exponent), x), x[:, 0] ** exponent)


def test_monomials(uniform):
    x = uniform(0.5, 2, 20, 3)
    tree = monomial({0: 2.0, 2: -0.5}, factor=3.0)
    torch.testing.assert_close(evaluate(tree, x), 3 * x[:, 0] ** 2 / x[:, 2].sqrt())
    assert evaluate(monomial({}, 2.0), x).tolist() == [2.0] * 20


def test_numbers_in_sums_are_one_offset(rows):
    tree = sum_of(constant(2.0), Input(1), constant(0.5))
    assert tree == Curve("x", Input(1), d=2.5)
    assert sum_of(constant(1.0), constant(2.0)) == constant(3.0)
    assert sum_of(Sum((Input(0), Input(1))), Input(2)) == Sum((Input(0), Input(1), Input(2)))
    assert product_of(Product((Input(0), Input(1))), Input(2)) == Product((Input(0), Input(1), Input(2)))
    assert product_of(Input(0)) == Input(0)


def test_other_trees_in_place_of_inputs(rows):
    tree = sum_of(Curve("sin", Input(0)), product_of(Input(0), Input(1)))
    moved = substituted(tree, {0: sum_of(Input(1), Input(2)), 1: Curve("x^2", Input(0))})
    z = rows[:, 1] + rows[:, 2]
    torch.testing.assert_close(evaluate(moved, rows), z.sin() + z * rows[:, 0] ** 2)


def test_simpler_formulas_are_less_complex():
    plain = Curve("sin", Input(0))
    assert complexity(plain) < complexity(Curve("sin", Input(0), a=2.0)) < complexity(sum_of(plain, Input(1)))
    assert complexity(constant(1.0)) < complexity(plain)


def test_an_input_is_a_network(rows):
    torch.testing.assert_close(network_of(Input(1), rows)(rows).detach()[:, 0], rows[:, 1])


def test_a_constant_is_a_network(rows):
    assert network_of(constant(2.5), rows)(rows).flatten().tolist() == [2.5] * len(rows)


def test_numbers_and_straight_lines_are_no_nodes(rows):
    assert product_of(constant(2.0), Input(0), constant(3.0)) == Curve("x", Input(0), c=6.0)
    assert product_of(constant(2.0), constant(3.0)) == constant(6.0)
    scaled_input = {0: Curve("x", Input(0), c=0.5, d=1.0)}
    assert substituted(Curve("sin", Input(0), a=2.0, b=0.1), scaled_input) == Curve("sin", Input(0), a=1.0, b=2.1)
    tree = product_of(constant(2.0), Curve("sin", Input(0)), Curve("x^2", Input(1)))
    assert network_of(tree, rows).width == [3, [0, (2,)]]
