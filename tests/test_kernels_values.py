"""The three contractions, compared with explicit sums over SciPy's splines and closed forms."""

import shutil

import numpy as np
import pytest
import scipy.interpolate
import torch

from edgewise import kernels
from edgewise.basis import BSpline, Chebyshev, Fourier
from edgewise.kernels import dispatch, extension
from edgewise.kernels.reference import ReferenceBackend

pytestmark = pytest.mark.usefixtures("contracted")

F64 = torch.float64
GRID = torch.tensor([[-1.0, 1.0], [0.0, 2.0], [-3.0, -1.0]], dtype=F64)
BATCH, INPUTS, OUTPUTS = 7, 3, 2


def scipy_curves(basis, c, x, order):
    """φ⁽ⁿ⁾ of every edge at its input, shape (B, I, O), one edge after the other, with the linear continuation."""
    result = np.zeros((len(x), INPUTS, OUTPUTS))
    for i in range(INPUTS):
        low, high = GRID[i].tolist()
        width = (high - low) / basis.grid
        knots = low + width * np.arange(-basis.degree, basis.grid + basis.degree + 1)
        for o in range(OUTPUTS):
            spline = scipy.interpolate.BSpline(knots, c[i, :, o], basis.degree)
            for b in range(len(x)):
                at = min(max(x[b, i], low), high)
                if at == x[b, i]:
                    result[b, i, o] = spline(at, nu=order)
                elif order == 0:
                    result[b, i, o] = spline(at) + spline(at, nu=1) * (x[b, i] - at)
                elif order == 1:
                    result[b, i, o] = spline(at, nu=1)
    return result


@pytest.fixture
def tensors(normal, uniform):
    """x inside and outside of the domains, c, v and g."""

    def make(basis):
        low, high = GRID.T
        x = torch.lerp(low, high, uniform(-0.4, 1.4, BATCH, INPUTS))
        return x, normal(INPUTS, basis.size, OUTPUTS), normal(BATCH, INPUTS), normal(BATCH, OUTPUTS)

    return make


