"""What a user may say to a search: units, weights, outliers, functions, size, where to begin."""

import itertools
import math
import time
from dataclasses import replace
from fractions import Fraction

import pytest
import sympy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise import KAN, Primitive, discover, get_primitive, read_table, register_primitive
from edgewise.datasets import path
from edgewise.discovery.dimensions import Dimensions
from edgewise.discovery.formulas import SELECTIONS, Formula, Front
from edgewise.discovery.outliers import inliers, smooth_inliers
from edgewise.discovery.problem import Problem
from edgewise.discovery.rules import Rules, names
from edgewise.discovery.solver import Finding, in_worker, is_noise, solve
from edgewise.discovery.stages.networks import Networks
from edgewise.discovery.stages.polynomials import Polynomials
from edgewise.discovery.tree import Curve, Input, monomial, power, product_of, scaled, sum_of
from edgewise.discovery.units import NONE, dimension, times, to_power
from edgewise.errors import DataError, OptionError, ShapeError, SymbolicError
from edgewise.symbolic import formula_function

F64 = torch.float64
GRAVITY = 6.6743e-11  # m³ kg⁻¹ s⁻²


# ------------------------------------------------------------------------------------------------ units


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("N*m", "kg m^2/s^2"),
        ("kW h", "J"),
        ("W/(m^2 K^4)", "kg s^-3 K^-4"),
        ("m2", "m**2"),
        ("km/h", "mm·s^-1"),
        ("µF V", "C"),
        ("%", "1"),
        ("rad/s", "Hz"),
        ("m^(1/2) m^0.5", "m"),
        ("mmol/L", "mol/cm^3"),
        ("T", "V s/m^2"),
    ],
)
def test_units_of_one_dimension(text, same):
    assert dimension(text) == dimension(same)


def test_the_base_units_are_independent():
    base = [dimension(text) for text in ("m", "kg", "s", "A", "K", "mol", "cd")]
    assert sympy.Matrix(base).rank() == 7
    assert dimension("1") == NONE
    assert dimension("min") == dimension("s") != dimension("m")  # a minute is no prefix and an inch
    assert dimension("cd") != dimension("d")


@pytest.mark.parametrize("text", ["", "foo", "m^", "m^(1/0)", "(m", "m)", "m//s", "m^x", "m@", "kgg", "m^(1/2", "3 m"])
def test_units_that_cannot_be_read(text):
    with pytest.raises(OptionError, match="unit"):
        dimension(text)


UNITS = st.sampled_from(["m", "kg", "s", "m/s", "N", "J/K", "1", "Pa s", "V", "mol"])


@settings(deadline=None)
@given(st.lists(UNITS, min_size=1, max_size=5), st.data())
def test_groups_have_no_dimension_and_are_complete(units, data):
    inputs = tuple(map(dimension, units))
    wanted = data.draw(st.lists(st.integers(-2, 2), min_size=len(units), max_size=len(units)))
    target = NONE
    for each, exponent in zip(inputs, wanted, strict=True):
        target = times(target, each, exponent)
    groups = Dimensions(inputs, target).groups()
    assert groups is not None  # the target is a product of powers by construction

    def of(exponents):
        total = NONE
        for each, exponent in zip(inputs, exponents, strict=True):
            total = times(total, each, Fraction(exponent).limit_denominator(100))
        return total

    assert of(groups.factor) == target
    assert all(of(group) == NONE for group in groups.groups)
    rank = sympy.Matrix(inputs).rank()
    assert len(groups.groups) == len(inputs) - rank
    assert not groups.groups or sympy.Matrix(groups.groups).rank() == len(groups.groups)


def test_no_groups_where_a_constant_must_have_a_unit():
    assert Dimensions((dimension("m"), dimension("kg")), dimension("s")).groups() is None


def test_formulas_that_units_allow():
    metres, seconds = dimension("m"), dimension("s")
    rules = Dimensions((metres, seconds, metres), to_power(metres, 2))
    x, t, z = Input(0), Input(1), Input(2)
    assert rules.allow(product_of(x, z))
    assert rules.allow(sum_of(Curve("x^2", x), product_of(x, z)))
    assert rules.allow(product_of(Curve("x^2", x), Curve("sin", product_of(x, Curve("1/x", z)))))
    assert rules.allow(Curve("exp", t, a=0.3, c=2.0))  # numbers may have units
    assert rules.allow(scaled(sum_of(x, scaled(t, 0.7)), 2.0))
    assert not rules.allow(x)
    assert not rules.allow(sum_of(x, t))
    assert not rules.allow(Curve("exp", t))
    assert not rules.allow(product_of(Curve("x^2", x), sum_of(x, t)))
    assert not rules.allow(product_of(Curve("x^2", x), Curve("sin", sum_of(x, z))))


