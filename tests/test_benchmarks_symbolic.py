"""The benchmark of formulas: its problems, its judge, its rows and its table."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest
import sympy

SYMBOLIC = Path(__file__).parents[1] / "benchmarks" / "symbolic"
sys.path[:0] = [str(SYMBOLIC), str(SYMBOLIC.with_name("paper"))]  # scripts, which find each other beside themselves

import environments  # noqa: E402
import recover  # noqa: E402
import summary  # noqa: E402
from generator import random_expressions  # noqa: E402
from judge import verdict  # noqa: E402
from problems import TABLES, Problem, expression, problems  # noqa: E402
from rows import Rows  # noqa: E402

import rivals  # noqa: E402

x, y = sympy.symbols("x y")


@pytest.mark.parametrize(("table", "count"), [("feynman100", 100), ("published", 51)])
def test_every_problem_has_values_on_its_range(table, count):
    found = problems(table)
    assert len(found) == count
    for problem in found.values():
        rows, values = problem.draw(50, 0.0, seed=1)
        assert rows.shape == (50, len(problem.ranges))
        assert np.isfinite(values).all(), problem.name
        assert {str(symbol) for symbol in problem.formula.free_symbols} <= set(problem.ranges)


def test_formulas_are_read_as_they_are_written():
    u, v = np.random.default_rng(11).uniform(0.2, 1.5, 2)
    found = expression("exp(-x**2/2)*sqrt(y) - 1.5*arcsin(sin(x)/2) + ln(abs(-y)) + pi", {"x": x, "y": y})
    expected = np.exp(-(u**2) / 2) * np.sqrt(v) - 1.5 * np.arcsin(np.sin(u) / 2) + np.log(v) + np.pi
    assert float(found.subs({x: u, y: v})) == pytest.approx(expected, rel=1e-13)
    assert expression("x/3", {"x": x}) == x * sympy.Rational(1, 3)  # and no float
    for text in ("__import__('os').getcwd()", "z", "x.args", "[x for x in y]"):
        with pytest.raises(ValueError, match="is no part of a formula"):
            expression(text, {"x": x, "y": y})


def test_noise_is_a_share_of_the_root_mean_square():
    problem = Problem("line", x, {"x": (1.0, 3.0)})
    _, plain = problem.draw(20_000, 0.0, seed=3)
    _, noisy = problem.draw(20_000, 0.1, seed=3)
    assert np.std(noisy - plain) == pytest.approx(0.1 * np.sqrt(np.mean(plain**2)), rel=0.05)


def test_random_expressions_are_the_same_for_the_same_seed():
    one, again, other = (list(random_expressions(6, seed)) for seed in (3, 3, 4))
    assert one == again
    assert [each.formula for each in one] != [each.formula for each in other]
    for each in one:
        assert 2 <= len(each.ranges) <= 5
        values = Problem(each.name, each.formula, each.ranges).draw(500, 0.0, seed=9)[1]
        assert np.isfinite(values).all()
        for name in each.ranges:  # each variable matters
            assert sympy.diff(each.formula, sympy.Symbol(name)) != 0


@pytest.mark.parametrize(
    ("found", "exact", "strict"),
    [
        (x**2 / 2 + sympy.sin(y), True, True),
        (0.50000000001 * x**2 + sympy.sin(y), True, True),
        (0.5003 * x**2 + sympy.sin(y), True, True),
        (x**2 / 2 + sympy.sin(y) + 0.25, True, False),  # a constant apart
        (3.0 * x**2 + 6.0 * sympy.sin(y), True, False),  # a factor apart
        (x**2 / 2 + sympy.sin(y) + 0.0003 * x, True, False),  # a term that vanishes by rounding
        (0.51 * x**2 + sympy.sin(y), False, False),
        (x**2 / 2 + sympy.sin(x), False, False),
        (sympy.Integer(1), False, False),
    ],
    ids=str,
)
def test_the_judge_knows_the_formula(found, exact, strict):
    problem = Problem("test", x**2 / 2 + sympy.sin(y), {"x": (-1.0, 2.0), "y": (0.0, 3.0)})
    assert verdict(problem, found) == {"exact": exact, "strict": strict}


def test_numbers_inside_of_functions_are_compared_to_three_decimals():
    problem = Problem("test", 1 / (sympy.exp(x / (2 * sympy.pi)) - 1), {"x": (0.5, 2.0)})
    for number, exact in ((0.15919, True), (0.1612, False)):
        found = 1 / (sympy.exp(sympy.Float(number) * x) - 1)
        assert verdict(problem, found) == {"exact": exact, "strict": exact}


def test_rows_are_measured_and_summed_up(tmp_path, monkeypatch):
    arguments = [
        "--tables",
        "published",
        "--noise",
        "0",
        "--seeds",
        "1",
        "--max-time",
        "20",
        "--results",
        str(tmp_path),
    ]
    few = {name: problems("published")[name] for name in ("Nguyen-1", "Nguyen-8")}
    row = recover.measure("published", "Nguyen-1", 0.0, 0, 0, 1, 200, 20.0)
    assert row["exact"]
    assert row["strict"]
    assert row["test_rmse"] < 1e-10
    monkeypatch.setattr(recover, "_problems", lambda *_: few)
    monkeypatch.setattr(sys, "argv", ["recover.py", *arguments, "--results", str(tmp_path)])
    recover.main()
    rows = Rows(tmp_path / "published.jsonl").all()
    assert {row["case"] for row in rows} == set(few)
    failed = rows[0] | {"case": "another", "exact": False, "strict": False, "found": "x"}
    Rows(tmp_path / "published.jsonl").append(failed)
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{summary.START}\nold\n{summary.END}\nafter\n")
    folder = tmp_path / "rows"
    folder.mkdir()
    (tmp_path / "published.jsonl").rename(folder / "published.jsonl")
    monkeypatch.setattr(sys, "argv", ["summary.py", "--results", str(folder), "--readme", str(readme)])
    summary.main()
    text = (tmp_path / "rows.md").read_text()
    shown = readme.read_text()
    assert shown.startswith("before\n")
    assert shown.endswith("\nafter\n")
    assert "old" not in shown
    assert summary.rates(summary.read(folder)) in shown
    assert "| Nguyen, Keijzer, Livermore, Jin | 0 | 3 | 1 | 67% | 67% | 85% | NO |" in text
    assert "| another | 0 | 0 |" in text
    assert "pyoperon" not in shown
    Rows(folder / "rivals.jsonl").append(failed | {"case": "Nguyen-1", "contender": "pyoperon 0"})
    summary.main()
    assert "| pyoperon | 0 | 1 | 0% | 0% |" in readme.read_text()


def test_the_subset_of_the_rivals_is_every_fifth_problem():
    names = {table: list(problems(table)) for table in TABLES}
    expected = [names["feynman100"][i] for i in range(0, 100, 5)] + [names["published"][i] for i in range(0, 50, 5)]
    assert list(rivals.subset()) == expected
    assert len(expected) == 30


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("sqrt(abs(x0))*x1", sympy.sqrt(x) * y),
        ("((0.5) * abs((x1 - 4)) ** 2)", 0.5 * (4 - y) ** 2),
        ("abs(x1) + exp(abs(sin(x0/3)))", sympy.Abs(y) + sympy.exp(sympy.sin(x / 3))),
        ("protected_log(x0*x0) + protected_div(x0, x1)", 2 * sympy.log(x) + x / y),
        ("protected_div(x0, x1 - x1) + protected_log(x0/x0 - 1)", sympy.Integer(1)),
        ("-1e-3*x0**(-2) + (2)", 2 - 0.001 / x**2),
    ],
)
def test_what_a_rival_says_becomes_a_formula_of_the_problem(text, formula):
    problem = Problem("test", x + y, {"x": (1.0, 3.0), "y": (-1.0, 1.0)})
    rows, _ = problem.draw(100, 0.0, seed=5)
    found = rivals.formula_of(text, problem, rows)
    assert found.atoms(sympy.Symbol) <= {x, y}  # the problem's, of which nothing is assumed
    np.testing.assert_allclose(problem.values(found, rows), problem.values(formula, rows), rtol=1e-12)
    assert found.has(sympy.Abs) == formula.has(sympy.Abs)


def test_a_rival_gets_the_rows_of_recover_and_is_judged_alike(monkeypatch):
    problem = rivals.subset()["Nguyen-1"]
    asked = {}

    def answer(rival, script, arrays, options):
        asked.update(arrays, rival=rival, script=script, **options)
        return {
            "formula": "x0 + x0*x0 + x0**3",
            "predicted": [0.5] * len(arrays["test_x"]),
            "seconds": 2.0,
            "note": "-",
        }

    monkeypatch.setattr(rivals, "answered", answer)
    row = rivals.measure("pysindy", "Nguyen-1", 0.01, 4, 30.0)
    train_x, train_y = problem.draw(recover.NOISY_ROWS, 0.01, 4)
    np.testing.assert_array_equal(asked["x"], train_x)
    np.testing.assert_array_equal(asked["y"], train_y)
    assert (asked["rival"], asked["script"], asked["seed"], asked["seconds"]) == ("pysindy", "pysindy_fit.py", 4, 30.0)
    assert row["exact"]
    assert row["strict"]
    assert row["formula_rmse"] < 1e-12
    _, test_y = recover.test_rows(problem, 4)
    assert row["test_rmse"] == pytest.approx(np.sqrt(np.mean((0.5 - test_y) ** 2)) / np.std(test_y))


def test_rivals_have_as_long_as_edgewise_took(tmp_path):
    rows = Rows(tmp_path / "rows.jsonl")
    for case, seconds in {"quick": 3.0, "slow": 25.0, "over the limit": 64.0, "failed": None}.items():
        rows.append({"case": case, "contender": "edgewise 0.01", "seed": 0, "seconds": seconds})
    options = argparse.Namespace(least_time=10.0, max_time=60.0)
    expected = {"quick": 10.0, "slow": 25.0, "over the limit": 60.0, "failed": 60.0, "unknown": 60.0}
    ours = [Rows(tmp_path / "none.jsonl"), rows]
    assert {case: rivals.budget(case, 0.01, 0, ours, options) for case in expected} == expected
    assert rivals.budget("quick", 0.0, 0, ours, options) == 60.0  # another level of noise


@pytest.mark.parametrize("rival", rivals.RIVALS)
def test_a_rival_says_what_it_found(rival):
    if not (environments._FOLDER / rival / "ready").exists():
        pytest.skip("the environments of rivals are made by the first benchmark")
    problem = Problem(
        "test", 2 * x + sympy.sin(y), {"x": (1.0, 3.0), "y": (4.0, 6.0)}
    )  # few formulas divide by 0 there
    rows, values = problem.draw(200, 0.0, seed=6)
    test_x, _ = problem.draw(50, 0.0, seed=7)
    arrays = {"x": rows, "y": values, "test_x": test_x}
    found = environments.answered(rival, f"{rival}_fit.py", arrays, {"seed": 0, "seconds": 1.5})
    formula = rivals.formula_of(found["formula"], problem, rows)
    # The text and the program are the same function; Operon computes in single precision.
    np.testing.assert_allclose(problem.values(formula, test_x).real, found["predicted"], rtol=1e-3, atol=1e-3)


def test_rates_of_rivals_stand_beside_those_of_the_same_runs():
    def row(case, contender, exact, error, seed=0, noise=0.0):
        about = {"strict": False, "noise": noise, "seconds": 3.0, "budget": 60.0}
        return about | {"case": case, "contender": contender, "seed": seed, "exact": exact, "test_rmse": error}

    ours = [
        row("a", "edgewise 0", True, 1e-9),
        row("b", "edgewise 0", False, 0.3),
        row("b", "edgewise 0", True, 1e-9, seed=1),  # which no rival was asked for
        row("c", "edgewise 0", True, 1e-9),
    ]
    theirs = [row("a", "gplearn 0", False, 0.2), row("b", "gplearn 0", False, None)]
    lines = summary.beside({"published": ours}, theirs).splitlines()[2:]
    assert lines == [
        "| edgewise | 0 | 2 | 50% | 0% | 1.5e-01 | 3.0 |",
        "| gplearn | 0 | 2 | 0% | 0% | failed | 3.0 |",
    ]


def test_there_is_a_bound_for_what_is_promised():
    assert {table for table, _ in summary.BOUNDS} == {*TABLES, "random"}
