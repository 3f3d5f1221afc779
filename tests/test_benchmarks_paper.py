"""The benchmark on the paper's tables: its cases, its runner, its contenders and its report, at tiny sizes."""

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch

import edgewise as ew

PAPER = Path(__file__).parents[1] / "benchmarks" / "paper"
sys.path.insert(0, str(PAPER))  # its files are scripts, which find each other beside themselves

import contenders  # noqa: E402
import environments  # noqa: E402
import mlp  # noqa: E402
import power_law  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
import runner  # noqa: E402
from cases import DATA, Case, mean_sin2, tables  # noqa: E402
from formulas import formula  # noqa: E402
from rows import Rows  # noqa: E402
from runner import Job, complete  # noqa: E402
from study import STUDIES, convergence, coverage, dimensions, measured, narrow, noise  # noqa: E402

CASES = [case for table in tables().values() for case in table.values()]


@pytest.fixture
def generator(request):
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


# ---------------------------------------------------------------------------------------------- formulas


def test_a_formula_is_evaluated_row_by_row(generator):
    x = generator.uniform(0.1, 2, (50, 3))
    a, b, c = x.T
    values = formula("exp(-a**2/2)*sqrt(b) + 3/(4*pi)*log(c) - asin(sin(a)/2)", ["a", "b", "c"])(x)
    expected = [
        math.exp(-(p**2) / 2) * math.sqrt(q) + 3 / (4 * math.pi) * math.log(r) - math.asin(math.sin(p) / 2)
        for p, q, r in zip(a, b, c, strict=True)
    ]
    np.testing.assert_allclose(values, expected, rtol=1e-13)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').getcwd()",
        "x.real",
        "open(x)",
        "[x for x in y]",
        "lambda: x",
        "unknown + x",
        "x if x else y",
        "sin(x=y)",
        "'x'",
        "x < y",
        "x[0]",
        "exp",
    ],
)
def test_what_is_no_formula_is_refused(text):
    with pytest.raises(ValueError, match="is no part of a formula"):
        formula(text, ["x", "y"])


def test_points_outside_the_domain_are_nan_without_a_warning():
    assert np.isnan(formula("log(x) + sqrt(x)", ["x"])(np.array([[-1.0]]))).all()


# ---------------------------------------------------------------------------------------------- cases


def test_every_row_of_the_tables_is_a_case():
    assert {name: len(table) for name, table in tables().items()} == {"toy": 6, "special": 15, "feynman": 27}
    assert all((case.shape is not None) == (case.table == "toy") == (case.goal is not None) for case in CASES)
    assert all(case.relative == (case.table == "special") for case in CASES)
    assert all(case.paper_shape[0] == len(case.ranges) for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.table}-{case.name}")
def test_samples_are_finite_inside_the_ranges_and_reproducible(case):
    samples, again = case.samples(3, tests=200), case.samples(3, tests=200)
    low, high = np.array(case.ranges).T
    assert samples.train_x.shape == (1000 if len(low) <= 2 else 3000, len(low))
    assert samples.test_x.shape == (200, len(low))
    assert ((samples.train_x >= low) & (samples.train_x <= high)).all()
    assert np.isfinite(samples.train_y).all()
    assert np.isfinite(samples.test_y).all()
    assert samples.train_y.std() > 0
    assert (samples.train_x == again.train_x).all()
    assert (samples.train_x[:200] != case.samples(4, tests=200).train_x[:200]).any()


