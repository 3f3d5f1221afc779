"""Constants: canonical ones keep the function and have no freedom left, exact ones are what data cannot tell apart."""

import itertools
import math
import time

import pytest
import sympy
import torch

from edgewise.discovery.tree import Curve, Input, Product, Sum, network_of, tree_of
from edgewise.kan import KAN
from edgewise.network import KANLayer, Network, SymbolicBlock, arities
from edgewise.surgery import lock
from edgewise.symbolic import canonical, rounded, snapped
from edgewise.symbolic.constants import symbolic_blocks
from edgewise.training import find_loss
from edgewise.training.gauss_newton import jacobian_rows

F64 = torch.float64
MSE = find_loss("mse")
WIDTHS = [[2, 1], [2, 2, 1], [2, 3, 2], [2, [0, 1], 1], [2, [1, 1], 2], [2, 2, 2, 1], [2, [0, 1]], [2, [1, (3,)]]]
WITHOUT_POLES = ("0", "x", "x^2", "x^3", "sin", "cos", "exp", "tanh", "gaussian", "sigmoid", "arctan", "abs", "sinh")
GENERIC = ("sin", "tanh", "gaussian", "arctan")  # behind these, no identity makes further parameters redundant


@pytest.fixture
def random_network(rng):
    """Symbolic edges everywhere, names and constants at random."""

    def make(width, first, then=None, spread=0.4):
        nodes = [arities(entry) for entry in width]
        layers = []
        for index, (before, after) in enumerate(itertools.pairwise(nodes)):
            names = first if index == 0 or then is None else then
            owner = torch.randint(len(names), (len(before), sum(after)), generator=rng)
            blocks = []
            for number, name in enumerate(names):
                source, target = (owner == number).nonzero(as_tuple=True)
                noise = torch.randn((len(source), 4), generator=rng, dtype=F64)
                affine = torch.tensor([1.0, 0.0, 0.7, 0.0], dtype=F64) + spread * noise
                blocks.append(SymbolicBlock(name, source, target, affine, shape=(len(before), sum(after))))
            layer = KANLayer.from_blocks(blocks, after, len(before))
            layers.append(layer.with_blocks(blocks))
        sample = 4 * torch.rand((300, width[0]), generator=rng, dtype=F64) - 2
        return Network(layers, sample=sample)

    return make


def jacobian(model):
    """Derivatives of all outputs by all parameters that are not frozen, its columns of length 1."""
    x = model.sample
    factors = torch.eye(model.out_features, dtype=F64)
    rows = [jacobian_rows(model, x, factor.expand(len(x), -1).unsqueeze(-1))[0] for factor in factors]
    free = torch.cat(
        [(~block.frozen[~block.locked_edges]).flatten() for layer in model.all_layers for block in layer.blocks]
    )
    found = torch.cat(rows)[:, free]
    return found / found.norm(dim=0)


# ------------------------------------------------------------------------------------------------ canonical


@pytest.mark.parametrize("width", WIDTHS, ids=str)
def test_canonical_constants_keep_the_function(random_network, width):
    for _ in range(4):
        model = random_network(width, WITHOUT_POLES)
        expected = model(model.sample).detach()
        usable = expected.isfinite().all(dim=1) & (expected.abs().amax(dim=1) < 1e6)
        assert int(usable.sum()) > 50
        found = canonical(model)(model.sample).detach()
        scale = expected[usable].abs().amax(dim=1, keepdim=True).clamp_min(1.0)
        assert ((found - expected)[usable].abs() / scale).max() < 1e-12


@pytest.mark.parametrize("width", WIDTHS, ids=str)
def test_canonical_constants_have_no_redundant_freedom(random_network, width):
    """As many free parameters as the original has independent ones; not one fewer, for nothing may be lost."""
    model = random_network(width, ("sin", "x^2", "exp", "x"), GENERIC)
    values = torch.linalg.svdvals(jacobian(model))
    reduced = jacobian(canonical(model))
    assert torch.linalg.svdvals(reduced)[-1] > 1e-9  # independent
    independent = reduced.shape[1]
    assert independent < len(values)
    assert values[independent - 1] > 1e-9
    assert values[independent] < 1e-13


