"""Sum and product nodes: the widths that name them, their values and their adjoints."""

import pytest
import torch

from edgewise.errors import OptionError
from edgewise.network import arities, subnodes
from edgewise.network.nodes import merge, split_adjoint


@pytest.mark.parametrize(
    ("width", "nodes"),
    [
        (5, (1, 1, 1, 1, 1)),
        ([3, 2], (1, 1, 1, 2, 2)),
        ([3, (2, 3)], (1, 1, 1, 2, 3)),
        ((0, [4]), (4,)),
        ([0, 2], (2, 2)),
        ([2, 0], (1, 1)),
        ([2, []], (1, 1)),
        ([1, [1, 2]], (1, 1, 2)),
    ],
)
def test_widths(width, nodes):
    assert arities(width) == nodes


@pytest.mark.parametrize("width", [True, 2.0, "ab", None, [1, 2, 3], [1], [1, 2.0], [1, None], [1, "23"], [True, 1]])
def test_what_is_no_width(width):
    with pytest.raises(OptionError, match=r"a width is a number of nodes or \[sums, products\], got "):
        arities(width)


@pytest.mark.parametrize("width", [-3, [-1, 2], [1, -2], [1, (2, -1)], [3, (2, 2.5)]])
def test_counts_are_whole_and_not_negative(width):
    with pytest.raises(OptionError, match="a width is a number of nodes"):
        arities(width)


@pytest.mark.parametrize("width", [0, [0, 0], [0, ()], [1, (0,)]])
def test_layers_and_products_are_not_empty(width):
    with pytest.raises(OptionError, match="at least one node and every product a factor, got "):
        arities(width)


def test_subnodes_are_numbered_through():
    assert subnodes((1, 3, 1, 2)) == ((0,), (1, 2, 3), (4,), (5, 6))


@pytest.mark.parametrize("nodes", [(1, 1), (2,), (1, 2, 3), (3, 1, 2, 2)])
def test_nodes_multiply_their_subnodes(nodes, normal):
    values = normal(4, 5, sum(nodes))
    merged = merge(values, nodes)
    wanted = torch.stack([values[..., list(group)].prod(dim=-1) for group in subnodes(nodes)], dim=-1)
    torch.testing.assert_close(merged, wanted)


@pytest.mark.parametrize("nodes", [(1, 1), (2,), (1, 2, 3), (3, 1, 2, 2)])
def test_adjoints_are_gradients_also_where_factors_are_zero(nodes, normal):
    values = normal(6, sum(nodes))
    values[1, 0] = 0.0  # one factor
    values[2, -2:] = 0.0  # two factors
    values[3] = 0.0  # all
    values.requires_grad_()
    delta = normal(6, len(nodes))
    (wanted,) = torch.autograd.grad(merge(values, nodes), values, delta)
    torch.testing.assert_close(split_adjoint(delta, values.detach(), nodes), wanted)
    # Second derivatives too: no division by a factor anywhere.
    assert torch.autograd.gradcheck(lambda v: merge(v, nodes), values, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda v: merge(v, nodes), values, fast_mode=True)


def test_nan_stays_with_its_node(normal):
    values = normal(3, 5)
    values[1, 2] = torch.nan
    assert merge(values, (1, 2, 2)).isnan().tolist() == [[False] * 3, [False, True, False], [False] * 3]
