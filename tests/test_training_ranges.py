"""Grids of hidden layers follow the values that arrive there."""

import pytest
import torch

from edgewise.basis import BSpline, Chebyshev, fit_curve
from edgewise.kan import KAN
from edgewise.network import KANLayer, Network
from edgewise.training import fit
from edgewise.training.ranges import fit_grids_to_values

F64 = torch.float64


@pytest.fixture
def x(uniform):
    return uniform(-1, 1, 200, 2)


def grids(model):
    return [block.grid.clone() for layer in model.all_layers for block in layer.all_blocks() if hasattr(block, "grid")]


def with_outputs_from(model, x, low, high):
    """The model with its first layer's sums stretched to an interval, in a way that leaves everything else alone."""
    sums = model.all_layers[0].sums(x).detach()
    spread = sums.amax(dim=0) - sums.amin(dim=0)
    factors = (high - low) / spread
    constants = torch.zeros_like(model.all_layers[0].mask, dtype=F64)
    constants[0] = low - sums.amin(dim=0) * factors
    first = model.all_layers[0].map_blocks(lambda block: block.scaled(factors).shifted(constants))
    return model.rebuilt([first, *model.all_layers[1:]])


STRETCHED = [
    *((Chebyshev(4), *ends) for ends in ((-3.0, 2.0), (0.0, 1.5), (-0.2, 0.3), (5.0, 5.5))),
    # Splines, where as many cells of their own do not reach, or where one polynomial is all there is.
    *((BSpline(3, 3), *ends) for ends in ((-3.0, 2.0), (5.0, 5.5))),
    (BSpline(1, 5), -0.2, 0.3),
]


@pytest.mark.parametrize(("basis", "low", "high"), STRETCHED, ids=str)
def test_domains_move_to_where_the_values_are(low, high, basis, network, x):
    model = with_outputs_from(network([2, 3, 1], basis=basis), x, low, high)
    before = grids(model)
    assert fit_grids_to_values(model, x)
    after = grids(model)
    assert torch.equal(after[0], before[0])  # the inputs' own domain is the user's
    margin = 0.1 * (high - low)
    wanted = torch.tensor([[low - margin, high + margin]] * 3, dtype=F64)
    torch.testing.assert_close(after[1], wanted)
    assert not fit_grids_to_values(model, x)


@pytest.mark.parametrize(("low", "high"), [(-0.2, 0.3), (0.1, 0.4), (-0.01, 0.012), (-0.99, -0.9), (0.0, 1e-5)])
@pytest.mark.parametrize("basis", [BSpline(2, 3), BSpline(6, 1), BSpline(10, 7), BSpline(50, 9)], ids=str)
def test_cells_are_halved_and_dropped_without_a_change(low, high, basis, network, uniform, x):
    model = with_outputs_from(network([2, 3, 2], basis=basis), x, low, high)
    old, before = grids(model)[1], model(x).detach()
    assert fit_grids_to_values(model, x)
    new = grids(model)[1]
    torch.testing.assert_close(model(x), before, rtol=0, atol=1e-12 * float(before.abs().max()))
    margin = 0.1 * (high - low)
    assert bool((new[:, 0] <= low - margin + 1e-12).all())
    assert bool((new[:, 1] >= high + margin - 1e-12).all())
    width = (new[:, 1] - new[:, 0]) / basis.grid
    halvings = torch.log2(2 / basis.grid / width)
    torch.testing.assert_close(halvings, halvings.round(), rtol=0, atol=1e-9)  # cells of the old lattice
    torch.testing.assert_close((new + 1) / width.unsqueeze(1), ((new + 1) / width.unsqueeze(1)).round())
    assert bool(
        (0.6 * width * basis.grid < high - low + 2 * margin + 2 * width).all()
    )  # halved again they would not do
    assert old.shape == new.shape
    assert not fit_grids_to_values(model, x)


