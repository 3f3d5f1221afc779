"""Whether the dimension matters: errors over the number of parameters for exp(mean sin²(πx/2)) in 2 to 100 dimensions.

Theorem 2.1 of the KAN paper promises the same exponent in all, −(degree + 1): the constant may grow, the rate may not.
It speaks of functions on the domain of their splines. The more inputs a sum has, the rarer are its extreme values, and
a few test rows lie beyond all that the training rows have shown the outer function: errors are given with and without.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from cases import TEST_SAMPLES, mean_sin2, rms
from matplotlib.figure import Figure
from power_law import exponent
from report_text import error, table
from rows import Row
from runner import Job, one_per_seed

import edgewise as ew
from study.beyond import rows_inside
from study.starting import best_start

TITLE = "Error over parameters in many dimensions"
SEEDS, MAX_TIME = 1, 900.0
DIMENSIONS = (2, 4, 8, 32, 100)
DEGREE = 3
GRIDS = (4, 8, 12, 16, 20)
SAMPLES = 10_000
_STARTS = 3
_STEPS = 60


def jobs(options: argparse.Namespace) -> list[Job]:
    """One per dimension and seed."""
    return one_per_seed(measure, {f"d = {inputs}": inputs for inputs in DIMENSIONS}, "inputs", options)


def measure(inputs: int, seed: int, grids: tuple[int, ...] = GRIDS, count: int = SAMPLES) -> Row:
    """[inputs, 1, 1] of one degree, converged on every grid."""
    generator = np.random.default_rng(seed)
    train, test = (generator.uniform(-1, 1, (rows, inputs)) for rows in (count, TEST_SAMPLES))
    x, y, test_x = torch.tensor(train), torch.tensor(mean_sin2(train)), torch.tensor(test)
    truth, levels, began = torch.tensor(mean_sin2(test)), [], time.perf_counter()
    starts = [
        ew.KAN([inputs, 1, 1], basis=ew.BSpline(grid=grids[0], degree=DEGREE), seed=seed + number)
        for number in range(_STARTS)
    ]
    coarse = best_start(starts, x, y, _STEPS)
    for grid in grids:
        model = coarse.refine(grid=grid)
        model.fit(x, y, steps=_STEPS, solver="lm")
        with torch.no_grad():
            off = (model(test_x)[:, 0] - truth).numpy()
        inside = rows_inside(model, x, test_x).numpy()
        size = sum(parameter.numel() for parameter in model.parameters())
        levels.append([grid, size, rms(off), rms(off[inside]), int((~inside).sum())])
    _, sizes, everywhere, within, _ = zip(*levels[1:], strict=True)
    return {
        "test_rmse": levels[-1][2],
        "seconds": time.perf_counter() - began,
        "parameters": levels[-1][1],
        "levels": levels,
        "exponent": exponent(sizes, everywhere),
        "exponent_inside": exponent(sizes, within),
    }


def section(rows: list[Row]) -> str:
    """The table."""
    header = [
        "dimensions",
        "parameters",
        "test RMSE",
        "exponent",
        "test RMSE inside",
        "exponent",
        "rows beyond",
        "seconds",
    ]
    lines = []
    for inputs in DIMENSIONS:
        for row in _of(rows, inputs):
            first, last = row["levels"][0], row["levels"][-1]
            span = f"{first[1]} to {last[1]}"
            everywhere, within = (f"{error(first[place])} to {error(last[place])}" for place in (2, 3))
            slopes = [f"{row[name]:.2f}" for name in ("exponent", "exponent_inside")]
            about = [last[4], f"{row['seconds']:.0f}"]
            lines.append([inputs, span, everywhere, slopes[0], within, slopes[1], *about])
    return (
        f"[d, 1, 1] of degree {DEGREE} on exp(mean sin²(πx/2)), {SAMPLES} samples, converged on each grid of {GRIDS};\n"
        f"exponents of the test RMSE in the number of parameters from the second grid on (promised: {-DEGREE - 1} in\n"
        f"the grid, whatever d). Inside: without the test rows whose sum lies beyond those of all training rows, of\n"
        f"which there are a few in {TEST_SAMPLES}; there the outer spline goes on by itself.\n\n" + table(header, lines)
    )


def figure(rows: list[Row]) -> Figure:
    """Error inside over parameters, a line per dimension."""
    drawing = Figure(figsize=(5.5, 4), layout="constrained")
    axes = drawing.subplots()
    for inputs in DIMENSIONS:
        for row in _of(rows, inputs)[:1]:
            _, sizes, _, within, _ = zip(*row["levels"], strict=True)
            label = f"d = {inputs}: exponent {row['exponent_inside']:.2f}"
            axes.loglog(sizes, within, "o-", markersize=3, label=label)
    axes.set(xlabel="parameters", ylabel="test RMSE inside", title="exp(mean sin²(πx/2)), [d, 1, 1]")
    drawing.legend(loc="outside lower center", ncols=2)
    return drawing


def _of(rows: list[Row], inputs: int) -> list[Row]:
    return [row for row in rows if row["case"] == f"d = {inputs}" and row.get("levels")]
