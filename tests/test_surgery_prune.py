"""Pruning leaves out what carries next to nothing, and keeps the constants of what it leaves out."""

import pytest
import torch

from edgewise.basis import BSpline, Chebyshev, Fourier, Gaussian, MexicanHat
from edgewise.data import create_dataset
from edgewise.errors import OptionError
from edgewise.kan import KAN
from edgewise.network import KANLayer, Network, SymbolicBlock, subnodes
from edgewise.surgery import attribution, lock, prune, prune_inputs, without_edges

F64 = torch.float64
STRUCTURES = [[3, 1], [2, 3, 1], [2, [1, 2], 2], [3, [2, (2, 3)], 1], [2, 2, [1, 1]]]


def named_layer(primitive, rows, shape, nodes=None, locked=None):
    """A layer of one primitive: rows of source, target, a, b, c, d."""
    source, target = torch.tensor([row[:2] for row in rows]).T
    affine = torch.tensor([row[2:] for row in rows], dtype=F64)
    block = SymbolicBlock(primitive, source, target, affine, shape=shape, locked=locked)
    return KANLayer.from_blocks([block], nodes or (1,) * shape[1], shape[0])


def faint(model, layer, edges, factor=1e-4):
    """The network with some edges made faint: what they give is nearly constant, but not zero."""
    block = model.all_layers[layer].all_blocks()[0]
    constant = 0.7 * torch.tensor(block.basis.ones(), dtype=F64)
    with torch.no_grad():
        for source, target in edges:
            curve = block.coefficients[source, :, target]
            block.coefficients[source, :, target] = constant + factor * curve
    return model


@pytest.mark.parametrize("width", STRUCTURES, ids=str)
def test_thresholds_of_zero_keep_everything(network, uniform, width):
    model = network(width)
    same = prune(model, node_threshold=0, edge_threshold=0)
    assert same.width == model.width
    assert list(same.state_dict()) == list(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name]), name


@pytest.mark.parametrize("width", STRUCTURES, ids=str)
def test_every_node_keeps_an_incoming_edge_whatever_the_thresholds(network, width):
    model = network(width)
    smallest = prune(model, node_threshold=1e9, edge_threshold=1e9)
    assert smallest.in_features == model.in_features
    assert smallest.all_layers[-1].nodes == model.all_layers[-1].nodes
    for layer in smallest.all_layers:
        assert layer.mask.sum(dim=0).tolist() == [1] * layer.subnodes
    for layer in smallest.all_layers[1:]:
        assert bool(layer.mask.any(dim=1).all())  # no node without a way out
    strongest = attribution(model).edges[-1].argmax(dim=0)
    if len(width) == 2:
        assert torch.equal(smallest.all_layers[0].mask.to(torch.int).argmax(dim=0), strongest)


@pytest.mark.parametrize(
    "basis", [BSpline(), Chebyshev(degree=5), Fourier(terms=2), Gaussian(centers=6), MexicanHat(scales=2)], ids=str
)
def test_the_mean_of_what_goes_stays(network, uniform, basis):
    model = faint(network([3, 2], basis=basis, base="silu"), 0, [(0, 0), (1, 0), (2, 1)])
    block = model.all_layers[0].all_blocks()[0]
    with torch.no_grad():
        for edge in [(0, 0), (1, 0), (2, 1)]:
            block.base_weight[edge] *= 1e-4
    x = uniform(-1, 1, 200, 3)
    pruned = prune(model, x)
    gone = torch.tensor([[True, False], [True, False], [False, True]])
    assert torch.equal(pruned.all_layers[0].mask, ~gone)
    torch.testing.assert_close(pruned(x).mean(dim=0), model(x).mean(dim=0), rtol=0, atol=1e-13)
    difference = (pruned(x) - model(x)).abs().max()
    assert 0 < difference < 1e-2  # what went was not zero, but nearly constant


def test_dead_nodes_and_edges_go_and_the_rest_is_as_it_was(network, uniform):
    model = network([3, [2, 2], 1])
    last = model.all_layers[1].all_blocks()[0]
    with torch.no_grad():
        last.coefficients[1] = 0.25  # the second sum gives a constant
        last.coefficients[3] = 0.0  # the second product gives nothing
        model.all_layers[0].all_blocks()[0].coefficients[2, :, 2] = -0.5
    x = uniform(-1, 1, 50, 3)
    pruned = prune(model, x, node_threshold=1e-9, edge_threshold=1e-9)
    assert pruned.width == [3, [1, (2,)], 1]
    expected = torch.ones(3, 3, dtype=torch.bool)
    expected[2, 1] = False
    assert torch.equal(pruned.all_layers[0].mask, expected)
    torch.testing.assert_close(pruned(x), model(x), rtol=0, atol=1e-13)


