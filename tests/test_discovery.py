"""From a table to formulas, and from a table to the best predictor."""

import copy
import itertools
import math

import numpy as np
import pandas as pd
import pytest
import sympy
import torch
from matplotlib.figure import Figure

from edgewise import KAN, BSpline, Chebyshev, discover, read_table
from edgewise.datasets import path
from edgewise.discovery import Discovery, Formula, Front, fit_table
from edgewise.discovery.formulas import rated
from edgewise.discovery.solver import Finding
from edgewise.discovery.topology import Rows, climb
from edgewise.discovery.tree import Curve, Input, evaluate, product_of
from edgewise.discovery.view import View, natural_views
from edgewise.errors import DataError, OptionError, ShapeError

F64 = torch.float64
GRAVITY = 6.6743e-11  # m³ kg⁻¹ s⁻²
METRES, SECONDS = 1e3, 86400.0  # of a kilometre, of a day


def table(seed, rows, columns, low=0.0, high=1.0):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand((rows, columns), generator=generator, dtype=F64)


def noise(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def assert_sound(found, x, y):
    """What holds for every discovery."""
    rows = list(found.formulas)
    assert isinstance(found, Discovery)
    assert sum(row.pick for row in rows) == 1
    for simpler, longer in itertools.pairwise(rows):
        assert simpler.complexity < longer.complexity
        assert simpler.loss > longer.loss
    for row in rows:
        predicted = row.model(x).detach()[:, 0]
        assert row.loss == pytest.approx(float((predicted - y).square().mean()), rel=1e-9, abs=1e-30)
        assert math.isfinite(row.description_length)
    assert found.formula == found.formulas.picked.formula
    assert found.model is found.formulas.picked.model
    assert isinstance(found.network, KAN)
    assert torch.equal(found.predict(x), found.model(x).detach()[:, 0])
    assert found.stages[-1].startswith("picked")


# ------------------------------------------------------------------------------------------------ Kepler


@pytest.fixture(scope="module")
def kepler():
    data = read_table(
        path("orbits"), target="period_days", inputs=["central_mass_kg", "semi_major_axis_km"], test_fraction=0
    )
    return discover(data.train_input, data.train_target, names=data.input_names, seed=0), data


def test_kepler_s_third_law_is_found(kepler):
    found, _ = kepler
    mass, axis = sympy.symbols("central_mass_kg semi_major_axis_km")
    assert found.formula.free_symbols == {mass, axis}
    at = {mass: 1.989e30, axis: 1.496e8}
    by_axis, by_mass = (
        float((sympy.diff(found.formula, symbol) * symbol / found.formula).subs(at)) for symbol in (axis, mass)
    )
    assert by_axis == pytest.approx(1.5, abs=0.01)
    assert by_mass == pytest.approx(-0.5, abs=0.01)
    expected = 2 * math.pi / math.sqrt(GRAVITY) * METRES**1.5 / SECONDS
    factor = float((found.formula / (axis**1.5 / sympy.sqrt(mass))).subs(at))
    assert factor == pytest.approx(expected, rel=0.01)
    assert found.formulas.picked.r2 > 0.9999


def test_the_discovery_of_kepler_s_law_is_sound(kepler):
    found, data = kepler
    assert_sound(found, data.train_input, data.train_target[:, 0])
    assert found.stages[0].startswith("products of powers")
    assert found.network.input_names == ("central_mass_kg", "semi_major_axis_km")
    names = [sympy.Symbol(name) for name in data.input_names]
    values = sympy.lambdify(names, found.formula, "numpy")(*data.train_input.T.numpy())
    np.testing.assert_allclose(found.predict(data.train_input), values, rtol=1e-9)
    # The network before its constants were made exact stands in the user's units too.
    relative = found.network(data.train_input).detach() / data.train_target - 1
    assert float(relative.abs().max()) < 0.02


def test_a_discovery_prints_and_draws_itself(kepler):
    found, data = kepler
    lines = str(found).splitlines()
    assert lines[0].split() == ["complexity", "loss", "R²", "bits", "formula"]
    assert len(lines) == 1 + len(found.formulas)
    assert [line.endswith("← pick") for line in lines[1:]] == [row.pick for row in found.formulas]
    assert "-0.000000000" not in str(found)
    figure = found.plot()
    assert isinstance(figure, Figure)
    frame = pd.DataFrame(data.train_input.numpy(), columns=list(data.input_names))
    assert torch.equal(found.predict(frame), found.predict(data.train_input.numpy()))
    assert torch.equal(found.predict(frame[frame.columns[::-1]].assign(other=1.0)), found.predict(frame))
    assert found.predict(data.train_input[:1]).shape == (1,)
    with pytest.raises(DataError, match=r"no column 'semi_major_axis_km'.*rename its columns, or give an array"):
        found.predict(frame[frame.columns[:1]])
    with pytest.raises(ShapeError, match="there are 1 columns, expected 2"):
        found.predict(data.train_input[:, :1])


# ------------------------------------------------------------------------------------------------ other tables


@pytest.mark.slow  # networks without product nodes are tried first
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_a_product_is_found(low):
    x = table(1 if low else 0, 100, 2, low=low)
    found = discover(x, x[:, 0] * x[:, 1], seed=0)
    assert found.formula == sympy.Symbol("x0") * sympy.Symbol("x1")
    assert found.formulas.picked.r2 == pytest.approx(1, abs=1e-12)
    assert_sound(found, x, x[:, 0] * x[:, 1])


def test_pure_noise_is_a_constant():
    x, y = table(0, 50, 4), noise(10, 50)
    found = discover(x, y, seed=0)
    assert found.formula.is_number
    assert abs(float(found.formula) - float(y.mean())) < 3 / math.sqrt(50)
    assert_sound(found, x, y)


def test_the_same_seed_finds_the_same():
    x = table(2, 60, 2, low=0.5, high=1.5)
    y = 3 * x[:, 0] ** 2 + x[:, 1]
    one, other = (discover(x, y, names=["a", "b"], seed=5) for _ in range(2))
    assert str(one) == str(other)
    assert one.stages == other.stages
    for tensor, again in zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True):
        assert torch.equal(tensor, again)
    a, b = sympy.symbols("a b")
    assert sympy.expand(one.formula - (3 * a**2 + b)) == 0
    assert_sound(one, x, y)


