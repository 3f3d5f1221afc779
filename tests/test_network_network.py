"""`Network`: layers in a row, what is inside of them, and how they live among PyTorch's tools."""

import copy
import io
import pickle

import pytest
import torch
from torch.func import functional_call

from edgewise.basis import BSpline
from edgewise.errors import EdgeError, OptionError, PrecisionError, ShapeError
from edgewise.network import SAMPLE_SIZE, KANLayer, Network, Options, check_names

F64 = torch.float64


@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (0,), (2, 0)])
def test_any_leading_batch_shape(leading, mixed_network, uniform):
    x = uniform(-1, 1, *leading, 2)
    assert mixed_network(x).shape == (*leading, 2)
    torch.testing.assert_close(mixed_network(x).reshape(-1, 2), mixed_network(x.reshape(-1, 2)))


def test_the_network_is_its_layers_in_a_row(mixed_network, uniform):
    x = uniform(-1, 1, 5, 2)
    first, second = mixed_network.all_layers
    torch.testing.assert_close(mixed_network(x), second(first(x)))


def test_traces_lead_to_the_output(mixed_network, uniform):
    x = uniform(-1, 1, 2, 3, 2)
    trace = mixed_network.trace(x)
    torch.testing.assert_close(trace.output, mixed_network(x).reshape(6, 2))
    first, second = trace.layers
    assert torch.equal(first.inputs, x.reshape(6, 2))
    assert second.inputs is first.outputs
    for values in trace.layers:
        torch.testing.assert_close(values.edges.sum(dim=1), values.sums)


def test_equal_rows_have_equal_outputs(mixed_network, uniform):
    x = uniform(-1, 1, 1, 2)
    y = mixed_network(x.expand(7, 2))
    torch.testing.assert_close(y, mixed_network(x).expand(7, 2), rtol=1e-14, atol=1e-14)


def test_nan_stays_in_its_row(mixed_network, uniform):
    x = uniform(-1, 1, 5, 2)
    clean = mixed_network(x)
    x[3, 1] = torch.nan
    spoilt = mixed_network(x)
    torch.testing.assert_close(spoilt[[0, 1, 2, 4]], clean[[0, 1, 2, 4]])
    assert spoilt[3].isnan().all()


def test_overshooting_inputs_stay_finite(mixed_network):
    x = torch.tensor([[1e3, -1e3], [-1e6, 1e6]], dtype=F64)
    assert mixed_network(x).isfinite().all()


@pytest.mark.parametrize("width", [[2, 5, 1], [1, 1], [2, [3, (2, 2)], 1], [2, [0, (3,)], [1, (2, 4)]]])
def test_widths_come_back(width, network):
    assert network(width).width == width


def test_features_names_and_dtype(network):
    model = network([2, 3, 1])
    assert (model.in_features, model.out_features, model.dtype) == (2, 1, F64)
    assert model.input_names == ("x0", "x1")
    assert model.output_names == ("y",)
    assert network([1, 2]).output_names == ("y0", "y1")
    named = Network.assemble(
        model.all_layers, sample=model.sample, options=Options(input_names=("a", "b"), output_names=("c",))
    )
    assert (named.input_names, named.output_names) == (("a", "b"), ("c",))
    assert model.to(torch.float32).dtype == torch.float32


class Special(Network):
    """A network of another class, whose constructor takes other arguments."""

    def __init__(self):
        layers = [KANLayer(2, 2, dtype=F64, seed=0), KANLayer(2, 1, dtype=F64, seed=1)]
        super().__init__(layers, sample=torch.zeros(3, 2, dtype=F64), options=Options(input_names=("a", "b")))


def test_rebuilding_keeps_class_options_and_sample():
    model = Special()
    rebuilt = model.rebuilt(model.all_layers, notes=("changed",))
    assert type(rebuilt) is Special
    assert rebuilt.options == Options(input_names=("a", "b"), notes=("changed",))
    assert torch.equal(rebuilt.sample, model.sample)
    assert model.options.notes == ()


def test_a_copied_network_is_independent(mixed_network, uniform):
    x = uniform(-1, 1, 4, 2)
    before = mixed_network(x)
    other = mixed_network.copied()
    assert torch.equal(other(x), before)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert torch.equal(mixed_network(x), before)


