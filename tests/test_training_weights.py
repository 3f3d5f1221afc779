"""Sample weights: a row of weight two is two rows, one of weight zero is none."""

import math

import numpy as np
import pytest
import torch

from edgewise.basis import BSpline
from edgewise.errors import DataError, OptionError, ShapeError
from edgewise.kan import KAN
from edgewise.training import LBFGS, Adam, CrossEntropy, LevenbergMarquardt, MeanSquaredError, Poisson, fit
from edgewise.training.objective import OutputObjective
from edgewise.training.weights import sample_weights

F64 = torch.float64
ROWS = 40
LOSSES = {"mse": MeanSquaredError(), "cross_entropy": CrossEntropy(smoothing=0.1), "poisson": Poisson()}
SOLVERS = {"lm": LevenbergMarquardt(), "lbfgs": LBFGS(), "adam": Adam()}


@pytest.fixture
def x(uniform):
    return uniform(-1, 1, ROWS, 2)


@pytest.fixture(params=LOSSES)
def case(request, x, normal, rng):
    """The name of a loss and targets for two outputs."""
    if request.param == "cross_entropy":
        return request.param, torch.randint(2, (ROWS,), generator=rng)
    rates = (x.sum(dim=1, keepdim=True) + x).exp()
    return request.param, normal(ROWS, 2) if request.param == "mse" else torch.poisson(rates, generator=rng)


@pytest.fixture
def counts(rng):
    """How often each row is there."""
    given = torch.randint(3, (ROWS,), generator=rng)
    assert set(given.tolist()) == {0, 1, 2}
    return given


def trained(x, y, loss, solver, **options):
    model = KAN([2, 2, 2], basis=BSpline(3, 3), seed=0)
    history = fit(model, x, y, loss=loss, solver=SOLVERS[solver], **options)
    return model, history


