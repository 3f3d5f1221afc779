"""What every kind of block promises to layers, solvers and surgery."""

import copy
import io
import pickle

import pytest
import torch
from torch.func import vmap

from edgewise.basis import BSpline, Chebyshev, MexicanHat, basis_from_dict
from edgewise.errors import OptionError, ShapeError
from edgewise.network import BasisBlock

F64 = torch.float64
INPUTS, SUBNODES, ROWS = 3, 4, 6
MASK = torch.tensor([[True, False, True, True], [True, True, True, False], [False, True, True, True]])
LOCKED = torch.tensor([[True, False, False, True], [False, False, False, False], [False, True, False, False]])
EDGES = [(0, 0), (0, 2), (2, 3), (1, 1), (1, 0)]


def cube(x):
    return x**3 / 3


MAKERS = {
    "splines": lambda basis, symbolic, free: basis(INPUTS, SUBNODES),
    "splines on free knots": lambda basis, symbolic, free: basis(INPUTS, SUBNODES, grid=free(INPUTS, 3)),
    "chebyshev": lambda basis, symbolic, free: basis(INPUTS, SUBNODES, basis=Chebyshev(4)),
    "silu": lambda basis, symbolic, free: basis(INPUTS, SUBNODES, base="silu"),
    "identity": lambda basis, symbolic, free: basis(INPUTS, SUBNODES, basis=MexicanHat(1), base="identity"),
    "callable": lambda basis, symbolic, free: basis(INPUTS, SUBNODES, base=cube),
    "masked": lambda basis, symbolic, free: basis(INPUTS, SUBNODES, base="silu", mask=MASK),
    "locked": lambda basis, symbolic, free: basis(INPUTS, SUBNODES, base="silu", locked=LOCKED),
    "masked and locked": lambda basis, symbolic, free: basis(INPUTS, SUBNODES, mask=MASK, locked=LOCKED),
    "symbolic": lambda basis, symbolic, free: symbolic("sin", EDGES, (INPUTS, SUBNODES)),
    "symbolic, locked": lambda basis, symbolic, free: symbolic(
        "exp", EDGES, (INPUTS, SUBNODES), locked=torch.tensor([True, False, False, True, False])
    ),
    "symbolic, frozen": lambda basis, symbolic, free: symbolic(
        "tanh", EDGES, (INPUTS, SUBNODES), frozen=torch.arange(20).view(5, 4) % 3 == 0
    ),
}


@pytest.fixture(params=MAKERS)
def block(request, basis_block, symbolic_block, free_grid):
    return MAKERS[request.param](basis_block, symbolic_block, free_grid)


@pytest.fixture
def x(uniform):
    """Inputs inside and outside of the domain."""
    return uniform(-1.4, 1.4, ROWS, INPUTS)


def free_values(block):
    """The block's output as a function of its free parameters, for torch.func."""
    parameters = dict(block.named_parameters())

    def run(values, x):
        return torch.func.functional_call(block, values, (x,))

    return run, {name: value.detach() for name, value in parameters.items()}


def test_edges_sum_up_to_the_output(block, x):
    edges = block.edges(x)
    assert edges.shape == (ROWS, INPUTS, SUBNODES)
    torch.testing.assert_close(edges.sum(dim=1), block(x))
    assert not edges[:, ~block.mask].any()


def test_slopes_of_edges(block, x):
    x.requires_grad_()
    edges = block.edges(x)
    for source in range(INPUTS):
        for target in range(SUBNODES):
            (slope,) = torch.autograd.grad(edges[:, source, target].sum(), x, retain_graph=True)
            torch.testing.assert_close(block.edges(x, order=1)[:, source, target], slope[:, source])


def test_adjoints_are_gradients(block, x, normal):
    x.requires_grad_()
    delta = normal(ROWS, SUBNODES)
    (wanted,) = torch.autograd.grad(block(x), x, delta)
    torch.testing.assert_close(block.adjoint(x.detach(), delta), wanted)


def test_features_times_adjoints_are_the_jacobian(block, x, normal):
    delta = normal(ROWS, SUBNODES)
    run, parameters = free_values(block)
    _, target = block.free_edges()
    features = block.features(x)
    assert features.shape == (ROWS, len(target), block.gather().shape[1])
    # Row by row: one gradient per sample, all at once.
    per_row = vmap(lambda row, d: torch.func.grad(lambda p: (run(p, row[None])[0] * d).sum())(parameters))(x, delta)
    wanted = block.gather([per_row[name] for name in parameters])
    torch.testing.assert_close(features * delta[:, target].unsqueeze(-1), wanted)