_SPECIAL = {
    "ellipj_sn": lambda x, y: mpmath.ellipfun("sn", x, m=y),
    "ellipkinc": mpmath.ellipf,
    "ellipeinc": mpmath.ellipe,
    "jv": mpmath.besselj,
    "yv": mpmath.bessely,
    "kv": mpmath.besselk,
    "iv": mpmath.besseli,
    "lpmv_0": lambda x, y: mpmath.legenp(x, 0, y),
    "lpmv_1": lambda x, y: mpmath.legenp(x, 1, y),
    "lpmv_2": lambda x, y: mpmath.legenp(x, 2, y),
    "sph_harm_01": lambda x, y: mpmath.spherharm(1, 0, y, x),
    "sph_harm_11": lambda x, y: mpmath.spherharm(1, 1, y, x),
    "sph_harm_02": lambda x, y: mpmath.spherharm(2, 0, y, x),
    "sph_harm_12": lambda x, y: mpmath.spherharm(2, 1, y, x),
    "sph_harm_22": lambda x, y: mpmath.spherharm(2, 2, y, x),
}


@pytest.mark.parametrize("name", _SPECIAL)
def test_special_functions_against_mpmath(name):
    samples = tables()["special"][name].samples(11, count=8, tests=0)
    expected = [float(mpmath.re(_SPECIAL[name](*map(mpmath.mpf, row)))) for row in samples.train_x.tolist()]
    np.testing.assert_allclose(samples.train_y, expected, rtol=1e-9, atol=1e-11)


def test_toy_functions_against_other_libraries(generator):
    x = generator.uniform(-1, 1, (20, 100))
    toys, columns = tables()["toy"], torch.tensor(x)
    a, b, c, d = columns[:, :4].T
    expected = {
        "bessel": torch.tensor([mpmath.besselj(0, 20 * float(value)) for value in a], dtype=torch.float64),
        "exp_sin": torch.exp(torch.sin(torch.pi * a) + b**2),
        "product": a * b,
        "mean_sin2_100d": torch.exp((torch.sin(torch.pi * columns / 2) ** 2).mean(1)),
        "exp_two_sines_4d": torch.exp((torch.sin(torch.pi * (a**2 + b**2)) + torch.sin(torch.pi * (c**2 + d**2))) / 2),
        "tutorial_polynomial": 3 * a**3 + 2 * a + 4 + 2 * a * b**2 + 3 * b**3,
    }
    assert set(expected) == set(toys)
    for name, values in expected.items():
        inputs = len(toys[name].ranges)
        np.testing.assert_allclose(toys[name].function(x[:, :inputs]), values.numpy(), rtol=1e-10, atol=1e-12)


def test_points_where_the_function_is_not_finite_are_drawn_again():
    case = replace(CASES[0], ranges=((-1.0, 1.0),), function=formula("sqrt(x)", ["x"]))
    samples = case.samples(0, count=100, tests=50)
    assert len(samples.train_x) == 100
    assert (samples.train_x >= 0).all()
    assert (samples.test_x >= 0).all()


def test_noise_is_on_the_training_labels_only():
    case = tables()["feynman"]["I.12.11"]
    clean, noisy = case.samples(5, count=20_000), case.samples(5, count=20_000, noise=0.1)
    assert (clean.test_y == noisy.test_y).all()
    assert noisy.sigma == pytest.approx(0.1 * clean.train_y.std())
    assert (noisy.train_y - clean.train_y).std() == pytest.approx(noisy.sigma, rel=0.03)


def test_relative_errors_are_divided_by_the_rms(generator):
    truth, predicted = generator.normal(3, 1, 100), generator.normal(3, 1, 100)
    plain, relative = tables()["feynman"]["I.6.2"], tables()["special"]["jv"]
    expected = np.linalg.norm(predicted - truth) / math.sqrt(100)
    assert plain.error(predicted, truth) == pytest.approx(expected)
    assert relative.error(predicted, truth) == pytest.approx(expected / np.sqrt((truth**2).mean()))


# ---------------------------------------------------------------------------------------------- rows and runner


def _row(case="a", contender="edgewise", seed=0, **figures):
    return {"case": case, "contender": contender, "seed": seed, "budget": 1.0, **figures}


