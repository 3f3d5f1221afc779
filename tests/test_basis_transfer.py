"""From the coefficients of one basis to those of another: knot insertion, projection, least squares, quadrature."""

import math

import pytest
import torch

from edgewise.basis import (
    BSpline,
    Chebyshev,
    Fourier,
    Gaussian,
    MexicanHat,
    basis,
    bspline,
    fit_curve,
    gram,
    least_squares,
    projection,
    quadrature,
)

F64 = torch.float64
ENDS = torch.tensor([[-1.0, 1.0], [0.2, 3.0]], dtype=F64)


def assert_same_function(old, old_grid, new, new_grid, c, tolerance, reach=0.0):
    """`transfer` keeps the functions with the coefficients c on the new domain, and `reach` beyond it."""
    moved = old.transfer(old_grid, new, new_grid) @ c
    steps = torch.linspace(-reach, 1 + reach, 301, dtype=F64)[:, None]
    x = torch.lerp(new_grid[:, 0], new_grid[:, -1], steps)
    before = torch.einsum("nim,imo->nio", old.values(x, old_grid), c)
    after = torch.einsum("nim,imo->nio", new.values(x, new_grid), moved)
    torch.testing.assert_close(after, before, rtol=0, atol=tolerance * max(1.0, float(before.abs().max())))


@pytest.mark.parametrize("degree", range(1, 10))
@pytest.mark.parametrize("factor", [1, 2, 3, 7])
@pytest.mark.parametrize("free", [False, True])
def test_integer_refinement_of_the_grid_is_exact(degree, factor, free, free_grid, normal):
    coarse = BSpline(grid=4, degree=degree)
    fine = coarse.with_grid(4 * factor)
    grid = free_grid(2, 4) if free else ENDS
    assert_same_function(coarse, grid, fine, coarse.refined_grid(grid, fine), normal(2, coarse.size, 3), 1e-12, 0.3)


@pytest.mark.parametrize("degree", [1, 2, 3, 5, 9])
def test_refinement_of_a_single_cell(degree, normal):
    assert_same_function(BSpline(1, degree), ENDS, BSpline(2, degree), ENDS, normal(2, degree + 1, 1), 1e-12, 0.3)


@pytest.mark.parametrize("degree", [1, 3, 5])
@pytest.mark.parametrize(
    "points",
    [[0, 0.5, 0.5, 1], [0, 0, 0.3, 1], [0, 0.3, 1, 1], [0, 0.3, 0.3, 0.3, 0.3, 1]],
    ids=["double", "lower-end", "upper-end", "discontinuous"],
)
def test_refinement_with_repeated_knots(degree, points, normal):
    grid = torch.tensor([points], dtype=F64)
    coarse = BSpline(len(points) - 1, degree)
    fine = coarse.with_grid(3 * coarse.grid)
    assert_same_function(coarse, grid, fine, coarse.refined_grid(grid, fine), normal(1, coarse.size, 2), 1e-12)


@pytest.mark.parametrize("degree", [1, 3, 9])
def test_refinement_of_knots_that_crowd_together(degree, normal):
    # Cells from 2⁻³⁰ to 1/2: no tolerance that is a share of the mean cell would tell them apart.
    grid = torch.cat([torch.zeros(1), 2.0 ** -torch.arange(30, -1, -1)]).to(F64)[None]
    coarse = BSpline(31, degree)
    fine = coarse.with_grid(62)
    assert_same_function(coarse, grid, fine, coarse.refined_grid(grid, fine), normal(1, coarse.size, 1), 1e-12)


def test_a_repeated_knot_is_not_contained_in_a_simple_one(normal):
    coarse_grid = torch.tensor([[0, 0.5, 0.5, 1]], dtype=F64)
    fine_grid = torch.tensor([[0, 0.25, 0.5, 0.75, 1]], dtype=F64)
    coarse, fine, c = BSpline(3, 3), BSpline(4, 3), normal(1, 6, 1)
    moved = coarse.transfer(coarse_grid, fine, fine_grid) @ c
    # The kink cannot be kept; what comes out is the best approximation, so its error is orthogonal to every function.
    points, weights = quadrature(fine_grid)
    values = fine.values(points.T, fine_grid)[:, 0]
    error = coarse.values(points.T, coarse_grid)[:, 0] @ c[0] - values @ moved[0]
    assert error.abs().max() > 1e-3
    torch.testing.assert_close(values.T @ (weights.T * error), torch.zeros(7, 1, dtype=F64), rtol=0, atol=1e-13)


