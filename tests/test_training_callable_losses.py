"""Losses of one's own: one number, or residual rows, also of differential equations."""

import math

import pytest
import torch

from edgewise.basis import BSpline, Chebyshev
from edgewise.errors import OptionError
from edgewise.kan import KAN
from edgewise.training import LBFGS, LevenbergMarquardt, fit

F64 = torch.float64
TIMES = torch.linspace(0, 1, 30, dtype=F64)[:, None]


def decay(model, times):
    """Rows of u' + u = 0 with u(0) = 1, whose solution is exp(−t)."""
    times = times.clone().requires_grad_()
    u = model(times)
    (slope,) = torch.autograd.grad(u.sum(), times, create_graph=True)
    start = model(torch.zeros(1, 1, dtype=F64)) - 1
    return torch.cat([(slope + u).flatten(), 10 * start.flatten()])


@pytest.mark.parametrize(
    ("width", "basis", "solver", "steps", "bound"),
    [
        ([1, 1], BSpline(6, 5), LevenbergMarquardt(), 15, 1e-8),
        ([1, 1], Chebyshev(8), LevenbergMarquardt(), 15, 1e-8),
        ([1, 2, 1], BSpline(3, 5), LevenbergMarquardt(), 60, 1e-4),
        ([1, [1, 1], 1], BSpline(3, 4), "auto", 30, 1e-3),
        ([1, 1], BSpline(2, 3), LBFGS(), 100, 1e-2),
    ],
    ids=["splines", "chebyshev", "two layers", "product node", "lbfgs"],
)
def test_a_differential_equation_without_targets(width, basis, solver, steps, bound):
    model = KAN(width, basis=basis, domain=(0.0, 1.0), seed=0)
    history = fit(model, TIMES, loss=decay, solver=solver, steps=steps)
    torch.testing.assert_close(model(TIMES), (-TIMES).exp(), rtol=0, atol=bound)
    assert history.last["train_loss"] == pytest.approx(float(decay(model, TIMES).square().mean().detach()), rel=1e-6)


def test_an_equation_of_second_order():
    # u'' = −π² sin πx with u(0) = u(1) = 0: sin πx.
    def poisson(model, x):
        x = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
        ends = model(torch.tensor([[0.0], [1.0]], dtype=F64))
        return torch.cat([(second + math.pi**2 * (math.pi * x).sin()).flatten(), 30 * ends.flatten()])

    model = KAN([1, 1], basis=BSpline(8, 5), domain=(0.0, 1.0), seed=0)
    fit(model, TIMES, loss=poisson, solver="lm", steps=10)
    torch.testing.assert_close(model(TIMES), (math.pi * TIMES).sin(), rtol=0, atol=1e-6)


def test_inputs_may_be_marked_in_place():
    def marked(model, times):
        times.requires_grad_()
        u = model(times)
        (slope,) = torch.autograd.grad(u.sum(), times, create_graph=True)
        return torch.cat([(slope + u).flatten(), 10 * (model(0 * times[:1].detach()) - 1).flatten()])

    model = KAN([1, 1], basis=BSpline(4, 4), domain=(0.0, 1.0), seed=0)
    fit(model, TIMES.clone(), loss=marked, steps=12)
    torch.testing.assert_close(model(TIMES), (-TIMES).exp(), rtol=0, atol=1e-5)
    assert not model.sample.requires_grad


def test_rows_reach_the_same_minimum_as_the_mean_squared_error(uniform):
    x = uniform(-1, 1, 50, 2)
    y = x[:, :1].exp() - x[:, 1:]
    outputs = []
    for loss in ("mse", lambda model, batch: (model(batch[0]) - batch[1]).flatten()):
        model = KAN([2, 1], basis=BSpline(3, 3), seed=0)
        fit(model, x, y, loss=loss, solver="lm", steps=12)
        outputs.append(model(x).detach())
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-8)


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "adam"])
def test_one_number_is_minimised(solver, uniform):
    x = uniform(-1, 1, 50, 1)

    def absolute(model, batch):
        return ((model(batch[0]) - batch[1]).square() + 1e-4).sqrt().mean()

    model = KAN([1, 1], basis=BSpline(3, 3), seed=0)
    history = fit(model, x, x.square(), loss=absolute, solver=solver, steps=60)
    assert history.last["train_loss"] < 0.6 * history.rows[0]["train_loss"]
    assert history.last["train_loss"] == pytest.approx(float(absolute(model, (x, x.square())).detach()), rel=0.2)


def test_levenberg_marquardt_needs_rows(uniform):
    x = uniform(-1, 1, 20, 1)
    with pytest.raises(OptionError, match="needs residual rows: return a 1-d tensor from the loss, or use solver="):
        fit(KAN([1, 1], seed=0), x, x, loss=lambda model, batch: model(batch[0]).mean(), solver="lm")


@pytest.mark.parametrize("solver", ["auto", "lm", "lbfgs", "adam"])
def test_results_of_another_shape_are_refused(solver, uniform):
    x = uniform(-1, 1, 20, 1)
    with pytest.raises(OptionError, match=r"0-d tensor or 1-d residual rows, got \(20, 1\)"):
        fit(KAN([1, 1], seed=0), x, x, loss=lambda model, batch: model(batch[0]) - batch[1], solver=solver)


def test_targets_of_any_shape_reach_the_loss(uniform):
    x, y = uniform(-1, 1, 20, 1), uniform(-1, 1, 20, 3)
    seen = []

    def loss(model, batch):
        seen.append(batch[1])
        return model(batch[0]).flatten() - batch[1].sum(dim=1)

    fit(KAN([1, 1], seed=0), x, y, loss=loss, steps=1)
    assert torch.equal(seen[0], y)


def test_validation_with_a_loss_of_ones_own():
    model = KAN([1, 1], basis=BSpline(4, 4), domain=(0.0, 1.0), seed=0)
    history = fit(model, TIMES, loss=decay, validation=TIMES[1::2] - 0.01, steps=8)
    wanted = float(decay(model, TIMES[1::2] - 0.01).square().mean().detach())
    assert min(history.to_dict()["validation_loss"]) == pytest.approx(wanted)


def test_batches_of_rows(uniform):
    sizes = set()

    def loss(model, batch):
        sizes.add(len(batch[0]))
        return (model(batch[0]) - batch[1]).flatten()

    x = uniform(-1, 1, 25, 1)
    history = fit(KAN([1, 1], seed=0), x, x, loss=loss, batch=10, steps=3)
    assert sizes >= {25, 10, 5}
    assert history.last["train_loss"] >= 0
