"""What pyoperon, gplearn and pysindy find in the same time as `discover`: one row per problem, noise level and seed.

    python benchmarks/symbolic/rivals.py                                    everything; resumable
    python benchmarks/symbolic/rivals.py --rivals pysindy --noise 0

The 30 problems are every fifth of the Feynman equations, 20, and every fifth of the published sets, the first 10. Each
program has as long as Edgewise took on the same rows, as recover.py measured it, but no less than --least-time. The
rows of training and of the test, the noise and the judge are those of recover.py. Each program has an environment of
its own, made on first use, and a script in benchmarks/rivals, where its settings are. summary.py has the table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from itertools import islice, product
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "paper"))  # the rows and the runner are the same

import numpy as np
import sympy
from environments import answered, python_of
from problems import Problem, expression, problems
from recover import NOISY_ROWS, RESULTS, ROWS, judged, relative_error, test_rows
from rows import Row, Rows
from runner import Job, add_options, complete, forget

RIVALS = ("pyoperon", "gplearn", "pysindy")
NOISES = (0.0, 0.01)
LEAST_TIME = 10.0
EVERY = 5
COUNTS = {"feynman100": 20, "published": 10}
FILE = "rivals.jsonl"
_NOTHING = 1e-3  # gplearn's bound


def _quotient(above: sympy.Expr, below: sympy.Expr) -> sympy.Expr:
    """gplearn's, which is 1 where it would divide by nothing."""
    return sympy.Integer(1) if _is_nothing(below) else above / below


def _logarithm(value: sympy.Expr) -> sympy.Expr:
    """gplearn's, of the absolute value, which is 0 where there would be none."""
    return sympy.Integer(0) if _is_nothing(value) else sympy.log(sympy.Abs(value))


def _is_nothing(value: sympy.Expr) -> bool:
    return bool(value.is_number and abs(value) < _NOTHING)


_PROTECTED = {"protected_div": _quotient, "protected_log": _logarithm}


def subset() -> dict[str, Problem]:
    """The problems, chosen by their place in the tables only."""
    return {
        name: problem
        for table, count in COUNTS.items()
        for name, problem in islice(problems(table).items(), 0, count * EVERY, EVERY)
    }


def formula_of(text: str, problem: Problem, x: np.ndarray) -> sympy.Expr:
    """A rival's formula in the problem's symbols.

    Args:
        text: with the inputs as x0, x1, …
        problem: what was to be found.
        x: rows; an absolute value of what has one sign on all of them is left out.

    Returns:
        The formula.
    """
    # What is known of the inputs' signs saves most of the absolute values that protect roots and logarithms.
    lows = [low for low, _ in problem.ranges.values()]
    symbols = [sympy.Symbol(f"x{i}", real=True, positive=low > 0 or None) for i, low in enumerate(lows)]
    named = dict(zip(symbols, problem.symbols, strict=True))
    formula = expression(text, {str(symbol): symbol for symbol in symbols}, _PROTECTED)

    def plain(inner: sympy.Expr) -> sympy.Expr:
        values = np.real(problem.values(inner.xreplace(named), x))
        return inner if np.all(values >= 0) else -inner if np.all(values <= 0) else sympy.Abs(inner)

    return formula.replace(sympy.Abs, plain).xreplace(named)


def measure(rival: str, name: str, noise: float, seed: int, seconds: float) -> Row:
    """One problem: what a rival found, and whether it is what was looked for."""
    problem = subset()[name]
    x, y = problem.draw(NOISY_ROWS if noise else ROWS, noise, seed)
    test_x, test_y = test_rows(problem, seed)
    answer = answered(rival, f"{rival}_fit.py", {"x": x, "y": y, "test_x": test_x}, {"seed": seed, "seconds": seconds})
    formula = formula_of(answer["formula"], problem, x)
    return judged(problem, formula) | {
        "noise": noise,
        "effort": answer["note"],
        "test_rmse": relative_error(np.array(answer["predicted"]), test_y),
        "formula_rmse": relative_error(np.real(problem.values(formula, test_x)), test_y),
        "seconds": answer["seconds"],
    }


def budget(name: str, noise: float, seed: int, ours: Iterable[Rows], options: argparse.Namespace) -> float:
    """The seconds of a rival: those of Edgewise on the same rows, within bounds; the most where they are not known."""
    rows = [row for rows in ours if (row := rows.get((name, f"edgewise {noise:g}", seed))) is not None]
    times = [row["seconds"] for row in rows if row["seconds"] is not None]
    return min(max(options.least_time, *times), options.max_time) if times else options.max_time


def jobs(options: argparse.Namespace) -> list[Job]:
    """All rivals on all problems at all noise levels."""
    ours = [Rows(options.results / f"{table}.jsonl") for table in COUNTS]
    found = []
    for noise, rival, name, seed in product(
        options.noise, options.rivals, islice(subset(), options.problems), range(options.seeds)
    ):
        seconds = budget(name, noise, seed, ours, options)
        arguments = {"rival": rival, "name": name, "noise": noise, "seed": seed, "seconds": seconds}
        contender = f"{rival} {noise:g}"
        found.append(
            Job(case=name, contender=contender, seed=seed, function=measure, arguments=arguments, seconds=seconds)
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=RIVALS)
    parser.add_argument("--noise", nargs="+", type=float, default=list(NOISES))
    parser.add_argument("--problems", type=int, help="only the first ones")
    parser.add_argument("--least-time", type=float, default=LEAST_TIME, help="seconds that a rival has at least")
    add_options(parser, seeds=1, max_time=60)
    parser.set_defaults(results=RESULTS)
    options = parser.parse_args()
    for rival in options.rivals:
        python_of(rival)  # before the clock runs
    rows = Rows(options.results / FILE)
    asked = {f"{rival} {noise:g}" for rival in options.rivals for noise in options.noise}
    forget(rows, options, lambda row: row["contender"] in asked)
    complete(jobs(options), rows, options.jobs)


if __name__ == "__main__":
    main()
