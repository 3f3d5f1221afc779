"""From the coefficients of one basis to those of another: knot insertion, projection, least squares, quadrature."""

import math
from fractions import Fraction

import pytest
import scipy.interpolate
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


def uneven(widths):
    """A grid on [-1, 1] of cells with these relative widths, shape (1, K)."""
    ends = torch.cat([torch.zeros(1, dtype=F64), torch.as_tensor(widths, dtype=F64).cumsum(0)])
    return (2 * ends / ends[-1] - 1).unsqueeze(0)


def with_points(grid, *points):
    return torch.cat([grid, *points], dim=1).sort(dim=1).values


def de_boor(basis, grid, c, x):
    """The spline by SciPy, whose evaluation loses no digits on uneven knots."""
    return torch.from_numpy(scipy.interpolate.BSpline(basis.knots(grid)[0].numpy(), c[0].numpy(), basis.degree)(x))


@pytest.mark.parametrize("degree", [1, 3, 7, 8, 9])
@pytest.mark.parametrize("spread", [0.3, 2.0, 4.0])  # of the logarithm of the cells' widths
@pytest.mark.parametrize("where", ["some bisected", "anywhere", "ends"])
def test_insertion_into_two_hundred_uneven_cells_loses_no_digits(degree, spread, where, normal, uniform):
    grid = uneven(torch.exp(spread * normal(200)))
    middles = (grid[:, 1:] + grid[:, :-1]) / 2
    halvings = 2.0 ** -torch.arange(1, 12, dtype=F64)
    points = {
        "some bisected": lambda: [middles[:, uniform(0, 1, 200) < 0.5]],
        "anywhere": lambda: [grid[:, :-1] + grid.diff(dim=1) * uniform(0, 1, 200)],
        "ends": lambda: [
            grid[:, :1] + (grid[:, 1:2] - grid[:, :1]) * halvings,
            grid[:, -1:] + (grid[:, -2:-1] - grid[:, -1:]) * halvings,
        ],
    }
    fine_grid = with_points(grid, *points[where]())
    coarse, fine = BSpline(200, degree), BSpline(fine_grid.shape[1] - 1, degree)
    c = normal(1, coarse.size, 1)
    matrix = coarse.transfer(grid, fine, fine_grid)
    x = torch.cat([torch.lerp(fine_grid[0, :-1], fine_grid[0, 1:], share) for share in (0.1, 0.5, 0.9)])
    before, after = de_boor(coarse, grid, c, x), de_boor(fine, fine_grid, matrix @ c, x)
    assert (after - before).abs().max() < 1e-14 * c.abs().max()
    torch.testing.assert_close(matrix.sum(dim=2), torch.ones(1, fine.size, dtype=F64), rtol=0, atol=2e-15)


@pytest.mark.parametrize("degree", [3, 7, 9])
def test_the_projection_would_lose_digits_where_insertion_does_not(degree, normal):
    grid = uneven(torch.exp(4 * normal(60)))
    fine_grid = with_points(grid, (grid[:, 1:] + grid[:, :-1]) / 2)
    coarse, fine, c = BSpline(60, degree), BSpline(120, degree), normal(1, 60 + degree, 1)
    x = torch.lerp(fine_grid[0, :-1], fine_grid[0, 1:], 0.3)
    before = de_boor(coarse, grid, c, x)
    inserted, projected = (
        (de_boor(fine, fine_grid, matrix @ c, x) - before).abs().max()
        for matrix in (coarse.transfer(grid, fine, fine_grid), projection(coarse, grid, fine, fine_grid))
    )
    assert inserted < 0.1 * projected


def blossom(knots, degree, cell, arguments, function):
    """The blossom of the function-th B-spline's piece in a cell, in exact arithmetic."""
    values = {index: Fraction(int(index == function)) for index in range(cell - degree, cell + 1)}
    for p, at in zip(range(degree, 0, -1), arguments, strict=True):
        shares = {i: (at - knots[i]) / (knots[i + p] - knots[i]) for i in range(cell - p + 1, cell + 1)}
        values = {i: (1 - share) * values[i - 1] + share * values[i] for i, share in shares.items()}
    return values[cell]


@settings(max_examples=40, deadline=None)
@given(
    degree=st.integers(1, 9),
    widths=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4),
    cuts=st.lists(st.tuples(st.integers(0, 3), st.floats(0.05, 0.95)), max_size=4, unique_by=lambda cut: cut[0]),
)
def test_insertion_is_that_of_exact_arithmetic(degree, widths, cuts):
    grid = uneven(widths)
    cells = len(widths)
    new = [torch.lerp(grid[:, cell], grid[:, cell + 1], share) for cell, share in cuts if cell < cells]
    fine_grid = with_points(grid, *(point.unsqueeze(1) for point in new))
    coarse, fine = BSpline(cells, degree), BSpline(fine_grid.shape[1] - 1, degree)
    matrix = coarse.transfer(grid, fine, fine_grid)
    knots, fine_knots = (
        [Fraction(x) for x in each[0].tolist()] for each in (coarse.knots(grid), fine.knots(fine_grid))
    )
    for row in range(fine.size):
        start = max(fine_knots[row], knots[degree])
        cell = max(k for k in range(degree, degree + cells) if knots[k] <= start)
        for column in range(coarse.size):
            wanted = (
                blossom(knots, degree, cell, fine_knots[row + 1 : row + 1 + degree], column)
                if (cell - degree <= column <= cell)
                else 0
            )
            assert abs(float(matrix[0, row, column]) - float(wanted)) < 2e-14


