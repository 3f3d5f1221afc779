"""Formulas computed by SymPy are what the network computes."""

import itertools
import math

import numpy as np
import pytest
import sympy
import torch

from edgewise.errors import OptionError, SymbolicError
from edgewise.kan import KAN
from edgewise.network import KANLayer, Network, Options, SymbolicBlock, arities
from edgewise.primitives import primitives
from edgewise.surgery import with_transforms
from edgewise.symbolic import number, symbolic_formula, tidy

F64 = torch.float64
SMOOTH = ("x", "x^2", "x^3", "sin", "cos", "exp", "tanh", "gaussian", "sigmoid", "arctan", "abs", "cosh", "0")


def named_layer(rows, shape, nodes=None):
    """A layer of rows: name, source, target, a, b, c, d."""
    blocks = []
    for name in dict.fromkeys(row[0] for row in rows):
        own = [row[1:] for row in rows if row[0] == name]
        source, target = torch.tensor([row[:2] for row in own]).T
        affine = torch.tensor([row[2:] for row in own], dtype=F64)
        blocks.append(SymbolicBlock(name, source, target, affine, shape=shape))
    return KANLayer.from_blocks(blocks, nodes or (1,) * shape[1], shape[0])


def evaluated(expression, names, x):
    """Values at rows of inputs, by NumPy."""
    function = sympy.lambdify([sympy.Symbol(name) for name in names], expression, modules="numpy")
    values = function(*x.T.numpy())
    return torch.as_tensor(np.broadcast_to(np.asarray(values, dtype=float), len(x)).copy())


@pytest.mark.parametrize(
    "width", [[2, 1], [2, 3, 1], [3, 2, 2], [2, [1, 2], 1], [2, [0, (3,)], 2], [1, 2, 2, 1]], ids=str
)
def test_the_formula_is_the_network(rng, uniform, width):
    nodes = [arities(entry) for entry in width]
    layers = []
    for before, after in itertools.pairwise(nodes):
        rows = [
            (SMOOTH[int(torch.randint(len(SMOOTH), (), generator=rng))], source, target, *affine)
            for source in range(len(before))
            for target in range(sum(after))
            for affine in [(torch.tensor([1.0, 0, 0.6, 0]) + 0.3 * torch.randn(4, generator=rng)).tolist()]
        ]
        layers.append(named_layer(rows, (len(before), sum(after)), after))
    model = Network(layers, sample=uniform(-1, 1, 30, width[0]))
    formulas = symbolic_formula(model)
    formulas = formulas if isinstance(formulas, list) else [formulas]
    x = uniform(-1, 1, 40, width[0])
    expected = model(x).detach()
    assert len(formulas) == model.out_features
    for formula, values in zip(formulas, expected.T, strict=True):
        found = evaluated(formula, model.input_names, x)
        torch.testing.assert_close(found, values, rtol=1e-11, atol=1e-11 * float(values.abs().max()))


@pytest.mark.parametrize("primitive", primitives(), ids=lambda primitive: primitive.name)
def test_every_primitive_has_its_formula(primitive, uniform):
    """The argument runs from 0.1 to 0.9, where all of them have values."""
    row = (primitive.name, 0, 0, 0.8, 0.1, 1.7, -0.4)
    model = Network([named_layer([row], (1, 1))], sample=uniform(0, 1, 20, 1))
    x = uniform(0, 1, 30, 1)
    found = evaluated(symbolic_formula(model, names=["t"]), ["t"], x)
    torch.testing.assert_close(found, model(x).detach()[:, 0], rtol=1e-12, atol=1e-12)


def test_several_outputs_are_a_list():
    rows = [("x", 0, 0, 1, 0, 2, 0), ("x^2", 1, 1, 1, 0, 1, 0), ("sin", 0, 1, 1, 0, 3, 0)]
    model = Network([named_layer(rows, (2, 2))], sample=torch.zeros(3, 2, dtype=F64))
    a, b = sympy.symbols("a b")
    assert symbolic_formula(model, names=["a", "b"]) == [2 * a, b**2 + 3 * sympy.sin(a)]


def test_an_output_without_edges_is_zero():
    model = Network([named_layer([("x", 0, 0, 1, 0, 1, 0)], (1, 2))], sample=torch.zeros(3, 1, dtype=F64))
    assert symbolic_formula(model) == [sympy.Symbol("x0"), sympy.Integer(0)]


def test_products_are_products():
    layer = named_layer([("x", 0, 0, 1, 0, 1, 0), ("x", 1, 1, 1, 0, 1, 2)], (2, 2), nodes=(2,))
    a, b = sympy.symbols("a b")
    formula = symbolic_formula(Network([layer], sample=torch.zeros(3, 2, dtype=F64)), names=["a", "b"])
    assert sympy.expand(formula - a * (b + 2)) == 0