def test_logarithms_that_units_allow():
    metres, seconds = dimension("m"), dimension("s")
    number = Dimensions((metres, seconds, metres), NONE)
    x, t, z = Input(0), Input(1), Input(2)
    log_x, log_t, log_z = (Curve("log", each) for each in (x, t, z))
    assert number.allow(scaled(log_x, 1.0, 0.3))  # log(x/x0)
    assert not number.allow(log_x)
    assert number.allow(Curve("log", x, a=0.3))
    assert number.allow(sum_of(log_x, scaled(log_z, -1.0)))  # log(x/z)
    assert not number.allow(sum_of(log_x, log_z))
    assert not number.allow(sum_of(log_x, scaled(log_t, -1.0)))
    assert number.allow(sum_of(log_x, scaled(log_t, -1.0, 0.4)))
    assert number.allow(Curve("sin", log_x, b=0.2))
    assert not number.allow(Curve("sin", log_x))
    assert not number.allow(product_of(log_x, Curve("log", t)))
    joules = Dimensions((metres, seconds, metres), dimension("J"))
    assert joules.allow(sum_of(scaled(log_x, 2.3), scaled(log_z, -2.3)))
    assert joules.allow(scaled(log_x, 2.3, 0.1))
    assert not joules.allow(scaled(log_x, 2.3))
    assert not joules.allow(sum_of(scaled(log_x, 1.0, 0.1), Curve("exp", t, a=2.0)))


@pytest.mark.parametrize("exponent", [Fraction(1, 3), Fraction(-2, 3), Fraction(5, 2), Fraction(7)])
def test_any_power_has_its_unit(exponent):
    tree = power(Input(0), float(exponent))
    metres = dimension("m")
    assert Dimensions((metres,), to_power(metres, exponent)).allow(tree)
    assert not Dimensions((metres,), to_power(metres, exponent + 1)).allow(tree)
    assert Dimensions((metres,), dimension("kg")).allow(scaled(tree, 0.7))


def test_steps_have_no_unit():
    metres = dimension("m")
    step = Curve("sgn", Input(0), b=-1.5)
    assert Dimensions((metres,), NONE).allow(step)
    assert not Dimensions((metres,), metres).allow(step)
    assert Dimensions((metres,), metres).allow(product_of(Input(0), step))


def test_numbers_next_to_one_have_no_unit():
    metres, seconds = dimension("m"), dimension("s")
    rules = Dimensions((metres, seconds), metres)
    assert not rules.allow(sum_of(Input(0), scaled(Input(1), 1 - 1e-15)))
    assert rules.allow(sum_of(Input(0), scaled(Input(1), 0.999)))


def test_a_power_of_a_third_in_units(uniform):
    v = uniform(0.5, 3, 100, 1)
    found = discover(v, 1.2 * v[:, 0] ** (1 / 3), names=["v"], units=["m^3", "m"], max_time=20)
    assert float((found.predict(v) - 1.2 * v[:, 0] ** (1 / 3)).abs().max()) < 1e-9


def test_a_step_and_a_logarithm_in_units(uniform):
    x = uniform(0.5, 3, 200, 1)
    for y in ((x[:, 0] - 1.3).sign(), 2.3 * (x[:, 0] / 1.7).log()):
        found = discover(x, y, names=["x"], units=["m", "1"], max_time=30)
        assert found.formulas.picked.r2 > 1 - 1e-12


def test_constants_are_made_exact_only_where_units_allow(uniform):
    """A number that is 1 has no unit, so that x + t is no sum of a length and a time."""
    x = uniform(0.5, 3, 100, 2)
    y = x[:, 0] + x[:, 1]
    found = discover(x, y, names=["x", "t"], units=["m", "s", "m"], max_time=4)
    x_symbol, t_symbol = sympy.symbols("x t")
    assert not any(sympy.simplify(each.formula - x_symbol - t_symbol) == 0 for each in found.formulas)


