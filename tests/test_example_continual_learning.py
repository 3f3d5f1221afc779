"""The tutorial on learning task after task, at reduced size: what is kept, and by which memory."""

from functools import partial

import pytest
import torch

import continual_learning as tutorial
import edgewise as ew
from results import Settings


def outcome(make, tasks, way, steps):
    return tutorial.learned(tutorial.Case("", make, tasks, way), seed=0, steps=steps).error


@pytest.fixture(scope="module")
def peaks():
    return tutorial.fifths(64)


@pytest.fixture(scope="module")
def corners():
    return tutorial.quadrants(128)


def trained(make, tasks, way, steps=30):
    model = make(0)
    way(model, tasks, steps, lambda now: None)
    return model


def test_the_tasks_are_disjoint_parts_of_one_function(peaks, corners):
    for tasks, f in ((peaks, tutorial.five_peaks), (corners, tutorial.four_peaks)):
        for task in tasks:
            assert torch.equal(task.y, f(task.x))
            assert not any(bool((task.test_x == row).all(dim=1).any()) for row in task.x)
        centres = torch.stack([task.x.mean(dim=0) for task in tasks])
        assert torch.cdist(centres, centres).fill_diagonal_(1).min() > 0.3


def test_one_layer_in_turn_is_one_layer_at_once(peaks):
    in_turn = trained(tutorial.shallow, peaks, tutorial.anchored)
    at_once = trained(tutorial.shallow, peaks, tutorial.all_at_once)
    x = torch.cat([task.test_x for task in peaks])
    torch.testing.assert_close(in_turn(x), at_once(x), rtol=0, atol=1e-7)
    assert tutorial.rmse(in_turn, peaks) < 1e-4


def test_so_is_a_deep_network_that_is_locked_inside(peaks):
    in_turn = trained(tutorial.deep_and_locked, peaks, partial(tutorial.anchored, prior=tutorial.PRIOR))
    at_once = trained(tutorial.deep_and_locked, peaks, partial(tutorial.all_at_once, prior=tutorial.PRIOR))
    x = torch.cat([task.test_x for task in peaks])
    torch.testing.assert_close(in_turn(x), at_once(x), rtol=0, atol=1e-6)
    assert tutorial.rmse(in_turn, peaks) < 1e-3


def test_a_deep_network_forgets_without_memory_and_not_with_it(peaks):
    soft = partial(tutorial.anchored, prior=tutorial.PRIOR, hidden=tutorial.HIDDEN)
    assert outcome(tutorial.deep, peaks, tutorial.carelessly, 30) > 0.1
    assert outcome(tutorial.deep, peaks, soft, 30) < 1e-3


def test_two_inputs_need_rehearsal(corners):
    assert outcome(tutorial.two_inputs, corners, tutorial.carelessly, 30) > 0.1
    assert outcome(tutorial.two_inputs, corners, tutorial.rehearsing, 50) < 1.5e-3


def test_an_mlp_of_as_many_parameters_forgets(peaks):
    model = tutorial.mlp(1, 203)
    most = sum(parameter.numel() for parameter in tutorial.shallow().parameters())
    assert 0.8 * most < sum(parameter.numel() for parameter in model.parameters()) <= most
    tutorial.train_mlp(model, peaks[0].x, peaks[0].y, 200)
    assert tutorial.rmse(model, peaks[:1]) < 0.05
    tutorial.train_mlp(model, peaks[1].x, peaks[1].y, 200)
    assert tutorial.rmse(model, peaks[:1]) > 0.1


def test_no_row_of_an_earlier_task_is_used_again(corners, monkeypatch):
    seen = []
    fit = ew.KAN.fit
    monkeypatch.setattr(ew.KAN, "fit", lambda self, x, y, **options: (seen.append(x), fit(self, x, y, **options))[1])
    trained(tutorial.two_inputs, corners[:3], tutorial.rehearsing, steps=2)
    for later in (1, 2):
        others = torch.cat([task.x for task in corners[:later]])
        assert torch.cdist(seen[later], others).min() > 0


def test_table_and_pictures(tmp_path, monkeypatch):
    few = [case for case in tutorial.cases(16) if "MLP" in case.name or "without" in case.name]
    monkeypatch.setattr(tutorial, "cases", lambda rows: few)
    monkeypatch.setattr(tutorial, "learned", lambda case, seed, steps: made(case))

    def made(case):
        y = torch.zeros(len(tutorial.everywhere(case.tasks[0].x.shape[1])), 1)
        return tutorial.Outcome(0.5, [y] * len(case.tasks))

    tutorial.main(Settings("continual_learning", quick=True, out=tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        "continual_learning.md",
        "continual_learning.png",
        "continual_learning_quadrants.png",
    }