def test_rows_survive_and_the_last_one_counts(tmp_path):
    path = tmp_path / "new" / "rows.jsonl"
    for row in (_row(test_rmse=1.0), _row(seed=1, test_rmse=2.0), _row(test_rmse=3.0)):
        Rows(path).append(row)
    rows = Rows(path)
    assert [row["test_rmse"] for row in rows.of("a", "edgewise")] == [3.0, 2.0]
    rows.drop(lambda row: row["seed"] == 1)
    assert [row["test_rmse"] for row in Rows(path).all()] == [3.0]


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path):
    path = tmp_path / "rows.jsonl"
    Rows(path).append(_row(test_rmse=1.0))
    path.write_text(path.read_text() + '{"case": "b", "contend')
    Rows(path).append(_row(case="c", test_rmse=2.0))
    assert [row["case"] for row in Rows(path).all()] == ["a", "c"]


def _job(function, arguments=None, *, case="a", seed=0, seconds=0.1):
    return Job(
        case=case, contender="edgewise", seed=seed, function=function, arguments=arguments or {}, seconds=seconds
    )


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_GRACE", 20.0)
    return Rows(tmp_path / "rows.jsonl")


def test_crashes_and_errors_cost_one_row(rows, capsys):
    jobs = [
        _job(dict, {"test_rmse": 0.5, "seconds": 1.0}, case="good"),
        _job(os._exit, {"status": 3}, case="crash"),
        _job(json.loads, {"s": "{"}, case="error"),
        _job(dict, {"test_rmse": math.inf, "train_rmse": math.nan}, case="diverged"),
    ]
    complete(jobs, rows, workers=2)
    found = {row["case"]: row for row in Rows(rows.path).all()}
    assert found["good"]["test_rmse"] == 0.5
    assert "code 3" in found["crash"]["note"]
    assert "JSONDecodeError" in found["error"]["note"]
    assert [found[case]["test_rmse"] for case in ("crash", "error", "diverged")] == [None] * 3
    assert found["diverged"]["train_rmse"] is None
    assert "[4/4]" in capsys.readouterr().out


def test_a_hang_ends_with_all_that_it_started(rows, monkeypatch, tmp_path):
    monkeypatch.setattr(runner, "_GRACE", 3.0)
    marker = tmp_path / "child"
    script = f"echo $$ > {marker}; exec sleep 100"
    complete([_job(subprocess.run, {"args": script, "shell": True})], rows, workers=1)
    assert "stopped after" in rows.all()[0]["note"]
    child = int(marker.read_text())
    assert _ends(child)


def _ends(process, patience=5.0):
    """Whether a process is gone, or soon is; one that nobody waits for stays as a zombie."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_finished_work_is_not_done_again(rows):
    complete([_job(dict, {"test_rmse": 1.0})], rows, workers=1)
    complete([_job(dict, {"test_rmse": 2.0}), _job(dict, {"test_rmse": 3.0}, seed=1)], rows, workers=1)
    assert [row["test_rmse"] for row in rows.of("a", "edgewise")] == [1.0, 3.0]


def test_a_rival_that_had_less_time_runs_again(rows):
    complete([_job(dict, {"test_rmse": 1.0}, seconds=0.1)], rows, workers=1)
    complete([_job(dict, {"test_rmse": 2.0}, seconds=0.09)], rows, workers=1)
    assert rows.all()[0]["test_rmse"] == 1.0
    complete([_job(dict, {"test_rmse": 3.0}, seconds=0.2)], rows, workers=1)
    assert rows.all()[0]["test_rmse"] == 3.0


@pytest.mark.parametrize(("option", "left"), [("fresh", ["b"]), ("retry", ["a", "b"]), (None, ["a", "a", "b"])])
def test_only_what_is_asked_for_is_forgotten(rows, option, left):
    for row in (_row("a", test_rmse=1.0), _row("a", seed=1, test_rmse=None), _row("b", test_rmse=None)):
        rows.append(row)
    options = argparse.Namespace(**({"fresh": False, "retry": False} | ({} if option is None else {option: True})))
    runner.forget(rows, options, lambda row: row["case"] == "a")
    assert [row["case"] for row in Rows(rows.path).all()] == left


@pytest.fixture
def interruptible():
    """Ctrl-C raises, also where the tests run in the background, which starts them with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_keeps_what_is_finished_and_stops_the_rest(rows, tmp_path):
    marker = tmp_path / "child"
    jobs = [
        _job(dict, {"test_rmse": 1.0}, case="done"),
        _job(subprocess.run, {"args": f"echo $$ > {marker}; exec sleep 100", "shell": True}, seconds=100),
    ]

    def interrupt():
        until = time.monotonic() + 60
        while not (marker.exists() and marker.read_text().strip()) and time.monotonic() < until:
            time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # a thread of its own would not wake `wait`

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(SystemExit, match="goes on from there"):
        complete(jobs, rows, workers=1)
    thread.join()
    assert [row["case"] for row in Rows(rows.path).all()] == ["done"]
    assert _ends(int(marker.read_text()))


