"""Plots: what is drawn is what was given, nothing overlaps, and nothing outside the figure is touched."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from io import BytesIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from edgewise import plot
from edgewise.errors import DomainError, EdgeError, OptionError, ShapeError
from edgewise.plot import Diagram, EdgeCurve, draw_curve, draw_diagram, draw_history, draw_pareto
from edgewise.plot.layout import arrange, spread
from edgewise.plot.text import shorten, text_width, wrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.transforms import Bbox

X = np.linspace(-1, 1, 40)
SHAPES: dict[str, list[int | list[object]]] = {
    "1,1": [1, 1],
    "2,5,1": [2, 5, 1],
    "4,2,1,1": [4, 2, 1, 1],
    "2,[3,2],1": [2, [3, 2], 1],
    "3,[3,(2,3)],2": [3, [3, (2, 3)], 2],
    "4,[0,3],1": [4, [0, 3], 1],
    "5,5,1": [5, 5, 1],
    "20,1": [20, 1],
    "1,12": [1, 12],
    "10,10,5": [10, 10, 5],
    "30,10,1": [30, 10, 1],
}
AWKWARD = "cost $5 & 10% of_{all} x^2 <b>&amp; \\frac"


def edge(layer: int = 0, source: int = 0, target: int = 0, y: np.ndarray | None = None, **options: object) -> EdgeCurve:
    """Return an edge with a curve that depends on where it is, unless it is given."""
    curve = np.sin((2 + source) * X + target) if y is None else y
    return EdgeCurve(
        **{"layer": layer, "source": source, "target": target, "x": X, "y": curve, "strength": 0.5} | options
    )


def network(shape: Sequence[object], names: Sequence[str] | None = None, **options: object) -> Diagram:
    """Return a fully connected diagram; ``[3, (2, 3)]`` in its shape is three sums and products of two and of three."""
    rows, edges, below = [], [], shape[0]
    for layer, wanted in enumerate(shape[1:]):
        sums, products = (wanted, ()) if isinstance(wanted, int) else wanted
        sizes = [1] * sums + list(products if isinstance(products, tuple) else [2] * products)
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        rows.append(tuple(tuple(range(start, start + size)) for start, size in zip(starts, sizes, strict=True)))
        edges += [edge(layer, i, j, **options) for i in range(below) for j in range(sum(sizes))]
        below = len(sizes)
    inputs = tuple(names or [f"x{i}" for i in range(shape[0])])
    return Diagram(inputs=inputs, outputs=tuple(f"y{i}" for i in range(below)), nodes=tuple(rows), edges=tuple(edges))


def parts(figure: Figure, name: str) -> list[np.ndarray]:
    """Return the outlines or lines of all collections of that name, each of shape (points, 2), in inches."""
    found = [c for c in figure.axes[0].collections if c.get_gid() == name]
    return [path.vertices for collection in found for path in collection.get_paths()]


def box_bounds(figure: Figure) -> np.ndarray:
    """Return left, bottom, right and top of each box, shape (boxes, 4)."""
    return np.array([[*outline.min(axis=0), *outline.max(axis=0)] for outline in parts(figure, "boxes")])


def extents(figure: Figure, texts: Iterable[Text] | None = None) -> list[Bbox]:
    """Return where the texts are drawn, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    return [text.get_window_extent(renderer) for text in (figure.axes[0].texts if texts is None else texts)]


def overlaps(boxes: Sequence[Bbox]) -> list[tuple[int, int]]:
    """Return the pairs of boxes that share some area."""
    return [(i, j) for (i, a), (j, b) in itertools.combinations(enumerate(boxes), 2) if a.overlaps(b)]


def words(figure: Figure) -> list[str]:
    """Return all texts within the first axes."""
    return [text.get_text() for text in figure.axes[0].texts]


