"""Small and fast: what a network costs as it is trained, pruned, named, and written down as a formula.

A Kolmogorov–Arnold network is trained on y = exp(sin(πx) + y²). Then it is made smaller in three steps, and each form
is timed on one row and on ten thousand:

1. the network as it was trained, [2, 5, 1] with cubic splines on 5 intervals;
2. pruned: a sparse fit leaves one hidden node, `prune` cuts the rest;
3. symbolic: `auto_symbolic` gives each edge its name. Still a network, with the network's overhead;
4. the formula as a plain function: `formula_function` carries out its five operations and nothing else.

Beside them stands the smallest multilayer perceptron of a ladder of sizes that is as accurate as the first of these
networks. No perceptron is as accurate as the formula, so this favours the perceptron.

Floating-point operations are counted for one row. A sum, a product, a sine, an exponential and an activation count as
one each. A spline of degree d has d + 1 basis functions that are not zero, polynomials of degree d: per input
2(d + 1)² operations for their values, per edge 2(d + 1) for their sum.

Nothing was published about this. That KANs are usually ten times slower than MLPs with the same number of parameters
is in Liu et al., KAN: Kolmogorov–Arnold Networks (2024), section 6; the function is that of their figure 2.4.
"""

from __future__ import annotations

import itertools
import math
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import edgewise as ew
from results import Settings, markdown

NAMES = ["x", "y"]
ONE_ROW = (0.3, 0.5)
LARGE_BATCH = 10_000
LADDER = [(5,), (10,), (20,), (10, 10), (20, 20), (30, 30), (50, 50)]  # hidden widths, from small to large
TIMES_FASTER = 20.0  # what is wanted of the formula on one row


def target(x: Tensor) -> Tensor:
    """exp(sin(πx) + y²)."""
    return torch.exp(torch.sin(math.pi * x[:, 0]) + x[:, 1] ** 2)


@dataclass(frozen=True)
class Form:
    """One way to compute the same function.

    Args:
        name: what it is.
        parameters: how many numbers it was fitted with.
        operations: floating-point operations for one row.
        evaluate: from rows of shape (B, 2) to values of shape (B,) or (B, 1).
        evaluate_one: the same for one row, whose arguments are as this form takes them.
        one_row: these arguments.
    """

    name: str
    parameters: int
    operations: int
    evaluate: Callable[[Tensor], Any]
    evaluate_one: Callable[..., Any]
    one_row: tuple[Any, ...]

    @classmethod
    def of_module(cls, name: str, module: nn.Module, operations: int) -> Form:
        """A network, which takes one row as a batch of one, ready as a tensor."""
        parameters = sum(parameter.numel() for parameter in module.parameters())
        return cls(name, parameters, operations, module, module, (torch.tensor([ONE_ROW], dtype=torch.float64),))

    def rmse(self, data: ew.Dataset) -> float:
        """On the test rows."""
        with torch.no_grad():
            errors = torch.as_tensor(self.evaluate(data.test_input)).reshape(-1, 1) - data.test_target
        return float(errors.square().mean().sqrt())


# ---------------------------------------------------------------------------------------- the network's four forms


def network_forms(data: ew.Dataset, seed: int = 0) -> list[Form]:
    """The trained network and what pruning and naming make of it."""
    trained = ew.KAN([2, 5, 1], seed=seed)
    trained.fit(data, steps=100)

    sparse = trained.copied()
    sparse.fit(data, penalty=ew.Sparsity())
    pruned = sparse.prune()
    pruned.fit(data, steps=50)

    symbolic = pruned.auto_symbolic(data)
    formula = symbolic.symbolic_formula(names=NAMES)
    on_floats, on_tensors = (ew.formula_function(formula, NAMES, backend=backend) for backend in ("math", "torch"))

    def evaluate(x: Tensor) -> Tensor:
        return on_tensors(x[:, 0], x[:, 1])

    return [
        Form.of_module(f"network {trained.width}", trained, spline_operations(trained)),
        Form.of_module(f"pruned {pruned.width}", pruned, spline_operations(pruned)),
        Form.of_module("symbolic network", symbolic, edge_operations(symbolic) + on_floats.operations),
        Form(f"formula {formula}", 0, on_floats.operations, evaluate, on_floats, ONE_ROW),
    ]