def test_rivals_get_the_median_of_edgewise_but_no_less_than_a_least(tmp_path):
    rows, cases = Rows(tmp_path / "rows.jsonl"), list(tables()["toy"].values())[:3]
    for seed, seconds in enumerate((50.0, 40.0, 60.0)):
        rows.append(_row(cases[0].name, seed=seed, seconds=seconds))
    rows.append(_row(cases[1].name, seconds=2.0))
    jobs = run.rival_jobs(cases, ["mlp", "pykan"], rows)
    budgets = {(job.case, job.contender): job.seconds for job in jobs}
    assert budgets == {
        (case.name, rival): seconds
        for case, seconds in zip(cases, (50.0, run.LEAST_BUDGET), strict=False)
        for rival in ("mlp", "pykan")
    }


# ---------------------------------------------------------------------------------------------- contenders


@pytest.fixture
def easy():
    return Case(
        table="toy",
        name="easy",
        formula="x**2 + y",
        ranges=((-1.0, 1.0), (0.0, 2.0)),
        function=formula("x**2 + y", ["x", "y"]),
        paper_shape=(2, 1, 1),
        goal=1e-6,
    )


def test_edgewise_without_a_width(easy):
    samples = easy.samples(0, count=200, tests=300)
    row = contenders.edgewise(easy, samples, 0, 5.0)
    assert row["test_rmse"] < 1e-4
    assert row["parameters"] > 0
    assert row["curve"]
    assert all(len(point) == 3 and point[2] >= 0 for point in row["curve"])


def test_edgewise_with_a_width(easy, monkeypatch):
    asked = {}

    def plain(model, data, *, target, max_time, seed):
        asked.update(target=target, max_time=max_time, seed=seed)
        return model, model.fit(*data, steps=30)

    monkeypatch.setattr(ew, "fit_multilevel", plain, raising=False)
    row = contenders.edgewise(replace(easy, shape=(2, 1, 1)), easy.samples(0, count=200, tests=300), 7, 5.0)
    assert asked == {"target": easy.goal / 2, "max_time": 5.0, "seed": 7}
    assert row["test_rmse"] < 1e-2


def test_perceptrons_learn_within_their_time(easy):
    row = mlp.mlp(easy, easy.samples(0, count=100, tests=100), 0, 1.5)
    assert row["test_rmse"] < 0.05
    assert row["seconds"] < 4
    assert row["test_rmse"] == min(point[2] for point in row["curve"])
    assert row["note"].startswith(("tanh", "silu"))


def test_perceptrons_start_the_same_from_the_same_seed():
    first, again, other = (mlp.perceptron([2, 5, 5, 1], torch.nn.Tanh, seed) for seed in (1, 1, 2))
    x = torch.ones(3, 2, dtype=torch.float64)
    assert torch.equal(first(x), again(x))
    assert not torch.equal(first(x), other(x))
    assert [type(layer) for layer in first] == [torch.nn.Linear, torch.nn.Tanh] * 2 + [torch.nn.Linear]


