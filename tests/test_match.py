"""Fitting one curve with one primitive, and ranking primitives."""

import math
from dataclasses import replace

import pytest
import sympy
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgewise.errors import DataError, PrecisionError, ShapeError
from edgewise.primitives import Affine, Primitive, Redundancy, Turn, get_primitive, primitives
from edgewise.symbolic.match import match_primitive, rank_matches

EVERY = pytest.mark.parametrize("primitive", primitives(), ids=lambda primitive: primitive.name)
SHAPED = pytest.mark.parametrize("primitive", primitives()[1:], ids=lambda primitive: primitive.name)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def line(low: float, high: float, count: int = 200) -> torch.Tensor:
    return torch.linspace(low, high, count, dtype=torch.float64)


def drawn(primitive: Primitive, seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor, float, float]:
    """A random curve x, y of a primitive in random units, and its a and b."""
    source = generator(seed)

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand(1, generator=source, dtype=torch.float64).item()

    branches = primitive.branches
    low, high = branches[int(torch.randint(len(branches), (1,), generator=source))]
    if math.isfinite(low) and math.isfinite(high):
        span = (high - low) * uniform(0.2, 0.95)
        start = low + (high - low - span) * uniform(0.02, 0.98)
    elif math.isfinite(low) or math.isfinite(high):
        span, gap = 10 ** uniform(-1.0, 1.5), 10 ** uniform(-3.0, 1.0)
        start = low + gap if math.isfinite(low) else high - gap - span
    elif primitive.redundant.turn is not None:
        span, start = 10 ** uniform(0.0, 2.0), uniform(-5.0, 5.0)
    else:
        span = 10 ** uniform(0.0, 1.2)
        start = -span * uniform(0.0, 1.0)
    extent = 10 ** uniform(-8.0, 8.0)
    origin = extent * uniform(-3.0, 3.0)
    x = origin + extent * torch.rand(count, generator=source, dtype=torch.float64)
    a = span / extent if uniform(0.0, 1.0) < 0.5 else -span / extent
    b = start - a * origin if a > 0.0 else start + span - a * origin
    values = primitive.function(a * x + b)
    c = 10 ** uniform(-8.0, 8.0) * (1.0 if uniform(0.0, 1.0) < 0.5 else -1.0)
    return x, c * values + c * values.std() * uniform(-3.0, 3.0), a, b


def error(match, x: torch.Tensor, y: torch.Tensor) -> float:
    """The relative root mean square error of a match, from its own values."""
    return ((match(x) - y).square().mean().sqrt() / y.std(correction=0)).item()


@SHAPED
@pytest.mark.parametrize("seed", range(6))
def test_an_exact_curve_is_recovered(primitive, seed):
    x, y, *_ = drawn(primitive, seed, count=(60, 400, 1000)[seed % 3])
    match = match_primitive(x, y, primitive)
    assert match.r2 > 1.0 - 1e-14
    assert error(match, x, y) < 1e-10


@SHAPED
@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(100, 10**9))
def test_any_exact_curve_is_recovered(primitive, seed):
    x, y, *_ = drawn(primitive, seed, count=150)
    assume(y.isfinite().all())
    assert error(match_primitive(x, y, primitive), x, y) < 1e-10


@SHAPED
@pytest.mark.parametrize("seed", range(3))
def test_noise_is_fitted_no_worse_than_by_the_truth(primitive, seed):
    x, y, a, b = drawn(primitive, 50 + seed, count=400)
    source = generator(seed)
    y = y + 0.1 * y.std() * torch.randn(400, generator=source, dtype=torch.float64)
    weights = torch.rand(400, generator=source, dtype=torch.float64)
    values = primitive.function(a * x + b)
    root = weights.sqrt()[:, None]
    design = torch.stack((values / values.abs().max(), torch.ones_like(x)), dim=1) * root
    target = y[:, None] / y.std() * root
    residual = target - design @ torch.linalg.lstsq(design, target).solution
    best = (residual.square().sum() / weights.sum()).sqrt().item() * y.std().item()
    assert match_primitive(x, y, primitive, weights).rmse <= 1.005 * best


