"""`fit`: what it takes, when it ends, what it leaves behind."""

import math
import time

import numpy as np
import pytest
import torch

from edgewise.basis import BSpline
from edgewise.data import Dataset
from edgewise.errors import DataError, OptionError, ShapeError
from edgewise.kan import KAN
from edgewise.network import SAMPLE_SIZE
from edgewise.training import LBFGS, Adam, CrossEntropy, History, LevenbergMarquardt, Smoothness, Sparsity, fit

F64 = torch.float64


def target(x):
    return x[:, 0] * x[:, 1]


@pytest.fixture
def x(uniform):
    return uniform(-1, 1, 60, 2)


@pytest.fixture
def model():
    return KAN([2, 2, 1], basis=BSpline(3, 3), seed=0)


def loss_of(model, x):
    return float((model(x)[:, 0] - target(x)).square().mean().detach())


# ------------------------------------------------------------------------------------------------------------- data


def test_data_in_every_form(x):
    y = target(x)
    forms = [
        ((x, y), None),
        (x, y),
        (x, y[:, None]),
        (x.numpy(), y.numpy()),
        (x.tolist(), y.tolist()),
        ({"train_input": x, "train_target": y}, None),
        (Dataset(x, y, x[:0], y[:0]), None),
    ]
    outputs = []
    for data, also in forms:
        model = KAN([2, 1], seed=0)
        fit(model, data, also, steps=3)
        outputs.append(model(x).detach())
    for output in outputs[1:]:
        assert torch.equal(output, outputs[0])


def test_a_column_of_targets_is_never_broadcast_against_a_row(x):
    # (N,) against (N, 1) would silently become N × N residuals, whose best fit is the mean.
    model = KAN([2, 1], seed=0)
    history = fit(model, x, x.sum(dim=1), steps=20)
    assert history.last["train_loss"] < 1e-15
    torch.testing.assert_close(model(x), x.sum(dim=1, keepdim=True), rtol=0, atol=1e-7)


def test_the_model_keeps_its_precision(x):
    model = KAN([2, 1], seed=0, dtype=torch.float32)
    for solver in ("lm", "lbfgs", "adam"):
        history = fit(model, x, target(x), solver=solver, steps=3)
        assert math.isfinite(history.last["train_loss"])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.sample.dtype == torch.float32


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: (x.index_put((torch.tensor(7), torch.tensor(1)), torch.tensor(math.nan).double()), y), "row 7"),
        (lambda x, y: (x.index_put((torch.tensor(3), torch.tensor(0)), torch.tensor(math.inf).double()), y), "inf"),
        (lambda x, y: (x, y.index_put((torch.tensor(5),), torch.tensor(math.nan).double())), "train_target: row 5"),
    ],
    ids=["nan in x", "inf in x", "nan in y"],
)
def test_values_that_are_not_finite_are_refused_with_their_place(spoil, message, model, x):
    with pytest.raises(DataError, match=message):
        fit(model, *spoil(x, target(x)))


def test_nan_names_its_column(model, x):
    x[7, 1] = math.nan
    with pytest.raises(DataError, match=r"train_input: row 7 \(counted from 0\), column 'x1' is nan"):
        fit(model, x, target(x))


def test_data_that_do_not_fit_the_model_are_refused(model, x):
    with pytest.raises(ShapeError, match="the model has 2 inputs, got data with 3 columns"):
        fit(model, torch.zeros(5, 3), torch.zeros(5))
    with pytest.raises(ShapeError, match=r"the model has 1 outputs, got targets of shape \(60, 2\)"):
        fit(model, x, x)
    with pytest.raises(ShapeError, match="as many"):
        fit(model, x, torch.zeros(59))
    with pytest.raises(DataError, match=r"got no targets; pass fit\(X, y\) or a dataset with train_target"):
        fit(model, x)
    with pytest.raises(DataError, match="no rows"):
        fit(model, x[:0], target(x[:0]))


