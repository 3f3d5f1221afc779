"""The narrowest network of the four-dimensional toy function, [4, 2, 1, 1], in which plain random starts get stuck."""

from __future__ import annotations

import argparse
from dataclasses import replace

from cases import tables
from contenders import edgewise
from report_text import error, errors, figure_of, median, table
from rows import Row
from runner import Job

TITLE = "The narrowest network in four dimensions"
SEEDS, MAX_TIME = 10, 60.0
CASE, SHAPE = "exp_two_sines_4d", (4, 2, 1, 1)


def jobs(options: argparse.Namespace) -> list[Job]:
    """A job for each seed."""
    return [
        Job(
            case=CASE,
            contender="edgewise",
            seed=seed,
            function=measure,
            arguments={"seed": seed, "seconds": options.max_time},
            seconds=options.max_time,
        )
        for seed in range(options.seeds)
    ]


def measure(seed: int, seconds: float) -> Row:
    """One fit of that width."""
    case = tables()["toy"][CASE]
    return edgewise(replace(case, shape=SHAPE), case.samples(seed), seed, seconds)


def section(rows: list[Row]) -> str:
    """The table."""
    goal, reached = tables()["toy"][CASE].goal, errors(rows)
    assert goal is not None
    met = sum(value <= goal for value in reached)
    figures = [error(median(reached)), error(max(reached)), figure_of(rows, "seconds", ".1f")]
    header = ["seeds", "median test RMSE", "worst", "median s", f"at most {goal:.0e}"]
    return (
        f"{list(SHAPE)} on exp((sin π(x1² + x2²) + sin π(x3² + x4²))/2), 3000 samples, `fit_multilevel`.\n\n"
        + table(header, [[len(rows), *figures, f"{met} of {len(rows)}"]])
    )