@pytest.mark.parametrize("degree", [1, 3, 5])
def test_cells_are_appended_on_one_side_and_dropped_on_the_other(degree, network, x):
    model = with_outputs_from(network([2, 3, 1], basis=BSpline(20, degree)), x, -0.4, 1.14)
    block = model.all_layers[1].all_blocks()[0]
    u = torch.linspace(-0.55, 1, 100, dtype=F64)[:, None].expand(100, 3)
    before = block.edges(u).detach()
    assert fit_grids_to_values(model, x)
    torch.testing.assert_close(block.grid, torch.tensor([[-0.7, 1.3]] * 3, dtype=F64))  # in steps of 0.1
    torch.testing.assert_close(block.edges(u), before, rtol=0, atol=1e-12)
    assert not fit_grids_to_values(model, x)


def test_domains_with_no_better_cells_stay(network, x):
    """Values fill a third of the domain, but not of five cells any five halves."""
    model = with_outputs_from(network([2, 3, 1], basis=BSpline(5, 3)), x, -0.39, 0.39)
    before, output = grids(model), model(x).detach()
    assert not fit_grids_to_values(model, x)
    assert torch.equal(grids(model)[1], before[1])
    assert torch.equal(model(x), output)


def test_free_knots_are_halved_and_dropped(network, basis_block, free_grid, x):
    last = KANLayer.from_blocks([basis_block(2, 1, basis=BSpline(7, 3), grid=free_grid(2, 7))], (1,), 2)
    model = with_outputs_from(Network([network([2, 2]).all_layers[0], last], sample=x), x, 0.1, 0.3)
    old, before = grids(model)[1], model(x).detach()
    assert fit_grids_to_values(model, x)
    new = grids(model)[1]
    torch.testing.assert_close(model(x), before, rtol=0, atol=1e-12)
    assert new.shape == old.shape
    for row in range(2):
        kept = old[row][(old[row] > new[row, 0]) & (old[row] < new[row, -1])]
        assert bool(torch.isin(kept, new[row]).all())
        assert new[row, -1] - new[row, 0] < 0.6 * (old[row, -1] - old[row, 0])


@pytest.mark.parametrize(("low", "high"), [(-0.95, 0.95), (-0.5, 0.5), (-0.9, 0.2)])
def test_domains_that_fit_stay(low, high, network, x):
    model = with_outputs_from(network([2, 3, 1]), x, low, high)
    before, output = grids(model), model(x).detach()
    assert not fit_grids_to_values(model, x)
    for old, new in zip(before, grids(model), strict=True):
        assert torch.equal(old, new)
    assert torch.equal(model(x), output)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-0.5, 0.99), (-1.04, 1.05)])
def test_domains_grow_before_values_leave_them(low, high, network, x):
    """New inputs reach a little further than those seen, and there the function is to be smooth."""
    model = with_outputs_from(network([2, 3, 1]), x, low, high)
    assert fit_grids_to_values(model, x)
    (new,) = grids(model)[1:]
    assert bool((new[:, 0] < low - 0.02 * (high - low)).all())
    assert bool((new[:, 1] > high + 0.02 * (high - low)).all())


def test_where_more_cells_would_be_needed_the_function_is_nearly_the_same_on_the_data(network, x):
    model = with_outputs_from(network([2, 3, 1], basis=BSpline(8, 3)), x, -1.0, 1.15)
    block = model.all_layers[1].all_blocks()[0]
    u = torch.linspace(-1, 1, 100, dtype=F64)[:, None].expand(100, 3)
    curves = torch.sin(2 * u + torch.tensor([0.0, 1.0, 2.0]))
    with torch.no_grad():
        block.coefficients.copy_(fit_curve(block.basis, block.grid, u, curves.unsqueeze(2)))
    before = model(x).detach()
    assert fit_grids_to_values(model, x)
    moved = (model(x) - before).square().mean().sqrt()
    # Where the domain grows, the old edges go on straight beyond its end, a bend that the new knots do not have.
    assert moved < 1e-2 * before.std()


