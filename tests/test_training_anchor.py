"""Learning task after task: what an anchor keeps of data that are gone."""

import pytest
import torch

import edgewise as ew
from edgewise.basis import BSpline
from edgewise.errors import OptionError
from edgewise.kan import KAN
from edgewise.training import Anchor, CrossEntropy, MeanSquaredError, Smoothness, fit, remember
from edgewise.training.objective import OutputObjective

F64 = torch.float64


@pytest.fixture
def tasks(uniform, normal):
    """Three thirds of an interval, with noise: no spline fits them exactly."""
    x = uniform(-1, 1, 240, 1).sort(dim=0).values
    y = torch.cat([torch.sin(5 * x), x**2], dim=1) + 0.1 * normal(240, 2)
    return list(zip(x.split(80), y.split(80), strict=True))


def joined(tasks):
    return tuple(torch.cat(parts) for parts in zip(*tasks, strict=True))


def learned_in_turn(model, tasks, **options):
    anchor = None
    for x, y in tasks:
        fit(model, x, y, anchor=anchor, **options)
        anchor = remember(model, x, y, before=anchor)
    return model


def test_one_layer_learns_task_after_task_what_it_learns_from_all_at_once(tasks):
    basis = BSpline(8, 3)
    in_turn = learned_in_turn(KAN([1, 2], basis=basis, seed=0), tasks, steps=60)
    at_once = KAN([1, 2], basis=basis, seed=0)
    fit(at_once, *joined(tasks), steps=60)
    x = joined(tasks)[0]
    torch.testing.assert_close(
        in_turn(x), at_once(x), rtol=0, atol=1e-8
    )  # what a step wins drowns in rounding at its root


def test_so_does_the_last_layer_behind_locked_ones(tasks):
    locked = KAN([1, 3, 2], basis=BSpline(4, 3), seed=1)
    for node in range(3):
        locked = locked.lock(0, 0, node)
    in_turn, at_once = locked.copied(), locked.copied()
    fit(at_once, *joined(tasks), anchor=Anchor.prior(at_once, 1e-6), steps=60)
    anchor = Anchor.prior(in_turn, 1e-6)
    for x, y in tasks:
        fit(in_turn, x, y, anchor=anchor, steps=60)
        anchor = remember(in_turn, x, y, before=anchor)
    x = joined(tasks)[0]
    torch.testing.assert_close(in_turn(x), at_once(x), rtol=0, atol=1e-8)


def test_lbfgs_reaches_the_same(tasks):
    basis = BSpline(3, 2)
    in_turn = learned_in_turn(KAN([1, 2], basis=basis, seed=0), tasks[:2], solver="lbfgs", steps=60)
    at_once = KAN([1, 2], basis=basis, seed=0)
    fit(at_once, *joined(tasks[:2]), steps=60)
    x = joined(tasks[:2])[0]
    torch.testing.assert_close(in_turn(x), at_once(x), rtol=0, atol=1e-5)


def test_adam_remembers_on_minibatches(tasks):
    x, y = tasks[0]
    errors = {}
    for kept in (False, True):
        model = KAN([1, 2], basis=BSpline(2, 2), seed=0)
        fit(model, x, y)
        fit(model, *tasks[1], anchor=remember(model, x, y) if kept else None, batch=20, steps=400)
        errors[kept] = float((model(x) - y).square().mean().detach())
    assert errors[True] < 0.6 * errors[False]


def test_of_one_layer_it_is_the_loss_itself(tasks, normal):
    # Also where the network has not been trained at all, and anywhere else.
    model = KAN([1, 2], seed=0)
    anchor = remember(model, *tasks[1], before=remember(model, *tasks[0]))
    x, y = joined(tasks[:2])
    with torch.no_grad():
        model.layers[0].blocks[0].coefficients += normal(1, 8, 2)
    assert anchor.loss(model) == pytest.approx(float((model(x) - y).square().mean().detach()), rel=1e-12)
    assert anchor.rows == 160


def test_the_sum_of_two_stays_what_it_is_about_another_point(tasks, normal):
    model = KAN([1, 3, 2], seed=0)
    first = remember(model, *tasks[0])
    moved = model.copied()
    with torch.no_grad():
        moved.layers[1].blocks[0].coefficients += 0.1 * normal(3, 8, 2)
    both, second = remember(moved, *tasks[1], before=first), remember(moved, *tasks[1])
    model.layers[0].blocks[0].coefficients.data += 0.1 * normal(1, 8, 3)
    assert both.loss(model) == pytest.approx((first.loss(model) + second.loss(model)) / 2, rel=1e-10)


