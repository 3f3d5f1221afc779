"""The contractions are closed under differentiation: gradients of every order, in every argument and both modes."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from edgewise import kernels
from edgewise.basis import BSpline, Chebyshev, Fourier, Gaussian, MexicanHat

# torch's forward mode compiles its own rules with torch.jit.script, of which torch itself warns.
pytestmark = [
    pytest.mark.usefixtures("contracted"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]

F64 = torch.float64
SMALL = [
    *(BSpline(grid=2, degree=degree) for degree in range(1, 10)),
    Chebyshev(degree=3),
    Fourier(terms=1),
    Gaussian(centers=2),
    MexicanHat(scales=1),
]
ENDS = torch.tensor([[-1.0, 1.0], [0.0, 2.0]], dtype=F64)
BREAKS = torch.tensor([[-1.0, -0.4, 1.0], [0.0, 1.3, 2.0]], dtype=F64)


@pytest.fixture
def tensors(normal, uniform):
    """Leaves x, c, v, g: the rows of x lie below, inside (in each of two cells) and above the domain, off the knots."""

    def make(basis, grid):
        points = basis.breakpoints(grid)
        cells = torch.tensor([0, points.shape[1] - 2])
        share = uniform(0.1, 0.9, 4, 2)
        inside = torch.lerp(points[:, cells], points[:, cells + 1], share[:2].T).T
        x = torch.cat([inside, grid[:, 0] - share[2:3], grid[:, -1] + share[3:]])
        leaves = (x, normal(2, basis.size, 2), normal(4, 2), normal(4, 2))
        return tuple(leaf.requires_grad_() for leaf in leaves)

    return make


def contractions(basis, grid, order):
    """The three at once, as a function of x, c, v and g."""

    def all_three(x, c, v, g):
        return (
            kernels.apply(basis, grid, x, c, order=order, v=v),
            kernels.pullback(basis, grid, x, c, g, order=order),
            kernels.coefficient_gradient(basis, grid, x, g, order=order, v=v),
        )

    return all_three


@pytest.mark.parametrize("basis", SMALL, ids=str)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_first_and_second_gradients(basis, order, tensors):
    inputs = tensors(basis, ENDS)
    options = {"fast_mode": True, "check_undefined_grad": False}
    assert gradcheck(contractions(basis, ENDS, order), inputs, check_forward_ad=True, **options)
    assert gradgradcheck(contractions(basis, ENDS, order), inputs, **options)


@pytest.mark.parametrize(("basis", "order"), [(BSpline(2, 1), 0), (BSpline(2, 2), 1), (BSpline(2, 4), 0)], ids=str)
def test_gradients_on_free_knots(basis, order, tensors):
    inputs = tensors(basis, BREAKS)
    options = {"fast_mode": True, "check_undefined_grad": False}
    assert gradcheck(contractions(basis, BREAKS, order), inputs, check_forward_ad=True, **options)
    assert gradgradcheck(contractions(basis, BREAKS, order), inputs, **options)


@pytest.mark.parametrize("basis", [BSpline(2, 3), Chebyshev(3)], ids=str)
def test_gradients_without_weights(basis, tensors):
    x, c, _, g = tensors(basis, ENDS)

    def unweighted(x, c, g):
        return kernels.apply(basis, ENDS, x, c, order=1), kernels.coefficient_gradient(basis, ENDS, x, g, order=1)

    assert gradcheck(unweighted, (x, c, g), fast_mode=True, check_forward_ad=True)
    assert gradgradcheck(unweighted, (x, c, g), fast_mode=True)


@pytest.mark.parametrize("basis", [BSpline(2, 3), Chebyshev(3)], ids=str)
def test_many_gradients_at_once(basis, tensors):
    # `torch.autograd.grad(is_grads_batched=True)`, which has a vmap of its own.
    inputs = tensors(basis, ENDS)
    assert gradcheck(contractions(basis, ENDS, 0), inputs, fast_mode=True, check_batched_grad=True)
    assert gradgradcheck(contractions(basis, ENDS, 0), inputs, fast_mode=True, check_batched_grad=True)


@pytest.mark.parametrize("basis", [BSpline(2, 4)], ids=str)
def test_every_entry_of_the_jacobians(basis, tensors):
    # The slow mode compares whole Jacobians, where the fast one compares random projections.
    assert gradcheck(contractions(basis, ENDS, 0), tensors(basis, ENDS), check_forward_ad=True)


@pytest.mark.parametrize("basis", [BSpline(2, 3), BSpline(2, 5), Chebyshev(6), Gaussian(4)], ids=str)
def test_third_derivatives_are_those_of_finite_differences(basis, tensors):
    x, c, _, g = tensors(basis, ENDS)
    (first,) = torch.autograd.grad((g * kernels.apply(basis, ENDS, x, c)).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    (third,) = torch.autograd.grad(second.sum(), x)
    step = 1e-6
    with torch.no_grad():
        above, below = (kernels.pullback(basis, ENDS, x + shift, c, g, order=2) for shift in (step, -step))
    torch.testing.assert_close(third, (above - below) / (2 * step), rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(third, kernels.pullback(basis, ENDS, x, c, g, order=3))


def test_gradients_at_knots_and_ends_are_those_of_the_documented_side(normal):
    basis, grid = BSpline(grid=2, degree=1), torch.tensor([[-1.0, 1.0]], dtype=F64)
    c = normal(1, 3, 1)
    x = torch.tensor([[-1.0], [0.0], [1.0]], dtype=F64, requires_grad=True)
    kernels.apply(basis, grid, x, c).sum().backward()
    slopes = (c[0, 1:] - c[0, :-1]).flatten()  # cells of length 1
    torch.testing.assert_close(x.grad.flatten(), slopes[[0, 1, 1]])


def test_only_what_is_needed_is_differentiated(tensors):
    basis = BSpline(2, 3)
    x, c, v, g = (leaf.detach() for leaf in tensors(basis, ENDS))
    for wanted in (x, c, v):
        wanted.requires_grad_()
        y = kernels.apply(basis, ENDS, x, c, v=v)
        (gradient,) = torch.autograd.grad((g * y).sum(), wanted)
        assert gradient.shape == wanted.shape
        wanted.requires_grad_(False)
    assert not kernels.apply(basis, ENDS, x, c, v=v).requires_grad


def test_strided_gradients(tensors):
    basis = BSpline(2, 3)
    x, c, v, g = tensors(basis, ENDS)
    wide = torch.stack([g.detach()] * 3, dim=1)[:, 1]
    dense = torch.autograd.grad(kernels.apply(basis, ENDS, x, c, v=v), (x, c, v), g.detach())
    strided = torch.autograd.grad(kernels.apply(basis, ENDS, x, c, v=v), (x, c, v), wide)
    expanded = torch.autograd.grad(kernels.apply(basis, ENDS, x, c, v=v).sum(), (x, c, v))
    ones = torch.autograd.grad(kernels.apply(basis, ENDS, x, c, v=v), (x, c, v), torch.ones_like(g))
    for got, wanted in ((strided, dense), (expanded, ones)):
        for one, other in zip(got, wanted, strict=True):
            torch.testing.assert_close(one, other)


def test_empty_batches_have_gradients():
    basis = BSpline(2, 3)
    x = torch.empty(0, 2, dtype=F64, requires_grad=True)
    c = torch.ones(2, 5, 3, dtype=F64, requires_grad=True)
    kernels.apply(basis, ENDS, x, c).sum().backward()
    assert x.grad.shape == (0, 2)
    assert torch.equal(c.grad, torch.zeros_like(c))
