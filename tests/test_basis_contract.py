"""What every function family promises, whatever it is made of."""

import itertools
import json

import numpy as np
import pytest
import scipy.interpolate
import scipy.special
import sympy
import torch

from edgewise.basis import (
    BSpline,
    Chebyshev,
    Fourier,
    Gaussian,
    MexicanHat,
    basis_from_dict,
    basis_from_key,
    fit_curve,
    gram,
)
from edgewise.errors import OptionError

F64 = torch.float64
LOW, HIGH = -1.3, 2.1
DOMAIN = torch.tensor([[LOW, HIGH]], dtype=F64)


def bspline(basis, x, order):
    width = (HIGH - LOW) / basis.grid
    knots = LOW + width * np.arange(-basis.degree, basis.grid + basis.degree + 1)
    return scipy.interpolate.BSpline(knots, np.eye(basis.size), basis.degree)(x, nu=order)


def chebyshev(basis, x, order):
    u, scale = (2 * x - LOW - HIGH) / (HIGH - LOW), (2 / (HIGH - LOW)) ** order
    series = [np.polynomial.chebyshev.chebder(row, order) for row in np.eye(basis.size)]
    return scale * np.stack([np.polynomial.chebyshev.chebval(u, row) for row in series], axis=1)


def fourier(basis, x, order):
    frequency = 2 * np.pi / (HIGH - LOW) * np.arange(1, basis.terms + 1)
    angle = (x[:, None] - LOW) * frequency + order * np.pi / 2
    constant = np.full((len(x), 1), float(order == 0))
    return np.concatenate([constant, np.cos(angle) * frequency**order, np.sin(angle) * frequency**order], axis=1)


def gaussian(basis, x, order):
    centers, spacing = np.linspace(LOW, HIGH, basis.centers, retstep=True)
    z = (x[:, None] - centers) / spacing
    bumps = (-1 / spacing) ** order * scipy.special.eval_hermitenorm(order, z) * np.exp(-(z**2) / 2)
    return np.concatenate([np.full((len(x), 1), float(order == 0)), bumps], axis=1)


def mexican_hat(basis, x, order):
    z = sympy.Symbol("z")
    wavelet = sympy.lambdify(z, sympy.diff((1 - z**2) * sympy.exp(-(z**2) / 2), z, order), "numpy")
    columns = [np.full(len(x), float(order == 0))]
    for level in range(basis.scales):
        for center in np.linspace(LOW, HIGH, 2**level + 1):
            half = (HIGH - LOW) / 2 ** (level + 1)
            columns.append(wavelet((x - center) / half) / half**order)
    return np.stack(columns, axis=1)


REFERENCES = {
    BSpline: bspline,
    Chebyshev: chebyshev,
    Fourier: fourier,
    Gaussian: gaussian,
    MexicanHat: mexican_hat,
}


