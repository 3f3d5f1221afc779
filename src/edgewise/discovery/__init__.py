"""Discovery: from a table to a front of formulas."""

from edgewise.discovery.discover import Discovery, discover
from edgewise.discovery.formulas import Formula, Front

__all__ = ["Discovery", "Formula", "Front", "discover"]
