"""Floating types: a model computes in its own, refuses others, and under autocast converts them."""

import pytest
import torch
from torch import nn

import edgewise as ew
from edgewise.errors import PrecisionError
from edgewise.network.precision import in_precision, without_autocast

F64 = torch.float64


def lowered():
    return torch.autocast("cpu", dtype=torch.bfloat16)


def test_precision_is_checked_with_a_remedy():
    x = torch.zeros(1, dtype=F64)
    assert in_precision(x, F64) is x
    with pytest.raises(PrecisionError, match=r"computes in torch\.float64, got an input of torch\.float32; use x\.to"):
        in_precision(torch.zeros(1), F64)
    with pytest.raises(PrecisionError, match=r"expected a tensor, got list; use torch\.as_tensor\(x, dtype=torch"):
        in_precision([0.0], F64)


def test_under_autocast_floating_inputs_are_converted_and_others_are_not():
    with lowered():
        assert in_precision(torch.ones(1, dtype=torch.bfloat16), F64).dtype == F64
        with pytest.raises(PrecisionError):
            in_precision(torch.ones(1, dtype=torch.int64), F64)


def test_autocast_is_off_inside_and_on_again_afterwards():
    a = torch.eye(2)
    with lowered():
        assert without_autocast(lambda x: x @ x, a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16


@pytest.mark.parametrize("basis", [ew.BSpline(), ew.Chebyshev(degree=4)], ids=str)
@pytest.mark.parametrize("base", ["silu", None])
def test_a_layer_under_autocast_is_the_layer(basis, base, rng):
    layer = ew.KANLayer(4, 3, basis=basis, base=base, seed=0)
    x = torch.rand(6, 4, generator=rng).bfloat16()
    results = []
    for context in (torch.autocast("cpu", enabled=False), lowered()):
        layer.zero_grad()
        with context:
            y = layer(x if torch.is_autocast_enabled("cpu") else x.float())
        y.square().sum().backward()
        results.append((y, [parameter.grad for parameter in layer.parameters()]))
    assert results[1][0].dtype == torch.float32
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_a_layer_refuses_another_type_and_says_how_to_convert():
    with pytest.raises(PrecisionError, match=r"got an input of torch\.bfloat16; use x\.to\(torch\.float32\)"):
        ew.KANLayer(4, 3)(torch.zeros(2, 4, dtype=torch.bfloat16))


def test_a_float64_network_takes_lowered_values_under_autocast(rng):
    network = nn.Sequential(nn.Linear(3, 2), ew.KAN([2, [1, 1], 1], seed=0))
    x = torch.rand(5, 3, generator=rng)
    with lowered():
        y = network(x)
        expected = network[1](network[0](x).double())
    assert y.dtype == F64
    torch.testing.assert_close(y, expected, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # from the compiler's own imports
def test_a_compiled_layer_under_autocast_is_the_eager_one(rng):
    layer = ew.KANLayer(4, 3, seed=0)
    x = torch.rand(6, 4, generator=rng).bfloat16()
    with lowered():
        torch.testing.assert_close(torch.compile(layer, fullgraph=True)(x), layer(x))
