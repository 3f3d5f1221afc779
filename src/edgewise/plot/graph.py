"""What a network diagram shows, as plain data: which nodes there are, and the curve of each edge between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewise.errors import EdgeError, ShapeError


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgeCurve:
    """One edge of a network: where it runs and what function it carries.

    Attributes:
        layer: The row in which the edge starts; row 0 holds the inputs.
        source: The node of row ``layer`` in which it starts.
        target: The subnode of row ``layer + 1`` in which it ends.
        x: Where the curve was sampled, shape (K,).
        y: Its values, shape (K,); gaps are left where they are not finite.
        strength: How much the edge matters, from 0 to 1 (its activity relative to the largest).
        label: The name of the primitive of a symbolic edge, such as ``"sin"``; None for a numeric one.
        locked: Whether the edge is kept as it is while the others train.
    """

    layer: int
    source: int
    target: int
    x: np.ndarray
    y: np.ndarray
    strength: float
    label: str | None = None
    locked: bool = False

    def __post_init__(self) -> None:
        """Refuse curves that are no curves.

        Raises:
            ShapeError: If ``x`` and ``y`` are not one-dimensional and of equal length.
        """
        x_shape, y_shape = np.shape(self.x), np.shape(self.y)
        if len(x_shape) != 1 or x_shape != y_shape:
            raise ShapeError(
                f"edge ({self.layer}, {self.source}, {self.target}) got x of shape {x_shape} and y of shape {y_shape}; "
                "expected two one-dimensional arrays of equal length: pass one value of y for each value of x"
            )


@dataclass(frozen=True, kw_only=True)
class Diagram:
    """The nodes and edges of a network, ready to be drawn.

    Attributes:
        inputs: The names of the inputs, from left to right; shown as they are, never as mathtext.
        outputs: The names of the outputs; as many as there are nodes in the last row.
        nodes: For each row above the inputs, each node's subnodes: one for a sum node, several for a product node,
            whose factors they are. A subnode adds up the edges that end in it.
        edges: The edges to draw; those that were pruned are simply absent.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[tuple[tuple[int, ...], ...], ...]
    edges: tuple[EdgeCurve, ...]

    def __post_init__(self) -> None:
        """Refuse diagrams whose parts do not belong together.

        Raises:
            ShapeError: If a row or node is empty, a subnode has two nodes, or the number of output names is wrong.
            EdgeError: If an edge starts or ends where there is nothing.
        """
        self._check_nodes()
        for edge in self.edges:
            self._check_edge(edge)

    def _check_nodes(self) -> None:
        if not self.inputs or not self.nodes:
            raise ShapeError(
                f"a diagram got {len(self.inputs)} inputs and {len(self.nodes)} rows of nodes above them; "
                "expected at least one of each"
            )
        for row, nodes in enumerate(self.nodes, start=1):
            subnodes = [subnode for node in nodes for subnode in node]
            if not nodes or not all(nodes) or len(set(subnodes)) != len(subnodes):
                raise ShapeError(
                    f"row {row} of a diagram got the nodes {nodes}; expected one or more nodes with at least one "
                    "subnode each: give every subnode to exactly one node"
                )
        if len(self.outputs) != len(self.nodes[-1]):
            raise ShapeError(
                f"a diagram got {len(self.outputs)} output names for {len(self.nodes[-1])} nodes in its last row; "
                "expected one name for each"
            )

    def _check_edge(self, edge: EdgeCurve) -> None:
        where = f"edge (layer {edge.layer}, source {edge.source}, target {edge.target})"
        if not 0 <= edge.layer < len(self.nodes):
            raise EdgeError(f"{where} is in no layer of this diagram; expected a layer from 0 to {len(self.nodes) - 1}")
        sources = len(self.inputs) if edge.layer == 0 else len(self.nodes[edge.layer - 1])
        if not 0 <= edge.source < sources:
            raise EdgeError(f"{where} starts in no node of row {edge.layer}; expected a source from 0 to {sources - 1}")
        targets = sorted(subnode for node in self.nodes[edge.layer] for subnode in node)
        if edge.target not in targets:
            raise EdgeError(f"{where} ends in no subnode of row {edge.layer + 1}; expected one of {targets}")