def test_names_of_frames_are_those_of_the_formula():
    x = table(4, 60, 2)
    frame = pd.DataFrame(x.numpy(), columns=["width (m)", "lambda"])
    found = discover(frame, pd.Series((2 * x[:, 1] - 1).numpy(), name="signal"), seed=0)
    assert found.formula == 2 * sympy.Symbol("lambda") - 1
    assert found.model.output_names == ("signal",)
    assert found.model.input_names == ("width (m)", "lambda")
    given = discover(frame, (2 * x[:, 1] - 1).numpy(), names=["p", "q"], seed=0)
    assert given.formula == 2 * sympy.Symbol("q") - 1


@pytest.mark.parametrize("rows", [1, 2, 40])
def test_a_constant_target_is_that_constant(rows):
    x, y = table(5, rows, 2), torch.full((rows,), 2.5, dtype=F64)
    found = discover(x, y)
    assert found.formula == sympy.Rational(5, 2)
    assert len(found.formulas) == 1
    assert found.formulas[0].loss == 0
    assert_sound(found, x, y)


@pytest.mark.parametrize("rows", [2, 3])
def test_few_rows_are_met(rows):
    """Many formulas go through so few points; the one that is picked does, too."""
    x = table(6, rows, 2)
    found = discover(x, x[:, 0], max_time=5)
    assert_sound(found, x, x[:, 0])
    torch.testing.assert_close(found.predict(x), x[:, 0], rtol=0, atol=1e-6)


def test_a_constant_column_is_no_obstacle():
    x = torch.cat([table(7, 60, 1), torch.full((60, 1), 4.0, dtype=F64)], dim=1)
    found = discover(x, x[:, 0] ** 2, seed=0)
    assert found.formula == sympy.Symbol("x0") ** 2