@pytest.mark.parametrize(
    ("name", "curve", "interval", "expected"),
    [
        ("sin", lambda x: 0.3 * torch.sin(7.0 * x - 1.0) + 2.0, (-3.0, 3.0), (7.0, -1.0, 0.3, 2.0)),
        ("1/x^2", lambda x: 1.7 / (x + 3.0) ** 2, (-2.5, 4.0), (1.0, 3.0, 1.7, 0.0)),
        ("1/x", lambda x: -2.0 / (4.0 - x) + 1.0, (-2.5, 3.9), (1.0, -4.0, 2.0, 1.0)),
        ("exp", lambda x: -0.5 * torch.exp(-2.0 * x + 1.0), (0.0, 3.0), (-2.0, 0.0, -0.5 * math.e, 0.0)),
        ("log", lambda x: torch.log(3.0 - 2.0 * x), (-4.0, 1.4), (-1.0, 1.5, 1.0, math.log(2.0))),
        ("tan", lambda x: torch.tan(0.5 * x - 0.2), (-2.0, 3.0), (0.5, -0.2, 1.0, 0.0)),
        ("tanh", lambda x: 2.0 * torch.tanh(1.0 - 5.0 * x), (-2.0, 3.0), (5.0, -1.0, -2.0, 0.0)),
        ("gaussian", lambda x: torch.exp(-((20.0 * x - 7.0) ** 2)), (-3.0, 3.0), (20.0, -7.0, 1.0, 0.0)),
        ("arcsin", lambda x: torch.arcsin(0.3 * x + 0.1), (-3.0, 2.9), (0.3, 0.1, 1.0, 0.0)),
        ("abs", lambda x: (2.0 * x + 1.0).abs() - 4.0, (-3.0, 3.0), (1.0, 0.5, 2.0, -4.0)),
        ("x", lambda x: 2.0 * x + 1.0, (-3.0, 3.0), (1.0, 0.0, 2.0, 1.0)),
        ("0", lambda x: 0.0 * x + 5.0, (-3.0, 3.0), (1.0, 0.0, 0.0, 5.0)),
    ],
)
def test_parameters_are_the_canonical_ones(name, curve, interval, expected):
    x = line(*interval)
    match = match_primitive(x, curve(x), get_primitive(name))
    assert (match.a, match.b, match.c, match.d) == pytest.approx(expected, rel=1e-8, abs=1e-8)
    assert match.r2 > 1.0 - 1e-14


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("sqrt", 0.0, 1.0),
        ("x^1.5", 0.0, 7.0),
        ("arcsin", -1.0, 1.0),
        ("arccos", 0.0, 1.0),
        ("arccos", -1.0, 0.5),
        ("log", 1e-6, 1.0),
        ("1/sqrt(x)", 1e-5, 3.0),
        ("arctanh", -0.999, 0.99),
    ],
)
def test_a_curve_up_to_the_edge_of_the_domain(name, low, high):
    x = line(low, high, 300)
    match = match_primitive(x, get_primitive(name).function(x), get_primitive(name))
    assert (match.a, abs(match.b), abs(match.c)) == pytest.approx((1.0, 0.0, 1.0), abs=1e-7)
    assert match(x).isfinite().all()


def test_singular_points_stay_out_of_the_range():
    x = line(-1.0, 1.0)
    for name in ("1/x", "log", "tan", "1/x^2", "sqrt"):
        match = match_primitive(x, torch.sin(3.0 * x), get_primitive(name))
        assert match(line(-1.0, 1.0, 9999)).isfinite().all()


@pytest.mark.parametrize("threshold", [0.0, 0.1234])
def test_a_step_is_placed_between_the_right_points(threshold):
    x = torch.rand(5000, generator=generator(0), dtype=torch.float64) - 0.5
    match = match_primitive(x, torch.sign(x - threshold), get_primitive("sgn"))
    assert match.r2 == 1.0
    assert x[x < threshold].max() < -match.b < x[x > threshold].min()


def test_a_step_with_a_point_on_it():
    x = tensor(-2.0, -1.0, 0.0, 1.0, 3.0) * 0.1
    match = match_primitive(x, torch.sign(x), get_primitive("sgn"))
    assert torch.equal(match(x), torch.sign(x))


@pytest.mark.parametrize("name", ["sin", "exp", "tanh", "1/x", "sqrt", "arcsin", "x^3"])
@pytest.mark.parametrize("unit_x", [1e-30, 1e-9, 1e30])
@pytest.mark.parametrize("unit_y", [1e-30, 1e30])
def test_units_do_not_matter(name, unit_x, unit_y):
    primitive = get_primitive(name)
    x, y, *_ = drawn(primitive, 3, count=100)
    x, y = (x - x.min()) / (x.max() - x.min()), y / y.std()
    plain = match_primitive(x, y, primitive)
    scaled = match_primitive(unit_x * x, unit_y * y, primitive)
    assert scaled.r2 > 1.0 - 1e-14
    assert scaled.bits == pytest.approx(plain.bits)
    torch.testing.assert_close(scaled(unit_x * x) / unit_y, plain(x), rtol=0.0, atol=1e-10)