@pytest.mark.slow
@pytest.mark.skipif(
    not (environments._FOLDER / "pykan" / "ready").exists(), reason="pykan's environment is made by the first benchmark"
)
def test_pykan_in_its_own_environment(easy):
    samples = easy.samples(0, count=100, tests=100)
    row = contenders.pykan(replace(easy, relative=True), samples, 0, 0.5)
    assert row["test_rmse"] < 1
    assert row["parameters"] > 0
    assert row["test_rmse"] == pytest.approx(min(point[2] for point in row["curve"]))


# ---------------------------------------------------------------------------------------------- studies


def test_exponents_of_power_laws(generator):
    sizes, slope = generator.uniform(1, 100, 20), generator.uniform(-9, -1)
    assert power_law.exponent(sizes, 3 * sizes**slope) == pytest.approx(slope)
    assert power_law.exponent([5.0], [1.0]) is None
    assert power_law.frontier([(3, 1.0), (1, 5.0), (2, 7.0), (4, 0.5)]) == [(1, 5.0), (3, 1.0), (4, 0.5)]


def test_errors_fall_as_promised_on_a_small_ladder():
    row = convergence.measure(3, 0, grids=(5, 10, 15, 20), count=5000)
    assert row["exponent"] == pytest.approx(-4, abs=0.5)  # the grids are few and coarse
    assert [level[0] for level in row["levels"]] == [5, 10, 15, 20]
    assert row["exponent_inside"] == pytest.approx(-4, abs=0.5)
    for *_, everywhere, inside, beyond in row["levels"]:
        assert 0 <= beyond < 100
        assert inside <= everywhere * 1.01


def test_dimensions_at_a_small_size():
    row = dimensions.measure(2, 0, grids=(4, 8, 12), count=1000)
    sizes, reached = [level[1] for level in row["levels"]], [level[2] for level in row["levels"]]
    assert sizes == sorted(sizes)
    assert reached == sorted(reached, reverse=True)
    assert row["exponent"] < -3
    assert row["exponent_inside"] < -3
    for *_, everywhere, inside, beyond in row["levels"]:
        assert 0 <= beyond < 100
        assert inside <= everywhere * 1.01


def test_the_oracle_sees_the_truth(easy):
    samples = easy.samples(0, count=200, tests=500, noise=0.1)
    rows = list(noise.oracle(easy, samples, [2, 1], 3, 0))
    errors = [row["test_rmse"] for row in rows]
    assert [row["note"].rpartition(" ")[2] for row in rows] == ["3", "6", "12", "24"]
    assert errors[0] < samples.sigma
    assert errors[0] < errors[-1]  # finer ones follow the noise


def test_a_fold_of_a_measured_table():
    for name in measured.TABLES:
        row = measured.measure(name, "boosting", 0, 1.0)
        assert row["test_rmse"] < 0.5 * row["spread"]
    edgewise = measured.measure("yacht", "edgewise", 0, 1.0)
    assert edgewise["test_rmse"] < edgewise["spread"]


@pytest.mark.parametrize("name", coverage.TARGETS)
def test_noisy_targets_are_finite_and_noisy(name, generator):
    target = coverage.TARGETS[name]
    x, y = target.draw(2000, generator)
    assert x.shape == (2000, target.inputs)
    assert np.isfinite(y).all()
    assert 0.01 < (y - target.function(x)).std() < y.std()


@pytest.mark.parametrize("name", STUDIES)
def test_the_jobs_of_a_study_have_keys_of_their_own(name):
    jobs = STUDIES[name].jobs(argparse.Namespace(seeds=2, max_time=1.0))
    assert len({job.key for job in jobs}) == len(jobs) > 0


def test_the_cases_with_noise_are_ten_of_the_equations():
    assert len(set(noise.CASES)) == 10
    assert set(noise.CASES) <= set(tables()["feynman"])