def test_insertion_by_two_uses_the_two_scale_relation():
    matrix = bspline.insertion_matrix(
        torch.arange(-3.0, 13.0, dtype=F64)[None], torch.arange(-1.5, 11.0, 0.5, dtype=F64)[None], 3
    )
    wanted = torch.tensor([math.comb(4, k) / 8 for k in range(5)], dtype=F64)
    columns = matrix[0, :, 4]  # of a function whose support lies inside
    torch.testing.assert_close(columns[columns > 0], wanted)


def test_grids_that_do_not_contain_the_old_one_are_projected(normal):
    coarse, other = BSpline(4, 3), BSpline(6, 3)
    torch.testing.assert_close(coarse.transfer(ENDS, other, ENDS), projection(coarse, ENDS, other, ENDS))
    moved_ends = ENDS + torch.tensor([[0.0, 0.5]], dtype=F64)
    torch.testing.assert_close(
        coarse.transfer(ENDS, BSpline(8, 3), moved_ends), projection(coarse, ENDS, BSpline(8, 3), moved_ends)
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (Chebyshev(4), Chebyshev(4)),
        (Chebyshev(4), Chebyshev(11)),
        (Fourier(3), Fourier(5)),
        (Chebyshev(3), BSpline(5, 3)),
        (BSpline(1, 5), Chebyshev(5)),
        (BSpline(3, 2), BSpline(3, 2)),
        (Gaussian(4), Gaussian(4)),
        (MexicanHat(2), MexicanHat(4)),
    ],
    ids=str,
)
def test_functions_that_the_target_can_represent_are_kept(old, new, normal):
    assert_same_function(old, ENDS, new, ENDS, normal(2, old.size, 2), 1e-11)


@pytest.mark.parametrize(
    ("old", "positions"),
    [
        (Chebyshev(4), [0, 1, 2, 3, 4]),
        (Fourier(3), [0, 1, 2, 3, 7, 8, 9]),  # 1, three of six cosines, three of six sines
    ],
)
def test_nested_families_keep_their_coefficients(old, positions):
    new = old.with_degree(6)
    matrix = old.transfer(old.refined_grid(ENDS, new), new, ENDS)
    wanted = torch.zeros(2, new.size, old.size, dtype=F64)
    wanted[:, positions, range(old.size)] = 1.0
    torch.testing.assert_close(matrix, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 3, 7])
def test_polynomials_move_to_another_domain(degree, normal):
    inner = torch.tensor([[-0.3, 0.4], [-2.0, 5.0]], dtype=F64)
    # Inside of the old domain the function is that polynomial; beyond it, its linear continuation.
    old, c = Chebyshev(degree), normal(2, degree + 1, 1)
    moved = old.transfer(ENDS[:1], Chebyshev(degree), inner[:1]) @ c[:1]
    x = torch.linspace(-0.3, 0.4, 50, dtype=F64)[:, None]
    torch.testing.assert_close(old.values(x, inner[:1])[:, 0] @ moved[0], old.values(x, ENDS[:1])[:, 0] @ c[0])
    if degree == 1:
        assert_same_function(old, ENDS, Chebyshev(3), inner, c, 1e-12, reach=0.2)


def test_a_wider_domain_takes_the_linear_continuation_along(normal):
    # The old ends become breakpoints of the quadrature, so the projection is exact where the target can follow.
    old, wide = BSpline(2, 1), torch.tensor([[-3.0, 3.0]], dtype=F64)
    assert_same_function(old, ENDS[:1], BSpline(6, 1), wide, normal(1, 3, 2), 1e-12)


def smooth(x):
    return torch.exp(x) + torch.sin(4 * x)


def rms_error(cells, degree):
    spline = BSpline(cells, degree)
    x = torch.linspace(-1, 1, 4001, dtype=F64)[:, None]
    c = fit_curve(spline, ENDS[:1], x, smooth(x)[..., None])
    error = spline.values(x, ENDS[:1])[:, 0] @ c[0] - smooth(x)
    return error.square().mean().sqrt()


@pytest.mark.parametrize(("degree", "cells"), [(1, 60), (2, 40), (3, 30), (5, 24), (7, 24)])
def test_the_order_of_approximation_is_degree_plus_one(degree, cells):
    coarse, fine = rms_error(cells, degree), rms_error(2 * cells, degree)
    assert fine > 1e-14  # still above rounding
    assert abs(math.log2(coarse / fine) - (degree + 1)) < 0.3