def test_an_offset_of_x_costs_no_more_than_its_rounding():
    x = line(1e6, 1e6 + 1.0)
    match = match_primitive(x, torch.exp(3.0 * (x - 1e6)), get_primitive("exp"))
    assert match.a == pytest.approx(3.0, rel=1e-8)
    assert match.r2 > 1.0 - 1e-14


def test_order_and_repetition_do_not_matter():
    x = line(-1.0, 2.0, 120)
    y = torch.tanh(3.0 * x - 1.0) + 0.05 * torch.randn(120, generator=generator(0), dtype=torch.float64)
    plain = match_primitive(x, y, get_primitive("tanh"))
    order = torch.randperm(240, generator=generator(1))
    twice = match_primitive(x.repeat(2)[order], y.repeat(2)[order], get_primitive("tanh"))
    assert (twice.a, twice.b, twice.rmse) == pytest.approx((plain.a, plain.b, plain.rmse), rel=1e-4)


def test_weights_are_multiplicities():
    x = line(0.5, 2.0, 50)
    y = torch.log(x) + 0.05 * torch.randn(50, generator=generator(0), dtype=torch.float64)
    counts = torch.randint(0, 4, (50,), generator=generator(1))
    weighted = match_primitive(x, y, get_primitive("log"), 0.3 * counts.double())
    repeated = match_primitive(x.repeat_interleave(counts), y.repeat_interleave(counts), get_primitive("log"))
    assert (weighted.b, weighted.rmse, weighted.r2) == pytest.approx((repeated.b, repeated.rmse, repeated.r2), rel=1e-4)


def test_points_without_weight_do_not_limit_the_domain():
    x = tensor(*range(-3, 40)) / 10.0
    y = torch.where(x > 0.0, torch.log(x.clamp_min(1e-9)), 77.0)
    match = match_primitive(x, y, get_primitive("log"), (x > 0.0).double())
    assert (match.b, match.c) == pytest.approx((0.0, 1.0), abs=1e-9)


def test_gradients_are_left_out():
    x = line(0.0, 1.0).requires_grad_()
    assert match_primitive(x, torch.exp(x), get_primitive("exp")).r2 > 1.0 - 1e-14


def test_the_measures_are_those_of_the_match():
    x = line(-1.0, 1.0, 500)
    y = torch.sin(2.0 * x) + 0.1 * torch.randn(500, generator=generator(0), dtype=torch.float64)
    match = match_primitive(x, y, get_primitive("sin"))
    assert match.rmse == pytest.approx((match(x) - y).square().mean().sqrt().item())
    assert match.r2 == pytest.approx(1.0 - match.rmse**2 / y.var(correction=0).item())
    assert match.complexity == get_primitive("sin").complexity


@EVERY
def test_the_expression_is_the_curve(primitive):
    x, y, *_ = drawn(primitive, 1, count=30)
    match = match_primitive(x, y, primitive)
    symbol = sympy.Symbol("x", real=True)
    expression = match.expression(symbol)
    values = [float(expression.subs(symbol, value)) for value in x[:5].tolist()]
    torch.testing.assert_close(tensor(*values), match(x[:5]), rtol=1e-9, atol=1e-9 * y.std().item())


def test_the_expression_leaves_out_what_does_nothing():
    symbol = sympy.Symbol("x")
    match = match_primitive(line(0.0, 1.0), line(0.0, 1.0).sqrt(), get_primitive("sqrt"))
    exact = replace(match, c=1.0, d=0.0)
    assert exact.expression(symbol) == sympy.sqrt(symbol)
    assert replace(exact, a=-1.0, c=2.5).expression(symbol) == sympy.Float(2.5) * sympy.sqrt(-symbol)


# ------------------------------------------------------------------------------------------- ranking


