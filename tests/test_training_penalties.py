"""Penalties: their values, gradients and curvatures."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from edgewise.basis import BSpline, Chebyshev
from edgewise.errors import OptionError
from edgewise.network import KANLayer, Network
from edgewise.training import Smoothness, Sparsity, Sum
from edgewise.training.gauss_newton import block_slices, gather_gradients, get_parameters, set_parameters
from edgewise.training.losses import MeanSquaredError
from edgewise.training.objective import OutputObjective

F64 = torch.float64
PENALTIES = [
    Sparsity(l1=0.3, entropy=0.2),
    Sparsity(l1=0.5, entropy=0.0),
    Sparsity(l1=0.0, entropy=0.4, epsilon=1e-2),
    Smoothness(weight=0.05),
    Sum((Sparsity(), Smoothness(weight=0.1))),
]


@pytest.fixture(params=PENALTIES, ids=["sparsity", "l1", "entropy", "smoothness", "sum"])
def penalty(request):
    return request.param


@pytest.fixture
def x(uniform):
    return uniform(-1.2, 1.2, 20, 2)


class Penalised(nn.Module):
    """The penalty as a module, so that `functional_call` reaches its parameters."""

    def __init__(self, model, penalty):
        super().__init__()
        self.model, self.penalty = model, penalty

    def forward(self, x):
        return self.penalty(self.model, self.model.trace(x))


def curvature_of(model, penalty, x):
    """All curvatures of a penalty in one matrix over the free parameters."""
    size = len(get_parameters(model))
    matrix = torch.zeros(size, size, dtype=F64)
    trace = model.trace(x)
    with torch.no_grad():
        for layer, index, block, start in block_slices(model):
            for edge, part in enumerate(penalty.curvature(layer, block, trace.layers[index])):
                at = start + edge * len(part) + torch.arange(len(part))
                matrix[at[:, None], at] = part
    return matrix


def test_sparsity_is_the_formula_of_the_paper_with_standard_deviations(mixed_network, x):
    wanted = 0.0
    for layer, values in zip(mixed_network.all_layers, mixed_network.trace(x).layers, strict=True):
        activities = []
        for source, target in layer.mask.nonzero().tolist():
            edge = values.edges[:, source, target].detach().numpy()
            activities.append(np.sqrt(np.mean((edge - edge.mean()) ** 2) + 0.01**2))
        shares = np.array(activities) / np.sum(activities)
        wanted += 0.3 * np.sum(activities) - 0.2 * np.sum(shares * np.log(shares))
    got = Sparsity(l1=0.3, entropy=0.2, epsilon=0.01)(mixed_network, mixed_network.trace(x))
    np.testing.assert_allclose(got.item(), wanted)


def test_sparsity_ignores_constants(network, x):
    model = network([2, 3])
    shifted = model.rebuilt([model.all_layers[0].map_blocks(lambda b: b.shifted(torch.ones(2, 3, dtype=F64)))])
    penalty = Sparsity()
    torch.testing.assert_close(penalty(shifted, shifted.trace(x)), penalty(model, model.trace(x)))


def test_layers_without_edges_are_free(network, x):
    model = network([2, 3])
    empty = model.rebuilt([model.all_layers[0].map_blocks(lambda b: b.restricted(b.mask & False))])
    assert Sparsity()(empty, empty.trace(x)).item() == 0.0


def test_smoothness_is_the_integral_of_the_squared_second_derivative(basis_block):
    grid = torch.tensor([[-1.0, 1.0], [0.0, 4.0]], dtype=F64)
    block = basis_block(2, 3, basis=BSpline(4, 3), grid=grid)
    model = Network([KANLayer.from_blocks([block], (1, 1, 1), 2)], sample=grid.T)
    u = torch.linspace(-1, 1, 20001, dtype=F64)[:, None]
    x = torch.lerp(grid[:, 0], grid[:, 1], (u + 1) / 2)
    half = (grid[:, 1] - grid[:, 0]) / 2  # of a domain: φ'' is by the input in units of the domain
    second = torch.einsum("bim,ims->bis", block.basis.values(x, grid, 2), block.coefficients) * half[:, None] ** 2
    wanted = 0.7 * torch.trapezoid(second**2, u.flatten(), dim=0).sum()
    got = Smoothness(weight=0.7)(model, model.trace(x[:2]))
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=0)  # the trapezoidal rule's own error


def test_straight_lines_are_smooth(network, x):
    model = network([2, 3], basis=Chebyshev(1))
    assert Smoothness(weight=1.0)(model, model.trace(x)).item() < 1e-20


def test_gradients_by_the_free_parameters(penalty, mixed_network, x, normal):
    named = dict(mixed_network.named_parameters())
    value = penalty(mixed_network, mixed_network.trace(x))
    found = torch.autograd.grad(value, list(named.values()), allow_unused=True)
    gradient = gather_gradients(mixed_network, dict(zip(named, found, strict=True)))
    start = get_parameters(mixed_network)
    for _ in range(3):
        direction, values = normal(len(start)), []
        for sign in (1, -1):
            set_parameters(mixed_network, start + sign * 1e-6 * direction)
            values.append(penalty(mixed_network, mixed_network.trace(x)).item())
        difference = (values[0] - values[1]) / 2e-6
        np.testing.assert_allclose(difference, (gradient @ direction).item(), rtol=1e-6, atol=1e-8)


def test_gradients_of_a_plain_network(penalty, network, x):
    module = Penalised(network([2, 2, 1], basis=BSpline(2, 2), base="silu"), penalty)
    names = [name for name, _ in module.named_parameters()]
    leaves = tuple(value.detach().clone().requires_grad_() for _, value in module.named_parameters())

    def value(*parameters):
        return functional_call(module, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(value, leaves, fast_mode=True)


def test_masked_and_locked_edges_are_not_pulled(penalty, mixed_network, x):
    penalty(mixed_network, mixed_network.trace(x)).backward()
    for layer in mixed_network.all_layers:
        for block in layer.all_blocks():
            held = ~block.mask | block.locked
            if hasattr(block, "coefficients"):
                assert not block.coefficients.grad.transpose(1, 2)[held].any()
            elif block.affine.grad is not None:
                assert not block.affine.grad[block.locked_edges].any()


def test_curvatures_are_positive_semidefinite(penalty, mixed_network, x):
    matrix = curvature_of(mixed_network, penalty, x)
    torch.testing.assert_close(matrix, matrix.T)
    eigenvalues = torch.linalg.eigvalsh(matrix)
    assert eigenvalues.min() > -1e-10 * eigenvalues.max()
    assert eigenvalues.max() > 1e-6


def test_the_curvature_of_smoothness_is_its_hessian(network, x, normal):
    model, penalty = network([2, 2, 1], base="silu"), Smoothness(weight=0.3)
    matrix, start = curvature_of(model, penalty, x), get_parameters(model)
    direction = normal(len(start))
    values = []
    for step in (-1.0, 0.0, 1.0):
        set_parameters(model, start + step * direction)
        values.append(penalty(model, model.trace(x)).item())
    np.testing.assert_allclose(values[0] - 2 * values[1] + values[2], direction @ matrix @ direction)


def test_the_curvature_of_the_l1_penalty_is_a_majoriser(network, x, normal):
    # s_e = √(variance + ε²) is concave in the variance: its tangent there lies above, and is quadratic in c.
    model, penalty = network([2, 2]), Sparsity(l1=0.3, entropy=0.0)
    matrix, start = curvature_of(model, penalty, x), get_parameters(model)
    value = penalty(model, model.trace(x))
    named = dict(model.named_parameters())
    flat = gather_gradients(model, dict(zip(named, torch.autograd.grad(value, list(named.values())), strict=True)))
    for scale in (0.01, 0.3, 3.0):
        step = scale * normal(len(start))
        bound = value + flat @ step + step @ matrix @ step / 2
        set_parameters(model, start + step)
        assert penalty(model, model.trace(x)) <= bound * (1 + 1e-12)
    set_parameters(model, start)


def test_curvatures_weigh_covariances_by_activity(network, x):
    model = network([2, 2])
    layer, values = model.all_layers[0], model.trace(x).layers[0]
    block = layer.all_blocks()[0]
    got = Sparsity(l1=0.3, entropy=0.0, epsilon=1e-3).curvature(layer, block, values)
    features = block.features(x).numpy()
    for edge, (source, target) in enumerate(zip(*block.free_edges(), strict=True)):
        activity = np.sqrt(np.var(values.edges[:, source, target].detach().numpy()) + 1e-6)
        wanted = 0.3 / activity * np.cov(features[:, edge].T, bias=True)
        np.testing.assert_allclose(got[edge].detach().numpy(), wanted, atol=1e-14)


def test_entropy_never_makes_curvatures_negative(network, x):
    model = network([2, 3])
    with torch.no_grad():
        model.all_layers[0].all_blocks()[0].coefficients[0, :, 0] *= 50  # one edge dominates
    matrix = curvature_of(model, Sparsity(l1=0.0, entropy=1.0), x)
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12
    assert not matrix[:6, :6].any()  # the dominant edge gains, so it is not held back


def test_sums_add_up(mixed_network, x):
    parts = (Sparsity(l1=0.1), Smoothness(weight=0.2))
    trace = mixed_network.trace(x)
    both = Sum(parts)
    torch.testing.assert_close(both(mixed_network, trace), sum(part(mixed_network, trace) for part in parts))
    torch.testing.assert_close(
        curvature_of(mixed_network, both, x), sum(curvature_of(mixed_network, part, x) for part in parts)
    )


def test_symbolic_edges_are_neither_smooth_nor_rough(symbolic_block, x):
    layer = KANLayer.from_blocks([symbolic_block("sin", [(0, 0), (1, 0)], (2, 1))], (1,), 2)
    model = Network([layer], sample=x)
    assert Smoothness(weight=1.0)(model, model.trace(x)).item() == 0.0
    objective = OutputObjective(model, x, x[:, :1], MeanSquaredError(), Smoothness(weight=1.0))
    plain = OutputObjective(model, x, x[:, :1], MeanSquaredError(), None)
    torch.testing.assert_close(objective.linearise().gradient, plain.linearise().gradient)
    torch.testing.assert_close(objective.linearise().curvature, plain.linearise().curvature)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sparsity(l1=-1.0), "weights must be 0 or more and epsilon positive, got"),
        (lambda: Sparsity(entropy=-1.0), "weights must be 0 or more"),
        (lambda: Sparsity(epsilon=0.0), "epsilon positive"),
        (lambda: Smoothness(weight=-1e-9), "the weight of a penalty must be 0 or more, got -1e-09"),
    ],
)
def test_impossible_weights_are_refused(make, message):
    with pytest.raises(OptionError, match=message):
        make()