def test_class_labels(x):
    labels = (target(x) > 0).long()
    model = KAN([2, 4, 2], basis=BSpline(3, 3), seed=0)
    history = fit(model, x, labels, loss="cross_entropy", steps=25)
    assert history.last["train_loss"] < 0.1
    assert (model(x).argmax(dim=1) == labels).double().mean() > 0.95


def test_labels_and_losses_that_do_not_belong_together(x):
    labels = torch.arange(60) % 3
    with pytest.raises(ShapeError, match=r"the model has 3 outputs, got targets of shape \(60, 1\)"):
        fit(KAN([2, 3], seed=0), x, labels, loss="mse")
    with pytest.raises(ShapeError, match=r"cross_entropy takes class labels of shape \(N,\), whole numbers, got torch"):
        fit(KAN([2, 3], seed=0), x, target(x), loss="cross_entropy")
    with pytest.raises(OptionError, match="the model has 2 outputs, so labels are 0 to 1; got 0 to 2"):
        fit(KAN([2, 2], seed=0), x, labels, loss="cross_entropy")


def test_whole_numbers_are_numbers_for_the_mse(x):
    model = KAN([2, 1], seed=0)
    fit(model, x, torch.arange(60) % 3, steps=2)
    other = KAN([2, 1], seed=0)
    fit(other, x, (torch.arange(60) % 3).double(), steps=2)
    assert torch.equal(model(x), other(x))


# ---------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"solver": "newton"}, "unknown solver 'newton'; use 'auto', 'lm', 'lbfgs', 'adam' or a solver object"),
        ({"loss": "mae"}, "unknown loss 'mae'"),
        ({"batch": 8, "solver": "lm"}, "LevenbergMarquardt works on all rows at once; leave batch out or use solver="),
        ({"batch": 8, "solver": LBFGS()}, "LBFGS works on all rows at once"),
        ({"steps": -1}, "steps must be a whole number of 0 or more, got -1"),
        ({"steps": 2.5}, r"steps must be a whole number of 0 or more, got 2\.5"),
        ({"batch": 0}, "batch must be a whole number of 1 or more, got 0"),
        ({"patience": 0}, "patience must be a whole number of 1 or more, got 0"),
        ({"max_time": 0.0}, "max_time must be a positive number of seconds"),
        ({"max_time": math.nan}, "max_time must be a positive number of seconds, got nan"),
        ({"validation": 1.0}, "validation is data, or a share between 0 and 1 .* got 1.0"),
        ({"validation": 0.0}, "got 0.0"),
        ({"validation": 0.001}, "leaves some of 60 rows on both sides; got 0.001"),
        ({"validation": -0.5}, "got -0.5"),
    ],
)
def test_impossible_options_are_refused_and_nothing_changes(options, message, model, x):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(OptionError, match=message):
        fit(model, x, target(x), **options)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_auto_is_levenberg_marquardt_for_small_networks(model, x):
    assert "damping" in fit(model, x, target(x), steps=1).last


def test_auto_is_adam_where_a_batch_is_given(model, x):
    history = fit(model, x, target(x), steps=7, batch=20)
    assert "damping" not in history.last
    by_name, by_object = (KAN([2, 1], seed=0) for _ in range(2))
    fit(by_name, x, target(x), batch=20, steps=4)
    fit(by_object, x, target(x), solver=Adam(batch=20), steps=4)
    assert torch.equal(by_name(x), by_object(x))


def test_auto_is_lbfgs_where_the_loss_is_one_number_or_the_network_is_large(model, x):
    def one_number(model, batch):
        return (model(batch[0]) - batch[1]).square().mean()

    assert "damping" not in fit(model, x, target(x), loss=one_number, steps=1).last
    large = KAN([2, 30, 30, 1], basis=BSpline(3, 3), seed=0)
    assert sum(parameter.numel() for parameter in large.parameters()) > 3000
    many = x.repeat(70, 1)
    assert "damping" not in fit(large, many, target(many), steps=1).last
    assert "damping" not in fit(large, x, target(x), penalty=Smoothness(), steps=1).last


