"""Learning task after task without forgetting.

A network that is trained on one task and then on another usually forgets the first. The KAN paper shows an exception:
five Gaussian peaks on a line, presented one after the other, are all there in the end, because a spline's coefficients
touch the function only nearby (Liu et al., KAN (2024), section 3.5). An MLP is left with the last peak.
Reviews soon noted the limits: it works for one layer and one input. In a deep KAN the inner nodes wander, with several
inputs every coefficient reaches over a whole strip, and both forget.

What is missing is memory, and for a network trained by least squares there is a natural one. Near the parameters c*
that were learned, the sum of squares of the old data is the quadratic function

    S + gᵀ(c − c*) + (c − c*)ᵀH(c − c*),    H = ΣJᵀJ,

and that takes P² numbers, however many rows there were. `edgewise.remember` computes it, `fit(..., anchor=)` adds it to
the sum of squares of the new data, and from task to task it is carried on. How far does this go?

1. *One layer.* The outputs are linear in the coefficients, the quadratic function is no approximation, and learning
   in turn is learning all at once, to rounding. (For a linear model it is recursive least squares.)
2. *A deep KAN whose inner layer is locked,* after training on something else. The same: only the last layer is free,
   so the outputs are linear again.
3. *A deep KAN, all free.* Now the quadratic function holds near c* only, and alone it will not do. Most of the harm
   comes from hidden nodes that move under the feet of the outer curves. So their values are remembered as well
   (`hidden=`), which locks softly what the old data have occupied and nothing else.
4. *Two inputs, four quadrants.* The last quadrant shares every coefficient of the first layer with those before, and
   soft locks leave it little room. Here the network rehearses: before each task it computes its own outputs at random
   inputs from the ranges it remembers, and learns them along with the new rows. No old row is kept.

In 2 to 4 training begins with `Anchor.prior`, a very weak pull to the start that decides what the data leave open. It
also keeps the grids of the hidden layer where they are, and wide: grids that shrink around the first task have no room
for the others. MLPs of as many parameters are shown beside all of them.

Full run: `python examples/continual_learning.py` (a few minutes). Add `--quick` for a first look.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import edgewise as ew
from results import Settings

F64 = torch.float64

PEAKS = torch.tensor([-0.8, -0.4, 0.0, 0.4, 0.8], dtype=F64)
CORNERS = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]], dtype=F64)
HEIGHTS = torch.tensor([1.0, -0.5, 0.5, 1.0], dtype=F64)

PRIOR = 3e-5  # strength of the pull to the start, against sums of squares over hundreds of rows
HIDDEN = 1e-2  # what the square of a hidden node's change counts, against that of an output


@dataclass(frozen=True)
class Task:
    """Rows to learn from, and rows of the same region to look at afterwards."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


# The tasks


def five_peaks(x: Tensor) -> Tensor:
    """A Gaussian peak in each fifth of the interval, as in the paper."""
    return torch.exp(-300 * (x - PEAKS).square()).sum(dim=1, keepdim=True)


def four_peaks(x: Tensor) -> Tensor:
    """A peak or a hollow in each quadrant of the square."""
    distance = (x.unsqueeze(1) - CORNERS).square().sum(dim=-1)
    return (HEIGHTS * torch.exp(-10 * distance)).sum(dim=1, keepdim=True)


def fifths(rows: int) -> list[Task]:
    """One task for each peak: the interval of a width of 0.4 around it."""
    return [_task(five_peaks, peak - 0.2, peak + 0.2, rows) for peak in PEAKS.unsqueeze(1)]


def quadrants(rows: int) -> list[Task]:
    """One task for each quadrant of [-1, 1]²."""
    return [_task(four_peaks, corner - 0.5, corner + 0.5, rows) for corner in CORNERS]


def _task(f: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, rows: int) -> Task:
    x, test_x = _spread(low, high, rows, seed=0), _spread(low, high, 1000, seed=1)
    return Task(x, f(x), test_x, f(test_x))


def _spread(low: Tensor, high: Tensor, rows: int, seed: int) -> Tensor:
    """Quasi-random points in a box: as random ones, without their gaps."""
    points = torch.quasirandom.SobolEngine(len(low), scramble=True, seed=seed).draw(rows, dtype=F64)
    return torch.lerp(low, high, points)