def test_dimensional_analysis_finds_a_law_of_few_groups(uniform):
    x = uniform(0.5, 3, 200, 4)
    rho, v, length, mu = x.T
    force = rho * v**2 * length**2 * (1.3 + 2.1 / (rho * v * length / mu)).sqrt()
    units = {"rho": "kg/m^3", "v": "m/s", "l": "m", "mu": "Pa s", "y": "N"}
    found = discover(x, force, names=["rho", "v", "l", "mu"], units=units, max_time=30)
    assert found.stages[0].startswith("dimensional analysis")
    assert float((found.predict(x) - force).abs().max()) < 1e-9 * float(force.abs().max())


def test_a_law_of_units_alone_is_one_number(uniform):
    x = uniform(0.5, 3, 30, 2)
    found = discover(x, 0.5 * x[:, 0] * x[:, 1] ** 2, names=["m", "v"], units=["kg", "m/s", "J"])
    m, v = sympy.symbols("m v")
    assert sympy.simplify(found.formula - m * v**2 / 2) == 0


@pytest.mark.parametrize("units", [None, ["kg", "m", "s"]])
def test_kepler_s_law_in_units_of_the_si(units):
    data = read_table(
        path("orbits"), target="period_days", inputs=["central_mass_kg", "semi_major_axis_km"], test_fraction=0
    )
    x = data.train_input * torch.tensor([1.0, 1e3], dtype=F64)
    found = discover(x, data.train_target * 86400, names=["M", "a"], units=units)
    mass, axis = sympy.symbols("M a")
    k = found.formula / (axis ** sympy.Rational(3, 2) / sympy.sqrt(mass))
    at = [float(k.subs({mass: m, axis: a})) for m, a in ((1.989e30, 1.5e11), (5.97e24, 3.8e8))]
    assert at == pytest.approx([2 * math.pi / math.sqrt(GRAVITY)] * 2, rel=0.01)


def test_with_the_constant_of_gravity_as_an_input_the_number_is_two_pi():
    data = read_table(
        path("orbits"), target="period_days", inputs=["central_mass_kg", "semi_major_axis_km"], test_fraction=0
    )
    x = torch.cat([data.train_input * torch.tensor([1.0, 1e3], dtype=F64), torch.full((59, 1), GRAVITY)], dim=1)
    found = discover(x, data.train_target * 86400, names=["M", "a", "G"], units=["kg", "m", "m^3/(kg s^2)", "s"])
    mass, axis, gravity = sympy.symbols("M a G")
    factor = found.formula / sympy.sqrt(axis**3 / (gravity * mass))
    assert float(factor.subs({mass: 2e30, axis: 1e11, gravity: GRAVITY})) == pytest.approx(2 * math.pi, rel=0.01)


def test_units_that_do_not_fit_the_table(uniform):
    x = uniform(0.5, 3, 20, 2)
    with pytest.raises(OptionError, match="3 units are needed, those of x0, x1, y"):
        discover(x, x[:, 0], units=["m", "s"])
    with pytest.raises(OptionError, match="units are needed for a, b, y, got them for a, b"):
        discover(x, x[:, 0], names=["a", "b"], units={"a": "m", "b": "s"})
    with pytest.raises(OptionError, match=r"cannot read the unit 'mm\^'"):
        discover(x, x[:, 0], units=["m", "mm^", "s"])


# ------------------------------------------------------------------------------------------------ errors of rows


def test_weights_are_the_inverse_squares_of_errors(uniform):
    generator = torch.Generator().manual_seed(5)
    x = uniform(0.5, 2, 300, 2)
    sigma = torch.where(torch.arange(300) < 150, 1e-3, 0.3).to(F64)
    truth = 2.5371 * x[:, 0] ** 2 / x[:, 1]
    y = truth + sigma * torch.randn(300, generator=generator, dtype=F64)
    found = discover(x, y, weights=sigma**-2, max_time=20)
    plain = discover(x, y, max_time=20)
    error, without = (float((each.predict(x) - truth).square().mean().sqrt()) for each in (found, plain))
    assert error < 1e-3
    assert error < without