def test_replacing_a_layer_copies_the_others(uniform):
    model = Special()
    x = uniform(-1, 1, 4, 2)
    new = KANLayer(2, 1, dtype=F64, seed=9)
    changed = model.with_layer(1, new)
    torch.testing.assert_close(changed(x), new(model.all_layers[0](x)))
    with torch.no_grad():
        next(changed.all_layers[0].parameters()).zero_()
    assert next(model.all_layers[0].parameters()).any()


def test_layers_that_do_not_fit_are_refused():
    layers = [KANLayer(2, 3), KANLayer(4, 1)]
    with pytest.raises(ShapeError, match="layer 0 has 3 outputs, layer 1 takes 4"):
        Network(layers, sample=torch.zeros(1, 2))


def test_inputs_are_checked(network):
    model = network([2, 3, 1])
    for call in (model, model.trace):
        with pytest.raises(ShapeError, match=r"the model takes inputs of shape \(\.\.\., 2\), got \(5, 3\)"):
            call(torch.zeros(5, 3, dtype=F64))
        with pytest.raises(PrecisionError, match=r"computes in torch\.float64, got an input of torch\.float32"):
            call(torch.zeros(5, 2))
        with pytest.raises(PrecisionError, match=r"got an input of torch\.int64"):
            call(torch.zeros(5, 2, dtype=torch.int64))
        with pytest.raises(PrecisionError, match="expected a tensor, got list"):
            call([[0.0, 0.0]])


def test_edges_are_checked(network):
    model = network([2, [1, 1], 1])
    for edge in ((0, 0, 0), (0, 1, 2), (1, 1, 0)):
        model.check_edge(*edge)
    assert model.layer_at(1) is model.all_layers[1]
    with pytest.raises(EdgeError, match="there is no layer 2; the model has layers 0 to 1"):
        model.layer_at(2)
    with pytest.raises(EdgeError, match="there is no layer -1"):
        model.check_edge(-1, 0, 0)
    with pytest.raises(EdgeError, match=r"no edge \(0, 2, 0\); layer 0 has inputs 0 to 1 and outputs 0 to 2"):
        model.check_edge(0, 2, 0)
    for wrong in ((0, 0, 3), (0, -1, 0), (1, 0, -1)):
        with pytest.raises(EdgeError, match="there is no edge"):
            model.check_edge(*wrong)


def test_names_are_different_and_as_many():
    assert check_names(None, 2, "inputs") is None
    assert check_names(["a", "b"], 2, "inputs") == ("a", "b")
    for wrong in (["a"], ["a", "a"], ["a", "b", "c"]):
        with pytest.raises(OptionError, match="2 inputs need as many different names, got"):
            check_names(wrong, 2, "inputs")


def as_plain(module):
    """Every attribute of a module and its children, tensors by identity and version."""
    return {
        (name, key): (id(value), value._version if isinstance(value, torch.Tensor) else None)
        for name, child in module.named_modules()
        for key, value in (vars(child) | dict(child._parameters) | dict(child._buffers)).items()
    }


def test_evaluating_changes_nothing(mixed_network, uniform):
    # Replicas of nn.DataParallel share their attributes: writing to them would be a race.
    x = uniform(-1, 1, 5, 2)
    before = as_plain(mixed_network)
    mixed_network(x)
    mixed_network.trace(x)
    with torch.no_grad():
        mixed_network(x[:0])
    torch.autograd.grad(mixed_network(x.requires_grad_()).sum(), x)
    assert as_plain(mixed_network) == before


def test_replicas_compute_the_same(mixed_network, uniform):
    # What nn.parallel.replicate does on GPUs: shallow copies of the modules that share their tensors.
    def replicate(module):
        copied = module._replicate_for_data_parallel()
        for key, child in module._modules.items():
            copied._modules[key] = replicate(child)
        for key, parameter in module._parameters.items():
            copied._parameters[key] = parameter
        return copied

    x = uniform(-1, 1, 5, 2)
    replica = replicate(mixed_network)
    torch.testing.assert_close(replica(x), mixed_network(x))


