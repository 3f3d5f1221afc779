"""Which columns are taken by their logarithm."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise import datasets
from edgewise.data import column_transforms, read_table, spans_decades
from edgewise.errors import ShapeError


def uniform(low, high, count=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("count", [5, 20, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_log_uniform_columns_span_decades_and_uniform_ones_do_not(count, seed):
    assert spans_decades(10 ** uniform(0, 5, count, seed))
    assert not spans_decades(uniform(1e-6, 1, count, seed))
    assert not spans_decades(uniform(1, 90, count, seed))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 10.0, 100.0], True),
        ([1.0, 10.0, 99.9], False),  # less than two decades
        ([0.0, 10.0, 1000.0], False),
        ([-1.0, 10.0, 1000.0], False),
        ([1.0, float("inf"), 1000.0], False),
        ([1.0, float("nan"), 1000.0], False),
        ([5.0, 5.0, 5.0], False),
        ([7.0], False),
        ([], False),
        ([5e-324, 1.0, 1e308], True),  # the ratio overflows
        ([1.0, 1.0, 2.0, 1e6], True),
        ([1.0, 1.0, 1.0, 1e6], False),  # two values are as uneven either way
    ],
)
def test_edges_of_the_rule(values, expected):
    assert spans_decades(torch.tensor(values, dtype=torch.float64)) is expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_the_order_does_not_matter(values, random):
    shuffled = random.sample(values, len(values))
    first, second = (spans_decades(torch.tensor(order, dtype=torch.float64)) for order in (values, shuffled))
    assert first == second


@pytest.mark.parametrize("unit", [1e-30, 1e-3, 0.3048, 1.98847e30])
def test_units_do_not_matter(unit):
    assert spans_decades(10 ** uniform(0, 4) * unit)
    assert not spans_decades(uniform(0.001, 1) * unit)


def test_orbits_are_taken_by_their_logarithms():
    data = read_table(datasets.path("orbits"), target="period_days", test_fraction=0)
    assert column_transforms(data.train_input) == ("log", "log")
    assert column_transforms(data.train_target) == ("log",)


def test_yacht_hulls_are_taken_as_they_are():
    data = read_table(datasets.path("yacht"), target="residuary_resistance", test_fraction=0)
    assert column_transforms(data.train_input) == ("x",) * 6


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match=r"shape \(2, 2\), expected \(N,\)"):
        spans_decades(torch.ones(2, 2))
    with pytest.raises(ShapeError, match=r"shape \(2,\), expected \(N, d\)"):
        column_transforms(torch.ones(2))