# ------------------------------------------------------------------------------------------------ names, digits


def test_names_are_the_model_s_own_or_those_given():
    layers = [named_layer([("sin", 0, 0, 1, 0, 1, 0), ("x", 1, 0, 1, 0, 1, 0)], (2, 1))]
    sample = torch.zeros(3, 2, dtype=F64)
    plain = Network(layers, sample=sample)
    named = Network(layers, sample=sample, options=Options(input_names=("mass", "lambda")))
    assert str(symbolic_formula(plain)) == "x1 + sin(x0)"
    assert symbolic_formula(named) == sympy.sin(sympy.Symbol("mass")) + sympy.Symbol("lambda")
    assert symbolic_formula(named, names=("S", "E")).free_symbols == {sympy.Symbol("S"), sympy.Symbol("E")}
    odd = symbolic_formula(named, names=["a b", "__import__('os')"])
    assert {symbol.name for symbol in odd.free_symbols} == {"a b", "__import__('os')"}


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"], ["a", "a"]])
def test_wrong_names_are_refused(names):
    model = Network([named_layer([("x", 0, 0, 1, 0, 1, 0), ("x", 1, 0, 1, 0, 1, 0)], (2, 1))], sample=torch.zeros(1, 2))
    with pytest.raises(OptionError, match="2 inputs"):
        symbolic_formula(model, names=names)


def test_digits_round_what_is_no_exact_number():
    rows = [("x", 0, 0, 1, 0, 1.23456789, 0), ("x^2", 1, 0, 1, 0, 1 / 3, 2.99999)]
    model = Network([named_layer(rows, (2, 1))], sample=torch.zeros(1, 2, dtype=F64))
    x0, x1 = sympy.symbols("x0 x1")
    assert symbolic_formula(model, digits=3) == sympy.Float(1.23, 3) * x0 + x1**2 / 3 + 3
    assert str(symbolic_formula(model, digits=3)) == "1.23*x0 + x1**2/3 + 3"
    assert symbolic_formula(model).coeff(x0) == sympy.Float(1.23456789)


def test_an_edge_that_is_a_curve_is_named_in_the_error(mixed_network):
    """The first curve is edge (0, 0, 0); there are eight and five of them."""
    curves = sum(
        int(block.mask.sum())
        for layer in mixed_network.all_layers
        for block in layer.all_blocks()
        if not isinstance(block, SymbolicBlock)
    )
    with pytest.raises(SymbolicError, match=rf"^{curves} edges are not symbolic, the first is \(0, 0, 0\)"):
        symbolic_formula(mixed_network)
    model = KAN([2, 2, 1], seed=0)
    for edge in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 0)]:
        model = model.fix_symbolic(*edge, "sin")
    with pytest.raises(SymbolicError, match=r"the first is \(0, 1, 1\)"):
        model.symbolic_formula()
    assert {symbol.name for symbol in model.fix_symbolic(0, 1, 1, "x").symbolic_formula().free_symbols} == {"x0", "x1"}


# ------------------------------------------------------------------------------------------------ power laws


def power_law(sample, exponents, constant):
    rows = [("x", i, 0, 1, 0, power, constant if i == 0 else 0) for i, power in enumerate(exponents)]
    inner = Network([named_layer(rows, (len(exponents), 1))], sample=sample)
    return with_transforms(inner, ("log",) * len(exponents), ("exp",), sample=sample)


def test_logarithms_between_positive_columns_give_a_power_law(uniform):
    sample = uniform(0.1, 10, 40, 2)
    formula = symbolic_formula(power_law(sample, (1.5, -0.5), math.log(7.25)), names=["a", "m"])
    a, m = sympy.symbols("a m")
    assert sympy.simplify(formula / (a ** sympy.Rational(3, 2) / sympy.sqrt(m))).is_number
    assert float(formula.subs({a: 4.0, m: 9.0})) == pytest.approx(7.25 * 8 / 3, rel=1e-12)
    assert not formula.has(sympy.log)
    assert {symbol.assumptions0["commutative"] for symbol in formula.free_symbols} == {True}
    assert formula.free_symbols == {a, m}  # plain symbols, whatever was assumed on the way


def test_columns_that_may_be_negative_are_not_taken_to_be_positive(uniform):
    """sqrt(x²) is |x|, which only positive columns shorten to x."""
    layers = [named_layer([("x^2", 0, 0, 1, 0, 1, 0)], (1, 1)), named_layer([("sqrt", 0, 0, 1, 0, 1, 0)], (1, 1))]
    positive = Network(layers, sample=uniform(0.5, 1, 10, 1))
    mixed = Network(layers, sample=uniform(-1, 1, 10, 1))
    x0 = sympy.Symbol("x0")
    assert symbolic_formula(positive) == x0
    assert symbolic_formula(mixed) == sympy.Abs(x0)


