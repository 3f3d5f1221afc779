"""The main path, whole: what a user does, on seeds that change nothing. benchmarks/main_path.py has the full study."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sympy
import torch
from sklearn.datasets import make_moons

import edgewise as ew


def rmse(model, data):
    with torch.no_grad():
        return float((model(data.test_input) - data.test_target).square().mean().sqrt())


def test_the_tutorial_as_written():
    from edgewise import KAN, create_dataset  # noqa: PLC0415 - as written

    started = time.monotonic()
    model = KAN(width=[2, 5, 1])

    def f(x):
        return 3 * x[:, [0]] ** 3 + 2 * x[:, [0]] + 4 + 2 * x[:, [0]] * x[:, [1]] ** 2 + 3 * x[:, [1]] ** 3

    dataset = create_dataset(f, n_var=2)
    model(dataset["train_input"])
    model.plot()
    model.fit(dataset, steps=1000)
    assert rmse(model, dataset) <= 1e-5
    model = model.prune()
    assert rmse(model, dataset) <= 0.1
    model.plot()
    assert time.monotonic() - started < 120  # 30 s on a quiet machine


@pytest.mark.parametrize("seed", [3, 14])
def test_from_samples_to_the_exact_formula(seed):
    data = ew.create_dataset(lambda x: torch.exp(torch.sin(torch.pi * x[:, 0]) + x[:, 1] ** 2), n_var=2, seed=seed)
    model = ew.KAN([2, 5, 1], seed=seed)
    model.fit(data, steps=20)
    model.fit(data, penalty=ew.Sparsity())
    model = model.prune()
    assert model.width == [2, 1, 1]
    model.fit(data, steps=50)
    model = model.auto_symbolic(data)
    assert rmse(model, data) <= 1e-10
    x, y = sympy.symbols("x y")
    found = model.symbolic_formula(names=["x", "y"], digits=6)
    assert sympy.simplify(found - sympy.exp(y**2 + sympy.sin(sympy.pi * x))) == 0


def test_a_product_node_learns_a_product():
    data = ew.create_dataset(lambda x: x[:, 0] * x[:, 1], n_var=2, seed=5)
    model = ew.KAN([2, [0, 1]], seed=5)
    model.fit(data)
    assert rmse(model, data) <= 1e-12


def test_classes_and_their_formula():
    (x, labels), (test_x, test_labels) = (make_moons(1000, noise=0.1, random_state=seed) for seed in (21, 22))
    inputs, classes, test = torch.tensor(x), torch.tensor(labels), torch.tensor(test_x)
    domain = list(zip(inputs.amin(0).tolist(), inputs.amax(0).tolist(), strict=True))
    model = ew.KAN([2, 2], domain=domain)
    model.fit(inputs, classes, loss="cross_entropy", validation=0.2, patience=15)
    assert float((model(test).argmax(1) == torch.tensor(test_labels)).double().mean()) >= 0.99
    named = model.auto_symbolic((inputs, classes), loss="cross_entropy")
    logits = named.symbolic_formula()
    assert isinstance(logits, list)
    score = sympy.lambdify(sympy.symbols("x0 x1"), logits[1] - logits[0], "numpy")
    predicted = torch.tensor(score(test_x[:, 0], test_x[:, 1])) > 0
    assert float((predicted == (torch.tensor(test_labels) == 1)).double().mean()) >= 0.97


def code_blocks():
    text = (Path(__file__).parents[1] / "README.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("block", code_blocks(), ids=lambda block: block.splitlines()[-1][:40])
def test_the_readme_runs(block, tmp_path):
    script = tmp_path / "readme.py"
    script.write_text(block)
    run = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for expected in re.findall(r"^print\(.*\)\s+# (\S.*)$", block, re.MULTILINE):
        if not expected.startswith("the "):
            assert expected in run.stdout