def test_parameters_are_gathered_and_scattered(block, x, normal):
    before = block.gather()
    _, target = block.free_edges()
    values = before + 0.1 * normal(*before.shape)
    untouched = block.edges(x)[:, block.locked]
    block.scatter_(values)
    assert torch.equal(block.gather(), values)
    assert torch.equal(block.edges(x)[:, block.locked], untouched)
    assert not block.edges(x)[:, ~block.mask].any()
    again = copy.deepcopy(block)
    again.scatter_(before)
    source, target = block.free_edges()
    assert not torch.allclose(again.edges(x)[:, source, target], block.edges(x)[:, source, target])


def test_missing_gradients_gather_as_zeros(block):
    assert not block.gather([None for _ in block.parameters()]).any()
    assert block.gather([None for _ in block.parameters()]).shape == block.gather().shape


def test_masked_and_locked_edges_have_no_gradient(block, x):
    x.requires_grad_()
    for value in (block(x), block.edges(x), block.edges(x, order=1)):
        block.zero_grad()
        value.square().sum().backward(retain_graph=True)
        held = ~block.mask | block.locked
        if isinstance(block, BasisBlock):
            assert not block.coefficients.grad.transpose(1, 2)[held].any()
            if block.base_weight is not None and block.base_weight.grad is not None:
                assert not block.base_weight.grad[held].any()
            assert block.coefficients.grad.abs().sum() > 0
        else:
            assert not block.affine.grad[block.locked_edges].any()
            assert not block.affine.grad[block.frozen].any()
            assert block.affine.grad.abs().sum() > 0


def test_restricting_keeps_the_other_edges(block, x):
    keep = torch.ones(INPUTS, SUBNODES, dtype=torch.bool)
    keep[0] = False
    smaller = block.restricted(keep)
    assert type(smaller) is type(block)
    assert torch.equal(smaller.mask, block.mask & keep)
    assert torch.equal(smaller.locked, block.locked & keep)
    torch.testing.assert_close(smaller.edges(x), block.edges(x) * keep)
    torch.testing.assert_close(smaller(x), (block.edges(x) * keep).sum(dim=1))
    assert block.mask[0].any()  # the old one is as it was


def test_a_block_without_edges_is_zero(block, x):
    empty = block.restricted(torch.zeros(INPUTS, SUBNODES, dtype=torch.bool))
    assert not empty.mask.any()
    assert torch.equal(empty(x), torch.zeros(ROWS, SUBNODES, dtype=F64))
    assert empty.gather().shape[0] == empty.features(x).shape[1] == 0
    assert torch.equal(empty.adjoint(x, torch.ones(ROWS, SUBNODES, dtype=F64)), torch.zeros(ROWS, INPUTS, dtype=F64))
    empty.scatter_(empty.gather())


def test_locking_changes_no_value(block, x):
    locked = torch.zeros(INPUTS, SUBNODES, dtype=torch.bool)
    locked[:, :2] = True
    held = block.with_locked(locked)
    torch.testing.assert_close(held(x), block(x))
    assert torch.equal(held.locked, block.mask & locked)
    source, target = held.free_edges()
    assert bool((target >= 2).all())
    assert len(source) == int((block.mask & ~locked).sum())
    assert not held.with_locked(locked & False).locked.any()


def test_selecting_inputs_and_subnodes(block, x):
    inputs, subnodes = torch.tensor([2, 0]), torch.tensor([3, 0, 1])
    part = block.selected(inputs, subnodes)
    torch.testing.assert_close(part.edges(x[:, inputs]), block.edges(x)[:, inputs][:, :, subnodes])
    assert torch.equal(part.mask, block.mask[inputs][:, subnodes])
    assert torch.equal(part.locked, block.locked[inputs][:, subnodes])


def test_shifting_and_scaling(block, x, normal):
    constants, factors = normal(INPUTS, SUBNODES) * block.mask, normal(SUBNODES)
    torch.testing.assert_close(block.shifted(constants).edges(x), block.edges(x) + constants)
    torch.testing.assert_close(block.scaled(factors).edges(x), block.edges(x) * factors)
    assert torch.equal(block.scaled(factors).locked, block.locked)


def test_copies_are_independent_and_equal(block, x):
    wanted = block(x)
    copies = [copy.deepcopy(block), pickle.loads(pickle.dumps(block))]
    for other in copies:
        assert torch.equal(other(x), wanted)
        assert torch.equal(other.mask, block.mask)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.mul_(2).add_(0.1)
        assert torch.equal(block(x), wanted)


def test_state_dicts_carry_everything_that_trains(block, x):
    file = io.BytesIO()
    torch.save(block.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(block)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(x), block(x))


def test_nan_stays_in_its_row(block, x):
    clean = block(x)
    x[2, 0] = torch.nan
    others = [row for row in range(ROWS) if row != 2]
    torch.testing.assert_close(block(x)[others], clean[others])
    touched = block.mask[0] if not isinstance(block, BasisBlock) else torch.ones(SUBNODES, dtype=torch.bool)
    assert torch.equal(block(x)[2].isnan(), touched)


