"""What a network looks like, as plain data for `edgewise.plot`."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure

from edgewise.network import Network, SymbolicBlock, subnodes
from edgewise.plot import Diagram, EdgeCurve, draw_diagram
from edgewise.surgery import Edge, attribution

_POINTS = 80


@torch.no_grad()
def network_diagram(model: Network) -> Diagram:
    """The nodes and edges of a network, with each edge's curve and strength.

    Args:
        model: the network; curves are drawn over the range of its sample.

    Returns:
        The diagram's data.
    """
    scores = attribution(model).edges
    curves = []
    for index, layer in enumerate(model.all_layers):
        largest = float(scores[index].max().clamp_min(torch.finfo(model.dtype).tiny))
        locked = layer.locked
        for source, target in torch.nonzero(layer.mask).tolist():
            edge = Edge(model, index, source, target)
            low, high = float(edge.sample.min()), float(edge.sample.max())
            x = torch.linspace(low, high, _POINTS, dtype=model.dtype) if low < high else edge.table(_POINTS)["x"]
            curves.append(
                EdgeCurve(
                    layer=index,
                    source=source,
                    target=target,
                    x=x.cpu().numpy(),
                    y=edge(x).cpu().numpy(),
                    strength=float(scores[index][source, target]) / largest,
                    label=edge.block.primitive.name if isinstance(edge.block, SymbolicBlock) else None,
                    locked=bool(locked[source, target]),
                )
            )
    return Diagram(
        inputs=model.input_names,
        outputs=model.output_names,
        nodes=tuple(subnodes(layer.nodes) for layer in model.all_layers),
        edges=tuple(curves),
    )


def draw_network(model: Network, *, title: str | None = None) -> Figure:
    """The network diagram.

    Args:
        model: the network.
        title: above the diagram; none if not given.

    Returns:
        The figure.
    """
    return draw_diagram(network_diagram(model), title=title)