ALL_FIGURES = {
    "diagram": lambda: draw_diagram(network([2, [1, 1], 1], label="sin", locked=True), title=AWKWARD),
    "curve": lambda: draw_curve(X, X**2, points=X, domain=(-0.5, 0.5), label=AWKWARD, xlabel=AWKWARD, title=AWKWARD),
    "history": lambda: draw_history({"step": [0, 1, 2], "train_loss": [1, 0.1, 0], "validation_loss": [1, None, 0]}),
    "pareto": lambda: draw_pareto([1, 2], [1.0, 0.1], ["x", AWKWARD], 1),
}


class TestEveryFigure:
    @pytest.mark.parametrize("draw", ALL_FIGURES.values(), ids=ALL_FIGURES)
    @pytest.mark.parametrize("kind", ["svg", "pdf", "png", "eps"])
    def test_is_written(self, draw, kind):
        buffer = BytesIO()
        draw().savefig(buffer, format=kind)
        content = buffer.getvalue()
        if kind == "svg":
            assert ElementTree.fromstring(content).tag.endswith("svg")
        assert content.startswith({"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG", "eps": b"%!PS"}[kind])

    @pytest.mark.parametrize("draw", ALL_FIGURES.values(), ids=ALL_FIGURES)
    def test_shows_itself_in_a_notebook(self, draw):
        figure = draw()
        content, size = figure._repr_png_()
        assert content.startswith(b"\x89PNG")
        pixels = int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
        assert pixels[0] == pytest.approx(2 * size["width"], abs=2)
        assert pixels[1] == pytest.approx(2 * size["height"], abs=2)

    @pytest.mark.parametrize("draw", ALL_FIGURES.values(), ids=ALL_FIGURES)
    def test_changes_no_global_setting(self, draw):
        before = dict(mpl.rcParams)
        draw().savefig(BytesIO(), format="png")
        assert dict(mpl.rcParams) == before

    @pytest.mark.parametrize("draw", ALL_FIGURES.values(), ids=ALL_FIGURES)
    def test_is_dark_on_white_in_every_style(self, draw):
        with mpl.rc_context({"figure.facecolor": "black", "axes.facecolor": "black", "text.color": "white"}):
            figure = draw()
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())
        assert (pixels[0, 0] == 255).all()
        assert np.median(pixels[..., :3]) == 255
        assert pixels[..., :3].min() < 90

    def test_needs_no_pyplot(self):
        code = "import sys, edgewise.plot as p; p.draw_history({}); assert 'matplotlib.pyplot' not in sys.modules"
        subprocess.run(
            [sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        )

    def test_leaves_no_pyplot_figure_open(self):
        from matplotlib import pyplot  # noqa: PLC0415 -- only this test may load it

        before = pyplot.get_fignums()
        for draw in ALL_FIGURES.values():
            assert isinstance(draw(), Figure)
        assert pyplot.get_fignums() == before

    def test_names_are_never_read_as_mathtext(self):
        for draw in ALL_FIGURES.values():
            for text in draw().findobj(Text):
                if text.get_text() == AWKWARD:
                    assert not text.get_parse_math()
                    assert not text.get_usetex()

    def test_exports_are_sorted(self):
        assert plot.__all__ == sorted(plot.__all__)
        assert all(hasattr(plot, name) for name in plot.__all__)


class TestDiagram:
    @pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
    def test_every_edge_has_a_box_with_its_curve(self, shape):
        diagram = network(shape)
        figure = draw_diagram(diagram)
        boxes, curves = box_bounds(figure), parts(figure, "curves")
        assert len(boxes) == len(curves) == len(diagram.edges)
        assert len(parts(figure, "connections")) == 2 * len(diagram.edges)
        for (left, bottom, right, top), curve in zip(boxes, curves, strict=True):
            assert (curve > [left, bottom]).all()
            assert (curve < [right, top]).all()

    @pytest.mark.parametrize("label", [None, "gaussian"])
    @pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
    def test_boxes_do_not_overlap_and_lie_within_the_picture(self, shape, label):
        figure = draw_diagram(network(shape, label=label))
        left, bottom, right, top = box_bounds(figure).T
        apart = (
            (left[:, None] >= right) | (right[:, None] <= left) | (bottom[:, None] >= top) | (top[:, None] <= bottom)
        )
        assert (apart | np.eye(len(left), dtype=bool)).all()
        width, height = figure.get_size_inches()
        assert left.min() > 0
        assert right.max() < width
        assert bottom.min() > 0
        assert top.max() < height

    @pytest.mark.parametrize("name", ["x", "longitudinal_position", "W" * 80])
    @pytest.mark.parametrize("shape", list(SHAPES.values())[:-1], ids=list(SHAPES)[:-1])
    def test_texts_do_not_overlap_and_lie_within_the_picture(self, shape, name):
        diagram = network(shape, [f"{name}_{i}" for i in range(shape[0])], label="gaussian")
        figure = draw_diagram(diagram, title="A title that is not exactly short, of a network with some inputs")
        boxes = extents(figure)
        # One title of one or more lines, all names, and the label of each edge.
        assert len(boxes) > len(diagram.inputs) + len(diagram.outputs) + len(diagram.edges)
        assert overlaps(boxes) == []
        picture = figure.bbox
        assert all(picture.x0 <= box.x0 and box.x1 <= picture.x1 for box in boxes)
        assert all(picture.y0 <= box.y0 and box.y1 <= picture.y1 for box in boxes)

    def test_names_are_shown_as_they_are(self):
        figure = draw_diagram(network([2, 1], names=[AWKWARD[:22], "a\n b"]), title="$x$")
        assert {AWKWARD[:22], "a b", "$x$", "y0"} <= set(words(figure))

    def test_long_names_are_shortened_in_the_middle(self):
        figure = draw_diagram(network([2, 1], names=["velocity" * 9 + "_1", "velocity" * 9 + "_2"]))
        shown = [word for word in words(figure) if word.startswith("vel")]
        assert [word[-2:] for word in shown] == ["_1", "_2"]
        assert all("…" in word for word in shown)

    def test_many_long_names_are_turned_upright(self):
        names = [f"longitudinal_position_{i}" for i in range(10)]
        shown = {text.get_text(): text.get_rotation() for text in draw_diagram(network([10, 1], names)).axes[0].texts}
        assert [shown[name] for name in names] == [90.0] * 10
        assert shown["y0"] == 0.0

    @pytest.mark.parametrize("shape", [[2, 5, 1], [10, 10, 5], [3, [3, (2, 3)], 2]])
    def test_boxes_stand_above_their_sources_and_lines_into_them_do_not_cross(self, shape):
        diagram = network(shape)
        layout = arrange(diagram)
        for layer in range(len(diagram.nodes)):
            members = [(e, at) for e, at in zip(diagram.edges, layout.boxes, strict=True) if e.layer == layer]
            order = sorted(members, key=lambda member: member[1][0])
            assert [(e.source, e.target) for e, _ in order] == [(e.source, e.target) for e, _ in members]
            for source, (x, _) in enumerate(layout.nodes[layer]):
                middle = np.mean([at[0] for e, at in members if e.source == source])
                assert middle == pytest.approx(x)

    def test_rows_rise_from_inputs_to_outputs(self):
        layout = arrange(network([2, [1, 1], 1]))
        inputs, hidden, outputs = ({y for _, y in row} for row in layout.nodes)
        factors, joints = ({y for _, y in row.values()} for row in layout.subnodes)
        boxes = sorted({y for _, y in layout.boxes})
        levels = [*inputs, boxes[0], *factors, *hidden, boxes[1], *outputs]
        assert levels == sorted(set(levels))
        assert joints == outputs  # no product in the last row, so its subnodes are its nodes

    def test_strength_sets_the_opacity_and_never_hides(self):
        strengths = [0.0, 0.5, 1.0, 7.0, -1.0, np.nan]
        edges = [edge(target=i, strength=strength) for i, strength in enumerate(strengths)]
        diagram = Diagram(
            inputs=("x",), outputs=tuple("abcdef"), nodes=(tuple((i,) for i in range(6)),), edges=tuple(edges)
        )
        (curves,) = (c for c in draw_diagram(diagram).axes[0].collections if c.get_gid() == "curves")
        lightness = curves.get_colors()[:, :3].mean(axis=1)
        # Drawn from the faintest to the strongest.
        assert lightness[0] == lightness[1] == lightness[2] < 0.9
        assert lightness[3] == pytest.approx((lightness[0] + lightness[5]) / 2)
        assert lightness[4] == lightness[5] < 0.2

    def test_symbolic_edges_are_coloured_and_named(self):
        diagram = Diagram(
            inputs=("x", "y"), outputs=("z",), nodes=(((0,),),), edges=(edge(label="sin"), edge(source=1))
        )
        figure = draw_diagram(diagram)
        (curves,) = (c for c in figure.axes[0].collections if c.get_gid() == "curves")
        red, green, blue = curves.get_colors()[0][:3]
        assert red > green > blue
        assert np.ptp(curves.get_colors()[1][:3]) < 0.05
        (label,) = (text for text in figure.axes[0].texts if text.get_text() == "sin")
        assert to_rgb(label.get_color())[0] > 0.7
        (strip,) = extents(figure, [label])
        box = figure.axes[0].transData.transform(box_bounds(figure)[0].reshape(2, 2))
        curve = figure.axes[0].transData.transform(parts(figure, "curves")[0])
        assert box[0, 0] < strip.x0 < strip.x1 < box[1, 0]
        assert curve[:, 1].max() < strip.y0 < strip.y1 < box[1, 1]

    def test_locked_edges_carry_padlocks_outside_their_boxes(self):
        edges = (edge(locked=True), edge(source=1))
        figure = draw_diagram(Diagram(inputs=("x", "y"), outputs=("z",), nodes=(((0,),),), edges=edges))
        (body,), (shackle,) = parts(figure, "locks"), parts(figure, "shackles")
        left, bottom, right, _ = box_bounds(figure)[0]
        assert max(body[:, 1].max(), shackle[:, 1].max()) < bottom
        assert left < body[:, 0].min() < body[:, 0].max() < right

    def test_products_are_marked(self):
        figure = draw_diagram(network([2, [1, (2, 3)], 1]))
        # A stem for each of six subnodes; two strokes for each of two crosses, and for + at the sum and the output.
        assert len(parts(figure, "stems")) == 6
        assert len(parts(figure, "signs")) == 8
        slopes = [abs(np.diff(stroke, axis=0)).round(9) for stroke in parts(figure, "signs")]
        assert sum(bool(slope.all()) for slope in slopes) == 4

    @pytest.mark.parametrize(
        ("y", "level"),
        [
            (np.full(40, 3.3), True),
            (np.zeros(40), True),
            (1 + 1e-14 * X, True),
            (np.where(X > 0, 1.7e308, -1.7e308), False),
            (1e-300 * X, False),
        ],
    )
    def test_curves_of_any_range_fill_their_box(self, y, level):
        figure = draw_diagram(Diagram(inputs=("x",), outputs=("y",), nodes=(((0,),),), edges=(edge(y=y),)))
        (curve,), ((_, bottom, _, top),) = parts(figure, "curves"), box_bounds(figure)
        if level:
            assert curve[:, 1] == pytest.approx((bottom + top) / 2)
        else:
            assert np.ptp(curve[:, 1]) == pytest.approx(0.76 * (top - bottom))

    def test_gaps_are_left_where_a_curve_is_not_finite(self):
        y = X.copy()
        y[:5], y[15:20], y[21:25] = np.inf, np.nan, -np.inf
        figure = draw_diagram(Diagram(inputs=("x",), outputs=("y",), nodes=(((0,),),), edges=(edge(y=y),)))
        strokes = parts(figure, "curves")
        assert [len(stroke) for stroke in strokes] == [10, 2, 15]
        assert all(np.isfinite(stroke).all() for stroke in strokes)
        left, _, right, _ = box_bounds(figure)[0]
        assert strokes[0][0, 0] > left + 0.2 * (right - left)  # where the curve is missing, its place stays free

    @pytest.mark.parametrize("y", [np.full(40, np.nan), None])
    def test_a_curve_without_values_is_a_question_mark(self, y):
        nothing = edge(y=y) if y is not None else edge(x=np.zeros(0), y=np.zeros(0))
        figure = draw_diagram(Diagram(inputs=("x",), outputs=("y",), nodes=(((0,),),), edges=(nothing,)))
        assert parts(figure, "curves") == []
        assert "?" in words(figure)

    def test_long_curves_are_thinned_and_sorted(self):
        x = np.random.default_rng(0).permutation(np.linspace(-1, 1, 10_000))
        figure = draw_diagram(Diagram(inputs=("x",), outputs=("y",), nodes=(((0,),),), edges=(edge(x=x, y=x**2),)))
        (curve,) = parts(figure, "curves")
        assert len(curve) <= 256
        assert (np.diff(curve[:, 0]) >= 0).all()

    def test_a_network_without_edges_shows_its_nodes(self):
        diagram = Diagram(inputs=("a", "b"), outputs=("c",), nodes=(((0,), (1, 2)), ((0,),)), edges=())
        figure = draw_diagram(diagram)
        assert len(parts(figure, "nodes")) == 2 + (2 + 3) + 1  # the row with a product shows its subnodes as well
        assert sorted(words(figure)) == ["a", "b", "c"]

    def test_pruned_nodes_are_hollow(self):
        diagram = Diagram(inputs=("a", "b"), outputs=("c",), nodes=(((0,),),), edges=(edge(),))
        (nodes,) = (c for c in draw_diagram(diagram).axes[0].collections if c.get_gid() == "nodes")
        assert [bool((face[:3] == 1).all()) for face in nodes.get_facecolor()] == [False, True, False]

    def test_subnodes_may_have_any_numbers(self):
        diagram = Diagram(inputs=("a",), outputs=("c",), nodes=(((7, 3),),), edges=(edge(target=3), edge(target=7)))
        layout = arrange(diagram)
        assert layout.subnodes[0][7][0] < layout.subnodes[0][3][0]
        assert layout.boxes[1][0] < layout.boxes[0][0]  # in the order in which their targets stand

    @pytest.mark.parametrize("size", [(3, 2), (8, 3), (2, 6)])
    def test_draws_into_given_axes(self, size):
        figure = Figure(figsize=size)
        axes = figure.subplots(1, 2)
        assert draw_diagram(network([2, 3, 1], label="sin"), title="panel", ax=axes[0]) is figure
        assert len(axes[1].texts) == len(axes[1].collections) == 0
        boxes = extents(figure)
        assert overlaps(boxes) == []
        frame = axes[0].get_window_extent()
        assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1 for b in boxes)
        pixels = axes[0].transData.transform([[0, 0], [1, 1]])
        assert np.ptp(pixels[:, 0]) == pytest.approx(np.ptp(pixels[:, 1]))  # circles stay circles

    def test_draws_into_a_subfigure(self):
        figure = Figure(figsize=(8, 4))
        left, _ = figure.subfigures(1, 2)
        assert draw_diagram(network([2, 1]), ax=left.add_subplot()) is figure

    def test_pages_are_not_exceeded_without_need(self):
        for shape in [2, 5, 1], [4, 2, 1, 1], [2, [3, 2], 1], [5, 5, 1]:
            assert draw_diagram(network(shape)).get_size_inches()[0] < 7.5
        assert arrange(network([30, 30, 1], label="sin")).width < 33

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"inputs": ()}, ShapeError, "0 inputs"),
            ({"nodes": ()}, ShapeError, "0 rows"),
            ({"nodes": ((),)}, ShapeError, "row 1"),
            ({"nodes": (((),),)}, ShapeError, "row 1"),
            ({"nodes": (((0, 0),),)}, ShapeError, "exactly one node"),
            ({"outputs": ("a", "b")}, ShapeError, "2 output names for 1 nodes"),
            ({"edges": (edge(layer=1),)}, EdgeError, "layer from 0 to 0"),
            ({"edges": (edge(layer=-1),)}, EdgeError, "layer from 0 to 0"),
            ({"edges": (edge(source=2),)}, EdgeError, "source from 0 to 1"),
            ({"edges": (edge(target=1),)}, EdgeError, r"one of \[0\]"),
        ],
    )
    def test_refuses_diagrams_that_do_not_fit(self, change, error, message):
        good = {"inputs": ("x", "y"), "outputs": ("z",), "nodes": (((0,),),), "edges": (edge(),)}
        Diagram(**good)
        with pytest.raises(error, match=message):
            Diagram(**good | change)

    @pytest.mark.parametrize("y", [np.zeros(3), np.zeros((40, 1))])
    def test_refuses_curves_that_are_none(self, y):
        with pytest.raises(ShapeError, match=r"edge \(0, 0, 0\) got x of shape \(40,\)"):
            edge(y=y)


