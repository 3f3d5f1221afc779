"""How often `discover` finds the formula: one row per problem, noise level and seed; resumable.

    python benchmarks/symbolic/recover.py                                   everything
    python benchmarks/symbolic/recover.py --tables feynman100 --noise 0 --seeds 1
    python benchmarks/symbolic/recover.py --tables random --random-seed 9205421

Noise is normal, its standard deviation a share of the target's root mean square, on the training rows only, of which
there are 1000 without and 10,000 with noise. Each problem has a process of its own with one thread. The rows go to
benchmarks/results/symbolic; summary.py makes a table of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "paper"))  # the rows and the runner are the same

import numpy as np
import sympy
from judge import verdict
from problems import RANDOM, TABLES, TEST_ROWS, Problem, problems
from rows import Row, Rows
from runner import Job, add_options, complete, forget

import edgewise as ew

RESULTS = Path(__file__).parents[1] / "results" / "symbolic"
NOISES = (0.0, 0.001, 0.01, 0.1)
ROWS, NOISY_ROWS = 1000, 10_000  # SRBench allows the latter
RANDOM_SEED = 9205421
RANDOM_COUNT = 100


def jobs(table: str, noises: list[float], options: argparse.Namespace) -> list[Job]:
    """All problems of a table at all noise levels."""
    found = []
    for noise in noises:
        for name in list(_problems(table, options.random_seed, options.count))[:: options.every]:
            for seed in range(options.seeds):
                arguments = {
                    "table": table,
                    "name": name,
                    "noise": noise,
                    "seed": seed,
                    "random_seed": options.random_seed,
                    "count": options.count,
                    "rows": options.rows or (NOISY_ROWS if noise else ROWS),
                    "seconds": options.max_time,
                }
                found.append(
                    Job(
                        case=name,
                        contender=f"edgewise {noise:g}",
                        seed=seed,
                        function=measure,
                        arguments=arguments,
                        seconds=options.max_time,
                    )
                )
    return found


def measure(
    table: str, name: str, noise: float, seed: int, random_seed: int, count: int, rows: int, seconds: float
) -> Row:
    """One problem: what was found, and whether it is what was looked for."""

    problem = _problems(table, random_seed, count)[name]
    x, y = problem.draw(rows, noise, seed)
    began = time.perf_counter()
    found = ew.discover(x, y, names=list(problem.ranges), max_time=seconds, seed=seed)
    spent = time.perf_counter() - began
    test_x, test_y = test_rows(problem, seed)
    return judged(problem, found.formula) | {
        "noise": noise,
        "complexity": found.formulas.picked.complexity,
        "stage": found.stages[-2] if len(found.stages) > 1 else "",
        "test_rmse": relative_error(found.predict(test_x).numpy(), test_y),
        "seconds": spent,
    }


def test_rows(problem: Problem, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows without noise that are not those of training."""
    return problem.draw(TEST_ROWS, 0.0, seed + 10_000)


def relative_error(predicted: np.ndarray, y: np.ndarray) -> float:
    """The root mean square error in units of the target's standard deviation."""
    return float(np.sqrt(np.mean((predicted - y) ** 2)) / (np.std(y) or 1.0))


def judged(problem: Problem, formula: sympy.Expr) -> Row:
    """The part of a row that is about the formula."""
    return verdict(problem, formula) | {
        "truth": str(problem.formula),
        "found": str(formula.evalf(6)),
        "note": str(formula.evalf(4))[:80],
    }


def _problems(table: str, random_seed: int, count: int) -> dict[str, Problem]:
    return problems(table, count=count, seed=random_seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=(*TABLES, RANDOM), default=(*TABLES, RANDOM))
    parser.add_argument("--noise", nargs="+", type=float, default=list(NOISES))
    parser.add_argument("--rows", type=int, help=f"of training; {ROWS}, with noise {NOISY_ROWS}")
    parser.add_argument("--random-seed", type=int, default=RANDOM_SEED)
    parser.add_argument("--count", type=int, default=RANDOM_COUNT, help="of random expressions")
    parser.add_argument("--every", type=int, default=1, help="only every so many problems of a table")
    add_options(parser, seeds=3, max_time=60)
    parser.set_defaults(results=RESULTS)
    options = parser.parse_args()
    for table in options.tables:
        rows = Rows(options.results / f"{table}.jsonl")
        asked = {f"edgewise {noise:g}" for noise in options.noise}
        forget(rows, options, lambda row, of=asked: row["contender"] in of)
        complete(jobs(table, options.noise, options), rows, options.jobs)


if __name__ == "__main__":
    main()