def test_insertion_far_from_zero(normal):
    """Breakpoints near 1000 are rounded to 1e-13, which is no reason to take them for others."""
    grid = 1000 + torch.linspace(0, 1, 51, dtype=F64)[None] ** 2
    fine_grid = with_points(grid, (grid[:, 1:] + grid[:, :-1]) / 2)
    ends = torch.tensor([[1000.1, 1000.7]], dtype=F64)
    assert_same_function(BSpline(50, 3), grid, BSpline(100, 3), fine_grid, normal(1, 53, 1), 1e-9)
    matrix = BSpline(30, 3).transfer(ends, BSpline(60, 3), ends)
    assert torch.equal((matrix != 0).sum(dim=2).amax(dim=1), torch.tensor([3]))  # the two-scale relation, no projection


def test_insertion_keeps_float32(normal):
    grid = uneven(torch.exp(normal(20))).float()
    fine_grid = with_points(grid, (grid[:, 1:] + grid[:, :-1]) / 2)
    c = normal(1, 25, 1).float()
    moved = BSpline(20, 5).transfer(grid, BSpline(40, 5), fine_grid) @ c
    assert moved.dtype == torch.float32
    x = torch.linspace(-1, 1, 200)[:, None]
    after, before = BSpline(40, 5).values(x, fine_grid)[:, 0] @ moved[0], BSpline(20, 5).values(x, grid)[:, 0] @ c[0]
    torch.testing.assert_close(after, before, rtol=0, atol=2e-4)


def test_each_input_is_transferred_by_itself(free_grid, normal):
    """Where one input's grid contains the old one and another's does not, the first is still exact."""
    grid = free_grid(2, 4)
    contains = with_points(grid[:1], (grid[:1, 1:] + grid[:1, :-1]) / 2)
    fine_grid = torch.cat([contains, free_grid(1, 8)])
    coarse, fine = BSpline(4, 3), BSpline(8, 3)
    matrix = coarse.transfer(grid, fine, fine_grid)
    torch.testing.assert_close(matrix[:1], coarse.transfer(grid[:1], fine, contains), rtol=0, atol=0)
    torch.testing.assert_close(matrix[1:], projection(coarse, grid[1:], fine, fine_grid[1:]), rtol=0, atol=0)
    assert_same_function(coarse, grid[:1], fine, contains, normal(1, 7, 1), 1e-13)


def test_grids_that_do_not_contain_the_old_one_are_projected(normal):
    coarse, other = BSpline(4, 3), BSpline(6, 3)
    torch.testing.assert_close(coarse.transfer(ENDS, other, ENDS), projection(coarse, ENDS, other, ENDS))
    moved_ends = ENDS + torch.tensor([[0.0, 0.3]], dtype=F64)
    torch.testing.assert_close(
        coarse.transfer(ENDS, BSpline(8, 3), moved_ends), projection(coarse, ENDS, BSpline(8, 3), moved_ends)
    )
    apart = ENDS + 10.0
    torch.testing.assert_close(coarse.transfer(ENDS, coarse, apart), projection(coarse, ENDS, coarse, apart))


@pytest.mark.parametrize("degree", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("kept", [(0, 3), (1, 6), (4, 8), (2, 3)])
def test_cells_are_dropped_exactly(degree, kept, free_grid, normal):
    grid, c = free_grid(2, 8), normal(2, 8 + degree, 2)
    first, last = kept
    inner = grid[:, first : last + 1]
    if last == first + 1:
        inner = torch.lerp(inner[:, :1], inner[:, 1:], torch.linspace(0.2, 0.7, 4, dtype=F64))  # anywhere in one cell
    assert_same_function(BSpline(8, degree), grid, BSpline(inner.shape[1] - 1, degree), inner, c, 1e-12)


@pytest.mark.parametrize("degree", range(1, 10))
@pytest.mark.parametrize(("before", "after"), [(0, 1), (2, 0), (3, 4)])
def test_appended_cells_leave_the_old_domain_as_it_was(degree, before, after, free_grid, normal):
    grid, c = free_grid(2, 5), normal(2, 5 + degree, 2)
    steps = torch.arange(1, 5, dtype=F64)
    wide = with_points(
        grid,
        grid[:, :1] - (grid[:, 1:2] - grid[:, :1]) * steps[:before],
        grid[:, -1:] + (grid[:, -1:] - grid[:, -2:-1]) * steps[:after],
    )
    old, new = BSpline(5, degree), BSpline(5 + before + after, degree)
    moved = old.transfer(grid, new, wide) @ c
    x = torch.lerp(grid[:, 0], grid[:, -1], torch.linspace(0, 1, 200, dtype=F64)[:, None])
    inside, kept = (
        torch.einsum("nim,imo->nio", basis.values(x, points), values)
        for basis, points, values in ((old, grid, c), (new, wide, moved))
    )
    torch.testing.assert_close(kept, inside, rtol=0, atol=1e-12)


def test_appended_cells_stay_nearer_to_the_straight_line_than_the_polynomial_does():
    grid, wide = ENDS[:1], torch.tensor([[-1.0, 3.0]], dtype=F64)
    old, new = BSpline(10, 5), BSpline(20, 5)
    points = torch.linspace(-1, 1, 200, dtype=F64)[:, None]
    c = fit_curve(old, grid, points, torch.sin(2 * points)[..., None])
    x = torch.linspace(1, 3, 100, dtype=F64)[:, None]
    line = old.values(x, grid)[:, 0] @ c[0]
    bent, polynomial = (
        (new.values(x, wide)[:, 0] @ (matrix @ c)[0] - line).abs().max()
        for matrix in (
            old.transfer(grid, new, wide),
            bspline.insertion_matrix(old.knots(grid), new.knots(wide), 5),
        )
    )
    assert bent < 0.1 * polynomial
    assert bent < 0.2


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