@pytest.mark.parametrize("solver", SOLVERS)
def test_weights_are_repetitions(solver, case, x, counts):
    loss, y = case
    repeated = torch.arange(ROWS).repeat_interleave(counts)
    by_weight, weighted = trained(x, y, loss, solver, weights=0.7 * counts, steps=4)
    by_copies, copied = trained(x[repeated], y[repeated], loss, solver, steps=4)
    torch.testing.assert_close(by_weight(x), by_copies(x), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(weighted.to_dict()["train_loss"], copied.to_dict()["train_loss"], rtol=1e-7)


@pytest.mark.parametrize("solver", SOLVERS)
def test_rows_of_weight_zero_are_not_there(solver, case, x):
    loss, y = case
    weights = torch.ones(ROWS)
    weights[::3] = 0
    there = weights > 0
    by_weight, _ = trained(x, y, loss, solver, weights=weights, steps=3, validation=0.3)
    removed, _ = trained(x[there], y[there], loss, solver, steps=3, validation=0.3)
    torch.testing.assert_close(by_weight(x), removed(x))
    assert torch.equal(by_weight.sample, removed.sample)


def test_linear_least_squares_with_weights(x, normal, uniform):
    y, weights = normal(ROWS, 1), uniform(0.1, 3, ROWS)
    model = KAN([2, 1], basis=BSpline(3, 2), seed=0)
    fit(model, x, y, weights=weights, solver=LevenbergMarquardt(damping=1e-12), steps=3)
    design = model.all_layers[0].all_blocks()[0].features(x).flatten(1).numpy()
    root = weights.sqrt().numpy()[:, None]
    solution = np.linalg.lstsq(root * design, root * y.numpy(), rcond=None)[0]
    np.testing.assert_allclose(model(x).detach().numpy(), design @ solution, atol=1e-9)


def test_only_ratios_matter(case, x, uniform):
    loss, y = case
    weights = uniform(0.1, 3, ROWS)
    one, _ = trained(x, y, loss, "lm", weights=weights, steps=3)
    for scale in (1e-200, 1e9):
        other, _ = trained(x, y, loss, "lm", weights=scale * weights, steps=3)
        torch.testing.assert_close(other(x), one(x), rtol=1e-6, atol=1e-7)


def test_batches_add_up_to_the_whole(case, x, uniform, network, rng):
    name, y = case
    weights = uniform(0, 3, ROWS)
    objective = OutputObjective(network([2, 2]), x, y, LOSSES[name], None, weights / weights.mean())
    batches = torch.randperm(ROWS, generator=rng).split(7)
    total = sum(len(rows) * objective.batch(rows).loss() for rows in batches) / ROWS
    torch.testing.assert_close(total, objective.loss())
    wanted = np.average(LOSSES[name].per_sample(objective.model(x), y).detach().numpy(), weights=weights.numpy())
    assert objective.value() == pytest.approx(wanted)


def test_minibatches_follow_the_weights(x):
    # Half of the rows say 1, the others 0: the constant that fits best is the share of the weights that say 1.
    y = (torch.arange(ROWS) % 2).double()
    weights = torch.where(y > 0, 3.0, 1.0)
    model = KAN([2, 1], basis=BSpline(1, 1), seed=0)
    fit(model, torch.zeros_like(x), y, weights=weights, solver=Adam(learning_rate=0.01, batch=8), steps=600)
    assert model(torch.zeros(1, 2, dtype=F64)).item() == pytest.approx(0.75, abs=0.05)


def test_held_out_rows_keep_their_weights(x, uniform):
    y, weights = x.exp().sum(dim=1, keepdim=True), uniform(0.1, 3, ROWS)
    model = KAN([2, 1], basis=BSpline(3, 3), seed=0)
    history = fit(model, x, y, weights=weights, validation=0.25, steps=1, seed=4)
    held = torch.randperm(ROWS, generator=torch.Generator().manual_seed(4))[:10]
    errors = (model(x) - y)[held, 0].square().detach().numpy()
    best = min(history, key=lambda row: row["validation_loss"])
    assert best["validation_loss"] == pytest.approx(np.average(errors, weights=weights[held].numpy()))


def test_counts_are_fitted_by_their_rates(x, rng):
    rates = (1 + torch.sin(2 * x[:, 0]) + x[:, 1]).exp()
    x, counts = x.repeat(40, 1), torch.poisson(rates.repeat(40), generator=rng)
    for solver in ("lm", "lbfgs"):
        model = KAN([2, 1], basis=BSpline(3, 3), seed=0)
        history = fit(model, x, counts, loss="poisson", solver=solver, steps=60)
        assert history.last["train_loss"] == pytest.approx(0.5, abs=0.1)  # a deviance of one per sample
        torch.testing.assert_close(model(x[:ROWS])[:, 0].exp(), rates, rtol=0.5, atol=0.3)


def test_weights_in_every_form():
    like = torch.zeros(3, 2)
    wanted = torch.tensor([0.5, 2.0, 0.0])
    for given in ([0.5, 2, 0], np.array([0.5, 2, 0]), wanted.double(), wanted):
        checked = sample_weights(given, like)
        assert checked.dtype == like.dtype
        assert torch.equal(checked, wanted)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1.0] * 39, ShapeError, r"40 rows need weights of shape \(40,\), got \(39,\)"),
        (torch.ones(ROWS, 1), ShapeError, r"got \(40, 1\)"),
        (2.0, ShapeError, r"got \(\)"),
        ([1.0] * 7 + [-1.0] + [1.0] * 32, DataError, r"that of row 7 \(counted from 0\) is -1\.0; correct it"),
        ([math.nan] + [1.0] * 39, DataError, "weights must be finite and 0 or more: that of row 0 .* is nan"),
        ([math.inf] * ROWS, DataError, "is inf"),
        ([0.0] * ROWS, DataError, "all weights are zero; at least one row must count"),
        (["a"] * ROWS, DataError, "weights are numbers of 0 or more, one per row; got list"),
    ],
)
def test_impossible_weights_are_refused(weights, error, message, x):
    with pytest.raises(error, match=message):
        fit(KAN([2, 1], seed=0), x, x[:, 0], weights=weights)


def test_a_callable_loss_weighs_its_samples_itself(x):
    with pytest.raises(OptionError, match="weights go with a named loss or a `Loss`; a callable loss multiplies its"):
        fit(KAN([2, 1], seed=0), x, loss=lambda model, batch: model(batch)[:, 0], weights=torch.ones(ROWS))
