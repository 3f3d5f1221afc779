"""What the main path reaches: `python benchmarks/main_path.py [--seeds 10]`.

Each row runs the public API as a user would, over several seeds, with nothing tuned per case. The table goes to
benchmarks/results/main_path.md, with machine, date and command, and into the README between its markers.
"""

from __future__ import annotations

import argparse
import datetime
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import sympy
import torch
from sklearn.datasets import make_moons

import edgewise as ew
from edgewise import datasets
from edgewise.discovery import fit_table

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "main_path.md"
README = HERE.parent / "README.md"
START, END = "<!-- main_path -->", "<!-- /main_path -->"


def rmse(model: ew.KAN, data: ew.Dataset) -> float:
    with torch.no_grad():
        return float((model(data.test_input) - data.test_target).square().mean().sqrt())


def tutorial_polynomial(seed: int) -> dict[str, float]:
    data = ew.create_dataset(
        lambda x: 3 * x[:, [0]] ** 3 + 2 * x[:, [0]] + 4 + 2 * x[:, [0]] * x[:, [1]] ** 2 + 3 * x[:, [1]] ** 3,
        n_var=2,
        seed=seed,
    )
    model = ew.KAN(width=[2, 5, 1], seed=seed)
    model.fit(data, steps=1000)
    return {"test RMSE": rmse(model, data), "after prune": rmse(model.prune(), data)}


def exp_sin(seed: int) -> dict[str, float]:
    data = ew.create_dataset(lambda x: torch.exp(torch.sin(torch.pi * x[:, 0]) + x[:, 1] ** 2), n_var=2, seed=seed)
    model = ew.KAN([2, 5, 1], seed=seed)
    model.fit(data, steps=20)
    model.fit(data, penalty=ew.Sparsity())
    model = model.prune()
    model.fit(data, steps=50)
    pruned = model.width
    model = model.auto_symbolic(data)
    x, y = sympy.symbols("x y")
    found = model.symbolic_formula(names=["x", "y"])
    ratio = sympy.expand(sympy.log(found)).subs({}) - (y**2 + sympy.sin(sympy.pi * x))
    worst = max(abs(float(ratio.subs({x: a, y: b}))) for a in (-0.9, 0.3, 0.7) for b in (-0.8, 0.1, 0.6))
    return {
        "test RMSE": rmse(model, data),
        "pruned to [2, 1, 1]": float(pruned == [2, 1, 1]),
        "largest deviation of log(formula)": worst,
    }


def product_node(seed: int) -> dict[str, float]:
    data = ew.create_dataset(lambda x: x[:, 0] * x[:, 1], n_var=2, seed=seed)
    model = ew.KAN([2, [0, 1]], seed=seed)
    model.fit(data)
    return {"test RMSE": rmse(model, data)}


def two_outputs(seed: int) -> dict[str, float]:
    data = ew.create_dataset(
        lambda x: torch.stack([torch.sin(3 * x[:, 0]) + x[:, 1] ** 2, x[:, 0] ** 3 - torch.cos(2 * x[:, 1])], dim=1),
        n_var=2,
        seed=seed,
    )
    model = ew.KAN([2, 2], basis=ew.BSpline(grid=20, degree=5), seed=seed)
    model.fit(data)
    return {"test RMSE": rmse(model, data)}


def moons(seed: int) -> dict[str, float]:
    (x, labels), (test_x, test_labels) = (make_moons(1000, noise=0.1, random_state=seed + shift) for shift in (0, 1000))
    inputs, classes, test = torch.tensor(x), torch.tensor(labels), torch.tensor(test_x)
    domain = list(zip(inputs.amin(0).tolist(), inputs.amax(0).tolist(), strict=True))
    model = ew.KAN([2, 2], domain=domain, seed=seed)
    model.fit(inputs, classes, loss="cross_entropy", validation=0.2, patience=15)
    named = model.auto_symbolic((inputs, classes), loss="cross_entropy")

    def accuracy(network: ew.KAN) -> float:
        return float((network(test).argmax(1) == torch.tensor(test_labels)).double().mean())

    return {"accuracy": accuracy(model), "accuracy of the formula": accuracy(named), "named": float(_named(named))}


