"""Prediction intervals: how many new measurements lie in intervals that promise 90 %.

The noise is Gaussian, of heavy tails, bounded, and growing with an input: the promise is for all of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from report_text import figure_of, table, verdict
from rows import Row
from runner import Job

import edgewise as ew

TITLE = "Coverage of 90 % intervals"
SEEDS, MAX_TIME = 20, 30.0
COVERAGE = 0.9
BOUNDS = (0.88, 0.92)  # of the mean over draws
SAMPLES, NEW = 500, 5000

Array = np.ndarray
Generator = np.random.Generator


@dataclass(frozen=True)
class Target:
    """A function on [0, 1]^inputs, and noise to be added to it."""

    inputs: int
    function: Callable[[Array], Array]
    noise: Callable[[Array, Generator], Array]

    def draw(self, count: int, generator: Generator) -> tuple[Array, Array]:
        """Rows and their measured values."""
        x = generator.uniform(size=(count, self.inputs))
        return x, self.function(x) + self.noise(x, generator)


TARGETS = {
    "sine, Gaussian": Target(1, lambda x: np.sin(6 * x[:, 0]), lambda x, g: 0.2 * g.standard_normal(len(x))),
    "exp(sin πx + y²), Laplace": Target(
        2, lambda x: np.exp(np.sin(np.pi * x[:, 0]) + x[:, 1] ** 2), lambda x, g: g.laplace(scale=0.2, size=len(x))
    ),
    "product, growing with x": Target(
        2, lambda x: x[:, 0] * x[:, 1], lambda x, g: (0.02 + 0.2 * x[:, 0]) * g.standard_normal(len(x))
    ),
    "ratio of three, uniform": Target(
        3, lambda x: (1 + x[:, 0]) / (1 + x[:, 1] * x[:, 2]), lambda x, g: g.uniform(-0.3, 0.3, len(x))
    ),
    "Friedman 1, Gaussian": Target(
        5,
        lambda x: 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4],
        lambda x, g: g.standard_normal(len(x)),
    ),
}


def jobs(options: argparse.Namespace) -> list[Job]:
    """One per target and draw."""
    return [
        Job(
            case=name,
            contender="edgewise",
            seed=seed,
            function=measure,
            arguments={"name": name, "seed": seed, "seconds": options.max_time},
            seconds=options.max_time,
        )
        for name in TARGETS
        for seed in range(options.seeds)
    ]


def measure(name: str, seed: int, seconds: float) -> Row:
    """The share of new measurements inside their intervals."""
    generator = np.random.default_rng(seed)
    x, y = TARGETS[name].draw(SAMPLES, generator)
    new_x, new_y = TARGETS[name].draw(NEW, generator)
    began = time.perf_counter()
    regressor = ew.KANRegressor(random_state=seed, max_time=seconds).fit(x, y)
    low, high = regressor.predict_interval(new_x, coverage=COVERAGE)
    return {
        "test_rmse": float(np.sqrt(np.mean((regressor.predict(new_x) - TARGETS[name].function(new_x)) ** 2))),
        "seconds": time.perf_counter() - began,
        "coverage": float(np.mean((low <= new_y) & (new_y <= high))),
        "length": float(np.mean(high - low)),
    }


def section(rows: list[Row]) -> str:
    """The table."""
    lines = []
    for name in TARGETS:
        mine = [row for row in rows if row["case"] == name]
        shares = [row["coverage"] for row in mine if row.get("coverage") is not None]
        if shares:
            mean = float(np.mean(shares))
            met = BOUNDS[0] <= mean <= BOUNDS[1] and len(shares) == len(mine)
            span = f"{min(shares):.1%} to {max(shares):.1%}"
            figures = [figure_of(mine, figure, ".3g") for figure in ("length", "seconds")]
            lines.append([name, len(mine), f"{mean:.1%}", span, *figures, verdict(met)])
    header = ["target", "draws", "mean coverage", "from … to", "mean length", "median s", "met"]
    return (
        f"`predict_interval(X, coverage={COVERAGE})` after {SAMPLES} noisy samples, on {NEW} new ones; the mean over\n"
        f"draws must be between {BOUNDS[0]:.0%} and {BOUNDS[1]:.0%}.\n\n" + table(header, lines)
    )
