"""Noisy labels: `KANRegressor` as it comes, against an oracle that chooses width, grid and degree by the truth.

The ten cases and the oracle's choices were fixed before anything was run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable

import torch
from cases import Case, Samples, tables
from contenders import found_width
from report_text import count, error, errors, table, verdict
from rows import Row
from runner import Job

import edgewise as ew
from study.starting import best_start

TITLE = "Noisy labels"
SEEDS, MAX_TIME = 10, 60.0
CASES = (
    "I.6.2b",
    "I.9.18",
    "I.12.11",
    "I.16.6",
    "I.26.2",
    "I.29.16",
    "I.37.4",
    "II.6.15a",
    "II.35.18",
    "III.17.37",
)
LEVELS = (0.01, 0.1)  # standard deviations of the labels
HIDDEN = (0, 2, 5, 10)  # nodes of the hidden layer, or none
GRIDS = (3, 6, 12, 24)
DEGREES = (3, 5)
WORSE_BY = 1.5
_STARTS = 2
_STEPS = 60
_MOST_PARAMETERS = 0.5  # of the samples


def jobs(options: argparse.Namespace) -> list[Job]:
    """Edgewise, and the oracle's networks: one job per width, through all degrees and grids."""
    found = []
    for name in CASES:
        for level in LEVELS:
            for seed in range(options.seeds):
                common = {"case": _label(name, level), "seed": seed, "seconds": options.max_time}
                about = {"name": name, "level": level, "seed": seed}
                given = about | {"seconds": options.max_time}
                found.append(Job(contender="edgewise", function=measure, arguments=given, **common))
                for hidden in HIDDEN:
                    given = about | {"hidden": hidden}
                    found.append(Job(contender=_oracle(hidden), function=measure_oracle, arguments=given, **common))
    return found


def measure(name: str, level: float, seed: int, seconds: float) -> Row:
    """`KANRegressor` on noisy labels, judged by the clean ones."""
    case = tables()["feynman"][name]
    samples = case.samples(seed, noise=level)
    return found_width(case, samples, seed, seconds) | {"sigma": samples.sigma}


def measure_oracle(name: str, level: float, seed: int, hidden: int) -> Row:
    """The best degree and grid of one width, by the error against the truth."""
    case = tables()["feynman"][name]
    width = [len(case.ranges), *([hidden] if hidden else []), 1]
    samples, began = case.samples(seed, noise=level), time.perf_counter()
    tried = [row for degree in DEGREES for row in oracle(case, samples, width, degree, seed)]
    return min(tried, key=lambda row: row["test_rmse"]) | {"seconds": time.perf_counter() - began}


def oracle(case: Case, samples: Samples, width: list[int], degree: int, seed: int) -> Iterable[Row]:
    """Plain fits on ever finer grids, from the best of a few starts, with their errors against the truth."""
    x, y, test_x = (torch.tensor(values) for values in (samples.train_x, samples.train_y, samples.test_x))
    basis = ew.BSpline(grid=GRIDS[0], degree=degree)
    starts = [ew.KAN(width, basis=basis, domain=list(case.ranges), seed=seed + number) for number in range(_STARTS)]
    model = best_start(starts, x, y, _STEPS)
    for grid in GRIDS:
        model = model.refine(grid=grid)
        size = sum(parameter.numel() for parameter in model.parameters())
        if grid > GRIDS[0] and size > _MOST_PARAMETERS * len(x):
            break
        model.fit(x, y, steps=_STEPS)
        with torch.no_grad():
            reached = case.error(model(test_x)[:, 0].numpy(), samples.test_y)
        yield {"test_rmse": reached, "parameters": size, "note": f"{width}, degree {degree}, grid {grid}"}


def section(rows: list[Row]) -> str:
    """The table: a line per case and level, by the medians of its seeds."""
    lines, met, single = [], [], []
    for name in CASES:
        for level in LEVELS:
            pairs = list(_pairs(rows, _label(name, level)))
            if not pairs:
                continue
            mine, best = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
            reached, possible = errors(mine), errors(best)
            ratios = [own / best_of_all for own, best_of_all in zip(reached, possible, strict=True)]
            shares = [own / row["sigma"] for own, row in zip(reached, mine, strict=True)]
            single += [r <= WORSE_BY and s <= 1 for r, s in zip(ratios, shares, strict=True)]
            met.append(statistics.median(ratios) <= WORSE_BY and statistics.median(shares) <= 1)
            medians = [
                error(statistics.median(values)) for values in ([row["sigma"] for row in mine], reached, possible)
            ]
            figures = [f"{value:.2f}" for value in (statistics.median(ratios), max(ratios), max(shares))]
            lines.append([_label(name, level), len(pairs), *medians, *figures, verdict(met[-1])])
    header = ["case", "seeds", "σ", "Edgewise", "oracle", "ratio, median", "largest", "largest share of σ", "met"]
    return (
        f"RMSE against the labels without noise; must be at most {WORSE_BY} times the oracle's and at most σ\n"
        f"(medians of the seeds). The oracle has a hidden layer of {HIDDEN} nodes, grids {GRIDS}, degrees\n"
        f"{DEGREES} and {_STARTS} starts, as long as it has at most half as many parameters as samples, and is\n"
        "chosen for each seed by the error that is shown.\n\n"
        + table(header, lines)
        + "\n\n"
        + count(sum(met), len(met), "met")
        + " "
        + count(sum(single), len(single), "single fits are within both bounds")
    )


def _pairs(rows: list[Row], label: str) -> Iterable[tuple[Row, Row]]:
    """Edgewise's rows of a case with the best of the oracle on the same samples, once all its widths are there."""
    for mine in rows:
        if mine["case"] == label and mine["contender"] == "edgewise":
            others = [row for row in rows if row["case"] == label and row["seed"] == mine["seed"] and row is not mine]
            if len(others) == len(HIDDEN):
                yield mine, min(others, key=lambda row: errors([row]))


def _label(name: str, level: float) -> str:
    return f"{name}, {level:.0%}"


def _oracle(hidden: int) -> str:
    return f"oracle {hidden}"
