"""Formulas as trees of sums, products and univariate curves, and the network that computes one.

A tree is what a search proposes; its network is what is fitted, snapped, drawn and saved.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

import torch
from torch import Tensor

from edgewise.kan import KAN
from edgewise.lazy import LazyModule
from edgewise.network import KANLayer, Options, SymbolicBlock, subnodes
from edgewise.primitives import get_primitive

if TYPE_CHECKING:
    import sympy
else:
    sympy = LazyModule("sympy")

_HIGHEST, _MOST_FACTORS = 5.0, 4  # of one primitive, and of them in a product
_ROUNDING = 1e-9  # of a number that is whole
POWERS = {
    2.0: "x^2", 3.0: "x^3", 4.0: "x^4", 5.0: "x^5", -1.0: "1/x", -2.0: "1/x^2", -3.0: "1/x^3", -4.0: "1/x^4",
    -5.0: "1/x^5", 0.5: "sqrt", 1.5: "x^1.5", -0.5: "1/sqrt(x)", -1.5: "1/x^1.5",
}  # fmt: skip
EXPONENTS = {name: exponent for exponent, name in POWERS.items()}


@dataclass(frozen=True)
class Input:
    """A column of the table."""

    index: int


@dataclass(frozen=True)
class Curve:
    """c·f(a·child + b) + d with the primitive of a name."""

    name: str
    child: Tree
    a: float = 1.0
    b: float = 0.0
    c: float = 1.0
    d: float = 0.0


@dataclass(frozen=True)
class Sum:
    """The sum of its terms, one or more."""

    terms: tuple[Tree, ...]


@dataclass(frozen=True)
class Product:
    """The product of its factors, one or more."""

    factors: tuple[Tree, ...]


Tree: TypeAlias = Input | Curve | Sum | Product


def constant(value: float) -> Curve:
    """A number as a tree."""
    return Curve("0", Input(0), d=value)


def scaled(tree: Tree, factor: float, offset: float = 0.0) -> Tree:
    """factor·tree + offset, within the tree's own constants where it has some."""
    if isinstance(tree, Curve):
        return replace(tree, c=factor * tree.c, d=factor * tree.d + offset)
    if factor == 1 and offset == 0:
        return tree
    return Curve("x", tree, c=factor, d=offset)


def power(tree: Tree, exponent: float) -> Tree:
    """The tree to a power: one primitive, a product for small whole numbers, else by the logarithm."""
    if exponent == 0:
        return constant(1.0)
    if exponent == 1:
        return tree
    if _HIGHEST < abs(exponent) <= _MOST_FACTORS * _HIGHEST and exponent == round(exponent):
        most = math.copysign(_HIGHEST, exponent)
        return product_of(power(tree, most), power(tree, exponent - most))
    name = POWERS.get(exponent)
    return Curve("exp", Curve("log", tree, c=exponent)) if name is None else Curve(name, tree)


def sum_of(*terms: Tree) -> Tree:
    """A sum without sums inside, its numbers within another term; a single term stays as it is."""
    flat = [inner for term in terms for inner in (term.terms if isinstance(term, Sum) else (term,))]
    offset = sum(term.d for term in flat if _is_constant(term))
    rest = [term for term in flat if not _is_constant(term)]
    if not rest:
        return constant(offset)
    if offset:
        rest[0] = scaled(rest[0], 1.0, offset)
    return rest[0] if len(rest) == 1 else Sum(tuple(rest))


def product_of(*factors: Tree) -> Tree:
    """A product without products inside, its numbers within another factor; a single factor stays as it is."""
    flat = [inner for each in factors for inner in (each.factors if isinstance(each, Product) else (each,))]
    number = math.prod(factor.d for factor in flat if _is_constant(factor))
    rest = [factor for factor in flat if not _is_constant(factor)]
    if not rest:
        return constant(number)
    rest[0] = scaled(rest[0], number)
    return rest[0] if len(rest) == 1 else Product(tuple(rest))


def on_line(curve: Curve) -> Curve:
    """The same curve of what its argument is a straight line of."""
    inner = curve.child
    if not (isinstance(inner, Curve) and inner.name == "x"):
        return curve
    slope, offset = inner.c * inner.a, inner.c * inner.b + inner.d
    return replace(curve, child=inner.child, a=curve.a * slope, b=curve.a * offset + curve.b)


