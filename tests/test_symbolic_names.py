"""Naming single edges: what is suggested, what is put in place, and back."""

import math

import pytest
import sympy
import torch

from edgewise.basis import BSpline, Chebyshev
from edgewise.errors import EdgeError, OptionError, SymbolicError
from edgewise.kan import KAN
from edgewise.network import BasisBlock, SymbolicBlock
from edgewise.primitives import Primitive, get_primitive, primitives
from edgewise.symbolic import (
    edge_samples,
    fix_symbolic,
    match_primitive,
    rank_matches,
    suggest_symbolic,
    unfix_symbolic,
)
from edgewise.symbolic.name_edge import with_match

F64 = torch.float64
NOWHERE = Primitive(
    name="nowhere",
    function=lambda u: u * math.nan,
    derivative=lambda u: u * math.nan,
    expression=lambda u: sympy.nan,
    complexity=3,
)


@pytest.fixture(scope="module")
def fitted():
    """1.5·sin(3a − 0.4) + exp(b)/2, whose edges are curves."""
    generator = torch.Generator().manual_seed(11)
    x = 2 * torch.rand((300, 2), generator=generator, dtype=F64) - 1
    y = 1.5 * torch.sin(3 * x[:, 0] - 0.4) + torch.exp(x[:, 1]) / 2
    model = KAN([2, 1], basis=BSpline(grid=20, degree=5), seed=0, input_names=["a", "b"])
    model.fit((x, y), steps=10)
    return model


def symbolic(model, *edge):
    block = model.all_layers[edge[0]].block_of(*edge[1:])
    assert isinstance(block, SymbolicBlock)
    row = ((block.source == edge[1]) & (block.target == edge[2])).nonzero().item()
    return block.primitive.name, block.affine[row].tolist()


# ------------------------------------------------------------------------------------------------ samples


def test_samples_are_what_arrives_and_what_leaves(mixed_network, uniform):
    x = uniform(-1, 1, 15, 2)
    for given in (None, x):
        trace = mixed_network.trace(mixed_network.sample if given is None else x).layers[1]
        for source, target in mixed_network.all_layers[1].mask.nonzero().tolist():
            inputs, outputs = edge_samples(mixed_network, 1, source, target, given)
            assert torch.equal(inputs, trace.inputs[:, source])
            assert torch.equal(outputs, trace.edges[:, source, target])
            assert not outputs.requires_grad


def test_samples_of_single_precision_are_double():
    inputs, outputs = edge_samples(KAN([2, 1], dtype=torch.float32), 0, 1, 0)
    assert inputs.dtype == outputs.dtype == F64


@pytest.mark.parametrize("edge", [(0, 0, 9), (2, 0, 0), (1, 1, 0)])
def test_samples_of_no_edge_are_refused(mixed_network, edge):
    for look in (
        edge_samples,
        suggest_symbolic,
        unfix_symbolic,
        lambda *where: fix_symbolic(*where, "sin"),
    ):
        with pytest.raises(EdgeError):
            look(mixed_network, *edge)


# ------------------------------------------------------------------------------------------------ suggestions


def test_suggestions_are_the_ranking_of_the_curve(fitted):
    suggested = suggest_symbolic(fitted, 0, 0, 0, primitives=["x^2", "tanh", "exp", "sin"])
    x, y = edge_samples(fitted, 0, 0, 0)
    expected = rank_matches(x, y, [get_primitive(name) for name in ("x^2", "tanh", "exp", "sin")])
    assert [match.primitive.name for match in suggested] == [match.primitive.name for match in expected]
    assert suggested[0].primitive.name == "sin"
    assert [match.bits for match in suggested] == sorted(match.bits for match in suggested)
    assert suggested[0].rmse < 1e-6 < suggested[-1].rmse
    assert suggest_symbolic(fitted, 0, 1, 0, primitives=["exp"])[0].a == pytest.approx(1, abs=1e-5)


def test_without_a_list_every_primitive_is_tried(fitted):
    names = {match.primitive.name for match in suggest_symbolic(fitted, 0, 1, 0, x=fitted.sample[:40])}
    assert names == {primitive.name for primitive in primitives()}


def test_suggestions_look_at_the_data_given(fitted):
    """On a short piece the sine is a straight line."""
    near = torch.zeros(50, 2, dtype=F64)
    near[:, 0] = torch.linspace(0.1333, 0.1334, 50, dtype=F64)
    line, sine = suggest_symbolic(fitted, 0, 0, 0, x=near, primitives=["sin", "x"])
    assert line.primitive.name == "x"
    assert line.rmse < 1e-8
    assert sine.primitive.name == "sin"
    assert suggest_symbolic(fitted, 0, 0, 0, primitives=["sin", "x"])[0].primitive.name == "sin"


def test_unknown_names_are_refused(fitted):
    with pytest.raises(OptionError, match="sinus"):
        suggest_symbolic(fitted, 0, 0, 0, primitives=["x", "sinus"])
    with pytest.raises(OptionError, match="sinus"):
        fix_symbolic(fitted, 0, 0, 0, "sinus")


# ------------------------------------------------------------------------------------------------ fixing