def test_the_search_ends_when_the_time_is_over():
    x = table(8, 200, 3)
    y = torch.sin(5 * x[:, 0] * x[:, 1]) / (0.2 + x[:, 2]) + 0.1 * noise(9, 200)
    found = discover(x, y, max_time=1e-3)
    assert_sound(found, x, y)
    assert len(found.stages) <= 3


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": torch.zeros(20, 2)}, ShapeError, "one formula for one target, got 2"),
        ({"y": torch.zeros(19)}, ShapeError, "19"),
        ({"x": torch.full((20, 2), math.nan)}, DataError, "row 0"),
        ({"y": torch.full((20,), math.inf)}, DataError, "inf"),
        ({"names": ["a"]}, OptionError, "2 inputs"),
        ({"names": ["a", "a"]}, OptionError, "different names"),
        ({"max_time": 0}, OptionError, "max_time"),
        ({"max_time": math.nan}, OptionError, "max_time"),
        ({"noise": -1.0}, OptionError, "noise"),
        ({"noise": "little"}, OptionError, "noise"),
        ({"x": torch.zeros(0, 2), "y": torch.zeros(0)}, DataError, "no rows"),
        ({"x": "table.csv"}, DataError, "str"),
    ],
)
def test_what_cannot_be_used_is_refused(change, error, message):
    given = {"x": torch.zeros(20, 2), "y": torch.arange(20.0), "names": None, "max_time": 5, "noise": "auto"} | change
    with pytest.raises(error, match=message):
        discover(given["x"], given["y"], names=given["names"], max_time=given["max_time"], noise=given["noise"])


def test_numbers_that_say_nothing_are_left_out(monkeypatch):
    x = table(9, 60, 1, low=0.5, high=1.5)
    a = sympy.Symbol("a")
    for tree in (Curve("exp", Input(0), b=1.0, c=math.exp(-1)), Curve("x^2", Input(0), a=3.0, c=1 / 9)):
        best = [Finding(tree, 1e-16, "given")]
        monkeypatch.setattr("edgewise.discovery.search.solve", lambda problem, *, best=best, **others: best)
        assert discover(x, evaluate(tree, x), names=["a"]).formula in {sympy.exp(a), a**2}


def test_exponentials_of_squares_are_found_in_their_plain_form():
    """Of squares and of distances in units of a scale, by the first stage."""
    x = table(21, 400, 3, low=0.5, high=2)
    a, b, c = sympy.symbols("a b c")
    p, q, r = x.T
    cases = (
        (torch.exp(torch.sin(math.pi * p) + q**2), sympy.exp(sympy.sin(sympy.pi * a) + b**2)),
        (torch.exp(-((p - q) ** 2) / (2 * r**2)) / r, sympy.exp(-((a - b) ** 2) / (2 * c**2)) / c),
        (torch.exp(-((p - q) ** 2) / 8), sympy.exp(-((a - b) ** 2) / 8)),
    )
    for y, formula in cases:
        found = discover(x, y, names=["a", "b", "c"])
        assert sympy.simplify(found.formula - formula) == 0
        assert found.stages[0].startswith("products of powers")


def test_an_interruption_keeps_what_was_found(monkeypatch):
    x = table(9, 60, 2, low=0.5, high=1.5)
    y = x[:, 0] * x[:, 1]

    def interrupted(problem, *, report, **others):
        report("products of powers", [Finding(product_of(Input(0), Input(1)), 1e-16, "products of powers")], True)
        raise KeyboardInterrupt

    monkeypatch.setattr("edgewise.discovery.search.solve", interrupted)
    found = discover(x, y, names=["a", "b"])
    assert found.formula == sympy.Symbol("a") * sympy.Symbol("b")
    assert any(stage.startswith("interrupted") for stage in found.stages)
    assert_sound(found, x, y)


