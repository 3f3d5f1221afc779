"""Fit against MLP: error against parameters and against training time, on the toy functions of the KAN paper.

Two ways to learn a function from samples, both with second-order steps in double precision:

- a KAN. First an additive one, without a hidden layer, from zero: a linear problem, of which a few steps of L-BFGS show
  at once how far it leads. Then the function's own shape: a few starts on 3 intervals by Levenberg–Marquardt, and the
  best of them on finer and finer grids. `refine` halves every interval and keeps the function, so each fit goes on
  where the last one ended;
- the multilayer perceptron that is best of a sweep over 40 widths, depths and activations, by L-BFGS. It is trained
  once more by itself, so that its time does not count what the sweep spent on others. The choice is by the test error,
  which favours it.

What the theory promises: where a function is a composition of smooth curves in the network's shape, splines of degree k
on G intervals leave an error of order G^−(k+1), in any dimension. With cubic splines, and parameters in proportion to
G, the error falls with the fourth power of the number of parameters. The picture shows that line, and what is seen.

What matters to a user is the time: how long until the KAN is as good as the best perceptron ever gets?

Published: Liu et al., KAN: Kolmogorov–Arnold Networks (2024): the theorem is 2.1 (equation 2.15), the functions and the
errors of KANs and MLPs over parameters are in section 3.1 and figure 3.1, and that KANs train ten times slower in
section 6. The functions, their samples and the sweep are those of `benchmarks/paper`.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import edgewise as ew
from results import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "paper"))

from cases import Case, Samples, toy_functions
from mlp import candidate_of, mlp, standardized
from power_law import exponent, frontier

FIRST_GRID, DEGREE = 3, 3
STARTS = 4
MOMENT = 1e-3  # seconds of training between two looks at the error: one round of L-BFGS, or a few
STEPS = 20  # of Levenberg–Marquardt on each grid
PATIENCE = 3  # times as long as its first training: what the best perceptron has to reach its error again


class Point(NamedTuple):
    """What a network had reached at one time of its training."""

    parameters: int
    seconds: float
    rmse: float


@dataclass
class Stopwatch:
    """A clock that stands still while errors are measured."""

    passed: float = 0.0
    since: float = field(default_factory=time.perf_counter)

    def stop(self) -> float:
        """Stop, and say what has passed in all."""
        self.passed += time.perf_counter() - self.since
        return self.passed

    def go_on(self) -> None:
        """Run again."""
        self.since = time.perf_counter()


# ---------------------------------------------------------------------------------------- the KAN


def kan_points(case: Case, samples: Samples, *, seconds: float, seed: int = 0) -> list[list[Point]]:
    """Train a KAN on finer and finer grids: a list for each fit, with a point for each of its steps.

    Args:
        case: the function, and the shape of the network.
        samples: to train on, and to measure the error.
        seconds: after which no finer grid is tried.
        seed: of the first start.

    Returns:
        Fits in their order: that of the additive network, those of the starts, then those on finer grids.
    """
    assert case.shape is not None
    # Targets of mean 0 and spread 1, as the perceptrons have them.
    shift, spread = samples.train_y.mean(), samples.train_y.std()
    data = torch.tensor(samples.train_x), torch.tensor((samples.train_y - shift) / spread)
    watch, fits = Stopwatch(), []

    def fitted(model: ew.KAN, solver: str = "auto") -> float:
        """Train a network, note the points, and say what loss is left."""
        points: list[Point] = []
        fits.append(points)

        def note(model: ew.KAN, row: dict[str, Any]) -> None:
            del row
            passed = watch.stop()
            points.append(Point(size_of(model), passed, rmse_of(model, samples, shift, spread)))
            watch.go_on()

        return model.fit(*data, steps=STEPS, callbacks=[note], solver=solver).last["train_loss"] or 0.0

    def network(width: Sequence[int], seed: int) -> ew.KAN:
        return ew.KAN(list(width), basis=ew.BSpline(FIRST_GRID, DEGREE), domain=list(case.ranges), seed=seed)

    additive = network((case.shape[0], case.shape[-1]), seed)
    for parameter in additive.parameters():
        torch.nn.init.zeros_(parameter)
    fitted(additive, solver="lbfgs")
    starts = [network(case.shape, seed + number) for number in range(STARTS)]
    losses = []
    for start in starts:
        losses.append(fitted(start))
        if watch.stop() > seconds:
            break
        watch.go_on()
    model, grid = starts[losses.index(min(losses))], FIRST_GRID
    watch.go_on()
    # With a parameter for every two samples there is nothing left to tell a curve from chance.
    while 2 * size_of(model) < len(data[0]) / 2 and watch.stop() < seconds:
        watch.go_on()
        grid *= 2
        model = model.refine(grid=grid)
        fitted(model)
    return fits


def size_of(model: torch.nn.Module) -> int:
    """The number of its parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def rmse_of(model: ew.KAN, samples: Samples, shift: float, spread: float) -> float:
    """On samples that no training has seen; the model's outputs are in units of the spread, from the shift."""
    errors = model(torch.tensor(samples.test_x))[:, 0] * spread + shift - torch.tensor(samples.test_y)
    return float(errors.square().mean().sqrt())


