"""Where everything in a network diagram goes. Pure geometry: inches from the lower left corner, no drawing.

From the bottom: the names of the inputs, their dots, then for each layer a row of boxes (one per edge) and a row of
nodes, and the names of the outputs. A box sits as near above its source as its neighbours allow. Boxes are ordered by
source and then by target, so that the lines into the boxes never cross and those out of them cross little.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from edgewise.plot.text import one_line, shorten, text_height, text_width, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgewise.plot.graph import Diagram, EdgeCurve

Point = tuple[float, float]

TEXT_WIDTH = 7.0  # of a journal's page; wider only where the boxes would become too small
MARGIN = 0.1
LEAST_WIDTH, MOST_WIDTH = 2.0, 32.0  # of a picture, save for its names; boxes of huge networks shrink to keep within it
BOX_WIDTH = (0.18, 0.6)  # narrowest and widest box
BOX_LABELLED = 0.3  # narrowest box that still has room for the name of a primitive
BOX_HEIGHT = 0.4  # of the lowest box; narrower ones stand upright, because curves need height to be told apart
BOX_GAP = 0.22  # between boxes, in box widths
GROUP_GAP = 0.3  # in addition, between the boxes of two sources
NODE_PITCH = 0.5  # least distance of neighbouring nodes
FACTOR_ROOM = 0.65  # room a further factor takes in its row, where a node takes 1
FACTOR_PITCH = 0.8  # widest distance of the factors of one product
FACTOR_RISE = 0.34  # from the factors up to their product
NAME_SIZES = (1.0, 0.9, 0.8)  # tried in turn, relative to NAME_SIZE, before names are turned upright
NAME_SIZE = 10.0
NAME_WIDTH = 2.3  # longest name; longer ones are shortened
NAME_GAP = 0.14  # least space between neighbouring names
NAME_CLEARANCE = 0.13  # from the centre of a dot to its name
TITLE_SIZE = 12.0
TITLE_GAP = 0.1
MOST_EMPHASIS = 1.8


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names of a row of nodes, made to fit.

    Attributes:
        texts: As they are shown, perhaps shortened.
        size: Font size in points.
        upright: Whether they are turned by 90 degrees, because side by side they would overlap.
    """

    texts: tuple[str, ...]
    size: float
    upright: bool

    def depth(self) -> float:
        """Return how much height the names take, in inches."""
        if self.upright:
            return max(text_width(text, self.size) for text in self.texts)
        return text_height(self.size)

    def overhang(self, index: int) -> float:
        """Return how far name number ``index`` reaches to either side of its node, in inches."""
        return (text_height(self.size) if self.upright else text_width(self.texts[index], self.size)) / 2


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The places of all parts of a diagram, in inches.

    Attributes:
        width: Of the whole picture.
        height: Of the whole picture.
        emphasis: Factor, at least 1, by which dots and letters are larger than usual, because a picture that is wider
            than a page will be looked at from further away.
        box_height: Of every box.
        box_widths: Of the boxes of each layer.
        nodes: For each row, from the inputs up, the centre of each node.
        subnodes: For each row above the inputs, the centre of each subnode: its node's own, if no node is a product.
        boxes: The centre of each edge's box, in the order of the diagram's edges.
        inputs: The names below the lowest row.
        outputs: The names above the highest.
        title: The lines of the title, from the top.
    """

    width: float
    height: float
    emphasis: float
    box_height: float
    box_widths: tuple[float, ...]
    nodes: tuple[tuple[Point, ...], ...]
    subnodes: tuple[dict[int, Point], ...]
    boxes: tuple[Point, ...]
    inputs: Names
    outputs: Names
    title: tuple[str, ...]


def arrange(diagram: Diagram, *, title: str | None = None) -> Layout:
    """Find a place for every part of a diagram.

    Args:
        diagram: What is to be drawn.
        title: Written above it, broken into lines where it is wider than the picture.

    Returns:
        The places. No two boxes overlap, no two names overlap, and everything lies within the width and height.

    Example:
        >>> from edgewise.plot.graph import Diagram
        >>> layout = arrange(Diagram(inputs=("x", "y"), outputs=("z",), nodes=(((0,),),), edges=()))
        >>> [len(row) for row in layout.nodes]
        [2, 1]
    """
    names = _clean(diagram.inputs), _clean(diagram.outputs)
    across = _spread_columns(diagram, max(min(_names_width(row), TEXT_WIDTH) for row in names))
    emphasis = min(max(1.0, across.span / TEXT_WIDTH) ** 0.5, MOST_EMPHASIS)
    inputs = _fit_names(names[0], across.nodes[0], NAME_SIZE * emphasis)
    outputs = _fit_names(names[1], across.nodes[-1], NAME_SIZE * emphasis)
    beside = max(_beside(inputs, across.nodes[0], across.span), _beside(outputs, across.nodes[-1], across.span))
    lines, width = _fit_title(title, across.span + 2 * (MARGIN + beside), TITLE_SIZE * emphasis)
    left = (width - across.span) / 2

    bottom = MARGIN + inputs.depth() + NAME_CLEARANCE * emphasis
    levels = _stack_rows(diagram, across, bottom, emphasis)
    nodes = [[(left + x, bottom) for x in across.nodes[0]]]
    subnodes: list[dict[int, Point]] = []
    boxes: dict[int, Point] = {}
    for layer, (box_level, subnode_level, node_level) in enumerate(levels):
        boxes |= {index: (left + x, box_level) for index, x in across.boxes[layer].items()}
        subnodes.append({subnode: (left + x, subnode_level) for subnode, x in across.subnodes[layer].items()})
        nodes.append([(left + x, node_level) for x in across.nodes[layer + 1]])
    top = levels[-1][-1] + NAME_CLEARANCE * emphasis + outputs.depth() + (TITLE_GAP if lines else 0.0)
    return Layout(
        width=width,
        height=top + len(lines) * text_height(TITLE_SIZE * emphasis) + MARGIN,
        emphasis=emphasis,
        box_height=across.box_height,
        box_widths=across.box_widths,
        nodes=tuple(tuple(row) for row in nodes),
        subnodes=tuple(subnodes),
        boxes=tuple(boxes[index] for index in range(len(diagram.edges))),
        inputs=inputs,
        outputs=outputs,
        title=lines,
    )


def spread(wanted: Sequence[float] | np.ndarray, distances: Sequence[float], low: float, high: float) -> np.ndarray:
    """Return places near the wanted ones that keep their order and their distance.

    Args:
        wanted: The places asked for, shape (N,), in the order they are to keep.
        distances: The least distance from each place to the next, shape (N - 1,).
        low: The least place allowed.
        high: The largest place allowed; the distances must fit between the two.

    Returns:
        The places that are nearest to the wanted ones (in the sum of squares), shape (N,).

    Example:
        >>> spread([1.0, 1.0, 9.0], [2.0, 2.0], 0.0, 10.0).tolist()
        [0.0, 2.0, 9.0]
    """
    offsets = np.concatenate([[0.0], np.cumsum(distances)])
    # Less their offsets, the places must only not decrease: isotonic regression, solved by pooling those that do.
    pools: list[tuple[float, int]] = []
    for value in np.asarray(wanted, dtype=float) - offsets:
        mean, count = float(value), 1
        while pools and pools[-1][0] > mean:
            before, size = pools.pop()
            mean, count = (before * size + mean * count) / (size + count), size + count
        pools.append((mean, count))
    places = np.repeat([mean for mean, _ in pools], [count for _, count in pools])
    return np.clip(places, low, max(low, high - offsets[-1])) + offsets


@dataclass(frozen=True, kw_only=True)
class _Across:
    """The horizontal half of a layout: places in inches from the left end of the widest row."""

    span: float
    box_height: float
    box_widths: tuple[float, ...]
    nodes: list[list[float]]
    subnodes: list[dict[int, float]]
    boxes: list[dict[int, float]]


def _spread_columns(diagram: Diagram, names_width: float) -> _Across:
    """Return the horizontal places of all nodes and boxes, with room for names that are so wide."""
    columns = [tuple((subnode,) for subnode in range(len(diagram.inputs))), *diagram.nodes]
    layers = [_layer_edges(diagram, layer) for layer in range(len(diagram.nodes))]
    narrow = _narrowest_box(layers)
    rows = [narrow * _row_width(edges) for edges in layers]
    span = max(LEAST_WIDTH - 2 * MARGIN, names_width, *rows, *(NODE_PITCH * sum(_slots(row)) for row in columns))
    # All boxes are equally high, and square wherever there is room for that.
    tall = max(narrow, BOX_HEIGHT)
    widths = tuple(
        max(narrow, min(tall, _widest_box(edges, row, span))) for edges, row in zip(layers, columns, strict=False)
    )
    spreads = [_spread_row(row, span) for row in columns]
    nodes, subnodes = [row for row, _ in spreads], [row for _, row in spreads[1:]]
    boxes = [
        _place_boxes(edges, nodes[layer], subnodes[layer], widths[layer], span) for layer, edges in enumerate(layers)
    ]
    return _Across(span=span, box_height=tall, box_widths=widths, nodes=nodes, subnodes=subnodes, boxes=boxes)


def _stack_rows(diagram: Diagram, across: _Across, bottom: float, emphasis: float) -> list[tuple[float, float, float]]:
    """Return for each layer the heights of its boxes' centres and of the subnodes and nodes above them.

    The gaps grow with the span, since the lines of a fan that is wide and low cannot be told apart.
    """
    into_boxes = min(0.2 + 0.35 * across.box_height + 0.02 * across.span, 0.9)
    out_of_boxes = min(0.16 + 0.35 * across.box_height + 0.05 * across.span, 1.7)
    levels = []
    for row in diagram.nodes:
        middle = bottom + into_boxes + across.box_height / 2
        subnode = middle + across.box_height / 2 + out_of_boxes
        bottom = subnode + (FACTOR_RISE * emphasis if any(len(node) > 1 for node in row) else 0.0)
        levels.append((middle, subnode, bottom))
    return levels


def _clean(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(shorten(one_line(name), NAME_SIZE, NAME_WIDTH) for name in names)


def _layer_edges(diagram: Diagram, layer: int) -> dict[int, EdgeCurve]:
    return {index: edge for index, edge in enumerate(diagram.edges) if edge.layer == layer}


def _narrowest_box(layers: Sequence[dict[int, EdgeCurve]]) -> float:
    """Return the width of the boxes in the fullest layer."""
    labelled = any(edge.label is not None for edges in layers for edge in edges.values())
    widest = max(1.0, *(_row_width(edges) for edges in layers))
    wanted = max(TEXT_WIDTH / widest, BOX_LABELLED if labelled else BOX_WIDTH[0])
    return min(wanted, BOX_WIDTH[1], MOST_WIDTH / widest)


def _widest_box(edges: dict[int, EdgeCurve], row: Sequence[Sequence[int]], span: float) -> float:
    """Return the width at which the boxes of each node of a row just fill the node's own part of the span."""
    counts = Counter(edge.source for edge in edges.values())
    slots = _slots(row)
    rooms = [
        span * slots[source] / sum(slots) / ((1 + BOX_GAP) * count + GROUP_GAP) for source, count in counts.items()
    ]
    return min(rooms, default=span)


