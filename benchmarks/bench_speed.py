"""Speed of the small networks that scientists train: run with `make bench`.

The bounds are those that the library promises; each comparison is a ratio within one run.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest
import torch

import edgewise as ew
from edgewise.training import MeanSquaredError
from edgewise.training.objective import OutputObjective

SAMPLES = 1000


@pytest.fixture(autouse=True)
def one_thread():
    """Batches this small are best served by one, as `fit` knows."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((SAMPLES, 2), generator=generator, dtype=torch.float64) * 2 - 1
    return x, torch.exp(torch.sin(torch.pi * x[:, :1]) + x[:, 1:] ** 2)


def test_one_levenberg_marquardt_step(benchmark, data):
    x, y = data
    run = ew.LevenbergMarquardt().start(OutputObjective(ew.KAN([2, 5, 1]), x, y, MeanSquaredError(), None), seed=0)
    benchmark.pedantic(run.step, rounds=50, warmup_rounds=5)
    assert benchmark.stats.stats.median < 0.015


def _forward_and_backward(model: torch.nn.Module, x: torch.Tensor):
    def once() -> None:
        model.zero_grad()
        model(x).sum().backward()

    return once


def _median_seconds(function, rounds: int = 200) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def test_forward_and_backward_against_an_mlp(benchmark, data):
    x, _ = data
    mlp = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.SiLU(), torch.nn.Linear(32, 1)).double()
    kan = _forward_and_backward(ew.KAN([2, 5, 1]), x)
    reference = _forward_and_backward(mlp, x)
    _median_seconds(kan, 50), _median_seconds(reference, 50)
    ratio = _median_seconds(kan) / _median_seconds(reference)
    benchmark.extra_info["ratio to an MLP [2, 32, 1]"] = round(ratio, 2)
    benchmark.pedantic(kan, rounds=100, warmup_rounds=10)
    assert ratio <= 2


def _seconds_to_import(statement: str) -> float:
    """The best of several fresh processes."""
    program = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(5)
    ]
    return min(float(run.stdout) for run in runs)


@pytest.mark.parametrize("statement", ["import edgewise", "from edgewise import KAN"])
def test_import_beyond_torch(benchmark, statement):
    beyond = benchmark.pedantic(
        lambda: _seconds_to_import(f"import torch; {statement}") - _seconds_to_import("import torch"), rounds=1
    )
    benchmark.extra_info["seconds beyond torch"] = round(beyond, 3)
    assert beyond < 0.5