def assert_near(got, wanted, tolerance):
    """Equal up to a share of the largest wanted value."""
    scale = max(1.0, float(wanted.abs().max())) if wanted.numel() else 1.0
    torch.testing.assert_close(got, wanted, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("order", range(5))
def test_values_and_derivatives_are_those_of_the_closed_form(basis, order, uniform):
    x = uniform(LOW, HIGH, 50)
    wanted = torch.from_numpy(REFERENCES[type(basis)](basis, x.numpy(), order))
    got = basis.values(x[:, None], DOMAIN, order)
    assert got.shape == (50, 1, basis.size)
    assert_near(got[:, 0], wanted, 1e-11)


def test_derivatives_are_those_of_finite_differences(basis, uniform):
    step = 1e-6 * (HIGH - LOW)
    points = basis.breakpoints(DOMAIN)[0]
    x = uniform(LOW, HIGH, 200)
    x = x[(x[:, None] - points).abs().amin(dim=1) > 2 * step][:, None]  # off the knots
    assert len(x) > 100
    for order in (1, 2, 3):
        above, below = basis.values(x + step, DOMAIN, order - 1), basis.values(x - step, DOMAIN, order - 1)
        assert_near(basis.values(x, DOMAIN, order), (above - below) / (2 * step), 1e-7)


def test_ones_are_the_coefficients_of_the_constant_1(basis, uniform):
    ones = torch.tensor(basis.ones(), dtype=F64)
    assert ones.shape == (basis.size,)
    x = uniform(LOW - 2, HIGH + 2, 100, 1)
    constant = basis.values(x, DOMAIN) @ ones
    torch.testing.assert_close(constant, torch.ones_like(x), rtol=0, atol=1e-13)
    for order in (1, 2):
        assert_near(basis.values(x, DOMAIN, order) @ ones, torch.zeros_like(x), 1e-12 * 100**order)


def test_families_continue_linearly_beyond_the_domain(linear_basis, uniform):
    basis = linear_basis
    beyond = uniform(0, 3, 20, 1)
    for end, x in ((LOW, LOW - beyond), (HIGH, HIGH + beyond)):
        at = torch.full((1, 1), end, dtype=F64)
        value, slope = basis.values(at, DOMAIN), basis.values(at, DOMAIN, 1)
        assert_near(basis.values(x, DOMAIN), value + slope * (x - end).unsqueeze(-1), 1e-13)
        assert_near(basis.values(x, DOMAIN, 1), slope.expand(20, 1, -1), 1e-13)
        for order in (2, 3):
            assert not basis.values(x, DOMAIN, order).any()


@pytest.mark.parametrize("degree", [1, 2, 7, 13])
def test_polynomials_may_reach_beyond_the_domain(degree, uniform):
    """They are polynomials there, and straight lines only from where the reach ends."""
    basis, width = Chebyshev(degree, reach=0.2), HIGH - LOW
    x = uniform(LOW - 0.2 * width, HIGH + 0.2 * width, 100)
    for order in range(4):
        wanted = torch.from_numpy(chebyshev(basis, x.numpy(), order))
        assert_near(basis.values(x[:, None], DOMAIN, order)[:, 0], wanted, 1e-11)
    for end, side in ((LOW - 0.2 * width, -1), (HIGH + 0.2 * width, 1)):
        at = np.array([end])
        value, slope = (torch.from_numpy(chebyshev(basis, at, order)) for order in (0, 1))
        beyond = uniform(0.01, 2, 20, 1)
        assert_near(basis.values(end + side * beyond, DOMAIN)[:, 0], value + slope * side * beyond, 1e-11)
        assert_near(basis.values(end + side * beyond, DOMAIN, 1)[:, 0], slope.expand(20, -1), 1e-11)
        assert not basis.values(end + side * beyond, DOMAIN, 2).any()


@pytest.mark.parametrize("basis", [Fourier(terms=1), Fourier(terms=4)], ids=str)
@pytest.mark.parametrize("order", range(4))
def test_fourier_functions_are_periodic(basis, order, uniform):
    x = uniform(LOW, HIGH, 20, 1)
    for periods in (-2, 1, 3):
        shifted = x + periods * (HIGH - LOW)
        assert_near(basis.values(shifted, DOMAIN, order), basis.values(x, DOMAIN, order), 1e-13)


def test_the_ends_belong_to_the_domain(basis):
    ends = torch.tensor([[LOW], [HIGH]], dtype=F64)
    nearby = ends + torch.tensor([[1e-9], [-1e-9]], dtype=F64)
    for order in range(3):
        assert_near(basis.values(ends, DOMAIN, order), basis.values(nearby, DOMAIN, order), 1e-6)


def test_inputs_are_independent_of_each_other(basis, normal, uniform):
    lows = normal(3, 1)
    grid = torch.cat([lows, lows + uniform(0.5, 2, 3, 1)], dim=1)
    x = normal(4, 2, 3)
    got = basis.values(x, grid, 1)
    assert got.shape == (4, 2, 3, basis.size)
    for i in range(3):
        alone = basis.values(x[..., i].reshape(-1, 1), grid[i : i + 1], 1).reshape(4, 2, basis.size)
        torch.testing.assert_close(got[:, :, i], alone, rtol=1e-12, atol=1e-12)


def test_empty_batches_and_single_rows(basis):
    grid = DOMAIN.expand(3, 2)
    assert basis.values(torch.empty(0, 3, dtype=F64), grid).shape == (0, 3, basis.size)
    assert basis.values(torch.empty(2, 0, 3, dtype=F64), grid, 2).shape == (2, 0, 3, basis.size)
    assert basis.values(torch.zeros(1, 3, dtype=F64), grid).shape == (1, 3, basis.size)
    assert basis.values(torch.zeros(3, dtype=F64), grid).shape == (3, basis.size)


def test_nan_stays_in_its_row_at_every_order(basis, uniform):
    x = uniform(LOW - 1, HIGH + 1, 5, 1)
    spoilt = x.clone()
    spoilt[2] = torch.nan
    others = [0, 1, 3, 4]
    for order in range(basis.size + 2):
        clean, values = basis.values(x, DOMAIN, order), basis.values(spoilt, DOMAIN, order)
        assert torch.equal(values[others], clean[others])
        assert values[2].sum().isnan()


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e30])
def test_the_scale_of_the_domain_does_not_matter(basis, scale, uniform):
    x = uniform(LOW - 1, HIGH + 1, 30, 1)
    for order in range(3):
        got = basis.values(x * scale, DOMAIN * scale, order) * scale**order
        assert_near(got, basis.values(x, DOMAIN, order), 1e-11)