class TestSpread:
    def test_keeps_what_fits(self):
        assert spread([1, 3, 9], [1, 1], 0, 10).tolist() == [1, 3, 9]

    def test_is_the_nearest_arrangement(self):
        rng = np.random.default_rng(0)
        for _ in range(50):
            wanted, distances = rng.uniform(0, 10, 6), rng.uniform(0.2, 1.5, 5)
            places = spread(wanted, distances, 0, 10)
            assert (np.diff(places) >= distances - 1e-12).all()
            assert places[0] >= 0
            assert places[-1] <= 10 + 1e-12
            # The optimum of a convex problem: no allowed arrangement nearby is nearer to what was wanted.
            for _ in range(30):
                other = spread(places + 1e-3 * rng.normal(size=6), distances, 0, 10)
                assert np.sum((other - wanted) ** 2) >= np.sum((places - wanted) ** 2) - 1e-9

    def test_takes_none_and_one(self):
        assert spread([12.0], [], 0, 10).tolist() == [10.0]


class TestText:
    def test_shorten_fits(self):
        for width in (0.3, 0.7, 1.1):
            short = shorten("longitudinal_position", 10, width)
            assert text_width(short, 10) <= width
            assert "…" in short
        assert shorten("abc", 10, 5) == "abc"
        assert shorten("abc", 10, 0.01) == "…"

    def test_wrap_keeps_all_words(self):
        text = "the residuary resistance of a sailing yacht"
        lines = wrap(text, 10, 1.2)
        assert " ".join(lines) == text
        assert all(text_width(line, 10) <= 1.2 for line in lines)
        assert wrap("", 10, 1) == ()