def test_rows_of_no_weight_do_not_count(uniform):
    x = uniform(0.5, 2, 100, 1)
    y = 3 * x[:, 0] ** 2
    y[::4] = 1e6
    weights = torch.ones(100)
    weights[::4] = 0
    found = discover(x, y, weights=weights)
    assert found.formula == 3 * sympy.Symbol("x0") ** 2
    with pytest.raises(DataError, match="row 2"):
        discover(x, y, weights=[1.0, 1.0, -1.0] + [1.0] * 97)
    with pytest.raises(ShapeError):
        discover(x, y, weights=[1.0])


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_outliers_are_left_out_and_named(noise, uniform):
    generator = torch.Generator().manual_seed(3)
    x = uniform(0.5, 2, 400, 2)
    y = 1.5 * x[:, 0] * (-x[:, 1]).exp() + noise * torch.randn(400, generator=generator, dtype=F64)
    far = torch.randperm(400, generator=generator)[:40]
    y[far] += 3 + torch.rand(40, generator=generator, dtype=F64)
    found = discover(x, y, robust=True, max_time=30)
    truth = 1.5 * x[:, 0] * (-x[:, 1]).exp()
    assert float((found.predict(x) - truth).abs().max()) < max(1e-9, noise)
    assert set(far.tolist()) <= set(found.outliers.tolist())
    assert len(found.outliers) <= 45
    assert any("rows are far from what the others say" in stage for stage in found.stages)


def test_without_outliers_nothing_is_left_out(uniform):
    x = uniform(0.5, 2, 100, 2)
    found = discover(x, x[:, 0] / x[:, 1], robust=True)
    assert len(found.outliers) == 0
    assert found.formula == sympy.sympify(sympy.Symbol("x0") / sympy.Symbol("x1"))


def test_rows_are_kept_where_too_many_are_far_off(uniform):
    x = uniform(0.5, 2, 100, 1)
    y = torch.where(torch.arange(100) % 2 == 0, 0.0, 1.0).to(F64)
    given = Problem(x, y, torch.ones_like(y), 0.0, 0.0, math.inf, seed=0)
    assert bool(smooth_inliers(given).all())
    assert bool(inliers(y, given).all())
    residual = torch.zeros_like(y)
    residual[7] = math.nan
    assert inliers(residual, given).logical_not().nonzero().flatten().tolist() == [7]


# ------------------------------------------------------------------------------------------------ what may occur


def test_forbidden_functions_do_not_occur(uniform):
    x = uniform(0.5, 2, 200, 2)
    y = x[:, 0] * (-x[:, 1]).exp()
    found = discover(x, y, forbidden=["exp", "x^0.5"], max_time=5)
    for formula in found.formulas:
        assert not formula.formula.has(sympy.exp)
        assert not any(power.exp == sympy.Rational(1, 2) for power in formula.formula.atoms(sympy.Pow))


def test_what_is_made_of_a_forbidden_function_does_not_occur_either(uniform):
    x = uniform(-2, 4, 200, 1)
    y = 3 * (-((x[:, 0] - 1) ** 2)).exp()
    assert discover(x, y, primitives=["gaussian"], max_time=20).formula.has(sympy.exp)
    for formula in discover(x, y, forbidden=["exp"], max_time=5).formulas:
        assert not formula.formula.has(sympy.exp)


def test_powers_are_shown_without_the_functions_they_are_made_of(uniform):
    x = uniform(0.5, 3, 100, 1)
    found = discover(x, 1.2 * x[:, 0] ** (1 / 3), forbidden=["exp", "log"], max_time=10)
    assert found.formulas.picked.r2 > 1 - 1e-12
    assert not found.formula.has(sympy.exp, sympy.log)


def test_only_given_functions_occur(uniform):
    x = uniform(-2, 2, 200, 2)
    y = x[:, 0] * x[:, 1] + (2 * x[:, 1]).sin()
    found = discover(x, y, primitives=["sin", "x^2"], max_time=30)
    assert float((found.predict(x) - y).abs().max()) < 1e-9
    for formula in found.formulas:
        assert {type(each) for each in formula.formula.atoms(sympy.Function)} <= {sympy.sin}


def test_unknown_functions_are_refused(uniform):
    x = uniform(0.5, 2, 20, 1)
    for options in ({"primitives": ["sinn"]}, {"forbidden": ["sinn"]}):
        with pytest.raises(OptionError, match="closest are 'sin'"):
            discover(x, x[:, 0], **options)