def test_a_name_comes_with_its_constants(fitted, uniform):
    named = fitted.fix_symbolic(0, 0, 0, "sin")
    name, affine = symbolic(named, 0, 0, 0)
    assert name == "sin"
    assert affine == pytest.approx([3, -0.4, 1.5, affine[3]], abs=1e-4)
    x = uniform(-1, 1, 50, 2)
    torch.testing.assert_close(named(x), fitted(x), rtol=0, atol=1e-5)
    at = torch.linspace(-1, 1, 30, dtype=F64)
    assert torch.equal(named.edge(0, 1, 0)(at), fitted.edge(0, 1, 0)(at))
    assert bool((named.all_layers[0].mask == fitted.all_layers[0].mask).all())


def test_the_constants_are_those_of_the_match(mixed_network):
    x, y = edge_samples(mixed_network, 1, 2, 0)
    match = match_primitive(x, y, get_primitive("tanh"))
    named = fix_symbolic(mixed_network, 1, 2, 0, get_primitive("tanh"))
    assert symbolic(named, 1, 2, 0) == ("tanh", [match.a, match.b, match.c, match.d])
    # It joined the edge that carried the same name.
    assert [len(block.source) for block in named.all_layers[1].blocks if isinstance(block, SymbolicBlock)] == [2]


def test_the_constants_train_with_the_rest(fitted):
    named = fitted.fix_symbolic(0, 0, 0, "sin").fix_symbolic(0, 1, 0, "exp")
    x = fitted.sample
    y = 1.5 * torch.sin(3.2 * x[:, 0] - 0.3) + torch.exp(1.1 * x[:, 1]) / 2
    history = named.fit((x, y), steps=30)
    assert history.last["train_loss"] < 1e-25
    assert symbolic(named, 0, 0, 0)[1][:3] == pytest.approx([3.2, -0.3, 1.5], abs=1e-9)
    assert symbolic(named, 0, 1, 0)[1][0] == pytest.approx(1.1, abs=1e-9)


def test_data_may_be_given_to_look_at(fitted):
    """Looked at from afar the edge is a straight line there, as splines go on."""
    far = torch.full((30, 2), 3.0, dtype=F64)
    far[:, 0] = torch.linspace(2, 4, 30, dtype=F64)
    named = fix_symbolic(fitted, 0, 0, 0, "x", x=far)
    torch.testing.assert_close(named(far), fitted(far), rtol=0, atol=1e-9)


def test_another_name_may_take_the_place_of_one(fitted):
    twice = fitted.fix_symbolic(0, 0, 0, "tanh").fix_symbolic(0, 0, 0, "sin")
    assert symbolic(twice, 0, 0, 0)[0] == "sin"
    assert len(twice.all_layers[0].all_blocks()) == 2


def test_the_argument_stays_in_the_domain(fitted):
    """The inputs are negative in part; the logarithm is shifted so that it has values on all of them."""
    named = fitted.fix_symbolic(0, 1, 0, "log")
    assert bool(named(fitted.sample).isfinite().all())
    a, b = symbolic(named, 0, 1, 0)[1][:2]
    assert float((a * fitted.sample[:, 1] + b).min()) >= 0


def test_primitives_that_cannot_serve_are_refused(fitted):
    with pytest.raises(SymbolicError, match=r"nowhere cannot serve edge \(0, 1, 0\)"):
        fitted.fix_symbolic(0, 1, 0, NOWHERE)


@pytest.mark.parametrize("locked", [False, True])
def test_a_name_keeps_the_lock(fitted, locked):
    model = fitted.lock(0, 0, 0) if locked else fitted
    x, y = edge_samples(model, 0, 0, 0)
    named = with_match(model, 0, 0, 0, match_primitive(x, y, get_primitive("sin")))
    assert torch.equal(named.all_layers[0].locked, model.all_layers[0].locked)
    back = unfix_symbolic(named, 0, 0, 0)
    assert torch.equal(back.all_layers[0].locked, model.all_layers[0].locked)


# ------------------------------------------------------------------------------------------------ and back


def test_there_and_back(fitted, uniform):
    back = fitted.fix_symbolic(0, 0, 0, "sin").unfix_symbolic(0, 0, 0)
    (block,) = back.all_layers[0].all_blocks()
    assert isinstance(block, BasisBlock)
    assert block.basis == BSpline(grid=20, degree=5)
    x = uniform(-1, 1, 100, 2)
    torch.testing.assert_close(back(x), fitted(x), rtol=0, atol=1e-5)
    target = back(x).detach() + 0.3 * x[:, :1].abs()
    first = float((back(x) - target).detach().square().mean())
    assert back.fit((x, target), steps=5).last["train_loss"] < 0.01 * first  # it trains as a curve again


def test_without_curves_beside_it_a_basis_is_chosen(fitted, uniform):
    named = fitted.fix_symbolic(0, 0, 0, "sin").fix_symbolic(0, 1, 0, "exp")
    default = named.unfix_symbolic(0, 0, 0)
    assert default.all_layers[0].block_of(0, 0).basis == BSpline()
    given = unfix_symbolic(named, 0, 0, 0, basis=Chebyshev(degree=16))
    assert given.all_layers[0].block_of(0, 0).basis == Chebyshev(degree=16)
    sample = fitted.sample[:, 0]
    assert given.edge(0, 0, 0).domain == (float(sample.min()), float(sample.max()))
    torch.testing.assert_close(given(fitted.sample), named(fitted.sample), rtol=0, atol=1e-10)


def test_curves_cannot_be_unnamed(fitted):
    with pytest.raises(SymbolicError, match="nothing to undo"):
        fitted.unfix_symbolic(0, 0, 0)
