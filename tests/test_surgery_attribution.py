"""Attribution: shares of variation, from the outputs back."""

import math

import numpy as np
import pytest
import torch

from edgewise.errors import ShapeError
from edgewise.network import KANLayer, Network, SymbolicBlock, subnodes
from edgewise.surgery import attribution, scale_outputs

F64 = torch.float64


def line_layer(slopes, offsets=0.0):
    """A layer of straight edges: slopes[i][s], 0 for no edge."""
    slopes = torch.tensor(slopes, dtype=F64)
    source, target = slopes.nonzero(as_tuple=True)
    affine = torch.stack([torch.ones(len(source)), torch.zeros(len(source)), slopes[source, target]], dim=1)
    affine = torch.cat([affine, torch.full((len(source), 1), offsets)], dim=1).to(F64)
    return SymbolicBlock("x", source, target, affine, shape=tuple(slopes.shape))


def by_loops(model, x):
    """The scores by their definition, one edge at a time."""
    with torch.no_grad():
        trace = model.trace(x)
    node_scores = [1.0] * model.out_features
    all_nodes, all_edges = [], []
    for layer, values in zip(reversed(model.all_layers), reversed(trace.layers), strict=True):
        edges, sums = values.edges.numpy(), values.sums.numpy()
        scores = np.zeros(edges.shape[1:])
        for node, group in enumerate(subnodes(layer.nodes)):
            for subnode in group:
                for source in range(layer.in_features):
                    share = np.std(edges[:, source, subnode]) / np.std(sums[:, subnode])
                    scores[source, subnode] = node_scores[node] * share
        all_nodes.insert(0, node_scores)
        all_edges.insert(0, scores)
        node_scores = [math.sqrt(sum(score**2 for score in row)) for row in scores.tolist()]
    return node_scores, all_nodes, all_edges


@pytest.mark.parametrize("width", [[3, 1], [2, 3, 1], [2, [1, 2], 2], [3, [0, (2, 3)], 2, 1], [2, [0, 2]]], ids=str)
def test_scores_are_those_of_the_definition(network, uniform, width):
    model, x = network(width), uniform(-1, 1, 60, width[0])
    scores = attribution(model, x)
    inputs, nodes, edges = by_loops(model, x)
    np.testing.assert_allclose(scores.inputs, inputs, rtol=1e-10)
    assert len(scores.nodes) == len(scores.edges) == len(width) - 1
    for found, expected in zip(scores.nodes, nodes, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10)
    for found, expected in zip(scores.edges, edges, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_mixed_network(mixed_network):
    scores = attribution(mixed_network)
    inputs, _, edges = by_loops(mixed_network, mixed_network.sample)
    np.testing.assert_allclose(scores.inputs, inputs, rtol=1e-10)
    for found, expected, layer in zip(scores.edges, edges, mixed_network.all_layers, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        assert bool((found[~layer.mask] == 0).all())
        assert bool((found[layer.mask] > 0).all())


def test_independent_terms_share_the_variance():
    """On a full grid of points 3a + 4b has the shares 3/5 and 4/5."""
    points = torch.cartesian_prod(*[torch.linspace(-1, 1, 9, dtype=F64)] * 2)
    layer = KANLayer.from_blocks([line_layer([[3.0], [4.0]], offsets=7.0)], (1,), 2)
    scores = attribution(Network([layer], sample=points))
    torch.testing.assert_close(scores.inputs, torch.tensor([0.6, 0.8], dtype=F64))
    assert scores.nodes[0].tolist() == [1.0]


def test_scores_do_not_depend_on_units(network, uniform):
    model = network([2, 2, 2])
    scaled = scale_outputs(model, torch.tensor([1e6, -1e-6], dtype=F64), torch.tensor([3.0, 5.0], dtype=F64))
    x = uniform(-1, 1, 40, 2)
    for one, other in zip(attribution(model, x).edges, attribution(scaled, x).edges, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def test_the_sample_stands_in_for_data(network, uniform):
    model = network([2, 2, 1])
    assert torch.equal(attribution(model).inputs, attribution(model, model.sample).inputs)
    assert not torch.equal(attribution(model).inputs, attribution(model, uniform(-1, 1, 30, 2)).inputs)


def test_what_leads_nowhere_scores_zero(uniform):
    """Node 1 has no way out, input 2 no way in, and one output is constant."""
    first = line_layer([[1.0, 0.5], [2.0, 1.0], [0.0, 0.0]])
    second = SymbolicBlock(
        "x",
        torch.tensor([0, 0]),
        torch.tensor([0, 1]),
        torch.tensor([[1.0, 0, 2.0, 0], [1.0, 0, 0.0, 4.0]], dtype=F64),
        shape=(2, 2),
    )
    layers = [KANLayer.from_blocks([first], (1, 1), 3), KANLayer.from_blocks([second], (1, 1), 2)]
    scores = attribution(Network(layers, sample=uniform(-1, 1, 50, 3)))
    assert scores.edges[1].tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert scores.nodes[0].tolist() == [1.0, 0.0]
    assert bool((scores.edges[0][:, 1] == 0).all())
    assert scores.inputs[2] == 0
    assert bool((scores.inputs[:2] > 0).all())


@pytest.mark.parametrize("constant", [1e6, 0.0])
def test_a_sum_that_is_constant_to_rounding_scores_zero(uniform, constant):
    """0.3x + 0.4x − 0.7x moves by rounding errors only, with a large constant or without."""
    first = line_layer([[1.0, 1.0, 1.0]])
    affine = torch.tensor([[1.0, 0, 0.3, constant], [1.0, 0, 0.4, 0], [1.0, 0, -0.7, 0]], dtype=F64)
    nodes = torch.arange(3)
    second = SymbolicBlock("x", nodes, torch.zeros_like(nodes), affine, shape=(3, 1))
    layers = [KANLayer.from_blocks([first], (1, 1, 1), 1), KANLayer.from_blocks([second], (1,), 3)]
    model = Network(layers, sample=uniform(-1, 1, 50, 1))
    assert float(model.trace(model.sample).layers[1].sums.detach().std()) > 0
    assert attribution(model).inputs.tolist() == [0.0]


def test_one_row_has_no_variation(network):
    scores = attribution(network([2, 2, 1]), torch.zeros(1, 2, dtype=F64))
    assert all(bool((edges == 0).all()) for edges in scores.edges)
    assert scores.nodes[-1].tolist() == [1.0]


def test_other_columns_are_refused(network, uniform):
    with pytest.raises(ShapeError):
        attribution(network([2, 1]), uniform(-1, 1, 10, 3))
