import math

import numpy as np
import pytest
import sympy
import torch

import edgewise as ew
from edgewise.primitives import primitives

X, Y = sympy.symbols("x y")
BACKENDS = {"math": float, "numpy": np.float64, "torch": lambda u: torch.tensor(u, dtype=torch.float64)}
FORMULAS = [
    X,
    -X,
    sympy.Rational(1, 3) + X,
    X - Y,
    -X - Y - 2,
    -2 * X * Y / 3,
    1 / (X * Y),
    -1 / X**2,
    X ** sympy.Rational(3, 2) - Y ** sympy.Rational(-5, 2),
    X**0.3 / Y ** sympy.Rational(1, 3),
    X**7 * Y**64 + X**70,
    2**X + X**Y,
    sympy.pi * X / sympy.E + sympy.sqrt(2),
    sympy.exp(Y**2 + sympy.sin(sympy.pi * X)),
    (X + Y) ** 2 / (X + Y) ** sympy.Rational(1, 2) + sympy.log(X + Y),
    sympy.Abs(-X) * sympy.sign(Y - 5) + sympy.atan(X) * sympy.asin(X / 4) - sympy.acos(Y / 9) + sympy.atanh(X / 5),
    sympy.tan(X) + sympy.sinh(X) * sympy.cosh(Y) - sympy.tanh(X) + sympy.cos(Y),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("formula", FORMULAS, ids=str)
def test_the_function_is_the_formula(formula, backend):
    function = ew.formula_function(formula, ["x", "y"], backend=backend)
    for x, y in ((0.7, 1.3), (1.9, 0.4)):
        value = function(*map(BACKENDS[backend], (x, y)))
        exact = float(formula.subs({X: sympy.Float(x, 30), Y: sympy.Float(y, 30)}).evalf(30))
        assert math.isclose(float(value), exact, rel_tol=1e-14)


@pytest.mark.parametrize(
    "primitive",
    [primitive for primitive in primitives() if primitive.name != "0"],
    ids=lambda primitive: primitive.name,
)
def test_all_primitives_can_be_computed(primitive):
    x = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    for backend, column in (("numpy", x.numpy()), ("torch", x)):
        value = ew.formula_function(primitive.expression(X), ["x"], backend=backend)(column)
        assert torch.allclose(torch.as_tensor(value), primitive.function(x), rtol=1e-14, atol=0)
    function = ew.formula_function(primitive.expression(X), ["x"], backend="math")
    assert [function(u) for u in x.tolist()] == pytest.approx(primitive.function(x).tolist(), rel=1e-14)


def test_arrays_keep_their_shape_and_tensors_their_gradients():
    function = ew.formula_function(X * Y**2, ["y", "x"])
    x, y = np.ones((3, 2)), np.full((3, 2), 2.0)
    assert np.array_equal(function(y, x), np.full((3, 2), 4.0))
    tensor = torch.tensor([3.0], requires_grad=True)
    function = ew.formula_function(X**3, ["x"], backend="torch")
    (slope,) = torch.autograd.grad(function(tensor).sum(), tensor)
    assert float(slope) == 27.0


@pytest.mark.parametrize(
    ("formula", "operations"),
    [(X, 0), (X**4, 2), (X**2 + X**4, 3), (1 / X, 1), (X - 2 * Y, 2), (sympy.sin(X + Y) / sympy.cosh(X + Y), 4)],
    ids=str,
)
def test_operations_are_counted_and_not_repeated(formula, operations):
    assert ew.formula_function(formula, ["x", "y"]).operations == operations


def test_a_formula_without_symbols_is_a_number():
    assert ew.formula_function(sympy.pi / 2, ["x"])(np.ones(3)) == math.pi / 2


def test_a_network_and_its_function_agree():
    data = ew.create_dataset(lambda x: torch.exp(torch.sin(torch.pi * x[:, 0]) + x[:, 1] ** 2), n_var=2, seed=0)
    model = ew.KAN([2, 1, 1], seed=0)
    for layer, source, target, name in ((0, 0, 0, "sin"), (0, 1, 0, "x^2"), (1, 0, 0, "exp")):
        model = model.fix_symbolic(layer, source, target, name)
    x = data.test_input
    function = ew.formula_function(model.symbolic_formula(names=["a", "b"]), ["a", "b"], backend="torch")
    with torch.no_grad():
        assert torch.allclose(function(*x.T), model(x)[:, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("formula", "names", "error", "words"),
    [
        (X + Y, ["x"], ew.SymbolicError, "symbol y"),
        (sympy.gamma(X), ["x"], ew.SymbolicError, "gamma"),
        (X + sympy.I, ["x"], ew.SymbolicError, "not real"),
        (X + sympy.zoo, ["x"], ew.SymbolicError, "not real"),
        (X, ["x", "x"], ew.OptionError, "twice"),
    ],
)
def test_what_cannot_be_computed_is_refused(formula, names, error, words):
    with pytest.raises(error, match=words):
        ew.formula_function(formula, names)


def test_wrong_backends_and_columns_are_refused():
    with pytest.raises(ew.OptionError, match="'math', 'numpy', 'torch'"):
        ew.formula_function(X, ["x"], backend="jax")
    with pytest.raises(ew.OptionError, match="takes 2 columns"):
        ew.formula_function(X, ["x", "y"])(1.0)