def test_names_of_a_tree():
    tree = sum_of(Curve("sin", monomial({0: 2.0, 1: -1.0})), Curve("x", Input(0), c=2.0), Curve("0", Input(0), d=3.0))
    assert sorted(names(tree)) == ["1/x", "sin", "x^2"]
    assert list(names(power(Curve("sin", Input(0)), 1 / 3))) == ["sin"]
    assert Rules(frozenset({"cos"})).allow(tree)
    assert not Rules(frozenset({"1/x"})).allow(tree)
    assert not Rules(most_complex=2).allow(tree)


def bump(u):
    return torch.exp(-u.abs()) * torch.sin(u)


@pytest.fixture
def own():
    """A function of one's own, known while a test runs."""
    name = "bump"
    try:
        get_primitive(name)
    except OptionError:
        register_primitive(
            Primitive(
                name=name,
                function=bump,
                derivative=lambda u: torch.exp(-u.abs()) * (torch.cos(u) - torch.sign(u) * torch.sin(u)),
                expression=sympy.Function("bump"),
                complexity=3,
                kinks=(0.0,),
            )
        )
    return name


@pytest.mark.parametrize("jobs", [1, 2])
def test_functions_of_one_s_own(jobs, own, uniform):
    x = uniform(-2, 2, 200, 2)
    found = discover(x, x[:, 0] * bump(x[:, 1]) + x[:, 1] ** 2, jobs=jobs, max_time=60)
    x0, x1 = sympy.symbols("x0 x1")
    assert sympy.expand(found.formula - x0 * sympy.Function(own)(x1) - x1**2) == 0
    assert found.question.own == (own,)  # a search that did not know it has not tried it


def test_formulas_of_limited_size(uniform):
    x = uniform(0.5, 2, 200, 2)
    y = x[:, 0] * (-x[:, 1]).exp() + 0.1 * x[:, 0] ** 2
    found = discover(x, y, max_complexity=6, max_time=5)
    assert all(formula.complexity <= 6 for formula in found.formulas)
    assert len(discover(x, y, max_complexity=1, max_time=2).formulas) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"max_complexity": 0},
        {"model_selection": "nicest"},
        {"jobs": 0},
        {"jobs": 1.5},
        {"noise": "little"},
        {"noise": -1},
        {"max_time": 0},
        {"start": [KAN([1, 1])]},
        {"start": [KAN([2, 1])]},
    ],
)
def test_options_out_of_range(options, uniform):
    x = uniform(0.5, 2, 20, 1)
    with pytest.raises(OptionError):
        discover(x, x[:, 0], **options)


# ------------------------------------------------------------------------------------------------ pick and table


def formula(complexity, loss, bits):
    return Formula(
        formula=sympy.Symbol("x") ** complexity,
        complexity=complexity,
        loss=loss,
        r2=1 - loss,
        description_length=bits,
        model=KAN([1, 1]),
    )


def test_rules_that_pick():
    rows = [formula(1, 1.0, 0.0), formula(3, 0.014, -30.0), formula(9, 0.012, -20.0), formula(20, 0.01, -10.0)]
    assert Front.of(rows, "best").picked.complexity == 3
    assert Front.of(rows, "accuracy").picked.complexity == 20
    assert Front.of(rows, "simplest").picked.complexity == 3
    exact = [formula(1, 1.0, 0.0), formula(3, 1e-30, -50.0), formula(9, 1e-32, -40.0)]
    assert Front.of(exact, "simplest").picked.complexity == 3  # both leave nothing but rounding
    assert set(SELECTIONS) == {"best", "accuracy", "simplest"}