def test_auto_is_levenberg_marquardt_for_large_networks_with_few_rows(x):
    large = KAN([2, 30, 30, 1], basis=BSpline(3, 3), seed=0)
    assert "damping" in fit(large, x, target(x), steps=1).last


def test_losses_and_penalties_are_objects_too(x):
    labels = (target(x) > 0).long()
    model = KAN([2, 2], seed=0)
    history = fit(model, x, labels, loss=CrossEntropy(smoothing=0.1), penalty=Smoothness(weight=1e-4), steps=10)
    assert history.last["penalty"] > 0
    output = model(x)
    wanted = torch.nn.functional.cross_entropy(output, labels, label_smoothing=0.1)
    assert history.last["train_loss"] == pytest.approx(float(wanted.detach()))


def test_the_penalty_is_reported_beside_the_loss(model, x):
    penalty = Sparsity(l1=0.1)
    history = fit(model, x, target(x), penalty=penalty, steps=10)
    assert history.last["train_loss"] == pytest.approx(loss_of(model, x))
    assert history.last["penalty"] == pytest.approx(float(penalty(model, model.trace(x)).detach()))


def test_no_steps_change_no_parameter(model, x):
    before = model(x).detach()
    history = fit(model, x, target(x), steps=0)
    assert (len(history), history.reason, history.last) == (0, "steps", {})
    assert torch.equal(model(x), before)


# ---------------------------------------------------------------------------------------------- endings and the best


def test_it_ends_after_its_steps(model, x):
    history = fit(model, x, target(x), solver="adam", steps=4)
    assert (len(history), history.reason) == (4, "steps")


def test_it_ends_at_the_target(model, x):
    history = fit(model, x, target(x), steps=60, target=1e-3)
    assert history.reason == "target"
    assert history.last["train_loss"] <= 1e-3 < history.rows[-2]["train_loss"]
    assert loss_of(model, x) <= 1e-3


def test_the_target_is_that_of_the_validation_data_where_there_are_any(x, normal):
    model = KAN([2, 1], basis=BSpline(12, 3), seed=0)
    noise = normal(30)  # fitted by heart, so that training loss says nothing of validation loss
    held_out = (x[30:], target(x[30:]))
    history = fit(model, x[:30], noise, validation=held_out, solver="adam", batch=10, steps=60, target=0.05)
    assert history.reason == "steps"
    assert min(value for value in history.to_dict()["validation_loss"] if value is not None) > 0.05


def test_single_batches_do_not_meet_the_target(x):
    y = target(x).clone()
    y[:10] = 0.0
    y[10:] = 5.0
    model = KAN([2, 1], seed=0)
    with torch.no_grad():
        model.all_layers[0].all_blocks()[0].coefficients.zero_()  # perfect on the first ten rows
    history = fit(model, x, y, solver=Adam(learning_rate=1e-6, batch=2), steps=90, target=0.1)
    assert min(history.to_dict()["train_loss"]) < 0.1
    assert history.reason == "steps"


def test_it_ends_when_patience_is_over(x):
    model = KAN([2, 1], seed=0)
    history = fit(model, x, torch.zeros(60), solver=Adam(learning_rate=5.0), steps=100, patience=6)
    assert history.reason == "patience"
    assert 6 <= len(history) < 100


def test_it_ends_when_time_is_over(model, x):
    start = time.monotonic()
    history = fit(model, x, target(x), solver="adam", steps=100_000, max_time=0.15)
    assert history.reason == "max_time"
    assert 0.15 <= history.last["time"] < time.monotonic() - start + 1e-3 < 5


def test_it_ends_when_the_solver_has_converged(x):
    model = KAN([2, 1], seed=0)
    history = fit(model, x, x.sum(dim=1), steps=50)
    assert history.reason == "converged"
    assert len(history) < 50


