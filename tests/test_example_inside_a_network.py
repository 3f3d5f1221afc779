import pytest
import torch
from torch import nn

import inside_a_network as example
from edgewise.network import KANLayer


@pytest.fixture(scope="module")
def data():
    return example.digits()


def test_the_split_keeps_all_images_apart(data):
    assert data.train_x.shape == (1347, 8, 8)
    assert data.test_x.shape == (450, 8, 8)
    assert (data.train_x.min(), data.train_x.max()) == (-1, 1)
    assert data.test_y.bincount().min() >= 43  # every digit is there


def test_both_networks_have_about_as_many_parameters():
    curved, usual = (example.reader(part, 0) for part in (example.kan_part, example.usual_part))
    sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in (curved, usual)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.02)
    assert sum(isinstance(module, KANLayer) for module in curved.modules()) == example.BLOCKS


def test_it_learns_in_float32_and_under_autocast(data):
    some = example.Digits(data.train_x[:448], data.train_y[:448], data.test_x, data.test_y)
    for context in (torch.autocast("cpu", enabled=False), example.lowered()):
        model = example.reader(example.kan_part, 0)
        example.train(model, some, 15, context=lambda context=context: context)
        assert example.accuracy(model, data) > 0.7  # by chance: 0.1; the full run reaches 0.97


def test_every_parameter_of_the_layers_learns(data):
    model = example.reader(example.kan_part, 0)
    found = example.gradients(model, data.train_x[:64], data.train_y[:64])
    assert min(float(gradient.norm()) for gradient in found) > 1e-6


def test_two_processes_find_the_gradients_of_one(data):
    x, y = data.train_x[:32].double(), data.train_y[:32]
    assert example.distributed_difference(x, y) < 1e-12


def test_a_difference_is_relative_and_the_worst():
    a, b = torch.tensor([3.0, 4.0]), torch.tensor([1.0])
    assert example.difference([a, 1.1 * b], [a, b]) == pytest.approx(0.1, rel=1e-5)
    assert example.difference([1.5 * a, b], [a, b]) == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.skipif(not example.has_compiler(), reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # from the compiler's own imports
def test_the_compiled_layers_are_the_layers(data):
    # A part of the network alone: compiling the whole takes three times as long.
    part = nn.Sequential(nn.LayerNorm(example.FEATURES), example.kan_part(), nn.Linear(example.FEATURES, 10))
    x = torch.randn(8, example.FEATURES, generator=torch.Generator().manual_seed(0))
    assert example.compiled_difference(part, x, data.train_y[:8]) < 1e-4