@pytest.mark.parametrize(
    ("first", "curve"),
    [
        ("0", lambda x: 0.0 * x + 3.3),
        ("0", lambda x: 0.0 * x),
        ("x", lambda x: 2.0 * x + 1.0),
        ("x", lambda x: -1e-7 * x + 1.0),
        ("x^2", lambda x: (x - 0.3) ** 2),
        ("x^2", lambda x: 5.0 - (x + 9.0) ** 2),
        ("x^3", lambda x: (x - 0.5) ** 3),
        ("x^5", lambda x: x**5),
        ("sin", torch.sin),
        ("sin", lambda x: 0.3 * torch.sin(7.0 * x - 1.0) + 2.0),
        ("cos", lambda x: torch.cos(3.0 * x)),
        ("exp", lambda x: torch.exp(0.7 * x)),
        ("log", lambda x: torch.log(x + 3.5)),
        ("sqrt", lambda x: torch.sqrt(x + 3.0)),
        ("1/x", lambda x: 1.0 / (x + 3.2)),
        ("1/x^2", lambda x: 1.7 / (x + 4.0) ** 2),
        ("abs", lambda x: (x - 1.0).abs()),
        ("sgn", lambda x: torch.sign(x - 0.12)),
        ("tanh", lambda x: torch.tanh(2.0 * x)),
        ("gaussian", lambda x: torch.exp(-((x - 0.2) ** 2))),
        ("cosh", torch.cosh),
        ("arctan", lambda x: torch.arctan(4.0 * x)),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_the_simplest_that_fits_is_first(first, curve, noise):
    x = line(-3.0, 3.0)
    y = curve(x)
    y = y + noise * y.std() * torch.randn(len(x), generator=generator(0), dtype=torch.float64)
    assert rank_matches(x, y)[0].primitive.name == first


def test_a_cubic_does_not_beat_a_sine():
    x = line(-2.0, 2.0)
    y = torch.sin(x) + 0.01 * torch.randn(200, generator=generator(0), dtype=torch.float64)
    order = [match.primitive.name for match in rank_matches(x, y)]
    assert order.index("sin") < order.index("x^3")


def test_noise_alone_is_a_constant_and_a_noisy_line_is_a_line():
    x = line(-1.0, 1.0, 1000)
    noise = torch.randn(1000, generator=generator(0), dtype=torch.float64)
    assert rank_matches(x, noise)[0].primitive.name == "0"
    assert rank_matches(x, x + 0.3 * noise)[0].primitive.name == "x"


def test_scores_ascend_and_fall_with_the_error():
    x = line(-1.0, 1.0)
    ranked = rank_matches(x, torch.exp(x))
    assert [match.bits for match in ranked] == pytest.approx(sorted(match.bits for match in ranked))
    chosen = [get_primitive("x"), get_primitive("exp")]
    assert [match.primitive for match in rank_matches(x, torch.exp(x), chosen)] == chosen[::-1]
    assert rank_matches(x, x, []) == []


def test_ranking_and_single_matches_agree():
    x = line(0.5, 3.0, 300)
    y = torch.log(x) * x
    for match in rank_matches(x, y):
        alone = match_primitive(x, y, match.primitive)
        assert alone.rmse == pytest.approx(match.rmse, rel=1e-3)


def test_a_long_curve():
    x = torch.rand(100_000, generator=generator(0), dtype=torch.float64)
    noise = torch.randn(100_000, generator=generator(1), dtype=torch.float64)
    best = rank_matches(
        x, torch.sin(5.0 * x + 0.5) + 0.01 * noise, [get_primitive(name) for name in ("x^3", "sin", "abs")]
    )
    assert best[0].primitive.name == "sin"
    assert (best[0].a, best[0].b) == pytest.approx((5.0, 0.5), abs=1e-3)


# --------------------------------------------------------------------------------------------- edges


@EVERY
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((1.0,), (2.0,)),
        ((-1.0, 2.0), (2.0, 2.0)),
        ((4.0, 4.0, 4.0), (1.0, 2.0, 3.0)),
        ((1.0, 2.0, 3.0, 4.0), (1.0, 1.0 + 2e-16, 1.0, 1.0)),
        ((1e-300, 1e-300), (0.0, 0.0)),
    ],
)
def test_a_curve_without_shape_is_its_mean(primitive, x, y):
    match = match_primitive(tensor(*x), tensor(*y), primitive)
    assert match.c == 0.0
    assert match.d == pytest.approx(sum(y) / len(y), abs=1e-15)
    assert match(tensor(*x)).isfinite().all()
    assert match.r2 == (0.0 if y[0] != y[-1] else 1.0)