@pytest.mark.parametrize("name", ["x", "exp", "log", "x^2", "sqrt", "1/x", "x^3"])
def test_what_a_primitive_makes_redundant_goes_into_the_edge_before(random_network, name):
    """A scale or a shift behind a node, undone by the primitive behind it."""
    inner = random_network([2, 1], ("sin", "tanh"))
    affine = torch.tensor([[2.5, 9.0, 0.4, 0.3]], dtype=F64)
    edge = torch.tensor([0])
    outer = KANLayer.from_blocks([SymbolicBlock(name, edge, edge, affine, shape=(1, 1))], (1,), 1)
    model = Network([*inner.all_layers, outer], sample=inner.sample)
    found = canonical(model)
    torch.testing.assert_close(found(model.sample), model(model.sample), rtol=1e-12, atol=1e-12)
    assert torch.linalg.svdvals(jacobian(found))[-1] > 1e-9
    assert torch.linalg.svdvals(jacobian(model))[-1] < 1e-13


def test_canonical_is_done_once(random_network):
    once = canonical(random_network([2, [1, 1], 1], ("sin", "exp", "x^2"), GENERIC))
    twice = canonical(once)
    for one, other in zip(once.all_layers, twice.all_layers, strict=True):
        for before, after in zip(one.all_blocks(), other.all_blocks(), strict=True):
            torch.testing.assert_close(after.affine, before.affine, rtol=1e-12, atol=1e-12)
            assert torch.equal(after.frozen, before.frozen)


def test_the_constants_of_a_sum_are_on_one_edge(uniform):
    sources, targets = torch.tensor([0, 1]), torch.tensor([0, 0])
    affine = torch.tensor([[2.0, 1.0, 3.0, 0.25], [-1.0, 0.5, 2.0, 4.0]], dtype=F64)
    layer = KANLayer.from_blocks([SymbolicBlock("tanh", sources, targets, affine, shape=(2, 1))], (1,), 2)
    found = canonical(Network([layer], sample=uniform(-1, 1, 10, 2))).all_layers[0].all_blocks()[0]
    # tanh is odd: the argument's scale becomes positive
    assert found.affine.tolist() == [[2.0, 1.0, 3.0, 4.25], [1.0, -0.5, -2.0, 0.0]]
    assert found.frozen.tolist() == [[False] * 4, [False, False, False, True]]


def test_locked_edges_and_nodes_that_touch_curves_keep_their_constants(mixed_network, random_network, uniform):
    x = uniform(-1, 1, 40, 2)
    found = canonical(mixed_network)
    torch.testing.assert_close(found(x), mixed_network(x), rtol=0, atol=1e-12)
    (before,), (after,) = (symbolic_blocks(model.all_layers[0]) for model in (mixed_network, found))
    assert torch.equal(before.affine[1], after.affine[1])  # locked
    model = random_network([2, 2, 1], ("sin", "tanh"), GENERIC)
    held = lock(model, 0, 1, 0)
    kept = canonical(held)
    torch.testing.assert_close(kept(model.sample), model(model.sample), rtol=1e-12, atol=1e-12)
    block, other = (m.all_layers[0].block_of(1, 0) for m in (held, kept))
    row = ((block.source == 1) & (block.target == 0)).nonzero().item()
    assert torch.equal(block.affine[row], other.affine[row])
    # Node 0 has an edge that cannot be edited, so the scale of node 1 alone was taken out.
    frozen_scales = [
        int(each.target[i]) for each in symbolic_blocks(kept.all_layers[0]) for i in range(len(each.source))
        if bool(each.frozen[i, 2])
    ]  # fmt: skip
    assert frozen_scales == [1]


