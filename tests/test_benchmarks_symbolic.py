"""The benchmark of formulas: its problems, its judge, its rows and its table."""

import sys
from pathlib import Path

import numpy as np
import pytest
import sympy

SYMBOLIC = Path(__file__).parents[1] / "benchmarks" / "symbolic"
sys.path.insert(0, str(SYMBOLIC))  # its files are scripts, which find each other beside themselves

import recover  # noqa: E402
import summary  # noqa: E402
from generator import random_expressions  # noqa: E402
from judge import verdict  # noqa: E402
from problems import TABLES, Problem, problems  # noqa: E402
from rows import Rows  # noqa: E402

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


def test_there_is_a_bound_for_what_is_promised():
    assert {table for table, _ in summary.BOUNDS} == {*TABLES, "random"}