# The ways to learn them. Each changes the model in place, task by task; `seen` is called after each.

Seen = Callable[[nn.Module], Any]


def all_at_once(model: ew.KAN, tasks: Sequence[Task], steps: int, seen: Seen, prior: float = 0.0) -> None:
    """Joint training: what the others are measured by."""
    model.fit(*_joined(tasks), anchor=_start(model, prior), steps=steps)
    seen(model)


def carelessly(model: ew.KAN, tasks: Sequence[Task], steps: int, seen: Seen) -> None:
    """One task after the other, without memory."""
    for task in tasks:
        model.fit(task.x, task.y, steps=steps)
        seen(model)


def anchored(
    model: ew.KAN, tasks: Sequence[Task], steps: int, seen: Seen, prior: float = 0.0, hidden: float = 0.0
) -> None:
    """With the sum of squares of all earlier tasks, to second order; also of hidden nodes, if they count."""
    anchor = _start(model, prior)
    for task in tasks:
        model.fit(task.x, task.y, anchor=anchor, steps=steps)
        anchor = ew.remember(model, task.x, task.y, hidden=hidden, before=anchor)
        seen(model)


def rehearsing(model: ew.KAN, tasks: Sequence[Task], steps: int, seen: Seen) -> None:
    """With the network's own outputs at inputs from the ranges of earlier tasks, in the place of old rows.

    Source: Robins, Catastrophic forgetting, rehearsal and pseudorehearsal (1995).
    """
    prior = _start(model, PRIOR)
    ranges: list[tuple[Tensor, Tensor]] = []
    for number, task in enumerate(tasks):
        x = [_spread(low, high, len(task.x), seed=100 + number) for low, high in ranges]
        y = [model(old).detach() for old in x]
        model.fit(torch.cat([task.x, *x]), torch.cat([task.y, *y]), anchor=prior, steps=steps)
        ranges.append((task.x.amin(dim=0), task.x.amax(dim=0)))
        seen(model)


def _start(model: ew.KAN, prior: float) -> ew.Anchor | None:
    return ew.Anchor.prior(model, prior) if prior else None


def mlp_in_turn(model: nn.Module, tasks: Sequence[Task], steps: int, seen: Seen) -> None:
    """An MLP by L-BFGS, one task after the other."""
    for task in tasks:
        train_mlp(model, task.x, task.y, steps)
        seen(model)


# The networks


def shallow(seed: int = 0) -> ew.KAN:
    """One layer with 200 cells: the paper's."""
    return ew.KAN([1, 1], basis=ew.BSpline(grid=200, degree=3), seed=seed)


def deep(seed: int = 0) -> ew.KAN:
    """Two layers with five hidden nodes."""
    return ew.KAN([1, 5, 1], basis=[ew.BSpline(grid=50, degree=3), ew.BSpline(grid=5, degree=3)], seed=seed)


def deep_and_locked(seed: int = 0) -> ew.KAN:
    """Two layers, trained on a wave over the whole interval; then the inner one is locked."""
    model = ew.KAN([1, 5, 1], basis=[ew.BSpline(grid=5, degree=3), ew.BSpline(grid=60, degree=3)], seed=seed)
    x = torch.linspace(-1, 1, 500, dtype=F64).unsqueeze(1)
    model.fit(x, torch.sin(6 * x), steps=50)
    for node in range(5):
        model = model.lock(0, 0, node)
    return model


def two_inputs(seed: int = 0) -> ew.KAN:
    """Two layers for the quadrants."""
    return ew.KAN([2, 5, 1], basis=ew.BSpline(grid=10, degree=3), seed=seed)


def mlp(inputs: int, parameters: int, seed: int = 0) -> nn.Module:
    """Two hidden layers of SiLU, as wide as the number of parameters allows."""
    hidden = 2
    while (inputs + 1) * (hidden + 1) + (hidden + 1) * (hidden + 3) + 1 <= parameters:
        hidden += 1
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1)
    ).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5, generator=generator)
    return model


