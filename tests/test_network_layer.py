"""`KANLayer`, which stands where `nn.Linear` stands."""

import itertools

import pytest
import torch
from torch import nn

from edgewise.basis import BSpline, Chebyshev, Fourier, Gaussian, MexicanHat
from edgewise.errors import DomainError, OptionError, ShapeError
from edgewise.network import KANLayer, domain_grid, linear_coefficients

F64 = torch.float64


@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (0,), (2, 0, 3), (1, 1, 1)])
def test_any_leading_batch_shape(leading, uniform):
    layer = KANLayer(4, 3, dtype=F64, seed=0)
    x = uniform(-1, 1, *leading, 4)
    y = layer(x)
    assert y.shape == nn.Linear(4, 3, dtype=F64)(x).shape == (*leading, 3)
    torch.testing.assert_close(y.reshape(-1, 3), layer(x.reshape(-1, 4)))


def test_strided_inputs(uniform):
    layer = KANLayer(4, 3, dtype=F64, seed=0)
    x = uniform(-1, 1, 4, 5, 2).permute(2, 1, 0)
    assert not x.is_contiguous()
    torch.testing.assert_close(layer(x), layer(x.contiguous()))


def test_a_layer_among_other_modules_learns(rng):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), KANLayer(8, 8, seed=0), nn.LayerNorm(8), KANLayer(8, 1, seed=1))
    x = 2 * torch.rand(128, 2, generator=rng) - 1
    y = (x[:, :1] * 3).sin() * x[:, 1:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 20


def test_defaults():
    layer = KANLayer(3, 2)
    block = layer.all_blocks()[0]
    assert {parameter.dtype for parameter in layer.parameters()} == {torch.float32}
    assert block.base == "silu"
    assert block.basis == BSpline(grid=5, degree=3)
    assert block.grid.tolist() == [[-1.0, 1.0]] * 3
    assert layer.nodes == (1, 1)
    assert (layer.in_features, layer.out_features, layer.subnodes) == (3, 2, 2)
    assert layer.mask.all()
    assert not layer.locked.any()


def test_the_dtype_follows_torch(uniform):
    torch.set_default_dtype(F64)
    try:
        layer = KANLayer(3, 2)
    finally:
        torch.set_default_dtype(torch.float32)
    assert layer(uniform(-1, 1, 5, 3)).dtype == F64


@pytest.mark.parametrize("basis", [BSpline(5, 3), Chebyshev(5), Fourier(3), Gaussian(5), MexicanHat(2)], ids=str)
def test_moving_to_another_dtype_or_device_moves_everything(basis, uniform):
    layer = KANLayer(3, 2, basis=basis, nodes=(1, 2), seed=0)
    x = uniform(-1.5, 1.5, 7, 3)
    single, double = layer(x.float()), layer.double()(x)
    assert double.dtype == F64
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)
    # A tensor left behind anywhere would be an error on the device "meta", which every machine has.
    layer.to("meta")
    assert {tensor.device.type for tensor in layer.state_dict().values()} == {"meta"}
    assert layer(x.to("meta")).shape == (7, 2)


def test_a_seed_makes_the_start_reproducible():
    first, again, other = KANLayer(3, 2, seed=4), KANLayer(3, 2, seed=4), KANLayer(3, 2, seed=5)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first.all_blocks()[0].coefficients, other.all_blocks()[0].coefficients)


def test_seeds_leave_the_global_generator_alone():
    torch.manual_seed(1)
    KANLayer(3, 2, seed=4)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(3))


def test_without_a_seed_the_global_generator_is_used():
    torch.manual_seed(1)
    first = KANLayer(3, 2)
    torch.manual_seed(1)
    again, next_one = KANLayer(3, 2), KANLayer(3, 2)
    assert torch.equal(first.all_blocks()[0].coefficients, again.all_blocks()[0].coefficients)
    assert not torch.equal(first.all_blocks()[0].coefficients, next_one.all_blocks()[0].coefficients)


