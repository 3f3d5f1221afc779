import itertools

import pytest
import torch

import image as example

F64 = torch.float64


@pytest.fixture(scope="module")
def small():
    return example.photograph(64)


@pytest.fixture(scope="module")
def strips(small):
    return example.ribbon(small, most=1024)


def test_pixels_are_means_over_squares():
    whole, half = example.photograph(512), example.photograph(256)
    assert (whole.min() >= 0) & (whole.max() <= 1)
    assert float(half[3, 7]) == pytest.approx(float(whole[6:8, 14:16].mean()))


def test_rows_are_coordinates_with_x_to_the_right(small):
    x, y = example.rows_of(small)
    row = 5 * 64 + 9
    assert x[row].tolist() == [float(example.centres(64)[9]), float(example.centres(64)[5])]
    assert y[row, 0] == small[5, 9]


def test_the_network_keeps_to_its_size_and_says_its_width(strips):
    assert strips.width == [2, 2, [0, (2,) * example.PRODUCTS], 1]
    assert 1000 < example.stored_numbers(strips) <= 1024


def test_the_ribbon_passes_over_each_strip_in_turn(small, strips):
    x, _ = example.rows_of(small)
    u, y = strips.all_layers[0](x).T
    expected = x[:, 0] + 2 * torch.arange(64).repeat_interleave(64).div(example.ROWS, rounding_mode="floor")
    torch.testing.assert_close(u, expected)
    torch.testing.assert_close(y, x[:, 1])


def test_no_step_would_lower_the_error(small, strips):
    # Given the knots the singular value decomposition is the optimum: the gradient by autograd vanishes there.
    x, y = example.rows_of(small)
    coefficients = [block.coefficients for block in strips.all_layers[1].all_blocks()]
    at_optimum, moved = [], []
    for found, factor in ((at_optimum, 1.0), (moved, 1.01)):
        residuals = factor * strips(x) - y
        gradients = torch.autograd.grad(residuals.square().sum(), coefficients)
        found += [float(gradient.norm()) for gradient in gradients]
    assert max(at_optimum) < 1e-9 * min(moved)


def test_what_is_fixed_gets_no_gradient_and_the_curves_do(small, strips):
    x, y = example.rows_of(small)
    (1.01 * strips(x) - y).square().sum().backward()
    fold, curves, sums = strips.all_layers
    for layer in (fold, sums):
        assert all(float(each.grad.norm()) == 0 for each in layer.parameters() if each.grad is not None)
    assert all(float(each.grad.norm()) > 0 for each in curves.parameters())
    strips.zero_grad()


def test_it_reaches_what_is_wanted_and_products_of_whole_rows_and_columns_do_not():
    photograph = example.photograph()
    model = example.ribbon(photograph)
    assert example.stored_numbers(model) <= example.MOST_PARAMETERS
    assert example.decibels(photograph, example.seen_by(model, photograph)) > example.WANTED
    rank = example.MOST_PARAMETERS // (2 * 256)
    left, sizes, right = torch.linalg.svd(photograph)
    truncated = (left[:, :rank] * sizes[:rank]) @ right[:rank]
    assert example.decibels(photograph, truncated) < example.WANTED - 4


def test_enough_numbers_give_the_image_itself(small):
    model = example.ribbon(small, products=example.ROWS, most=100_000)
    assert example.decibels(small, example.seen_by(model, small)) > 200


def test_best_factors_are_the_projection_and_its_best_rank():
    generator = torch.Generator().manual_seed(0)
    strip = torch.rand((4, 12), generator=generator, dtype=F64)
    knots = torch.tensor([0, 2, 3, 7, 11])
    along, across = example.best_factors(strip, knots, 4)
    hats = example.ew.BSpline(grid=4, degree=1).values(torch.arange(12, dtype=F64)[:, None], knots[None].double())[:, 0]
    projected = (hats @ torch.linalg.lstsq(hats, strip.T).solution).T
    torch.testing.assert_close(across @ (hats @ along).T, projected)
    _, sizes, _ = torch.linalg.svd(projected)
    along, across = example.best_factors(strip, knots, 2)
    missing = (across @ (hats @ along).T - projected).norm()
    assert float(missing) == pytest.approx(float(sizes[2:].norm()))


def test_knots_stay_where_curves_bend():
    x = torch.arange(21, dtype=F64)
    bent = torch.stack([(x - 6).abs(), (x - 13).clamp_min(0)], dim=1)
    straight = torch.stack([x, -x], dim=1)
    kept = example.kept_knots([bent, straight], 6)
    assert [knots.tolist() for knots in kept] == [[0, 6, 13, 20], [0, 20]]


def test_the_knot_that_goes_first_is_the_one_that_is_missed_least():
    signal = torch.tensor([[0.0], [0.1], [0.0], [3.0], [0.0]], dtype=F64)
    losses = {}
    for knot in range(1, 4):
        left = [each for each in range(5) if each != knot]
        polygon = torch.tensor([_between(signal, left, each) for each in range(5)])
        losses[knot] = float((polygon - signal[:, 0]).square().sum())
    (kept,) = example.kept_knots([signal], 4)
    assert set(range(5)) - set(kept.tolist()) == {min(losses, key=losses.get)}


def _between(signal, knots, place):
    """The height at a place of the straight line between its neighbouring knots."""
    start, end = next(pair for pair in itertools.pairwise(knots) if pair[0] <= place <= pair[1])
    share = (place - start) / (end - start)
    return float((1 - share) * signal[start, 0] + share * signal[end, 0])


def test_networks_by_adam_learn(small):
    constant = example.decibels(small, small.mean().expand_as(small))
    for model in (example.plain_kan(small, 1.5, width=10, grid=20), example.siren(small, 1.5, width=24)):
        assert example.decibels(small, example.seen_by(model, small)) > constant + 2


def test_the_picture_shows_the_knots(small, strips):
    knots = example.knots_of(strips, small)
    assert knots.shape == (8, 64)
    assert int(knots.sum()) == strips.all_layers[1].all_blocks()[0].basis.grid + 1
    assert len(example.picture({"photograph": small}, knots).axes) == 2


def test_the_row_says_whether_all_that_was_wanted_is_met(small, strips):
    reached = example.decibels(small, example.seen_by(strips, small))
    good = example.Fitted("strips", strips, 1024, 1.0)
    assert example.row_of(good, small, reached - 0.1)["met"] == "yes"
    assert example.row_of(good, small, reached + 0.1)["met"] == "NO"
    large, slow = example.Fitted("", strips, 16_385, 1.0), example.Fitted("", strips, 1024, 601.0)
    assert {example.row_of(each, small, reached - 0.1)["met"] for each in (large, slow)} == {"NO"}
    assert example.row_of(good, small)["met"] is None
