"""Few samples: exp(sin πx + y²) from 300, where fine grids have more parameters than some cells have samples."""

from __future__ import annotations

import argparse
from dataclasses import replace

from cases import tables
from contenders import edgewise
from report_text import error, errors, figure_of, median, table
from rows import Row
from runner import Job

TITLE = "300 samples"
SEEDS, MAX_TIME = 10, 60.0
SAMPLES = 300
BOUND = 1e-6
CONTENDERS = ("width given", "width found")


def jobs(options: argparse.Namespace) -> list[Job]:
    """With the width of the toy function, and without."""
    return [
        Job(
            case="exp_sin",
            contender=contender,
            seed=seed,
            function=measure,
            arguments={"given": contender == "width given", "seed": seed, "seconds": options.max_time},
            seconds=options.max_time,
        )
        for contender in CONTENDERS
        for seed in range(options.seeds)
    ]


def measure(given: bool, seed: int, seconds: float) -> Row:
    """One fit."""
    case = tables()["toy"]["exp_sin"]
    samples = case.samples(seed, count=SAMPLES)
    return edgewise(case if given else replace(case, shape=None), samples, seed, seconds)


def section(rows: list[Row]) -> str:
    """The table."""
    lines = []
    for contender in CONTENDERS:
        mine = [row for row in rows if row["contender"] == contender]
        if mine:
            reached = errors(mine)
            met = sum(value <= BOUND for value in reached)
            figures = [error(median(reached)), error(max(reached))]
            lines.append([contender, len(mine), *figures, figure_of(mine, "seconds", ".1f"), f"{met} of {len(mine)}"])
    header = ["", "seeds", "median test RMSE", "worst", "median s", f"at most {BOUND:.0e}"]
    return f"exp(sin πx + y²) from {SAMPLES} samples; must be at most {BOUND:.0e}.\n\n" + table(header, lines)