def test_empty_batches(block):
    empty = torch.empty(0, INPUTS, dtype=F64)
    assert block(empty).shape == (0, SUBNODES)
    assert block.edges(empty).shape == (0, INPUTS, SUBNODES)
    assert block.adjoint(empty, torch.empty(0, SUBNODES, dtype=F64)).shape == (0, INPUTS)


def test_descriptions_are_plain(block):
    if getattr(block, "base", None) is cube:
        with pytest.raises(OptionError, match="callable base function cannot be saved; use base='silu', 'identity' or"):
            block.describe()
        return
    described = block.describe()
    if isinstance(block, BasisBlock):
        assert described["kind"] == "basis"
        assert basis_from_dict(described["basis"]) == block.basis
        assert described["base"] == block.base
    else:
        assert described == {"kind": "symbolic", "primitive": block.primitive.name, "shape": [INPUTS, SUBNODES]}


def test_blocks_show_what_they_are(block):
    shown = repr(block)
    assert f"edges={int(block.mask.sum())}" in shown
    assert "BSpline" in shown or "Chebyshev" in shown or "MexicanHat" in shown or "primitive='" in shown


def test_masked_coefficients_are_zero_whatever_was_given(basis_block, x):
    block = basis_block(INPUTS, SUBNODES, base="silu", mask=MASK)
    assert not block.coefficients.transpose(1, 2)[~MASK].any()
    assert not block.base_weight[~MASK].any()
    with torch.no_grad():  # some foreign code writes to them
        block.coefficients.fill_(1.0)
        block.base_weight.fill_(1.0)
    assert not block.edges(x)[:, ~MASK].any()
    torch.testing.assert_close(block.edges(x).sum(dim=1), block(x))


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
def test_foreign_optimisers_leave_masked_edges_zero(optimizer, basis_block, x):
    block = basis_block(INPUTS, SUBNODES, base="silu", mask=MASK)
    start = block.coefficients.detach().clone()
    stepping = optimizer(block.parameters(), lr=0.05, weight_decay=0.1)
    for _ in range(5):
        stepping.zero_grad()
        (block(x) - 1).square().sum().backward()
        stepping.step()
    assert not block.coefficients.transpose(1, 2)[~MASK].any()
    assert not block.base_weight[~MASK].any()
    assert (block.coefficients - start).transpose(1, 2)[MASK].abs().amin() > 0


def test_the_base_function_starts_at_weight_zero():
    grid = torch.tensor([[-1.0, 1.0]], dtype=F64)
    block = BasisBlock(BSpline(2, 1), grid, torch.ones(1, 3, 1, dtype=F64), base="silu")
    assert torch.equal(block.base_weight, torch.zeros(1, 1, dtype=F64))
    assert BasisBlock(BSpline(2, 1), grid, torch.ones(1, 3, 1, dtype=F64)).base_weight is None


def test_base_functions(basis_block, normal):
    x = normal(5, 2)
    for base, function in (("silu", torch.nn.functional.silu), ("identity", lambda x: x), (cube, cube)):
        weight = normal(2, 3)
        block = basis_block(2, 3, base=base, base_weight=weight)
        plain = block.replaced(base=None, base_weight=None)
        torch.testing.assert_close(block(x) - plain(x), function(x) @ weight)


def test_unknown_base_functions_are_refused(basis_block):
    with pytest.raises(OptionError, match="unknown base function 'relu'; use 'identity', 'silu', None or a callable"):
        basis_block(2, 3, base="relu")


def test_coefficients_must_fit_the_basis():
    grid = torch.tensor([[-1.0, 1.0]] * 2)
    message = r"BSpline\(grid=2, degree=3\) on 2 inputs needs coefficients of shape \(2, 5, outputs\), got \(2, 4, 1\)"
    with pytest.raises(ShapeError, match=message):
        BasisBlock(BSpline(2, 3), grid, torch.zeros(2, 4, 1))
    with pytest.raises(ShapeError, match=r"got \(3, 5, 1\)"):
        BasisBlock(BSpline(2, 3), grid, torch.zeros(3, 5, 1))


def test_loading_takes_masks_and_free_knots_over(basis_block, free_grid, x):
    trained = basis_block(INPUTS, SUBNODES, base="silu", mask=MASK, locked=LOCKED, grid=free_grid(INPUTS, 3))
    fresh = basis_block(INPUTS, SUBNODES, base="silu")
    fresh.load_state_dict(trained.state_dict())
    torch.testing.assert_close(fresh(x), trained(x))
    assert torch.equal(fresh.mask, trained.mask)
    fresh(x).sum().backward()
    assert not fresh.coefficients.grad.transpose(1, 2)[~MASK | trained.locked].any()


def test_loading_another_size_is_refused(basis_block):
    with pytest.raises(RuntimeError, match="size mismatch"):
        basis_block(2, 2).load_state_dict(basis_block(3, 2).state_dict())