def _row_width(edges: dict[int, EdgeCurve]) -> float:
    """Return how wide a layer's row of boxes is, in box widths, with half a gap at either end.

    The gaps at the ends let the boxes of a fully connected layer stand exactly above their nodes.
    """
    return (1 + BOX_GAP) * len(edges) + GROUP_GAP * len({edge.source for edge in edges.values()})


def _slots(row: Sequence[Sequence[int]]) -> list[float]:
    return [1.0 + FACTOR_ROOM * (len(node) - 1) for node in row]


def _spread_row(row: Sequence[Sequence[int]], span: float) -> tuple[list[float], dict[int, float]]:
    """Return the horizontal places of a row's nodes, and of their subnodes, within a span."""
    slots = _slots(row)
    unit = span / sum(slots)
    centres = [unit * (sum(slots[:i]) + slots[i] / 2) for i in range(len(row))]
    pitch = min(unit * FACTOR_ROOM, FACTOR_PITCH)
    subnodes = {
        subnode: centre + pitch * (k - (len(node) - 1) / 2)
        for node, centre in zip(row, centres, strict=True)
        for k, subnode in enumerate(node)
    }
    return centres, subnodes


def _place_boxes(
    edges: dict[int, EdgeCurve], sources: Sequence[float], targets: dict[int, float], box: float, span: float
) -> dict[int, float]:
    """Return the horizontal centre of each box of a layer, by the index of its edge."""
    order = sorted(edges, key=lambda index: (edges[index].source, targets[edges[index].target]))
    if not order:
        return {}
    pitch = box * (1 + BOX_GAP)
    wanted: list[float] = []
    for source in sorted({edge.source for edge in edges.values()}):
        count = sum(edge.source == source for edge in edges.values())
        wanted += [sources[source] + pitch * (k - (count - 1) / 2) for k in range(count)]
    distances = [
        pitch + (GROUP_GAP * box if edges[before].source != edges[after].source else 0.0)
        for before, after in pairwise(order)
    ]
    end = box * (1 + BOX_GAP + GROUP_GAP) / 2
    places = spread(wanted, distances, end, span - end)
    return dict(zip(order, places.tolist(), strict=True))