def test_curvature_and_value_belong_together(tasks, normal):
    # Levenberg–Marquardt's quadratic model of all three parts against automatic differentiation.
    model = KAN([1, 3, 2], seed=0)
    anchor = remember(model, *tasks[0], hidden=0.5).times(0.01)
    model.layers[0].blocks[0].coefficients.data += 0.1 * normal(1, 8, 3)
    objective = OutputObjective(model, *tasks[1], MeanSquaredError(), Smoothness(weight=1e-3), anchor=anchor)
    near = objective.linearise()
    assert near.value == pytest.approx(objective.value(), rel=1e-12)
    grads = torch.autograd.grad(objective.total(), list(model.parameters()))
    expected = torch.cat([grad.permute(0, 2, 1).flatten() for grad in grads])
    torch.testing.assert_close(near.gradient, expected, rtol=1e-9, atol=1e-12)
    without = OutputObjective(model, *tasks[1], MeanSquaredError(), Smoothness(weight=1e-3)).linearise()
    torch.testing.assert_close(near.curvature - without.curvature, anchor.summed.curvature, rtol=0, atol=1e-12)


def test_minibatches_share_the_anchor(tasks):
    model = KAN([1, 2], seed=0)
    anchor = remember(model, *tasks[0]).times(1 / 80)
    model.layers[0].blocks[0].coefficients.data += 0.3
    whole = OutputObjective(model, *tasks[1], MeanSquaredError(), None, anchor=anchor)
    parts = [whole.batch(torch.arange(start, start + 20)).value() for start in range(0, 80, 20)]
    assert sum(parts) / 4 == pytest.approx(whole.value(), rel=1e-12)


def test_hidden_nodes_are_held(tasks):
    moves = []
    for hidden in (0.0, 10.0):
        model = KAN([1, 3, 2], seed=0)
        prior = Anchor.prior(model, 1e-6)
        fit(model, *tasks[0], anchor=prior, steps=30)
        anchor = remember(model, *tasks[0], hidden=hidden, before=prior)
        before = model.trace(tasks[0][0]).layers[0].outputs
        fit(model, *tasks[1], anchor=anchor, steps=30)
        moves.append(float((model.trace(tasks[0][0]).layers[0].outputs - before).abs().max().detach()))
    assert moves[1] < 0.1 * moves[0]


def test_hidden_nodes_count_by_the_square_of_their_change(tasks, normal):
    # Those of the first layer are linear in its coefficients, so there is nothing approximate about them.
    model = KAN([1, 3, 2], seed=0)
    x = tasks[0][0]
    plain, held = remember(model, *tasks[0]), remember(model, *tasks[0], hidden=0.5)
    before = model.trace(x).layers[0].outputs
    model.layers[0].blocks[0].coefficients.data += 0.1 * normal(1, 8, 3)
    change = float((model.trace(x).layers[0].outputs - before).square().sum().detach())
    assert held.loss(model) - plain.loss(model) == pytest.approx(0.5 * change / len(x), rel=1e-10)


def test_steps_of_many_parameters_look_at_the_anchor(tasks, normal, monkeypatch):
    monkeypatch.setattr("edgewise.training.objective.MOST_DENSE_PARAMETERS", 10)
    model = KAN([1, 2], basis=BSpline(8, 3), seed=0)
    objective = OutputObjective(model, *tasks[1], MeanSquaredError(), None, anchor=remember(model, *tasks[0]))
    objective.parameters += 0.1 * normal(len(objective.parameters))
    near, change = objective.linearise(), 1e-3 * normal(len(objective.parameters))
    step = near.solve(1e-9)
    objective.parameters += step
    least = objective.value()  # the objective is quadratic: from its minimum every way leads up
    for moved in (change, -change):
        objective.parameters += moved
        assert objective.value() > least
        objective.parameters -= moved
    assert float(objective.linearise().gradient.abs().max()) < 1e-6 * float(near.gradient.abs().max())


def test_grids_stay_with_an_anchor(uniform):
    x = uniform(-1, 1, 60, 1)
    free, held = KAN([1, 2, 1], seed=0), KAN([1, 2, 1], seed=0)
    start = held.layers[1].blocks[0].grid.clone()
    fit(free, x, 9 * x, steps=12)
    fit(held, x, 9 * x, steps=12, anchor=Anchor.prior(held, 1e-9))
    assert not torch.equal(free.layers[1].blocks[0].grid, start)
    assert torch.equal(held.layers[1].blocks[0].grid, start)


