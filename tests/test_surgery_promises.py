"""What all of surgery promises: the network that went in is left as it was, and nothing it carries is lost."""

import copy

import pytest
import torch

from edgewise.basis import BSpline, Chebyshev
from edgewise.kan import KAN
from edgewise.network import BasisBlock, KANLayer, Network, Options
from edgewise.surgery import (
    adapt_knots,
    attribution,
    expressed,
    input_ranges,
    lock,
    prune,
    prune_inputs,
    refine,
    scale_outputs,
    update_grid,
    with_basis,
    with_edges_in,
    with_transforms,
    without_edges,
)
from edgewise.symbolic import canonical, fix_symbolic, suggest_symbolic, unfix_symbolic
from edgewise.symbolic.name_edge import with_match

F64 = torch.float64
OPTIONS = Options(input_names=("mass", "size"), output_names=("u", "v"), notes=("a note",), moved=0.25)

# Each takes a network with two inputs and two outputs to a new one.
SAME_STRUCTURE = {
    "refine grid": lambda model: refine(model, grid=6),
    "refine degree": lambda model: refine(model, degree=4),
    "adapt_knots": lambda model: adapt_knots(model, model.sample, grid=5),
    "update_grid": lambda model: update_grid(model, 0.7 * model.sample),
    "with_basis, edge": lambda model: with_basis(model, 0, 1, 2, Chebyshev(degree=6)),
    "with_basis, symbolic edge": lambda model: with_basis(model, 0, 0, 2, BSpline(grid=8)),
    "with_basis, layer": lambda model: with_basis(model, 1, None, None, Chebyshev(degree=6)),
    "prune nothing": lambda model: prune(model, node_threshold=0, edge_threshold=0),
    "prune no inputs": lambda model: prune_inputs(model, threshold=0),
    "scale_outputs": lambda model: scale_outputs(model, torch.tensor([2.0, -0.5]), torch.tensor([1.0, 3.0])),
    "fix_symbolic": lambda model: fix_symbolic(model, 0, 1, 2, "sin"),
    "fix_symbolic, locked": lambda model: fix_symbolic(model, 0, 0, 0, "tanh"),
    "unfix_symbolic": lambda model: unfix_symbolic(model, 0, 0, 2),
    "unfix_symbolic, locked": lambda model: unfix_symbolic(model, 0, 1, 1),
    "canonical": canonical,
}
OTHER_STRUCTURE = {
    "lock": lambda model: lock(model, 1, 0, 0),
    "unlock": lambda model: lock(model, 0, 0, 0, locked=False),
    "prune": lambda model: prune(model, edge_threshold=0.3, node_threshold=0.3),
    "prune_inputs": lambda model: prune_inputs(model, threshold=0.6),
    "with_transforms": lambda model: with_transforms(model, ("exp", "x"), ("x", "exp"), sample=model.sample),
}
LOOKS = {
    "attribution": attribution,
    "suggest_symbolic": lambda model: suggest_symbolic(model, 0, 0, 0, primitives=["sin", "exp"]),
    "edge": lambda model: model.edge(0, 0, 0).table(),
    "plot": lambda model: model.plot(),
}


@pytest.fixture
def model(mixed_network):
    """Two blocks per layer, products, a base function, masked and locked edges, names, a note."""
    first = mixed_network.all_layers[0].all_blocks()[1]
    first.frozen[0, 2] = True
    return KAN.assemble(mixed_network.all_layers, sample=mixed_network.sample, options=OPTIONS)


def assert_untouched(model, before, x, expected):
    state = model.state_dict()
    assert list(state) == list(before)
    for name, tensor in before.items():
        assert torch.equal(state[name], tensor), name
    assert torch.equal(model(x), expected)
    assert model.options == OPTIONS


@pytest.mark.parametrize("name", [*SAME_STRUCTURE, *OTHER_STRUCTURE, *LOOKS])
def test_the_original_is_left_as_it_was_and_shares_nothing(model, uniform, name):
    x = uniform(-1.2, 1.2, 20, 2)
    before, expected = copy.deepcopy(model.state_dict()), model(x)
    result = (SAME_STRUCTURE | OTHER_STRUCTURE | LOOKS)[name](model)
    assert_untouched(model, before, x, expected)
    if isinstance(result, Network):
        # What is done to the new network later must not reach the old one.
        with torch.no_grad():
            for tensor in [*result.parameters(), *(buffer for buffer in result.buffers() if buffer.dtype == F64)]:
                tensor.add_(1.0)
            for buffer in result.buffers():
                if buffer.dtype == torch.bool:
                    buffer.logical_not_()
        assert_untouched(model, before, x, expected)


@pytest.mark.parametrize("name", SAME_STRUCTURE)
def test_names_sample_locks_and_masks_are_kept(model, name):
    result = SAME_STRUCTURE[name](model)
    assert type(result) is KAN
    assert (result.input_names, result.output_names) == (model.input_names, model.output_names)
    assert result.notes == OPTIONS.notes
    assert torch.equal(result.sample, model.sample)
    assert result.width == model.width
    assert result.dtype == model.dtype
    for before, after in zip(model.all_layers, result.all_layers, strict=True):
        assert torch.equal(after.mask, before.mask)
        assert torch.equal(after.locked, before.locked)
        assert int(sum(block.mask.sum() for block in after.all_blocks())) == int(after.mask.sum())  # no edge twice


