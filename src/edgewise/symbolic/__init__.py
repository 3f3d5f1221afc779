"""From trained edges to a formula."""

from edgewise.symbolic.auto import TOLERANCE, auto_symbolic
from edgewise.symbolic.constants import canonical, rounded, snapped
from edgewise.symbolic.description import BITS_PER_NODE, Size, description_length, size_of_expression
from edgewise.symbolic.formula import number, numeric_edges, symbolic_formula, tidy
from edgewise.symbolic.match import Match, match_primitive, rank_matches
from edgewise.symbolic.name_edge import edge_samples, fix_symbolic, suggest_symbolic, unfix_symbolic
from edgewise.symbolic.plain_function import FormulaFunction, formula_function
from edgewise.symbolic.sharpen import sharpened

__all__ = [
    "BITS_PER_NODE",
    "TOLERANCE",
    "FormulaFunction",
    "Match",
    "Size",
    "auto_symbolic",
    "canonical",
    "description_length",
    "edge_samples",
    "fix_symbolic",
    "formula_function",
    "match_primitive",
    "number",
    "numeric_edges",
    "rank_matches",
    "rounded",
    "sharpened",
    "size_of_expression",
    "snapped",
    "suggest_symbolic",
    "symbolic_formula",
    "tidy",
    "unfix_symbolic",
]
