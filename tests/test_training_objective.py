"""What solvers minimise: value, gradient and curvature of a loss with a penalty."""

import pytest
import torch

from edgewise.errors import OptionError
from edgewise.training import CrossEntropy, MeanSquaredError, Poisson, Smoothness, Sparsity
from edgewise.training import objective as objective_module
from edgewise.training.gauss_newton import gather_gradients, get_parameters, jacobian_rows
from edgewise.training.objective import CallableObjective, OutputObjective

F64 = torch.float64
ROWS = 12


@pytest.fixture
def x(uniform):
    return uniform(-1, 1, ROWS, 2)


LOSSES = pytest.mark.parametrize(
    "loss", [MeanSquaredError(), CrossEntropy(smoothing=0.1), Poisson()], ids=["mse", "cross-entropy", "poisson"]
)


@pytest.fixture
def targets(x, normal, rng):
    """Targets for two outputs, as a loss takes them."""
    return {
        MeanSquaredError: normal(ROWS, 2),
        CrossEntropy: (x[:, 0] > 0).long(),
        Poisson: torch.poisson(x.exp(), generator=rng),
    }


def gradient_by_autograd(objective):
    named = dict(objective.model.named_parameters())
    found = torch.autograd.grad(objective.total(), list(named.values()), allow_unused=True)
    return gather_gradients(objective.model, dict(zip(named, found, strict=True)))


