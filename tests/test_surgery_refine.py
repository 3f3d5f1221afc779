"""Refining a network keeps its function: exactly on finer grids, to about the old error at a higher degree."""

import numpy as np
import pytest
import torch

from edgewise.basis import BSpline, Chebyshev, Fourier, Gaussian
from edgewise.data import create_dataset
from edgewise.errors import OptionError, ShapeError
from edgewise.kan import KAN
from edgewise.network import BasisBlock, KANLayer, Network, SymbolicBlock
from edgewise.surgery import Edge, lock, refine, update_grid

F64 = torch.float64
MASK = torch.tensor([[True, False], [True, True]])
LOCKED = torch.tensor([[True, False], [False, False]])

NETWORKS = {
    "sums": lambda make, free, mixed: make([2, 3, 1]),
    "products": lambda make, free, mixed: make([3, [2, (2, 3)], 2]),
    "lines": lambda make, free, mixed: make([2, 2, 1], basis=BSpline(grid=4, degree=1)),
    "high degree": lambda make, free, mixed: make([2, 2, 1], basis=BSpline(grid=2, degree=7)),
    "one cell": lambda make, free, mixed: make([1, 1], basis=BSpline(grid=1, degree=2)),
    "base": lambda make, free, mixed: make([2, 2, 2], base="silu"),
    "free knots": lambda make, free, mixed: make([2, 2, 1], basis=BSpline(grid=4), grid=free(2, 4)),
    "masked and locked": lambda make, free, mixed: make([2, 2, 2], mask=MASK, locked=LOCKED),
    "everything": lambda make, free, mixed: mixed,
}


@pytest.fixture(params=NETWORKS)
def model(request, network, free_grid, mixed_network):
    return NETWORKS[request.param](network, free_grid, mixed_network)


def basis_blocks(model):
    return [block for layer in model.all_layers for block in layer.all_blocks() if isinstance(block, BasisBlock)]


def polynomial_model(coefficients, basis, low=-1.0, high=1.0):
    """One edge that is a polynomial, its coefficients from the constant up, which the basis can represent."""
    grid = torch.tensor([[low, high]], dtype=F64)
    x = torch.linspace(low, high, 200, dtype=F64)
    y = sum(c * x**power for power, c in enumerate(coefficients))
    solved = np.linalg.lstsq(basis.values(x[:, None], grid)[:, 0].numpy(), y.numpy(), rcond=None)[0]
    block = BasisBlock(basis, grid, torch.tensor(solved)[None, :, None])
    return Network([KANLayer.from_blocks([block], (1,), 1)], sample=x[:, None])


@pytest.mark.parametrize("factor", [2, 3])
def test_a_finer_grid_keeps_the_function_everywhere(model, factor, uniform):
    (grid,) = {block.basis.grid for block in basis_blocks(model)}
    finer = refine(model, grid=factor * grid)
    x = uniform(-1.6, 1.6, 200, model.in_features)  # inside and outside of the domain
    expected = model(x).detach()
    assert (finer(x) - expected).abs().max() <= 1e-12 * expected.abs().max().clamp_min(1.0)
    assert {block.basis for block in basis_blocks(finer)} == {
        BSpline(grid=factor * grid, degree=block.basis.degree) for block in basis_blocks(model)
    }
    assert finer.options.moved <= 1e-13 * float(expected.abs().max())


def test_the_same_grid_changes_nothing(model, uniform):
    (grid,) = {block.basis.grid for block in basis_blocks(model)}
    x = uniform(-1, 1, 50, model.in_features)
    torch.testing.assert_close(refine(model, grid=grid)(x), model(x), rtol=1e-14, atol=1e-14)


def test_a_finer_grid_has_more_to_learn():
    """What is refined represents functions that the old splines could not."""
    data = create_dataset(lambda x: torch.sin(6 * x[:, 0]), n_var=1, train_num=100, seed=0)
    model = KAN([1, 1], seed=0)
    coarse = model.fit(data, steps=5).last["train_loss"]
    finer = model.refine(grid=20)
    assert finer.fit(data, steps=5).last["train_loss"] < 1e-3 * coarse


def test_base_functions_and_symbolic_edges_are_as_they_were(mixed_network):
    finer = refine(mixed_network, grid=6, degree=5)
    for before, after in zip(mixed_network.all_layers, finer.all_layers, strict=True):
        for old, new in zip(before.all_blocks(), after.all_blocks(), strict=True):
            if isinstance(old, SymbolicBlock):
                assert old.describe() == new.describe()
                for name, tensor in old.state_dict().items():
                    assert torch.equal(tensor, new.state_dict()[name])
            else:
                assert new.base == old.base
                assert (old.base_weight is None) == (new.base_weight is None)
                assert old.base_weight is None or torch.equal(old.base_weight, new.base_weight)
                assert new.basis == BSpline(grid=6, degree=5)
            assert torch.equal(old.mask, new.mask)
            assert torch.equal(old.locked, new.locked)


