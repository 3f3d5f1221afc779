"""Whether the dimension matters: errors over the number of parameters for exp(mean sin²(πx/2)) in 2 to 100 dimensions.

Theorem 2.1 of the KAN paper promises the same exponent in all, −(degree + 1): the constant may grow, the rate may not.
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
    truth, levels, began = mean_sin2(test), [], time.perf_counter()
    starts = [
        ew.KAN([inputs, 1, 1], basis=ew.BSpline(grid=grids[0], degree=DEGREE), seed=seed + number)
        for number in range(_STARTS)
    ]
    coarse = best_start(starts, x, y, _STEPS)
    for grid in grids:
        model = coarse.refine(grid=grid)
        model.fit(x, y, steps=_STEPS, solver="lm")
        with torch.no_grad():
            reached = rms(model(test_x)[:, 0].numpy() - truth)
        levels.append([grid, sum(parameter.numel() for parameter in model.parameters()), reached])
    return {
        "test_rmse": levels[-1][2],
        "seconds": time.perf_counter() - began,
        "parameters": levels[-1][1],
        "levels": levels,
        "exponent": exponent([size for _, size, _ in levels[1:]], [reached for *_, reached in levels[1:]]),
    }


def section(rows: list[Row]) -> str:
    """The table."""
    header = ["dimensions", "exponent", "parameters", "test RMSE at most", "seconds"]
    lines = []
    for inputs in DIMENSIONS:
        for row in _of(rows, inputs):
            first, last = row["levels"][0], row["levels"][-1]
            span, fall = f"{first[1]} to {last[1]}", f"{error(first[2])} to {error(last[2])}"
            lines.append([inputs, f"{row['exponent']:.2f}", span, fall, f"{row['seconds']:.0f}"])
    return (
        f"[d, 1, 1] of degree {DEGREE} on exp(mean sin²(πx/2)), {SAMPLES} samples, converged on each grid of {GRIDS};\n"
        f"exponents of the test RMSE in the number of parameters from the second grid on (promised: {-DEGREE - 1} in\n"
        f"the grid, whatever d).\n\n" + table(header, lines)
    )


def figure(rows: list[Row]) -> Figure:
    """Error over parameters, a line per dimension."""
    drawing = Figure(figsize=(5.5, 4), layout="constrained")
    axes = drawing.subplots()
    for inputs in DIMENSIONS:
        for row in _of(rows, inputs)[:1]:
            _, sizes, reached = zip(*row["levels"], strict=True)
            axes.loglog(sizes, reached, "o-", markersize=3, label=f"d = {inputs}: exponent {row['exponent']:.2f}")
    axes.set(xlabel="parameters", ylabel="test RMSE", title="exp(mean sin²(πx/2)), [d, 1, 1]")
    axes.legend()
    return drawing


def _of(rows: list[Row], inputs: int) -> list[Row]:
    return [row for row in rows if row["case"] == f"d = {inputs}" and row.get("levels")]