def test_float32_gives_float32(basis, uniform):
    x = uniform(LOW - 1, HIGH + 1, 100, 1).float()
    grid = DOMAIN.float()
    near_a_knot = (x.double() - basis.breakpoints(grid.double())[0]).abs().amin(dim=1) < 1e-4
    for order in range(3):
        got, wanted = basis.values(x, grid, order), basis.values(x.double(), grid.double(), order)
        assert got.dtype == torch.float32
        assert_near(got[~near_a_knot].double(), wanted[~near_a_knot], 3e-5)


def test_a_basis_comes_back_from_plain_data(basis):
    description = json.loads(json.dumps(basis.to_dict()))
    assert basis_from_dict(description) == basis
    assert basis_from_key(basis.key) == basis
    assert hash(basis_from_dict(description)) == hash(basis)


def test_curves_of_the_family_are_fitted_exactly(basis, normal):
    grid = torch.tensor([[LOW, HIGH], [0.0, 1.0]], dtype=F64)
    x = torch.lerp(grid[:, 0], grid[:, 1], torch.linspace(0, 1, 20 * basis.size, dtype=F64)[:, None])
    y = torch.einsum("nim,imo->nio", basis.values(x, grid), normal(2, basis.size, 3))
    fitted = fit_curve(basis, grid, x, y)
    assert fitted.shape == (2, basis.size, 3)
    assert_near(torch.einsum("nim,imo->nio", basis.values(x, grid), fitted), y, 1e-10)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_gram_matrices_are_integrals_of_products(basis, order):
    points = basis.breakpoints(DOMAIN)[0]
    # Simpson's rule on many equal parts of every smooth piece; inside of a piece, so that no jump is seen.
    u = torch.linspace(0, 1, 201, dtype=F64)
    weights = torch.ones_like(u)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    wanted = torch.zeros(basis.size, basis.size, dtype=F64)
    for low, high in itertools.pairwise(points):
        inset = torch.lerp(low, high, u.clamp(1e-9, 1 - 1e-9))
        values = basis.values(inset[:, None], DOMAIN, order)[:, 0]
        wanted += values.T @ (values * (weights * (high - low) / 600).unsqueeze(1))
    assert_near(gram(basis, DOMAIN, order)[0], wanted, 1e-7)