def test_a_factor_that_is_locked_keeps_its_scale(uniform):
    """A product at the output, whose first factor cannot be edited."""
    sources, targets = torch.tensor([0, 1]), torch.tensor([0, 1])
    affine = torch.tensor([[1.0, 0.1, 2.0, 1.0], [1.3, 0.4, 3.0, 0.7]], dtype=F64)
    block = SymbolicBlock(
        "tanh", sources, targets, affine, shape=(2, 2), locked=torch.tensor([True, False])
    )  # fmt: skip
    model = Network([KANLayer.from_blocks([block], (2,), 2)], sample=uniform(-1, 1, 10, 2))
    found = canonical(model).all_layers[0].all_blocks()[0]
    assert torch.equal(found.affine, affine)
    assert not bool(found.frozen.any())


# ------------------------------------------------------------------------------------------------ snapped


def additive(rows, x):
    """A sum of named edges of several inputs: name to rows of source, a, b, c, d."""
    inputs = x.shape[1]
    blocks = []
    for name, edges in rows.items():
        source = torch.tensor([row[0] for row in edges])
        affine = torch.tensor([row[1:] for row in edges], dtype=F64)
        blocks.append(SymbolicBlock(name, source, torch.zeros_like(source), affine, shape=(inputs, 1)))
    layer = KANLayer.from_blocks(blocks, (1,), inputs)
    return KAN.assemble([layer], sample=x, options=KAN([inputs, 1]).options)


def constants(model, name):
    (block,) = [block for layer in model.all_layers for block in layer.blocks if block.primitive.name == name]
    return block.affine.tolist(), block.frozen.tolist()


def fitted(rows, x, y):
    model = canonical(additive(rows, x))
    model.fit((x, y), steps=60)
    return model


def test_exact_constants_on_clean_data(uniform):
    x = uniform(-1, 1, 200, 3)
    y = 3 * torch.sin(math.pi * x[:, :1]) + x[:, 1:2] ** 2 / 2 - 0.75 * torch.exp(-2 * x[:, 2:]) + 0.25
    start = {"sin": [(0, 3.1, 0.05, 2.8, 0)], "x^2": [(1, 1, 0.02, 0.55, 0)], "exp": [(2, -1.9, 0, -0.7, 0.2)]}
    model = fitted(start, x, y)
    exact, notes = snapped(model, x, y, MSE)
    assert constants(exact, "sin")[0] == [[math.pi, 0, 3, 0.25]]
    assert constants(exact, "x^2")[0] == [[1, 0, 0.5, 0]]
    assert constants(exact, "exp")[0] == [[-2, 0, -0.75, 0]]
    assert float((exact(x) - y).detach().abs().max()) < 1e-14
    assert all(block.frozen.all() for block in exact.all_layers[0].blocks)
    assert len(notes) == 12 - sum(int(block.frozen.sum()) for block in model.all_layers[0].blocks)
    assert any(note.startswith("constant 3.14159265 of sin taken as 3.14159265") for note in notes)


def test_noisy_constants_have_no_more_digits_than_the_data_know(uniform, normal):
    x = uniform(0.5, 2, 4000, 1)
    for noise, truth, expected in ((0.02, 2.77, 2.77), (1e-4, 2.77125, None), (2.0, 2.77, None)):
        y = truth * x + noise * normal(4000, 1)
        model = fitted({"x": [(0, 1, 0, 2.7, 0)]}, x, y)
        exact, _ = snapped(model, x, y, MSE)
        ((_, _, c, _),), ((_, _, is_exact, _),) = constants(exact, "x")
        assert is_exact == (expected is not None)
        assert c == (expected or pytest.approx(truth, abs=noise / 10))