def monomial(exponents: Mapping[int, float], factor: float = 1.0) -> Tree:
    """factor·Π x_i^p_i."""
    factors = [power(Input(index), exponent) for index, exponent in exponents.items() if exponent]
    return scaled(product_of(*factors), factor) if factors else constant(factor)


def _is_constant(tree: Tree) -> TypeGuard[Curve]:
    return isinstance(tree, Curve) and tree.name == "0"


def substituted(tree: Tree, inputs: Mapping[int, Tree]) -> Tree:
    """The tree with other trees in place of its inputs."""
    match tree:
        case Input(index):
            return inputs[index]
        case Curve():
            return on_line(replace(tree, child=substituted(tree.child, inputs)))
        case Sum(terms):
            return sum_of(*(substituted(term, inputs) for term in terms))
        case Product(factors):
            return product_of(*(substituted(factor, inputs) for factor in factors))


def on_inputs(tree: Tree, places: Sequence[int]) -> Tree:
    """A tree of some inputs as one of all, among which these are their places."""
    return substituted(tree, {k: Input(place) for k, place in enumerate(places)})


def evaluate(tree: Tree, x: Tensor) -> Tensor:
    """Values on rows x of shape (N, I), shape (N,); NaN or infinite where the formula has none."""
    match tree:
        case Input(index):
            return x[:, index]
        case Curve(name, child, a, b, c, d):
            return c * get_primitive(name).function(a * evaluate(child, x) + b) + d
        case Sum(terms):
            return torch.stack([evaluate(term, x) for term in terms]).sum(dim=0)
        case Product(factors):
            return torch.stack([evaluate(factor, x) for factor in factors]).prod(dim=0)


def inputs_in(tree: Tree) -> frozenset[int]:
    """The inputs that a tree is a function of."""
    match tree:
        case Input(index):
            return frozenset({index})
        case Curve(name, child):
            return frozenset() if name == "0" else inputs_in(child)
        case Sum(parts) | Product(parts):
            return frozenset().union(*map(inputs_in, parts))


def complexity(tree: Tree) -> int:
    """Nodes of the tree, primitives by their cost, constants that are not 0 or 1 counted."""
    match tree:
        case Input():
            return 1
        case Curve(name, child):
            numbers = sum(not held for held in _held(tree))
            return get_primitive(name).complexity + numbers + (complexity(child) if name != "0" else 0)
        case Sum(parts) | Product(parts):
            return sum(map(complexity, parts)) + len(parts) - 1


def expression_of(tree: Tree) -> sympy.Expr:
    """The formula in SymPy, of inputs x0, x1, …; numbers near whole ones are these."""
    match tree:
        case Input(index):
            return sympy.Symbol(f"x{index}")
        case Curve(name, child, a, b, c, d):
            argument = _number(a) * expression_of(child) + _number(b)
            return _number(c) * get_primitive(name).expression(argument) + _number(d)
        case Sum(terms):
            return sympy.Add(*map(expression_of, terms))
        case Product(factors):
            return sympy.Mul(*map(expression_of, factors))


def _number(value: float) -> sympy.Expr:
    whole = round(value)
    return sympy.Integer(whole) if abs(value - whole) <= _ROUNDING else sympy.Float(value)


def constants(tree: Tree) -> int:
    """How many of its constants are not 0, 1 or −1."""
    match tree:
        case Input():
            return 0
        case Curve():
            return sum(not held for held in _held(tree)) + (constants(tree.child) if tree.name != "0" else 0)
        case Sum(parts) | Product(parts):
            return sum(map(constants, parts))


def _held(curve: Curve) -> tuple[bool, bool, bool, bool]:
    """Which of a, b, c, d stand for no number."""
    return abs(curve.a) == 1, curve.b == 0, abs(curve.c) == 1, curve.d == 0


@dataclass(frozen=True)
class _Edge:
    curve: Curve
    source: _Node | Input


@dataclass(frozen=True)
class _Node:
    """A product of sums of edges; a sum where there is one factor."""

    factors: tuple[tuple[_Edge, ...], ...]

    @property
    def height(self) -> int:
        """Its layer, counted from 1."""
        return 1 + max(_height(edge.source) for factor in self.factors for edge in factor)


def _height(node: _Node | Input) -> int:
    return node.height if isinstance(node, _Node) else 0


