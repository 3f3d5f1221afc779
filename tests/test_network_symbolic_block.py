"""Edges that are symbolic primitives."""

import numpy as np
import pytest
import sympy
import torch

from edgewise.errors import OptionError
from edgewise.network import SymbolicBlock
from edgewise.primitives import get_primitive, primitives

F64 = torch.float64


@pytest.mark.parametrize("name", ["x", "x^2", "sin", "exp", "tanh", "gaussian", "abs", "log", "sqrt", "1/x"])
def test_the_output_is_that_of_the_sympy_expression(name, symbolic_block, uniform):
    block = symbolic_block(name, [(0, 1), (1, 0)], (2, 2))
    x = uniform(0.8, 2, 10, 2)
    symbol = sympy.Symbol("u")
    expression = get_primitive(name).expression(symbol)
    got = block(x).detach()
    for edge, (source, target) in enumerate([(0, 1), (1, 0)]):
        a, b, c, d = block.affine[edge].tolist()
        for row in range(10):
            inner = a * float(x[row, source]) + b
            wanted = c * float(expression.subs(symbol, inner)) + d
            np.testing.assert_allclose(float(got[row, target]), wanted, rtol=1e-12, atol=1e-12)


def test_every_primitive_has_its_place_in_a_block(uniform):
    x = uniform(0.1, 0.9, 5, 1).requires_grad_()
    for primitive in primitives():
        affine = torch.tensor([[0.7, 0.1, 1.3, -0.2]], dtype=F64)
        block = SymbolicBlock(primitive, torch.tensor([0]), torch.tensor([0]), affine, shape=(1, 1))
        output = block(x)
        torch.testing.assert_close(output, 1.3 * primitive.function(0.7 * x + 0.1) - 0.2)
        (wanted,) = torch.autograd.grad(output.sum(), x, allow_unused=True)
        slope = block.adjoint(x.detach(), torch.ones_like(output))
        torch.testing.assert_close(slope, torch.zeros_like(x) if wanted is None else wanted)


def test_primitives_are_given_as_records_or_names():
    parts = (torch.tensor([0]), torch.tensor([0]), torch.ones(1, 4))
    assert SymbolicBlock("sin", *parts, shape=(1, 1)).primitive is get_primitive("sin")
    assert SymbolicBlock(get_primitive("sin"), *parts, shape=(1, 1)).primitive is get_primitive("sin")
    with pytest.raises(OptionError, match="'sine'"):
        SymbolicBlock("sine", *parts, shape=(1, 1))


def test_the_arguments_are_copied():
    source, affine = torch.tensor([0]), torch.ones(1, 4)
    block = SymbolicBlock("sin", source, torch.tensor([0]), affine, shape=(2, 1))
    source.fill_(1)
    affine.fill_(2)
    assert block.source.tolist() == [0]
    assert block.affine.tolist() == [[1.0, 1.0, 1.0, 1.0]]


def test_several_edges_may_share_an_input_or_a_subnode(symbolic_block, uniform):
    edges = [(0, 0), (1, 0), (1, 1)]
    block = symbolic_block("cos", edges, (2, 2))
    x = uniform(-1, 1, 4, 2)
    wanted = torch.zeros(4, 2, dtype=F64)
    for (source, target), (a, b, c, d) in zip(edges, block.affine.detach(), strict=True):
        wanted[:, target] += c * (a * x[:, source] + b).cos() + d
    torch.testing.assert_close(block(x), wanted)


def test_joining_adds_the_edges_up(symbolic_block, uniform):
    first = symbolic_block("sin", [(0, 0), (1, 1)], (2, 2), locked=torch.tensor([True, False]))
    second = symbolic_block("sin", [(0, 1)], (2, 2), frozen=torch.tensor([[True, False, False, False]]))
    both = first.joined(second)
    x = uniform(-1, 1, 4, 2)
    torch.testing.assert_close(both(x), first(x) + second(x))
    assert torch.equal(both.mask, first.mask | second.mask)
    assert torch.equal(both.locked, first.locked)
    assert torch.equal(both.frozen, torch.cat([first.frozen, second.frozen]))


def test_other_parameters_for_the_same_edges(symbolic_block, normal, uniform):
    block = symbolic_block("sin", [(0, 0), (1, 1)], (2, 2))
    affine, frozen = normal(2, 4), torch.tensor([[True, False, False, True], [False] * 4])
    other = block.with_affine(affine, frozen)
    x = uniform(-1, 1, 3, 2)
    a, b, c, d = affine[0]
    torch.testing.assert_close(other(x)[:, 0], c * (a * x[:, 0] + b).sin() + d)
    assert torch.equal(other.frozen, frozen)
    assert not block.frozen.any()


def test_frozen_parameters_have_no_features_and_no_gradient(symbolic_block, uniform):
    frozen = torch.tensor([[True, False, False, True]])
    block = symbolic_block("exp", [(0, 0)], (1, 1), frozen=frozen)
    x = uniform(-1, 1, 5, 1)
    assert torch.equal(block.features(x)[:, 0].abs().sum(dim=0) > 0, ~frozen[0])
    block(x).sum().backward()
    assert torch.equal(block.affine.grad != 0, ~frozen)