# ------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, 0),
        (-0.0, 0),
        (3.0, 3),
        (-1e6, -1000000),
        (0.1 + 0.2, sympy.Rational(3, 10)),
        (-7 / 12, sympy.Rational(-7, 12)),
        (math.pi, sympy.pi),
        (-5 * math.pi / 6, -5 * sympy.pi / 6),
        (2 * math.pi, 2 * sympy.pi),
    ],
)
def test_numbers_that_were_put_there_are_exact(value, expected):
    assert number(value) == expected


def test_a_quarter_of_a_turn_is_no_part_of_a_phase():
    phases = {"cos(x0 - 1.82)": math.pi / 2 - 1.82, "-cos(x0 + 0.3751)": 0.3751 - math.pi / 2}
    phases |= {"-sin(x0 - 1.37)": math.pi - 1.37, "sin(x0 - 5)": 2 * math.pi - 5}
    for expected, phase in phases.items():
        model = Network([named_layer([("sin", 0, 0, 1, phase, 1, 0)], (1, 1))], sample=torch.zeros((1, 1), dtype=F64))
        assert str(symbolic_formula(model)) == expected
    for phase in (0.25, 1.2345, 0.123456789, math.pi / 4):
        model = Network([named_layer([("sin", 0, 0, 1, phase, 1, 0)], (1, 1))], sample=torch.zeros((1, 1), dtype=F64))
        assert symbolic_formula(model).func == sympy.sin


def test_all_simple_fractions_are_found():
    for denominator in range(1, 13):
        for numerator in range(-30, 31):
            assert number(numerator / denominator) == sympy.Rational(numerator, denominator)
            assert number(numerator * math.pi / denominator) == sympy.Rational(numerator, denominator) * sympy.pi


@pytest.mark.parametrize(
    "value", [1.0 + 1e-12, 0.123456, 1e-20, 1e20, 1e6 + 0.1, math.e, math.pi + 1e-9, -1 / 13, 5e-324]
)
def test_other_numbers_are_kept_to_the_last_digit(value):
    found = number(value)
    assert isinstance(found, sympy.Float)
    assert float(found) == value


def test_no_number_is_changed(rng):
    for value in (torch.randn(200, generator=rng, dtype=F64) * 10).tolist():
        assert abs(float(number(value)) - value) <= 1e-15 * abs(value)


# ------------------------------------------------------------------------------------------------ tidying


@pytest.mark.parametrize(
    "text",
    [
        lambda x, y: (x + 1) ** 2 - x**2 - 2 * x,
        lambda x, y: sympy.exp(x + 2) * (y + 3 * (x - y)),
        lambda x, y: (x + y) * (x - y) + y**2,
        lambda x, y: sympy.exp(2 * sympy.log(x) + 1),
        lambda x, y: (x + y) ** 5,
        lambda x, y: sympy.sin(x) * 2 * (1 + y) - 2 * y * sympy.sin(x),
    ],
)
def test_tidy_forms_are_equal_and_no_longer(text, rng):
    x, y = sympy.symbols("x y", positive=True)
    before = text(x, y)
    after = tidy(before)
    assert sympy.count_ops(after) <= sympy.count_ops(before)
    for a, b in (3 * torch.rand((5, 2), generator=rng, dtype=F64)).tolist():
        assert complex(after.subs({x: a, y: b})) == pytest.approx(
            complex(before.subs({x: a, y: b})), rel=1e-9, abs=1e-9
        )


def test_tidy_finds_the_short_form():
    x, y = sympy.symbols("x y", positive=True)
    assert tidy((x + 1) ** 2 - x**2 - 2 * x) == 1
    assert tidy((x + y) ** 5) == (x + y) ** 5
    assert tidy((x + y) * (x - y) + y**2) == x**2


def test_large_expressions_are_left_as_they_are():
    x = sympy.Symbol("x")
    large = sympy.Add(*[(x + k) ** 2 * sympy.sin(k * x) for k in range(1, 120)])
    assert sympy.count_ops(large) > 400
    assert tidy(large) is large


def test_short_expressions_that_would_become_long_are_left_as_they_are():
    """Multiplied out, the first has 1716 terms; to look at them all would take minutes."""
    x, y = sympy.symbols("x y")
    power = ((x + 1) * (y + 2) * (x - y)) ** 6
    for short in (power, sympy.sin(power) + x, 1 / power, sympy.sqrt(power) * power):
        assert tidy(short) is short
    assert tidy((x + y) ** 2 - (x - y) ** 2) == 4 * x * y