def _names_width(names: Sequence[str]) -> float:
    """Return how wide a picture has to be for its evenly spaced names to stand side by side."""
    widths = [text_width(name, NAME_SIZE) for name in names]
    pairs = [(before + after) / 2 + NAME_GAP for before, after in pairwise(widths)]
    return len(names) * max(pairs, default=0.0)


def _fit_names(names: tuple[str, ...], places: Sequence[float], largest: float) -> Names:
    """Return the names as large as they fit side by side, or turned upright."""
    for factor in NAME_SIZES:
        fitted = Names(texts=names, size=factor * largest, upright=False)
        needed = [fitted.overhang(i) + fitted.overhang(i + 1) + NAME_GAP for i in range(len(names) - 1)]
        if all(b - a >= need - 1e-9 for a, b, need in zip(places, places[1:], needed, strict=False)):
            return fitted
    return Names(texts=names, size=NAME_SIZES[1] * largest, upright=True)


def _beside(names: Names, places: Sequence[float], span: float) -> float:
    """Return how far the outermost names reach beyond the span."""
    return max(0.0, names.overhang(0) - places[0], names.overhang(-1) - (span - places[-1]))


def _fit_title(title: str | None, width: float, size: float) -> tuple[tuple[str, ...], float]:
    """Return the lines of the title, and the width of the picture, grown for it as far as a page is wide."""
    if title is None:
        return (), width
    text = one_line(title)
    width = max(width, min(text_width(text, size) + 2 * MARGIN, TEXT_WIDTH))
    return wrap(text, size, width - 2 * MARGIN), width