def test_the_narrowest_network_gets_the_seconds_it_is_given(monkeypatch):
    asked = {}

    def fit(case, samples, seed, seconds):
        asked.update(shape=case.shape, rows=samples.train_x.shape, seed=seed, seconds=seconds)
        return {}

    monkeypatch.setattr(narrow, "edgewise", fit)
    job = narrow.jobs(argparse.Namespace(seeds=4, max_time=7.0))[3]
    job.function(**job.arguments)
    assert asked == {"shape": (4, 2, 1, 1), "rows": (3000, 4), "seed": 3, "seconds": 7.0}


def test_mean_sin2_in_any_dimension(generator):
    x = generator.uniform(-1, 1, (10, 7))
    expected = [math.exp(sum(math.sin(math.pi * value / 2) ** 2 for value in row) / 7) for row in x]
    np.testing.assert_allclose(mean_sin2(x), expected, rtol=1e-13)


# ---------------------------------------------------------------------------------------------- report


def _measured(case, contender="edgewise", seed=0, **figures):
    about = {"date": "2026-01-01", "machine": "a machine", "command": "a command", "note": ""}
    common = {"test_rmse": 1e-13, "seconds": 5.0, "parameters": 10, "curve": [[5, 1.0, 1e-2], [10, 2.0, 1e-13]]}
    return _row(case, contender, seed, **(common | about | figures))


def _report(folder, rows_of):
    for name, rows in rows_of.items():
        for row in rows:
            Rows(folder / f"{name}.jsonl").append(row)
    readme = folder / "README.md"
    readme.write_text(f"before\n{report.START}\nold\n{report.END}\nafter\n")
    report.write(folder, folder / "out", readme)
    return (folder / "out" / "paper.md").read_text(), readme.read_text()


def _line(text, start):
    return next(line for line in text.splitlines() if line.startswith(f"| {start} |"))


def test_the_report_tells_what_was_met(tmp_path):
    toy = [_measured("exp_sin", seed=seed) for seed in range(9)] + [_measured("exp_sin", seed=9, test_rmse=None)]
    toy += [_measured("product", seed=seed, test_rmse=1e-13 if seed < 8 else 1e-3) for seed in range(10)]
    toy += [_measured("bessel", seconds=61.0)]
    special = [_measured("jv", test_rmse=1e-6), _measured("jv", "mlp", test_rmse=1e-3)]
    special += [_measured("jv", "pykan", test_rmse=1e-2), _measured("kv", test_rmse=1e-6)]
    feynman = [_measured("I.6.2", test_rmse=1e-5), _measured("I.6.2b", test_rmse=1.0)]
    feynman += [_measured("II.2.42", test_rmse=0.0)]
    text, readme = _report(tmp_path, {"toy": toy, "special": special, "feynman": feynman})
    assert _line(text, "exp_sin").endswith("| yes |")
    assert "failed" in _line(text, "exp_sin")
    assert _line(text, "product").endswith("| NO |")
    assert _line(text, "bessel").endswith("| NO |")
    assert _line(text, "jv").endswith("| yes |")
    assert not _line(text, "kv").endswith(("| yes |", "| NO |"))
    assert _line(text, "I.6.2").endswith("| yes |")
    assert _line(text, "I.6.2b").endswith("| NO |")
    assert _line(text, "II.2.42").endswith("| ∞ | yes |")
    assert "1 of 3 are 100 times below" in text
    assert "a machine; 2026-01-01; `a command`" in text
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")
    assert "old" not in readme
    assert _line(readme, "Toy functions").startswith("| Toy functions | 3 | 1 |")
    for picture in ("paper_cases.png", "paper_toy.png"):
        assert (tmp_path / "out" / picture).stat().st_size > 1000