def test_functional_calls_use_the_given_parameters(mixed_network, uniform):
    x = uniform(-1, 1, 5, 2)
    other = copy.deepcopy(mixed_network)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    got = functional_call(mixed_network, dict(other.named_parameters()), (x,))
    torch.testing.assert_close(got, other(x))
    gradients = torch.func.grad(lambda p: functional_call(mixed_network, p, (x,)).sum())(
        {name: value.detach() for name, value in other.named_parameters()}
    )
    other(x).sum().backward()
    for name, parameter in other.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)


def test_many_networks_at_once(network, uniform):
    # The usual recipe for ensembles, with the grids shared.
    models = [network([2, 3, 1]) for _ in range(3)]
    stacked = {
        name: torch.stack([dict(model.named_parameters())[name].detach() for model in models])
        for name, _ in models[0].named_parameters()
    }
    x = uniform(-1, 1, 5, 2)
    got = torch.vmap(lambda p: functional_call(models[0], p, (x,)))(stacked)
    torch.testing.assert_close(got, torch.stack([model(x) for model in models]))


def test_copies_and_pickles(mixed_network, uniform):
    x = uniform(-1, 1, 5, 2)
    wanted = mixed_network(x)
    for other in (copy.deepcopy(mixed_network), pickle.loads(pickle.dumps(mixed_network))):
        assert torch.equal(other(x), wanted)
        assert other.options == mixed_network.options
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        assert torch.equal(mixed_network(x), wanted)


def test_state_dicts_go_through_files(mixed_network, uniform):
    file = io.BytesIO()
    torch.save(mixed_network.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(mixed_network)
    with torch.no_grad():
        for tensor in other.state_dict().values():
            tensor.zero_()
    other.load_state_dict(torch.load(file))
    x = uniform(-1, 1, 5, 2)
    assert torch.equal(other(x), mixed_network(x))
    assert torch.equal(other.sample, mixed_network.sample)


def test_state_dicts_bring_free_knots_and_another_sample_size_along(network, basis_block, free_grid, uniform):
    free = KANLayer.from_blocks([basis_block(2, 1, grid=free_grid(2, 3))], (1,), 2)
    trained = Network([free], sample=uniform(-1, 1, SAMPLE_SIZE, 2))
    fresh = network([2, 1], basis=BSpline(3, 3))
    assert fresh.all_layers[0].all_blocks()[0].grid.shape == (2, 2)
    fresh.load_state_dict(trained.state_dict())
    x = uniform(-1, 1, 5, 2)
    assert torch.equal(fresh(x), trained(x))
    assert fresh.sample.shape == (SAMPLE_SIZE, 2)
    back = network([2, 1], basis=BSpline(3, 3)).state_dict()  # and from free knots to uniform ones
    trained.load_state_dict(back)
    assert trained.all_layers[0].all_blocks()[0].grid.shape == (2, 2)


def test_state_dicts_of_another_network_are_refused(network):
    with pytest.raises(RuntimeError, match="size mismatch"):
        network([2, 3, 1]).load_state_dict(network([2, 4, 1]).state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        network([2, 3, 1]).load_state_dict(network([2, 3]).state_dict())


def test_foreign_optimisers_keep_masked_edges_out(mixed_network, uniform):
    x = uniform(-1, 1, 30, 2)
    optimizer = torch.optim.AdamW(mixed_network.parameters(), lr=0.05, weight_decay=0.1)
    masks = [layer.mask for layer in mixed_network.all_layers]
    locked = mixed_network.all_layers[0].all_blocks()[0].locked
    for _ in range(3):
        optimizer.zero_grad()
        (mixed_network(x) - 1).square().sum().backward()
        assert not mixed_network.all_layers[0].all_blocks()[0].coefficients.grad.transpose(1, 2)[locked].any()
        optimizer.step()
    for layer, mask, values in zip(mixed_network.all_layers, masks, mixed_network.trace(x).layers, strict=True):
        assert torch.equal(layer.mask, mask)
        assert not values.edges[:, ~mask].any()
    torch.testing.assert_close(mixed_network.trace(x).output, mixed_network(x))


def test_second_derivatives_of_the_whole_network(mixed_network, uniform):
    x = uniform(-0.9, 0.9, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(mixed_network, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(mixed_network, x, fast_mode=True)