def test_a_curve_without_shape_ranks_the_constant_first():
    for x, y in [((1.0,), (2.0,)), ((4.0, 4.0), (1.0, 3.0)), ((1.0, 2.0, 3.0), (7.0, 7.0, 7.0))]:
        assert rank_matches(tensor(*x), tensor(*y))[0].primitive.name == "0"


def test_few_points_are_named_by_the_simplest_function_through_them():
    assert rank_matches(tensor(1.0, 2.0), tensor(2.0, 5.0))[0].primitive.name == "x"
    assert rank_matches(tensor(1.0, 2.0, 3.0), tensor(2.0, 4.0, 6.0))[0].primitive.name == "x"
    assert rank_matches(tensor(1.0, 2.0, 3.0), tensor(1.0, 4.0, 9.0))[0].primitive.name == "x^2"


def test_what_cannot_be_matched_is_refused():
    x = line(0.0, 1.0, 5)
    sine = get_primitive("sin")
    with pytest.raises(ShapeError, match="one length"):
        match_primitive(x, x[:4], sine)
    with pytest.raises(ShapeError):
        match_primitive(x[:, None], x[:, None], sine)
    with pytest.raises(ShapeError):
        match_primitive(x[:0], x[:0], sine)
    with pytest.raises(ShapeError):
        match_primitive(x, x, sine, x[:3])
    with pytest.raises(PrecisionError, match="float64"):
        match_primitive(x, x.float(), sine)
    for value in (math.nan, math.inf):
        with pytest.raises(DataError, match="NaN or infinite"):
            rank_matches(x, torch.full_like(x, value))
    with pytest.raises(DataError, match="weights"):
        match_primitive(x, x, sine, -x)
    with pytest.raises(DataError, match="weights"):
        match_primitive(x, x, sine, 0.0 * x)


def test_a_primitive_that_is_nowhere_of_use_has_no_match():
    nowhere = replace(get_primitive("sin"), name="nowhere", function=lambda u: torch.full_like(u, math.nan))
    flat = replace(get_primitive("sin"), name="flat", function=torch.ones_like, derivative=torch.zeros_like)
    x = line(0.0, 1.0)
    for primitive in (nowhere, flat):
        assert match_primitive(x, x.square(), primitive) is None
        assert rank_matches(x, x.square(), [primitive, get_primitive("x^2")])[0].primitive.name == "x^2"
    assert match_primitive(x, torch.ones_like(x), nowhere) is None


def own(name: str, function, derivative, **fields) -> Primitive:
    return Primitive(
        name=name, function=function, derivative=derivative, expression=sympy.Function(name), complexity=4, **fields
    )


@pytest.mark.parametrize(
    "primitive",
    [
        own("softplus", torch.nn.functional.softplus, torch.sigmoid),
        own("entropy", lambda u: u * u.log(), lambda u: u.log() + 1.0, domain=(0.0, math.inf)),
        own(
            "left",
            lambda u: torch.exp(-torch.sqrt(-u)),
            lambda u: 0.5 * torch.exp(-torch.sqrt(-u)) * torch.rsqrt(-u),
            domain=(-math.inf, 0.0),
        ),
        own(
            "semicircle",
            lambda u: torch.sqrt((1.0 - u) * (1.0 + u)),
            lambda u: -u * torch.rsqrt((1.0 - u) * (1.0 + u)),
            domain=(-1.0, 1.0),
            redundant=Redundancy(reflection=Affine(1.0, 0.0)),
        ),
        own(
            "poles",
            lambda u: 1.0 / (u * (u - 1.0)),
            lambda u: (1.0 - 2.0 * u) / (u * (u - 1.0)) ** 2,
            excluded=(0.0, 1.0),
        ),
        own(
            "cot",
            lambda u: 1.0 / torch.tan(u),
            lambda u: -1.0 / torch.sin(u) ** 2,
            excluded=(0.0,),
            redundant=Redundancy(turn=Turn(math.pi, 1.0, 0.0), reflection=Affine(-1.0, 0.0)),
        ),
        own(
            "relu",
            torch.relu,
            lambda u: (u > 0.0).to(u.dtype),
            kinks=(0.0,),
            redundant=Redundancy(scaling=lambda size: Affine(size, 0.0)),
        ),
    ],
    ids=lambda primitive: primitive.name,
)
@pytest.mark.parametrize("seed", range(3))
def test_a_primitive_of_ones_own_is_fitted(primitive, seed):
    x, y, *_ = drawn(primitive, seed, count=300)
    assert error(match_primitive(x, y, primitive), x, y) < 1e-10