def spline_operations(model: ew.KAN) -> int:
    """Floating-point operations for one row of a network of splines."""
    total = 0
    for layer in model.all_layers:
        for block in layer.all_blocks():
            edges, inputs = int(block.mask.sum()), int(block.mask.any(dim=1).sum())
            total += 2 * block.entries**2 * inputs + 2 * block.entries * edges
    return total


def edge_operations(model: ew.KAN) -> int:
    """What a symbolic network does beyond its formula: an edge is c·f(a·x + b) + d, even where a is 1 and b is 0."""
    return 4 * sum(int(layer.mask.sum()) for layer in model.all_layers)


# ---------------------------------------------------------------------------------------- the perceptron beside it


def equal_perceptron(data: ew.Dataset, accuracy: float, *, iterations: int = 3000, seed: int = 0) -> Form:
    """The first perceptron of the ladder that reaches the accuracy; the most accurate one if none does."""
    forms = []
    for widths in LADDER:
        forms.append(trained_perceptron(data, widths, iterations, seed))
        if forms[-1].rmse(data) <= accuracy:
            return forms[-1]
    return min(forms, key=lambda form: form.rmse(data))


def trained_perceptron(data: ew.Dataset, widths: tuple[int, ...], iterations: int, seed: int) -> Form:
    """A perceptron with tanh, by L-BFGS on all rows."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(*_layers((2, *widths, 1))).double()
    optimizer = torch.optim.LBFGS(
        net.parameters(), max_iter=iterations, max_eval=2 * iterations, history_size=50,
        tolerance_grad=0, tolerance_change=0, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(data.train_input), data.train_target)
        loss.backward()
        return loss

    optimizer.step(closure)
    sizes = (2, *widths, 1)
    operations = sum(2 * before * after for before, after in itertools.pairwise(sizes)) + sum(widths)
    return Form.of_module(f"perceptron {list(sizes)}", net, operations)


def _layers(sizes: tuple[int, ...]) -> Iterator[nn.Module]:
    *hidden, last = itertools.pairwise(sizes)
    for before, after in hidden:
        yield nn.Linear(before, after)
        yield nn.Tanh()
    yield nn.Linear(*last)


# ---------------------------------------------------------------------------------------- timing and the table


def microseconds(function: Callable[..., Any], *arguments: Any, repeats: int = 7) -> float:
    """The least time of several rounds: what the machine does when nothing else interrupts it."""
    timer = timeit.Timer(lambda: function(*arguments))
    number, _ = timer.autorange()
    return 1e6 * min(timer.repeat(repeats, number)) / number


@torch.no_grad()
def measured(form: Form, data: ew.Dataset, repeats: int) -> dict[str, Any]:
    """The row of a form in the table."""
    x = data.test_input.repeat(LARGE_BATCH // len(data.test_input) + 1, 1)[:LARGE_BATCH]
    return {
        "form": form.name,
        "parameters": form.parameters,
        "operations": form.operations,
        "test RMSE": form.rmse(data),
        "µs, batch 1": microseconds(form.evaluate_one, *form.one_row, repeats=repeats),
        f"µs, batch {LARGE_BATCH}": microseconds(form.evaluate, x, repeats=repeats),
    }


def verdicts(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was wanted, and what was measured."""
    trained, *_, formula, perceptron = rows
    large = f"µs, batch {LARGE_BATCH}"
    faster = trained["µs, batch 1"] / formula["µs, batch 1"]
    return [
        {
            "figure": "batch 1: times the formula is faster than the unpruned network",
            "wanted": f"≥ {TIMES_FASTER:g}",
            "measured": round(faster, 1),
            "met": "yes" if faster >= TIMES_FASTER else "NO",
        },
        {
            "figure": f"batch {LARGE_BATCH}: time of the formula / that of the perceptron",
            "wanted": "≤ 1",
            "measured": round(formula[large] / perceptron[large], 4),
            "met": "yes" if formula[large] <= perceptron[large] else "NO",
        },
    ]


def main() -> None:
    """The table of all forms."""
    settings = Settings.parse("small_and_fast", __doc__.splitlines()[0])
    data = ew.create_dataset(target, n_var=2, seed=0)
    forms = network_forms(data)
    forms.append(equal_perceptron(data, forms[0].rmse(data), iterations=200 if settings.quick else 3000))
    rows = [measured(form, data, repeats=3 if settings.quick else 15) for form in forms]
    settings.show("Small and fast", verdicts(rows), note=markdown(rows))


if __name__ == "__main__":
    main()