def test_the_report_of_the_studies(tmp_path):
    levels = [[grid, 6 * grid, grid**-4.0, 3 * grid**-4.0, grid**-4.0, 2] for grid in (5, 10, 20, 40)]
    sizes = [[grid, 6 * grid, 2 * grid**-4.0, grid**-4.0, 3] for grid in (4, 8, 16)]
    noisy = []
    for case, reached in (("I.6.2b, 1%", (1e-3, 8e-4, 3e-3)), ("I.9.18, 10%", (None, 8e-4, 3e-3))):
        for seed, error in enumerate(reached):
            noisy.append(_measured(case, seed=seed, test_rmse=error, sigma=2e-3))
            noisy += [_measured(case, f"oracle {k}", seed, test_rmse=(9 + k) * 1e-4) for k in noise.HIDDEN]
    noisy += [_measured("III.17.37, 1%", test_rmse=1e-3, sigma=2e-3)]  # its oracle has not come yet
    folds = [_measured("yacht", who, fold, test_rmse=error, spread=10.0) for fold in range(5) for who, error in
             (("edgewise", 1.0), ("boosting", 2.0))]  # fmt: skip
    folds += [_measured("energy", who, 0, test_rmse=error, spread=1.5) for who, error in
              (("edgewise", 2.0), ("boosting", 1.0))]  # fmt: skip
    shares = [_measured("sine, Gaussian", seed=seed, coverage=share, length=1.0) for seed, share in
              enumerate((0.85, 0.95))]  # fmt: skip
    shares += [_measured("product, growing with x", coverage=0.95, length=1.0)]
    text, readme = _report(
        tmp_path,
        {
            "convergence": [_measured("degree 3", levels=levels, exponent=-4.5, exponent_inside=-4.1)],
            "dimensions": [_measured("d = 8", levels=sizes, exponent=-3.1, exponent_inside=-4.1)],
            "noise": noisy,
            "few": [_measured("exp_sin", "width given", seed, test_rmse=10.0 ** (seed - 8)) for seed in range(4)],
            "narrow": [_measured(narrow.CASE, seed=seed, test_rmse=10.0 ** (seed - 12)) for seed in range(4)],
            "tables": folds,
            "coverage": shares,
        },
    )
    assert _line(text, "3").startswith("| 3 | -4 | -4.10 | -4.10 | -4.50 | -4.50 | 2 to 2 |")
    assert _line(text, "3").endswith("| 1 | yes |")
    assert "| -3.10 | 3.9e-03 to 1.5e-05 | -4.10 | 3 |" in _line(text, "8")
    assert _line(text, "I.6.2b, 1%").endswith("| 1.0e-03 | 9.0e-04 | 1.11 | 3.33 | 1.50 | yes |")
    assert _line(text, "I.9.18, 10%").endswith("| 3.0e-03 | 9.0e-04 | 3.33 | inf | inf | NO |")
    assert "III.17.37" not in text
    assert "1 of 2 met. 3 of 6 single fits are within both bounds." in text
    assert _line(text, "width given").endswith("| 3 of 4 |")
    assert "at most 1e-10 |" in text
    assert _line(text, "4").endswith("| 1.0e-09 | 5.0 | 3 of 4 |")
    assert _line(text, "yacht").endswith("| 0 | yes |")
    assert _line(text, "energy").endswith("| 1 | NO |")
    assert "1 of 2 no worse" in text
    assert _line(text, "sine, Gaussian").endswith("| yes |")
    assert _line(text, "product, growing with x").endswith("| NO |")
    assert "old" in readme  # no table was measured, so the block stays


def test_a_report_of_nothing_says_what_to_do(tmp_path):
    with pytest.raises(SystemExit, match=r"run benchmarks/paper/run\.py first"):
        report.write(tmp_path, tmp_path, tmp_path / "README.md")


def test_the_data_are_here():
    names = ("toy_functions", "special_functions", "feynman27", "concrete", "energy")
    assert all((DATA / f"{name}.csv").exists() for name in names)