class TestCurve:
    def test_draws_what_is_given(self):
        figure = draw_curve(X, X**2, xlabel=AWKWARD, ylabel="a_b", title="edge (0, 1, 2)", label="$x$")
        axes = figure.axes[0]
        (line,) = (artist for artist in axes.lines if artist.get_gid() == "curve")
        assert line.get_xydata() == pytest.approx(np.column_stack([X, X**2]))
        assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title("left")) == (AWKWARD, "a_b", "edge (0, 1, 2)")
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["$x$"]

    def test_marks_the_domain(self):
        axes = draw_curve(X, X, domain=(-0.5, 2.0)).axes[0]
        assert [line.get_xdata()[0] for line in axes.lines if line.get_gid() == "domain"] == [-0.5, 2.0]
        assert axes.get_xlim()[1] >= 2.0
        default = draw_curve(X, X).axes[0]
        assert [line.get_xdata()[0] for line in default.lines if line.get_gid() == "domain"] == [-1.0, 1.0]

    def test_shows_points(self):
        inputs = np.array([-0.5, np.nan, 0.5])
        (rug,) = (
            artist for artist in draw_curve(X, 10 * X, points=inputs).axes[0].lines if artist.get_gid() == "points"
        )
        assert rug.get_xdata().tolist() == [-0.5, 0.5]
        pairs = np.array([[0.0, 1.0], [0.1, np.inf], [0.2, 3.0]])
        axes = draw_curve(X, X, points=pairs).axes[0]
        (dots,) = (artist for artist in axes.collections if artist.get_gid() == "points")
        assert dots.get_offsets().tolist() == [[0.0, 1.0], [0.2, 3.0]]

    def test_a_rug_does_not_widen_the_range(self):
        with_rug, without = draw_curve(X, 1e6 + X, points=X), draw_curve(X, 1e6 + X)
        assert with_rug.axes[0].get_ylim() == without.axes[0].get_ylim()

    @pytest.mark.parametrize("count", [0, 1])
    def test_takes_few_values(self, count):
        figure = draw_curve(np.ones(count), np.ones(count), points=np.zeros((0, 2)))
        figure.savefig(BytesIO(), format="png")

    def test_leaves_gaps(self):
        y = np.where(X > 0, np.inf, X)
        (line,) = (artist for artist in draw_curve(X, y).axes[0].lines if artist.get_gid() == "curve")
        assert (np.isnan(line.get_ydata()) == (X > 0)).all()

    def test_refuses_what_does_not_fit(self):
        with pytest.raises(ShapeError, match="equal length"):
            draw_curve(X, X[:3])
        with pytest.raises(ShapeError, match=r"points of shape \(4, 3\)"):
            draw_curve(X, X, points=np.zeros((4, 3)))
        for domain in (1.0, -1.0), (0.0, 0.0), (0.0, np.inf):
            with pytest.raises(DomainError, match="lower one first"):
                draw_curve(X, X, domain=domain)