def _named(model: ew.KAN) -> bool:
    try:
        model.symbolic_formula()
    except ew.SymbolicError:
        return False
    return True


def orbits(seed: int) -> dict[str, float]:
    data = ew.read_table(datasets.path("orbits.csv"), target="period_days", test_fraction=0)
    found = ew.discover(data.train_input, data.train_target, names=data.input_names, seed=seed)
    mass, axis = (sympy.Symbol(name, positive=True) for name in data.input_names)
    formula = found.formula.subs(
        {sympy.Symbol(name): s for name, s in zip(data.input_names, (mass, axis), strict=True)}
    )
    log = sympy.expand_log(sympy.log(formula), force=True)
    m, a = (
        float(sympy.diff(log, symbol).subs({mass: 1e27, axis: 1e6}) * value)
        for symbol, value in ((mass, 1e27), (axis, 1e6))
    )
    k = float(formula.subs({mass: 1.98847e30, axis: 149598000.0})) * 1.98847e30**0.5 / 149598000.0**1.5
    truth = 2 * math.pi / math.sqrt(6.6743e-11) * 1000**1.5 / 86400
    return {"exponent of a − 1.5": abs(a - 1.5), "exponent of M + 0.5": abs(m + 0.5), "k off by": abs(k / truth - 1)}


def yacht(seed: int) -> dict[str, float]:
    data = ew.read_table(datasets.path("yacht.csv"), target="residuary_resistance", test_fraction=0.2, seed=seed)
    fitted = fit_table(data.train_input, data.train_target, max_time=60, seed=seed)
    with torch.no_grad():
        residual = fitted.model(data.test_input) - data.test_target
    return {"test R²": 1 - float(residual.square().sum() / (data.test_target - data.test_target.mean()).square().sum())}


CASES: dict[str, tuple[str, Callable[[int], dict[str, float]]]] = {
    "tutorial polynomial, [2, 5, 1], 1000 samples": ("worst is largest", tutorial_polynomial),
    "exp(sin πx + y²), [2, 5, 1] to a formula": ("worst is largest", exp_sin),
    "x·y, one product node": ("worst is largest", product_node),
    "two outputs, grid 20, degree 5": ("worst is largest", two_outputs),
    "two moons, [2, 2]": ("worst is smallest", moons),
    "59 orbits to Kepler's law": ("worst is largest", orbits),
    "yacht hydrodynamics": ("worst is smallest", yacht),
}
SHARES = {"pruned to [2, 1, 1]", "named"}


def run(case: str, seeds: int) -> list[str]:
    kind, function = CASES[case]
    results, times = [], []
    for seed in range(seeds):
        start = time.perf_counter()
        results.append(function(seed))
        times.append(time.perf_counter() - start)
    rows = []
    for figure in results[0]:
        values = [result[figure] for result in results]
        if figure in SHARES:
            shown = f"{sum(values):.0f} of {seeds} | "
        else:
            worst = max(values) if kind == "worst is largest" else min(values)
            form = ".1e" if kind == "worst is largest" else ".4f"
            shown = f"{statistics.median(values):{form}} | {worst:{form}}"
        rows.append(f"| {case} | {figure} | {shown} | {statistics.median(times):.1f} | {max(times):.1f} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    seeds = parser.parse_args().seeds
    lines = ["| case | figure | median | worst | median s | worst s |", "|---|---|---|---|---|---|"]
    print("\n".join(lines))
    for case in CASES:
        rows = run(case, seeds)
        print("\n".join(rows), flush=True)
        lines += rows
    table = "\n".join(lines)
    machine = (
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        f"# The main path\n\n`python benchmarks/main_path.py --seeds {seeds}`, {datetime.date.today()}, {machine}. "
        f"{seeds} seeds; median and worst over them.\n\n{table}\n"
    )
    before, rest = README.read_text().split(START)
    README.write_text(before + START + "\n" + table + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
