"""auto_symbolic: names that the whole network can live with, and reasons where there are none."""

import math
import re
import time
from dataclasses import replace

import pytest
import sympy
import torch

from edgewise.basis import BSpline, Chebyshev
from edgewise.data import create_dataset
from edgewise.errors import OptionError, ShapeError, SymbolicError
from edgewise.kan import KAN
from edgewise.network import BasisBlock
from edgewise.primitives import get_primitive
from edgewise.symbolic import auto_symbolic, sharpened
from edgewise.training import CrossEntropy, find_loss

F64 = torch.float64
A, B = sympy.symbols("a b")


def numbers(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def additive(x):
    return torch.sin(math.pi * x[:, 0]) + x[:, 1] ** 2


def wiggly(x):
    """No primitive looks like the second term."""
    return torch.sin(math.pi * x[:, 0]) + 0.5 * torch.cos(4.3 * x[:, 1] ** 2 - 0.4) + 0.4 * torch.sin(7.1 * x[:, 1] + 1)


def trained(function, *, rows=200, noise=0.0, width=(2, 1), grid=5, steps=15):
    data = create_dataset(function, n_var=2, train_num=rows, test_num=200, seed=5)
    noisy = (data.train_input, data.train_target + noise * numbers(1, rows, 1))
    model = KAN(width, basis=BSpline(grid=grid), seed=0, input_names=["a", "b"])
    model.fit(noisy, steps=steps)
    return model, noisy, data


@pytest.fixture(scope="module")
def clean():
    model, data, _ = trained(additive)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return model, data, before, model.auto_symbolic(data)


@pytest.fixture(scope="module")
def curved():
    model, data, _ = trained(wiggly, grid=20)
    return model, data


# ------------------------------------------------------------------------------------------------ what is found


def test_a_sum_is_found_exactly(clean):
    _, (x, y), _, named = clean
    assert named.symbolic_formula() == sympy.sin(sympy.pi * A) + B**2
    assert float((named(x) - y).detach().abs().max()) < 1e-14
    assert {note.partition(": ")[2] for note in named.notes[:2]} == {"sin", "x^2"}
    assert all(note.startswith("constant ") for note in named.notes[2:])


def test_the_trained_network_is_left_as_it_was(clean):
    model, _, before, named = clean
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert model.notes == ()
    assert named.input_names == ("a", "b")
    assert isinstance(named, KAN)


def test_noise_does_not_hide_the_formula():
    model, data, clean = trained(additive, noise=0.02)
    named = model.auto_symbolic(data)
    formula = named.symbolic_formula()
    x = clean.test_input
    error = (named(x) - clean.test_target).detach().square().mean().sqrt()
    spline_error = (model(x) - clean.test_target).detach().square().mean().sqrt()
    assert error < 0.005
    assert error < spline_error / 2  # a formula has far fewer constants for the noise to spoil
    assert formula.has(sympy.sin) or formula.has(sympy.cos)
    assert formula.coeff(B, 2) == pytest.approx(1, abs=0.02)


def test_two_layers_are_named_from_end_to_end():
    model, data, _ = trained(lambda x: torch.exp(additive(x)), width=(2, 1, 1), steps=60, rows=250)
    named = model.auto_symbolic(data)
    assert named.symbolic_formula() == sympy.exp(sympy.sin(sympy.pi * A) + B**2)


def test_a_few_rows_are_enough_where_there_is_no_noise():
    """Below 50 rows there is no hold-out."""
    x = numbers(4, 24, 1).clamp(-2, 2)
    y = 2 * torch.exp(-x) - 3
    model = KAN([1, 1], domain=(-2, 2), seed=0)
    model.fit((x, y), steps=15)
    t = sympy.Symbol("x0")
    assert sympy.simplify(model.auto_symbolic((x, y)).symbolic_formula() - (2 * sympy.exp(-t) - 3)) == 0


def test_the_result_is_the_same_for_the_same_seed(clean):
    model, data, _, named = clean
    again = model.auto_symbolic(data, seed=0)
    assert again.notes == named.notes
    for one, other in zip(named.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


# ------------------------------------------------------------------------------------------------ what is refused


def test_a_name_that_spoils_the_network_is_refused_with_a_reason(curved):
    model, data = curved
    named = model.auto_symbolic(data)
    with pytest.raises(SymbolicError, match=r"1 edges are not symbolic, the first is \(0, 1, 0\)"):
        named.symbolic_formula()
    assert "edge (0, 0, 0): sin" in named.notes
    (reason,) = [note for note in named.notes if note.startswith("edge (0, 1, 0)")]
    assert reason.startswith("edge (0, 1, 0): kept as a curve; the best name, ")
    assert "would raise the error from" in reason
    errors = [float(found) for found in re.findall(r" to ([^,]+)", reason)]  # of all names that were refused
    assert len(errors) > 1
    assert errors == sorted(errors)
    assert not any(note.startswith("constant") for note in named.notes)  # none is exact while curves are left
    x, y = data
    assert float((named(x) - y).detach().square().mean().sqrt()) < 1e-3


def test_only_the_names_given_are_tried(clean):
    model, data, _, _ = clean
    named = auto_symbolic(model, data, primitives=["x^2", "tanh"])
    assert isinstance(named.edge(0, 0, 0).block, BasisBlock)
    assert named.edge(0, 1, 0).name == "x^2"
    assert any("kept as a curve; the best name, tanh" in note for note in named.notes)


def test_a_generous_tolerance_takes_the_best_of_bad_names(clean):
    model, data, _, _ = clean
    named = auto_symbolic(model, data, primitives=["x"], tolerance=1e9)
    assert [named.edge(0, source, 0).name for source in (0, 1)] == ["x", "x"]
    x, y = data
    slopes, *_ = torch.linalg.lstsq(torch.cat([x, torch.ones_like(y)], dim=1), y)
    expected = torch.cat([x, torch.ones_like(y)], dim=1) @ slopes
    # Refitted on the rows that were not held out: near the least squares of all rows.
    assert float((named(x) - expected).detach().abs().max()) < 0.15


def test_when_the_time_is_over_edges_stay_curves(curved):
    model, data = curved
    named = model.auto_symbolic(data, max_time=1e-9)
    assert sorted(named.notes) == [f"edge (0, {i}, 0): not tried, the time is over" for i in (0, 1)]
    assert named.edge(0, 0, 0).name is None


def test_an_edge_that_no_primitive_can_serve_stays_a_curve(clean, monkeypatch):
    model, data, _, _ = clean
    nowhere = replace(get_primitive("sin"), name="nowhere", function=lambda u: u * math.nan)
    monkeypatch.setattr("edgewise.symbolic.auto.get_primitive", lambda name: nowhere)
    named = model.auto_symbolic(data, primitives=["nowhere"])
    assert sorted(named.notes) == [f"edge (0, {i}, 0): kept as a curve; no name fits its range" for i in (0, 1)]


@pytest.mark.parametrize("tolerance", [0.99, 0, -1])
def test_a_tolerance_below_one_is_refused(clean, tolerance):
    model, data, _, _ = clean
    with pytest.raises(OptionError, match="factor of 1 or more"):
        model.auto_symbolic(data, tolerance=tolerance)


def test_options_are_checked(clean):
    model, data, _, _ = clean
    with pytest.raises(OptionError, match="sinus"):
        model.auto_symbolic(data, primitives=["sinus"])
    with pytest.raises(OptionError, match="predictions"):
        model.auto_symbolic(data, loss=lambda model, batch: model(batch[0]).square().mean())
    with pytest.raises(OptionError, match="unknown loss"):
        model.auto_symbolic(data, loss="huber")
    with pytest.raises(ShapeError, match="2 inputs"):
        model.auto_symbolic((torch.zeros(5, 3), torch.zeros(5)))


# ------------------------------------------------------------------------------------------------ locks, named edges


def test_locked_edges_are_not_named_and_do_not_move(clean):
    model, data, _, _ = clean
    held = model.lock(0, 1, 0)
    named = held.auto_symbolic(data)
    assert named.edge(0, 1, 0).name is None
    assert named.edge(0, 0, 0).name in {"sin", "cos"}
    assert named.all_layers[0].locked.tolist() == [[False], [True]]
    assert not any(note.startswith("edge (0, 1, 0)") for note in named.notes)
    x = torch.linspace(-1, 1, 50, dtype=F64)
    torch.testing.assert_close(named.edge(0, 1, 0)(x), held.edge(0, 1, 0)(x), rtol=0, atol=1e-14)


def test_a_network_of_names_gets_exact_constants():
    """Nothing is left to name; 0.999 and 3.14 become what the data say."""
    x = numbers(8, 100, 1)
    y = torch.sin(math.pi * x)
    model = KAN([1, 1], seed=0, domain=(-4, 4)).fix_symbolic(0, 0, 0, "sin")
    block = model.all_layers[0].all_blocks()[0]
    with torch.no_grad():
        block.affine[:] = torch.tensor([[3.14, 0.001, 0.999, -0.001]], dtype=F64)
    named = model.auto_symbolic((x, y))
    assert named.symbolic_formula() == sympy.sin(sympy.pi * sympy.Symbol("x0"))
    assert not any(note.startswith("edge") for note in named.notes)


def test_constants_that_do_not_refit_are_left_as_they_were(clean, monkeypatch):
    """A canonical form that broke the network would be noticed."""
    model, data, _, _ = clean

    def broken(named):
        other = KAN([2, 1], basis=BSpline(grid=1, degree=1), seed=3)
        return named.rebuilt(other.lock(0, 0, 0).lock(0, 1, 0).all_layers)

    monkeypatch.setattr("edgewise.symbolic.auto.canonical", broken)
    named = model.auto_symbolic(data)
    assert {named.edge(0, source, 0).name for source in (0, 1)} == {"sin", "x^2"}
    assert named.notes[-1].startswith("constants were left as they are")


# ------------------------------------------------------------------------------------------------ classes


@pytest.fixture(scope="module")
def classes():
    x = 2 * torch.rand((200, 2), generator=torch.Generator().manual_seed(2), dtype=F64) - 1
    labels = (x[:, 0] ** 2 + x[:, 1] > 0.3).long()
    model = KAN([2, 2], basis=BSpline(grid=3), seed=0)
    model.fit((x, labels), loss="cross_entropy", steps=20)
    return model, x, labels


def test_classes_are_told_apart_by_a_formula(classes):
    model, x, labels = classes
    named = model.auto_symbolic((x, labels), loss="cross_entropy")
    formulas = named.symbolic_formula()
    assert len(formulas) == 2
    fresh = 2 * torch.rand((500, 2), generator=torch.Generator().manual_seed(3), dtype=F64) - 1
    wanted = fresh[:, 0] ** 2 + fresh[:, 1] > 0.3
    assert float((named(fresh).argmax(dim=1) == wanted).double().mean()) > 0.97
    with pytest.raises(ShapeError, match="class labels"):
        model.auto_symbolic((x, labels.double() + 0.5), loss="cross_entropy")


def test_a_loss_may_be_an_object(classes):
    model, x, labels = classes
    named = model.auto_symbolic((x, labels), loss=CrossEntropy(smoothing=0.01), primitives=["x", "x^2"])
    assert float((named(x).argmax(dim=1) == labels).double().mean()) > 0.97


# ------------------------------------------------------------------------------------------------ sharpening


def grids(model):
    return {block.basis.grid for layer in model.all_layers for block in layer.blocks}


def test_grids_are_refined_while_that_pays():
    mse = find_loss("mse")
    model, (x, y), data = trained(additive, rows=400)
    finer = sharpened(model, x, y, loss=mse, held_out=(data.test_input, data.test_target))
    assert grids(model) == {5}
    assert grids(finer) == {40}
    before, after = (float(mse.value(m(data.test_input).detach(), data.test_target)) for m in (model, finer))
    assert after < 1e-4 * before
    assert grids(sharpened(model, x, y, loss=mse, deadline=time.monotonic())) == {5}


def test_noise_and_few_rows_stop_the_refinement():
    mse = find_loss("mse")
    model, (x, y), data = trained(additive, noise=0.1)
    noisy = sharpened(model, x, y, loss=mse, held_out=(data.test_input, data.test_target))
    assert grids(noisy) == {5}
    few, (x, y), _ = trained(additive, rows=40)
    assert grids(sharpened(few, x, y, loss=mse)) == {5}  # a finer one would have as many coefficients as there are rows


def test_only_one_grid_can_be_doubled(clean):
    _, (x, y), _, _ = clean
    mse = find_loss("mse")
    for model in (
        KAN([2, 1], basis=Chebyshev(degree=6), seed=0),
        KAN([2, 2, 1], basis=[BSpline(grid=2), BSpline(grid=3)], seed=0),
    ):
        kept = sharpened(model, x, y, loss=mse)
        assert [block.basis for layer in kept.all_layers for block in layer.blocks] == [
            block.basis for layer in model.all_layers for block in layer.blocks
        ]
        assert float(mse.value(kept(x).detach(), y)) < float(mse.value(model(x).detach(), y))