@pytest.mark.parametrize("noise_level", ["auto", 0.05])
def test_noise_does_not_hide_a_law(noise_level):
    x = table(10, 300, 2, low=1, high=3)
    y = 2 * x[:, 0] / x[:, 1] ** 2
    found = discover(x, y + 0.05 * noise(11, 300), names=["a", "b"], noise=noise_level)
    a, b = sympy.symbols("a b")
    factor = sympy.simplify(found.formula * b**2 / a)
    assert factor.is_number
    assert float(factor) == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_units_of_any_size_are_met(size):
    x = table(12, 100, 2, low=1, high=3)
    found = discover(x * torch.tensor([size, 1.0], dtype=F64), x[:, 0] / x[:, 1] / size, names=["a", "b"])
    a, b = sympy.symbols("a b")
    factor = float(found.formula.subs({a: size, b: 1}) * size)
    assert factor == pytest.approx(1, rel=1e-9)
    assert found.formulas.picked.r2 == pytest.approx(1, abs=1e-12)


# ------------------------------------------------------------------------------------------------ formulas, front


def formula(complexity, loss, bits):
    return Formula(
        formula=sympy.Integer(complexity),
        complexity=complexity,
        loss=loss,
        r2=1 - loss,
        description_length=bits,
        model=None,
    )


def test_the_front_is_what_no_other_formula_beats():
    generator = np.random.default_rng(0)
    for _ in range(50):
        found = [
            formula(int(generator.integers(1, 9)), float(generator.integers(0, 9)), float(generator.normal()))
            for _ in range(12)
        ]
        front = Front.of(found)
        for one in found:
            beaten = any(
                other.complexity <= one.complexity
                and other.loss <= one.loss
                and (other.complexity, other.loss) != (one.complexity, one.loss)
                for other in found
            )
            alike = [(row.complexity, row.loss) for row in front].count((one.complexity, one.loss))
            assert alike == (0 if beaten else 1)
        assert front.picked.description_length == min(row.description_length for row in front)
        assert [row.complexity for row in front] == sorted({row.complexity for row in front})
        assert sum(row.pick for row in front) == 1


def test_a_front_is_a_sequence():
    front = Front.of([formula(3, 0.5, 2.0), formula(1, 1.0, 3.0)])
    assert len(front) == 2
    assert front[0].complexity == 1
    assert front[-1].pick
    assert [row.complexity for row in front[:1]] == [1]
    assert front.index(front[1]) == 1


def power_law(c, power):
    """The network of c·x^power, in logarithms."""
    model = KAN([1, 1], domain=(0.1, 10)).fix_symbolic(0, 0, 0, "x")
    with torch.no_grad():
        model.all_layers[0].all_blocks()[0].affine[:] = torch.tensor([[1.0, 0.0, power, math.log(c)]], dtype=F64)
    x = table(1, 30, 1, low=1, high=9)
    view = View.of(x, x, inputs=("log",), outputs=("log",))
    return view.outer(model, x, input_names=("t",), output_names=("y",)), x


def test_figures_of_a_formula():
    model, x = power_law(2.0, 1.5)
    y = 2 * x**1.5
    exact = rated(model, x, y, scale=y)
    assert exact.loss < 1e-25
    assert exact.r2 == pytest.approx(1, abs=1e-14)
    worse = rated(model, x, y * (1 + 0.1 * noise(2, 30, 1)), scale=y)
    assert worse.description_length > exact.description_length
    off = y + 3
    expected = 1 - 9 / float(off.var(correction=0))
    assert rated(model, x, off).r2 == pytest.approx(expected, rel=1e-9)
    assert exact.complexity == sum(1 for _ in sympy.preorder_traversal(exact.formula))


def test_formulas_without_values_are_none():
    model, x = power_law(2.0, 1.5)
    assert rated(model, -x, x) is None  # the logarithm of what is negative


# ------------------------------------------------------------------------------------------------ views, rows


def test_views_take_logarithms_of_columns_that_span_decades():
    x = torch.stack([torch.logspace(-3, 3, 50, dtype=F64), torch.linspace(-1, 1, 50, dtype=F64)], dim=1)
    y = x[:, :1] ** 2
    views = natural_views(x, y)
    assert [(view.inputs, view.outputs) for view in views] == [
        (("log", "x"), ("log",)),
        (("log", "x"), ("x",)),
        (("x", "x"), ("x",)),
    ]
    first = views[0]
    torch.testing.assert_close(first.inner_inputs(x), torch.stack([x[:, 0].log(), x[:, 1]], dim=1))
    standard = first.standard_targets(y)
    assert float(standard.mean()) == pytest.approx(0, abs=1e-12)
    assert float(standard.std(correction=0)) == pytest.approx(1, rel=1e-12)
    ends = torch.tensor([[math.log(1e-3), math.log(1e3)], [-1.0, 1.0]], dtype=F64)
    reach = (first.domain - ends) * torch.tensor([-1.0, 1.0], dtype=F64)
    assert bool(((reach > 0) & (reach < 0.051 * (ends[:, 1:] - ends[:, :1]))).all())  # a little beyond the data
    assert len(natural_views(x[:, 1:], x[:, 1:])) == 1


