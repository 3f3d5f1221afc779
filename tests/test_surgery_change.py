"""Changing the basis of edges, and locking them."""

import numpy as np
import pytest
import torch

from edgewise.basis import BSpline, Chebyshev, Fourier, Gaussian
from edgewise.data import create_dataset
from edgewise.errors import EdgeError, OptionError
from edgewise.kan import KAN
from edgewise.network import BasisBlock, KANLayer, Network, SymbolicBlock
from edgewise.surgery import Edge, lock, restored, with_basis
from edgewise.training import LBFGS, Adam, LevenbergMarquardt

F64 = torch.float64
NO_EDGES = [(2, 0, 0), (-1, 0, 0), (0, 2, 0), (0, 0, 5), (0, -1, 0), (0, 0, -1)]


def all_edges(model):
    return [
        (index, source, target)
        for index, layer in enumerate(model.all_layers)
        for source, target in layer.mask.nonzero().tolist()
    ]


def curves(model, points=101):
    x = torch.linspace(-1.3, 1.3, points, dtype=F64)
    return {edge: Edge(model, *edge)(x).detach() for edge in all_edges(model)}


# ------------------------------------------------------------------------------------------------ with_basis


def test_a_new_basis_holds_the_projection_of_the_old_curve(network):
    """What the new basis cannot hold is orthogonal to all that it can."""
    model = network([1, 1], basis=BSpline(grid=4))
    degree = 5
    changed = with_basis(model, 0, 0, 0, Chebyshev(degree=degree))
    nodes, weights = np.polynomial.legendre.leggauss(12)
    breaks = np.linspace(-1, 1, 5)
    half, middle = np.diff(breaks) / 2, (breaks[1:] + breaks[:-1]) / 2
    x = torch.tensor((middle[:, None] + half[:, None] * nodes).ravel())
    rest = (Edge(model, 0, 0, 0)(x) - Edge(changed, 0, 0, 0)(x)).detach().numpy() * (half[:, None] * weights).ravel()
    assert np.abs(rest).max() > 1e-4
    for power in range(degree + 1):
        assert abs(rest @ np.polynomial.chebyshev.Chebyshev.basis(power)(x.numpy())) < 1e-13


def test_only_the_edge_that_is_meant_changes(mixed_network):
    model = mixed_network
    before = curves(model)
    for edge in all_edges(model):
        after = curves(with_basis(model, *edge, Fourier(terms=2)))
        assert set(after) == set(before)
        changed = {other for other in before if not torch.equal(before[other], after[other])}
        assert changed == {edge}


def test_a_layer_changes_as_a_whole_and_alone(mixed_network):
    changed = with_basis(mixed_network, 0, None, None, Chebyshev(degree=12))
    assert {block.basis for block in changed.all_layers[0].all_blocks()} == {Chebyshev(degree=12)}
    before, after = curves(mixed_network), curves(changed)
    x = torch.linspace(-1, 1, 101, dtype=F64)
    for edge in before:
        if edge[0] == 1:
            assert torch.equal(before[edge], after[edge])
        else:  # base functions and symbols go into the new basis
            torch.testing.assert_close(
                Edge(changed, *edge)(x), Edge(mixed_network, *edge)(x), rtol=0, atol=2e-2 * float(before[edge].std())
            )
            assert not torch.equal(before[edge], after[edge])


def test_from_splines_to_polynomials_and_back(uniform):
    """A cubic is in both families, so nothing is lost."""
    x = torch.linspace(-1, 1, 40, dtype=F64)
    basis, ends = BSpline(grid=5, degree=3), torch.tensor([[-1.0, 1.0]], dtype=F64)
    cubic = 1 - 2 * x + 3 * x**3
    solved = np.linalg.lstsq(basis.values(x[:, None], ends)[:, 0].numpy(), cubic.numpy(), rcond=None)[0]
    other = uniform(-1, 1, basis.size, 1)
    coefficients = torch.cat([torch.tensor(solved)[:, None], other], dim=1)[None]
    layer = KANLayer.from_blocks([BasisBlock(basis, ends, coefficients)], (1, 1), 1)
    model = KAN.assemble([layer], sample=x[:, None], options=KAN([1, 1]).options)
    there = model.with_basis(0, 0, 0, Chebyshev(degree=3))
    assert len(there.all_layers[0].all_blocks()) == 2
    # 1 − 2x + 3x³ = T0 + (9/4 − 2)·T1 + (3/4)·T3
    np.testing.assert_allclose(
        there.edge(0, 0, 0).block.coefficients.detach()[0, :, 0], [1, 0.25, 0, 0.75], rtol=0, atol=1e-12
    )
    back = there.with_basis(0, 0, 0, basis)
    assert len(back.all_layers[0].all_blocks()) == 1  # joined with the edge that had stayed
    at = uniform(-1.4, 1.4, 50, 1)
    torch.testing.assert_close(there(at), model(at), rtol=0, atol=1e-12)
    torch.testing.assert_close(back(at), model(at), rtol=0, atol=1e-12)


