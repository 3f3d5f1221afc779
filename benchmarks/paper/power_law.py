"""Exponents: the slope of an error over a size, both logarithmic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def exponent(sizes: Sequence[float], errors: Sequence[float]) -> float | None:
    """The least-squares p of error ∝ size^p; None of fewer than two sizes."""
    if len(set(sizes)) < 2:
        return None
    logs = np.log(np.asarray(sizes, dtype=float))
    return float(np.polyfit(logs, np.log(np.asarray(errors, dtype=float)), 1)[0])


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The lowest error so far, by growing size: points (size, error) that no smaller size reaches."""
    lowest: list[tuple[float, float]] = []
    for size, error in sorted(points):
        if not lowest or error < lowest[-1][1]:
            lowest.append((size, error))
    return lowest