def test_views_of_constant_columns_have_a_domain_and_a_spread():
    x, y = torch.full((5, 1), 3.0, dtype=F64), torch.full((5, 1), -2.0, dtype=F64)
    (view,) = natural_views(x, y)
    assert float(view.domain[0, 0]) < 3 < float(view.domain[0, 1])
    assert torch.equal(view.standard_targets(y), torch.zeros(5, 1, dtype=F64))
    model = view.unscaled(KAN([1, 1], domain=view.domain.tolist()))
    assert model(x).shape == (5, 1)


def test_rows_are_held_out_from_twenty_on():
    x, y = table(3, 50, 2), noise(4, 50, 1)
    parts = Rows.split(x, y, seed=1)
    assert (len(parts.x), len(parts.x_held)) == (40, 10)
    together = torch.cat([torch.cat([parts.x, parts.y], dim=1), torch.cat([parts.x_held, parts.y_held], dim=1)])
    whole = torch.cat([x, y], dim=1)
    assert sorted(map(tuple, together.tolist())) == sorted(map(tuple, whole.tolist()))
    few = Rows.split(x[:19], y[:19], seed=1)
    assert torch.equal(few.x, few.x_held)
    assert len(few.x) == 19
    assert (few.judged_apart, parts.judged_apart) == (False, True)
    assert not torch.equal(Rows.split(x, y, seed=2).x, parts.x)


def test_networks_grow_only_while_that_pays():
    """An additive table is exact with the first network; without time none is tried."""
    x = table(5, 100, 2, low=-1)
    domain = torch.tensor([[-1.0, 1.0]] * 2, dtype=F64)
    cubic = Rows.split(x, x[:, :1] ** 3 - x[:, 1:], seed=0)
    (only,) = climb(cubic, domain, seed=0, deadline=math.inf)
    assert only.model.width == [2, 1]
    assert only.error < 1e-9
    rough = Rows.split(x, noise(6, 100, 1), seed=0)
    assert list(climb(rough, domain, seed=0, deadline=-math.inf)) == []


# ------------------------------------------------------------------------------------------------ fit_table


def r2(fitted, x, y):
    residual = (fitted.model(x).detach() - y).square().mean(dim=0)
    return (1 - residual / y.var(dim=0, correction=0)).tolist()


def test_the_yacht_table_is_predicted():
    data = read_table(path("yacht"), target="residuary_resistance", test_fraction=0.2, seed=0)
    fitted = fit_table(
        data.train_input, data.train_target, width=[6, 2, 1], seed=0, input_names=data.input_names
    )  # fmt: skip
    assert r2(fitted, data.test_input, data.test_target)[0] >= 0.99
    assert fitted.model.input_names == data.input_names
    assert torch.equal(fitted.model.sample, data.train_input)


def test_a_model_of_raw_units_with_logarithms_and_several_targets():
    generator = torch.Generator().manual_seed(1)
    mass = 10 ** (6 * torch.rand(80, generator=generator, dtype=F64) + 20)
    angle = 2 * torch.rand(80, generator=generator, dtype=F64) - 1
    x = torch.stack([mass, angle], dim=1)
    y = torch.stack([1e-20 * mass**0.5, 1e6 * angle**2 - 3e6], dim=1)
    fitted = fit_table(x, y, width=[2, 2], seed=0, input_names=["mass", "angle"], output_names=["root", "square"])
    assert min(r2(fitted, x, y)) > 1 - 1e-6
    assert fitted.model.output_names == ("root", "square")
    (note,) = [note for note in fitted.notes if "logarithm" in note]
    assert "mass" in note
    assert "angle" not in note
    assert fitted.history.last["train_loss"] < 1e-6


