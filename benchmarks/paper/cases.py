"""The paper's three tables as cases: a function, its ranges, the figures to beat, and fresh samples."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from formulas import formula

DATA = Path(__file__).parent / "data"
TEST_SAMPLES = 10_000


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Rows to train on, whose labels may be noisy, and rows to test on, whose labels never are."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    sigma: float = 0.0  # standard deviation of the noise


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of a table."""

    table: str
    name: str
    formula: str
    ranges: tuple[tuple[float, float], ...]
    function: Callable[[np.ndarray], np.ndarray] = field(repr=False)  # (N, I) → (N,)
    paper_shape: tuple[int, ...]
    shape: tuple[int, ...] | None = None  # the width that Edgewise is given; it finds its own where None
    goal: float | None = None
    paper_kan: float | None = None
    paper_mlp: float | None = None
    relative: bool = False  # errors are divided by the rms of the test targets

    def samples(self, seed: int, *, noise: float = 0.0, count: int | None = None, tests: int = TEST_SAMPLES) -> Samples:
        """Uniform samples of the ranges; `noise` is in standard deviations of the labels."""
        generator = np.random.default_rng(seed)
        count = (1000 if len(self.ranges) <= 2 else 3000) if count is None else count
        train_x, clean = self._draw(count, generator)
        test_x, test_y = self._draw(tests, generator)
        sigma = noise * float(clean.std())
        train_y = clean + sigma * generator.standard_normal(count)
        return Samples(train_x=train_x, train_y=train_y, test_x=test_x, test_y=test_y, sigma=sigma)

    def error(self, predicted: np.ndarray, truth: np.ndarray) -> float:
        """The root mean square error, as the table counts it."""
        return rms(predicted - truth) / self.scale(truth)

    def scale(self, truth: np.ndarray) -> float:
        """What the table divides root mean square errors by."""
        return rms(truth) if self.relative else 1.0

    def _draw(self, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows at which the function is finite."""
        low, high = np.array(self.ranges).T
        x, y = np.empty((0, len(low))), np.empty(0)
        while len(x) < count:
            more = generator.uniform(low, high, (count - len(x), len(low)))
            values = self.function(more)
            finite = np.isfinite(values)
            x, y = np.concatenate([x, more[finite]]), np.concatenate([y, values[finite]])
        return x, y


def tables() -> dict[str, dict[str, Case]]:
    """All cases by table and name."""
    readers = {"toy": toy_functions, "special": special_functions, "feynman": feynman}
    return {table: {case.name: case for case in reader()} for table, reader in readers.items()}


def toy_functions() -> Iterable[Case]:
    """Functions of known structure, whose width is given."""
    for row in _rows("toy_functions.csv"):
        inputs, shape = int(row["dimensions"]), _shape(row["paper_shape"])
        names = ["x"] if inputs == 1 else [f"x{i + 1}" for i in range(inputs)]
        special = {"mean_sin2_100d": mean_sin2}  # written with "for", which is no formula
        yield Case(
            table="toy",
            name=row["name"],
            formula=row["formula"],
            ranges=(_range(row["range"]),) * inputs,
            function=special.get(row["name"]) or formula(row["formula"], names),
            paper_shape=shape,
            shape=shape,
            goal=float(row["goal_test_rmse"]),
            paper_kan=_figure(row["paper_kan_test_rmse"]),
            paper_mlp=_figure(row["paper_mlp_test_rmse"]),
        )


def special_functions() -> Iterable[Case]:
    """Special functions of two variables, by SciPy."""
    for row in _rows("special_functions.csv"):
        yield Case(
            table="special",
            name=row["name"],
            formula=row["scipy_call"],
            ranges=(_range(row["x_range"]), _range(row["y_range"])),
            function=formula(row["scipy_call"], ["x", "y"]),
            paper_shape=_shape(row["paper_best_shape"]),
            paper_kan=_figure(row["paper_kan_rmse"]),
            paper_mlp=_figure(row["paper_mlp_rmse"]),
            relative=True,
        )


def feynman() -> Iterable[Case]:
    """Equations of physics in dimensionless form; the paper's better KAN counts."""
    for row in _rows("feynman27.csv"):
        ranges = {name: _range(ends) for name, ends in (part.split(":") for part in row["ranges"].split("; "))}
        yield Case(
            table="feynman",
            name=row["id"],
            formula=row["dimensionless_formula"],
            ranges=tuple(ranges.values()),
            function=formula(row["dimensionless_formula"], list(ranges)),
            paper_shape=_shape(row["paper_pruned_shape"]),
            paper_kan=min(float(row["paper_kan_pruned_rmse"]), float(row["paper_kan_unpruned_rmse"])),
            paper_mlp=_figure(row["paper_mlp_rmse"]),
        )


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def mean_sin2(x: np.ndarray) -> np.ndarray:
    """exp(mean sin²(πx/2)), in any dimension."""
    return np.exp(np.mean(np.sin(np.pi * x / 2) ** 2, axis=1))


def _rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _range(text: str) -> tuple[float, float]:
    low, high = json.loads(text)
    return float(low), float(high)


def _shape(text: str) -> tuple[int, ...]:
    return tuple(json.loads(text))


def _figure(text: str) -> float | None:
    return float(text) if text else None