def test_a_faint_node_goes_even_if_no_edge_of_it_is_faintest(network, uniform):
    """Edges are kept at threshold 0, so that only the node's own score counts."""
    model = network([2, 3, 1])
    with torch.no_grad():
        model.all_layers[1].all_blocks()[0].coefficients[1] *= 1e-3
    scores = attribution(model).nodes[0]
    assert scores.argmin() == 1
    pruned = prune(model, node_threshold=2 * float(scores[1]), edge_threshold=0)
    assert pruned.width == [2, 2, 1]
    x = uniform(-1, 1, 30, 2)
    kept = [0, 2]
    torch.testing.assert_close(
        pruned.trace(x).layers[0].outputs, model.trace(x).layers[0].outputs[:, kept], rtol=0, atol=1e-14
    )


def test_products_keep_all_their_factors(uniform):
    """One factor is nearly constant; the product still needs it."""
    first = named_layer("x", [(0, 0, 1, 0, 1, 0), (1, 1, 1, 0, 1e-6, 3), (0, 1, 1, 0, 1e-9, 0.5)], (2, 2), nodes=(2,))
    second = named_layer("x", [(0, 0, 1, 0, 1, 0)], (1, 1))
    x = uniform(-1, 1, 100, 2)
    model = Network([first, second], sample=x)
    pruned = prune(model)
    assert pruned.width == [2, [0, (2,)], 1]
    assert pruned.all_layers[0].mask.tolist() == [[True, False], [False, True]]
    torch.testing.assert_close(pruned(x), 3.5 * x[:, :1], rtol=0, atol=1e-5)


def test_a_constant_output_keeps_its_value_and_an_edge(uniform):
    layer = named_layer("x", [(0, 0, 1, 0, 0, 2), (1, 0, 1, 0, 0, 5), (0, 1, 1, 0, 1, 0)], (2, 2))
    x = uniform(-1, 1, 20, 2)
    pruned = prune(Network([layer], sample=x))
    assert pruned.all_layers[0].mask.tolist() == [[True, True], [False, False]]
    torch.testing.assert_close(pruned(x), torch.stack([torch.full((20,), 7.0, dtype=F64), x[:, 0]], dim=1))


def test_an_output_without_edges_stays_zero(network, uniform):
    model = network([2, 2])
    gone = torch.tensor([[True, False], [True, False]])
    bare = model.with_layer(0, without_edges(model.all_layers[0], gone))
    x = uniform(-1, 1, 20, 2)
    pruned = prune(bare, x)
    assert not bool(pruned.all_layers[0].mask[:, 0].any())
    assert torch.equal(pruned(x)[:, 0], torch.zeros(20, dtype=F64))


def test_locked_edges_do_not_take_constants_while_others_can(uniform):
    rows = [(0, 0, 1, 0, 1, 0.1), (1, 0, 1, 0, 2, 0.2), (2, 0, 1, 0, 1e-6, 5)]
    locked = torch.tensor([True, False, False])
    x = uniform(-1, 1, 50, 3)
    pruned = prune(Network([named_layer("x", rows, (3, 1), locked=locked)], sample=x))
    block = pruned.all_layers[0].all_blocks()[0]
    assert block.locked_edges.tolist() == [True, False]
    assert block.affine[0].tolist() == [1, 0, 1, 0.1]
    mean = 5 + 1e-6 * float(x[:, 2].mean())
    assert block.affine[1].tolist() == pytest.approx([1, 0, 2, 0.2 + mean], abs=1e-14)
    alone = prune(Network([named_layer("x", rows[::2], (3, 1), locked=locked[::2])], sample=x))
    assert float(alone(torch.zeros(1, 3, dtype=F64)).detach()) == pytest.approx(0.1 + mean, abs=1e-13)


def test_edges_that_stay_are_the_ones_above_the_threshold(network, uniform):
    model, x = network([4, 3]), uniform(-1, 1, 80, 4)
    scores = attribution(model, x).edges[0]
    for threshold in (0.2, 0.5, 0.8):
        kept = prune(model, x, edge_threshold=threshold).all_layers[0].mask
        expected = scores >= threshold
        for target in range(3):
            if not bool(expected[:, target].any()):
                expected[scores[:, target].argmax(), target] = True
        assert torch.equal(kept, expected)