def train_mlp(model: nn.Module, x: Tensor, y: Tensor, steps: int) -> None:
    """L-BFGS with a line search, which suits small smooth problems best."""
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=steps, history_size=50, line_search_fn="strong_wolfe", tolerance_change=1e-15
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)


# What is measured


@dataclass(frozen=True)
class Case:
    """A way to learn a sequence of tasks.

    Args:
        name: as the table shows it.
        make: a network from a seed.
        tasks: which sequence.
        way: one of the functions above.
        joint: whether this is the joint training that the ways after it are measured by.
        bound: what the error in the end may be, given that of joint training; None where nothing is promised.
    """

    name: str
    make: Callable[[int], Any]
    tasks: list[Task]
    way: Callable[..., None]
    joint: bool = False
    bound: Callable[[float], float] | None = None


@dataclass(frozen=True)
class Outcome:
    """The error over all tasks in the end, and what the network said everywhere after each of them."""

    error: float
    said: list[Tensor]


def learned(case: Case, seed: int, steps: int) -> Outcome:
    """Learn, and look on."""
    model, said = case.make(seed), []
    x = everywhere(case.tasks[0].x.shape[1])
    case.way(model, case.tasks, steps, lambda now: said.append(now(x).detach()))
    return Outcome(rmse(model, case.tasks), said)


def rmse(model: nn.Module, tasks: Sequence[Task]) -> float:
    """Root mean square error over the regions of all tasks, on rows that nothing was trained on."""
    x, y = torch.cat([task.test_x for task in tasks]), torch.cat([task.test_y for task in tasks])
    with torch.no_grad():
        return float((model(x) - y).square().mean().sqrt())


def everywhere(inputs: int) -> Tensor:
    """Points to draw a function by."""
    line = torch.linspace(-1, 1, 500 if inputs == 1 else 60, dtype=F64)
    return line.unsqueeze(1) if inputs == 1 else torch.cartesian_prod(line, line)


def _joined(tasks: Sequence[Task]) -> tuple[Tensor, Tensor]:
    return torch.cat([task.x for task in tasks]), torch.cat([task.y for task in tasks])


def cases(rows: int) -> list[Case]:
    """All of them; joint training stands before the ways that are measured by it."""
    peaks, corners = fifths(rows), quadrants(2 * rows)
    with_prior, soft = partial(anchored, prior=PRIOR), partial(anchored, prior=PRIOR, hidden=HIDDEN)
    return [
        Case("[1, 1], all at once", shallow, peaks, all_at_once, joint=True),
        Case("[1, 1], without memory", shallow, peaks, carelessly),
        Case("[1, 1], anchor", shallow, peaks, anchored, bound=lambda joint: 1e-4),
        Case("MLP as large as [1, 1]", lambda seed: mlp(1, 203, seed), peaks, mlp_in_turn),
        Case("[1, 5, 1] locked inside, all at once", deep_and_locked, peaks, partial(all_at_once, prior=PRIOR), True),
        Case("[1, 5, 1] locked inside, anchor", deep_and_locked, peaks, with_prior, bound=of_deep_networks),
        Case("[1, 5, 1], all at once", deep, peaks, all_at_once, joint=True),
        Case("[1, 5, 1], without memory", deep, peaks, carelessly),
        Case("[1, 5, 1], anchor", deep, peaks, with_prior),
        Case("[1, 5, 1], anchor, hidden nodes too", deep, peaks, soft, bound=of_deep_networks),
        Case("[1, 5, 1], rehearsing", deep, peaks, rehearsing, bound=of_deep_networks),
        Case("MLP as large as [1, 5, 1]", lambda seed: mlp(1, 305, seed), peaks, mlp_in_turn),
        Case("[2, 5, 1], all at once", two_inputs, corners, all_at_once, joint=True),
        Case("[2, 5, 1], without memory", two_inputs, corners, carelessly),
        Case("[2, 5, 1], anchor", two_inputs, corners, with_prior),
        Case("[2, 5, 1], anchor, hidden nodes too", two_inputs, corners, soft),
        Case("[2, 5, 1], rehearsing", two_inputs, corners, rehearsing, bound=of_deep_networks),
        Case("MLP as large as [2, 5, 1]", lambda seed: mlp(2, 195, seed), corners, mlp_in_turn),
    ]


