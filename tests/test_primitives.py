"""Every primitive of the registry, against one set of claims."""

import math
import pickle
from dataclasses import replace

import pytest
import sympy
import torch

from edgewise.errors import DomainError, OptionError
from edgewise.primitives import Affine, Primitive, Redundancy, Turn, get_primitive, primitives, register_primitive
from edgewise.primitives import registry as registry_module

EVERY = pytest.mark.parametrize("primitive", primitives(), ids=lambda primitive: primitive.name)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def arguments(primitive: Primitive, count: int = 40) -> torch.Tensor:
    """Points on all branches, away from the singular points and kinks."""
    points = []
    for low, high in primitive.branches:
        low, high = max(low, -3.0), min(high, 3.0)
        margin = 0.02 * (high - low)
        points.append(
            low + margin + (high - low - 2 * margin) * torch.rand(count, generator=generator(1), dtype=torch.float64)
        )
    u = torch.cat(points)
    return u[torch.stack([(u - kink).abs() > 0.01 for kink in (*primitive.kinks, math.inf)]).all(0)]


def close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def slope(function, u: torch.Tensor) -> torch.Tensor:
    """The automatic derivative; 0 of a function that does not depend on its argument."""
    (gradient,) = torch.autograd.grad(function(u).sum() + 0.0 * u.sum(), u)
    return gradient


@EVERY
def test_derivative_is_that_of_the_function(primitive):
    u = arguments(primitive).requires_grad_()
    close(primitive.derivative(u).detach(), slope(primitive.function, u))
    with torch.no_grad():
        step = 1e-5
        difference = (primitive.function(u + step) - primitive.function(u - step)) / (2 * step)
        scale = primitive.derivative(u).abs().max().item() + 1.0
        torch.testing.assert_close(primitive.derivative(u), difference, rtol=1e-4, atol=1e-8 * scale)


@EVERY
def test_derivative_can_be_differentiated(primitive):
    u = arguments(primitive).requires_grad_()
    second = slope(primitive.derivative, u)
    step = 1e-5
    with torch.no_grad():
        difference = (primitive.derivative(u + step) - primitive.derivative(u - step)) / (2 * step)
    torch.testing.assert_close(second, difference, rtol=1e-4, atol=1e-8 * (second.abs().max().item() + 1.0))


@EVERY
def test_function_is_the_expression(primitive):
    u = arguments(primitive, count=5)
    symbol = sympy.Symbol("t", real=True)
    expression = primitive.expression(symbol)
    expected = [float(expression.subs(symbol, sympy.Float(value, 30)).evalf(30)) for value in u.tolist()]
    close(primitive.function(u), torch.tensor(expected, dtype=torch.float64))
    derivative = expression.diff(symbol)
    expected = [float(derivative.subs(symbol, sympy.Float(value, 30)).evalf(30)) for value in u.tolist()]
    close(primitive.derivative(u), torch.tensor(expected, dtype=torch.float64))


@EVERY
def test_function_is_nan_outside_of_the_domain_and_finite_inside(primitive):
    low, high = primitive.domain
    outside = [point for point in (low - 1e-9, low - 2.0, high + 1e-9, high + 2.0) if math.isfinite(point)]
    u = torch.tensor(outside, dtype=torch.float64)
    assert primitive.function(u).isnan().all()
    assert primitive.derivative(u).isnan().all()
    assert primitive.function(arguments(primitive)).isfinite().all()


@EVERY
def test_excluded_points_are_singular(primitive):
    for point in primitive.excluded:
        near = torch.tensor([point - 1e-8, point + 1e-8], dtype=torch.float64)
        assert (primitive.function(near).abs() > 1e7).all()
    for point in primitive.kinks:
        near = torch.tensor([point - 1e-8, point + 1e-8], dtype=torch.float64)
        jumps = torch.stack((primitive.function(near), primitive.derivative(near))).diff().abs()
        assert (jumps > 0.1).any()


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_and_shape_are_kept(primitive, dtype):
    u = torch.full((2, 3), 0.5, dtype=dtype)
    for function in (primitive.function, primitive.derivative):
        value = function(u)
        assert value.dtype == dtype
        assert value.shape == (2, 3)


@EVERY
def test_identities_hold(primitive):
    redundant, u = primitive.redundant, arguments(primitive)
    f = primitive.function(u)
    for size in (0.37, 2.9):
        if redundant.scaling is not None:
            factor, offset = redundant.scaling(size)
            close(primitive.function(size * u), factor * f + offset)
        for shift in (size, -size):
            if redundant.shifting is not None:
                factor, offset = redundant.shifting(shift)
                close(primitive.function(u + shift), factor * f + offset)
    if redundant.reflection is not None:
        close(primitive.function(-u), redundant.reflection.factor * f + redundant.reflection.offset)
    if redundant.turn is not None:
        for times in (-3, -1, 0, 1, 2):
            factor, offset = redundant.turn.repeated(times)
            close(primitive.function(u + times * redundant.turn.length), factor * f + offset, tolerance=1e-10)