# ---------------------------------------------------------------------------------------- the perceptron


@dataclass(frozen=True)
class BestPerceptron:
    """The best of a sweep.

    Args:
        name: which one it is.
        rmse: the best test error of the whole sweep.
        sweep_seconds: what the sweep took.
        all_sizes: a point for everything that the sweep tried; its seconds are those of the sweep.
        alone: the best one trained once more by itself.
    """

    name: str
    rmse: float
    sweep_seconds: float
    all_sizes: list[Point]
    alone: list[Point]


def best_perceptron(case: Case, samples: Samples, *, seconds: float, seed: int = 0) -> BestPerceptron:
    """Sweep, then train the best one again from its own start."""
    row = mlp(case, samples, seed, seconds)
    sizes = [Point(*point) for point in row["curve"]]
    alone = list(_trained_alone(samples, row["kind"], seed, until=row["test_rmse"], most=PATIENCE * seconds))
    return BestPerceptron(row["note"], row["test_rmse"], row["seconds"], sizes, alone)


def _trained_alone(
    samples: Samples, kind: tuple[int, int, str], seed: int, *, until: float, most: float
) -> Iterator[Point]:
    """A point for every few steps of L-BFGS; looking at the error takes no time on this clock."""
    x, y, test_x, shift, spread = standardized(samples)
    truth = torch.tensor(samples.test_y)
    candidate = candidate_of(x.shape[1], kind, seed)
    spent, rmse = 0.0, math.inf
    while spent < most and rmse > until:
        spent += candidate.train(x, y, MOMENT)
        with torch.no_grad():
            rmse = float((candidate.net(test_x)[:, 0] * spread + shift - truth).square().mean().sqrt())
        yield Point(candidate.parameters, spent, rmse)


# ---------------------------------------------------------------------------------------- the comparison


@dataclass(frozen=True)
class Comparison:
    """Both on one function."""

    case: Case
    fits: list[list[Point]]
    perceptron: BestPerceptron

    @property
    def kan_seconds(self) -> float:
        """Until the KAN is as good as the best perceptron; infinite if it never is."""
        return seconds_to([point for fit in self.fits for point in fit], self.perceptron.rmse)

    @property
    def mlp_seconds(self) -> float:
        """Until the best perceptron is as good as it was in the sweep, or nearly so where chance is against it."""
        lowest = min(point.rmse for point in self.perceptron.alone)
        return seconds_to(self.perceptron.alone, max(lowest, self.perceptron.rmse))

    @property
    def ladder(self) -> list[Point]:
        """What the KAN of the full shape reached with each number of parameters, until the test error rises."""
        best: dict[int, Point] = {}
        for point in (point for fit in self.fits[1:] for point in fit):
            best[point.parameters] = min(best.get(point.parameters, point), point, key=lambda each: each.rmse)
        lowest = min(best.values(), key=lambda each: each.rmse)
        return [point for size, point in sorted(best.items()) if size <= lowest.parameters]

    def row(self) -> dict[str, Any]:
        """The row of the table."""
        ladder, found = self.ladder, self.perceptron
        return {
            "function": self.case.name,
            "MLP, best RMSE": found.rmse,
            "which": found.name,
            "whole sweep, s": found.sweep_seconds,
            "it alone, s": self.mlp_seconds,
            "KAN to the same, s": self.kan_seconds,
            "wanted": "KAN ≤ MLP alone",
            "met": "yes" if self.kan_seconds <= self.mlp_seconds else "NO",
            "KAN, best RMSE": ladder[-1].rmse,
            "parameters": ladder[-1].parameters,
            "exponent seen": seen_exponent(ladder),
            "theorem": -(DEGREE + 1),
        }


