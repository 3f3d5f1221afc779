"""Damped steps by each quadratic model, against the dense solution, and what they are good for."""

import math
import time

import numpy as np
import pytest
import torch

from edgewise.basis import BSpline
from edgewise.kan import KAN
from edgewise.training import CrossEntropy, MeanSquaredError, Poisson, Smoothness, Sparsity, fit
from edgewise.training.conjugate_gradients import IterativeModel
from edgewise.training.dual import DualModel
from edgewise.training.gauss_newton import Linearisation, get_parameters, jacobian_rows
from edgewise.training.jacobian import Jacobian
from edgewise.training.objective import OutputObjective

F64 = torch.float64
PENALTIES = [None, Sparsity(l1=0.1), Smoothness(weight=0.1)]


@pytest.fixture(
    params=["mixed", "splines", "base function", "products", "frozen", "all locked in a layer", "two edges"]
)
def model(request, mixed_network, network, symbolic_block):
    """Networks of all kinds of blocks, with masked, locked and frozen parameters."""
    if request.param == "mixed":
        return mixed_network
    if request.param == "frozen":
        frozen = torch.tensor([[True, False, False, False]] * 3)
        edges = [(0, 0), (1, 0), (1, 1)]
        layer = network([2, 2, 2]).all_layers[0]
        sines = symbolic_block("sin", edges, (2, 2), frozen=frozen)
        return network([2, 2]).rebuilt([layer, layer.with_blocks([sines])])
    if request.param == "all locked in a layer":
        made = network([2, 3, 2])
        held = made.all_layers[0].map_blocks(lambda block: block.with_locked(block.mask))
        return made.rebuilt([held, made.all_layers[1]])
    width, options = {
        "splines": ([2, 3, 2], {"basis": BSpline(6, 3)}),
        "base function": ([2, 3, 2], {"base": "silu"}),
        "products": ([2, [1, (2, 3)], [1, 1]], {}),
        "two edges": ([1, 2], {}),
    }[request.param]
    return network(width, **options)


@pytest.fixture(params=[6, 150], ids=["few rows", "many rows"])
def x(request, model, uniform):
    """Inputs inside and outside of the domain."""
    return uniform(-1.2, 1.2, request.param, model.in_features)


@pytest.fixture(params=["mse", "cross-entropy", "poisson"])
def objective(request, model, x, normal, rng):
    """A loss of the network with weights."""
    samples, outputs = len(x), model.out_features
    weights = 0.5 + torch.rand(samples, generator=rng, dtype=F64)
    loss, target = {
        "mse": (MeanSquaredError(), normal(samples, outputs)),
        "cross-entropy": (CrossEntropy(), torch.randint(outputs, (samples,), generator=rng)),
        "poisson": (Poisson(), torch.poisson(torch.ones(samples, outputs, dtype=F64), generator=rng)),
    }[request.param]
    return OutputObjective(model, x, target, loss, None, weights)


def dense_step(objective, scale, damping):
    """The solution for a scale by NumPy, from the dense curvature in units in which the damping is that of a sphere."""
    near = objective.linearise()
    assert isinstance(near, Linearisation)
    root = scale.sqrt().numpy()
    curvature = near.curvature.numpy() / np.outer(root, root)
    return -np.linalg.solve(curvature + damping * np.eye(len(root)), near.gradient.numpy() / root) / root


def agree(got, wanted, tolerance):
    np.testing.assert_allclose(got.numpy(), wanted, rtol=0, atol=tolerance * np.abs(wanted).max() + 1e-12)


def test_the_jacobian_multiplies_like_its_matrix(model, x, normal):
    factor = normal(len(x), model.out_features, 3)
    matrix = jacobian_rows(model, x, factor).transpose(0, 1) / math.sqrt(len(x))  # (N, R, P)
    jacobian = Jacobian(model, x, factor)
    v, u = normal(matrix.shape[2]), normal(*matrix.shape[:2])
    torch.testing.assert_close(jacobian.times(v), matrix @ v)
    torch.testing.assert_close(jacobian.transposed_times(u), torch.einsum("nrp,nr->p", matrix, u))
    torch.testing.assert_close(jacobian.squares(), matrix.square().sum(dim=(0, 1)))


