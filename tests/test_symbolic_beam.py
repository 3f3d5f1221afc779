"""The search for names: several namings side by side, judged by the description length of the whole network."""

import math

import pytest
import sympy
import torch

from edgewise.basis import BSpline
from edgewise.kan import KAN
from edgewise.network import SymbolicBlock
from edgewise.primitives import get_primitive
from edgewise.symbolic import Size, auto_symbolic, canonical, description_length, sharpened, size_of_expression
from edgewise.symbolic.description import size_of_network
from edgewise.symbolic.held_out import HeldOut
from edgewise.symbolic.naming_beam import NamingBeam

F64 = torch.float64
A, B = sympy.symbols("a b")


def rows_of(truth, *, noise=0.0, seed=0, rows=400):
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand((rows, 2), generator=generator, dtype=F64) - 1
    y = values(truth, x)
    return x, y + noise * y.std() * torch.randn(y.shape, generator=generator, dtype=F64)


def values(formula, x):
    return torch.as_tensor(sympy.lambdify((A, B), formula, "numpy")(*x.T.numpy()), dtype=F64).reshape(-1, 1)


def trained(data, width, seed=0):
    model = KAN(width, basis=BSpline(grid=5), seed=seed, input_names=["a", "b"])
    model.fit(data, steps=40)
    return model


def error_of(named, truth):
    """Of the formula, relative to the spread, on fresh rows without noise."""
    x, y = rows_of(truth, seed=99)
    return float((values(named.symbolic_formula(), x) - y).square().mean().sqrt() / y.std())


def random_sum(seed):
    """Two curves of random kinds, with constants of two digits."""
    generator = torch.Generator().manual_seed(seed)

    def between(low, high):
        return sympy.Rational(round(100 * (low + (high - low) * float(torch.rand((), generator=generator)))), 100)

    kinds = (sympy.sin, sympy.exp, sympy.tanh, sympy.log, sympy.sqrt, lambda u: u**2, lambda u: u**3, lambda u: 1 / u)
    terms = []
    for symbol in (A, B):
        kind = kinds[int(torch.randint(len(kinds), (), generator=generator))]
        slope = between(0.8, 1.8)
        terms.append(between(0.6, 1.5) * kind(slope * symbol + slope + between(0.2, 0.7)))
    return sum(terms)


# ------------------------------------------------------------------------------------------------ random targets


@pytest.mark.parametrize("seed", range(4))
def test_random_sums_are_found_exactly(seed):
    truth = random_sum(seed)
    data = rows_of(truth, seed=seed, rows=250)
    named = trained(data, (2, 1)).auto_symbolic(data)
    assert error_of(named, truth) < 1e-10


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_random_sums_are_found_in_noise(seed):
    truth = random_sum(seed)
    data = rows_of(truth, noise=0.01, seed=seed)
    named = trained(data, (2, 1)).auto_symbolic(data)
    assert error_of(named, truth) < 0.004  # the noise of 400 rows leaves about 0.01·√(8 / 400)


# ------------------------------------------------------------------------------------------------ the beam


def test_a_name_that_is_best_by_itself_may_not_be_the_one():
    """The curves are some way off: a parabola suits the second edge better than the straight line that it is."""
    truth = sympy.log(2.25 + 0.2 * B - 0.34 / (1.5 * A + 1.69))
    data = rows_of(truth, seed=1017)
    model = trained(data, (2, 1, 1), seed=17)
    rows = HeldOut.split(model, data, "mse", 0)
    start = sharpened(model, rows.x, rows.y, loss=rows.loss, held_out=(rows.x_held, rows.y_held))
    beam = NamingBeam(start, rows, None, tolerance=1.25, deadline=math.inf)
    greedy = beam.one_by_one()
    assert greedy.edges[0, 1, 0] == "edge (0, 1, 0): x^2"
    assert greedy.score > 1e-5

    named = model.auto_symbolic(data)
    assert [named.edge(*edge).name for edge in ((0, 0, 0), (0, 1, 0), (1, 0, 0))] == ["1/x", "x", "log"]
    assert error_of(named, truth) < 1e-10


