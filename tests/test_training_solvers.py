"""Every solver on every problem, and what each promises by itself."""

import math

import numpy as np
import pytest
import scipy.optimize
import torch

from edgewise.basis import BSpline
from edgewise.errors import OptionError
from edgewise.kan import KAN
from edgewise.network import KANLayer, Network
from edgewise.training import LBFGS, Adam, LevenbergMarquardt, Smoothness, Sparsity, Sum, fit
from edgewise.training.gauss_newton import Linearisation, jacobian_rows
from edgewise.training.losses import MeanSquaredError, find_loss
from edgewise.training.objective import CallableObjective, OutputObjective
from edgewise.training.solvers import minimise
from edgewise.training.solvers.levenberg_marquardt import Iteration

F64 = torch.float64

SOLVERS = {
    "lm": LevenbergMarquardt(),
    "lbfgs": LBFGS(),
    "adam": Adam(learning_rate=3e-2),
    "adam on batches": Adam(learning_rate=2e-2, batch=20),
}


def product(x):
    return x[:, 0] * x[:, 1]


def classes(x):
    return (x[:, 0] + x[:, 1].sin() > 0).long()


def rows(model, batch):
    x, y = batch
    return (model(x) - y).flatten()


# width, target, loss, penalty
PROBLEMS = {
    "product": ([2, 2, 1], product, "mse", None),
    "product node": ([2, [1, 1], 1], product, "mse", None),
    "two outputs": ([2, 2], lambda x: torch.stack([x.sum(dim=1), product(x)], dim=1), "mse", None),
    "sparse": ([2, 2, 1], product, "mse", Sparsity(l1=1e-3, entropy=1e-3)),
    "smooth": ([2, 1], lambda x: x.square().sum(dim=1), "mse", Smoothness(weight=1e-4)),
    "classes": ([2, 2], classes, "cross_entropy", None),
    "rows": ([2, 2, 1], product, rows, None),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_solver_makes_progress_on_every_problem(solver, problem, uniform):
    width, target, loss, penalty = PROBLEMS[problem]
    x = uniform(-1, 1, 40, 2)
    model = KAN(width, basis=BSpline(3, 3), seed=1)
    y = target(x) if loss == "cross_entropy" else target(x).reshape(40, -1)

    def value():
        chosen = find_loss(loss)
        kind = CallableObjective if callable(chosen) else OutputObjective
        return kind(model, x, y, chosen, penalty).value()

    before = value()
    history = fit(model, x, y, solver=SOLVERS[solver], loss=loss, penalty=penalty, steps=20)
    assert value() < 0.7 * before
    assert all(math.isfinite(loss) for loss in history.to_dict()["train_loss"])


@pytest.mark.parametrize(
    ("solver", "decay"), [*((name, 0.0) for name in SOLVERS), ("adam", 0.1), ("adam on batches", 0.1)]
)
@pytest.mark.parametrize("penalty", [None, Sparsity(), Smoothness(weight=0.01)], ids=["none", "sparse", "smooth"])
def test_masked_locked_and_frozen_parameters_stay(solver, penalty, decay, mixed_network, basis_block, symbolic_block):
    chosen = SOLVERS[solver]
    if decay:
        chosen = Adam(learning_rate=3e-2, batch=chosen.batch, decay=decay)
    frozen = torch.tensor([[False, True, False, True]])
    layers = mixed_network.all_layers
    sine = symbolic_block("sin", [(2, 1)], (3, 2), frozen=frozen)
    last = KANLayer.from_blocks([layers[1].all_blocks()[0], sine], (1, 1), 3)
    model = Network([layers[0], last], sample=mixed_network.sample)
    x = torch.linspace(-1, 1, 80, dtype=F64).reshape(40, 2)

    def held():
        values = []
        for layer in model.all_layers:
            for block in layer.all_blocks():
                if hasattr(block, "coefficients"):
                    outside = ~block.mask | block.locked
                    values.append(block.coefficients.detach().transpose(1, 2)[outside].clone())
                else:
                    values.append(block.affine.detach()[block.frozen | block.locked_edges.unsqueeze(1)].clone())
        return values

    before, start = held(), [parameter.detach().clone() for parameter in model.parameters()]
    fit(model, x, x.flip(1), solver=chosen, penalty=penalty, steps=4)
    for old, new in zip(before, held(), strict=True):
        assert torch.equal(old, new)
    assert any(not torch.equal(old, new) for old, new in zip(start, model.parameters(), strict=True))


@pytest.mark.parametrize("l1", [0.03, 0.1])
def test_solvers_agree_on_a_convex_problem(l1, uniform, normal):
    # One layer, no entropy: the objective is convex; a little smoothness makes its minimiser unique but for constants
    # that slide between edges, which change no output.
    x = uniform(-1, 1, 40, 2)
    y = torch.sin(2 * x[:, 0]) + 0.3 * x[:, 1] + 0.05 * normal(40)
    penalty = Sum((Sparsity(l1=l1, entropy=0.0), Smoothness(weight=1e-2)))
    models, values = [], []
    for solver, seed in (("lm", 0), ("lbfgs", 1)):
        models.append(KAN([2, 1], basis=BSpline(2, 3), seed=seed))
        history = fit(models[-1], x, y, solver=solver, penalty=penalty, steps=150)
        assert history.reason == "converged"
        values.append(history.last["train_loss"] + history.last["penalty"])
    assert values[0] == pytest.approx(values[1], rel=1e-10)
    torch.testing.assert_close(models[0](x), models[1](x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("width", "basis", "target", "bound"),
    [
        ([2, 2, 1], BSpline(3, 3), product, 1e-12),
        ([2, [0, 1]], BSpline(3, 3), product, 1e-24),
        ([2, 1], BSpline(20, 7), lambda x: torch.sin(2 * x[:, 0]) + x[:, 1].exp(), 1e-22),
        ([2, 1, 1], BSpline(10, 5), lambda x: (torch.sin(math.pi * x[:, 0]) + x[:, 1] ** 2).exp(), 1e-9),
    ],
    ids=["product", "product node", "sum", "exp of a sum"],
)
def test_levenberg_marquardt_reaches_the_floor(width, basis, target, bound, uniform):
    x = uniform(-1, 1, 300, 2)
    for seed in range(5):  # some starts end in a local minimum, which is not the solver's fault
        model = KAN(width, basis=basis, seed=seed)
        history = fit(model, x, target(x), solver="lm", steps=100, target=bound)
        if history.reason == "target":
            break
    assert history.last["train_loss"] < bound
    torch.testing.assert_close(model(x)[:, 0], target(x), rtol=0, atol=max(20 * bound**0.5, 1e-11))


def test_levenberg_marquardt_solves_linear_least_squares_at_once(uniform, normal):
    x, y = uniform(-1, 1, 50, 2), normal(50, 1)
    model = KAN([2, 1], basis=BSpline(3, 2), seed=0)
    fit(model, x, y, solver=LevenbergMarquardt(damping=1e-12), steps=2)
    design = model.all_layers[0].all_blocks()[0].features(x).flatten(1)
    wanted = design @ torch.linalg.lstsq(design, y, driver="gelsd").solution
    torch.testing.assert_close(model(x), wanted, rtol=0, atol=1e-9)


def test_steps_do_not_move_along_what_changes_nothing(uniform, normal):
    """A constant that slides between edges of a node: B-splines add up to 1, so all coefficients of an edge move."""
    x, y = uniform(-1, 1, 80, 2), normal(80, 1)
    model = KAN([2, 1], basis=BSpline(4, 3), seed=0)
    near = OutputObjective(model, x, y, MeanSquaredError(), None).linearise()
    slide = torch.tensor([1.0, -1.0], dtype=F64).repeat_interleave(7)
    assert float((near.curvature @ slide).abs().max()) < 1e-14
    for damping in (1e-2, 1e-6, 1e-10):
        step = near.solve(damping)
        assert abs(float(slide @ (near.scale * step))) < 1e-6 * float((near.scale * step).norm() * slide.norm())


@pytest.mark.parametrize("cells", [20, 60, 150])
def test_normal_equations_reach_the_last_digits_of_least_squares(cells, uniform):
    # JᵀJ squares the condition number, but the gradient is that of the true residuals: steps refine each other.
    x = uniform(-1, 1, 1500, 1)
    y = torch.sin(9 * x) * x.exp()
    model = KAN([1, 1], basis=BSpline(cells, 9), seed=0)
    fit(model, x, y, solver="lm", steps=60)
    design = model.all_layers[0].all_blocks()[0].features(x).flatten(1).numpy()
    assert np.linalg.cond(design) > 1e6
    solution = np.linalg.lstsq(design, y.numpy(), rcond=None)[0]
    reached, wanted = (model(x) - y).detach().numpy(), design @ solution - y.numpy()
    assert np.sqrt(np.mean(reached**2)) <= 1.01 * np.sqrt(np.mean(wanted**2)) + 1e-15


def test_a_network_reaches_thirteen_digits(uniform):
    def target(x):
        return torch.exp(torch.sin(math.pi * x[:, 0]) + x[:, 1] ** 2)

    # At the very ends of the domain there may be no samples to hold the last coefficients.
    x, unseen = uniform(-1, 1, 1000, 2), uniform(-0.98, 0.98, 1000, 2)
    model = KAN([2, 1, 1], basis=BSpline(3, 7), seed=0)
    for cells in (3, 6, 12, 24, 48):
        model = model.refine(grid=cells)
        fit(model, x, target(x), solver="lm", steps=60)
    assert (model(x)[:, 0] - target(x)).square().mean().sqrt() < 3e-13
    assert (model(unseen)[:, 0] - target(unseen)).square().mean().sqrt() < 2e-12


class Valley:
    """Rosenbrock's function as a problem of least squares."""

    def __init__(self):
        self.parameters = torch.tensor([-1.2, 1.0], dtype=F64)

    def residuals(self, p):
        return torch.stack([10 * (p[1] - p[0] ** 2), 1 - p[0]])

    def value(self):
        return float(self.residuals(self.parameters).square().mean())

    def linearise(self):
        jacobian = torch.autograd.functional.jacobian(self.residuals, self.parameters)
        residuals = self.residuals(self.parameters)
        return Linearisation(self.value(), jacobian.T @ residuals, jacobian.T @ jacobian)


def test_the_iteration_works_on_any_problem():
    problem = Valley()
    assert minimise(problem, steps=100) < 1e-25
    reference = scipy.optimize.least_squares(lambda p: problem.residuals(torch.from_numpy(p)).numpy(), [-1.2, 1.0])
    np.testing.assert_allclose(problem.parameters.numpy(), reference.x, atol=1e-8)


def test_the_iteration_ends_when_asked():
    problem = Valley()
    start = problem.value()
    once = minimise(problem, steps=1)
    assert 1e-3 < once < start
    assert minimise(Valley(), steps=0) == start
    assert minimise(Valley(), steps=100, tolerance=0.99) > 1e-6  # no step gains that much


def test_at_the_minimum_no_step_is_found():
    problem = Valley()
    problem.parameters = torch.ones(2, dtype=F64)
    assert minimise(problem, steps=10) == 0.0
    value, moved = Iteration(problem, 1e-3).advance()
    assert not moved
    assert value == 0.0
    assert torch.equal(problem.parameters, torch.ones(2, dtype=F64))


def test_damping_falls_while_the_model_is_right_and_rises_where_it_is_not():
    iteration = Iteration(Valley(), 1e-3)
    dampings = [iteration.damping]
    for _ in range(30):
        iteration.advance()
        dampings.append(iteration.damping)
    changes = np.diff(np.log(dampings))
    assert changes.min() == pytest.approx(math.log(1 / 3))
    assert changes.max() > 0


class Cliff(Valley):
    """Beyond 0.9 there is nothing."""

    def residuals(self, p):
        return torch.where(p[0] > 0.9, torch.nan, super().residuals(p))


def test_steps_to_where_nothing_is_finite_are_rejected():
    problem = Cliff()
    reached = minimise(problem, steps=60)
    assert math.isfinite(reached)
    assert reached < 1
    assert problem.parameters[0] <= 0.9


def test_a_start_that_is_not_finite_stays():
    problem = Cliff()
    problem.parameters = torch.tensor([1.0, 1.0], dtype=F64)
    value, moved = Iteration(problem, 1e-3).advance()
    assert math.isnan(value)
    assert not moved


class Indefinite(Valley):
    """A curvature that no damping within reach makes positive definite."""

    def linearise(self):
        near = super().linearise()
        return Linearisation(near.value, near.gradient, torch.tensor([[1.0, 1e30], [1e30, 1.0]], dtype=F64))


def test_hopeless_curvatures_end_the_iteration():
    problem = Indefinite()
    start = problem.parameters.clone()
    _, moved = Iteration(problem, 1e-3).advance()
    assert not moved
    assert torch.equal(problem.parameters, start)


def test_the_iteration_says_why_it_found_no_step(uniform, normal):
    at_minimum = Valley()
    at_minimum.parameters = torch.ones(2, dtype=F64)
    nowhere = Cliff()
    nowhere.parameters = torch.tensor([1.0, 1.0], dtype=F64)
    for problem, obstacle in (
        (at_minimum, "no step lowers the objective, up to rounding"),
        (nowhere, "no step can be computed"),
        (Indefinite(), "no step can be computed"),
    ):
        iteration = Iteration(problem, 1e-3)
        assert not iteration.advance()[1]
        assert iteration.obstacle == obstacle
    iteration = Iteration(Valley(), 1e-3)
    assert iteration.advance()[1]
    assert iteration.obstacle == ""


def test_the_slope_is_a_cosine(uniform, normal):
    x, y = uniform(-1, 1, 50, 2), normal(50, 1)
    model = KAN([2, 3, 1], basis=BSpline(3, 3), seed=0)
    jacobian = jacobian_rows(model, x, torch.ones(50, 1, 1, dtype=F64))[0].numpy()
    residuals = (model(x) - y).detach().numpy()[:, 0]
    reached = np.linalg.norm(jacobian, axis=0) > 1e-3
    cosines = (
        residuals @ jacobian[:, reached] / np.linalg.norm(residuals) / np.linalg.norm(jacobian[:, reached], axis=0)
    )
    history = fit(model, x, y, solver="lm", steps=1)
    assert history.last["slope"] == pytest.approx(np.abs(cosines).max())


def test_convergence_is_explained(uniform, normal):
    x = uniform(-1, 1, 60, 2)
    exact = fit(KAN([2, 1], seed=0), x, x.sum(dim=1), steps=50)
    assert (exact.reason, exact.detail) == ("converged", "no step lowers the objective, up to rounding")
    noisy = fit(KAN([2, 1], seed=0), x, normal(60), steps=50)
    assert (noisy.reason, noisy.detail) == ("converged", "the gradient vanishes")
    assert noisy.last["slope"] < 1e-8
    lazy = fit(KAN([2, 2, 1], seed=0), x, normal(60), solver=LevenbergMarquardt(tolerance=0.5), steps=50)
    assert (lazy.reason, lazy.detail) == ("converged", "steps lower the objective by less than the tolerance")
    assert lazy.last["slope"] > 1e-8
    early = fit(KAN([2, 2, 1], seed=0), x, normal(60), steps=2)
    assert (early.reason, early.detail) == ("steps", "")


@pytest.mark.parametrize("batch", [None, 7])
def test_adam_is_reproducible_by_its_seed(batch, uniform):
    x = uniform(-1, 1, 30, 2)

    def train(seed):
        model = KAN([2, 2, 1], seed=0)
        fit(model, x, product(x), solver=Adam(batch=batch), steps=12, seed=seed)
        return model(x).detach()

    assert torch.equal(train(3), train(3))
    assert torch.equal(train(3), train(4)) == (batch is None)


def test_a_pass_over_the_data_uses_every_row_once(network, uniform):
    x = uniform(-1, 1, 23, 2)
    seen = []

    def loss(model, batch):
        seen.append(batch[0])
        return (model(batch[0]) - batch[1]).square().mean()

    model = network([2, 1])
    objective = CallableObjective(model, x, product(x)[:, None], loss, None)
    run = Adam(batch=5).start(objective, seed=0)
    whole = [run.step().whole for _ in range(10)]
    assert whole == [False, False, False, False, True] * 2
    for start in (0, 5):
        rows = torch.cat(seen[start : start + 5])
        assert torch.equal(rows.sort(dim=0).values, x.sort(dim=0).values)
    assert not torch.equal(torch.cat(seen[:5]), torch.cat(seen[5:]))


def test_batches_as_large_as_the_data_are_all_rows(network, uniform):
    x = uniform(-1, 1, 8, 2)
    objective = OutputObjective(network([2, 1]), x, product(x)[:, None], MeanSquaredError(), None)
    step = Adam(batch=8).start(objective, seed=0).step()
    assert step.whole
    assert not step.exact


def test_decay_shrinks_what_the_data_do_not_hold(uniform):
    x = uniform(-1, 1, 30, 2)
    sizes = []
    for decay in (0.0, 5.0):
        model = KAN([2, 1], seed=0)
        fit(model, x, product(x), solver=Adam(decay=decay), steps=60)
        sizes.append(float(model.all_layers[0].all_blocks()[0].coefficients.detach().norm()))
    assert sizes[1] < 0.9 * sizes[0]


def test_lbfgs_leaves_steps_to_where_nothing_is_finite(network, uniform):
    x = uniform(-1, 1, 30, 1)

    def loss(model, batch):
        size = model.all_layers[0].all_blocks()[0].coefficients.square().sum()
        error = (model(batch[0]) - 3 * batch[1]).square().mean()
        return torch.where(size < 8, error, torch.nan)

    model = network([1, 1])
    objective = CallableObjective(model, x, torch.sin(3 * x), loss, None)
    start = objective.value()
    run = LBFGS().start(objective, seed=0)
    steps = [run.step() for _ in range(20)]
    assert math.isfinite(objective.value())
    assert all(math.isfinite(step.loss) for step in steps)
    assert min(step.loss for step in steps) < 0.5 * start


def test_lbfgs_says_when_it_is_done(network, uniform):
    x = uniform(-1, 1, 20, 1)
    model = network([1, 1], basis=BSpline(1, 1))
    history = fit(model, x, 2 * x, solver="lbfgs", steps=50)
    assert history.reason == "converged"
    assert history.last["train_loss"] < 1e-12


@pytest.mark.parametrize("solver", ["lm", "lbfgs"])
def test_a_network_without_free_parameters_is_done_at_once(solver, network, uniform):
    model = network([2, 1])
    held = model.rebuilt([model.all_layers[0].map_blocks(lambda block: block.with_locked(block.mask))])
    x = uniform(-1, 1, 20, 2)
    before = held(x).detach()
    for penalty in (None, Smoothness(weight=1.0), Sparsity()):
        history = fit(held, x, product(x), solver=solver, penalty=penalty, steps=5)
        assert history.reason == "converged"
        assert torch.equal(held(x), before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LevenbergMarquardt(damping=0.0), r"the damping must be positive, got 0\.0"),
        (lambda: LevenbergMarquardt(damping=float("nan")), "the damping must be positive, got nan"),
        (lambda: Adam(learning_rate=0.0), "the learning rate and the batch must be positive, got Adam"),
        (lambda: Adam(batch=0), "the batch must be positive"),
    ],
)
def test_impossible_options_are_refused(make, message):
    with pytest.raises(OptionError, match=message):
        make()