@pytest.mark.parametrize(
    ("present", "wanted", "nearest"),
    [
        (5, 7, "5 and 10"),
        (5, 13, "10 and 15"),
        (5, 3, "5 and 10"),
        (4, 0, "4 and 8"),
        (4, 9, "8 and 12"),
        (1, -1, "1 and 2"),
    ],
)
def test_grids_that_are_no_multiple_are_refused_with_the_nearest(network, present, wanted, nearest):
    model = network([2, 1], basis=BSpline(grid=present))
    with pytest.raises(OptionError, match=f"grid={wanted}, the nearest are {nearest}$"):
        refine(model, grid=wanted)


def test_a_higher_degree_moves_the_function_by_about_the_error_of_the_old_splines():
    """The target is smooth, so the distance to it is the floor of the old splines."""
    data = create_dataset(lambda x: torch.exp(torch.sin(3 * x[:, :1]) + x[:, 1:] ** 2), n_var=2, train_num=400, seed=1)
    model = KAN([2, 1, 1], seed=1)
    floor = model.fit(data, steps=60).last["train_loss"] ** 0.5
    for degree in (4, 5, 6):
        smoother = model.refine(degree=degree)
        assert 0 < smoother.moved < 3 * floor
        expected = (smoother(model.sample) - model(model.sample)).detach().square().mean().sqrt()
        assert smoother.moved == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("degree", [3, 4, 9])
def test_a_higher_degree_keeps_what_it_can_represent(degree, uniform):
    model = polynomial_model([0.3, -1.2, 0.7, 2.0], BSpline(grid=4, degree=3))
    higher = refine(model, degree=degree)
    x = uniform(-1.3, 1.3, 100, 1)
    torch.testing.assert_close(higher(x), model(x), rtol=0, atol=1e-11)
    assert higher.options.moved < 1e-12


def test_grid_and_degree_together(network, uniform):
    model = network([2, 2, 1])
    both = refine(model, grid=12, degree=4)
    x = uniform(-1, 1, 100, 2)
    assert {block.basis for block in basis_blocks(both)} == {BSpline(grid=12, degree=4)}
    coarse = refine(model, degree=4)
    assert (both(x) - model(x)).abs().max() < (coarse(x) - model(x)).abs().max()


@pytest.mark.parametrize(("basis", "degree"), [(Chebyshev(degree=6), 11), (Fourier(terms=3), 5)])
def test_nested_families_keep_the_function_at_a_higher_degree(network, uniform, basis, degree):
    model = network([2, 2, 1], basis=basis, scale=0.2)
    higher = refine(model, degree=degree)
    x = uniform(-1.2, 1.2, 100, 2)
    torch.testing.assert_close(higher(x), model(x), rtol=1e-11, atol=1e-11)
    assert all(block.basis == basis.with_degree(degree) for block in basis_blocks(higher))


def test_gaussians_are_projected_on_more_centres(network):
    model = network([2, 1], basis=Gaussian(centers=6))
    finer = refine(model, grid=20)
    assert basis_blocks(finer)[0].basis == Gaussian(centers=21)
    assert finer.options.moved < 0.1 * float(model(model.sample).detach().std())


def test_what_cannot_be_refined_is_refused(network, symbolic_block, uniform):
    symbols = Network(
        [KANLayer.from_blocks([symbolic_block("sin", [(0, 0)], (1, 1))], (1,), 1)], sample=uniform(-1, 1, 5, 1)
    )
    with pytest.raises(OptionError, match="every edge is symbolic"):
        refine(symbols, grid=10)
    with pytest.raises(OptionError, match="say what to refine"):
        refine(network([1, 1]))
    with pytest.raises(OptionError, match="no grid"):
        refine(network([1, 1], basis=Chebyshev(degree=4)), grid=10)
    with pytest.raises(OptionError, match="no degree"):
        refine(network([1, 1], basis=Gaussian(centers=4)), degree=5)
    with pytest.raises(OptionError, match="degree is 1 to 9"):
        refine(network([1, 1]), degree=10)


# ------------------------------------------------------------------------------------------------ update_grid


def test_knots_move_to_the_quantiles_of_the_data(network, uniform):
    x = uniform(0, 1, 300, 2) ** 3 - 0.5
    updated = update_grid(network([2, 1], basis=BSpline(grid=4)), x)
    quantiles = np.quantile(x.numpy(), np.linspace(0, 1, 5), axis=0).T
    equal = np.linspace(quantiles[:, 0], quantiles[:, -1], 5).T
    (block,) = basis_blocks(updated)
    np.testing.assert_allclose(block.grid.numpy(), 0.9 * quantiles + 0.1 * equal, rtol=0, atol=1e-14)


