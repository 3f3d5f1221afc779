"""Description length: what the residuals and the formula cost together, in bits. By this formulas are chosen.

Source: Rissanen, *Modeling by shortest data description* (1978).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewise.lazy import LazyModule
from edgewise.network import Network, SymbolicBlock
from edgewise.symbolic.formula import number

if TYPE_CHECKING:
    import sympy
else:
    sympy = LazyModule("sympy")

BITS_PER_NODE = 3.0
_ROUNDING = 1e-14  # relative error below which all formulas are exact
_TRIVIAL = ((1.0, -1.0), (0.0,), (1.0, -1.0), (0.0,))  # values of a, b, c and d that no formula shows


@dataclass(frozen=True)
class Size:
    """How much there is of a formula.

    Args:
        nodes: of its tree.
        constants: numbers that only the data can tell.
        exact: bits of its integers and fractions. Without a price of their own, fractions would pass for simple.
    """

    nodes: int
    constants: int
    exact: float = 0.0


def description_length(share: float, size: Size, rows: int) -> float:
    """Bits for residuals of Gaussian errors of unknown size, and bits for the formula.

    Args:
        share: mean square of the residuals as a share of that around the best constant, 0 or more.
        size: of the formula.
        rows: how many residuals there are.

    Returns:
        Bits relative to a formula of size 0 that explains nothing.

    Example:
        >>> description_length(0.25, Size(nodes=2, constants=1), rows=64)
        -55.0
    """
    residuals = rows / 2 * math.log2(max(share, _ROUNDING**2))
    # The standard error of a constant falls with the root of the number of rows: more digits of it are worth giving.
    return residuals + BITS_PER_NODE * size.nodes + size.constants / 2 * math.log2(max(2, rows)) + size.exact


def size_of_expression(expression: sympy.Expr) -> Size:
    """The size of a SymPy expression: of a number that appears twice the digits are given once.

    Args:
        expression: any.

    Returns:
        Its size.
    """
    fractions = expression.atoms(sympy.Rational)
    return Size(
        nodes=sum(1 for _ in sympy.preorder_traversal(expression)),
        constants=len(expression.atoms(sympy.Float)),
        exact=sum(math.log2(abs(each.p)) + 2 * math.log2(each.q) for each in fractions if each.p),
    )


def size_of_network(model: Network) -> Size:
    """The size of what a network computes, without a look at what its edges make together.

    That is fast, and of networks of the same shape it compares the names. Edges without a name count with all their
    coefficients.

    Args:
        model: a network in canonical parameters, some of its edges named.

    Returns:
        Its size.
    """
    nodes, constants, exact = 0, 0, 0.0
    for layer in model.all_layers:
        for block in layer.all_blocks():
            if not isinstance(block, SymbolicBlock):
                nodes += int(block.mask.sum())
                constants += block.gather().numel()
                continue
            nodes += len(block.source) * block.primitive.complexity
            for affine, frozen in zip(block.affine.tolist(), block.frozen.tolist(), strict=True):
                for value, held, trivial in zip(affine, frozen, _TRIVIAL, strict=True):
                    if held and value in trivial:
                        continue
                    nodes += 1
                    given = size_of_expression(number(value)) if held else Size(1, 1)
                    constants, exact = constants + given.constants, exact + given.exact
    return Size(nodes, constants, exact)