@pytest.mark.parametrize("seed", range(5))
def test_constants_are_rounded_to_what_the_data_know(seed):
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand((2000, 1), generator=generator, dtype=F64) - 1
    y = 1.737 * torch.tanh(1.4142136 * x) + 2.8391 + 0.05 * torch.randn((2000, 1), generator=generator, dtype=F64)
    model, _ = snapped(fitted({"tanh": [(0, 1.4, 0.1, 1.7, 2.8)]}, x, y), x, y, MSE)
    short, notes = rounded(model, x, y, MSE)
    free = [k for k, held in enumerate(constants(model, "tanh")[1][0]) if not held]
    ((before,), _), ((after,), (held,)) = constants(model, "tanh"), constants(short, "tanh")
    assert len(notes) == len(free) > 0
    assert all(held)
    assert all(after[k] == round(after[k], 3) for k in free)
    assert all(abs(after[k] - before[k]) < 0.1 for k in free)
    # Two standard errors of a constant are about four units of the log-likelihood.
    rise = float((short(x) - y).detach().square().mean() / (model(x) - y).detach().square().mean()) - 1
    assert rise * 2000 < 9 * len(free)


def test_clean_constants_and_unknown_ones_are_not_rounded(uniform):
    x = uniform(-1, 1, 150, 1)
    y = 0.7310585 * torch.tanh(1.2345678 * x + 0.1234567) + 5.4321098
    model = fitted({"tanh": [(0, 1.0, 0.1, 0.8, 5)]}, x, y)
    short, notes = rounded(model, x, y, MSE)
    assert notes == []
    assert torch.equal(short(x), model(x))


def test_clean_constants_that_are_not_simple_stay(uniform):
    x = uniform(-1, 1, 150, 1)
    y = 0.7310585 * torch.tanh(1.2345678 * x + 0.1234567) + 5.4321098
    exact, notes = snapped(fitted({"tanh": [(0, 1.0, 0.1, 0.8, 5)]}, x, y), x, y, MSE)
    affine, frozen = constants(exact, "tanh")
    assert affine[0] == pytest.approx([1.2345678, 0.1234567, 0.7310585, 5.4321098], abs=1e-9)
    assert frozen == [[False] * 4]
    assert notes == []


@pytest.mark.parametrize("seed", range(5))
def test_on_noisy_data_what_is_near_snaps_and_what_is_not_stays(seed):
    """The standard errors of a and c are about 5e-4 and 8e-4. 3.3745 is no simple number, 2 is."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand((300, 1), generator=generator, dtype=F64) - 1
    y = 2 * torch.sin(3.3745 * x) + 0.5 + 0.01 * torch.randn((300, 1), generator=generator, dtype=F64)
    exact, _ = snapped(fitted({"sin": [(0, 3.3, 0.1, 1.9, 0.4)]}, x, y), x, y, MSE)
    ((a, b, c, d),), ((fixed, *others),) = constants(exact, "sin")
    assert (b, c, d) == (0, 2, 0.5)
    assert others == [True, True, True]
    assert not fixed
    assert 1e-6 < abs(a - 3.3745) < 4e-3


@pytest.mark.parametrize("seed", range(3))
def test_a_constant_that_data_tell_from_a_simple_one_stays(seed):
    """2.02 is some 20 standard errors from 2."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand((300, 1), generator=generator, dtype=F64) - 1
    y = 2.02 * torch.sin(3 * x) + 0.01 * torch.randn((300, 1), generator=generator, dtype=F64)
    exact, _ = snapped(fitted({"sin": [(0, 3.1, 0.1, 1.9, 0.4)]}, x, y), x, y, MSE)
    ((a, b, c, d),), frozen = constants(exact, "sin")
    assert (a, b, d) == (3, 0, 0)
    assert frozen == [[True, True, False, True]]
    assert c == pytest.approx(2.02, abs=4e-3)


