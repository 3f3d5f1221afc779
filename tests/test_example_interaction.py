"""The session of a person and a network: each step does what it says, and nothing else."""

import pytest
import sympy
import torch

import edgewise as ew
import interaction as tutorial
from results import Settings

F64 = torch.float64


@pytest.fixture(scope="module")
def data():
    return tutorial.measurements(300)


@pytest.fixture(scope="module")
def played(data):
    return tutorial.play(data)


def state(session, what):
    return dict(session.states)[what]


def test_the_formula_is_the_law(played):
    x, y = sympy.symbols(tutorial.NAMES)
    assert sympy.simplify(played[1] - sympy.exp(sympy.sin(sympy.pi * x) + y**2)) == 0
    assert tutorial.rmse(played[0].model, played[0].data) < 1e-12


def test_one_edge_has_another_basis_and_the_others_have_not(played):
    before, after = (state(played[0], what) for what in ("trained, sparse, pruned", "y by Chebyshev polynomials"))
    assert after.layers[0].block_of(1, 0).basis == ew.Chebyshev(degree=6)
    for edge in ((0, 0, 0), (1, 0, 0)):
        assert after.layers[edge[0]].block_of(*edge[1:]).basis == before.layers[edge[0]].block_of(*edge[1:]).basis


def test_the_locked_sine_does_not_move_while_the_others_train(played, data):
    model = state(played[0], "x is a sine, locked").copied()
    assert model.edge(0, 0, 0).name == "sin"
    x = torch.linspace(-1, 1, 50, dtype=F64)
    before = [model.edge(*edge)(x).detach() for edge in ((0, 0, 0), (0, 1, 0))]
    shifted = ew.create_dataset(lambda x: 2 * tutorial.law(x), n_var=2, train_num=100, test_num=10, seed=1)
    model.fit(shifted, steps=5)
    after = [model.edge(*edge)(x).detach() for edge in ((0, 0, 0), (0, 1, 0))]
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_the_wrong_idea_is_undone(played):
    session, _ = played
    steps = [row["step"] for row in session.log]
    error = {row["step"]: row["RMSE"] for row in session.log}
    assert error["y is a modulus"] > 10 * error["x is a sine, locked"]
    assert steps[steps.index("y is a modulus") + 1] == "undone: y is a modulus"
    assert error["undone: y is a modulus"] == error["x is a sine, locked"]
    assert "y is a modulus" not in dict(session.states)


def test_no_step_changes_the_states_before(data):
    session = tutorial.Session(data)
    model = ew.KAN([2, 1, 1], seed=0)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    session.keep("start", model)
    session.retrained("a sine", model.fix_symbolic(0, 0, 0, "sin"))
    assert session.model is not model
    session.undo()
    assert session.model is model
    for name, value in model.state_dict().items():
        assert torch.equal(value, kept[name])


def test_table_and_pictures(tmp_path, played, monkeypatch):
    monkeypatch.setattr(tutorial, "play", lambda data: played)
    tutorial.main(Settings("interaction", quick=True, out=tmp_path))
    written = (tmp_path / "interaction.md").read_text(encoding="utf-8")
    assert written.count("| yes |") == 4
    assert "undone: y is a modulus" in written
    assert {path.suffix for path in tmp_path.iterdir()} == {".md", ".png"}
