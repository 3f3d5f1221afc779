"""The search for the names of all edges: a beam of partly named networks, each refitted and judged as a whole.

Edges are named one after the other, the surest first. A name that fits its edge need not be the one that the others
can be named beside; so several networks are kept where they are about as good, and one where it is clearly best.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from torch import Tensor

from edgewise.network import BasisBlock, Network
from edgewise.primitives import Primitive
from edgewise.symbolic.constants import canonical
from edgewise.symbolic.description import Size, description_length, size_of_network
from edgewise.symbolic.held_out import HeldOut
from edgewise.symbolic.match import Match, rank_matches
from edgewise.symbolic.name_edge import edge_samples, with_match

Model = TypeVar("Model", bound=Network)

EdgeIndex = tuple[int, int, int]

_WIDTH = 3  # networks that are kept
CLOSE = 10.0  # bits, odds of a thousand to one: networks further behind the best are given up
_TRIED = 4  # names per edge that are checked on the whole model
_TRIED_SIMPLE = 2  # of those that are exact enough, the simplest
_REFIT_STEPS = 25
_SAME = 1e-3  # of the error: networks whose predictions differ by less say the same
_SHARP = 1e-4  # of the spread of the targets: below this error the data are free of noise, the splines are what limits
_LOWER = 2.0  # factor by which an error has to be below that of the curves to show that the curves are what limits
_SMOOTH = 8  # rows that a smooth error counts for
_LOOSE = 10.0  # tolerance where the curves limit: names may cost more, the exact ones win it back at the end
_CURVE_POINTS = 500  # at most, to rank names on


@dataclass(frozen=True, eq=False)
class Naming(Generic[Model]):
    """A network with names for some of its edges.

    Args:
        model: the network.
        predicted: its outputs on the rows to judge by.
        score: its error there.
        best: the least error on the way to it.
        size: of what it computes.
        edges: what each edge that was tried is named, or why it is not, in this order.
        constants: what became of its constants, a line each.
    """

    model: Model
    predicted: Tensor
    score: float
    best: float
    size: Size
    edges: Mapping[EdgeIndex, str] = field(default_factory=dict)
    constants: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: Model, rows: HeldOut, size: Size | None = None) -> Naming[Model]:
        """A network, judged; its constants count as in its canonical form if no size is given."""
        predicted = rows.predicted(model)
        score = rows.score_of(predicted)
        return cls(model, predicted, score, score, size or size_of_network(canonical(model)))

    def after(self, naming: Naming[Model], edge: EdgeIndex, what: str) -> Naming[Model]:
        """The same as one that came from another by what became of an edge."""
        told = {each: note for each, note in naming.edges.items() if each != edge}
        return replace(self, best=min(naming.best, self.score), edges={**told, edge: f"edge {edge}: {what}"})

    def bits(self, rows: HeldOut, floor: float = 0.0, most_rows: float = math.inf) -> float:
        """The description length; errors below the floor are alike, and no more rows count than the most."""
        share = rows.share(max(self.score, floor))
        return description_length(share, self.size, int(min(rows.y_held.numel(), most_rows)))


class NamingBeam(Generic[Model]):
    """Searches for the names of a network.

    Args:
        model: a trained network.
        rows: to refit on and to judge by.
        primitives: to try; all if None.
        tolerance: factor by which names may raise the error above the best seen, in all: errors do not add up edge by
            edge.
        deadline: monotonic time after which no edge is tried.
    """

    def __init__(
        self, model: Model, rows: HeldOut, primitives: Sequence[Primitive] | None, *, tolerance: float, deadline: float
    ) -> None:
        self._rows, self._primitives = rows, primitives
        self._tolerance, self._deadline = tolerance, deadline
        self._start = Naming.of(model, rows)
        self._sharp = _SHARP * rows.spread
        self._ranked: dict[tuple[Model, EdgeIndex], list[Match]] = {}
        self._trials: dict[tuple[Model, EdgeIndex], dict[str, Naming[Model]]] = {}

    def one_by_one(self) -> Naming[Model]:
        """The network whose every edge has the name that is best where it is tried."""
        (naming,) = self._searched(1, curves_limit=self._start.score < self._sharp)
        return naming

    def others(self, first: Naming[Model], reached: float) -> list[Naming[Model]]:
        """A few other networks.

        Args:
            first: the network whose edges were named one by one.
            reached: the error of that network with all its constants fitted.

        Returns:
            Networks that keep the tolerance.
        """
        curves_limit = self._start.score < self._sharp or _LOWER * reached < self._start.score
        found = self._searched(_WIDTH, curves_limit=curves_limit)
        limit = self._allowed(self._start.score, curves_limit=False)
        return [naming for naming in found if naming.score <= limit and naming.model is not first.model]

    def _searched(self, width: int, *, curves_limit: bool) -> list[Naming[Model]]:
        """The beam after the last edge.

        Args:
            width: of the beam.
            curves_limit: whether the curves, and not noise, are what is left of the error. Such errors are smooth: they
                tell no more than those of a few rows.

        Returns:
            The networks, at most as many as the beam is wide, the shortest first.
        """
        edges = self._surest_first()
        beam = [self._start]
        for edge in (*edges, *edges):  # beside names, an edge may have one that it could not have beside curves
            extended = [more for naming in beam for more in self._extended(naming, edge, curves_limit=curves_limit)]
            beam = self._kept(extended, width, curves_limit=curves_limit)
        return beam

    def _surest_first(self) -> list[EdgeIndex]:
        edges = nameable_edges(self._start.model)
        bits = {edge: [match.bits for match in self._names(self._start.model, edge)] for edge in edges}
        return sorted(edges, key=lambda edge: bits[edge][0] if bits[edge] else math.inf)

    def _extended(self, naming: Naming[Model], edge: EdgeIndex, *, curves_limit: bool) -> list[Naming[Model]]:
        """The network with an edge named in all ways that the tolerance allows, or with the reason for none."""
        if edge not in nameable_edges(naming.model):
            return [naming]
        trials = self._tried(naming.model, edge)
        if trials is None:
            return [naming if edge in naming.edges else naming.after(naming, edge, "not tried, the time is over")]
        limit = self._allowed(naming.best, curves_limit=curves_limit)
        fitting = [trial.after(naming, edge, name) for name, trial in trials.items() if trial.score <= limit]
        return fitting or [naming.after(naming, edge, f"kept as a curve; {_refusal(naming, trials)}")]

    def _tried(self, model: Model, edge: EdgeIndex) -> dict[str, Naming[Model]] | None:
        """The network refitted with each of the edge's names, or None where there is no time."""
        if (model, edge) not in self._trials:
            if time.monotonic() > self._deadline:
                return None
            matches = self._names(model, edge)
            self._trials[model, edge] = {match.primitive.name: self._trial(model, edge, match) for match in matches}
        return self._trials[model, edge]

    def _trial(self, model: Model, edge: EdgeIndex, match: Match) -> Naming[Model]:
        """The whole network, refitted with a name."""
        named = with_match(model, *edge, match)
        self._rows.refit(named, _REFIT_STEPS)
        return Naming.of(named, self._rows)

    def _names(self, model: Model, edge: EdgeIndex) -> list[Match]:
        """The names to try."""
        if (model, edge) not in self._ranked:
            x, y = edge_samples(model, *edge, self._rows.x)
            step = max(1, len(x) // _CURVE_POINTS)
            order = x.argsort()[::step]
            ranked = rank_matches(x[order], y[order], self._primitives)
            # Among those that are close enough the simplest may stand far down in the ranking.
            floor = _SHARP * float(y.std(correction=0))
            simplest = sorted((match for match in ranked if match.rmse <= floor), key=_constants_and_complexity)
            self._ranked[model, edge] = list(dict.fromkeys([*ranked[:_TRIED], *simplest[:_TRIED_SIMPLE]]))
        return self._ranked[model, edge]

    def _allowed(self, best: float, *, curves_limit: bool) -> float:
        """The error up to which a name stays."""
        sharp = best < self._sharp
        factor = max(self._tolerance, _LOOSE) if curves_limit or sharp else self._tolerance
        return max(best * factor, self._sharp if self._start.score < self._sharp else 0.0) + self._rows.rounding

    def _kept(self, namings: list[Naming[Model]], width: int, *, curves_limit: bool) -> list[Naming[Model]]:
        """The shortest, others that are close to it, and of the close ones the most exact."""
        bits = {naming: self._bits(naming, curves_limit=curves_limit) for naming in namings}
        # Twins such as sin and cos differ in the last digits: rounded, they keep their order.
        shortest = sorted(namings, key=lambda naming: round(bits[naming], 6))
        if width == 1:
            return shortest[:1]
        close = self._different([naming for naming in shortest if bits[naming] <= bits[shortest[0]] + CLOSE])
        nearest = min(close, key=lambda naming: naming.score)
        return list(dict.fromkeys([*close[: width - 1], nearest, *close[:width]]))[:width]

    def _bits(self, naming: Naming[Model], *, curves_limit: bool) -> float:
        """The description length, as far as the error can be trusted."""
        if not nameable_edges(naming.model):
            return naming.bits(self._rows)
        # Beside curves, that a name does better than the curve before it is chance, or says that others are no good.
        floor = max(self._sharp, self._start.score)
        return naming.bits(self._rows, floor, _SMOOTH if curves_limit else math.inf)

    def _different(self, namings: list[Naming[Model]]) -> list[Naming[Model]]:
        """Of those that predict the same, the first: sines and cosines are one curve."""
        kept: list[Naming[Model]] = []
        for naming in namings:
            least = _SAME * naming.score + self._rows.rounding
            if all(float((naming.predicted - each.predicted).square().mean().sqrt()) > least for each in kept):
                kept.append(naming)
        return kept


def _refusal(naming: Naming[Model], trials: Mapping[str, Naming[Model]]) -> str:
    """Why an edge has no name."""
    if not trials:
        return "no name fits its range"
    best, *others = sorted(trials, key=lambda each: trials[each].score)
    more = "".join(f", {name} to {trials[name].score:.3g}" for name in others)
    return f"the best name, {best}, would raise the error from {naming.best:.3g} to {trials[best].score:.3g}{more}"


def nameable_edges(model: Network) -> list[EdgeIndex]:
    """Edges that carry a trainable curve."""
    found = []
    for index, layer in enumerate(model.all_layers):
        for block in layer.all_blocks():
            if isinstance(block, BasisBlock):
                edges = (block.mask & ~block.locked).nonzero().tolist()
                found += [(index, source, target) for source, target in edges]
    return sorted(found)


def _constants_and_complexity(match: Match) -> int:
    return match.complexity + match.primitive.redundant.constants
