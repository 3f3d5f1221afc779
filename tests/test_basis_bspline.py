"""B-splines on uniform, free and repeated knots, compared with SciPy's."""

import numpy as np
import pytest
import scipy.interpolate
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.basis import BSpline
from edgewise.basis.knot_insertion import contains
from edgewise.errors import DomainError, OptionError

F64 = torch.float64
DEGREES = range(1, 10)


def scipy_values(points, degree, x, order):
    """All functions on knots that go on with the width of the end cells, shape (N, M)."""
    first, last = points[1] - points[0], points[-1] - points[-2]
    steps = np.arange(1, degree + 1)
    knots = np.concatenate([points[0] - first * steps[::-1], points, points[-1] + last * steps])
    return scipy.interpolate.BSpline(knots, np.eye(len(points) - 1 + degree), degree)(x, nu=order)


def assert_near(got, wanted, tolerance=1e-11):
    scale = max(1.0, float(np.abs(np.asarray(wanted)).max(initial=0)))
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("cells", [1, 2, 7])
def test_free_knots(degree, cells, free_grid, uniform):
    grid = free_grid(1, cells, low=-2.0, high=0.5)
    x = uniform(-2, 0.5, 40)
    for order in (0, 1, 2, degree, degree + 1):
        wanted = scipy_values(grid[0].numpy(), degree, x.numpy(), order)
        assert_near(BSpline(cells, degree).values(x[:, None], grid, order)[:, 0], wanted)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize(
    "points",
    [
        [0.0, 0.4, 0.4, 1.0],
        [0.0, 0.3, 0.7, 0.7, 0.7, 1.0],
        [0.0, 0.0, 0.0, 0.25, 1.0],
        [0.0, 0.6, 1.0, 1.0],
        [0.0, 0.0, 0.5, 0.5, 1.0, 1.0],
    ],
    ids=["double", "triple", "lower-end", "upper-end", "everywhere"],
)
def test_repeated_knots(degree, points, uniform):
    grid = torch.tensor([points], dtype=F64)
    x = uniform(1e-6, 1 - 1e-6, 40)
    for order in (0, 1, degree):
        wanted = scipy_values(np.array(points), degree, x.numpy(), order)
        assert_near(BSpline(len(points) - 1, degree).values(x[:, None], grid, order)[:, 0], wanted)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("free", [False, True])
def test_knots_belong_to_the_cell_on_their_right_and_the_last_to_the_cell_on_its_left(degree, free, free_grid):
    basis = BSpline(grid=4, degree=degree)
    grid = free_grid(1, 4) if free else torch.tensor([[-1.0, 1.0]], dtype=F64)
    points = basis.breakpoints(grid).T.contiguous()
    right = points + torch.cat([torch.full((4, 1), 1e-9), torch.tensor([[-1e-9]])]).to(F64)
    for order in (degree - 1, degree):  # the highest continuous derivative, and the one that jumps
        assert_near(basis.values(points, grid, order), basis.values(right, grid, order), 1e-7)  # 1e-9 cells away
    if degree > 1:
        wanted = scipy_values(points[:, 0].numpy(), degree, points[:, 0].numpy(), degree)
        assert_near(basis.values(points, grid, degree)[:, 0], wanted)


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("free", [False, True])
def test_partition_of_unity(degree, free, free_grid, uniform):
    basis = BSpline(grid=6, degree=degree)
    grid = free_grid(2, 6) if free else torch.tensor([[-1.0, 1.0]] * 2, dtype=F64)
    x = torch.cat([uniform(-3, 3, 100, 2), basis.breakpoints(grid).T])
    values = basis.values(x, grid)
    torch.testing.assert_close(values.sum(dim=-1), torch.ones_like(x), rtol=0, atol=1e-13)
    inside = x.abs() <= 1
    assert (values[inside] >= -1e-16).all()
    assert ((values[inside] > 1e-14).sum(dim=-1) <= degree + 1).all()


@pytest.mark.parametrize("free", [False, True])
def test_local_values_are_those_that_differ_from_zero(free, free_grid, uniform):
    basis = BSpline(grid=5, degree=3)
    grid = free_grid(2, 5) if free else torch.tensor([[-1.0, 1.0]] * 2, dtype=F64)
    x = uniform(-1.5, 1.5, 30, 2)
    cell, local = basis.local(x, grid, 1)
    assert cell.shape == (30, 2)
    assert local.shape == (30, 2, 4)
    dense = basis.values(x, grid, 1)
    torch.testing.assert_close(dense.gather(-1, cell.unsqueeze(-1) + torch.arange(4)), local)
    torch.testing.assert_close(dense.abs().sum(dim=-1), local.abs().sum(dim=-1))
    points = basis.breakpoints(grid)
    inside = x.abs() <= 1
    chosen = torch.arange(2).expand(30, 2)
    assert (points[chosen, cell] <= x)[inside].all()
    assert (points[chosen, cell + 1] >= x)[inside].all()


@settings(max_examples=60, deadline=None)
@given(
    degree=st.integers(1, 9),
    widths=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8),
    low=st.floats(-1e3, 1e3),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=8),
)
def test_any_free_knots(degree, widths, low, shares):
    points = low + np.concatenate([[0.0], np.cumsum(widths)])
    x = points[0] + (points[-1] - points[0]) * np.array(shares)
    x = x.clip(points[0], points[-1])
    x = x[np.abs(x[:, None] - points[1:-1]).min(axis=1, initial=np.inf) > 1e-9 * np.ptp(points)]
    got = BSpline(len(widths), degree).values(torch.from_numpy(x)[:, None], torch.from_numpy(points)[None])
    # 1e-9: the knots themselves are rounded to 1e-16 of up to 9e3, on cells as short as 1e-3.
    assert_near(got[:, 0], scipy_values(points, degree, x, 0), 1e-9)


