"""The contractions under `torch.func`: vmap over every argument, and derivatives that agree however they are taken."""

import pytest
import torch
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

from edgewise import kernels
from edgewise.basis import BSpline, Chebyshev

# torch's forward mode compiles its own rules with torch.jit.script, of which torch itself warns.
pytestmark = [
    pytest.mark.usefixtures("contracted"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]

F64 = torch.float64
ENDS = torch.tensor([[-1.0, 1.0], [0.0, 2.0], [-1.0, 2.0]], dtype=F64)
BATCH, INPUTS, OUTPUTS, MANY = 4, 3, 2, 5


@pytest.fixture(params=[BSpline(3, 3), Chebyshev(4)], ids=str)
def basis(request):
    return request.param


@pytest.fixture
def tensors(basis, normal, uniform):
    """x, c, v and g with a leading dimension of MANY."""
    return {
        "x": uniform(-1.5, 2.5, MANY, BATCH, INPUTS),
        "c": normal(MANY, INPUTS, basis.size, OUTPUTS),
        "v": normal(MANY, BATCH, INPUTS),
        "g": normal(MANY, BATCH, OUTPUTS),
    }


OPERATIONS = {
    "apply": lambda basis, x, c, v, g: kernels.apply(basis, ENDS, x, c, v=v, order=1),
    "unweighted": lambda basis, x, c, v, g: kernels.apply(basis, ENDS, x, c),
    "pullback": lambda basis, x, c, v, g: kernels.pullback(basis, ENDS, x, c, g),
    "coefficient_gradient": lambda basis, x, c, v, g: kernels.coefficient_gradient(basis, ENDS, x, g, v=v),
    "unweighted_gradient": lambda basis, x, c, v, g: kernels.coefficient_gradient(basis, ENDS, x, g, order=1),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("mapped", ["x", "c", "v", "g", "xc", "xv", "cg", "xcvg"])
def test_vmap_is_a_loop(basis, operation, mapped, tensors):
    names = ["x", "c", "v", "g"]

    def of(*arguments):
        return OPERATIONS[operation](basis, *arguments)

    dims = tuple(0 if name in mapped else None for name in names)
    given = [tensors[name] if name in mapped else tensors[name][0] for name in names]
    looped = torch.stack([of(*(tensors[name][k if name in mapped else 0] for name in names)) for k in range(MANY)])
    torch.testing.assert_close(vmap(of, in_dims=dims)(*given), looped)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_mapped_dimensions_may_be_anywhere(basis, operation, tensors):
    moved = {name: tensor.movedim(0, -1) for name, tensor in tensors.items()}
    of = OPERATIONS[operation]
    got = vmap(lambda x, c, v, g: of(basis, x, c, v, g), in_dims=(-1, -1, -1, -1), out_dims=-1)(*moved.values())
    wanted = vmap(lambda x, c, v, g: of(basis, x, c, v, g))(*tensors.values())
    torch.testing.assert_close(got.movedim(-1, 0), wanted)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("outer", "inner"), [("c", "x"), ("x", "c"), ("g", "xv"), ("xc", "vg"), ("v", "cg")])
def test_nested_vmap_is_a_nested_loop(basis, operation, outer, inner, tensors):
    names = ["x", "c", "v", "g"]

    def of(*arguments):
        return OPERATIONS[operation](basis, *arguments)

    given = [tensors[name] if name in outer + inner else tensors[name][0] for name in names]
    inside = vmap(of, in_dims=tuple(0 if name in inner else None for name in names))
    got = vmap(inside, in_dims=tuple(0 if name in outer else None for name in names))(*given)
    for a in range(MANY):
        for b in range(MANY):
            picked = [tensors[name][a if name in outer else (b if name in inner else 0)] for name in names]
            torch.testing.assert_close(got[a, b], of(*picked))


def test_single_samples_can_be_mapped(basis, tensors):
    # The natural way to write a function of one sample, as PDE codes do.
    x, c = tensors["x"][0], tensors["c"][0]
    got = vmap(lambda row: kernels.apply(basis, ENDS, row[None], c)[0])(x)
    torch.testing.assert_close(got, kernels.apply(basis, ENDS, x, c))


def test_vmap_over_nothing(basis, tensors):
    c = tensors["c"][0]
    got = vmap(lambda x: kernels.apply(basis, ENDS, x, c))(torch.empty(3, 0, INPUTS, dtype=F64))
    assert got.shape == (3, 0, OUTPUTS)


def test_grids_are_not_mapped(basis, tensors):
    x, c = tensors["x"][0], tensors["c"][0]
    with pytest.raises(NotImplementedError, match="vmap over a layer's grid is not supported"):
        vmap(lambda grid: kernels.apply(basis, grid, x, c))(ENDS.expand(2, 3, 2))


def of_one_sample(basis, c):
    """R³ → R², a function of one sample with curvature in every input."""
    return lambda row: kernels.apply(basis, ENDS, row[None].sin(), c)[0]


def test_jacobians_and_hessians_agree_however_they_are_taken(basis, tensors):
    row, c = tensors["x"][0, 0], tensors["c"][0]
    f = of_one_sample(basis, c)
    slopes = torch.cat(
        [kernels.pullback(basis, ENDS, row[None].sin(), c, g[None], order=1) for g in torch.eye(2, dtype=F64)]
    )
    torch.testing.assert_close(jacrev(f)(row), slopes * row.cos())
    torch.testing.assert_close(jacfwd(f)(row), slopes * row.cos())
    torch.testing.assert_close(torch.stack([grad(lambda r, o=o: f(r)[o])(row) for o in range(2)]), jacrev(f)(row))
    wanted = torch.autograd.functional.hessian(lambda r: f(r)[0], row)
    assert wanted.diagonal().abs().min() > 0
    for second in (hessian(f), jacrev(jacrev(f)), jacfwd(jacfwd(f)), jacrev(jacfwd(f))):
        torch.testing.assert_close(second(row)[0], wanted)


def test_third_derivatives_in_forward_mode(basis, tensors):
    # PyTorch's forward mode does not nest through functions of one's own unless they see to it.
    row, c = tensors["x"][0, 0, :1], tensors["c"][0, :1, :, :1]

    def f(x):
        return kernels.apply(basis, ENDS[:1], x[None], c).sum()

    one = torch.ones(1, 1, dtype=F64)
    wanted = kernels.pullback(basis, ENDS[:1], row[None], c, one, order=3)
    torch.testing.assert_close(jacfwd(jacfwd(jacfwd(f)))(row).flatten(), wanted.flatten())
    _, directional = jvp(lambda x: jvp(f, (x,), (one[0],))[1], (row,), (one[0],))
    torch.testing.assert_close(directional, kernels.pullback(basis, ENDS[:1], row[None], c, one, order=2).sum())


def test_batched_hessians(basis, tensors):
    x, c = tensors["x"][0], tensors["c"][0]
    f = of_one_sample(basis, c)
    torch.testing.assert_close(vmap(hessian(f))(x), torch.stack([hessian(f)(row) for row in x]))


def test_gradients_of_many_sets_of_coefficients(basis, tensors):
    x, stacked = tensors["x"][0], tensors["c"]

    def loss(c):
        return kernels.apply(basis, ENDS, x, c).square().sum()

    for each in (grad, jacfwd):
        got = vmap(each(loss))(stacked)
        torch.testing.assert_close(got, torch.stack([grad(loss)(c) for c in stacked]))


def test_products_with_jacobians_in_both_modes(basis, tensors, normal):
    x, c, v, g = (tensor[0] for tensor in tensors.values())
    directions = tuple(normal(*tensor.shape) for tensor in (x, c, v))

    def f(x, c, v):
        return kernels.apply(basis, ENDS, x, c, v=v)

    _, forward = jvp(f, (x, c, v), directions)
    _, pull = vjp(f, x, c, v)
    along = sum((a * b).sum() for a, b in zip(pull(g), directions, strict=True))
    torch.testing.assert_close((g * forward).sum(), along)


def test_autograd_through_vmap(basis, tensors):
    x = tensors["x"].clone().requires_grad_()
    c = tensors["c"][0].clone().requires_grad_()
    vmap(lambda part: kernels.apply(basis, ENDS, part, c))(x).square().sum().backward()
    got = x.grad, c.grad
    x.grad = c.grad = None
    kernels.apply(basis, ENDS, x.flatten(0, 1), c).square().sum().backward()
    torch.testing.assert_close(got, (x.grad, c.grad))


def test_the_older_vectorised_jacobians(basis, tensors):
    row, c = tensors["x"][0, 0], tensors["c"][0]
    f = of_one_sample(basis, c)
    looped = torch.autograd.functional.jacobian(f, row)
    torch.testing.assert_close(torch.autograd.functional.jacobian(f, row, vectorize=True), looped)
    torch.testing.assert_close(
        torch.autograd.functional.hessian(lambda r: f(r)[0], row, vectorize=True), hessian(f)(row)[0]
    )


@pytest.mark.parametrize("v", [False, True])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_repeated_coefficients_are_like_copied_ones(v, order, uniform, normal):
    # Repeated without being copied they take a quicker way, with the same values and the same gradients by sample.
    basis = BSpline(grid=4, degree=5)
    grid = torch.tensor([[-1.0, 1.0]], dtype=torch.float64).expand(3, 2)
    x, c, weights = uniform(-1, 1, 7, 3), normal(3, basis.size, 2), normal(7, 3) if v else None

    def values(point, own, weight):
        weight = None if weight is None else weight.unsqueeze(0)
        return kernels.apply(basis, grid, point.unsqueeze(0), own, order=order, v=weight).squeeze(0)

    results = []
    for repeat in (lambda: c.expand(7, *c.shape), lambda: c.repeat(7, 1, 1, 1)):
        own, at = repeat().detach().requires_grad_(), x.clone().requires_grad_()
        y = torch.func.vmap(values, in_dims=(0, 0, 0 if v else None))(at, own, weights)
        (slope,) = torch.autograd.grad(y.sum(), at, create_graph=True)
        results.append([y, slope, *torch.autograd.grad(y.square().sum() + slope.square().sum(), [at, own])])
    for quick, plain in zip(*results, strict=True):
        torch.testing.assert_close(quick, plain, rtol=1e-11, atol=1e-11)
