"""The network diagram of the Kolmogorov-Arnold network paper: nodes as dots, each edge through a box with its curve.

Source: Liu et al., "KAN: Kolmogorov-Arnold Networks", arXiv:2404.19756, figures 2 and 3.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection

from edgewise.plot.figure import BLUE, INK, ORANGE, PAPER, QUIET, blend, new_figure
from edgewise.plot.graph import Diagram, EdgeCurve
from edgewise.plot.layout import MARGIN, NAME_CLEARANCE, TITLE_SIZE, Layout, Point, arrange
from edgewise.plot.text import PLAIN, shorten, text_height, text_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Diagram", "EdgeCurve", "draw_diagram"]

FAINTEST = 0.2  # opacity of an edge of no strength: it is there, and should be seen to be
MOST_POINTS = 256  # drawn of one curve, which is more than its box has pixels
FLAT = 1e-12  # a curve that moves by less, relative to its size, is constant to rounding
NODE_RADIUS = 0.062
PRODUCT_RADIUS = 0.088
FACTOR_RADIUS = 0.034
LOCK_SIZE = 0.12
LABEL_SIZE = 7.5


def draw_diagram(diagram: Diagram, *, title: str | None = None, ax: Axes | None = None) -> Figure:
    """Draw a network: its nodes as dots, each edge as a line through a box that shows the edge's curve.

    Inputs are at the bottom. A dot with + adds the edges that end in it; a blue one with × multiplies the small dots
    below it. The stronger an edge the darker it is. Symbolic edges are orange and carry the name of their primitive;
    locked ones carry a padlock. Each curve is scaled to fill its box; a constant one is a level line in the middle.

    Args:
        diagram: What to draw. Names are shown as they are, and shortened or turned where there is no room.
        title: Written above the network.
        ax: Axes to draw in, whose ticks and frame are removed. The picture is scaled to their present size, text and
            lines included. By default the picture gets a figure of its own, as large as it needs.

    Returns:
        The figure. Notebooks show it; `Figure.savefig` writes it, with the format taken from the file's name.

    Example:
        >>> x = np.linspace(-1, 1, 50)
        >>> edge = EdgeCurve(layer=0, source=0, target=0, x=x, y=np.sin(3 * x), strength=1.0)
        >>> network = Diagram(inputs=("x",), outputs=("y",), nodes=(((0,),),), edges=(edge,))
        >>> figure = draw_diagram(network, title="one edge")
        >>> sorted(text.get_text() for text in figure.axes[0].texts)
        ['one edge', 'x', 'y']
    """
    layout = arrange(diagram, title=title)
    if ax is None:
        ax = new_figure(layout.width, layout.height).add_axes((0.0, 0.0, 1.0, 1.0))
    pen = _Pen(ax, layout)
    # The strongest edges are drawn last, so that no faint line cuts through a dark one.
    order = sorted(range(len(diagram.edges)), key=lambda index: _opacity(diagram.edges[index]))
    _draw_connections(pen, diagram, layout, order)
    _draw_boxes(pen, diagram, layout, order)
    _draw_nodes(pen, diagram, layout)
    _draw_names(pen, diagram, layout)
    return pen.figure


class _Pen:
    """Draws in inches on axes of any size: what is measured in points is scaled with the picture."""

    def __init__(self, ax: Axes, layout: Layout) -> None:
        figure = ax.figure.figure  # of axes in a subfigure, the whole figure
        assert figure is not None
        self.figure: Figure = figure
        extent = ax.get_window_extent()
        self.scale = min(extent.width / layout.width, extent.height / layout.height) / figure.dpi
        # The axes' limits take up what their shape leaves beside the picture, so that it is neither bent nor cut.
        wide, high = extent.width / figure.dpi / self.scale, extent.height / figure.dpi / self.scale
        ax.set_xlim((layout.width - wide) / 2, (layout.width + wide) / 2)
        ax.set_ylim((layout.height - high) / 2, (layout.height + high) / 2)
        # Not set_axis_off: it would also hide the white ground, which a dark `savefig.facecolor` makes necessary.
        ax.set_facecolor(PAPER)
        ax.xaxis.set_visible(False)
        ax.yaxis.set_visible(False)
        ax.spines[:].set_visible(False)
        self.ax = ax

    def lines(self, paths: Sequence[np.ndarray], colors: object, widths: object, *, order: int, name: str) -> None:
        """Draw lines, each a (points, 2) array, with colours and widths (in points) of one or of each."""
        if not paths:
            return
        self.ax.add_collection(
            LineCollection(
                list(paths),
                colors=colors,
                linewidths=self.scale * np.asarray(widths, dtype=float),
                capstyle="round",
                joinstyle="round",
                zorder=order,
                gid=name,
            ),
            autolim=False,
        )

    def shapes(self, outlines: Sequence[np.ndarray], faces: object, rims: object, *, order: int, name: str) -> None:
        """Draw filled polygons with hairline rims."""
        if not outlines:
            return
        self.ax.add_collection(
            PolyCollection(
                list(outlines),
                facecolors=faces,
                edgecolors=rims,
                linewidths=0.7 * self.scale,
                joinstyle="round",
                zorder=order,
                gid=name,
            ),
            autolim=False,
        )

    def text(self, at: Point, text: str, size: float, **style: str | float) -> None:
        """Write a line of plain text, centred unless its style says otherwise."""
        words = self.ax.text(*at, text, ha="center", fontsize=size * self.scale, zorder=6, **PLAIN)
        words.set(**{"va": "center", "color": INK, **style})


def _opacity(edge: EdgeCurve) -> float:
    strength = float(np.clip(edge.strength, 0.0, 1.0)) if np.isfinite(edge.strength) else 0.0
    return FAINTEST + (1.0 - FAINTEST) * strength


def _shade(edge: EdgeCurve) -> tuple[float, float, float]:
    return blend(INK if edge.label is None else ORANGE, _opacity(edge))


def _draw_connections(pen: _Pen, diagram: Diagram, layout: Layout, order: Sequence[int]) -> None:
    paths, colors, widths = [], [], []
    for index in order:
        edge, (x, y) = diagram.edges[index], layout.boxes[index]
        half = layout.box_height / 2
        ends = layout.nodes[edge.layer][edge.source], layout.subnodes[edge.layer][edge.target]
        paths += [np.array([ends[0], (x, y - half)]), np.array([(x, y + half), ends[1]])]
        colors += [_shade(edge)] * 2
        widths += [0.5 + 0.6 * _opacity(edge)] * 2
    pen.lines(paths, colors, widths, order=1, name="connections")


def _draw_boxes(pen: _Pen, diagram: Diagram, layout: Layout, order: Sequence[int]) -> None:
    outlines, rims = [], []
    curves, colors, widths = [], [], []
    for index in order:
        edge, (x, y), width = diagram.edges[index], layout.boxes[index], layout.box_widths[diagram.edges[index].layer]
        low, high = (x - width / 2, y - layout.box_height / 2), (x + width / 2, y + layout.box_height / 2)
        outlines.append(_rectangle(low, high))
        rims.append(blend(INK if edge.label is None else ORANGE, 0.25 + 0.5 * _opacity(edge)))
        strip = _draw_label(pen, edge.label, (x, high[1]), width) if edge.label is not None else 0.0
        strokes = _fit_curve(edge, low, (high[0], high[1] - strip))
        if not strokes:
            pen.text((x, y - strip / 2), "?", LABEL_SIZE, color=QUIET)
        curves += strokes
        colors += [_shade(edge)] * len(strokes)
        widths += [0.8 + 0.6 * _opacity(edge)] * len(strokes)
    pen.shapes(outlines, PAPER, rims, order=2, name="boxes")
    pen.lines(curves, colors, widths, order=3, name="curves")
    _draw_locks(pen, [layout.boxes[index] for index in order if diagram.edges[index].locked], layout)


def _draw_locks(pen: _Pen, boxes: Sequence[Point], layout: Layout) -> None:
    """Hang a padlock on the line just below each of the boxes, where there is neither a curve nor another line."""
    size = LOCK_SIZE * layout.emphasis
    locks = [_padlock((x, y - layout.box_height / 2 - 0.55 * size), size) for x, y in boxes]
    # White rims, so that the line is not taken for a part of the padlock.
    pen.lines([shackle for _, shackle in locks], PAPER, 3.2, order=4, name="shackle rims")
    pen.lines([shackle for _, shackle in locks], INK, 1.0, order=4, name="shackles")
    pen.shapes([body for body, _ in locks], INK, PAPER, order=4, name="locks")


def _draw_label(pen: _Pen, label: str, at: Point, width: float) -> float:
    """Return the height of the strip at the top of a box, closed to its curve, after writing the label there."""
    room = 0.9 * width
    # Smaller letters rather than a shorter name: a vector picture can be enlarged.
    size = LABEL_SIZE * max(0.45, min(1.0, 0.98 * room / max(text_width(label, LABEL_SIZE), 1e-9)))
    strip = text_height(size)
    pen.text((at[0], at[1] - strip / 2 - 0.015), shorten(label, size, room), size, color=ORANGE)
    return strip


def _fit_curve(edge: EdgeCurve, low: Point, high: Point) -> list[np.ndarray]:
    """Return the curve's strokes scaled into a box, one for each run of finite points, each of shape (points, 2)."""
    x, y = np.asarray(edge.x, dtype=float), np.asarray(edge.y, dtype=float)
    keep = np.unique(np.linspace(0, max(len(x) - 1, 0), min(len(x), MOST_POINTS)).round().astype(int))
    keep = keep[np.argsort(x[keep], kind="stable")]
    x, y = x[keep], y[keep]
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any():
        return []
    margin = 0.12 * (high[0] - low[0])
    across = _rescale(x, np.isfinite(x), low[0] + margin, high[0] - margin)
    along = _rescale(y, finite, low[1] + margin, high[1] - margin)
    runs = np.split(np.arange(len(x)), np.flatnonzero(np.diff(finite)) + 1)
    strokes = [np.column_stack([across[run], along[run]]) for run in runs if finite[run[0]]]
    # A lone point becomes a line so short that its round ends make it a dot.
    return [stroke + np.array([[-0.005, 0.0], [0.005, 0.0]]) if len(stroke) == 1 else stroke for stroke in strokes]


