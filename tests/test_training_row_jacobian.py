"""Jacobians of a callable's residual rows, all at once, against one backward pass for each."""

import pytest
import torch

from edgewise.basis import BSpline, Chebyshev
from edgewise.kan import KAN
from edgewise.training.objective import CallableObjective

F64 = torch.float64


def slopes(model, x, order=2):
    """u, and its first and second derivatives by every input, summed over the outputs."""
    x = x.clone().requires_grad_()
    u = model(x)
    (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    second = [
        torch.autograd.grad(first[:, i].sum(), x, create_graph=True)[0][:, i] for i in range(x.shape[1] * (order > 1))
    ]
    return u, first, second


def laplace(model, x):
    u, _, second = slopes(model, x)
    edge = x.clone()
    edge[:, 0] = 1.0
    return torch.cat([sum(second) + u[:, 0] ** 2, 3 * model(edge[:7]).flatten()])


def two_equations(model, x):
    # Every sample feeds two rows: those of each equation.
    u, first, second = slopes(model, x)
    return torch.cat([first[:, 0] - u[:, 0] ** 2, second[1] + first[:, 1], model(x[:4])[:, 0]])


def periodic(model, x):
    # A row looks at two samples, also of one call.
    left, right = x.clone(), x.clone()
    left[:, 0], right[:, 0] = -1.0, 1.0
    both = model(torch.cat([left, right]))
    return torch.cat([(both[: len(x)] - both[len(x) :]).flatten(), model(x).flatten() - 1])


def plain_errors(model, x):
    return (model(x) - x[:, :1].exp()).flatten()


def any_leading_shape(model, x):
    return model(x.view(2, -1, 2)).flatten() - 1


def with_attributes(model, x):
    assert isinstance(model.in_features, int)
    return model(x).flatten() / model.out_features


LOCAL = [laplace, two_equations, periodic, plain_errors, any_leading_shape, with_attributes]

NETWORKS = {
    "splines": lambda: KAN([2, 3, 1], basis=BSpline(4, 5), seed=0),
    "chebyshev": lambda: KAN([2, 3, 1], basis=Chebyshev(6), seed=0),
    "base function": lambda: KAN([2, 3, 1], base="silu", seed=0),
    "products": lambda: KAN([2, [1, 2], 1], basis=BSpline(4, 5), seed=0),
    "locked": lambda: KAN([2, 3, 1], basis=BSpline(4, 5), seed=0).lock(0, 1, 2),
    "symbolic": lambda: KAN([2, 3, 1], basis=BSpline(4, 5), seed=0).fix_symbolic(0, 0, 1, "sin"),
    "pruned": lambda: KAN([2, 3, 1], basis=BSpline(4, 5), seed=0).prune(node_threshold=0.0, edge_threshold=0.1),
}


def objective(model, rows, x):
    return CallableObjective(model, x, None, rows, None)


@pytest.mark.parametrize("rows", LOCAL, ids=lambda rows: rows.__name__)
@pytest.mark.parametrize("network", NETWORKS)
def test_they_are_those_of_one_pass_for_each_row(network, rows, uniform):
    made = objective(NETWORKS[network](), rows, uniform(-0.9, 0.9, 20, 2))
    local, in_turn = made.local_jacobian(), made._jacobian_in_turn()
    assert local is not None
    torch.testing.assert_close(local[0], in_turn[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(local[1], in_turn[1], rtol=1e-9, atol=1e-9)


def test_what_is_known_of_the_rows_serves_again(uniform, monkeypatch):
    made = objective(NETWORKS["splines"](), two_equations, uniform(-0.9, 0.9, 20, 2))
    made.local_jacobian()
    monkeypatch.setattr(made.local_jacobian, "_grouped", None)
    made.parameters = made.parameters + 0.1
    local = made.local_jacobian()
    torch.testing.assert_close(local[1], made._jacobian_in_turn()[1], rtol=1e-9, atol=1e-9)


def test_rows_that_look_elsewhere_after_a_while(uniform):
    order = torch.arange(20)
    made = objective(NETWORKS["splines"](), lambda model, x: model(x)[order, 0], uniform(-0.9, 0.9, 20, 2))
    made.local_jacobian()
    order = order.flip(0)
    local = made.local_jacobian()
    torch.testing.assert_close(local[1], made._jacobian_in_turn()[1], rtol=1e-9, atol=1e-9)


def deviations(model, x):
    # Every row looks at all samples.
    y = model(x)[:, 0]
    return y - y.mean() * torch.arange(len(y))


def sizes_of_parameters(model, x):
    # Rows that are made of parameters, not of outputs.
    return torch.cat([model(x)[:, 0], model.layers[0].blocks[0].coefficients.flatten()])


def inner_values(model, x):
    return model.trace(x).layers[0].outputs.flatten()


def by_transforms(model, x):
    return torch.func.vmap(torch.func.grad(lambda point: model(point).sum()))(x).sum(dim=1)


def of_another(model, x):
    del model
    return ANOTHER(x).flatten()


ANOTHER = NETWORKS["splines"]()


@pytest.mark.parametrize("rows", [deviations, sizes_of_parameters, inner_values, by_transforms])
def test_rows_that_are_not_local_are_differentiated_in_turn(rows, uniform):
    made = objective(NETWORKS["splines"](), rows, uniform(-0.9, 0.9, 20, 2))
    assert made.local_jacobian() is None
    assert not made.local_jacobian.serves
    near = made.linearise()
    values, jacobian = made._jacobian_in_turn()
    torch.testing.assert_close(near.gradient, 2 / len(values) * jacobian.T @ values, rtol=1e-12, atol=1e-12)


def test_a_callable_that_keeps_the_network_to_itself(uniform):
    # It does not use the network it is given, so only the plain passes see what it does.
    x = uniform(-0.9, 0.9, 20, 2)
    made = objective(ANOTHER, of_another, x)
    torch.testing.assert_close(made.linearise().gradient, objective(ANOTHER, plain, x).linearise().gradient)


def plain(model, x):
    return model(x).flatten()


def test_cancelling_rows_are_told_apart(uniform):
    # One sample feeds rows whose gradients are multiples of each other, or cancel.
    x = uniform(-0.9, 0.9, 20, 2)
    for factor in (2.0, -1.0, 1.0):
        made = objective(NETWORKS["splines"](), lambda m, x, k=factor: torch.cat([m(x)[:, 0], k * m(x)[:, 0]]), x)
        local = made.local_jacobian()
        assert local is not None
        torch.testing.assert_close(local[1], made._jacobian_in_turn()[1], rtol=1e-9, atol=1e-9)
        shared = objective(NETWORKS["splines"](), lambda m, x, k=factor: _twice(m(x)[:, 0], k), x)
        local = shared.local_jacobian()
        assert local is not None
        torch.testing.assert_close(local[1], shared._jacobian_in_turn()[1], rtol=1e-9, atol=1e-9)


def _twice(y, factor):
    return torch.cat([y, factor * y])


def test_rows_without_gradients_are_zero(uniform):
    made = objective(NETWORKS["splines"](), lambda m, x: torch.cat([m(x)[:5, 0], x[:, 0]]), uniform(-0.9, 0.9, 20, 2))
    values, jacobian = made.local_jacobian()
    assert jacobian.shape == (25, len(made.parameters))
    assert not jacobian[5:].any()
    assert torch.equal(values[5:], made.x[:, 0])