def test_free_knots_of_equal_width_are_uniform(uniform):
    basis, ends = BSpline(grid=4, degree=5), torch.tensor([[-1.0, 1.0]], dtype=F64)
    x = uniform(-2, 2, 50, 1)
    for order in range(3):
        free = basis.values(x, basis.breakpoints(ends), order)
        assert_near(free, basis.values(x, ends, order), 1e-12)


def test_nan_among_free_knots(free_grid):
    grid, x = free_grid(2, 4), torch.tensor([[0.1, 0.2], [torch.nan, 0.3], [0.4, torch.nan]], dtype=F64)
    for order in range(4):
        row_is_nan = BSpline(4, 2).values(x, grid, order).sum(dim=-1).isnan()
        assert torch.equal(row_is_nan, x.isnan())


def test_knots_go_on_with_the_width_of_the_end_cells():
    grid = torch.tensor([[0.0, 1.0, 3.0, 3.5]], dtype=F64)
    wanted = torch.tensor([[-2.0, -1.0, 0.0, 1.0, 3.0, 3.5, 4.0, 4.5]], dtype=F64)
    torch.testing.assert_close(BSpline(grid=3, degree=2).knots(grid), wanted)
    uniform = torch.tensor([[-3.0, 0.0]], dtype=F64)
    torch.testing.assert_close(BSpline(3, 1).knots(uniform), torch.arange(-4.0, 2.0, dtype=F64)[None])


def test_breakpoints_end_exactly_at_the_ends():
    grid = torch.tensor([[0.1, 0.7], [-1 / 3, 1e9]], dtype=F64)
    for cells in (1, 3, 7, 49):
        assert torch.equal(BSpline(cells, 3).breakpoints(grid)[:, [0, -1]], grid)


def test_refined_free_knots_keep_the_old_ones(free_grid):
    grid = free_grid(2, 3)
    basis = BSpline(grid=3, degree=2)
    fine = basis.refined_grid(grid, basis.with_grid(12))
    assert fine.shape == (2, 13)
    assert torch.equal(fine[:, ::4], grid)
    torch.testing.assert_close(fine.diff(dim=1), (grid.diff(dim=1) / 4).repeat_interleave(4, dim=1))
    assert basis.refined_grid(grid, basis.with_degree(4)) is grid


def test_knots_follow_the_values(normal):
    basis, grid = BSpline(grid=8, degree=3), torch.tensor([[-1.0, 1.0]], dtype=F64)
    values = normal(2000, 1)
    adapted = basis.adapted_grid(grid, values)
    assert adapted.shape == (1, 9)
    torch.testing.assert_close(adapted[0, [0, -1]], torch.stack([values.min(), values.max()]))
    counts = torch.histogram(values[:, 0], adapted[0]).hist
    equal = torch.histogram(values[:, 0], basis.breakpoints(adapted[:, [0, -1]])[0]).hist
    assert counts.max() / counts.min() < 4 < equal.max() / equal.min()


def test_repeated_values_do_not_make_empty_cells():
    basis, grid = BSpline(grid=6, degree=3), torch.tensor([[-1.0, 1.0]], dtype=F64)
    values = torch.tensor([0.0] * 95 + [1.0, 2.0, 3.0, 4.0, 5.0], dtype=F64)[:, None]
    adapted = basis.adapted_grid(grid, values)
    assert (adapted.diff(dim=1) > 0.05).all()


def test_grids_of_another_size_are_refused():
    with pytest.raises(DomainError, match="needs a grid of 2 ends or 5 breakpoints per input, got 4 points"):
        BSpline(grid=4, degree=3).values(torch.zeros(1, 1), torch.tensor([[0.0, 0.3, 0.6, 1.0]]))
    with pytest.raises(DomainError, match="got 6 points"):
        BSpline(grid=4, degree=3).breakpoints(torch.linspace(0, 1, 6)[None])


def test_free_knots_are_refined_by_whole_multiples_only(free_grid):
    with pytest.raises(OptionError, match="refined by whole multiples of 3, got grid=10"):
        BSpline(3, 3).refined_grid(free_grid(1, 3), BSpline(10, 3))


@settings(max_examples=60, deadline=None)
@given(
    degree=st.integers(1, 9),
    widths=st.lists(st.floats(0.1, 10), min_size=2, max_size=8),
    shares=st.tuples(st.floats(-0.5, 1.5), st.floats(1e-4, 1)),
)
def test_a_grid_over_an_interval_contains_it_and_what_it_keeps_of_the_old_one(degree, widths, shares):
    basis = BSpline(len(widths), degree)
    points = torch.tensor([[0.0, *np.cumsum(widths)]], dtype=F64)
    low, length = (points[:, -1] * share for share in shares)
    new = basis.grid_over(points, low, low + length)
    assert new.shape == points.shape
    assert bool((new.diff(dim=1) > 0).all())
    assert bool((new[:, 0] <= low + 1e-12).all() & (new[:, -1] >= low + length - 1e-12).all())
    stretched = super(BSpline, basis).grid_over(points, low, low + length)
    if torch.equal(new, stretched):
        return
    assert bool(contains(new, points).all()) or new[0, 0] >= points[0, -1] or new[0, -1] <= points[0, 0]
    ends = torch.stack([points[:, 0], points[:, -1]], dim=1)
    uniform = basis.grid_over(ends, low, low + length)
    assert uniform.shape == (1, 2)