def _rescale(values: np.ndarray, finite: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the finite values mapped onto the interval from low to high, or onto its middle if they do not move."""
    scale = float(np.abs(values[finite]).max())
    if scale == 0.0:
        return np.full(len(values), (low + high) / 2)
    # Divided first, since the range of numbers near the largest float overflows.
    ratios = np.where(finite, values, 0.0) / scale
    least, most = float(ratios[finite].min()), float(ratios[finite].max())
    if most - least <= FLAT:
        return np.full(len(values), (low + high) / 2)
    return low + (high - low) * (ratios - least) / (most - least)


def _draw_nodes(pen: _Pen, diagram: Diagram, layout: Layout) -> None:
    left = {(edge.layer, edge.source) for edge in diagram.edges}
    arrivals = Counter((edge.layer, edge.target) for edge in diagram.edges)
    discs = [(at, NODE_RADIUS, INK if (0, source) in left else PAPER) for source, at in enumerate(layout.nodes[0])]
    stems: dict[str, list[np.ndarray]] = {INK: [], BLUE: []}
    signs: list[np.ndarray] = []
    for layer, row in enumerate(diagram.nodes):
        for number, (node, at) in enumerate(zip(row, layout.nodes[layer + 1], strict=True)):
            color = INK if len(node) == 1 else BLUE
            for subnode in node:
                below = layout.subnodes[layer][subnode]
                if below != at:
                    stems[color].append(np.array([below, at]))
                    discs.append((below, FACTOR_RADIUS, color if (layer, subnode) in arrivals else PAPER))
            arriving = sum(arrivals[layer, subnode] for subnode in node)
            used = arriving > 0 or (layer + 1, number) in left
            discs.append((at, NODE_RADIUS if len(node) == 1 else PRODUCT_RADIUS, color if used else PAPER))
            if len(node) > 1:
                signs += _cross(at, 0.5 * PRODUCT_RADIUS * layout.emphasis, turned=True)
            elif arriving > 1:
                signs += _cross(at, 0.55 * NODE_RADIUS * layout.emphasis, turned=False)
    for color, paths in stems.items():
        pen.lines(paths, color, 1.1, order=4, name="stems")
    faces = [face for _, _, face in discs]
    rims = [blend(QUIET, 0.6) if face == PAPER else face for face in faces]
    outlines = [_disc(at, radius * layout.emphasis) for at, radius, _ in discs]
    pen.shapes(outlines, faces, rims, order=5, name="nodes")
    pen.lines(signs, PAPER, 0.9 * layout.emphasis, order=6, name="signs")


def _draw_names(pen: _Pen, diagram: Diagram, layout: Layout) -> None:
    clearance, size = NAME_CLEARANCE * layout.emphasis, TITLE_SIZE * layout.emphasis
    used = {edge.source for edge in diagram.edges if edge.layer == 0}
    colors = [INK if source in used else QUIET for source in range(len(diagram.inputs))]
    angle = 90 if layout.inputs.upright else 0
    for text, (x, y), color in zip(layout.inputs.texts, layout.nodes[0], colors, strict=True):
        pen.text((x, y - clearance), text, layout.inputs.size, va="top", color=color, rotation=angle)
    angle = 90 if layout.outputs.upright else 0
    for text, (x, y) in zip(layout.outputs.texts, layout.nodes[-1], strict=True):
        pen.text((x, y + clearance), text, layout.outputs.size, va="bottom", rotation=angle)
    for number, line in enumerate(layout.title):
        at = (layout.width / 2, layout.height - MARGIN - number * text_height(size))
        pen.text(at, line, size, va="top")


def _rectangle(low: Point, high: Point) -> np.ndarray:
    return np.array([low, (high[0], low[1]), high, (low[0], high[1])])


def _disc(at: Point, radius: float) -> np.ndarray:
    angles = np.linspace(0.0, 2 * np.pi, 48, endpoint=False)
    return np.asarray(at) + radius * np.column_stack([np.cos(angles), np.sin(angles)])


def _cross(at: Point, arm: float, *, turned: bool) -> list[np.ndarray]:
    """Return the two strokes of a +, or of a × if turned."""
    directions = np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2) if turned else np.eye(2)
    return [np.asarray(at) + arm * np.outer([-1.0, 1.0], direction) for direction in directions]


def _padlock(at: Point, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the outline of the body of a padlock, and the stroke of its shackle."""
    x, y = at
    body = _rectangle((x - 0.42 * size, y - 0.6 * size), (x + 0.42 * size, y + 0.05 * size))
    angles = np.linspace(0.0, np.pi, 13)
    arc = np.column_stack([x + 0.24 * size * np.cos(angles), y + (0.1 + 0.3 * np.sin(angles)) * size])
    return body, arc
