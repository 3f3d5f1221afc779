"""How fast errors fall with the grid: networks of fixed grid and degree, converged, on exp(sin πx + y²).

Theorem 2.1 of the KAN paper promises G^−(degree+1). It speaks of functions on the domain of their splines: errors are
given with and without the few test rows whose sum lies beyond those of all training rows.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from cases import TEST_SAMPLES, tables
from matplotlib.figure import Figure
from power_law import exponent
from report_text import error, errors, table, verdict
from rows import Row
from runner import Job, one_per_seed

import edgewise as ew
from study.beyond import rows_inside
from study.starting import best_start

TITLE = "Convergence in the grid"
SEEDS, MAX_TIME = 3, 120.0
DEGREES = (3, 5, 7)
GRIDS = (5, 10, 15, 20, 25, 30, 40, 50)
ASYMPTOTIC = 10  # the first grid that counts for the exponent
FLOOR = 2e-13  # errors below are rounding
SAMPLES = 10_000  # the error of the splines is to be seen, not that of few samples
WITHIN = 0.3
_STARTS = 5
_STEPS = 200


def jobs(options: argparse.Namespace) -> list[Job]:
    """One per degree and seed."""
    return one_per_seed(measure, {f"degree {degree}": degree for degree in DEGREES}, "degree", options)


def measure(degree: int, seed: int, grids: tuple[int, ...] = GRIDS, count: int = SAMPLES) -> Row:
    """The errors on every grid, all from the best of a few starts on the coarsest."""
    case = tables()["toy"]["exp_sin"]
    samples = case.samples(seed, count=count)
    x, y, test_x = (torch.tensor(values) for values in (samples.train_x, samples.train_y, samples.test_x))

    def rmse(model: ew.KAN, inputs: torch.Tensor, truth: np.ndarray) -> float:
        with torch.no_grad():
            return case.error(model(inputs)[:, 0].numpy(), truth)

    began = time.perf_counter()
    starts = [ew.KAN([2, 1, 1], basis=ew.BSpline(grid=grids[0]), seed=seed + number) for number in range(_STARTS)]
    coarse = best_start(starts, x, y, _STEPS).refine(degree=degree)
    coarse.fit(x, y, steps=_STEPS)
    levels: list[list[float]] = []
    for grid in grids:
        model = coarse.refine(grid=grid)
        model.fit(x, y, steps=_STEPS)
        size = sum(parameter.numel() for parameter in model.parameters())
        inside = rows_inside(model, x, test_x)
        errors = [rmse(model, x, samples.train_y), rmse(model, test_x, samples.test_y)]
        errors.append(rmse(model, test_x[inside], samples.test_y[inside.numpy()]))
        levels.append([grid, size, *errors, int((~inside).sum())])
    return {
        "test_rmse": levels[-1][3],
        "train_rmse": levels[-1][2],
        "seconds": time.perf_counter() - began,
        "levels": levels,
        "exponent": exponent(*_asymptotic(levels, 3)),
        "exponent_inside": exponent(*_asymptotic(levels, 4)),
    }


def _asymptotic(levels: list[list[float]], place: int) -> tuple[list[float], list[float]]:
    """Grids and errors, by their place in a level, that count for the exponent."""
    chosen = [(level[0], level[place]) for level in levels if level[0] >= ASYMPTOTIC and level[place] > FLOOR]
    return [grid for grid, _ in chosen], [test for _, test in chosen]


def section(rows: list[Row]) -> str:
    """The table."""
    lines = []
    for degree in DEGREES:
        mine = [row for row in _of(rows, degree) if row["exponent_inside"] is not None]
        if mine:
            inside, everywhere = (_slopes(mine, degree, name) for name in ("exponent_inside", "exponent"))
            counts = [row["levels"][-1][5] for row in mine]
            beyond = f"{min(counts)} to {max(counts)}"
            met = verdict(abs(inside[1] + degree + 1) <= WITHIN)
            slopes = [f"{slope:.2f}" for slope in (*inside, *everywhere)]
            lines.append([degree, -degree - 1, *slopes, beyond, error(min(errors(mine))), len(mine), met])
    header = [
        "degree",
        "promised",
        "exponent inside, median",
        "farthest",
        "exponent of all rows, median",
        "farthest",
        "rows beyond",
        "lowest test RMSE",
        "seeds",
        f"inside within {WITHIN}",
    ]
    return (
        f"[2, 1, 1] on exp(sin πx + y²), {SAMPLES} samples, converged on each grid of {GRIDS}; exponents of\n"
        f"the test RMSE over the grids from {ASYMPTOTIC} on whose error is above {FLOOR:.0e}. Inside: without the\n"
        f"test rows whose sum lies beyond those of all training rows, of which there are a few in {TEST_SAMPLES};\n"
        "there the outer spline goes on by itself.\n\n" + table(header, lines)
    )


def _slopes(rows: list[Row], degree: int, name: str) -> tuple[float, float]:
    """The median exponent, and the one farthest from what is promised."""
    slopes = [row[name] for row in rows]
    return statistics.median(slopes), max(slopes, key=lambda slope: abs(slope + degree + 1))


def figure(rows: list[Row]) -> Figure:
    """Error over the grid."""
    drawing = Figure(figsize=(5.5, 4), layout="constrained")
    axes = drawing.subplots()
    for number, degree in enumerate(DEGREES):
        for row in _of(rows, degree):
            grids, _, _, _, tests, _ = zip(*row["levels"], strict=True)
            label = None if row["seed"] else f"degree {degree}: exponent {row['exponent_inside']:.2f}"
            axes.loglog(grids, tests, "o-", color=f"C{number}", markersize=3, label=label)
    axes.set(xlabel="grid intervals", ylabel="test RMSE inside", title="exp(sin πx + y²), [2, 1, 1]")
    axes.legend()
    return drawing


def _of(rows: list[Row], degree: int) -> list[Row]:
    return [row for row in rows if row["case"] == f"degree {degree}" and row.get("levels")]