def test_constants_that_are_hardly_known_stay_unless_they_may_be_zero():
    """With standard errors of some tenths every number is near a simple one; that makes none of them simple."""
    generator = torch.Generator().manual_seed(4)
    x = 2 * torch.rand((50, 1), generator=generator, dtype=F64) - 1
    y = 1.7 * torch.tanh(1.4 * x) + 2.8 + 0.5 * torch.randn((50, 1), generator=generator, dtype=F64)
    model = fitted({"tanh": [(0, 1.4, 0.1, 1.7, 2.8)]}, x, y)
    exact, notes = snapped(model, x, y, MSE)
    (affine,), (frozen,) = constants(exact, "tanh")
    assert [value for value, held in zip(affine, frozen, strict=True) if held] == [0]
    assert len(notes) == 1
    assert notes[0].endswith("of tanh taken as 0")


def test_the_scale_of_an_argument_never_becomes_zero():
    """Data without any trend: a scale of 0 fits them as well, but then the edge would be a constant by another name."""
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        x = 2 * torch.rand((60, 1), generator=generator, dtype=F64) - 1
        y = 0.5 + torch.randn((60, 1), generator=generator, dtype=F64)
        model = fitted({"exp": [(0, 0.01, 0, 1.0, 0.0)]}, x, y)
        exact, _ = snapped(model, x, y, MSE)
        ((a, *_),), ((frozen, *_),) = constants(exact, "exp")
        assert a != 0
        assert not (frozen and a == 0)


def test_frozen_and_locked_constants_are_not_touched(uniform):
    x = uniform(-1, 1, 100, 2)
    y = 2 * torch.tanh(x[:, :1]) + torch.sin(3 * x[:, 1:])
    model = canonical(additive({"tanh": [(0, 1 + 1e-10, 0, 2, 0)], "sin": [(1, 3 + 1e-10, 0, 1, 0)]}, x))
    model = lock(model, 0, 1, 0)
    exact, notes = snapped(model, x, y, MSE)
    assert constants(exact, "tanh")[0] == [[1, 0, 2, 0]]
    assert constants(exact, "sin")[0][0][0] == 3 + 1e-10
    assert not any("sin" in note for note in notes)


def test_a_network_without_free_constants_is_returned_as_it_is(uniform):
    x = uniform(-1, 1, 20, 1)
    model = additive({"tanh": [(0, 1.0, 0.0, 2.0, 0.0)]}, x)
    model.all_layers[0].all_blocks()[0].frozen[:] = True
    exact, notes = snapped(model, x, 2 * torch.tanh(x) + 0.1, MSE)
    assert notes == []
    assert torch.equal(exact(x), model(x))


def test_the_input_of_snapping_is_left_as_it_was(uniform):
    x = uniform(-1, 1, 80, 1)
    y = 2 * torch.sin(3 * x)
    model = fitted({"sin": [(0, 2.9, 0.1, 1.9, 0.1)]}, x, y)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    snapped(model, x, y, MSE)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_constants_of_hidden_layers_snap_too(uniform):
    """exp(sin(π·a) + b²) from constants that are a little off."""
    x = uniform(-1, 1, 200, 2)
    y = torch.exp(torch.sin(math.pi * x[:, :1]) + x[:, 1:] ** 2)
    inner = additive({"sin": [(0, 3.1, 0.02, 1.1, 0.1)], "x^2": [(1, 1.1, 0.01, 0.9, -0.05)]}, x)
    edge = torch.tensor([0])
    outer = SymbolicBlock("exp", edge, edge, torch.tensor([[0.95, 0.1, 1.05, 0.02]], dtype=F64), shape=(1, 1))
    layers = [*inner.all_layers, KANLayer.from_blocks([outer], (1,), 1)]
    model = canonical(KAN.assemble(layers, sample=x, options=inner.options))
    model.fit((x, y), steps=100)
    exact, _ = snapped(model, x, y, MSE)
    assert constants(exact, "sin")[0] == [[math.pi, 0, 1, 0]]
    assert constants(exact, "exp")[0] == [[1, 0, 1, 0]]
    torch.testing.assert_close(exact(x), y, rtol=1e-13, atol=1e-13)


