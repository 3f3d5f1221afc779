"""The estimate of what splines leave agrees with what training reaches."""

import math

import pytest
import torch

from edgewise.basis import BSpline, Chebyshev
from edgewise.data import create_dataset
from edgewise.errors import ShapeError
from edgewise.kan import KAN
from edgewise.surgery import scale_outputs
from edgewise.training.floor import spline_floor

F64 = torch.float64


def target(x):
    return torch.exp(torch.sin(torch.pi * x[:, :1]) + x[:, 1:] ** 2)


@pytest.mark.parametrize("degree", [3, 5, 7])
@pytest.mark.parametrize("seed", [0, 2])
def test_the_floor_is_what_training_reaches(degree, seed):
    data = create_dataset(target, n_var=2, train_num=1000, seed=seed)
    model = KAN([2, 1, 1], basis=BSpline(5, degree), seed=seed)
    model.fit(data, steps=60)
    for grid in (10, 20):
        model = model.refine(grid=grid)
        model.fit(data, steps=60)
        floor = spline_floor(model, data.train_input)
        reached = (model(data.train_input) - data.train_target).detach().square().mean().sqrt()
        assert 0.5 < floor / reached < 2
        # A handful of new points lie outside of all samples, in the corners, so the median and not the mean.
        new = (model(data.test_input) - data.test_target).detach().abs().median()
        assert 0.25 < floor / (new / 0.67) < 4


def test_a_model_that_has_not_converged_is_far_above_its_floor():
    data = create_dataset(target, n_var=2, train_num=1000, seed=0)
    model = KAN([2, 1, 1], basis=BSpline(5, 3), seed=0)
    model.fit(data, steps=60)
    fine = model.refine(grid=40)  # the same function, on splines that could do far better
    reached = float((fine(data.train_input) - data.train_target).detach().square().mean().sqrt())
    assert spline_floor(fine, data.train_input) < 0.2 * reached


def test_several_outputs_count_as_a_mean():
    data = create_dataset(lambda x: torch.cat([target(x), 0 * x[:, :1]], dim=1), n_var=2, train_num=1000, seed=0)
    one = KAN([2, 1, 1], basis=BSpline(10, 3), seed=0)
    one.fit(data.train_input, data.train_target[:, :1], steps=60)
    last = one.all_layers[-1]
    doubled = last.map_blocks(lambda block: block.selected(torch.tensor([0]), torch.tensor([0, 0])))
    both = one.rebuilt([one.all_layers[0], type(last).from_blocks(doubled.all_blocks(), (1, 1), 1)])
    assert spline_floor(both, data.train_input) == pytest.approx(spline_floor(one, data.train_input), rel=1e-12)
    scaled = scale_outputs(both, torch.tensor([3.0, 4.0], dtype=F64), torch.zeros(2, dtype=F64))
    assert spline_floor(scaled, data.train_input) == pytest.approx(
        math.sqrt((9 + 16) / 2) * spline_floor(one, data.train_input), rel=1e-12
    )


def test_what_splines_can_represent_has_no_floor(uniform):
    x = uniform(-1, 1, 500, 1)
    model = KAN([1, 1], basis=BSpline(8, 3), seed=0)
    model.fit(x, 1 - x + 2 * x**3, steps=30)
    assert spline_floor(model, x) < 1e-12


def test_where_there_is_nothing_to_tell(uniform):
    x = uniform(-1, 1, 500, 2)
    assert spline_floor(KAN([2, 1], basis=Chebyshev(4)), x) == 0.0
    assert math.isnan(spline_floor(KAN([2, 1], basis=BSpline(1, 3)), x))
    assert spline_floor(KAN([2, 1], basis=BSpline(20, 3)), x[:50]) == 0.0  # two or three samples a cell
    assert spline_floor(KAN([2, 1], basis=BSpline(1, 1)), x) == 0.0  # straight lines are meant to be straight
    with pytest.raises(ShapeError):
        spline_floor(KAN([2, 1]), x[:, :1])


def test_straight_lines_behind_splines_add_nothing(uniform):
    x = uniform(-1, 1, 800, 2)
    model = KAN([2, 1, 1], basis=[BSpline(6, 3), BSpline(1, 1)], seed=0)
    model.fit(x, (3 * x[:, :1]).sin() + x[:, 1:].exp(), steps=30)
    first = model.rebuilt(model.all_layers[:1])
    slope = model.edge(1, 0, 0)(torch.tensor([0.0, 1.0], dtype=F64)).detach().diff().abs().item()
    assert spline_floor(model, x) == pytest.approx(slope * spline_floor(first, x), rel=1e-9)
