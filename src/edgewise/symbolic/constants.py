"""Canonical and exact constants of symbolic edges.

The affine parameters of neighbouring edges say some things twice: the scale and shift of a hidden node, the constants
of the edges that arrive at a node, the redundancies of each primitive. `canonical` removes that freedom without
changing the function, and freezes what became redundant; only then does a constant have a value that data can tell.
`snapped` puts exact numbers where the data cannot tell the difference, one after the other, and refits the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from edgewise.network import KANLayer, Network, SymbolicBlock, subnodes
from edgewise.symbolic.formula import QUARTERS
from edgewise.threads import threads_for
from edgewise.training import Loss
from edgewise.training.gauss_newton import Linearisation, block_slices
from edgewise.training.objective import OutputObjective
from edgewise.training.solvers import minimise

Model = TypeVar("Model", bound=Network)
_Numbers = Callable[[float, float, bool], Iterator[tuple[float, float]]]
"""Simple numbers near a value of a standard error, with their costs; the flag is for angles."""

_A, _B, _C, _D = range(4)
_SIGMAS = 3.0
_ROUNDING = 1e-8  # relative distance at which constants of an exact fit are tried
_DENOMINATORS = (1, 2, 3, 4)
_SIGMAS_OF_DECIMALS = 2.0  # which are many: of those that are right few are farther off
_SHARPNESS = 0.1  # of the spacing of the exact numbers: what is known less well is left as it is
_MOST_DECIMALS = 4
_BITS_OF_DECIMALS = 4.0
_COST_OF_QUARTERS = 0.5  # enough to prefer a number as short without them
_REFIT_STEPS = 30
_NULL = 1e-6  # share of a direction that changes nothing


def symbolic_blocks(layer: KANLayer) -> list[SymbolicBlock]:
    """The symbolic blocks of a layer."""
    return [block for block in layer.all_blocks() if isinstance(block, SymbolicBlock)]


@torch.no_grad()
def canonical(model: Model) -> Model:
    """The same function in canonical affine parameters, the redundant ones frozen.

    Args:
        model: the network, which is left as it is.

    Returns:
        A new network. Locked edges, and nodes that touch edges which are not symbolic, keep their parameters.
    """
    new = model.copied()
    edges = [_editable(layer) for layer in new.all_layers]
    for index, layer in enumerate(new.all_layers):
        for edge in edges[index]:
            edge.normalise()
        for node, group in enumerate(subnodes(layer.nodes)):
            factors = [_complete(edges[index], layer, 0, subnode) for subnode in group]
            leaving = None
            if index + 1 < len(new.all_layers):
                leaving = _complete(edges[index + 1], new.all_layers[index + 1], 1, node)
            _tidy_node(factors, leaving)
    return new


@dataclass
class _EditableEdge:
    """One edge of a symbolic block; writes go to the block."""

    block: SymbolicBlock
    row: int

    @property
    def source(self) -> int:
        return int(self.block.source[self.row])

    @property
    def target(self) -> int:
        return int(self.block.target[self.row])

    def get(self) -> list[float]:
        return self.block.affine[self.row].tolist()

    def set(self, values: tuple[float, ...] | list[float]) -> None:
        self.block.affine[self.row] = torch.tensor(values, dtype=self.block.affine.dtype)

    def freeze(self, parameter: int) -> None:
        self.block.frozen[self.row, parameter] = True

    def normalise(self) -> None:
        """Canonical parameters of this edge alone; what its primitive makes redundant is frozen."""
        redundant = self.block.primitive.redundant
        a, b, c, d = redundant.canonical(*self.get())
        self.set((a, b, c, d))
        self.block.frozen[self.row] = False
        if redundant.scaling is not None and abs(a) == 1:
            self.freeze(_A)
        if redundant.shifting is not None and b == 0:
            self.freeze(_B)
        if redundant.amplitude:
            for parameter in (_A, _B, _C):
                self.freeze(parameter)


def _editable(layer: KANLayer) -> list[_EditableEdge]:
    edges = []
    for block in symbolic_blocks(layer):
        free = torch.nonzero(~block.locked_edges).flatten().tolist()
        edges += [_EditableEdge(block, row) for row in free]
    return sorted(edges, key=lambda edge: (edge.target, edge.source))


def _complete(edges: list[_EditableEdge], layer: KANLayer, end: int, index: int) -> list[_EditableEdge] | None:
    """The edges that arrive at a subnode (end 0) or leave an input (end 1), or None where not all can be edited."""
    found = [edge for edge in edges if (edge.target, edge.source)[end] == index]
    present = layer.mask[:, index] if end == 0 else layer.mask[index]
    return found if found and len(found) == int(present.sum()) else None


def _tidy_node(factors: list[list[_EditableEdge] | None], leaving: list[_EditableEdge] | None) -> None:
    """Take the redundant freedom out of a node.

    Constants of the edges of each subnode go to one of them. Where the edges behind the node can undo it, each subnode
    gets the scale of its first edge, and a sum loses its constant altogether. Where they cannot, the first factor of a
    product takes the scales of the others.
    """
    complete = [arriving for arriving in factors if arriving is not None]
    absorbs = leaving is not None and len(factors) == 1
    taken, moved = 1.0, 0.0  # what the edges of the subnodes were divided by, and what was subtracted
    for arriving in reversed(complete):
        stays = leaving is None and arriving is complete[0]
        shift = sum(edge.get()[_D] for edge in arriving)
        first = next((edge for edge in arriving if edge.get()[_C] != 0), None)
        scale = 1 / taken if stays else (1.0 if first is None else first.get()[_C])
        moved = shift if absorbs else 0.0
        for position, edge in enumerate(arriving):
            a, b, c, _ = edge.get()
            edge.set((a, b, c / scale, 0.0 if position else (shift - moved) / scale))
            if position or absorbs:
                edge.freeze(_D)
        if not stays:
            taken *= scale
            if first is not None:
                first.freeze(_C)
    for edge in leaving or ():
        a, b, c, d = edge.get()
        edge.set((a * taken, b + a * moved, c, d))
        edge.normalise()


def snapped(
    model: Model, x: Tensor, y: Tensor, loss: Loss, weights: Tensor | None = None, *, deadline: float = math.inf
) -> tuple[Model, list[str]]:
    """Exact constants where the data cannot tell them from what was fitted.

    Constants are tried from the simplest on; each is frozen at its exact value, the rest is refitted, and the change
    is kept if the loss rises by no more than noise would explain.

    Args:
        model: a canonical, fitted network, which is left as it is.
        x: inputs, shape (N, I).
        y: targets as the loss takes them.
        loss: the loss that was minimised.
        weights: how much each row counts, shape (N,); all alike if not given.
        deadline: monotonic time after which the constants that are left stay as they are.

    Returns:
        A new network, and what was snapped, a line each.
    """
    return _simplified(model, x, y, loss, weights, _simple_numbers, deadline)


def rounded(
    model: Model, x: Tensor, y: Tensor, loss: Loss, weights: Tensor | None = None, *, deadline: float = math.inf
) -> tuple[Model, list[str]]:
    """Free constants with no more decimals than the data know: the fewest within two standard errors.

    Args:
        model: a canonical, fitted network, which is left as it is.
        x: inputs, shape (N, I).
        y: targets as the loss takes them.
        loss: the loss that was minimised.
        weights: how much each row counts, shape (N,); all alike if not given.
        deadline: monotonic time after which the constants that are left stay as they are.

    Returns:
        A new network, where they are frozen, and what was rounded, a line each.
    """
    return _simplified(model, x, y, loss, weights, _shortest_decimals, deadline)


@torch.no_grad()
def _simplified(
    model: Model, x: Tensor, y: Tensor, loss: Loss, weights: Tensor | None, numbers: _Numbers, deadline: float
) -> tuple[Model, list[str]]:
    """With the simpler numbers that the data cannot tell from the constants, one after the other."""
    notes: list[str] = []
    refused: set[tuple[int, int, int, int, float]] = set()
    model = model.copied()
    while time.monotonic() < deadline:
        near = OutputObjective(model, x, y, loss, None, weights).loss_linearised()
        candidate = next(_candidates(model, near, len(x), numbers, refused), None)
        if candidate is None:
            break
        trial = model.copied()
        block = symbolic_blocks(trial.all_layers[candidate.layer])[candidate.block]
        block.affine[candidate.row, candidate.parameter] = candidate.exact
        block.frozen[candidate.row, candidate.parameter] = True
        with threads_for(x.numel()):
            reached = minimise(OutputObjective(trial, x, y, loss, None, weights), steps=_REFIT_STEPS)
        if reached <= _allowed(near.value, len(x), y):
            model = trial
            refused.clear()  # with one constant exact, others may be nearer to simple numbers
            notes.append(f"constant {candidate.value:.9g} of {block.primitive.name} taken as {candidate.exact:.9g}")
        else:
            refused.add(candidate.key)
    return model, notes


def _allowed(value: float, samples: int, y: Tensor) -> float:
    """The loss up to which an exact constant is no worse than the fitted one."""
    floor = 0.0
    if y.is_floating_point():
        floor = (32 * torch.finfo(y.dtype).eps) ** 2 * float(y.square().mean())
    return max(value * math.exp(_SIGMAS**2 / samples), floor)


@dataclass(frozen=True)
class _Candidate:
    layer: int
    block: int
    row: int
    parameter: int
    value: float
    exact: float
    cost: float

    @property
    def key(self) -> tuple[int, int, int, int, float]:
        return self.layer, self.block, self.row, self.parameter, self.exact


def _candidates(
    model: Network, near: Linearisation, samples: int, numbers: _Numbers, refused: set[Any]
) -> Iterator[_Candidate]:
    """Free constants with a simple number nearby, the simplest first."""
    found = []
    angles = _angles(model)
    for (layer, index, row, parameter), value, sigma in _free_constants(model, near, samples):
        block = symbolic_blocks(model.all_layers[layer])[index]
        into, out_of = block.primitive.redundant.turn is not None, int(block.target[row]) in angles[layer]
        is_angle = into if parameter in (_A, _B) else out_of
        for exact, cost in _near(numbers, value, sigma, is_angle, is_angle and parameter in (_B, _D)):
            if parameter == _A and exact == 0:
                continue  # the edge would be a constant: another primitive, not another number
            found.append(_Candidate(layer, index, row, parameter, value, exact, cost))
    found.sort(key=lambda candidate: candidate.cost)
    return (candidate for candidate in found if candidate.key not in refused)


def _near(
    numbers: _Numbers, value: float, sigma: float, is_angle: bool, is_phase: bool
) -> Iterator[tuple[float, float]]:
    """The numbers near a value; of a phase also those beside quarters of a turn, as a sine may stand for a cosine."""
    yield from numbers(value, sigma, is_angle)
    if is_phase and not math.isinf(sigma):
        for quarters in QUARTERS:
            turned = quarters * math.pi / 2
            for exact, cost in numbers(value - turned, sigma, False):
                yield exact + turned, cost + _COST_OF_QUARTERS


def _angles(model: Network) -> list[set[int]]:
    """The subnodes of each layer whose values go into periodic functions and nowhere else."""
    found: list[set[int]] = [set()]
    for layer, before in zip(model.all_layers[:0:-1], model.all_layers[-2::-1], strict=True):
        elsewhere, somewhere = set(), set()
        for block in layer.all_blocks():
            symbolic = isinstance(block, SymbolicBlock)
            for source, target in block.mask.nonzero().tolist():
                turns = symbolic and block.primitive.redundant.turn is not None
                goes_on = symbolic and block.primitive.name == "x" and target in found[0]
                (somewhere if turns or goes_on else elsewhere).add(source)
        nodes = subnodes(before.nodes)
        found.insert(0, {subnode for node in somewhere - elsewhere for subnode in nodes[node]})
    return found


def _free_constants(
    model: Network, near: Linearisation, samples: int
) -> Iterator[tuple[tuple[int, int, int, int], float, float]]:
    """(layer, block, row, parameter), value and standard error of every constant that is not frozen."""
    positions: list[tuple[int, int, int, int]] = []
    columns: list[int] = []
    values: list[float] = []
    for layer, index, block, start in block_slices(model):
        if not isinstance(block, SymbolicBlock):
            continue
        rows = torch.nonzero(~block.locked_edges).flatten().tolist()
        which = symbolic_blocks(layer).index(block)
        for place, row in enumerate(rows):
            for parameter in range(4):
                if not bool(block.frozen[row, parameter]):
                    positions.append((index, which, row, parameter))
                    columns.append(start + 4 * place + parameter)
                    values.append(float(block.affine[row, parameter]))
    # The curvature of a mean square is 2/N times that of half the sum of squares: variance = 2·loss/N · H⁻¹.
    inverse = _inverse_diagonal(near.curvature)
    unit = 2 * near.value / max(1, samples - int((near.curvature.diagonal() > 0).sum()))
    variance = torch.where(inverse.isinf(), torch.inf, unit * inverse)
    for position, column, value in zip(positions, columns, values, strict=True):
        yield position, value, math.sqrt(float(variance[column]))


def _inverse_diagonal(curvature: Tensor) -> Tensor:
    """That of the inverse, infinite for what has no slope, as where a step is, and for what others can make up for."""
    size = curvature.diagonal().clamp_min(0).sqrt()
    known = size > 0
    result = torch.where(known, 0.0, torch.inf).to(size)
    if not bool(known.any()) or not bool(curvature.isfinite().all()):
        return result
    size = size[known]
    values, vectors = torch.linalg.eigh(curvature[known][:, known] / size / size.unsqueeze(1))
    null = values <= len(values) * torch.finfo(values.dtype).eps * values.abs().max()
    shares = vectors.square()
    inverse = (shares[:, ~null] / values[~null]).sum(dim=1) / size.square()
    result[known] = torch.where(shares[:, null].sum(dim=1) > _NULL, torch.inf, inverse)
    return result


def _simple_numbers(value: float, sigma: float, is_angle: bool) -> Iterator[tuple[float, float]]:
    """Simple numbers that a value cannot be told from, with their cost in bits; any near one where nothing is known."""
    if math.isinf(sigma):
        yield from ((round(value, digits), float(digits)) for digits in range(_MOST_DECIMALS))
        return
    reach = _SIGMAS * sigma + _ROUNDING * max(1.0, abs(value))
    if abs(value) <= reach:
        yield 0.0, 0.0
    units = [(1.0, 0.0), (math.pi, 1.0)] if is_angle else [(1.0, 0.0)]
    for unit, extra in units:
        for denominator in _DENOMINATORS:
            numerator = round(value / unit * denominator)
            exact = numerator * unit / denominator
            if numerator == 0 or math.gcd(numerator, denominator) != 1:
                continue
            known = sigma * _SIGMAS <= _SHARPNESS * unit / denominator
            if known and abs(value - exact) <= reach:
                yield exact, extra + 1 + math.log2(abs(numerator)) + 2 * math.log2(denominator)
    for exact, digits in _near_decimals(value, sigma):
        if sigma * _SIGMAS_OF_DECIMALS <= _SHARPNESS * 10.0**-digits:
            yield exact, _BITS_OF_DECIMALS + math.log2(abs(exact) * 10.0**digits) + 2 * digits * math.log2(10)
            break


def _shortest_decimals(value: float, sigma: float, is_angle: bool) -> Iterator[tuple[float, float]]:
    """Decimals that a value cannot be told from, with their number of digits."""
    del is_angle
    if not math.isinf(sigma):
        yield from ((exact, float(digits)) for exact, digits in _near_decimals(value, sigma))


def _near_decimals(value: float, sigma: float) -> Iterator[tuple[float, int]]:
    """Decimals that a value cannot be told from, with their number of digits, the shortest first."""
    reach = _SIGMAS_OF_DECIMALS * sigma + _ROUNDING * max(1.0, abs(value))
    for digits in range(1, _MOST_DECIMALS + 1):
        exact = round(value, digits)
        if exact and abs(value - exact) <= reach:
            yield exact, digits
