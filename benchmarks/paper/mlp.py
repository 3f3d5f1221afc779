"""The baseline: multilayer perceptrons of many widths and depths by full-batch L-BFGS, the best of a sweep.

All candidates share one budget by successive halving: each round gives everyone left the same time and keeps the better
third, until one is left. They are judged by the test error, which favours them.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from cases import Case, Samples
from rows import Row
from torch import Tensor, nn

WIDTHS = (5, 20, 50, 100)
DEPTHS = (2, 3, 4, 5, 6)  # layers with weights
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"tanh": nn.Tanh, "silu": nn.SiLU}
_ROUNDS = 5  # halving 40 candidates to a third, four times
_LEAST_SLICE = 0.25  # seconds below which a first round tells nothing; a short budget has fewer candidates instead
_ITERATIONS = 5  # between two looks at the clock


@dataclass
class Candidate:
    """One network under way."""

    name: str
    net: nn.Module
    optimizer: torch.optim.LBFGS
    kind: tuple[int, int, str]
    test_rmse: float = math.inf

    @property
    def parameters(self) -> int:
        """How many it has."""
        return sum(parameter.numel() for parameter in self.net.parameters())

    def train(self, x: Tensor, y: Tensor, seconds: float) -> float:
        """Go on for a while; returns the seconds it took."""

        def closure() -> Tensor:
            self.optimizer.zero_grad()
            loss = nn.functional.mse_loss(self.net(x), y)
            loss.backward()
            return loss

        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            if not math.isfinite(float(self.optimizer.step(closure).detach())):
                break
        return time.perf_counter() - start


def mlp(case: Case, samples: Samples, seed: int, seconds: float) -> Row:
    """The best multilayer perceptron that the sweep finds in the given time."""
    x, y, test_x, shift, spread = standardized(samples)
    candidates = _candidates(x.shape[1], seed)[: max(4, round(seconds / _ROUNDS / _LEAST_SLICE))]
    best: Row = {"test_rmse": math.inf}
    spent, curve = 0.0, []
    for ending in range(1, _ROUNDS + 1):
        for index, candidate in enumerate(candidates):
            share = (seconds * ending / _ROUNDS - spent) / (len(candidates) - index)
            spent += candidate.train(x, y, share)
            with torch.no_grad():
                fitted, predicted = (candidate.net(rows)[:, 0].numpy() * spread + shift for rows in (x, test_x))
            candidate.test_rmse = _number(case.error(predicted, samples.test_y))
            if candidate.test_rmse < best["test_rmse"]:
                best = {
                    "test_rmse": candidate.test_rmse,
                    "train_rmse": case.error(fitted, samples.train_y),
                    "parameters": candidate.parameters,
                    "note": candidate.name,
                    "kind": candidate.kind,
                }
            curve.append([candidate.parameters, spent, candidate.test_rmse])
        candidates.sort(key=lambda candidate: candidate.test_rmse)
        candidates = candidates[: math.ceil(len(candidates) / 3)]
    return best | {"seconds": spent, "curve": [point for point in curve if math.isfinite(point[2])]}


def _candidates(inputs: int, seed: int) -> list[Candidate]:
    """The whole sweep in random order, so that a short budget meets all kinds."""
    kinds = list(itertools.product(WIDTHS, DEPTHS, ACTIVATIONS))
    order = np.random.default_rng(seed).permutation(len(kinds))
    return [candidate_of(inputs, kinds[index], seed) for index in order]


def candidate_of(inputs: int, kind: tuple[int, int, str], seed: int) -> Candidate:
    """One network of the sweep at its start."""
    width, depth, activation = kind
    net = perceptron([inputs, *[width] * (depth - 1), 1], ACTIVATIONS[activation], seed)
    # Tolerances of zero: it is the clock that ends the training.
    optimizer = torch.optim.LBFGS(
        net.parameters(),
        max_iter=_ITERATIONS,
        history_size=100,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )
    return Candidate(f"{activation}, width {width}, depth {depth}", net, optimizer, kind)


def perceptron(widths: Sequence[int], activation: Callable[[], nn.Module], seed: int) -> nn.Sequential:
    """A float64 network with Glorot's start."""
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        linear = nn.Linear(fan_in, fan_out, dtype=torch.float64)
        nn.init.xavier_normal_(linear.weight, generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


def standardized(samples: Samples) -> tuple[Tensor, Tensor, Tensor, float, float]:
    """Inputs and targets of mean 0 and spread 1, the test's inputs alike, and how to undo it for the targets."""
    centre, scale = samples.train_x.mean(0), samples.train_x.std(0)
    shift, spread = float(samples.train_y.mean()), float(samples.train_y.std())
    x, test_x = (torch.tensor((rows - centre) / scale) for rows in (samples.train_x, samples.test_x))
    return x, torch.tensor((samples.train_y - shift) / spread).unsqueeze(1), test_x, shift, spread


def _number(error: float) -> float:
    return error if math.isfinite(error) else math.inf