def test_formulas_by_index_and_the_table_in_latex(uniform):
    x = uniform(0.5, 2, 100, 2)
    generator = torch.Generator().manual_seed(1)
    y = 1.23456789 * x[:, 0] / x[:, 1] + 0.01 * torch.randn(100, generator=generator, dtype=F64)
    found = discover(x, y, names=["alpha", "humidity (%)"], max_time=10)
    for index, row in enumerate(found.formulas):
        assert torch.equal(found.predict(x, index), row.model(x).detach()[:, 0])
    assert torch.equal(found.predict(x), found.predict(x, found.formulas.rows.index(found.formulas.picked)))
    with pytest.raises(OptionError, match="counted from 0"):
        found.predict(x, len(found.formulas))
    picked = found.formulas.picked
    columns = [column.numpy() for column in x.T]
    assert picked.function()(*columns) == pytest.approx(found.predict(x).numpy())
    assert torch.allclose(picked.function("torch")(*x.T), found.predict(x), rtol=1e-12)
    assert picked.function("math")(*x[0].tolist()) == pytest.approx(float(found.predict(x[:1])))
    text = found.latex()
    assert text.count(r"\\") == len(found.formulas) + 1
    assert r"\alpha" in text
    assert r"\mathrm{humidity\ (\%)}" in text
    assert "1.2345678" not in text  # a few digits are enough to read


def test_notes_say_what_became_simple_and_what_was_not_picked(uniform):
    x = uniform(0.5, 2, 400, 1)
    generator = torch.Generator().manual_seed(2)
    y = 2.5 * x[:, 0] ** 2 + 0.05 * torch.randn(400, generator=generator, dtype=F64)
    found = discover(x, y, max_time=10)
    assert any(note.startswith("constant 2.") and note.endswith("taken as 2.5") for note in found.notes)
    others = [each for each in found.formulas if not each.pick]
    refused = [note for note in found.notes if note.startswith("not picked: ")]
    assert len(refused) == len(others) > 0
    assert all(str(each.formula) in note for each, note in zip(others, refused, strict=True))
    assert not any("in units of" in note for note in found.notes)


def test_notes_name_the_units_in_which_constants_became_simple(uniform, normal):
    x, noise = uniform(0.5, 2, 400, 1), normal(400)
    found = discover(1e9 * x, 1e-12 * (2.5 * x[:, 0] ** 2 + 0.05 * noise), names=["length"], max_time=10)
    notes = found.model.options.notes
    assert notes[0] == "constants below are those of a table with length in units of 1e+09, y in units of 1e-11"
    assert any(note.startswith("constant ") and note.endswith("taken as 0.25") for note in notes[1:])
    length = sympy.Symbol("length")
    assert float(found.formula.subs(length, 2e9)) == pytest.approx(1e-11, rel=1e-9)


# ------------------------------------------------------------------------------------------------ start and cores


def hard(x):
    return (x[:, 0] * x[:, 1]).sin() + (x[:, 1] + x[:, 0] ** 2).log() * x[:, 1]


def test_a_search_goes_on_from_what_is_known(uniform):
    x = uniform(0.5, 2, 200, 2)
    y = x[:, 0] * (-x[:, 1]).exp()
    before = discover(x, y, forbidden=["exp"], max_time=4)
    after = discover(x, y, start=[each.model for each in before.formulas], max_time=20)
    assert float((after.predict(x) - y).abs().max()) < 1e-9
    alone = discover(x, y, start=after.model)
    assert alone.formula == after.formula
    again = discover(x, y, start=after)
    assert again.formula == after.formula
    assert not any("done" in stage for stage in again.stages)


def test_a_search_that_is_asked_something_else_begins_anew(uniform, monkeypatch):
    x = uniform(0.5, 2, 60, 2)
    y = hard(x)
    monkeypatch.setattr("edgewise.discovery.search.STAGES", (Polynomials(),))
    before = discover(x, y)
    assert before.finished == (Polynomials.name,)
    begun = []

    def watched(problem, *, stages, finished, **others):
        begun.append([stage.name for stage in stages if stage.name not in finished])
        return solve(problem, stages=(), finished=finished, **others)

    monkeypatch.setattr("edgewise.discovery.search.solve", watched)
    discover(x, y, start=before)
    discover(x, y, start=before, robust=True)
    discover(x, y, start=before, noise=0.1)
    discover(x, y, start=before, weights=1 + x[:, 0])
    discover(x, y + x[:, 0], start=before)
    assert begun == [[], *([[Polynomials.name]] * 4)]


def test_networks_are_looked_for_again(uniform, monkeypatch):
    class Quick(Endless):
        name = Networks.name

        def propose(self, problem, solve):
            yield monomial({0: 2.0})

    monkeypatch.setattr("edgewise.discovery.search.STAGES", (Polynomials(), Quick()))
    x = uniform(0.5, 2, 60, 2)
    assert discover(x, hard(x)).finished == (Polynomials.name,)


