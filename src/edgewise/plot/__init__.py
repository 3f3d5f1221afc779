"""Pictures of networks, edges, trainings and formulas: functions of plain data, never of models."""

from edgewise.plot.curve import draw_curve
from edgewise.plot.diagram import draw_diagram
from edgewise.plot.graph import Diagram, EdgeCurve
from edgewise.plot.history import draw_history
from edgewise.plot.pareto import draw_pareto

__all__ = ["Diagram", "EdgeCurve", "draw_curve", "draw_diagram", "draw_history", "draw_pareto"]