@pytest.mark.parametrize("base", ["silu", None])
def test_the_start_roughly_keeps_the_variance_through_four_layers(base, uniform):
    # The start balances the variance forward against that of gradients backward, so it keeps neither exactly.
    h = uniform(-1, 1, 500, 64)
    variances = [float(h.var())]
    for index in range(4):
        h = KANLayer(64, 64, base=base, dtype=F64, seed=index)(h).detach()
        variances.append(float(h.var()))
    assert all(0.5 < after / before < 2 for before, after in itertools.pairwise(variances))
    assert 0.3 < variances[-1] / variances[0] < 2


@pytest.mark.parametrize("scale", [1e-3, 30.0])
def test_the_start_does_not_depend_on_the_unit_of_the_inputs(scale, uniform):
    x = uniform(-1, 1, 50, 8)
    plain = KANLayer(8, 8, base=None, dtype=F64, seed=0)
    scaled = KANLayer(8, 8, base=None, domain=(-scale, scale), dtype=F64, seed=0)
    torch.testing.assert_close(scaled(scale * x), plain(x))


@pytest.mark.parametrize("base", ["silu", None])
def test_the_start_keeps_the_variance_of_gradients(base, uniform):
    layer = KANLayer(64, 64, base=base, dtype=F64, seed=0)
    x = uniform(-1, 1, 500, 64).requires_grad_()
    delta = uniform(-1, 1, 500, 64)
    (back,) = torch.autograd.grad(layer(x), x, delta)
    assert 0.4 < float(back.var() / delta.var()) < 2.5


@pytest.mark.parametrize("nodes", [(1, 2, 1), (3,), (2, 2)])
def test_product_nodes_multiply_sums(nodes, uniform):
    layer = KANLayer(3, len(nodes), nodes=nodes, dtype=F64, seed=0)
    x = uniform(-1, 1, 4, 3)
    sums = layer.sums(x)
    assert sums.shape == (4, sum(nodes))
    torch.testing.assert_close(layer(x), torch.stack([part.prod(dim=1) for part in sums.split(nodes, dim=1)], dim=1))
    torch.testing.assert_close(layer.merged(sums), layer(x))
    assert layer.subnodes == sum(nodes)


def test_traces_add_up(mixed_network, uniform):
    for layer in mixed_network.all_layers:
        x = uniform(-1.2, 1.2, 5, layer.in_features)
        trace = layer.trace(x)
        assert trace.inputs is x
        assert trace.edges.shape == (5, layer.in_features, layer.subnodes)
        assert not trace.edges[:, ~layer.mask].any()
        torch.testing.assert_close(trace.sums, trace.edges.sum(dim=1))
        torch.testing.assert_close(trace.sums, layer.sums(x))
        torch.testing.assert_close(trace.outputs, layer(x))


def test_adjoints_are_gradients(mixed_network, uniform, normal):
    for layer in mixed_network.all_layers:
        x = uniform(-1.2, 1.2, 5, layer.in_features).requires_grad_()
        delta = normal(5, layer.out_features)
        sums = layer.sums(x)
        at_sums, back = layer.adjoint(x.detach(), sums.detach(), delta)
        wanted = torch.autograd.grad(layer.merged(sums), (sums, x), delta)
        torch.testing.assert_close((at_sums, back), wanted)


def test_blocks_serve_their_edges(mixed_network):
    layer = mixed_network.all_layers[0]
    splines, sines = layer.all_blocks()
    assert layer.block_of(0, 0) is splines
    assert layer.block_of(0, 2) is sines
    assert layer.block_of(1, 1) is sines
    assert torch.equal(layer.mask, splines.mask | sines.mask)
    assert torch.equal(layer.locked, splines.locked | sines.locked)
    emptied = layer.map_blocks(lambda block: block.restricted(block.mask & (torch.arange(5) > 0)))
    assert emptied.block_of(0, 0) is None
    assert emptied.block_of(0, 1) is not None