@pytest.mark.parametrize("name", OTHER_STRUCTURE)
def test_names_and_class_are_kept_when_the_structure_changes(model, name):
    result = OTHER_STRUCTURE[name](model)
    assert type(result) is KAN
    assert (result.input_names, result.output_names) == (model.input_names, model.output_names)
    assert torch.equal(result.sample, model.sample)
    assert result(model.sample).shape == (len(model.sample), 2)


def test_base_functions_are_kept_where_the_edges_keep_their_family(model):
    changes = ["refine grid", "refine degree", "update_grid", "prune nothing", "scale_outputs", "canonical"]
    for name in changes:
        bases = [block.base for layer in SAME_STRUCTURE[name](model).all_layers for block in layer.blocks
                 if isinstance(block, BasisBlock)]  # fmt: skip
        assert bases == ["silu", None], name


def test_frozen_parameters_are_kept(model):
    for name in ("refine grid", "update_grid", "with_basis, edge", "prune nothing", "scale_outputs"):
        (block,) = [
            block for block in SAME_STRUCTURE[name](model).all_layers[0].blocks if not isinstance(block, BasisBlock)
        ]
        assert block.frozen.tolist() == [[False, False, True, False], [False] * 4], name


def test_single_precision_stays_single(uniform):
    model = KAN([2, 2, 1], seed=3, dtype=torch.float32)
    changes = [
        lambda m: refine(m, grid=10),
        lambda m: refine(m, degree=4),
        lambda m: update_grid(m, uniform(-1, 1, 30, 2).float()),
        lambda m: with_basis(m, 0, 1, 0, Chebyshev(degree=5)),
        prune,
        lambda m: fix_symbolic(m, 0, 0, 0, "sin"),
        lambda m: unfix_symbolic(fix_symbolic(m, 0, 0, 0, "sin"), 0, 0, 0),
        lambda m: with_transforms(m, ("exp", "x"), ("x",), sample=m.sample),
        lambda m: scale_outputs(m, torch.tensor([2.0]), torch.tensor([1.0])),
    ]
    x = uniform(-1, 1, 20, 2).float()
    for change in changes:
        result = change(model)
        assert result.dtype == torch.float32
        assert {p.dtype for p in result.parameters()} == {torch.float32}
        assert result(x).dtype == torch.float32


# ------------------------------------------------------------------------------------------------ moving edges


def test_edges_taken_out_are_zero(model, uniform):
    layer = model.all_layers[0]
    gone = torch.zeros_like(layer.mask)
    gone[0, 0] = gone[0, 2] = True
    x = uniform(-1, 1, 10, 2)
    values, expected = without_edges(layer, gone).trace(x).edges, layer.trace(x).edges.clone()
    expected[:, gone] = 0
    assert torch.equal(values, expected)


def test_a_layer_keeps_a_block_when_all_its_edges_go(model, uniform):
    layer = without_edges(model.all_layers[1], torch.ones_like(model.all_layers[1].mask))
    assert len(layer.all_blocks()) == 1
    assert not bool(layer.mask.any())
    assert torch.equal(layer(uniform(-1, 1, 5, 3)), torch.zeros(5, 2, dtype=F64))


def test_edges_of_equal_families_are_joined_and_others_stand_beside(model, uniform):
    x = uniform(-1, 1, 10, 2)
    layer = model.all_layers[0]
    splines, sines = layer.all_blocks()
    for block in (splines, sines):
        one = torch.zeros_like(layer.mask)
        one[tuple(block.mask.nonzero()[0].tolist())] = True
        moved = with_edges_in(layer, block.restricted(one))
        assert len(moved.all_blocks()) == 2
        torch.testing.assert_close(moved.trace(x).edges, layer.trace(x).edges, rtol=0, atol=1e-15)
        assert torch.equal(moved.mask, layer.mask)
        assert torch.equal(moved.locked, layer.locked)
    other_family = with_edges_in(layer, expressed(sines, Chebyshev(degree=4), splines.grid))
    assert [type(block).__name__ for block in other_family.all_blocks()] == ["BasisBlock", "BasisBlock"]
    other_name = with_edges_in(layer, with_match_block(model))
    assert sorted(block.primitive.name for block in other_name.all_blocks() if hasattr(block, "primitive")) == [
        "exp",
        "sin",
    ]


def with_match_block(model):
    """The symbolic block that naming edge (0, 0, 1) makes."""
    (match,) = suggest_symbolic(model, 0, 0, 1, primitives=["exp"])
    named = with_match(model, 0, 0, 1, match)
    return named.all_layers[0].block_of(0, 1)


def test_input_ranges_are_the_grid_or_else_the_values(model, symbolic_block):
    assert input_ranges(model, 0).tolist() == [[-1, 1], [-1, 1]]
    layer = KANLayer.from_blocks([symbolic_block("sin", [(0, 0), (1, 0)], (2, 1))], (1,), 2)
    sample = torch.tensor([[0.0, 5.0], [0.5, 5.0], [-2.0, 5.0]], dtype=F64)
    symbols = Network([layer], sample=sample)
    assert input_ranges(symbols, 0).tolist() == [[-2, 0.5], [0, 10]]  # a constant column is padded by its magnitude
    assert input_ranges(symbols, 0, torch.tensor([[0.0, 0.0], [3.0, 0.0]], dtype=F64)).tolist() == [[0, 3], [-1, 1]]