def of_deep_networks(joint: float) -> float:
    """What is wanted: no more than twice the error of joint training, or a thousandth of the peaks' height."""
    return max(2 * joint, 1e-3)


def row(case: Case, outcomes: Sequence[Outcome], joint: float, seconds: float) -> dict[str, Any]:
    """A line of the table, about the worst seed."""
    worst = max(outcome.error for outcome in outcomes)
    bound = None if case.bound is None else case.bound(joint)
    return {
        "network and way": case.name,
        "tasks": "five peaks" if len(case.tasks) == len(PEAKS) else "four quadrants",
        "RMSE over all, median seed": sorted(outcome.error for outcome in outcomes)[len(outcomes) // 2],
        "worst": worst,
        "wanted": bound,
        "met": None if bound is None else ("yes" if worst <= bound else "NO"),
        "seconds": seconds / len(outcomes),
    }


def picture_of_lines(shown: dict[str, list[Tensor]]) -> Figure:
    """The paper's picture: a row for each way, a column for each phase."""
    x = everywhere(1)
    figure = Figure(figsize=(10, 1.3 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), len(PEAKS), sharex=True, sharey=True)
    for line, (name, said) in zip(axes, shown.items(), strict=True):
        line[0].set_ylabel(name, fontsize=7)
        for phase, (axis, y) in enumerate(zip(line, said, strict=True)):
            axis.plot(x, five_peaks(x), color="0.8", linewidth=3)
            axis.plot(x, y, color="C0", linewidth=1)
            axis.axvspan(float(PEAKS[phase]) - 0.2, float(PEAKS[phase]) + 0.2, color="C1", alpha=0.15)
            axis.set(ylim=(-0.4, 1.4), xticks=[], yticks=[])
    for phase, axis in enumerate(axes[0]):
        axis.set_title(f"after phase {phase + 1}", fontsize=8)
    return figure


def picture_of_squares(shown: dict[str, list[Tensor]]) -> Figure:
    """The same for two inputs."""
    figure = Figure(figsize=(7, 1.7 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), len(CORNERS))
    for line, (name, said) in zip(axes, shown.items(), strict=True):
        line[0].set_ylabel(name, fontsize=7)
        for axis, y in zip(line, said, strict=True):
            axis.imshow(y.view(60, 60).T.numpy(), origin="lower", cmap="RdBu", vmin=-1, vmax=1, extent=(-1, 1, -1, 1))
            axis.set(xticks=[], yticks=[])
    for phase, axis in enumerate(axes[0]):
        axis.set_title(f"after phase {phase + 1}", fontsize=8)
    return figure


def main(settings: Settings) -> None:
    """All cases; the table and the pictures."""
    rows, steps, seeds = (64, 30, 1) if settings.quick else (256, 100, 5)
    table, shown = [], {}
    joint = 0.0
    for case in cases(rows):
        started = time.monotonic()
        outcomes = [learned(case, seed, steps) for seed in range(seeds)]
        if case.joint:
            joint = min(outcome.error for outcome in outcomes)
        else:
            shown[case.name, len(case.tasks)] = outcomes[0].said
        table.append(row(case, outcomes, joint, time.monotonic() - started))
    note = (
        f"Seeds: {seeds}. Errors over the regions of all tasks, on rows that nothing was trained on. Wanted of deep "
        "networks: twice the error of the best joint training of the same network, or 1e-3. Published: pykan 4e-6 for "
        "one layer, on each phase's own rows."
    )
    settings.show("Learning task after task", table, note)
    for size, draw, name in ((len(PEAKS), picture_of_lines, None), (len(CORNERS), picture_of_squares, "quadrants")):
        chosen = {textwrap.fill(key[0], 18): said for key, said in shown.items() if key[1] == size}
        settings.draw(draw(chosen), name and f"{settings.name}_{name}")


if __name__ == "__main__":
    main(Settings.parse("continual_learning", "Learning task after task without forgetting."))