def test_callbacks_see_every_step_and_may_end_it(model, x):
    seen = []

    def look(given, row):
        assert given is model
        seen.append(row)

    def stop(given, row):
        return row["step"] == 3

    history = fit(model, x, target(x), steps=20, callbacks=[stop, look])
    assert len(history) == 3
    assert seen == history.rows
    assert [row["step"] for row in seen] == [1, 2, 3]


def test_an_interrupt_keeps_the_best_parameters(model, x):
    reached = []

    def interrupt(model, row):
        reached.append(loss_of(model, x))
        if len(reached) == 5:
            with torch.no_grad():  # in the middle of a step parameters can be anything
                for parameter in model.parameters():
                    parameter.add_(100.0)
            raise KeyboardInterrupt

    history = fit(model, x, target(x), steps=50, callbacks=[interrupt])
    assert history.reason == "interrupted"
    assert len(history) == 5
    assert loss_of(model, x) == pytest.approx(min(reached))


def test_an_interrupt_within_a_step_keeps_the_best_parameters(model, x, monkeypatch):
    before = loss_of(model, x)

    def interrupted(model, batch):
        interrupted.calls += 1
        if interrupted.calls == 40:
            raise KeyboardInterrupt
        return (model(batch[0]) - batch[1]).flatten()

    interrupted.calls = 0
    history = fit(model, x, target(x), loss=interrupted, solver="lm", steps=500)
    assert history.reason == "interrupted"
    assert loss_of(model, x) < before
    assert loss_of(model, x) <= min(history.to_dict()["train_loss"]) * (1 + 1e-9)


def test_the_best_step_is_kept(x):
    model = KAN([2, 1], seed=0)
    losses = []
    fit(
        model,
        x,
        torch.ones(60),
        solver=Adam(learning_rate=1.0),
        steps=5,
        callbacks=[lambda model, row: losses.append(float((model(x) - 1).square().mean().detach()))],
    )
    assert losses[-1] > 1.5 * min(losses)  # it overshoots
    assert float((model(x) - 1).square().mean().detach()) == pytest.approx(min(losses))


def test_training_for_less_than_a_pass_over_the_data_trains(x):
    model = KAN([2, 1], seed=0)
    before = float((model(x) - 1).square().mean().detach())
    fit(model, x, torch.ones(60), solver=Adam(batch=3), steps=10)
    assert float((model(x) - 1).square().mean().detach()) < 0.9 * before


def test_stopping_within_a_pass_over_the_data_keeps_what_was_learned(x):
    model = KAN([2, 1], seed=0)
    before = float((model(x) - 1).square().mean().detach())
    history = fit(
        model,
        x,
        torch.ones(60),
        solver=Adam(batch=3),
        steps=1000,
        callbacks=[lambda model, row: row["step"] == 10],
    )
    assert len(history) == 10
    assert float((model(x) - 1).square().mean().detach()) < 0.9 * before


# ------------------------------------------------------------------------------------------------------- validation


def test_a_share_of_the_rows_is_held_out(x):
    model = KAN([2, 1], seed=0)
    seen = []

    def loss(model, batch):
        seen.append(batch[0])
        return (model(batch[0]) - batch[1]).square().mean()

    fit(model, x, target(x), loss=loss, solver="adam", validation=0.25, steps=1, seed=3)
    trained, held = (part for part in {len(part): part for part in seen}.values())
    if len(trained) < len(held):
        trained, held = held, trained
    assert (len(trained), len(held)) == (45, 15)
    rows = torch.cat([trained, held])
    assert torch.equal(rows.sort(dim=0).values, x.sort(dim=0).values)
    assert torch.equal(model.sample.sort(dim=0).values, trained.sort(dim=0).values)


def test_validation_data_of_their_own(model, x, uniform):
    other = uniform(-1, 1, 20, 2)
    history = fit(model, x, target(x), validation=(other, target(other)), steps=12)
    best = min(history, key=lambda row: row["validation_loss"])
    assert loss_of(model, other) == pytest.approx(best["validation_loss"])


