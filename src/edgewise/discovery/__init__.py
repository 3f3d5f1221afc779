"""Discovery: from a table to a front of formulas."""

from edgewise.discovery.discover import Discovery, discover
from edgewise.discovery.formulas import Formula, Front
from edgewise.discovery.predictor import TableFit, fit_table

__all__ = ["Discovery", "Formula", "Front", "TableFit", "discover", "fit_table"]