def seconds_to(points: Sequence[Point], rmse: float) -> float:
    """When the error was first at most this; infinite if it never was."""
    return next((point.seconds for point in points if point.rmse <= rmse), math.inf)


def seen_exponent(ladder: Sequence[Point]) -> float | None:
    """p of error ∝ parameters^p, over the grids on which the error fell."""
    return exponent([point.parameters for point in ladder], [point.rmse for point in ladder])


def compare(case: Case, *, mlp_seconds: float, kan_seconds: float, seed: int = 0) -> Comparison:
    """Both on the same samples."""
    samples = case.samples(seed)
    fits = kan_points(case, samples, seconds=kan_seconds, seed=seed)
    return Comparison(case, fits, best_perceptron(case, samples, seconds=mlp_seconds, seed=seed))


# ---------------------------------------------------------------------------------------- the picture


def picture(comparisons: Sequence[Comparison]) -> Figure:
    """A row for each function: error against parameters on the left, against seconds on the right."""
    drawing = Figure(figsize=(9, 2.8 * len(comparisons)), layout="constrained")
    for (left, right), each in zip(drawing.subplots(len(comparisons), 2, squeeze=False), comparisons, strict=True):
        _over_parameters(left, each)
        _over_seconds(right, each)
        for axes in (left, right):
            axes.set(ylabel="test RMSE", title=each.case.name)
            axes.legend(fontsize="x-small")
    return drawing


def _over_parameters(axes: Axes, each: Comparison) -> None:
    sizes, errors = zip(*[(point.parameters, point.rmse) for point in each.ladder], strict=True)
    axes.loglog(sizes, errors, "o-", color="C0", label="KAN")
    promised = [errors[-1] * (size / sizes[-1]) ** -(DEGREE + 1) for size in sizes]
    axes.loglog(sizes, promised, ":", color="0.4", label=f"theorem: exponent −{DEGREE + 1}")
    points = frontier([(point.parameters, point.rmse) for point in each.perceptron.all_sizes])
    axes.loglog(*zip(*points, strict=True), "s-", color="C1", label="MLPs of the sweep")
    axes.set_xlabel("parameters")


def _over_seconds(axes: Axes, each: Comparison) -> None:
    for name, points, color in (
        ("KAN", [point for fit in each.fits for point in fit], "C0"),
        ("best MLP, alone", each.perceptron.alone, "C1"),
    ):
        lowest = frontier([(point.seconds, point.rmse) for point in points])
        axes.loglog(*zip(*lowest, strict=True), drawstyle="steps-post", color=color, label=name)
    axes.axhline(each.perceptron.rmse, color="C1", linewidth=0.5)
    axes.set_xlabel("seconds of training")


def main() -> None:
    """Compare on all functions."""
    settings = Settings.parse("fit_against_mlp", __doc__.splitlines()[0])
    cases = list(toy_functions())
    if settings.quick:
        cases = [case for case in cases if case.name in {"exp_sin", "product"}]
    seconds = 2.0 if settings.quick else 25.0
    for solver in ("lbfgs", "lm"):  # load what is loaded at its first use
        ew.KAN([1, 1]).fit(torch.zeros(9, 1).double(), torch.zeros(9), steps=1, solver=solver)
    comparisons = [compare(case, mlp_seconds=seconds, kan_seconds=seconds) for case in cases]
    settings.show("Fit against MLP", [each.row() for each in comparisons])
    settings.draw(picture(comparisons))


if __name__ == "__main__":
    main()