def test_raising_the_degree_moves_the_function_by_about_the_old_floor():
    x = torch.linspace(-1, 1, 4001, dtype=F64)[:, None]
    cubic = BSpline(grid=20, degree=3)
    c = fit_curve(cubic, ENDS[:1], x, smooth(x)[..., None])
    quintic = cubic.with_degree(5)
    raised = cubic.transfer(ENDS[:1], quintic, ENDS[:1]) @ c
    before = cubic.values(x, ENDS[:1])[:, 0] @ c[0]
    after = quintic.values(x, ENDS[:1])[:, 0] @ raised[0]
    floor = rms_error(20, 3)
    moved = (after - before).square().mean().sqrt()
    assert 0.1 * floor < moved < 2 * floor
    # ... and towards the target.
    assert (after - smooth(x)).square().mean().sqrt() < floor


@pytest.mark.parametrize("power", [0, 1, 5, 18, 31])
def test_quadrature_is_exact_up_to_degree_31(power):
    points, weights = quadrature(torch.tensor([[0.0, 0.3, 0.3, 1.0], [-1.0, 0.0, 0.5, 2.0]], dtype=F64))
    wanted = torch.tensor([1.0, 2.0 ** (power + 1) - (-1.0) ** (power + 1)], dtype=F64) / (power + 1)
    torch.testing.assert_close((weights * points**power).sum(dim=1), wanted, rtol=1e-13, atol=0)
    torch.testing.assert_close(weights.sum(dim=1), torch.tensor([1.0, 3.0], dtype=F64))


def test_quadrature_keeps_its_precision_and_is_usable_after_inference_mode():
    basis._gauss_legendre.cache_clear()
    bspline._uniform_pieces.cache_clear()
    ends = torch.tensor([[-1.0, 1.0]])
    x = torch.tensor([[0.3]], requires_grad=True)
    with torch.inference_mode():
        first = gram(BSpline(3, 3), ends.clone(), 1)
        BSpline(3, 3).values(x.detach().clone(), ends.clone(), 0)
    assert first.dtype == torch.float32
    BSpline(3, 3).values(x, ends)[0, 0, 1].backward()
    wanted = BSpline(3, 3).values(x.detach(), ends, 1)[0, 0, 1]
    torch.testing.assert_close(x.grad.squeeze(), wanted)
    scaled = ends.clone().requires_grad_()
    quadrature(scaled)[1].sum().backward()  # the length of the interval
    torch.testing.assert_close(scaled.grad, torch.tensor([[-1.0, 1.0]]))


def test_cells_without_data_get_finite_coefficients(uniform):
    spline = BSpline(grid=10, degree=3)
    x = torch.cat([uniform(-1, -0.4, 40, 1), uniform(0.6, 1, 40, 1)])
    c = fit_curve(spline, ENDS[:1], x, torch.sin(3 * x)[..., None])
    assert c.isfinite().all()
    assert c.abs().max() < 3  # minimum norm: nothing blows up in the gap
    errors = spline.values(x, ENDS[:1])[:, 0] @ c[0] - torch.sin(3 * x)
    assert errors.abs().max() < 2e-3


def test_fewer_samples_than_coefficients_are_interpolated(normal):
    x = torch.tensor([[-0.5], [0.1], [0.7]], dtype=F64)
    y = normal(3, 1, 2)
    c = fit_curve(BSpline(5, 3), ENDS[:1], x, y)
    torch.testing.assert_close(torch.einsum("nim,imo->nio", BSpline(5, 3).values(x, ENDS[:1]), c), y)


def test_least_squares_is_the_solution_of_least_norm(normal):
    design = normal(2, 8, 3) @ normal(2, 3, 5)  # of rank 3
    wanted = normal(2, 8, 4)
    torch.testing.assert_close(least_squares(design, wanted), torch.linalg.pinv(design) @ wanted)


def test_fitting_keeps_float32():
    x = torch.linspace(-1, 1, 50)[:, None]
    c = fit_curve(BSpline(8, 3), ENDS[:1].float(), x, x.cos()[..., None])
    assert c.dtype == torch.float32
    fitted = BSpline(8, 3).values(x, ENDS[:1].float())[:, 0] @ c[0]
    torch.testing.assert_close(fitted, x.cos(), rtol=0, atol=1e-4)
