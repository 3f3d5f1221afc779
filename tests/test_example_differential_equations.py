"""The tutorial on differential equations, at reduced size: residuals, derivatives, solutions."""

import math

import pytest
import torch
from scipy.integrate import solve_ivp

import differential_equations as tutorial
import edgewise as ew
from edgewise.training.objective import CallableObjective
from results import Settings

F64 = torch.float64

PROBLEMS = [tutorial.POISSON, tutorial.HEAT, tutorial.PENDULUM]


def test_derivatives_are_those_of_finite_differences():
    model = ew.KAN([2, 3, 1], basis=ew.BSpline(grid=4, degree=7), seed=0)
    x = tutorial.spread((-0.9, -0.9), (0.9, 0.9), 10)
    u, first, second = tutorial.derivatives(model, x)
    for i in range(2):
        step = torch.zeros(2, dtype=F64)
        step[i] = 1e-3
        ahead, behind = model(x + step)[:, 0], model(x - step)[:, 0]
        torch.testing.assert_close(first[:, i], (ahead - behind) / 2e-3, rtol=0, atol=1e-4)
        torch.testing.assert_close(second[:, i], (ahead + behind - 2 * u) / 1e-6, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("residuals", "exact"), [(tutorial.poisson, tutorial.potential), (tutorial.heat, tutorial.temperature)]
)
def test_solutions_leave_no_residuals(residuals, exact):
    x, rows = residuals(200)
    assert rows(lambda points: exact(points).unsqueeze(1), x).abs().max() < 1e-11
    assert rows(lambda points: 1.01 * exact(points).unsqueeze(1), x).abs().max() > 1e-2


def test_the_pendulum_is_that_of_a_runge_kutta_method():
    times = torch.linspace(0, tutorial.DURATION, 50, dtype=F64).unsqueeze(1)
    found = solve_ivp(
        lambda _, state: [state[1], -math.sin(state[0])],
        (0, tutorial.DURATION),
        [tutorial.SWING, 0.0],
        method="DOP853",
        t_eval=times[:, 0].numpy(),
        rtol=1e-12,
        atol=1e-12,
    )
    for got, wanted in zip(tutorial.angle(times), found.y, strict=True):
        torch.testing.assert_close(got, torch.from_numpy(wanted), rtol=0, atol=1e-9)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_their_jacobian_takes_one_pass(problem):
    x, residuals = problem.residuals(60)
    model = problem.network(0)
    objective = CallableObjective(model, x, None, residuals, None)
    local = objective.local_jacobian()
    assert local is not None
    step = 1e-6 * torch.randn(local[1].shape[1], generator=torch.Generator().manual_seed(0), dtype=F64)
    start = objective.parameters
    objective.parameters = start + step
    ahead = residuals(model, x).detach()
    objective.parameters = start - step
    behind = residuals(model, x).detach()
    scale = (local[1] @ step).abs().max()
    assert ((ahead - behind) / 2 - local[1] @ step).abs().max() < 1e-5 * scale


def test_poisson_at_reduced_size():
    *_, error = tutorial.solve(tutorial.POISSON, 400, solver="lm", steps=20)
    assert error.l2 < 1e-3
    assert error.h1 < 0.1


def test_the_heat_equation():
    *_, error = tutorial.solve(tutorial.HEAT, 400, solver="lm", steps=20)
    assert error.l2 < 1e-7


def test_the_pendulum():
    *_, error = tutorial.solve(tutorial.PENDULUM, 400, solver="lm", steps=60)
    assert error.l2 < 1e-18
    assert error.h1 < 1e-15


def test_lbfgs_and_the_mlp_see_the_same_residuals():
    x, residuals = tutorial.poisson(60)
    model = tutorial.mlp(2, 8)
    before = float(residuals(model, x).square().mean().detach())
    tutorial.train_mlp(model, x, residuals, seconds=1.0)
    assert float(residuals(model, x).square().mean().detach()) < 0.5 * before
    *_, error = tutorial.solve(tutorial.POISSON, 60, solver="lbfgs", steps=20)
    assert error.l2 < tutorial.POISSON.error(tutorial.poisson_network()).l2


def test_table_and_picture(tmp_path, monkeypatch):
    def solved(problem, rows, seed=0, **options):
        return problem.network(seed), 1.0, tutorial.Errors(1e-13, 1e-8)

    monkeypatch.setattr(tutorial, "solve", solved)
    monkeypatch.setattr(tutorial, "train_mlp", lambda *given: 7)
    tutorial.main(Settings("differential_equations", quick=False, out=tmp_path))
    written = (tmp_path / "differential_equations.md").read_text(encoding="utf-8")
    assert written.count("| NO |") == 2  # both seeds, as the H1 error is too large
    assert (tmp_path / "differential_equations.png").stat().st_size > 10_000