def network_of(tree: Tree, sample: Tensor, options: Options | None = None, *, hold: bool = False) -> KAN:
    """The network that computes a tree: its curves are symbolic edges, its products product nodes.

    Args:
        tree: a formula of columns of the sample.
        sample: inputs, shape (N, I).
        options: names of inputs and output.
        hold: whether constants that are 0, 1 or −1 are frozen, as they stand for no number.

    Returns:
        The network, of one output; identity edges carry values past layers.
    """
    root = _node(tree if not isinstance(tree, Input) else Curve("x", tree))
    assert isinstance(root, _Node)
    wanted: list[list[_Node | Input]] = [[] for _ in range(root.height + 1)]
    wanted[-1].append(root)
    for level in range(root.height, 0, -1):
        for node in wanted[level]:
            edges = [edge for factor in _factors(node, level) for edge in factor]
            wanted[level - 1] += [edge.source for edge in edges if edge.source not in wanted[level - 1]]
    wanted[0] = [Input(index) for index in range(sample.shape[1])]
    layers = [_layer(wanted[level - 1], wanted[level], level, sample, hold) for level in range(1, root.height + 1)]
    return KAN.assemble(layers, sample=sample, options=options or Options())


def _node(tree: Tree) -> _Node | Input:
    match tree:
        case Input():
            return tree
        case Product(factors):
            return _Node(tuple(_edges(factor) for factor in factors))
        case _:
            return _Node((_edges(tree),))


def _edges(tree: Tree) -> tuple[_Edge, ...]:
    """A sum of curves as the edges that arrive at a subnode; a second curve of the same source comes by a node."""
    terms = tree.terms if isinstance(tree, Sum) else (tree,)
    found: dict[_Node | Input, _Edge] = {}
    for term in terms:
        curve = term if isinstance(term, Curve) else Curve("x", term)
        edge = _Edge(replace(curve, child=Input(0)), _node(curve.child))
        while edge.source in found:
            edge = _Edge(Curve("x", Input(0)), _Node(((edge,),)))
        found[edge.source] = edge
    return tuple(found.values())


def _factors(node: _Node | Input, level: int) -> tuple[tuple[_Edge, ...], ...]:
    """What computes a node at a level: its own edges at its own level, above that the identity."""
    if isinstance(node, _Node) and node.height == level:
        return node.factors
    return ((_Edge(Curve("x", Input(0)), node),),)


def _layer(below: list[_Node | Input], nodes: list[_Node | Input], level: int, sample: Tensor, hold: bool) -> KANLayer:
    position = {node: index for index, node in enumerate(below)}
    arities, found, subnode = [], defaultdict(list), 0
    for node in nodes:
        factors = _factors(node, level)
        arities.append(len(factors))
        for factor in factors:
            for edge in factor:
                found[edge.curve.name].append((position[edge.source], subnode, edge.curve))
            subnode += 1
    blocks = []
    for name, edges in found.items():
        affine = torch.tensor([[c.a, c.b, c.c, c.d] for *_, c in edges], dtype=sample.dtype)
        source, target = (torch.tensor([edge[end] for edge in edges]) for end in (0, 1))
        frozen = torch.tensor([_held(curve) for *_, curve in edges]) & hold
        blocks.append(SymbolicBlock(name, source, target, affine, shape=(len(below), subnode), frozen=frozen))
    return KANLayer.from_blocks(blocks, tuple(arities), len(below))


def tree_of(model: KAN) -> Tree:
    """The formula of a symbolic network of one output, without its identity edges."""
    values: list[Tree] = [Input(index) for index in range(model.in_features)]
    for layer in model.all_layers:
        sums: list[list[Tree]] = [[] for _ in range(layer.subnodes)]
        for block in layer.all_blocks():
            if not isinstance(block, SymbolicBlock):  # without edges, or the network had no formula
                continue
            rows = zip(block.source.tolist(), block.target.tolist(), block.affine.tolist(), strict=True)
            for source, target, (a, b, c, d) in rows:
                sums[target].append(_simple(on_line(Curve(block.primitive.name, values[source], a, b, c, d))))
        values = [product_of(*(sum_of(*sums[subnode]) for subnode in group)) for group in subnodes(layer.nodes)]
    return values[0]


def _simple(curve: Curve) -> Tree:
    """A straight line as a factor and an offset of what it is taken of; a power without a factor inside."""
    exponent = EXPONENTS.get(curve.name)
    if exponent is not None and curve.b == 0 and (curve.a > 0 or exponent == round(exponent)):
        return replace(curve, a=1.0, c=curve.c * curve.a**exponent)
    if curve.name != "x":
        return curve
    return scaled(curve.child, curve.c * curve.a, curve.c * curve.b + curve.d)