def test_a_symbolic_edge_becomes_a_curve_on_the_range_of_the_sample(uniform):
    sources = torch.tensor([0])
    block = SymbolicBlock("exp", sources, sources, torch.tensor([[1.5, 0.2, 0.7, -1.0]], dtype=F64), shape=(1, 1))
    sample = uniform(-0.5, 2.0, 50, 1)
    model = Network([KANLayer.from_blocks([block], (1,), 1)], sample=sample)
    changed = with_basis(model, 0, 0, 0, BSpline(grid=20, degree=5))
    grid = changed.all_layers[0].all_blocks()[0].grid
    assert grid.tolist() == [[float(sample.min()), float(sample.max())]]
    torch.testing.assert_close(changed(sample), 0.7 * torch.exp(1.5 * sample + 0.2) - 1, rtol=0, atol=1e-7)


def test_a_base_function_goes_into_the_new_basis(network, uniform):
    model = network([1, 1], base="silu", basis=Chebyshev(degree=3))
    changed = with_basis(model, 0, 0, 0, Chebyshev(degree=24))
    (block,) = changed.all_layers[0].all_blocks()
    assert block.base is None
    x = uniform(-1, 1, 50, 1)
    torch.testing.assert_close(changed(x), model(x), rtol=0, atol=1e-11)


@pytest.mark.parametrize("edge", NO_EDGES)
def test_edges_that_cannot_be_are_refused(mixed_network, edge):
    for change in (lambda: with_basis(mixed_network, *edge, BSpline()), lambda: lock(mixed_network, *edge)):
        with pytest.raises(EdgeError, match="there is no"):
            change()


def test_pruned_edges_are_refused(mixed_network):
    for change in (
        lambda: with_basis(mixed_network, 1, 1, 0, BSpline()),
        lambda: lock(mixed_network, 1, 1, 0),
        lambda: lock(mixed_network, 1, 1, 0, locked=False),
        lambda: restored(mixed_network, 1, 1, 0, BSpline()),
    ):
        with pytest.raises(EdgeError, match=r"edge \(1, 1, 0\) was pruned"):
            change()
    with pytest.raises(EdgeError, match="there is no layer 2"):
        with_basis(mixed_network, 2, None, None, BSpline())


@pytest.mark.parametrize("given", [(), (1, BSpline()), (0, 0), (0, 0, 0), (BSpline(), 0, 0)])
def test_kan_with_basis_says_what_it_takes(given):
    with pytest.raises(OptionError, match="layer, input, output, basis"):
        KAN([2, 2, 1]).with_basis(0, *given)


def test_restored_shares_the_basis_of_the_layer_or_takes_the_one_given(mixed_network, uniform):
    shared = restored(mixed_network, 0, 0, 2, Gaussian(centers=3))
    assert shared.all_layers[0].block_of(0, 2).basis == BSpline(grid=3, degree=3)
    assert shared.all_layers[0].block_of(0, 2).base == "silu"
    edge = torch.tensor([0])
    block = SymbolicBlock("sin", edge, edge, torch.tensor([[1.0, 0.0, 1.0, 0.0]], dtype=F64), shape=(1, 1))
    alone = Network([KANLayer.from_blocks([block], (1,), 1)], sample=uniform(-1, 1, 20, 1))
    assert restored(alone, 0, 0, 0, Gaussian(centers=9)).all_layers[0].block_of(0, 0).basis == Gaussian(centers=9)


# ------------------------------------------------------------------------------------------------ locks


def test_lock_and_unlock_change_the_lock_alone(mixed_network, uniform):
    x = uniform(-1, 1, 30, 2)
    for edge in all_edges(mixed_network):
        layer, source, target = edge
        was = bool(mixed_network.all_layers[layer].locked[source, target])
        toggled = lock(mixed_network, *edge, locked=not was)
        for index, (before, after) in enumerate(zip(mixed_network.all_layers, toggled.all_layers, strict=True)):
            expected = before.locked.clone()
            if index == layer:
                expected[source, target] = not was
            assert torch.equal(after.locked, expected)
        assert torch.equal(toggled(x), mixed_network(x))
        again = lock(toggled, *edge, locked=was)
        assert torch.equal(again.all_layers[layer].locked, mixed_network.all_layers[layer].locked)


@pytest.mark.parametrize(
    "solver",
    [LevenbergMarquardt(), LBFGS(), Adam(learning_rate=0.05), Adam(batch=16)],
    ids=["lm", "lbfgs", "adam", "batch"],
)
def test_a_locked_edge_stays_bitwise_the_same_while_the_rest_trains(mixed_network, solver):
    data = create_dataset(
        lambda x: torch.stack([torch.sin(2 * x[:, 0]) + x[:, 1], x[:, 0] * x[:, 1]], dim=1),
        n_var=2,
        train_num=64,
        seed=2,
    )
    options = KAN([2, 1]).options
    model = KAN.assemble(mixed_network.all_layers, sample=mixed_network.sample, options=options)
    model = model.lock(1, 0, 0).lock(0, 0, 2)
    locked = {edge for edge in all_edges(model) if bool(model.all_layers[edge[0]].locked[edge[1], edge[2]])}
    assert locked == {(0, 0, 0), (0, 0, 2), (0, 1, 1), (0, 1, 4), (1, 0, 0)}
    before = curves(model)
    model.fit(data, solver=solver, steps=12)
    after = curves(model)
    assert {edge for edge in before if torch.equal(before[edge], after[edge])} == locked
    unlocked = model.unlock(0, 0, 0)
    unlocked.fit(data, solver=solver, steps=5)
    assert not torch.equal(curves(unlocked)[0, 0, 0], before[0, 0, 0])
