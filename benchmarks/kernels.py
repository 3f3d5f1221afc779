"""The speed and memory of KAN layers against everything they are compared with, as ratios within one run.

    python benchmarks/kernels.py                      the whole table, into benchmarks/results/kernels.md
    python benchmarks/kernels.py --no-rivals          without pykan and jaxKAN, which need environments of their own
    python benchmarks/kernels.py --other package:Layer    and any class of (in_features, out_features, grid)

In each case the contenders take turns, and the medians are compared, so that a disturbance of the machine falls on all
of them. Each layer has a process of its own, because what one has allocated decides how dear the next one's memory is.
Forward is without gradients; forward + backward includes the gradient of the input, on all sides.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import json
import math
import platform
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

import edgewise as ew
from edgewise.kernels import extension, gram
from edgewise.training import gauss_newton

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "kernels.md"
README = HERE.parent / "README.md"
START, END = "<!-- kernels -->", "<!-- /kernels -->"
SHOWN = {  # in the README: figures of the table, and what they are called there
    "forward + backward with base / MLP layer of as many parameters": "time / that of the MLP layer",
    "dense Cox–de Boor / forward + backward with base": "faster than a dense basis",
    "pykan / forward + backward": "faster than pykan",
    "jaxkan / forward + backward": "faster than jaxKAN",
}
RIVALS = {
    "pykan": ["torch==2.13.0", "pykan", "scikit-learn", "matplotlib", "pandas", "tqdm", "pyyaml"],
    "jaxkan": ["jaxkan"],
}
LAYERS = [(4096, 64, 64, 5), (4096, 64, 64, 20), (4096, 64, 64, 100), (1024, 256, 256, 5), (1024, 784, 64, 5)]


@dataclass
class Row:
    """One line of the table; `bound` is what the ratio must not exceed, or not fall below where `at_least`."""

    case: str
    figure: str
    ratio: float
    bound: float | None = None
    at_least: bool = False

    def __str__(self) -> str:
        if self.bound is None:
            return f"| {self.case} | {self.figure} | {self.ratio:.3g} | | |"
        met = self.ratio >= self.bound if self.at_least else self.ratio <= self.bound
        sign = "≥" if self.at_least else "≤"
        return f"| {self.case} | {self.figure} | {self.ratio:.3g} | {sign} {self.bound:g} | {'yes' if met else 'NO'} |"


class DenseSplines(nn.Module):
    """A KAN layer as it is usually written: all basis functions by the Cox–de Boor recursion, then a product."""

    def __init__(self, inputs: int, outputs: int, grid: int, degree: int = 3) -> None:
        super().__init__()
        knots = -1 + 2 * torch.arange(-degree, grid + degree + 1) / grid
        self.register_buffer("knots", knots.expand(inputs, -1).contiguous())
        self.degree = degree
        self.weight = nn.Parameter(torch.randn(outputs, inputs * (grid + degree)) / math.sqrt(inputs * grid))
        self.base_weight = nn.Parameter(torch.randn(outputs, inputs) / math.sqrt(inputs))

    def forward(self, x: Tensor) -> Tensor:
        knots, at = self.knots, x.unsqueeze(-1)
        values = ((at >= knots[:, :-1]) & (at < knots[:, 1:])).to(x.dtype)
        for k in range(1, self.degree + 1):
            rising = (at - knots[:, : -k - 1]) / (knots[:, k:-1] - knots[:, : -k - 1]) * values[..., :-1]
            falling = (knots[:, k + 1 :] - at) / (knots[:, k + 1 :] - knots[:, 1:-k]) * values[..., 1:]
            values = rising + falling
        return nn.functional.linear(values.flatten(1), self.weight) + nn.functional.linear(
            nn.functional.silu(x), self.base_weight
        )


def in_a_process_of_its_own(
    layer: tuple[int, int, int, int], options: argparse.Namespace
) -> tuple[list[Row], float, float]:
    """What `layer_rows` returns."""
    program = [sys.executable, __file__, "--threads", str(options.threads), "--layer", str(LAYERS.index(layer))]
    program += [] if options.other is None else ["--other", options.other]
    done = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=True)
    rows, going, both = json.loads(done.stdout.splitlines()[-1])
    return [Row(**row) for row in rows], going, both


def mlp_layer(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.SiLU())


def forward(model: nn.Module, x: Tensor) -> Callable[[], object]:
    def run() -> None:
        with torch.no_grad():
            model(x)

    return run


def forward_and_backward(model: nn.Module, x: Tensor) -> Callable[[], object]:
    x = x.clone().requires_grad_()
    seed = torch.randn_like(model(x))

    def run() -> None:
        model.zero_grad()
        x.grad = None
        model(x).backward(seed)

    return run


def medians(contenders: dict[str, Callable[[], object]], seconds: float = 12.0) -> dict[str, float]:
    """Median seconds of each, taken in turns until the time is up; at least seven turns."""
    for function in contenders.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 7:
        for name, function in contenders.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def layer_rows(batch: int, inputs: int, outputs: int, grid: int, other: str | None) -> tuple[list[Row], float, float]:
    """The rows of one layer, with the milliseconds of forward and of forward + backward."""
    case = f"batch {batch}, {inputs}→{outputs}, grid {grid}"
    x = torch.rand(batch, inputs) * 2 - 1
    spline = ew.KANLayer(inputs, outputs, basis=ew.BSpline(grid), base=None)
    full = ew.KANLayer(inputs, outputs, basis=ew.BSpline(grid))
    parameters = sum(parameter.numel() for parameter in spline.parameters())
    same_count = mlp_layer(inputs, parameters // (inputs + 1))
    same_width = mlp_layer(inputs, outputs)
    left, right = torch.randn(batch, 4 * inputs), torch.randn(4 * inputs, outputs)
    others = {} if other is None else {other: _imported(other)(inputs, outputs, grid)}

    going = {
        "spline": forward(spline, x),
        "floor": lambda: left @ right,
        "count": forward(same_count, x),
        "width": forward(same_width, x),
        **{name: forward(model, x) for name, model in others.items()},
    }
    both = {
        "spline": forward_and_backward(spline, x),
        "full": forward_and_backward(full, x),
        "count": forward_and_backward(same_count, x),
        "width": forward_and_backward(same_width, x),
        **{name: forward_and_backward(model, x) for name, model in others.items()},
    }
    f, b = medians(going), medians(both)
    # Last and apart: it takes so much memory that all that follows would find plenty.
    dense = {"dense": forward_and_backward(DenseSplines(inputs, outputs, grid), x), "full": both["full"]}
    d = medians(dense) if grid <= 20 else None
    is_narrow, small = inputs == outputs == 64, grid == 5
    bound = {(64, 5): 0.7, (64, 20): 0.3, (64, 100): 0.06, (256, 5): 1.0, (784, 5): 1.0}[inputs, grid]
    rows = [
        Row(
            case,
            "forward / product with the same multiply-adds",
            f["spline"] / f["floor"],
            2 if is_narrow and small else None,
        ),
        Row(
            case,
            "forward / MLP layer of as many parameters",
            f["spline"] / f["count"],
            0.6 if is_narrow and small else None,
        ),
        Row(case, "forward / MLP layer of the same width", f["spline"] / f["width"]),
        Row(case, "forward + backward with base / MLP layer of as many parameters", b["full"] / b["count"], bound),
        Row(case, "forward + backward with base / MLP layer of the same width", b["full"] / b["width"]),
    ]
    if d is not None:
        least = 10 if is_narrow and small else None
        rows.append(Row(case, "dense Cox–de Boor / forward + backward with base", d["dense"] / d["full"], least, True))
    for name in others:
        rows.append(Row(case, f"{name} / forward", f[name] / f["spline"]))
        rows.append(Row(case, f"{name} / forward + backward with base", b[name] / b["full"]))
    return rows, 1e3 * f["spline"], 1e3 * b["full"]


def small_rows() -> tuple[list[Row], float]:
    """[2, 5, 1] in float64 against an MLP [2, 32, 1]; also milliseconds of forward + backward."""
    x = torch.rand(1000, 2, dtype=torch.float64) * 2 - 1
    mlp = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 1)).double()
    times = medians({"kan": forward_and_backward(ew.KAN([2, 5, 1]), x), "mlp": forward_and_backward(mlp, x)}, 5)
    row = Row("[2, 5, 1], batch 1000, float64", "forward + backward / MLP [2, 32, 1]", times["kan"] / times["mlp"], 2)
    return [row], 1e3 * times["kan"]


def gram_rows() -> list[Row]:
    """Assembling JᵀJ and Jᵀr from the non-zeros of J, against forming J."""
    rows, rule = [], gram.why_not
    for width, grid, samples, least in (([2, 10, 1], 50, 10_000, 10), ([2, 5, 1], 20, 1000, None)):
        model = ew.KAN(width, basis=ew.BSpline(grid))
        x = torch.rand(samples, 2, dtype=torch.float64) * 2 - 1
        given = model, x, torch.ones(samples, 1, 1, dtype=torch.float64), torch.randn(samples, 1, dtype=torch.float64)

        def sparse(given: tuple = given) -> None:
            gauss_newton.accumulate(*given)

        def dense(given: tuple = given) -> None:
            gram.why_not = lambda *_: "measuring"
            gauss_newton.accumulate(*given)
            gram.why_not = rule

        times = medians({"sparse": sparse, "dense": dense}, 10)
        case = f"{width}, grid {grid}, {samples} samples, float64"
        rows.append(Row(case, "JᵀJ and Jᵀr with J formed / without", times["dense"] / times["sparse"], least, True))
    return rows


def rival_rows(kan_ms: dict[str, float]) -> list[Row]:
    """pykan and jaxKAN, each in an environment of its own, made on first use under build/rivals."""
    rows = []
    for rival, packages in RIVALS.items():
        python = _environment(rival, packages)
        for case, width, batch, grid, dtype, least in (
            ("batch 4096, 64→64, grid 5", [64, 64], 4096, 5, "float32", None),
            ("batch 4096, 64→64, grid 20", [64, 64], 4096, 20, "float32", None),
            ("[2, 5, 1], batch 1000, float64", [2, 5, 1], 1000, 5, "float64", 10 if rival == "pykan" else None),
        ):
            options = {
                "width": width,
                "batch": batch,
                "grid": grid,
                "dtype": dtype,
                "rounds": 5 if batch > 1000 else 30,
                "threads": torch.get_num_threads(),
            }
            script = HERE / "rivals" / f"{rival}_layer.py"
            done = subprocess.run([python, script, json.dumps(options)], capture_output=True, text=True, check=True)
            seconds = json.loads(done.stdout.splitlines()[-1])["both"]
            rows.append(Row(case, f"{rival} / forward + backward", 1e3 * seconds / kan_ms[case], least, True))
    return rows


def peak_row() -> Row:
    """The growth of resident memory during forward + backward, each in a fresh process."""
    peaks = {}
    for name in ("kan", "mlp"):
        program = [sys.executable, __file__, "--peak", name, "--threads", str(torch.get_num_threads())]
        runs = [subprocess.run(program, capture_output=True, text=True, check=True) for _ in range(3)]
        peaks[name] = statistics.median(float(run.stdout) for run in runs)
    case = "batch 36864, 64→64→64, grid 5"
    return Row(case, "peak memory of forward + backward / MLP of the same width", peaks["kan"] / peaks["mlp"], 2)


def print_peak(name: str) -> None:
    """What one process needs, in MiB: the highest resident size less that before (Linux)."""
    if name == "kan":
        model = nn.Sequential(ew.KANLayer(64, 64), ew.KANLayer(64, 64))
    else:
        model = nn.Sequential(nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
    model(torch.zeros(8, 64)).sum().backward()  # whatever is loaded on first use
    model.zero_grad()
    x, seed = torch.rand(36_864, 64).requires_grad_(), torch.randn(36_864, 64)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    model(x).backward(seed)
    print((_status("VmHWM") - before) / 1024)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def _imported(path: str) -> Callable[..., nn.Module]:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _environment(name: str, packages: list[str]) -> Path:
    folder = HERE.parent / "build" / "rivals" / name
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, with_pip=True, clear=True)
        for package in packages:  # one after the other: torch first, so that nothing asks for another one
            subprocess.run([python, "-m", "pip", "install", "--quiet", package], check=True)
        (folder / "ready").touch()
    return python


def readme_table(rows: list[Row]) -> str:
    """A line for each layer."""
    cases = [f"batch {batch}, {inputs}→{outputs}, grid {grid}" for batch, inputs, outputs, grid in LAYERS]
    ratios = {(row.case, row.figure): row.ratio for row in rows}
    lines = ["| | " + " | ".join(SHOWN.values()) + " |", "|---" * (len(SHOWN) + 1) + "|"]
    for case in cases:
        cells = []
        for figure in SHOWN:
            ratio = ratios.get((case, figure))
            cells.append("" if ratio is None else f"{ratio:.2f}" if "MLP" in figure else f"{ratio:.0f} ×")
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--other", help="module:class of another layer, made with (in_features, out_features, grid)")
    parser.add_argument("--no-rivals", action="store_true")
    parser.add_argument("--layer", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--peak", choices=["kan", "mlp"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    if options.peak:
        print_peak(options.peak)
        return
    if options.layer is not None:
        found, *milliseconds = layer_rows(*LAYERS[options.layer], options.other)
        print(json.dumps([[dataclasses.asdict(row) for row in found], *milliseconds]))
        return
    rows, kan_ms, going = [], {}, {}
    for layer in LAYERS:
        found, going[layer], milliseconds = in_a_process_of_its_own(layer, options)
        if layer == LAYERS[2]:
            found.append(Row(found[0].case, "forward / forward at grid 5", going[layer] / going[LAYERS[0]], 1.6))
        kan_ms[found[0].case] = milliseconds
        rows += found
        print(*found, sep="\n", flush=True)
    found, kan_ms["[2, 5, 1], batch 1000, float64"] = small_rows()
    found += gram_rows()
    found.append(peak_row())
    if not options.no_rivals:
        found += rival_rows(kan_ms)
    print(*found, sep="\n", flush=True)
    rows += found
    absolute = "; ".join(f"{case}: {milliseconds:.2f} ms" for case, milliseconds in kan_ms.items())
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        "# KAN layers against what they are compared with\n\n"
        f"{processor()}, {options.threads} threads, kernels for {extension.instruction_sets()[0]}, "
        f"torch {torch.__version__}, {datetime.date.today()}; "
        f"`python {' '.join(['benchmarks/kernels.py', *sys.argv[1:]])}`.\n\n"
        'Ratios of medians within one run, float32 unless said. "With base" is the layer as it is built by default,\n'
        "with its base function. Forward + backward, absolute: " + absolute + ".\n\n"
        "| case | figure | ratio | must be | met |\n|---|---|---|---|---|\n" + "\n".join(map(str, rows)) + "\n"
    )
    if not options.no_rivals:
        before, _, rest = README.read_text().partition(START)
        after = rest.partition(END)[2]
        README.write_text(f"{before}{START}\n{readme_table(rows)}\n{END}{after}")


if __name__ == "__main__":
    main()