def fitted_tree(tree, x, y):
    """The network of a tree, its constants fitted; those that are 0 or 1 are held."""
    model = network_of(tree, x, hold=True)
    model.fit((x, y.unsqueeze(1)), steps=60)
    return model


def test_multiples_of_pi_are_found_in_sums_that_go_into_periodic_functions(uniform, normal):
    x = uniform(-1, 1, 3000, 2)
    y = (math.pi * x[:, 0] + x[:, 1] ** 2 + math.pi / 3).sin() + 1e-3 * normal(3000)
    inner = Sum((Curve("x", Input(0), c=3.1), Curve("x^2", Input(1), d=1.0)))
    exact, _ = snapped(fitted_tree(Curve("sin", inner), x, y), x, y.unsqueeze(1), MSE)
    assert tree_of(exact).child.terms[0].c == math.pi
    assert math.pi / 3 in {tree_of(exact).b, tree_of(exact).child.terms[1].d}
    # What also goes elsewhere, or into no periodic function, is no angle.
    for outer in (Curve("tanh", inner), Sum((Curve("sin", inner), Curve("tanh", inner)))):
        target = network_of(outer, x)(x).detach()[:, 0] + 1e-3 * normal(3000)
        exact, notes = snapped(fitted_tree(outer, x, target), x, target.unsqueeze(1), MSE)
        assert not any("taken as 3.14" in note for note in notes)


@pytest.mark.parametrize("phase", [-1.82, 2.37, 0.41, 5.0])
def test_a_sine_may_stand_for_a_cosine_of_a_short_phase(phase, uniform, normal):
    x = uniform(-2, 2, 4000, 1)
    for name, of in (("sin", torch.cos), ("cos", torch.sin)):
        y = of(x + phase) + 0.01 * normal(4000, 1)
        quarter = math.pi / 2 if name == "sin" else -math.pi / 2
        model, _ = snapped(fitted({name: [(0, 1.0, phase + quarter, 1.0, 0.0)]}, x, y), x, y, MSE)
        short, _ = rounded(model, x, y, MSE)
        torch.testing.assert_close(short(x), of(x + phase), rtol=0, atol=1e-14)
        numbers = {abs(float(value)) for value in short.symbolic_formula().atoms(sympy.Number)}
        assert numbers - {1.0} == {abs(phase)}


def test_constants_that_make_up_for_each_other_become_simple_together(uniform, normal):
    """(x0 + p)·cos x1 + (x0² + q)·cos x1: only p + q is known."""
    x = uniform(0, 3, 3000, 2)
    cosine = Curve("cos", Input(1))
    tree = Sum(
        (
            Product((Curve("x", Input(0), d=-2.886), cosine)),
            Product((Curve("x^2", Input(0), d=4.887), cosine)),
        )
    )
    y = (x[:, 0] + x[:, 0] ** 2 + 2) * x[:, 1].cos() + 0.01 * normal(3000)
    model = fitted_tree(tree, x, y)
    exact, notes = snapped(model, x, y.unsqueeze(1), MSE)
    assert len(notes) == 2
    first, second = sympy.symbols("x0 x1")
    assert sympy.expand(exact.symbolic_formula() - (first + first**2 + 2) * sympy.cos(second)) == 0


def test_constants_stay_as_they_are_once_the_time_is_up(uniform, normal):
    x = uniform(-1, 1, 500, 1)
    y = 2 * torch.tanh(3 * x) + 0.01 * normal(500, 1)
    model = fitted({"tanh": [(0, 2.5, 0.1, 1.7, 0.2)]}, x, y)
    for simpler in (snapped, rounded):
        same, notes = simpler(model, x, y, MSE, deadline=time.monotonic())
        assert notes == []
        assert torch.equal(same(x), model(x))
        assert simpler(model, x, y, MSE, deadline=time.monotonic() + 60)[1]
