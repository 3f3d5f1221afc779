"""Surgery: functions from a network to a new network."""

from edgewise.surgery.adapt_knots import adapt_knots
from edgewise.surgery.attribution import Attribution, attribution
from edgewise.surgery.blocks import expressed, input_ranges, single_edge, with_edges_in, without_edges
from edgewise.surgery.change import lock, require_edge, restored, with_basis
from edgewise.surgery.edge import Edge
from edgewise.surgery.prune import prune, prune_inputs
from edgewise.surgery.refine import refine, update_grid
from edgewise.surgery.spline_error import CellErrors, spline_errors
from edgewise.surgery.wrap import scale_outputs, with_transforms

__all__ = [
    "Attribution",
    "CellErrors",
    "Edge",
    "adapt_knots",
    "attribution",
    "expressed",
    "input_ranges",
    "lock",
    "prune",
    "prune_inputs",
    "refine",
    "require_edge",
    "restored",
    "scale_outputs",
    "single_edge",
    "spline_errors",
    "update_grid",
    "with_basis",
    "with_edges_in",
    "with_transforms",
    "without_edges",
]
