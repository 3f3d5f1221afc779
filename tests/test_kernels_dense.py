"""The dense path of small layers, against the contractions."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import hessian, jacfwd, jacrev, jvp, vmap

from edgewise import kernels
from edgewise.basis import BSpline, Chebyshev, Fourier
from edgewise.kernels import dense, dispatch, functions
from edgewise.kernels.reference import ReferenceBackend

# torch's forward mode compiles its own rules with torch.jit.script, of which torch itself warns.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

F64 = torch.float64
ENDS = torch.tensor([[-1.0, 1.0], [0.0, 2.0]], dtype=F64)


@pytest.fixture(params=[BSpline(3, 1), BSpline(2, 3), BSpline(2, 6), Chebyshev(4), Fourier(1)], ids=str)
def basis(request):
    return request.param


@pytest.fixture
def tensors(basis, normal, uniform):
    """Leaves x, c and v."""
    leaves = uniform(-1.5, 2.5, 4, 2), normal(2, basis.size, 3), normal(4, 2)
    return tuple(leaf.requires_grad_() for leaf in leaves)


def of(basis, order=0):
    return lambda x, c, v: dense.apply(basis, ENDS, x, c, order, v)


def contracted(basis, order=0):
    return lambda x, c, v: functions.CONTRACTIONS.apply(x, c, v, ENDS, basis, None, order)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_it_agrees_with_the_contractions(basis, order, tensors, normal):
    g, results = normal(4, 3), []
    for path in (of(basis, order), contracted(basis, order)):
        y = path(*tensors)
        first = torch.autograd.grad(y, tensors, g, create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), tensors)
        results.append((y, first, second))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("order", [0, 1])
def test_gradients(basis, order, tensors):
    options = {"fast_mode": True, "check_undefined_grad": False, "check_batched_grad": True}
    assert gradcheck(of(basis, order), tensors, check_forward_ad=True, **options)
    assert gradgradcheck(of(basis, order), tensors, **options)


def test_derivatives_in_every_mode(basis, tensors):
    x, c, _ = (tensor.detach() for tensor in tensors)

    def f(row):
        return dense.apply(basis, ENDS, row[None].sin(), c, 0, None)[0]

    def g(row):
        return functions.CONTRACTIONS.apply(row[None].sin(), c, None, ENDS, basis, None, 0)[0]

    for derive in (jacrev, jacfwd, hessian, lambda f: jacfwd(jacfwd(f)), lambda f: jacrev(jacfwd(f))):
        torch.testing.assert_close(derive(f)(x[0]), derive(g)(x[0]))
    torch.testing.assert_close(vmap(jacfwd(jacfwd(f)))(x), vmap(hessian(g))(x))


@pytest.mark.parametrize("mapped", [(0, None, None), (None, 0, None), (0, 0, 0), (-1, None, 0)])
def test_it_is_mapped_as_a_loop(basis, mapped, tensors):
    stacks = [
        torch.stack([tensor.detach() + 0.1 * k for k in range(3)], dim=dim or 0)
        for tensor, dim in zip(tensors, mapped, strict=True)
    ]
    given = [
        stack if dim is not None else tensor.detach()
        for stack, tensor, dim in zip(stacks, tensors, mapped, strict=True)
    ]
    looped = torch.stack(
        [
            contracted(basis, 1)(
                *(
                    tensor if dim is None else tensor.movedim(dim, 0)[k]
                    for tensor, dim in zip(given, mapped, strict=True)
                )
            )
            for k in range(3)
        ]
    )
    torch.testing.assert_close(vmap(of(basis, 1), in_dims=mapped)(*given), looped)


def test_products_with_the_jacobian(basis, tensors):
    values = tuple(tensor.detach() for tensor in tensors)
    directions = tuple(tensor.flip(0) for tensor in values)
    torch.testing.assert_close(jvp(of(basis), values, directions)[1], jvp(contracted(basis), values, directions)[1])


def test_grids_are_not_mapped(basis, tensors):
    x, c, _ = (tensor.detach() for tensor in tensors)
    with pytest.raises(NotImplementedError, match="vmap over a layer's grid is not supported"):
        vmap(lambda grid: dense.apply(basis, grid, x, c, 0, None))(ENDS.expand(2, 2, 2))


def test_the_rule_is_gradients_few_values_and_no_faster_backend(basis, tensors, monkeypatch):
    x, c, _ = (tensor.detach() for tensor in tensors)
    calls = []
    monkeypatch.setattr(dense, "apply", lambda *given: calls.append(given) or torch.zeros(4, 3, dtype=F64))
    monkeypatch.setattr(dispatch, "BACKENDS", (ReferenceBackend(),))
    kernels.apply(basis, ENDS, x, c)
    assert len(calls) == 1
    with torch.no_grad():
        kernels.apply(basis, ENDS, x, c)
    kernels.apply(basis, ENDS, x, c, backend="reference")
    monkeypatch.setattr(dispatch, "BACKENDS", (Fast(), ReferenceBackend()))
    kernels.apply(basis, ENDS, x, c)
    monkeypatch.setattr(dispatch, "BACKENDS", (ReferenceBackend(),))
    monkeypatch.setattr(dense, "MOST_VALUES", x.numel() * basis.size - 1)
    kernels.apply(basis, ENDS, x, c)
    assert len(calls) == 1


class Fast(ReferenceBackend):
    name = "fast"


def test_going_backward_evaluates_nothing_again(basis, tensors, monkeypatch):
    y = of(basis)(*tensors)
    monkeypatch.setattr(type(basis), "values", lambda *given: pytest.fail("evaluated again"))
    y.sum().backward()
    assert all(tensor.grad.abs().sum() > 0 for tensor in tensors)


def test_empty_batches_and_nan(basis, tensors):
    x, c, v = (tensor.detach() for tensor in tensors)
    assert of(basis)(x[:0], c, v[:0]).shape == (0, 3)
    clean = of(basis)(x, c, v)
    x[1, 0] = torch.nan
    spoilt = of(basis)(x, c, v)
    torch.testing.assert_close(spoilt[[0, 2, 3]], clean[[0, 2, 3]])
    assert spoilt[1].isnan().all()