class TestHistory:
    def lines(self, figure: Figure) -> dict[str, list[list[float]]]:
        """Return the labelled lines of a history."""
        return {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}

    def test_draws_each_loss_and_skips_gaps(self):
        table = {
            "step": [0, 10, 20],
            "time": ["a", "b", "c"],
            "train_loss": [1.0, 0.1, 0.01],
            "validation_loss": [2.0, None, float("nan")],
            "penalty": [0.0, 0.0, 0.0],
        }
        figure = draw_history(table)
        assert self.lines(figure) == {
            "training": [[0, 1.0], [10, 0.1], [20, 0.01]],
            "validation": [[0, 2.0]],
        }
        assert figure.axes[0].get_yscale() == "log"

    def test_draws_a_penalty_that_is_there(self):
        assert "penalty" in self.lines(draw_history({"train_loss": [1, 2], "penalty": [0, 0.1]}))

    def test_counts_rows_without_steps(self):
        assert self.lines(draw_history({"train_loss": [3.0, 2.0]})) == {"training": [[0, 3.0], [1, 2.0]]}

    def test_marks_zeros_on_the_lower_edge(self):
        figure = draw_history({"step": [0, 1, 2], "train_loss": [1.0, 0.0, 1e-3], "validation_loss": [1.0, 0.0, 0.0]})
        found = self.lines(figure)
        assert found["training"] == [[0, 1.0], [2, 1e-3]]
        assert found["exactly 0"] == [[1, 0.0]]
        assert found["_also 0"] == [[1, 0.0], [2, 0.0]]
        assert figure.axes[0].get_ylim()[0] > 1e-5
        assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == [
            "training",
            "validation",
            "exactly 0",
        ]

    @pytest.mark.parametrize("losses", [[0.0, 0.0], [-1.0, 1.0], [-2.0]])
    def test_is_linear_without_positive_losses_alone(self, losses):
        assert draw_history({"train_loss": losses}).axes[0].get_yscale() == "linear"

    @pytest.mark.parametrize("losses", [[0.5], [1e-300, 1e300], [5e-324], [1.0] * 3, [0.5, 0.4, 0.45]])
    def test_any_positive_losses_are_drawn(self, losses):
        figure = draw_history({"step": list(range(len(losses))), "train_loss": losses})
        figure.savefig(BytesIO(), format="png")
        assert len(self.lines(figure)["training"]) == len(losses)

    @pytest.mark.parametrize("table", [{}, {"step": [], "train_loss": []}, {"step": [0], "train_loss": [None]}])
    def test_says_so_when_there_is_nothing(self, table):
        assert words(draw_history(table)) == ["no losses recorded"]

    def test_refuses_columns_of_unequal_length(self):
        with pytest.raises(ShapeError, match="lengths"):
            draw_history({"step": [0, 1], "train_loss": [1.0]})