def test_stages_that_were_done_are_not_repeated(uniform, monkeypatch):
    x = uniform(0.5, 2, 100, 2)
    generator = torch.Generator().manual_seed(1)
    y = hard(x) + 0.2 * torch.randn(100, generator=generator, dtype=F64)
    before = discover(x, y, max_time=6, forbidden=["sin", "cos", "log"])
    begun = []

    def watched(problem, *, stages, finished, **others):
        begun.extend(stage.name for stage in stages if stage.name not in finished)
        return solve(problem, stages=(), finished=finished, **others)

    monkeypatch.setattr("edgewise.discovery.search.solve", watched)
    after = discover(x, y, start=before, max_time=5, forbidden=["sin", "cos", "log"])
    assert before.finished
    assert begun
    assert not set(begun) & set(before.finished)
    assert set(before.finished) <= set(after.finished)
    begun.clear()
    discover(x, y, start=before, max_time=5)
    assert set(before.finished) < set(begun)  # with other functions to choose from they may find more


class Endless:
    """A stage that proposes the same again and again, and that may be interrupted."""

    name = "endless"

    def __init__(self, interrupted_after=math.inf):
        self.interrupted_after = interrupted_after

    def propose(self, problem, solve):
        for number in itertools.count():
            if number >= self.interrupted_after:
                raise KeyboardInterrupt
            time.sleep(0.01)
            yield monomial({0: 2.0})


def test_stages_that_the_time_cut_off_are_not_finished(uniform, monkeypatch):
    monkeypatch.setattr("edgewise.discovery.search.STAGES", (Polynomials(), Endless(), Endless()))
    x = uniform(0.5, 2, 100, 2)
    before = discover(x, (5 * x[:, 0] * x[:, 1]).sin(), max_time=3)
    assert before.finished == (Polynomials.name,)


def test_processes_share_the_time_that_there_is(uniform):
    """However late a stage is begun, its end is that of all."""
    x = uniform(0.5, 2, 100, 2)
    problem = Problem(x, x[:, 0] ** 2 + 0.1 * x[:, 1], torch.ones(100, dtype=F64), 0.0, 0.0, math.inf, 0)
    started = time.monotonic()
    assert in_worker(Endless(), problem, (), time.time() - 1, ()) == ([], False)
    assert time.monotonic() - started < 0.5
    more, came_to_its_end = in_worker(Endless(), problem, (), time.time() + 0.3, ())
    assert more
    assert not came_to_its_end
    assert in_worker(Polynomials(), problem, (), time.time() + 30, ())[1]


def test_ctrl_c_within_a_stage_keeps_its_proposals(uniform, monkeypatch):
    monkeypatch.setattr("edgewise.discovery.search.STAGES", (Polynomials(), Endless(interrupted_after=3)))
    x = uniform(0.5, 2, 100, 2)
    found = discover(x, x[:, 0] ** 2 + 0.1 * (9 * x[:, 1]).sin(), max_time=30)
    assert found.finished == (Polynomials.name,)
    assert any(formula.formula.has(sympy.Symbol("x0")) for formula in found.formulas)
    assert any(stage.startswith("interrupted") for stage in found.stages)


def test_ctrl_c_while_constants_are_made_exact_keeps_the_formulas(uniform, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgewise.discovery.search.snapped", interrupted)
    x = uniform(0.5, 2, 100, 2)
    found = discover(x, x[:, 0] * x[:, 1] + 2, max_time=30)
    assert float((found.predict(x) - x[:, 0] * x[:, 1] - 2).abs().max()) < 1e-9
    assert "interrupted: constants are left as they were fitted" in found.stages


def test_given_formulas_keep_the_rules(uniform):
    x = uniform(0.5, 2, 100, 1)
    y = x[:, 0].exp()
    before = discover(x, y, max_time=10)
    assert before.formula == sympy.exp(sympy.Symbol("x0"))
    after = discover(x, y, start=before, forbidden=["exp", "sinh", "cosh", "tanh"], max_time=3)
    assert not any(formula.formula.has(sympy.exp) for formula in after.formulas)


def test_going_on_with_a_constant(uniform):
    x = uniform(0.5, 2, 50, 2)
    y = torch.full((50,), 3.0, dtype=F64)
    for robust in (False, True):
        again = discover(x, y, start=discover(x, y), robust=robust)
        assert again.formula == 3


def test_weights_count_in_loss_and_front(uniform, normal):
    """A few rows are worth nothing: the formula of the others has the least loss, though not by its mean square."""
    x = uniform(0.5, 2, 200, 1)
    y = 2 * x[:, 0] ** 2
    weights = torch.ones(200, dtype=F64)
    y[::10] += 50 * normal(20)
    weights[::10] = 1e-12
    found = discover(x, y, weights=weights, max_time=10, model_selection="accuracy")
    assert sympy.expand(found.formula - 2 * sympy.Symbol("x0") ** 2) == 0
    picked = found.formulas.picked
    left = (picked.model(x)[:, 0].detach() - y).square()
    assert picked.loss == pytest.approx(float((weights * left).sum() / weights.sum()))
    assert picked.r2 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("sigma", "ends"), [(0.1, True), (0.01, False)])
