import itertools
import math
import time

import pytest
import torch
from matplotlib.figure import Figure

import fit_against_mlp as example

CASES = {case.name: case for case in example.toy_functions()}
Point = example.Point


@pytest.fixture(scope="module")
def comparison():
    return example.compare(CASES["exp_sin"], mlp_seconds=0.6, kan_seconds=5.0)


def test_the_kan_is_as_good_as_the_perceptron_in_less_time_than_the_sweep(comparison):
    assert comparison.kan_seconds < math.inf
    assert min(point.rmse for point in comparison.ladder) < 0.01 * comparison.perceptron.rmse


def test_the_error_falls_as_the_theorem_says(comparison):
    assert comparison.ladder[-1].rmse < 1e-5
    # The coarsest grids are not yet in the range of the theorem: between them the error falls faster.
    assert -6 < example.seen_exponent(comparison.ladder) < -3.5


def test_points_are_measured_in_the_order_of_time(comparison):
    times = [point.seconds for fit in comparison.fits for point in fit]
    assert times == sorted(times)
    assert len(comparison.fits) > 1 + example.STARTS
    alone = [point.seconds for point in comparison.perceptron.alone]
    assert all(earlier < later for earlier, later in itertools.pairwise(alone))
    assert {point.parameters for point in comparison.perceptron.alone} <= {
        point.parameters for point in comparison.perceptron.all_sizes
    }


def test_the_additive_network_comes_first_and_is_the_best_of_its_kind():
    case = CASES["mean_sin2_100d"]
    samples = case.samples(0, count=1000, tests=1000)
    additive = example.kan_points(case, samples, seconds=0.0)[0]
    assert additive[0].parameters == 100 * (example.FIRST_GRID + example.DEGREE)
    assert min(point.rmse for point in additive) < 0.5 * samples.test_y.std()


def test_the_row_says_what_was_wanted(comparison):
    row = comparison.row()
    assert row["met"] == ("yes" if row["KAN to the same, s"] <= row["it alone, s"] else "NO")
    assert row["parameters"] == comparison.ladder[-1].parameters


def test_the_picture_has_two_axes_for_each_function(comparison):
    drawing = example.picture([comparison])
    assert isinstance(drawing, Figure)
    assert [axes.get_xlabel() for axes in drawing.axes] == ["parameters", "seconds of training"]


def test_the_time_to_an_error_is_when_it_was_first_reached():
    points = [Point(1, 0.5, 1.0), Point(1, 1.0, 0.1), Point(1, 2.0, 0.3), Point(1, 3.0, 0.01)]
    assert example.seconds_to(points, 0.3) == 1.0
    assert example.seconds_to(points, 0.01) == 3.0
    assert example.seconds_to(points, 1e-3) == math.inf


def test_the_ladder_takes_the_best_of_each_size_and_ends_where_the_error_rises():
    additive = [Point(5, 0.1, 0.35)]
    fits = [
        additive,
        [Point(10, 1, 0.5), Point(10, 2, 0.4)],
        [Point(10, 3, 0.6)],
        [Point(20, 4, 0.1)],
        [Point(40, 5, 0.2)],
    ]
    perceptron = example.BestPerceptron("", 0.3, 1.0, [Point(5, 1.0, 0.3)], [Point(5, 1.0, 0.3)])
    comparison = example.Comparison(CASES["exp_sin"], fits, perceptron)
    assert comparison.ladder == [Point(10, 2, 0.4), Point(20, 4, 0.1)]
    assert comparison.kan_seconds == 4
    assert example.seen_exponent(comparison.ladder) == pytest.approx(math.log(0.1 / 0.4) / math.log(2))


def test_the_clock_stands_still_when_it_is_stopped():
    watch = example.Stopwatch()
    passed = watch.stop()
    time.sleep(0.02)
    watch.go_on()
    assert watch.stop() < passed + 0.02


def test_errors_are_those_of_the_function():
    case = CASES["product"]
    samples = case.samples(0, tests=100)
    model = example.ew.KAN([2, 1])
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    expected = ((samples.test_y - 0.5) ** 2).mean() ** 0.5
    assert example.rmse_of(model, samples, shift=0.5, spread=2.0) == pytest.approx(expected)