def test_an_edge_without_a_name_is_tried_again_beside_names():
    truth = sympy.sqrt(0.59 + 0.32 * A + 0.3 * sympy.exp(1.78 * B - 0.21))
    data = rows_of(truth, seed=1007)
    named = trained(data, (2, 1, 1), seed=7).auto_symbolic(data)
    assert error_of(named, truth) < 1e-10


@pytest.fixture(scope="module")
def noisy():
    truth = 0.66 * (1.5 * A + 0.36) ** 3 - 0.82 * sympy.tanh(0.95 * B + 0.12)
    data = rows_of(truth, noise=0.01, seed=1034)
    model = trained(data, (2, 1), seed=34)
    return model, data, model.auto_symbolic(data)


def test_other_names_that_do_about_as_well_are_told(noisy):
    model, data, named = noisy
    told = [note for note in named.notes if note.startswith("nearly as good")]
    assert told
    (line, *_) = [note for note in told if "arctan" in note]
    other = auto_symbolic(model, data, primitives=["x^3", "arctan"])
    (x, y), spread = data, float(data[1].std())
    errors = [float((each(x) - y).detach().square().mean().sqrt()) / spread for each in (named, other)]
    assert named.edge(0, 1, 0).name == "tanh"
    assert "edge (0, 1, 0): arctan; the error is" in line
    assert errors[1] == pytest.approx(errors[0], rel=0.1)


def test_several_namings_are_the_same_for_the_same_seed(noisy):
    model, data, named = noisy
    again = model.auto_symbolic(data)
    assert again.notes == named.notes
    for one, other in zip(named.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_an_edge_without_a_name_keeps_its_reason_and_the_others_get_theirs():
    """No primitive is anything like the second term, whatever stands beside it."""
    truth = sympy.exp(A) + sympy.cos(4.3 * B**2 - 0.4) / 2 + 0.4 * sympy.sin(7.1 * B + 1)
    data = rows_of(truth, seed=3)
    model = KAN((2, 1), basis=BSpline(grid=20), seed=0)
    model.fit(data, steps=15)
    named = model.auto_symbolic(data)
    assert [named.edge(0, source, 0).name for source in (0, 1)] == ["exp", None]
    (reason,) = [note for note in named.notes if note.startswith("edge (0, 1, 0)")]
    before, after = (float(word) for word in reason.partition("the error from ")[2].split(", ")[0].split(" to "))
    assert after > 1.25 * before


# ------------------------------------------------------------------------------------------------ description length


def test_halving_the_error_is_worth_a_bit_a_row():
    size = Size(nodes=4, constants=2, exact=1.5)
    assert description_length(0.01, size, 300) - description_length(0.0025, size, 300) == pytest.approx(300)
    assert description_length(0.0, size, 300) == description_length(1e-40, size, 300)  # rounding is all that is left


def test_the_formula_is_paid_by_node_constant_and_fraction():
    x = sympy.Symbol("x")
    size = size_of_expression(0.25 * x**2 + sympy.Rational(3, 4))
    assert (size.nodes, size.constants) == (7, 1)
    assert size.exact == pytest.approx(math.log2(2) + math.log2(3) + 2 * math.log2(4))
    assert description_length(1.0, size, 64) == pytest.approx(3 * 7 + 3 + size.exact)


def test_of_a_network_free_constants_count_and_redundant_ones_do_not():
    block = SymbolicBlock(
        "x^2", torch.tensor([0]), torch.tensor([0]), torch.tensor([[2.0, 1.0, 3.0, 0.5]], dtype=F64), shape=(1, 1)
    )
    model = KAN([1, 1], seed=0).fix_symbolic(0, 0, 0, "x^2")
    model.all_layers[0].all_blocks()[0].affine.data[:] = block.affine
    complexity = get_primitive("x^2").complexity
    free = size_of_network(canonical(model))
    assert (free.nodes, free.constants, free.exact) == (complexity + 3, 3, 0.0)  # the factor of x goes into that of x²

    exact = canonical(model)
    exact.all_layers[0].all_blocks()[0].frozen[:] = True
    assert size_of_network(exact) == Size(complexity + 3, 0, pytest.approx(2.0 + math.log2(12) + 2.0))  # 1/2, 12, 1/2

    curve = size_of_network(KAN([1, 1], basis=BSpline(grid=5, degree=3), seed=0))
    assert curve.constants >= 8