class TestPareto:
    def test_draws_each_formula_and_the_pick(self):
        figure = draw_pareto([1, 3, 9], [1.0, 0.1, 0.05], ["c", "x", "x + $y$_{1}"], pick=1)
        offsets = {c.get_gid(): c.get_offsets().tolist() for c in figure.axes[0].collections}
        assert offsets == {"formulas": [[9, 0.05], [1, 1.0]], "pick": [[3, 0.1]]}
        assert sorted(words(figure)) == ["c", "x", "x + $y$_{1}"]

    @pytest.mark.parametrize("count", [1, 5, 25])
    @pytest.mark.parametrize("loss", [0.0, 0.1, 1e-12])
    def test_formulas_do_not_overlap_and_lie_within_the_picture(self, count, loss):
        labels = ["sin(x) + " * 20 + str(i) for i in range(count)]
        figure = draw_pareto(range(count), [1.0] + [loss] * (count - 1), labels, pick=None)
        boxes = extents(figure)
        assert len(boxes) == count
        assert overlaps(boxes) == []
        assert all(box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1 for box in boxes)
        frame = figure.axes[0].get_tightbbox()
        assert frame.x0 >= 0
        assert frame.y0 >= 0

    def test_leaders_start_at_their_points(self):
        figure = draw_pareto([1, 3, 9], [1.0, 0.1, 0.0], ["a", "b", "c"], pick=0)
        axes = figure.axes[0]
        places = np.concatenate([c.get_offsets() for c in axes.collections])
        points = axes.transAxes.inverted().transform(axes.transData.transform(places))
        starts = np.array([line.get_xydata()[0] for line in axes.lines if line.get_gid() == "leader"])
        assert np.sort(starts, axis=0) == pytest.approx(np.sort(points, axis=0))

    def test_leaves_out_what_is_not_finite(self):
        figure = draw_pareto([1, 2, np.inf], [np.nan, 0.5, 0.1], ["a", "b", "c"], pick=0)
        assert words(figure) == ["b"]

    @pytest.mark.parametrize("losses", [[], [np.nan]])
    def test_says_so_when_there_is_nothing(self, losses):
        assert words(draw_pareto(losses, losses, ["a"] * len(losses), None)) == ["no formulas found"]

    def test_refuses_what_does_not_fit(self):
        with pytest.raises(ShapeError, match="1 labels"):
            draw_pareto([1, 2], [1, 2], ["a"], None)
        with pytest.raises(OptionError, match="pick=2 among 2"):
            draw_pareto([1, 2], [1, 2], ["a", "b"], 2)
        with pytest.raises(OptionError, match="none below 0"):
            draw_pareto([1, 2], [1, -2], ["a", "b"], None)
