"""Knots are inserted where the function is sharp, without changing it."""

import pytest
import torch

from edgewise.basis import BSpline, Chebyshev, fit_curve
from edgewise.data import create_dataset
from edgewise.errors import OptionError, ShapeError
from edgewise.kan import KAN
from edgewise.network import BasisBlock, KANLayer, Network
from edgewise.surgery import adapt_knots, lock, refine, spline_errors

F64 = torch.float64
SHARP = {
    # Function, and by how much insertion must beat doubling: two thirds of what was measured (13, 22, 44 and 7).
    "root": (lambda x: x.abs().sqrt(), 9),
    "kink": (lambda x: (x - 0.3).abs(), 15),
    "front": (lambda x: torch.atan(200 * x), 30),
    "ends": (torch.asin, 5),
}


def basis_blocks(model):
    return [block for layer in model.all_layers for block in layer.all_blocks() if isinstance(block, BasisBlock)]


def cells(model):
    (basis,) = {block.basis for block in basis_blocks(model)}
    assert isinstance(basis, BSpline)
    return basis.grid


def trained(target, basis, samples=400, seed=0):
    data = create_dataset(target, n_var=1, train_num=samples, seed=seed)
    model = KAN([1, 1], basis=basis, seed=seed)
    model.fit(data, steps=20)
    return model, data.train_input


@pytest.mark.parametrize("name", SHARP)
def test_three_rounds_beat_doubling_to_as_many_cells(name):
    target, margin = SHARP[name]
    data = create_dataset(target, n_var=1, train_num=10_000, seed=1)
    x = torch.linspace(-1, 1, 20_001, dtype=F64)[:, None]
    errors = []
    for finer in (
        lambda model: model.refine(grid=2 * cells(model)),
        lambda model: model.adapt_knots(data.train_input),
    ):
        model = KAN([1, 1], basis=BSpline(grid=10), seed=0)
        model.fit(data, steps=10)
        for _ in range(3):
            model = finer(model)
            model.fit(data, steps=10)
        assert cells(model) == 80
        errors.append((model(x) - target(x)).detach().square().mean().sqrt())
    doubled, adapted = errors
    assert margin * adapted < doubled


def test_smooth_functions_lose_little():
    """Where there is nothing sharp the knots come out nearly even."""
    model, x = trained(lambda x: torch.sin(4 * x), BSpline(grid=10), samples=2000)
    for _ in range(2):
        model = adapt_knots(model, x)
        model.fit(x, torch.sin(4 * x), steps=10)
    widths = basis_blocks(model)[0].grid.diff(dim=1)
    assert widths.max() / widths.min() <= 4
    doubled, _ = trained(lambda x: torch.sin(4 * x), BSpline(grid=40), samples=2000)
    errors = [(each(x) - torch.sin(4 * x)).detach().square().mean().sqrt() for each in (model, doubled)]
    assert errors[0] < 2 * errors[1]


@pytest.mark.parametrize("grid", [None, 5, 8])
@pytest.mark.parametrize("degree", [1, 3, 7])
def test_the_function_stays_in_networks_of_all_kinds(grid, degree, network, uniform):
    model = network([2, [2, (2, 3)], 2], basis=BSpline(grid=4, degree=degree))
    x, everywhere = uniform(-1, 1, 300, 2), uniform(-1.6, 1.6, 200, 2)
    adapted = adapt_knots(model, x, grid=grid)
    expected = model(everywhere).detach()
    assert (adapted(everywhere) - expected).abs().max() <= 1e-12 * expected.abs().max().clamp_min(1.0)
    assert adapted.options.moved <= 1e-13 * float(expected.abs().max())
    for old, new in zip(basis_blocks(model), basis_blocks(adapted), strict=True):
        assert new.basis == BSpline(grid=8 if grid is None else grid, degree=degree)
        points = old.basis.breakpoints(old.grid)
        nearest = (new.grid.unsqueeze(2) - points.unsqueeze(1)).abs().amin(dim=1)
        assert nearest.max() < 1e-15
        assert bool((new.grid.diff(dim=1) > 0).all())


def test_what_is_no_spline_and_what_is_locked_or_masked_stays(mixed_network, basis_block, uniform):
    model = lock(mixed_network, 0, 0, 1)
    adapted = adapt_knots(model, uniform(-1, 1, 300, 2), grid=7)
    x = uniform(-1.5, 1.5, 100, 2)
    torch.testing.assert_close(adapted(x), model(x), rtol=0, atol=1e-12)
    for before, after in zip(model.all_layers, adapted.all_layers, strict=True):
        assert torch.equal(before.mask, after.mask)
        assert torch.equal(before.locked, after.locked)
    mixed = Network(
        [
            KANLayer.from_blocks([basis_block(1, 1, basis=Chebyshev(3))], (1,), 1),
            KANLayer.from_blocks([basis_block(1, 1, basis=BSpline(3))], (1,), 1),
        ],
        sample=uniform(-1, 1, 9, 1),
    )
    kept, finer = basis_blocks(adapt_knots(mixed, uniform(-1, 1, 99, 1)))
    assert kept.basis == Chebyshev(3)
    assert finer.basis == BSpline(6)