def test_blocks_without_edges_are_dropped_but_for_the_last(mixed_network, uniform):
    layer = mixed_network.all_layers[0]
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    only_splines = layer.map_blocks(lambda b: b if b is layer.all_blocks()[0] else b.restricted(nothing))
    assert len(only_splines.all_blocks()) == 1
    empty = layer.map_blocks(lambda b: b.restricted(nothing))
    assert len(empty.all_blocks()) == 1
    assert empty.nodes == layer.nodes
    assert torch.equal(empty(uniform(-1, 1, 3, 2)), torch.zeros(3, 3, dtype=F64))


def test_layers_show_what_they_are():
    assert "(3, 2" in repr(KANLayer(3, 2)).replace("KANLayer(\n  ", "(")
    assert "nodes=(1, 2)" in repr(KANLayer(3, 2, nodes=(1, 2)))
    assert "nodes" not in repr(KANLayer(3, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_features": 0}, "in_features is a whole number of 1 or more, got 0"),
        ({"out_features": 2.0}, r"out_features is a whole number of 1 or more, got 2\.0"),
        ({"nodes": (1, 2, 1)}, "2 outputs need as many nodes, got 3"),
        ({"nodes": (1, 0)}, r"1 or more factors, got nodes=\(1, 0\)"),
        ({"base": "relu"}, "unknown base function 'relu'"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        KANLayer(**{"in_features": 3, "out_features": 2, **options})


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ((1.0, -1.0), r"domain of input 0 must have finite ends with low < high, got \(1\.0, -1\.0\)"),
        ((1.0, 1.0), r"got \(1\.0, 1\.0\)"),
        ([(0, 1), (2, 1), (0, 1)], r"domain of input 1 .* got \(2\.0, 1\.0\)"),
        ((0.0, float("inf")), r"got \(0\.0, inf\)"),
        ((float("nan"), 1.0), "got \\(nan, 1\\.0\\)"),
        ([(0, 1), (0, 1)], r"\(low, high\) or one such pair for each of 3 inputs, got shape \(2, 2\)"),
        ((0.0, 0.5, 1.0), r"got shape \(3,\)"),
        ((1.0, 1.0 + 1e-9), r"got \(1\.0, 1\.0\)"),  # they are one number in float32
    ],
)
def test_impossible_domains_are_refused(domain, message):
    with pytest.raises(DomainError, match=message):
        KANLayer(3, 2, domain=domain)


def test_a_domain_for_all_inputs_or_for_each():
    assert domain_grid((0, 2), 2, F64).tolist() == [[0.0, 2.0]] * 2
    assert domain_grid([(0, 2), (-1, 1)], 2, F64).tolist() == [[0.0, 2.0], [-1.0, 1.0]]
    assert domain_grid([(0, 2)], 1, torch.float32).dtype == torch.float32


def test_inputs_of_another_width_are_refused():
    with pytest.raises(ShapeError, match=r"the layer takes inputs of shape \(\.\.\., 3\), got \(5, 2\)"):
        KANLayer(3, 2)(torch.zeros(5, 2))
    with pytest.raises(ShapeError, match=r"got \(\)"):
        KANLayer(3, 2)(torch.zeros(()))


@pytest.mark.parametrize("basis", [BSpline(4, 1), BSpline(3, 5), Chebyshev(3)], ids=str)
def test_linear_coefficients_are_the_input_in_units_of_its_domain(basis, uniform):
    grid = torch.tensor([[0.0, 4.0], [-1.0, 1.0]], dtype=F64)
    c = linear_coefficients(basis, grid)
    x = uniform(0, 1, 20, 2) * (grid[:, 1] - grid[:, 0]) + grid[:, 0]
    u = torch.einsum("nim,im->ni", basis.values(x, grid), c)
    torch.testing.assert_close(u, (x - grid[:, 0]) / (grid[:, 1] - grid[:, 0]) * 2 - 1)
