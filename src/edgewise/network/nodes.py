"""Node operations: a sum node passes its one subnode on, a product node multiplies several.

The subnodes of a layer are numbered through: the node of arity 1 has one, a product of r factors has r, in order.
Source: Liu et al., KAN 2.0 (2024), section 2 (multiplication nodes).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, TypeGuard

import torch
from torch import Tensor

from edgewise.errors import OptionError

NodeWidth = int | Sequence[int | Sequence[int]]


def arities(width: NodeWidth) -> tuple[int, ...]:
    """The number of factors of each node in one entry of `width`.

    Args:
        width: `5` for five sums; `[3, 2]` for three sums and two products of two; `[3, (2, 3)]` for three sums, a
            product of two and one of three.

    Returns:
        One arity per node.

    Raises:
        OptionError: the entry is none of these, or empty.

    Example:
        >>> from edgewise.network.nodes import arities
        >>> arities([1, (2, 3)])
        (1, 2, 3)
    """
    sums, products = width if isinstance(width, Sequence) and len(width) == 2 else (width, 0)
    factors = [2] * products if _is_count(products) else products
    if not (_is_count(sums) and isinstance(factors, Sequence) and all(_is_count(count) for count in factors)):
        raise OptionError(f"a width is a number of nodes or [sums, products], got {width!r}")
    nodes = (1,) * sums + tuple(factors)
    if not nodes or min(nodes) < 1:
        raise OptionError(f"a layer needs at least one node and every product a factor, got {width!r}")
    return nodes


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def subnodes(nodes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The subnodes of each node."""
    ends = list(accumulate(nodes))
    return tuple(tuple(range(end - arity, end)) for arity, end in zip(nodes, ends, strict=True))


def merge(values: Tensor, nodes: tuple[int, ...]) -> Tensor:
    """From subnodes, shape (..., S), to nodes, shape (..., O)."""
    if max(nodes) == 1:
        return values
    product, *others = _factors(values, nodes)
    for factor in others:
        product = product * factor
    return product


def split_adjoint(delta: Tensor, values: Tensor, nodes: tuple[int, ...]) -> Tensor:
    """Carry adjoints from the nodes, (..., O), back to the subnodes, (..., S), whose values are given."""
    if max(nodes) == 1:
        return delta
    factors = _factors(values, nodes)
    groups = subnodes(nodes)
    back = torch.zeros_like(values)
    for position in range(len(factors)):
        others = delta
        for index, factor in enumerate(factors):
            if index != position:
                others = others * factor
        present = [node for node, group in enumerate(groups) if position < len(group)]
        back[..., [groups[node][position] for node in present]] = others[..., present]
    return back


def _factors(values: Tensor, nodes: tuple[int, ...]) -> list[Tensor]:
    """The first, second, … factor of every node, 1 where a node has fewer; each of shape (..., O)."""
    padded = torch.cat([values, torch.ones_like(values[..., :1])], dim=-1)
    one = values.shape[-1]
    groups = subnodes(nodes)
    return [
        padded[..., [group[position] if position < len(group) else one for group in groups]]
        for position in range(max(nodes))
    ]