def test_errors_count_by_what_reaches_the_outputs(uniform):
    """One curve for both inputs, then multiplied by 5 at the next layer, that of the second by a thousandth before."""
    basis, ends = BSpline(10, 3), torch.tensor([[-1.0, 1.0]] * 2, dtype=F64)
    x = uniform(-1, 1, 2000, 1).expand(-1, 2)
    curve = (
        fit_curve(basis, ends, x, torch.sin(5 * x).unsqueeze(2)) * torch.tensor([1.0, 1e-3], dtype=F64)[:, None, None]
    )
    line = fit_curve(basis, 2 * ends[:1], 2 * x[:, :1], 10 * x[:, :1].unsqueeze(2))
    layers = [
        KANLayer.from_blocks([BasisBlock(basis, ends, curve)], (1,), 2),
        KANLayer.from_blocks([BasisBlock(basis, 2 * ends[:1], line)], (1,), 1),
    ]
    whole, first = Network(layers, sample=x), Network(layers[:1], sample=x)
    (error, after), (alone,) = spline_errors(whole, x).values(), spline_errors(first, x).values()
    torch.testing.assert_close(error.mean_square, 25 * alone.mean_square, rtol=1e-9, atol=0)
    torch.testing.assert_close(error.mean_square[1], 1e-6 * error.mean_square[0], rtol=1e-6, atol=1e-24)
    assert after.mean_square.sum() < 1e-24


def test_cells_without_samples_enough_are_not_cut(uniform):
    """A front at 0.5, where there are no samples; the cells with samples are cut instead."""
    model = KAN([1, 1], basis=BSpline(grid=10), seed=0)
    x = torch.linspace(-1, 1, 4000, dtype=F64)[:, None]
    model.fit(x, torch.atan(100 * (x - 0.5)) + torch.atan(20 * (x + 0.5)), steps=10)
    low = uniform(-1, 0, 1000, 1)
    (block,) = basis_blocks(adapt_knots(model, low, grid=16))
    assert int((block.grid[0] > 1e-9).sum()) == 5
    assert block.grid[0, 1:-1].diff().min() < 0.1


def test_where_all_cells_are_starved_the_widest_are_cut():
    model = KAN([1, 1], basis=BSpline(grid=3), seed=0)
    (block,) = basis_blocks(adapt_knots(model, torch.zeros(2, 1, dtype=F64), grid=12))
    torch.testing.assert_close(block.grid.diff(dim=1), torch.full((1, 12), 1 / 6, dtype=F64))


def test_one_cell_says_nothing_of_its_error_and_is_halved(uniform):
    model, x = trained(torch.exp, BSpline(grid=1, degree=3))
    (error,) = spline_errors(model, x).values()
    assert bool(error.mean_square.isnan().all())
    adapted = adapt_knots(model, x)
    torch.testing.assert_close(basis_blocks(adapted)[0].grid, torch.tensor([[-1.0, 0.0, 1.0]], dtype=F64))
    torch.testing.assert_close(adapted(x), model(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_the_scale_of_the_outputs_does_not_matter(scale):
    model, x = trained(lambda x: torch.atan(30 * x), BSpline(grid=10), samples=1000)
    scaled = model.rebuilt(
        [layer.map_blocks(lambda block: block.scaled(torch.tensor([scale]))) for layer in model.all_layers]
    )
    assert torch.equal(basis_blocks(adapt_knots(model, x))[0].grid, basis_blocks(adapt_knots(scaled, x))[0].grid)


@pytest.mark.parametrize(("degree", "frequency"), [(1, 9.0), (2, 6.0), (3, 4.0), (5, 3.0)])
def test_estimates_are_the_errors_of_smooth_functions(degree, frequency, uniform):
    """Cell by cell the estimate is the mean square of the residuals, to a factor of two in their root."""
    x = uniform(-1, 1, 20_000, 1)
    y = torch.sin(frequency * x) + 2 * x
    model = KAN([1, 1], basis=BSpline(grid=12, degree=degree), seed=0)
    model.fit(x, y, steps=10)
    (block,) = basis_blocks(model)
    cell = block.basis.local(x, block.grid)[0][:, 0]
    residuals = (model(x) - y).detach()[:, 0].square()
    true = torch.zeros(12, dtype=F64).index_add_(0, cell, residuals) / len(x)
    error = spline_errors(model, x)[block]
    assert torch.equal(error.samples[0], torch.bincount(cell, minlength=12))
    assert 0.5 < (error.mean_square.sum() / true.sum()).sqrt() < 2
    inner = (error.mean_square[0] / true).sqrt()[1:-1]
    assert 0.5 < inner.median() < 2


def test_refused():
    model = KAN([2, 1], basis=BSpline(grid=6))
    x = torch.zeros(5, 2, dtype=F64)
    with pytest.raises(OptionError, match="grid of 6 or more, got grid=5"):
        adapt_knots(model, x, grid=5)
    with pytest.raises(OptionError, match="no edge is a B-spline"):
        adapt_knots(KAN([2, 1], basis=Chebyshev(4)), x)
    with pytest.raises(ShapeError, match="2"):
        adapt_knots(model, x[:, :1])


def test_refining_adapted_knots_keeps_the_function():
    model, x = trained(lambda x: (x - 0.3).abs(), BSpline(grid=5))
    adapted = adapt_knots(model, x, grid=7)
    torch.testing.assert_close(refine(adapted, grid=14)(x), model(x), rtol=0, atol=1e-13)