def assert_near(got, wanted, tolerance=1e-11):
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    np.testing.assert_allclose(got.numpy(), wanted, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("degree", range(1, 10))
@pytest.mark.parametrize("order", [0, 1, 2])
def test_contractions_are_sums_over_splines(degree, order, tensors):
    basis = BSpline(grid=3, degree=degree)
    x, c, v, g = tensors(basis)
    curves = scipy_curves(basis, c.numpy(), x.numpy(), order)
    assert_near(kernels.apply(basis, GRID, x, c, order=order), curves.sum(axis=1))
    assert_near(kernels.apply(basis, GRID, x, c, order=order, v=v), (v.numpy()[:, :, None] * curves).sum(axis=1))
    assert_near(kernels.pullback(basis, GRID, x, c, g, order=order), (g.numpy()[:, None, :] * curves).sum(axis=2))


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_coefficient_gradient_collects_every_sample(basis, order, tensors):
    x, _, v, g = tensors(basis)
    wanted = np.zeros((INPUTS, basis.size, OUTPUTS))
    weighted = np.zeros((INPUTS, basis.size, OUTPUTS))
    values = basis.values(x, GRID, order).numpy()
    for b in range(BATCH):
        for i in range(INPUTS):
            one = np.outer(values[b, i], g[b].numpy())
            wanted[i] += one
            weighted[i] += v[b, i].item() * one
    assert_near(kernels.coefficient_gradient(basis, GRID, x, g, order=order), wanted)
    assert_near(kernels.coefficient_gradient(basis, GRID, x, g, order=order, v=v), weighted)


@pytest.mark.parametrize("degree", range(1, 10))
def test_knots_have_the_value_of_their_right_side_and_the_last_that_of_its_left(degree, normal):
    basis, grid = BSpline(grid=4, degree=degree), torch.tensor([[-1.0, 1.0]], dtype=F64)
    knots = basis.breakpoints(grid).T.contiguous()
    inner = knots + torch.tensor([[1e-7]] * 4 + [[-1e-7]], dtype=F64)
    c = normal(1, basis.size, 2)
    jumping = kernels.apply(basis, grid, knots, c, order=degree)
    # The derivative of this order is constant between knots.
    torch.testing.assert_close(jumping, kernels.apply(basis, grid, inner, c, order=degree), rtol=1e-9, atol=1e-9)


def test_an_apply_at_order_zero_is_linear_in_its_coefficients(basis, tensors):
    x, c, _, g = tensors(basis)
    y = kernels.apply(basis, GRID, x, c)
    # The three are one trilinear form: ⟨g, apply⟩ = ⟨c, coefficient_gradient⟩ = Σ pullback.
    form = (g * y).sum()
    torch.testing.assert_close((c * kernels.coefficient_gradient(basis, GRID, x, g)).sum(), form)
    torch.testing.assert_close(kernels.pullback(basis, GRID, x, c, g).sum(), form)


def test_empty_batches(basis):
    x, g = torch.empty(0, INPUTS, dtype=F64), torch.empty(0, OUTPUTS, dtype=F64)
    c = torch.ones(INPUTS, basis.size, OUTPUTS, dtype=F64)
    assert kernels.apply(basis, GRID, x, c).shape == (0, OUTPUTS)
    assert kernels.pullback(basis, GRID, x, c, g).shape == (0, INPUTS)
    total = kernels.coefficient_gradient(basis, GRID, x, g)
    assert torch.equal(total, torch.zeros_like(c))


@pytest.mark.parametrize("order", [0, 2])
def test_nan_stays_in_its_row(basis, order, tensors):
    x, c, _, g = tensors(basis)
    clean = kernels.apply(basis, GRID, x, c, order=order), kernels.pullback(basis, GRID, x, c, g, order=order)
    x[3, 1] = torch.nan
    spoilt = kernels.apply(basis, GRID, x, c, order=order), kernels.pullback(basis, GRID, x, c, g, order=order)
    for before, after in zip(clean, spoilt, strict=True):
        others = [row for row in range(BATCH) if row != 3]
        torch.testing.assert_close(after[others], before[others], rtol=0, atol=0)
    assert spoilt[0][3].isnan().all()
    assert spoilt[1][3].isnan().tolist() == [False, True, False]
    assert kernels.coefficient_gradient(basis, GRID, x, g, order=order)[1].isnan().any()


def test_strided_and_expanded_tensors_are_taken_as_they_are(tensors):
    basis = BSpline(grid=4, degree=3)
    x, c, v, g = tensors(basis)
    expanded = torch.ones(1, 1, dtype=F64).expand(BATCH, OUTPUTS)
    strided = {
        "x": torch.stack([x, x + 1], dim=2)[:, :, 0],
        "c": c.permute(2, 0, 1).contiguous().permute(1, 2, 0),
        "v": v.T.contiguous().T,
        "g": torch.cat([g, g])[::2],
    }
    assert not any(tensor.is_contiguous() for tensor in (*strided.values(), expanded))
    plain = {name: tensor.contiguous() for name, tensor in strided.items()}
    for a, b, ones in ((strided, plain, expanded),):
        for v_a, v_b in ((None, None), (a["v"], b["v"])):
            torch.testing.assert_close(
                kernels.apply(basis, GRID, a["x"], a["c"], v=v_a, order=1),
                kernels.apply(basis, GRID, b["x"], b["c"], v=v_b, order=1),
            )
            torch.testing.assert_close(
                kernels.coefficient_gradient(basis, GRID, a["x"], a["g"], v=v_a),
                kernels.coefficient_gradient(basis, GRID, b["x"], b["g"], v=v_b),
            )
        for g_a, g_b in ((a["g"], b["g"]), (ones, ones.contiguous())):
            torch.testing.assert_close(
                kernels.pullback(basis, GRID, a["x"], a["c"], g_a),
                kernels.pullback(basis, GRID, b["x"], b["c"], g_b),
            )


@pytest.mark.parametrize("basis", [BSpline(5, 3), BSpline(20, 1), Chebyshev(8), Fourier(3)], ids=str)
def test_float32(basis, tensors):
    double = tensors(basis)
    x, c, v, g = (tensor.float() for tensor in double)
    grid = GRID.float()
    for order in (0, 1):
        pairs = [
            (
                kernels.apply(basis, grid, x, c, v=v, order=order),
                kernels.apply(basis, GRID, double[0], double[1], v=double[2], order=order),
            ),
            (
                kernels.pullback(basis, grid, x, c, g, order=order),
                kernels.pullback(basis, GRID, double[0], double[1], double[3], order=order),
            ),
            (
                kernels.coefficient_gradient(basis, grid, x, g, v=v, order=order),
                kernels.coefficient_gradient(basis, GRID, double[0], double[3], v=double[2], order=order),
            ),
        ]
        for single, wanted in pairs:
            assert single.dtype == torch.float32
            scale = float(wanted.abs().max())
            # A linear spline's derivative jumps at knots: the cases are drawn off them, by the seed.
            torch.testing.assert_close(single.double(), wanted, rtol=0, atol=1e-5 * max(1.0, scale))


class OnlyChebyshev(ReferenceBackend):
    """A backend that serves one family, and says so."""

    name = "test"

    def __init__(self):
        self.calls = 0

    def why_not(self, basis, order, tensors):
        return None if isinstance(basis, Chebyshev) else f"serves Chebyshev only, not {basis}"

    def apply(self, *arguments):
        self.calls += 1
        return super().apply(*arguments)


def test_the_first_backend_that_can_serve_a_call_does(monkeypatch, tensors):
    special = OnlyChebyshev()
    monkeypatch.setattr(dispatch, "BACKENDS", (special, *dispatch.BACKENDS))
    for basis, calls in ((BSpline(3, 2), 0), (Chebyshev(4), 1)):
        x, c, _, _ = tensors(basis)
        kernels.apply(basis, GRID, x, c)
        assert special.calls == calls


def test_the_reference_comes_last_and_serves_everything():
    last = dispatch.BACKENDS[-1]
    assert last.name == "reference"
    assert last.why_not(Fourier(2), 7, [torch.zeros(1, 1)]) is None


def test_where_a_compiler_is_at_hand_the_extension_is_installed():
    """Or else the tests of the extension would be left out without anybody noticing."""
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    assert compiler is None or extension.module is not None, extension.why_missing()