def test_the_best_step_by_validation_is_the_best_for_both(tasks):
    # Held-out rows say nothing of the first task: by them alone the best step would be one that has forgotten.
    model = learned_in_turn(KAN([1, 2], basis=BSpline(2, 1), seed=0), tasks[:1])
    anchor = remember(model, *tasks[0])
    history = fit(model, *tasks[1], anchor=anchor, validation=tasks[1], steps=20)
    at_once = KAN([1, 2], basis=BSpline(2, 1), seed=0)
    fit(at_once, *joined(tasks[:2]), steps=60)
    x = joined(tasks[:2])[0]
    torch.testing.assert_close(model(x), at_once(x), rtol=0, atol=1e-8)
    assert history.last["penalty"] > 0


def test_classes_are_remembered_too(uniform):
    x = uniform(-1, 1, 200, 1).sort(dim=0).values
    labels = (torch.sin(4 * x[:, 0]) > 0).long()
    forgetful, model = KAN([1, 2], basis=BSpline(2, 3), seed=0), KAN([1, 2], basis=BSpline(2, 3), seed=0)
    loss = CrossEntropy(smoothing=0.1)
    for one in (forgetful, model):
        fit(one, x[:120], labels[:120], loss=loss, steps=40)
    anchor = remember(model, x[:120], labels[:120], loss=loss)
    fit(forgetful, x[120:], labels[120:], loss=loss, steps=40)
    fit(model, x[120:], labels[120:], loss=loss, steps=40, anchor=anchor)

    def right(one):
        return float((one(x).argmax(dim=1) == labels).double().mean())

    assert right(model) > 0.95
    assert right(forgetful) < 0.9


def test_equations_are_remembered_too():
    times = torch.linspace(0, 1, 40, dtype=F64)[:, None]

    def growth(model, t):
        t = t.clone().requires_grad_()
        u = model(t)
        (slope,) = torch.autograd.grad(u.sum(), t, create_graph=True)
        return torch.cat([(slope - u).flatten(), model(torch.zeros(1, 1, dtype=F64)).flatten() - 1])

    model = KAN([1, 1], basis=BSpline(6, 5), domain=(0.0, 1.0), seed=0)
    fit(model, times[:20], loss=growth, steps=20)
    anchor = remember(model, times[:20], loss=growth)
    fit(model, times[20:], torch.exp(times[20:]), anchor=anchor, steps=20)
    torch.testing.assert_close(model(times), times.exp(), rtol=0, atol=1e-5)


def test_an_anchor_does_not_follow_the_model(tasks):
    model = KAN([1, 2], seed=0)
    anchor = remember(model, *tasks[0])
    assert len(anchor.network.sample) == 0  # no rows are kept
    assert len(model.sample) > 0
    before = anchor.loss(anchor.network)
    fit(model, *tasks[1], steps=5)
    assert anchor.loss(anchor.network) == before
    assert anchor.loss(model) != before


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (lambda: KAN([1, 3, 2], seed=0), r"layer 0 was"),
        (lambda: KAN([1, 2, 2, 2], seed=0), r"it remembers \[1, 2, 2\], the model is \[1, 2, 2, 2\]"),
        (lambda: KAN([1, 2, 2], basis=BSpline(4, 4), seed=0), r"BSpline\(grid=5, degree=3\)"),
        (lambda: KAN([1, 2, 2], domain=(0.0, 1.0), seed=0), r"layer 0 differs in blocks.0.grid"),
        (lambda: KAN([1, 2, 2], seed=0).lock(1, 0, 1), r"layer 1 differs in blocks.0._locked"),
        (lambda: KAN([1, 2, 2], seed=0).fix_symbolic(0, 0, 0, "sin"), r"layer 0 was"),
    ],
    ids=["width", "depth", "basis", "domain", "lock", "symbolic"],
)
def test_another_network_is_refused(other, what, tasks):
    anchor = remember(KAN([1, 2, 2], seed=0), *tasks[0])
    with pytest.raises(OptionError, match=f"(?s)the anchor is that of another network.*{what}"):
        fit(other(), *tasks[1], anchor=anchor)
    with pytest.raises(OptionError, match="the anchor is that of another network"):
        remember(other(), *tasks[1], before=anchor)


def test_options_out_of_range_are_refused(tasks):
    model = KAN([1, 2], seed=0)
    with pytest.raises(OptionError, match="hidden is a weight of 0 or more, got -1"):
        remember(model, *tasks[0], hidden=-1)
    with pytest.raises(OptionError, match="strength of a prior must be positive, got 0"):
        Anchor.prior(model, 0.0)
    with pytest.raises(OptionError, match="from 1 to 3000 of them; the model has 4800"):
        remember(KAN([1, 200, 2], seed=0), *tasks[0])
    with pytest.raises(OptionError, match="needs residual rows"):
        remember(model, *tasks[0], loss=lambda model, batch: model(batch[0]).mean())


def test_it_is_public():
    assert ew.Anchor is Anchor
    assert ew.remember is remember