@pytest.mark.parametrize("penalty", [None, Sparsity(l1=0.1), Smoothness(weight=0.1)], ids=["none", "sparse", "smooth"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@LOSSES
def test_linearisations_have_the_gradient_of_autograd(loss, weighted, penalty, mixed_network, x, targets, uniform):
    weights = uniform(0.1, 2, ROWS) if weighted else None
    objective = OutputObjective(mixed_network, x, targets[type(loss)], loss, penalty, weights)
    near = objective.linearise()
    torch.testing.assert_close(near.gradient, gradient_by_autograd(objective))
    assert near.value == pytest.approx(objective.value(), rel=1e-14)
    assert near.value == pytest.approx(float(objective.total().detach()), rel=1e-14)
    assert torch.linalg.eigvalsh(near.curvature).min() > -1e-12


@LOSSES
def test_curvatures_are_generalised_gauss_newton_matrices(loss, mixed_network, x, targets, uniform):
    target, weights = targets[type(loss)], uniform(0.1, 2, ROWS)
    output = mixed_network(x).detach()
    hessian = torch.autograd.functional.hessian(lambda o: (weights * loss.per_sample(o, target)).mean(), output)
    jacobian = jacobian_rows(mixed_network, x, torch.eye(2, dtype=F64).expand(ROWS, 2, 2))
    wanted = torch.einsum("onp,nomq,qmr->pr", jacobian, hessian, jacobian)
    got = OutputObjective(mixed_network, x, target, loss, None, weights).linearise().curvature
    torch.testing.assert_close(got, wanted)


def residuals(model, batch):
    """Rows that need derivatives by the inputs, of all the rows of a batch at once."""
    x = batch.clone().requires_grad_()
    y = model(x)
    (slope,) = torch.autograd.grad(y[:, 0].sum(), x, create_graph=True)
    return torch.cat([slope[:, 0] + y[:, 1].square(), y[:3, 0] - 1])


@pytest.mark.parametrize("at_a_time", [1, 4, 256])
@pytest.mark.parametrize("penalty", [None, Sparsity(l1=0.1)], ids=["none", "sparse"])
def test_residual_rows_are_differentiated_many_at_a_time(at_a_time, penalty, mixed_network, x, monkeypatch):
    monkeypatch.setattr(objective_module, "_ROWS_AT_A_TIME", at_a_time)
    objective = CallableObjective(mixed_network, x, None, residuals, penalty)
    near = objective.linearise()
    torch.testing.assert_close(near.gradient, gradient_by_autograd(objective))
    named = dict(mixed_network.named_parameters())
    rows = residuals(mixed_network, x)
    jacobian = torch.stack(
        [
            gather_gradients(
                mixed_network,
                dict(
                    zip(
                        named,
                        torch.autograd.grad(row, list(named.values()), retain_graph=True, allow_unused=True),
                        strict=True,
                    )
                ),
            )
            for row in rows
        ]
    )
    plain = CallableObjective(mixed_network, x, None, residuals, None)
    torch.testing.assert_close(plain.linearise().curvature, 2 / len(rows) * jacobian.T @ jacobian)
    assert objective.value() == pytest.approx(near.value, rel=1e-14)


def test_rows_and_outputs_say_the_same_of_least_squares(mixed_network, x, normal):
    target = normal(ROWS, 2)
    by_outputs = OutputObjective(mixed_network, x, target, MeanSquaredError(), None).linearise()
    by_rows = CallableObjective(
        mixed_network, x, target, lambda model, batch: (model(batch[0]) - batch[1]).flatten(), None
    ).linearise()
    torch.testing.assert_close(by_rows.gradient, by_outputs.gradient)
    torch.testing.assert_close(by_rows.curvature, by_outputs.curvature)
    assert by_rows.value == pytest.approx(by_outputs.value, rel=1e-13)


def test_callables_get_what_there_is(mixed_network, x):
    seen = []

    def look(model, batch):
        seen.append(batch)
        return model(x).square().sum()

    CallableObjective(mixed_network, x, None, look, None).value()
    CallableObjective(mixed_network, x, x + 1, look, None).value()
    CallableObjective(mixed_network, x, x + 1, look, None).batch(torch.tensor([3, 1])).value()
    assert torch.equal(seen[0], x)
    assert torch.equal(seen[1][1], x + 1)
    assert torch.equal(seen[2][0], x[[3, 1]])
    assert torch.equal(seen[2][1], x[[3, 1]] + 1)


def test_scalars_and_rows_are_told_apart(mixed_network, x):
    rows = CallableObjective(mixed_network, x, None, lambda model, x: model(x)[:, 0], None)
    scalar = CallableObjective(mixed_network, x, None, lambda model, x: model(x).square().mean(), None)
    assert rows.has_rows()
    assert not scalar.has_rows()
    torch.testing.assert_close(rows.loss(), mixed_network(x)[:, 0].square().mean())
    with pytest.raises(
        OptionError, match="needs residual rows: return a 1-d tensor from the loss, or use solver=LBFGS"
    ):
        scalar.linearise()


@pytest.mark.parametrize(
    ("result", "shown"),
    [(lambda y: y, r"\(12, 2\)"), (lambda y: 1.0, "float"), (lambda y: None, "NoneType")],
    ids=["2-d", "float", "None"],
)
def test_other_results_are_refused(result, shown, mixed_network, x):
    objective = CallableObjective(mixed_network, x, None, lambda model, x: result(model(x)), None)
    with pytest.raises(OptionError, match=f"a loss returns a 0-d tensor or 1-d residual rows, got {shown}"):
        objective.value()


def test_parameters_are_those_of_the_model(mixed_network, x):
    objective = OutputObjective(mixed_network, x, x, MeanSquaredError(), None)
    values = torch.arange(len(objective.parameters), dtype=F64) / 100
    objective.parameters = values
    assert torch.equal(get_parameters(mixed_network), values)
    assert torch.equal(objective.parameters, values)


def test_batches_are_some_of_the_rows(mixed_network, x):
    objective = OutputObjective(mixed_network, x, x + 1, MeanSquaredError(), Sparsity())
    assert objective.batch(torch.tensor([1])).weights is None
    part = objective.batch(torch.tensor([2, 5, 0]))
    assert torch.equal(part.x, x[[2, 5, 0]])
    assert torch.equal(part.target, x[[2, 5, 0]] + 1)
    assert part.penalty == Sparsity()
    assert objective.penalty_value().item() > 0
    assert OutputObjective(mixed_network, x, x, MeanSquaredError(), None).penalty_value().item() == 0
