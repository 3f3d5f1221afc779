"""Questions beyond the paper's tables, a file each.

A study has a TITLE, its usual SEEDS and MAX_TIME, `jobs(options)`, `section(rows)` for the report and, where there is
something to see, `figure(rows)`.
"""

from study import convergence, coverage, dimensions, few, measured, narrow, noise

STUDIES = {
    "convergence": convergence,
    "dimensions": dimensions,
    "noise": noise,
    "few": few,
    "narrow": narrow,
    "tables": measured,
    "coverage": coverage,
}