@EVERY
def test_canonical_parameters_give_the_same_curve(primitive):
    redundant, u = primitive.redundant, arguments(primitive)
    for seed in range(20):
        a, b, c, d = torch.randn(4, generator=generator(seed), dtype=torch.float64).tolist()
        x = (u - b) / a
        found = redundant.canonical(a, b, c, d)
        before = c * primitive.function(a * x + b) + d
        after = found[2] * primitive.function(found[0] * x + found[1]) + found[3]
        close(after, before, tolerance=1e-9)
        torch.testing.assert_close(redundant.canonical(*found), found, rtol=1e-12, atol=1e-12)
        free = 4 - (abs(found[0]) == 1.0) - (found[1] == 0.0) - (found[2] == 0.0)
        assert free == redundant.constants
        if redundant.reflection is not None:
            assert found[0] > 0.0
        if redundant.turn is not None:
            assert -0.5 < found[1] / redundant.turn.length <= 0.5


@EVERY
def test_names_and_aliases_lead_to_the_record(primitive):
    for name in (primitive.name, *primitive.aliases):
        assert get_primitive(name) is primitive


@EVERY
def test_record_can_be_pickled(primitive):
    copy = pickle.loads(pickle.dumps(primitive))
    assert copy == primitive
    u = arguments(primitive)
    assert torch.equal(copy.function(u), primitive.function(u))


def test_complexity_is_that_of_the_description():
    complexity = {primitive.name: primitive.complexity for primitive in primitives()}
    assert complexity["0"] < complexity["x"] < complexity["x^2"] < complexity["x^3"] < complexity["x^4"]
    assert complexity["sin"] < complexity["gaussian"] < complexity["arctanh"]


def test_branches():
    assert get_primitive("1/x").branches == ((-math.inf, 0.0), (0.0, math.inf))
    assert get_primitive("tan").branches == ((-0.5 * math.pi, 0.5 * math.pi),)
    assert get_primitive("sin").branches == ((-math.inf, math.inf),)


def test_names_of_pykan_are_known():
    names = (
        "x x^2 x^3 x^4 x^5 1/x 1/x^2 1/x^3 1/x^4 1/x^5 sqrt x^0.5 x^1.5 1/sqrt(x) 1/x^0.5 exp log abs sin cos tan tanh "
        "sgn arcsin arccos arctan arctanh 0 gaussian"
    )
    for name in names.split():
        get_primitive(name)
    assert get_primitive("x^0.5") is get_primitive("sqrt")
    assert get_primitive("1/x^0.5") is get_primitive("1/sqrt(x)")
    assert get_primitive("x^-1") is get_primitive("1/x")


def test_an_unknown_name_names_the_closest():
    with pytest.raises(OptionError, match=r"'sinn'.*'sin'"):
        get_primitive("sinn")


@pytest.fixture
def own_registry(monkeypatch):
    monkeypatch.setattr(registry_module, "_primitives", dict(registry_module._primitives))
    monkeypatch.setattr(registry_module, "_names", dict(registry_module._names))


@pytest.mark.usefixtures("own_registry")
def test_a_registered_primitive_is_found():
    cube_root = replace(get_primitive("sqrt"), name="own", aliases=("mine",))
    register_primitive(cube_root)
    assert get_primitive("own") is cube_root
    assert get_primitive("mine") is cube_root
    assert primitives()[-1] is cube_root


@pytest.mark.usefixtures("own_registry")
@pytest.mark.parametrize(
    ("name", "alias"), [("sin", "other"), ("other", "sin"), ("other", "x^0.5"), ("constant", "other")]
)
def test_a_taken_name_is_refused(name, alias):
    before = primitives()
    with pytest.raises(OptionError, match="taken"):
        register_primitive(replace(get_primitive("sin"), name=name, aliases=(alias,)))
    assert primitives() == before


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"name": ""}, OptionError),
        ({"complexity": -1}, OptionError),
        ({"domain": (1.0, 1.0)}, DomainError),
        ({"domain": (math.nan, 1.0)}, DomainError),
        ({"excluded": (math.inf,)}, DomainError),
        ({"domain": (0.0, 1.0), "kinks": (2.0,)}, DomainError),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(change, error):
    with pytest.raises(error):
        replace(get_primitive("sin"), **change)


def test_canonical_keeps_what_floats_cannot_absorb():
    exponential = get_primitive("exp").redundant
    assert exponential.canonical(30.0, -30000.0, 1.0, 0.0) == (30.0, -30000.0, 1.0, 0.0)
    assert exponential.canonical(30.0, 30000.0, 1.0, 0.0) == (30.0, 30000.0, 1.0, 0.0)
    assert get_primitive("1/x^5").redundant.canonical(1e-80, 0.0, 1.0, 0.0) == (1e-80, 0.0, 1.0, 0.0)
    assert get_primitive("x^2").redundant.canonical(0.0, 1.0, 1.0, 0.0) == (0.0, 1.0, 1.0, 0.0)


def test_a_turn_with_an_offset():
    staircase = Redundancy(turn=Turn(1.0, 1.0, 1.0))  # floor(u + 1) = floor(u) + 1
    a, b, c, d = staircase.canonical(1.0, 7.25, 2.0, 0.5)
    assert (a, b, c, d) == (1.0, 0.25, 2.0, 14.5)
    assert Turn(1.0, -1.0, 3.0).repeated(3) == Affine(-1.0, 3.0)