def test_the_best_step_is_chosen_by_validation(x, normal):
    model = KAN([2, 1], basis=BSpline(20, 3), seed=0)
    noisy = target(x[:40]) + 0.5 * normal(40)
    history = fit(model, x[:40], noisy, validation=(x[40:], target(x[40:])), solver="adam", steps=40)
    losses = history.to_dict()["validation_loss"]
    assert loss_of(model, x[40:]) == pytest.approx(min(losses), rel=1e-6)
    assert losses[-1] > min(losses)


def test_the_held_out_rows_depend_on_the_seed_alone(x):
    def train(seed):
        model = KAN([2, 1], seed=0)
        fit(model, x, target(x), validation=0.3, steps=2, seed=seed)
        return model.sample

    assert torch.equal(train(1), train(1))
    assert not torch.equal(train(1), train(2))


def test_without_validation_there_is_no_validation_loss(model, x):
    history = fit(model, x, target(x), steps=2)
    assert history.to_dict()["validation_loss"] == [None, None]


def test_patience_counts_by_validation(x, normal):
    model = KAN([2, 1], basis=BSpline(20, 3), seed=0)
    history = fit(
        model,
        x[:30],
        normal(30),
        validation=(x[30:], normal(30)),
        solver=Adam(learning_rate=0.1),
        steps=300,
        patience=15,
    )
    assert history.reason == "patience"
    losses = history.to_dict()["validation_loss"]
    assert losses.index(min(losses)) >= len(losses) - 16
    assert history.to_dict()["train_loss"][-1] < history.to_dict()["train_loss"][0]


# ------------------------------------------------------------------------------------------------- sample and seeds


def test_the_sample_is_the_training_data_up_to_a_size(x):
    model = KAN([2, 1], seed=0)
    fit(model, x, target(x), steps=1)
    assert torch.equal(model.sample, x)
    many = torch.linspace(0, 1, 2 * (SAMPLE_SIZE + 7), dtype=F64).reshape(-1, 2)
    fit(model, many, target(many), steps=1, seed=5)
    assert model.sample.shape == (SAMPLE_SIZE, 2)
    assert len(model.sample.unique(dim=0)) == SAMPLE_SIZE
    assert bool((model.sample.unsqueeze(1) == many).all(dim=2).any(dim=1).all())
    first = model.sample
    fit(model, many, target(many), steps=1, seed=5)
    assert torch.equal(model.sample, first)


def test_the_sample_does_not_share_memory_with_the_data(x):
    model = KAN([2, 1], seed=0)
    fit(model, x, target(x), steps=1)
    kept = model.sample.clone()
    x.fill_(0)
    assert torch.equal(model.sample, kept)


@pytest.mark.parametrize("solver", ["lm", "lbfgs", "adam"])
def test_the_global_generator_is_left_alone(solver, x):
    torch.manual_seed(3)
    np.random.seed(3)
    fit(KAN([2, 1], seed=0), x, target(x), solver=solver, validation=0.2, steps=2)
    drawn, also = torch.rand(2), np.random.rand(2)
    torch.manual_seed(3)
    np.random.seed(3)
    assert torch.equal(drawn, torch.rand(2))
    assert (also == np.random.rand(2)).all()


def test_fitting_again_goes_on(model, x):
    first = fit(model, x, target(x), steps=5)
    again = fit(model, x, target(x), steps=30)
    assert again.rows[0]["train_loss"] <= first.last["train_loss"] * (1 + 1e-9)
    assert isinstance(again, History)


def test_it_works_where_gradients_are_switched_off(x):
    for solver in (LevenbergMarquardt(), LBFGS(), Adam()):
        model = KAN([2, 1], seed=0)
        before = loss_of(model, x)
        with torch.no_grad():
            fit(model, x, target(x), solver=solver, steps=5)
        assert loss_of(model, x) < before
