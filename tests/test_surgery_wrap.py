"""Units: a scaled output and transformed inputs, against direct computation."""

import pytest
import torch

from edgewise.errors import OptionError, ShapeError
from edgewise.kan import KAN
from edgewise.network import KANLayer, Network, Options, SymbolicBlock
from edgewise.surgery import scale_outputs, with_transforms, without_edges

F64 = torch.float64


@pytest.mark.parametrize("width", [[2, 1], [3, 2, 3], [2, [1, 2], 2]], ids=str)
@pytest.mark.parametrize("base", [None, "silu"])
def test_outputs_are_scaled_and_shifted(network, normal, uniform, width, base):
    model = network(width, base=base)
    scale, shift = normal(width[-1]) * 100, normal(width[-1]) * 1000
    x = uniform(-1.4, 1.4, 50, width[0])
    torch.testing.assert_close(scale_outputs(model, scale, shift)(x), model(x) * scale + shift, rtol=1e-12, atol=1e-10)


def test_products_are_scaled(network, normal, uniform):
    model = network([3, [2, (2, 3)]])
    scale, shift = normal(4) * 1e-3, torch.cat([normal(2), torch.zeros(2, dtype=F64)])
    x = uniform(-1.4, 1.4, 50, 3)
    torch.testing.assert_close(scale_outputs(model, scale, shift)(x), model(x) * scale + shift, rtol=1e-12, atol=1e-12)


def test_symbolic_masked_and_locked_edges_are_scaled_too(mixed_network, uniform):
    scale, shift = torch.tensor([-3.0, 1e-3], dtype=F64), torch.tensor([0.5, 1e4], dtype=F64)
    x = uniform(-1, 1, 40, 2)
    scaled = scale_outputs(mixed_network, scale, shift)
    torch.testing.assert_close(scaled(x), mixed_network(x) * scale + shift, rtol=1e-13, atol=1e-12)
    back = scale_outputs(scaled, 1 / scale, -shift / scale)
    torch.testing.assert_close(back(x), mixed_network(x), rtol=0, atol=1e-8)  # 1e4 / 1e-3 in float64


def test_outputs_that_cannot_hold_a_constant_are_refused(network):
    one, two = torch.ones(1, dtype=F64), torch.ones(2, dtype=F64)
    with pytest.raises(ShapeError, match="products"):
        scale_outputs(network([2, [0, 1]]), one, one)
    model = network([2, 2])
    gone = torch.tensor([[True, False], [True, False]])
    bare = model.with_layer(0, without_edges(model.all_layers[0], gone))
    with pytest.raises(ShapeError, match="without edges"):
        scale_outputs(bare, two, two)
    only_other = torch.tensor([0.0, 1.0], dtype=F64)
    torch.testing.assert_close(scale_outputs(bare, two, only_other)(model.sample), bare(model.sample) + only_other)


@pytest.mark.parametrize(
    ("inputs", "outputs", "layers"),
    [
        (("log", "x"), ("x",), 2),
        (("x", "x"), ("exp",), 2),
        (("log", "sqrt"), ("exp",), 3),
        (("x", "x"), ("x",), 1),
    ],
)
def test_a_network_between_transforms(network, uniform, inputs, outputs, layers):
    functions = {"log": torch.log, "sqrt": torch.sqrt, "exp": torch.exp, "x": lambda t: t}
    model = network([2, 1])
    x = uniform(0.2, 3.0, 60, 2)
    wrapped = with_transforms(model, inputs, outputs, sample=x)
    inner = torch.stack([functions[name](x[:, i]) for i, name in enumerate(inputs)], dim=1)
    torch.testing.assert_close(wrapped(x), functions[outputs[0]](model(inner)), rtol=1e-14, atol=1e-14)
    assert len(wrapped.all_layers) == layers
    assert torch.equal(wrapped.sample, x)
    assert wrapped.sample is not x


def test_transforms_are_locked_and_do_not_train(uniform):
    x = uniform(0.5, 4.0, 50, 2)
    model = KAN([2, 1], domain=[(-1.0, 2.0), (0.5, 4.0)], seed=0)
    options = Options(input_names=("p", "q"), output_names=("z",))
    wrapped = with_transforms(model, ("log", "x"), ("exp",), sample=x, **vars(options))
    assert isinstance(wrapped, KAN)
    assert (wrapped.input_names, wrapped.output_names) == (("p", "q"), ("z",))
    before = [block.affine.clone() for layer in wrapped.all_layers for block in layer.blocks if
              isinstance(block, SymbolicBlock)]  # fmt: skip
    history = wrapped.fit(x, x[:, 0] ** 1.5 * torch.exp(-x[:, 1]), steps=30)
    after = [block.affine for layer in wrapped.all_layers for block in layer.blocks if isinstance(block, SymbolicBlock)]
    assert len(after) == 3  # log and x before, exp behind
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other)
    assert history.last["train_loss"] < 1e-6


def test_several_outputs_have_transforms_of_their_own(network, uniform):
    model = network([1, 3])
    x = uniform(-1, 1, 20, 1)
    wrapped = with_transforms(model, ("x",), ("exp", "x", "tanh"), sample=x)
    y = model(x)
    expected = torch.stack([y[:, 0].exp(), y[:, 1], y[:, 2].tanh()], dim=1)
    torch.testing.assert_close(wrapped(x), expected, rtol=1e-14, atol=1e-14)


def test_unknown_transforms_are_refused(network):
    with pytest.raises(OptionError, match="logg"):
        with_transforms(network([1, 1]), ("logg",), ("x",), sample=torch.ones(3, 1, dtype=F64))


def test_products_may_stand_before_a_transform(network, uniform):
    model = network([2, [0, 1]])
    x = uniform(-1, 1, 20, 2)
    wrapped = with_transforms(model, ("x", "x"), ("sin",), sample=x)
    torch.testing.assert_close(wrapped(x), torch.sin(model(x)), rtol=1e-14, atol=1e-14)
    assert isinstance(wrapped, Network)
    assert isinstance(wrapped.all_layers[1], KANLayer)