def test_blocks_locks_and_base_functions_survive(mixed_network):
    pruned = prune(mixed_network, edge_threshold=0.2, node_threshold=0)
    assert pruned.width == mixed_network.width
    removed = 0
    for before, after in zip(mixed_network.all_layers, pruned.all_layers, strict=True):
        removed += int(before.mask.sum() - after.mask.sum())
        assert torch.equal(after.locked, before.locked & after.mask)
        for source, target in after.mask.nonzero().tolist():
            old, new = before.block_of(source, target), after.block_of(source, target)
            assert type(new) is type(old)
            if isinstance(old, SymbolicBlock):
                assert new.primitive == old.primitive
            else:
                assert (new.basis, new.base) == (old.basis, old.base)
                assert old.base_weight is None or new.base_weight[source, target] == old.base_weight[source, target]
    assert removed > 0


def test_pruning_finds_the_structure_of_a_sum():
    data = create_dataset(lambda x: torch.sin(3 * x[:, 0]) + x[:, 2] ** 2, n_var=4, train_num=200, seed=0)
    model = KAN([4, 1], seed=0)
    model.fit(data, steps=15)
    pruned = model.prune()
    assert pruned.all_layers[0].mask.flatten().tolist() == [True, False, True, False]
    error = (pruned(data.test_input) - data.test_target).detach().square().mean().sqrt()
    assert error < 5e-3


def test_locks_survive(network, uniform):
    model = lock(network([3, 3, 1]), 0, 2, 1)
    pruned = prune(model, uniform(-1, 1, 50, 3), edge_threshold=0.1, node_threshold=0)
    assert torch.equal(pruned.all_layers[0].locked, model.all_layers[0].locked & pruned.all_layers[0].mask)


@pytest.mark.parametrize("options", [{"node_threshold": -0.1}, {"edge_threshold": -1e-9}])
def test_negative_thresholds_are_refused(network, options):
    with pytest.raises(OptionError, match="0 or more"):
        prune(network([2, 1]), **options)


# ------------------------------------------------------------------------------------------------ inputs


def test_faint_inputs_are_cut_off_and_their_means_stay(network, uniform):
    model = faint(network([3, 2]), 0, [(1, 0), (1, 1)])
    x = uniform(-1, 1, 100, 3)
    cut = prune_inputs(model, x)
    assert cut.in_features == 3
    assert cut.all_layers[0].mask.any(dim=1).tolist() == [True, False, True]
    torch.testing.assert_close(cut(x).mean(dim=0), model(x).mean(dim=0), rtol=0, atol=1e-13)
    other = x.clone()
    other[:, 1] = uniform(-1, 1, 100)
    assert torch.equal(cut(other), cut(x))
    assert not torch.equal(model(other), model(x))


def test_a_node_keeps_its_edges_when_all_of_its_inputs_are_faint(network, uniform):
    model = network([2, 2])
    with torch.no_grad():
        model.all_layers[0].all_blocks()[0].coefficients[:, :, 0] *= 1e-3
    kept = prune_inputs(model, uniform(-1, 1, 40, 2), threshold=1e9)
    assert torch.equal(kept.all_layers[0].mask, model.all_layers[0].mask)


def test_deeper_layers_are_left_alone(network, uniform):
    model = faint(network([2, [1, 1], 1]), 0, [(0, 0), (0, 1), (0, 2)])
    cut = prune_inputs(model, uniform(-1, 1, 60, 2))
    assert cut.width == model.width
    assert cut.all_layers[0].mask.tolist() == [[False] * 3, [True] * 3]
    for name, tensor in model.all_layers[1].state_dict().items():
        assert torch.equal(tensor, cut.all_layers[1].state_dict()[name])


def test_a_negative_threshold_of_inputs_is_refused(network):
    with pytest.raises(OptionError, match="0 or more"):
        prune_inputs(network([2, 1]), threshold=-1)


def test_groups_of_factors_stay_together(network):
    """Node numbers shift when nodes go; factors must follow their product."""
    model = network([2, [2, (2, 3)], 1])
    with torch.no_grad():
        model.all_layers[1].all_blocks()[0].coefficients[[0, 2]] = 0.0
    pruned = prune(model, node_threshold=1e-9, edge_threshold=0)
    assert pruned.all_layers[0].nodes == (1, 3)
    groups = subnodes(model.all_layers[0].nodes)
    chosen = [*groups[1], *groups[3]]
    x = model.sample
    torch.testing.assert_close(
        pruned.trace(x).layers[0].sums, model.trace(x).layers[0].sums[:, chosen], rtol=0, atol=1e-14
    )