def test_a_given_noise_decides_when_the_search_ends(sigma, ends, uniform, normal):
    x = uniform(0.5, 2, 400, 2)
    y = x[:, 0] * x[:, 1] + 0.1 * normal(400)
    problem = Problem(x, y, torch.ones_like(y), 0.0, 0.0, time.monotonic() + 9, 0)
    problem = replace(problem, noise=sigma / problem.spread, noise_freedom=math.inf)
    tree = monomial({0: 1.0, 1: 1.0})
    assert is_noise(Finding(tree, problem.error(tree), "test"), problem) is ends
    wrong = monomial({0: 1.0})
    assert not is_noise(Finding(wrong, problem.error(wrong), "test"), problem)


@pytest.mark.parametrize("backend", ["numpy", "torch", "math"])
def test_a_function_of_one_s_own_as_a_plain_function(backend, own, uniform):
    x, y = sympy.symbols("x y")
    function = formula_function(2 * sympy.Function(own)(x * y) + y, ["x", "y"], backend=backend)
    a, b = uniform(-2, 2, 2, 5)
    expected = 2 * bump(a * b) + b
    if backend == "math":
        assert function(float(a[0]), float(b[0])) == pytest.approx(float(expected[0]), rel=1e-14)
    else:
        columns = (a, b) if backend == "torch" else (a.numpy(), b.numpy())
        assert torch.allclose(torch.as_tensor(function(*columns)), expected, rtol=1e-14)
    with pytest.raises(SymbolicError, match="those of registered primitives"):
        formula_function(sympy.Function("unknown")(x), ["x"], backend=backend)


def test_several_processes_find_the_same(uniform):
    x = uniform(0.5, 2, 200, 2)
    y = (x[:, 0] * x[:, 1]).sin() + x[:, 1] ** 2
    one, two = (discover(x, y, jobs=jobs, max_time=60) for jobs in (1, 2))
    assert one.formula == two.formula
    # The last digits of an error depend on how many threads a process has.
    assert [each.partition(":")[0] for each in one.stages] == [each.partition(":")[0] for each in two.stages]


def test_the_same_seed_gives_the_same(uniform):
    x = uniform(0.5, 2, 150, 2)
    generator = torch.Generator().manual_seed(2)
    y = x[:, 0] / (1 + x[:, 1]) + 0.01 * torch.randn(150, generator=generator, dtype=F64)
    one, two = (discover(x, y, seed=3, max_time=120) for _ in range(2))
    assert str(one) == str(two)


def test_progress_shows_the_best_formula_so_far(uniform, capfd):
    x = uniform(0.5, 2, 100, 2)
    discover(x, x[:, 0] * x[:, 1], names=["mass", "height"], progress=True)
    written = capfd.readouterr()
    assert "best so far: height*mass" in written.err
    assert written.out == ""


@pytest.mark.parametrize("seed", range(20))
def test_pure_noise_is_a_constant_at_every_draw(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand((200, 1 + seed % 3), generator=generator, dtype=F64)
    y = 5 + torch.randn(200, generator=generator, dtype=F64)
    found = discover(x, y, seed=seed)
    assert found.formula.is_number
    assert float(found.formula) == pytest.approx(float(y.mean()), abs=2.1 * float(y.std()) / len(y) ** 0.5)