def test_the_jacobian_stays_where_it_was_made(mixed_network, uniform, normal):
    x, factor = uniform(-1, 1, 9, 2), normal(9, 2, 2)
    jacobian = Jacobian(mixed_network, x, factor)
    v, u = normal(len(get_parameters(mixed_network))), normal(9, 2)
    before = jacobian.times(v), jacobian.transposed_times(u)
    with torch.no_grad():
        for parameter in mixed_network.parameters():
            parameter.add_(0.3)
    assert torch.equal(jacobian.times(v), before[0])
    assert torch.equal(jacobian.transposed_times(u), before[1])
    assert not torch.allclose(Jacobian(mixed_network, x, factor).times(v), before[0])


@pytest.mark.parametrize("damping", [1e-1, 1e-4])
def test_dual_steps_are_dense_steps(damping, objective, monkeypatch):
    monkeypatch.setattr("edgewise.training.dual._QUICK_DAMPING", math.inf)
    near, dense = objective.dual_model(), objective.linearise()
    assert near.value == dense.value
    torch.testing.assert_close(near.gradient, dense.gradient, rtol=1e-9, atol=1e-13)
    assert (near.scale > 0).all()
    agree(near.solve(damping), dense_step(objective, near.scale, damping), 1e-9)


@pytest.mark.parametrize("damping", [1.0, 3e-2])
@pytest.mark.parametrize("penalty", PENALTIES, ids=["none", "sparse", "smooth"])
def test_conjugate_gradients_find_dense_steps(damping, penalty, objective, monkeypatch):
    monkeypatch.setattr("edgewise.training.conjugate_gradients._MOST_PRODUCTS", 2000)
    objective.penalty = penalty
    near, dense = objective.iterative_model(), objective.linearise()
    assert near.value == pytest.approx(dense.value, rel=1e-14)
    torch.testing.assert_close(near.gradient, dense.gradient, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(near.scale, dense.scale)
    near.tolerance = 1e-9
    agree(near.solve(damping), dense.solve(damping).numpy(), 1e-5)


def test_strong_damping_needs_no_matrix(objective):
    near = objective.dual_model()
    near.iterative.tolerance = 1e-11
    agree(near.solve(1.0), dense_step(objective, near.scale, 1.0), 1e-7)
    assert "gram" not in vars(near)


def test_steps_short_of_the_tolerance_go_downhill(network, uniform, normal):
    x = uniform(-1, 1, 60, 2)
    near = OutputObjective(network([2, 4, 4, 1]), x, normal(60, 1), MeanSquaredError(), None).iterative_model()
    for damping in (1.0, 1e-3, 1e-9):
        assert near.gradient @ near.solve(damping) < 0


def test_the_preconditioner_saves_products(network, uniform, normal, monkeypatch):
    # One layer with independent inputs is what it takes the curvature for: a Kronecker product.
    x = uniform(-1, 1, 4000, 3)
    objective = OutputObjective(network([3, 4], basis=BSpline(12, 3)), x, normal(4000, 4), MeanSquaredError(), None)
    near = objective.iterative_model()
    near.tolerance = 1e-6
    products = []

    def counted(v):
        products.append(1)
        return IterativeModel._curvature_times(near, v)

    monkeypatch.setattr(near, "_curvature_times", counted)
    near.solve(1e-4)
    assert len(products) <= 3


@pytest.mark.parametrize(
    ("width", "samples", "penalty", "kind"),
    [
        ([2, 3, 1], 5, None, Linearisation),
        ([2, 20, 2], 500, None, Linearisation),
        ([2, 20, 2], 60, None, DualModel),
        ([2, 20, 2], 60, Smoothness(), Linearisation),
        ([2, 20, 20, 1], 3999, None, DualModel),
        ([2, 20, 20, 1], 4001, None, IterativeModel),
        ([2, 20, 20, 1], 60, Sparsity(), IterativeModel),
    ],
)
def test_the_quickest_model_is_taken(width, samples, penalty, kind, uniform):
    x = uniform(-1, 1, samples, 2)
    y = torch.zeros(samples, width[-1], dtype=F64)
    objective = OutputObjective(KAN(width, seed=0), x, y, MeanSquaredError(), penalty)
    assert type(objective.linearise()) is kind


@pytest.mark.parametrize("kind", ["dual_model", "iterative_model"])
def test_what_no_data_reach_is_no_obstacle(kind, network, normal):
    # Both inputs are constant, so that most columns of the Jacobian are zero, and one node is dead.
    model = network([2, 3, 1], basis=BSpline(8, 3))
    with torch.no_grad():
        model.all_layers[1].all_blocks()[0].coefficients[1] = 0.0
    x = torch.full((20, 2), 0.25, dtype=F64)
    near = getattr(OutputObjective(model, x, normal(20, 1), MeanSquaredError(), None), kind)()
    for damping in (1.0, 1e-6):
        step = near.solve(damping)
        assert step.isfinite().all()
        assert near.gradient @ step < 0


@pytest.mark.parametrize("kind", ["dual_model", "iterative_model"])
def test_one_sample_and_one_edge(kind, network):
    x = torch.tensor([[0.2]], dtype=F64)
    objective = OutputObjective(network([1, 1]), x, torch.ones(1, 1, dtype=F64), MeanSquaredError(), None)
    near = getattr(objective, kind)()
    agree(near.solve(1e-3), dense_step(objective, near.scale, 1e-3), 1e-9)


@pytest.mark.parametrize("kind", ["dual_model", "iterative_model"])
def test_without_any_curvature_there_is_no_step(kind, network, normal):
    # There is only one class, so that its probability is one whatever the network says.
    x, labels = normal(20, 1), torch.zeros(20, dtype=torch.int64)
    near = getattr(OutputObjective(network([1, 1]), x, labels, CrossEntropy(), None), kind)()
    for damping in (1.0, 1e-6):
        step = near.solve(damping)
        assert step is None or not step.any()


@pytest.mark.parametrize("kind", ["dual_model", "iterative_model"])
@pytest.mark.parametrize("scale", [1e-6, 1e100])
def test_targets_of_any_scale(kind, scale, network, uniform, normal):
    model = network([2, 3, 1])
    x, y = uniform(-1, 1, 20, 2), normal(20, 1)
    for damping in (1e-2, 1e-3):
        steps = []
        for factor in (1.0, scale):
            objective = OutputObjective(model, x, model(x).detach() + factor * y, MeanSquaredError(), None)
            near = getattr(objective, kind)()
            near.tolerance = 1e-9  # of conjugate gradients
            steps.append(near.solve(damping) / factor)
        torch.testing.assert_close(steps[1], steps[0], rtol=0, atol=1e-5 * float(steps[0].abs().max()))


@pytest.mark.parametrize("kind", ["dual_model", "iterative_model"])
def test_networks_train_by_every_model(kind, uniform, monkeypatch):
    monkeypatch.setattr(OutputObjective, "linearise", lambda self: getattr(self, kind)())
    x = uniform(-1, 1, 150, 2)
    model = KAN([2, 3, 3, 1], basis=BSpline(3, 3), seed=1)
    history = fit(model, x, x[:, 0] * x[:, 1], solver="lm", steps=20)
    assert history.last["train_loss"] < 1e-4


@pytest.mark.slow
def test_a_large_network_beats_lbfgs_in_equal_time(uniform):
    x = uniform(-1, 1, 500, 4)
    y = torch.exp(0.5 * torch.sin(math.pi * (x[:, 0] ** 2 + x[:, 1])) + x[:, 2] * x[:, 3])
    by_curvature, by_gradients = (KAN([4, 25, 25, 1], seed=0) for _ in range(2))
    assert len(get_parameters(by_curvature)) > 5000
    start = time.process_time()
    reached = fit(by_curvature, x, y, solver="lm", steps=40).last["train_loss"]
    middle = time.process_time()
    end = 2 * middle - start
    rival = fit(by_gradients, x, y, solver="lbfgs", steps=10_000, callbacks=[lambda *_: time.process_time() > end])
    assert reached < 1e-20
    assert reached < 1e-6 * rival.last["train_loss"]