def test_polynomials_move_exactly(network, x):
    model = with_outputs_from(network([2, 3, 1], basis=Chebyshev(4)), x, -0.1, 0.2)
    before = model(x).detach()
    assert fit_grids_to_values(model, x)
    torch.testing.assert_close(model(x), before, rtol=0, atol=1e-12)


def test_free_knots_keep_their_arrangement(network, basis_block, free_grid, x):
    last = KANLayer.from_blocks([basis_block(2, 1, grid=free_grid(2, 3))], (1,), 2)
    model = with_outputs_from(Network([network([2, 2]).all_layers[0], last], sample=x), x, 0.0, 4.0)
    before = grids(model)[1]
    assert fit_grids_to_values(model, x)
    after = grids(model)[1]

    def shares(grid):
        return (grid - grid[:, :1]) / (grid[:, -1:] - grid[:, :1])

    torch.testing.assert_close(shares(after), shares(before))
    torch.testing.assert_close(after[:, [0, -1]], torch.tensor([[-0.4, 4.4]] * 2, dtype=F64))


def test_inputs_of_locked_edges_and_unused_ones_stay(network, basis_block, x):
    locked, mask = torch.zeros(3, 2, dtype=torch.bool), torch.ones(3, 2, dtype=torch.bool)
    locked[0, 1] = True
    mask[2] = False
    last = KANLayer.from_blocks([basis_block(3, 2, locked=locked, mask=mask)], (1, 1), 3)
    model = with_outputs_from(Network([network([2, 3]).all_layers[0], last], sample=x), x, -4.0, 4.0)
    before = grids(model)[1]
    assert fit_grids_to_values(model, x)
    after = grids(model)[1]
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    assert not torch.equal(after[1], before[1])


def test_values_that_do_not_spread_or_are_not_finite_move_nothing(network, x):
    model = network([2, 3, 1])
    before = grids(model)[1]
    assert not fit_grids_to_values(model, x[:1])  # one row: no interval
    assert not fit_grids_to_values(model, x[:1].expand(5, 2))
    assert not fit_grids_to_values(model, torch.full((2, 2), torch.nan, dtype=F64))
    assert torch.equal(grids(model)[1], before)


def test_symbolic_edges_have_no_grid(network, symbolic_block, x):
    last = KANLayer.from_blocks([symbolic_block("sin", [(0, 0), (1, 0)], (2, 1))], (1,), 2)
    model = with_outputs_from(Network([network([2, 2]).all_layers[0], last], sample=x), x, -9.0, 9.0)
    assert not fit_grids_to_values(model, x)


def test_deeper_layers_see_the_values_after_the_move(network, x):
    model = with_outputs_from(network([2, 2, 2, 1]), x, -5.0, 5.0)
    assert fit_grids_to_values(model, x)
    trace = model.trace(x)
    for layer, values in zip(model.all_layers[1:], trace.layers[1:], strict=True):
        grid = layer.all_blocks()[0].grid
        assert bool((values.inputs >= grid[:, 0] - 0.1 * (grid[:, 1] - grid[:, 0])).all())
        assert bool((values.inputs <= grid[:, 1] + 0.1 * (grid[:, 1] - grid[:, 0])).all())


@pytest.mark.parametrize("solver", ["lm", "lbfgs", "adam"])
def test_fitting_moves_grids_and_carries_on(solver, x):
    model = with_outputs_from(KAN([2, 2, 1], basis=BSpline(4, 3), seed=0), x, -8.0, 6.0)
    before = grids(model)[1]
    history = fit(model, x, x[:, 0] * x[:, 1], solver=solver, steps=25)
    after = grids(model)[1]
    assert not torch.equal(before, after)
    assert history.to_dict()["train_loss"][-1] < 0.9 * history.to_dict()["train_loss"][0]
    reached = float((model(x)[:, 0] - x[:, 0] * x[:, 1]).square().mean().detach())
    assert reached <= min(history.to_dict()["train_loss"][-5:]) * (1 + 1e-6)