def test_the_grid_fits_new_values(basis, uniform):
    x = torch.cat([uniform(3, 5, 50, 1), uniform(-1, 0, 50, 1), torch.full((50, 1), 0.4)], dim=1).to(F64)
    grid = DOMAIN.expand(3, 2)
    new = basis.adapted_grid(grid, x)
    assert (new.diff(dim=1) > 0).all()
    torch.testing.assert_close(new[:2, [0, -1]], torch.stack([x.amin(0), x.amax(0)], dim=1)[:2])
    torch.testing.assert_close(new[2, [0, -1]], DOMAIN[0])  # values that do not spread say nothing
    assert basis.values(x, new).isfinite().all()


def test_the_breakpoints_span_the_domain(basis):
    points = basis.breakpoints(DOMAIN.expand(2, 2))
    assert points.shape[0] == 2
    assert (points.diff(dim=1) > 0).all()
    torch.testing.assert_close(points[:, [0, -1]], DOMAIN.expand(2, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BSpline(grid=0), "grid of 1 or more intervals, got grid=0"),
        (lambda: BSpline(grid=2.5), r"got grid=2\.5"),
        (lambda: BSpline(degree=0), "degree is 1 to 9, got degree=0"),
        (lambda: BSpline(degree=10), "degree is 1 to 9, got degree=10"),
        (lambda: Chebyshev(degree=0), "degree of 1 or more, got degree=0"),
        (lambda: Chebyshev(reach=-0.1), "0 or more, got reach=-0.1"),
        (lambda: Chebyshev(reach=float("nan")), "got reach=nan"),
        (lambda: Fourier(terms=0), "1 or more terms, got terms=0"),
        (lambda: Gaussian(centers=1), "2 or more centers, got centers=1"),
        (lambda: MexicanHat(scales=0), "1 or more scales, got scales=0"),
        (lambda: MexicanHat(scales=2).with_grid(3), "power of two of cells at its finest level, got grid=3"),
        (lambda: MexicanHat(scales=2).with_grid(0), "got grid=0"),
        (
            lambda: Chebyshev().with_grid(8),
            r"Chebyshev\(degree=8, reach=0.0\) has no grid of intervals to set to 8; refine",
        ),
        (lambda: Fourier().with_grid(8), "no grid of intervals"),
        (
            lambda: Gaussian().with_degree(8),
            r"Gaussian\(centers=8\) has no degree to set to 8; refine its grid",
        ),
        (lambda: MexicanHat().with_degree(8), "no degree to set to 8"),
        (
            lambda: basis_from_dict({"family": "Legendre"}),
            "unknown basis family 'Legendre'; known: .*BSpline, Ch",
        ),
        (lambda: basis_from_dict({"grid": 3}), "unknown basis family None"),
        (lambda: basis_from_dict({"family": "BSpline", "size": 3}), "BSpline does not take these options: {'size': 3}"),
    ],
)
def test_impossible_options_are_refused(make, message):
    with pytest.raises(OptionError, match=message):
        make()


def test_defaults():
    defaults = [BSpline(), Chebyshev(), Fourier(), Gaussian(), MexicanHat()]
    assert defaults == [BSpline(grid=5, degree=3), Chebyshev(degree=8), Fourier(5), Gaussian(8), MexicanHat(3)]


@pytest.mark.parametrize(
    ("refined", "expected"),
    [
        (BSpline(5, 3).with_grid(10), BSpline(10, 3)),
        (BSpline(5, 3).with_degree(5), BSpline(5, 5)),
        (Chebyshev(4).with_degree(7), Chebyshev(7)),
        (Fourier(2).with_degree(6), Fourier(6)),
        (Gaussian(4).with_grid(6), Gaussian(7)),
        (MexicanHat(1).with_grid(8), MexicanHat(4)),
        (MexicanHat(3).with_grid(4), MexicanHat(3)),
    ],
)
def test_refined_families(refined, expected):
    assert refined == expected
