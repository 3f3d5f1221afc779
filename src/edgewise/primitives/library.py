"""The primitives that come with Edgewise, simplest first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgewise.lazy import LazyModule
from edgewise.primitives.primitive import Primitive
from edgewise.primitives.redundancy import Affine, Redundancy, Turn

if TYPE_CHECKING:
    import sympy
else:
    sympy = LazyModule("sympy")

# Named functions and partials of them, not lambdas: records can then be pickled and sent to worker processes.

_EVEN = Affine(1.0, 0.0)
_ODD = Affine(-1.0, 0.0)


def _unchanged(size: float) -> Affine:
    return Affine(1.0, 0.0)


def _translated(shift: float) -> Affine:
    return Affine(1.0, shift)


def _homogeneous(scale: float, degree: float) -> Affine:
    return Affine(scale**degree, 0.0)


def _logarithmic(scale: float) -> Affine:
    return Affine(1.0, math.log(scale))


def _exponential(shift: float) -> Affine:
    return Affine(math.exp(shift), 0.0)


def _identity(u: Tensor) -> Tensor:
    return u


@dataclass(frozen=True)
class _SymPy:
    """A function of SymPy by its name: SymPy is imported when a formula is wanted, and records can be pickled."""

    name: str

    def __call__(self, u: sympy.Expr) -> sympy.Expr:
        return getattr(sympy, self.name)(u)


def _identity_expression(u: sympy.Expr) -> sympy.Expr:
    return u


def _zero_expression(u: sympy.Expr) -> sympy.Expr:
    return sympy.Integer(0)


def _power(u: Tensor, exponent: float) -> Tensor:
    # torch raises to 4, 5, −3, … through logarithms; a few products are many times faster and as exact.
    if exponent < -2.0 and exponent == int(exponent):
        return _power(u, -exponent).reciprocal()
    if exponent in {4.0, 5.0}:
        fourth = u.square().square()
        return fourth if exponent == 4.0 else fourth * u
    if exponent == 1.5:
        return u * u.sqrt()
    if exponent == -1.5:
        return (u * u.sqrt()).reciprocal()
    return u.pow(exponent)


def _power_derivative(u: Tensor, exponent: float) -> Tensor:
    return exponent * _power(u, exponent - 1.0)


def _power_expression(u: sympy.Expr, exponent: float) -> sympy.Expr:
    return u ** sympy.Rational(*exponent.as_integer_ratio())


def _power_primitive(name: str, exponent: float, complexity: int, *aliases: str) -> Primitive:
    whole = exponent == int(exponent)
    return Primitive(
        name=name,
        function=partial(_power, exponent=exponent),
        derivative=partial(_power_derivative, exponent=exponent),
        expression=partial(_power_expression, exponent=exponent),
        domain=(-math.inf if whole else 0.0, math.inf),
        complexity=complexity,
        excluded=(0.0,) if whole and exponent < 0 else (),
        redundant=Redundancy(
            scaling=partial(_homogeneous, degree=exponent),
            reflection=(_ODD if exponent % 2 else _EVEN) if whole else None,
        ),
        aliases=aliases,
    )


def _log_derivative(u: Tensor) -> Tensor:
    return torch.rsqrt(u).square()  # NaN, as the logarithm is, where u is negative


def _tan_derivative(u: Tensor) -> Tensor:
    return 1.0 + torch.tan(u).square()


def _tanh_derivative(u: Tensor) -> Tensor:
    return torch.cosh(u).square().reciprocal()  # exact in the tails, where 1 − tanh² is not


def _arcsin_derivative(u: Tensor) -> Tensor:
    return torch.rsqrt((1.0 - u) * (1.0 + u))


def _arccos_derivative(u: Tensor) -> Tensor:
    return -_arcsin_derivative(u)


def _arctan_derivative(u: Tensor) -> Tensor:
    return (1.0 + u.square()).reciprocal()


def _arctanh_derivative(u: Tensor) -> Tensor:
    return _arcsin_derivative(u).square()  # NaN outside of [−1, 1]


def _cos_derivative(u: Tensor) -> Tensor:
    return -torch.sin(u)


def _gaussian(u: Tensor) -> Tensor:
    return torch.exp(-u.square())


def _gaussian_derivative(u: Tensor) -> Tensor:
    return -2.0 * u * _gaussian(u)


def _gaussian_expression(u: sympy.Expr) -> sympy.Expr:
    return sympy.exp(-(u**2))


def _sigmoid_derivative(u: Tensor) -> Tensor:
    return torch.sigmoid(u) * torch.sigmoid(-u)


def _sigmoid_expression(u: sympy.Expr) -> sympy.Expr:
    return 1 / (1 + sympy.exp(-u))


LIBRARY: tuple[Primitive, ...] = (
    Primitive(
        name="0",
        function=torch.zeros_like,
        derivative=torch.zeros_like,
        expression=_zero_expression,
        complexity=0,
        redundant=Redundancy(scaling=_unchanged, shifting=_unchanged, reflection=_EVEN, amplitude=True),
        aliases=("constant",),
    ),
    Primitive(
        name="x",
        function=_identity,
        derivative=torch.ones_like,
        expression=_identity_expression,
        complexity=1,
        redundant=Redundancy(scaling=partial(_homogeneous, degree=1.0), shifting=_translated, reflection=_ODD),
        aliases=("linear", "identity"),
    ),
    _power_primitive("x^2", 2.0, 2),
    _power_primitive("x^3", 3.0, 3),
    _power_primitive("x^4", 4.0, 4),
    _power_primitive("x^5", 5.0, 5),
    _power_primitive("1/x", -1.0, 2, "x^-1"),
    _power_primitive("1/x^2", -2.0, 2, "x^-2"),
    _power_primitive("1/x^3", -3.0, 3, "x^-3"),
    _power_primitive("1/x^4", -4.0, 4, "x^-4"),
    _power_primitive("1/x^5", -5.0, 5, "x^-5"),
    _power_primitive("sqrt", 0.5, 2, "x^0.5", "sqrt(x)"),
    _power_primitive("x^1.5", 1.5, 3),
    _power_primitive("1/sqrt(x)", -0.5, 2, "1/x^0.5", "x^-0.5", "1/sqrt"),
    _power_primitive("1/x^1.5", -1.5, 3, "x^-1.5"),
    Primitive(
        name="exp",
        function=torch.exp,
        derivative=torch.exp,
        expression=_SymPy("exp"),
        complexity=2,
        redundant=Redundancy(shifting=_exponential),
    ),
    Primitive(
        name="log",
        function=torch.log,
        derivative=_log_derivative,
        expression=_SymPy("log"),
        domain=(0.0, math.inf),
        complexity=2,
        redundant=Redundancy(scaling=_logarithmic),
        aliases=("ln",),
    ),
    Primitive(
        name="sin",
        function=torch.sin,
        derivative=torch.cos,
        expression=_SymPy("sin"),
        complexity=2,
        redundant=Redundancy(reflection=_ODD, turn=Turn(math.pi, -1.0, 0.0)),
    ),
    Primitive(
        name="cos",
        function=torch.cos,
        derivative=_cos_derivative,
        expression=_SymPy("cos"),
        complexity=2,
        redundant=Redundancy(reflection=_EVEN, turn=Turn(math.pi, -1.0, 0.0)),
    ),
    Primitive(
        name="abs",
        function=torch.abs,
        derivative=torch.sign,
        expression=_SymPy("Abs"),
        complexity=3,
        kinks=(0.0,),
        redundant=Redundancy(scaling=partial(_homogeneous, degree=1.0), reflection=_EVEN),
    ),
    Primitive(
        name="sgn",
        function=torch.sign,
        derivative=torch.zeros_like,
        expression=_SymPy("sign"),
        complexity=3,
        kinks=(0.0,),
        redundant=Redundancy(scaling=_unchanged, reflection=_ODD),
        aliases=("sign",),
    ),
    Primitive(
        name="tan",
        function=torch.tan,
        derivative=_tan_derivative,
        expression=_SymPy("tan"),
        complexity=3,
        excluded=(0.5 * math.pi,),
        redundant=Redundancy(reflection=_ODD, turn=Turn(math.pi, 1.0, 0.0)),
    ),
    Primitive(
        name="tanh",
        function=torch.tanh,
        derivative=_tanh_derivative,
        expression=_SymPy("tanh"),
        complexity=3,
        redundant=Redundancy(reflection=_ODD),
    ),
    Primitive(
        name="gaussian",
        function=_gaussian,
        derivative=_gaussian_derivative,
        expression=_gaussian_expression,
        complexity=3,
        redundant=Redundancy(reflection=_EVEN),
    ),
    Primitive(
        name="sigmoid",
        function=torch.sigmoid,
        derivative=_sigmoid_derivative,
        expression=_sigmoid_expression,
        complexity=3,
        redundant=Redundancy(reflection=Affine(-1.0, 1.0)),
    ),
    Primitive(
        name="cosh",
        function=torch.cosh,
        derivative=torch.sinh,
        expression=_SymPy("cosh"),
        complexity=3,
        redundant=Redundancy(reflection=_EVEN),
    ),
    Primitive(
        name="sinh",
        function=torch.sinh,
        derivative=torch.cosh,
        expression=_SymPy("sinh"),
        complexity=3,
        redundant=Redundancy(reflection=_ODD),
    ),
    Primitive(
        name="arctan",
        function=torch.arctan,
        derivative=_arctan_derivative,
        expression=_SymPy("atan"),
        complexity=4,
        redundant=Redundancy(reflection=_ODD),
        aliases=("atan",),
    ),
    Primitive(
        name="arcsin",
        function=torch.arcsin,
        derivative=_arcsin_derivative,
        expression=_SymPy("asin"),
        domain=(-1.0, 1.0),
        complexity=4,
        redundant=Redundancy(reflection=_ODD),
        aliases=("asin",),
    ),
    Primitive(
        name="arccos",
        function=torch.arccos,
        derivative=_arccos_derivative,
        expression=_SymPy("acos"),
        domain=(-1.0, 1.0),
        complexity=4,
        redundant=Redundancy(reflection=Affine(-1.0, math.pi)),
        aliases=("acos",),
    ),
    Primitive(
        name="arctanh",
        function=torch.arctanh,
        derivative=_arctanh_derivative,
        expression=_SymPy("atanh"),
        domain=(-1.0, 1.0),
        complexity=4,
        redundant=Redundancy(reflection=_ODD),
        aliases=("atanh",),
    ),
)