def test_without_a_width_one_is_chosen():
    """A product of signed factors is beyond every additive network."""
    x, fresh = table(2, 60, 2, low=-1), table(3, 300, 2, low=-0.9, high=0.9)
    fitted, additive = (fit_table(x, x[:, :1] * x[:, 1:], width=width, seed=0) for width in (None, [2, 1]))
    assert len(fitted.model.all_layers) > len(additive.model.all_layers) == 1
    truth = fresh[:, :1] * fresh[:, 1:]
    assert r2(additive, fresh, truth)[0] < 0.2
    assert r2(fitted, fresh, truth)[0] > 0.8


def test_noise_is_not_fitted():
    """The truth is met better than the data: smoothness is chosen by held-out rows."""
    x = table(4, 150, 1, low=-1)
    truth = torch.sin(2 * x)
    fitted = fit_table(x, truth + 0.3 * noise(5, 150, 1), width=[1, 1], basis=BSpline(grid=20), seed=0)
    fresh = table(6, 300, 1, low=-1)
    error = (fitted.model(fresh) - torch.sin(2 * fresh)).detach().square().mean().sqrt()
    assert error < 0.1  # a third of the noise
    assert "grid 20, degree 3" in fitted.notes[0]


def test_the_basis_may_be_chosen():
    x = table(7, 60, 1, low=-1)
    fitted = fit_table(x, torch.exp(x), width=[1, 1], basis=Chebyshev(degree=8), seed=0)
    assert fitted.model.all_layers[0].all_blocks()[0].basis == Chebyshev(degree=8)
    assert r2(fitted, x, torch.exp(x))[0] > 1 - 1e-8


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_few_rows_and_constant_columns(rows):
    x = torch.cat([torch.arange(float(rows), dtype=F64)[:, None], torch.full((rows, 1), 7.0, dtype=F64)], dim=1)
    y = 3 + 2 * x[:, :1]
    fitted = fit_table(x, y, width=[2, 1], seed=0)
    torch.testing.assert_close(fitted.model(x).detach(), y, rtol=0, atol=1e-3)
    constant = fit_table(x, torch.full((rows, 1), 5.0, dtype=F64), width=[2, 1], seed=0)
    torch.testing.assert_close(constant.model(x).detach(), torch.full((rows, 1), 5.0, dtype=F64), rtol=0, atol=1e-6)


def test_the_same_seed_fits_the_same():
    x, y = table(8, 40, 2), noise(9, 40, 1)
    one, other = (fit_table(x, y, width=[2, 1], seed=3) for _ in range(2))
    for tensor, again in zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True):
        assert torch.equal(tensor, again)
    before = copy.deepcopy((x, y))
    assert torch.equal(before[0], x)
    assert torch.equal(before[1], y)


@pytest.mark.parametrize("width", [[3, 1], [2, 2], [2, 4, 2]])
def test_a_width_that_does_not_fit_the_table_is_refused(width):
    with pytest.raises(OptionError, match="2 inputs and 1 outputs"):
        fit_table(table(1, 20, 2), table(2, 20, 1), width=width)


@pytest.mark.parametrize("width", [[2, [0, 1]], [2, 3, [0, (3,)]]])
def test_outputs_that_are_products_are_refused_before_anything_is_trained(width):
    with pytest.raises(OptionError, match="append a layer of 1 sums"):
        fit_table(table(1, 20, 2), table(2, 20, 1), width=width, max_time=1e-9)


def test_names_are_checked_and_have_the_usual_defaults():
    x, y = table(1, 20, 2), table(2, 20, 1)
    with pytest.raises(OptionError, match="2 inputs"):
        fit_table(x, y, width=[2, 1], input_names=["a"])
    with pytest.raises(OptionError, match="1 outputs"):
        fit_table(x, y, width=[2, 1], output_names=["a", "b"])
    plain = fit_table(x, y, width=[2, 1], max_time=0.1)
    assert (plain.model.input_names, plain.model.output_names) == (("x0", "x1"), ("y",))
