"""The Jacobian assembled from a network's structure, against autograd and finite differences."""

import pytest
import torch
from torch.func import functional_call, jacrev, vmap

from edgewise.basis import BSpline, Chebyshev
from edgewise.network import KANLayer, Network
from edgewise.training import gauss_newton
from edgewise.training.gauss_newton import (
    accumulate,
    block_slices,
    blocks_of,
    forward_values,
    gather_gradients,
    get_parameters,
    jacobian_rows,
    set_parameters,
)

F64 = torch.float64
ROWS = 5


@pytest.fixture(params=["mixed", "deep", "products", "classes", "single edge", "frozen", "all locked in a layer"])
def model(request, mixed_network, network, symbolic_block):
    if request.param == "mixed":
        return mixed_network
    if request.param == "frozen":
        edges, frozen = [(0, 0), (1, 0), (1, 1)], torch.tensor([[True, False, False, False]] * 3)
        layer = KANLayer.from_blocks([symbolic_block("sin", edges, (2, 2), frozen=frozen)], (1, 1), 2)
        return Network([layer, *network([2, 1]).all_layers], sample=torch.zeros(1, 2, dtype=F64))
    if request.param == "all locked in a layer":
        model = network([2, 3, 1])
        layers = model.all_layers
        held = layers[0].map_blocks(lambda block: block.with_locked(block.mask))
        return Network([held, layers[1]], sample=model.sample)
    width, options = {
        "deep": ([2, 3, 2, 1], {"base": "silu"}),
        "products": ([2, [1, (2, 3)], [0, 1], 2], {"basis": Chebyshev(3)}),
        "classes": ([2, 3], {"basis": BSpline(2, 1)}),
        "single edge": ([1, 1], {}),
    }[request.param]
    return network(width, **options)


@pytest.fixture
def x(model, uniform):
    """Inputs inside and outside of the domain."""
    return uniform(-1.3, 1.3, ROWS, model.in_features)


def every_output(model):
    """The factor that asks for the Jacobian of each output."""
    return torch.eye(model.out_features, dtype=F64).expand(ROWS, -1, -1)


def autograd_jacobian(model, x):
    """∂y_o(x_n)/∂parameters by autograd, shape (O, N, P)."""
    parameters = {name: value.detach() for name, value in model.named_parameters()}
    per_row = vmap(jacrev(lambda p, row: functional_call(model, p, (row[None],))[0]), in_dims=(None, 0))
    by_name = {name: value.transpose(0, 1) for name, value in per_row(parameters, x).items()}
    return gather_gradients(model, by_name)


def test_the_jacobian_is_that_of_autograd(model, x):
    got = jacobian_rows(model, x, every_output(model))
    assert got.shape == (model.out_features, ROWS, len(get_parameters(model)))
    torch.testing.assert_close(got, autograd_jacobian(model, x))


def test_the_jacobian_predicts_what_a_change_of_parameters_does(model, x, normal):
    # Independent of how gradients are gathered: only `set_parameters` is used.
    start = get_parameters(model)
    jacobian = jacobian_rows(model, x, every_output(model))
    free = (jacobian.abs().amax(dim=(0, 1)) > 0).to(F64)  # frozen parameters are held, so not to be moved
    direction, step = normal(len(start)) * free, 1e-5
    outputs = []
    for sign in (1, -1):
        set_parameters(model, start + sign * step * direction)
        outputs.append(model(x).detach())
    set_parameters(model, start)
    difference = (outputs[0] - outputs[1]) / (2 * step)
    torch.testing.assert_close((jacobian @ direction).T, difference, rtol=1e-6, atol=1e-7)


def test_rows_combine_outputs(model, x, normal):
    factor = normal(ROWS, model.out_features, 3)
    wanted = torch.einsum("nor,onp->rnp", factor, autograd_jacobian(model, x))
    torch.testing.assert_close(jacobian_rows(model, x, factor), wanted)


def test_no_graph_is_built(model, x):
    assert not jacobian_rows(model, x, every_output(model)).requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("elements", [1, 300, 8_000_000])
def test_normal_equations_are_accumulated_in_chunks(elements, model, x, normal, monkeypatch):
    monkeypatch.setattr(gauss_newton, "_CHUNK_ELEMENTS", elements)
    factor, rows = normal(ROWS, model.out_features, 2), normal(ROWS, 2)
    gradient, curvature = accumulate(model, x, factor, rows)
    jacobian = torch.einsum("nor,onp->nrp", factor, autograd_jacobian(model, x)).flatten(0, 1)
    torch.testing.assert_close(gradient, jacobian.T @ rows.flatten() / ROWS)
    torch.testing.assert_close(curvature, jacobian.T @ jacobian / ROWS)


def test_parameters_are_set_as_they_are_got(model, x, normal):
    start = get_parameters(model)
    before = model(x).detach()
    set_parameters(model, normal(len(start)))
    assert not torch.allclose(model(x), before)
    set_parameters(model, start)
    assert torch.equal(get_parameters(model), start)
    torch.testing.assert_close(model(x), before)


def test_masked_and_locked_parameters_are_none(mixed_network):
    # 10 edges of splines, two of them masked and two locked, with 6 coefficients and a base weight; one free sine;
    # then 4 of 6 edges of splines and one tanh.
    assert len(get_parameters(mixed_network)) == 6 * 7 + 4 + 4 * 6 + 4


def test_blocks_have_their_place_in_the_vector(mixed_network):
    everything = get_parameters(mixed_network)
    slices = list(block_slices(mixed_network))
    assert [block for _, _, block, _ in slices] == blocks_of(mixed_network)
    assert [index for _, index, _, _ in slices] == [0, 0, 1, 1]
    for layer, index, block, start in slices:
        assert layer is mixed_network.all_layers[index]
        own = block.gather().flatten()
        assert torch.equal(everything[start : start + len(own)], own)


def test_inner_values(model, x):
    inputs, sums = forward_values(model, x)
    trace = model.trace(x)
    for layer, at, total in zip(trace.layers, inputs, sums, strict=True):
        torch.testing.assert_close(at, layer.inputs)
        torch.testing.assert_close(total, layer.sums)


def test_zero_factors_of_product_nodes(network):
    # At a zero of a factor the product's derivative by the other factors is zero, its own is their product.
    model = network([1, [0, (3,)]])
    with torch.no_grad():
        model.all_layers[0].all_blocks()[0].coefficients[:, :, 0] = 0.0
    x = torch.tensor([[0.3]] * ROWS, dtype=F64)
    jacobian = jacobian_rows(model, x, every_output(model))
    torch.testing.assert_close(jacobian, autograd_jacobian(model, x))
    per_factor = jacobian.reshape(ROWS, 3, 6).abs().amax(dim=(0, 2))
    assert per_factor[0] > 0
    assert not per_factor[1:].any()
