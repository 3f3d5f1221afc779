"""One edge to look at: values, derivatives, table, picture."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.interpolate import BSpline as Reference

from edgewise.basis import BSpline, Chebyshev, Fourier, Gaussian, MexicanHat
from edgewise.errors import EdgeError
from edgewise.network import BasisBlock, KANLayer, Network, SymbolicBlock
from edgewise.surgery import Edge

F64 = torch.float64
FAMILIES = [BSpline(grid=4, degree=5), Chebyshev(degree=6), Fourier(terms=2), Gaussian(centers=5), MexicanHat(scales=2)]


def symbolic_network(primitive, affine, sample):
    """Edges of one input and one output each, which share a block."""
    edges = torch.arange(len(affine))
    block = SymbolicBlock(
        primitive, torch.zeros_like(edges), edges, torch.tensor(affine, dtype=F64), shape=(1, len(affine))
    )
    return Network([KANLayer.from_blocks([block], (1,) * len(affine), 1)], sample=sample)


def test_values_are_those_of_the_trace(mixed_network, uniform):
    trace = mixed_network.trace(uniform(-1.3, 1.3, 40, 2))
    for index, layer in enumerate(mixed_network.all_layers):
        for source, target in layer.mask.nonzero().tolist():
            edge = Edge(mixed_network, index, source, target)
            values = trace.layers[index]
            torch.testing.assert_close(
                edge(values.inputs[:, source]), values.edges[:, source, target], rtol=1e-14, atol=1e-15
            )


@pytest.mark.parametrize(("grid", "degree"), [(1, 1), (3, 2), (5, 3), (4, 6)])
def test_splines_are_those_of_scipy(network, grid, degree):
    model = network([2, 2], basis=BSpline(grid=grid, degree=degree))
    coefficients = model.all_layers[0].all_blocks()[0].coefficients.detach()
    knots = -1 + 2 / grid * np.arange(-degree, grid + degree + 1)
    x = np.linspace(-1, 1, 57)[:-1]
    for source, target in [(0, 1), (1, 0)]:
        edge = Edge(model, 0, source, target)
        reference = Reference(knots, coefficients[source, :, target].numpy(), degree)
        np.testing.assert_allclose(edge(torch.tensor(x)).detach(), reference(x), rtol=0, atol=1e-13)
        for order in range(1, min(degree, 4)):
            np.testing.assert_allclose(
                edge.derivative(order)(torch.tensor(x)), reference(x, nu=order), rtol=0, atol=1e-10 * grid**order
            )


@pytest.mark.parametrize("base", [None, "silu"])
@pytest.mark.parametrize("basis", FAMILIES, ids=str)
def test_derivatives_are_those_of_finite_differences(network, uniform, basis, base):
    edge = Edge(network([3, 2], basis=basis, base=base), 0, 2, 1)
    x, step = uniform(-0.95, 0.95, 30), 1e-5
    lower = edge
    for order in (1, 2, 3):
        exact = edge.derivative(order)
        differences = (lower(x + step) - lower(x - step)).detach() / (2 * step)
        torch.testing.assert_close(exact(x), differences, rtol=0, atol=1e-6 * float(exact(x).abs().max()))
        lower = exact


def test_derivatives_of_named_edges(uniform):
    model = symbolic_network("tanh", [[1.5, 0.3, -2.0, 0.1]], uniform(-1, 1, 10, 1))
    edge, x = Edge(model, 0, 0, 0), uniform(-2, 2, 25)
    t = torch.tanh(1.5 * x + 0.3)
    torch.testing.assert_close(edge(x).detach(), -2 * t + 0.1)
    torch.testing.assert_close(edge.derivative()(x), -2 * 1.5 * (1 - t**2))
    torch.testing.assert_close(edge.derivative(2)(x), -2 * 1.5**2 * -2 * t * (1 - t**2))
    torch.testing.assert_close(edge.derivative(3)(x), -2 * 1.5**3 * (1 - t**2) * (6 * t**2 - 2))


def test_derivatives_of_a_line_and_of_a_constant_vanish(uniform):
    x = uniform(-1, 1, 7)
    line = Edge(symbolic_network("x", [[2.0, 1.0, 3.0, 0.0]], uniform(-1, 1, 10, 1)), 0, 0, 0)
    assert torch.equal(line.derivative(1)(x), torch.full_like(x, 6.0))
    assert torch.equal(line.derivative(2)(x), torch.zeros_like(x))
    constant = Edge(symbolic_network("0", [[1.0, 0.0, 1.0, 0.5]], uniform(-1, 1, 10, 1)), 0, 0, 0)
    assert torch.equal(constant(x).detach(), torch.full_like(x, 0.5))
    assert torch.equal(constant.derivative(1)(x), torch.zeros_like(x))


@pytest.mark.parametrize("basis", FAMILIES, ids=str)
def test_derivatives_at_the_ends_of_the_domain_are_those_inside(network, basis):
    edge = Edge(network([1, 1], basis=basis), 0, 0, 0)
    ends, inside = torch.tensor([-1.0, 1.0], dtype=F64), torch.tensor([-1 + 1e-9, 1 - 1e-9], dtype=F64)
    for order in (1, 2, 3):
        exact = edge.derivative(order)
        torch.testing.assert_close(exact(ends), exact(inside), rtol=1e-5, atol=1e-5)


def test_curves_are_straight_beyond_the_domain(network):
    edge = Edge(network([1, 1]), 0, 0, 0)
    x = torch.tensor([-3.0, -1.5, 1.5, 4.0], dtype=F64)
    slopes = edge.derivative(1)(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=F64))
    torch.testing.assert_close(edge.derivative(1)(x), slopes)
    assert torch.equal(edge.derivative(2)(x), torch.zeros_like(x))


def test_other_edges_with_singular_points_do_not_get_in():
    """Two roots of the same input in one block: where one has no value the other still has its derivatives."""
    sample = torch.linspace(0.01, 0.2, 20, dtype=F64)[:, None]
    edge = Edge(symbolic_network("sqrt", [[1.0, 0.0, 1.0, 0.0], [-4.0, 1.0, 1.0, 0.0]], sample), 0, 0, 0)
    x = torch.tensor([0.1, 0.25, 2.0], dtype=F64)
    torch.testing.assert_close(edge.derivative(1)(x), x.rsqrt() / 2)
    torch.testing.assert_close(edge.derivative(2)(x), -(x**-1.5) / 4)


def test_any_shape(network, uniform):
    edge = Edge(network([2, 1]), 0, 1, 0)
    for shape in ((), (0,), (5,), (2, 3, 4)):
        x = uniform(-1, 1, *shape)
        assert edge(x).shape == edge.derivative(2)(x).shape == shape
        torch.testing.assert_close(edge(x).flatten(), edge(x.flatten()))


def test_nan_stays_nan_and_alone(network):
    edge = Edge(network([2, 1]), 0, 1, 0)
    x = torch.tensor([0.1, float("nan"), 0.4], dtype=F64)
    for values in (edge(x), edge.derivative(1)(x)):
        assert values.isnan().tolist() == [False, True, False]


def test_the_table_runs_over_the_domain(basis_block):
    block = basis_block(2, 1, grid=torch.tensor([[-2.0, 5.0], [0.0, 0.25]], dtype=F64))
    model = Network([KANLayer.from_blocks([block], (1,), 2)], sample=torch.zeros(3, 2, dtype=F64))
    for source, ends in enumerate([(-2.0, 5.0), (0.0, 0.25)]):
        edge = Edge(model, 0, source, 0)
        table = edge.table(points=11)
        assert edge.domain == ends
        np.testing.assert_allclose(table["x"], np.linspace(*ends, 11), rtol=0, atol=1e-15)
        assert torch.equal(table["y"], edge(table["x"]))
        assert not table["y"].requires_grad
        assert len(edge.table()["x"]) == 200


def test_a_named_edge_runs_over_the_values_that_arrive(uniform):
    sample = uniform(0.2, 0.9, 30, 1)
    edge = Edge(symbolic_network("log", [[1.0, 0.0, 1.0, 0.0]], sample), 0, 0, 0)
    assert edge.domain == (float(sample.min()), float(sample.max()))
    assert edge.name == "log"
    assert bool(edge.table()["y"].isfinite().all())


def test_the_name_is_that_of_the_primitive(mixed_network):
    assert Edge(mixed_network, 0, 0, 2).name == "sin"
    assert Edge(mixed_network, 1, 2, 1).name == "tanh"
    assert Edge(mixed_network, 0, 0, 0).name is None


def test_the_sample_is_what_arrives(mixed_network):
    values = mixed_network.trace(mixed_network.sample).layers[1].inputs
    assert torch.equal(Edge(mixed_network, 1, 2, 0).sample, values[:, 2])


def test_the_picture_shows_table_sample_and_name(mixed_network):
    for index, label in {(0, 0, 0): None, (0, 0, 2): "sin"}.items():
        edge = Edge(mixed_network, *index)
        figure = edge.plot()
        assert isinstance(figure, Figure)
        (axes,) = figure.axes
        lines = {line.get_gid(): line for line in axes.lines}
        np.testing.assert_array_equal(lines["curve"].get_xdata(), edge.table()["x"])
        np.testing.assert_array_equal(lines["curve"].get_ydata(), edge.table()["y"])
        np.testing.assert_array_equal(lines["points"].get_xdata(), edge.sample)
        assert str(index) in axes.get_title() + axes.get_title(loc="left")
        legend = axes.get_legend()
        assert (None if legend is None else legend.get_texts()[0].get_text()) == label


@pytest.mark.parametrize("index", [(2, 0, 0), (-1, 0, 0), (0, 2, 0), (0, 0, 5), (0, -1, 0), (1, 0, 2)])
def test_edges_out_of_range_are_refused(mixed_network, index):
    with pytest.raises(EdgeError, match="there is no"):
        Edge(mixed_network, *index)


def test_pruned_edges_are_refused(basis_block):
    block = basis_block(2, 2, mask=torch.tensor([[True, False], [True, True]]))
    model = Network([KANLayer.from_blocks([block], (1, 1), 2)], sample=torch.zeros(3, 2, dtype=F64))
    assert isinstance(Edge(model, 0, 0, 0).block, BasisBlock)
    with pytest.raises(EdgeError, match=r"edge \(0, 0, 1\) was pruned"):
        Edge(model, 0, 0, 1)