def test_hidden_grids_follow_the_values_that_arrive(network, uniform):
    x = uniform(-0.3, 0.9, 200, 2)
    updated = update_grid(network([2, 3, 1], scale=0.3), x)
    inputs = updated.trace(x).layers[1].inputs
    ends = basis_blocks(updated)[1].grid[:, [0, -1]]
    torch.testing.assert_close(ends[:, 0], inputs.amin(dim=0), rtol=0, atol=1e-12)
    torch.testing.assert_close(ends[:, 1], inputs.amax(dim=0), rtol=0, atol=1e-12)


def test_other_families_move_the_ends_of_their_domain(network, uniform):
    x = uniform(-0.5, 0.25, 100, 2)
    (block,) = basis_blocks(update_grid(network([2, 1], basis=Chebyshev(degree=5)), x))
    torch.testing.assert_close(block.grid, torch.stack([x.amin(dim=0), x.amax(dim=0)], dim=1), rtol=0, atol=0)


def test_knots_that_stay_keep_the_function(network, uniform):
    """Evenly spread data put the knots where they were."""
    model = network([2, 1], basis=BSpline(grid=5))
    even = torch.linspace(-1, 1, 101, dtype=F64)[:, None].expand(-1, 2)
    updated = update_grid(model, even)
    x = uniform(-1.2, 1.2, 100, 2)
    torch.testing.assert_close(updated(x), model(x), rtol=0, atol=1e-13)
    assert updated.options.moved < 1e-14


def test_projection_keeps_what_the_new_splines_can_represent(uniform):
    model = polynomial_model([0.5, 1.0, -2.0, 1.5], BSpline(grid=3, degree=3))
    x = uniform(-0.8, 0.6, 80, 1)
    torch.testing.assert_close(update_grid(model, x)(x), model(x), rtol=0, atol=1e-11)


def test_moved_is_the_distance_on_the_sample(network, uniform):
    model = network([2, 2, 1])
    updated = update_grid(model, uniform(-0.4, 0.9, 60, 2))
    distance = (updated(model.sample) - model(model.sample)).detach().square().mean().sqrt()
    assert updated.options.moved == pytest.approx(float(distance), rel=1e-12)
    assert updated.options.moved > 0


def test_a_constant_column_keeps_its_domain(network, uniform):
    model = network([2, 1], basis=BSpline(grid=4))
    x = torch.cat([uniform(-0.2, 0.7, 50, 1), torch.full((50, 1), 0.3, dtype=F64)], dim=1)
    updated = update_grid(model, x)
    (block,) = basis_blocks(updated)
    torch.testing.assert_close(block.grid[1], torch.linspace(-1, 1, 5, dtype=F64), rtol=0, atol=1e-15)
    assert bool((block.grid.diff(dim=1) > 0).all())
    at = torch.linspace(-1, 1, 40, dtype=F64)
    torch.testing.assert_close(Edge(updated, 0, 1, 0)(at), Edge(model, 0, 1, 0)(at), rtol=0, atol=1e-13)


@pytest.mark.parametrize("degree", [3, 9])
def test_inputs_whose_knots_stay_keep_their_edges_to_rounding_while_others_move(degree, network, uniform):
    """A projection of all inputs together would lose digits at a high degree on many uneven cells."""
    cells = 100
    uneven = torch.cat([torch.zeros(1), torch.exp(2 * uniform(-1, 1, cells)).cumsum(dim=0)])
    grid = (2 * uneven / uneven[-1] - 1).expand(2, -1)
    model = lock(network([2, 1], basis=BSpline(grid=cells, degree=degree), grid=grid), 0, 1, 0)
    updated = update_grid(model, uniform(-0.3, 0.6, 500, 2))
    before, after = basis_blocks(model)[0], basis_blocks(updated)[0]
    assert torch.equal(after.grid[1], before.grid[1])
    assert not torch.equal(after.grid[0], before.grid[0])
    torch.testing.assert_close(after.coefficients[1], before.coefficients[1], rtol=0, atol=1e-15)


@pytest.mark.parametrize("basis", [BSpline(grid=4), Chebyshev(degree=5)], ids=str)
def test_inputs_with_a_locked_edge_keep_grid_and_function(network, uniform, basis):
    model = lock(network([2, 2, 1], basis=basis), 0, 1, 0)
    updated = update_grid(model, uniform(-0.3, 0.6, 80, 2))
    block = basis_blocks(updated)[0]
    assert block.grid[0, 0] > -1
    assert block.grid[1, [0, -1]].tolist() == [-1, 1]
    at = torch.linspace(-1.5, 1.5, 60, dtype=F64)
    torch.testing.assert_close(Edge(updated, 0, 1, 0)(at), Edge(model, 0, 1, 0)(at), rtol=0, atol=1e-13)
    assert (Edge(updated, 0, 0, 0)(at) - Edge(model, 0, 0, 0)(at)).abs().max() > 1e-4


def test_update_grid_refuses_other_columns(network, uniform):
    with pytest.raises(ShapeError, match=r"\(\.\.\., 2\)"):
        update_grid(network([2, 1]), uniform(-1, 1, 10, 3))
