"""Least squares with few of many columns: all singles and pairs are looked at, more are added greedily."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_MOST_IN_PAIRS = 3000
_CHUNK = 256  # columns of a Gram matrix at a time
_PARALLEL = 1e-9  # of 1 − ρ²: columns that say the same


@dataclass(frozen=True)
class Subset:
    """Some columns and what they leave.

    Args:
        columns: their positions.
        left: root of the share of the target's variance, within the base, that remains.
    """

    columns: tuple[int, ...]
    left: float


def best_subsets(target: Tensor, base: Tensor, columns: Tensor, *, most: int, kept: int, enough: float) -> list[Subset]:
    """The subsets that explain a target best, beside columns that are always there.

    Args:
        target: shape (N,).
        base: columns that are always used, shape (N, B).
        columns: those to choose among, the simplest first, shape (N, F).
        most: how many to choose at most.
        kept: how many subsets of each size to return.
        enough: what may be left of a subset for larger ones not to be tried.

    Returns:
        The subsets of each size, from none on, each size the best first.
    """
    q = torch.linalg.qr(base).Q
    whole = float(target.norm())
    rest = target - q @ (q.T @ target)
    rest = rest - q @ (q.T @ rest)
    found = [Subset((), float(rest.norm()) / whole if whole else 0.0)]
    size = columns.norm(dim=0)
    inner = columns - q @ (q.T @ columns)
    inner = inner - q @ (q.T @ inner)
    length = inner.norm(dim=0)
    inner = torch.where(length > _PARALLEL * size, inner / length, 0.0)
    unit = rest / rest.norm() if float(rest.norm()) else rest
    reach = inner.T @ unit
    share = found[0].left
    if most and columns.shape[1]:
        left = (1 - reach.square()).clamp_min(0).sqrt()
        found += [Subset((row,), share * float(left[row])) for row in left.argsort(stable=True)[:kept].tolist()]
    if most > 1 and columns.shape[1] > 1 and found[1].left > enough:
        pairs = _pairs(inner[:, :_MOST_IN_PAIRS], reach[:_MOST_IN_PAIRS], kept)
        found += [Subset(pair, share * remains) for pair, remains in pairs]
        level = found[-len(pairs) :]
        for _ in range(most - 2):
            if not level or level[0].left <= enough:
                break
            level = _grown(level, unit, inner, share, kept)
            found += level
    return found


def _pairs(inner: Tensor, reach: Tensor, kept: int) -> list[tuple[tuple[int, int], float]]:
    """The best pairs of standard columns and the root of what each leaves."""
    best: list[tuple[float, int, int]] = []
    count = inner.shape[1]
    for start in range(0, count, _CHUNK):
        part = slice(start, min(start + _CHUNK, count))
        rho = inner[:, part].T @ inner
        free = 1 - rho.square()
        mine, theirs = reach[part, None], reach[None, :]
        gain = (mine.square() - 2 * rho * mine * theirs + theirs.square()) / free
        rows = torch.arange(part.start, part.stop)[:, None]
        gain = torch.where((free > _PARALLEL) & (rows < torch.arange(count)), gain, 0.0)
        value, place = gain.flatten().topk(min(kept, gain.numel()))
        best += [
            (float(v), start + int(p) // count, int(p) % count) for v, p in zip(value, place, strict=True) if v > 0
        ]
    best.sort(key=lambda entry: -entry[0])
    return [((i, j), max(1 - gain, 0.0) ** 0.5) for gain, i, j in best[:kept]]


def _grown(level: list[Subset], unit: Tensor, inner: Tensor, share: float, kept: int) -> list[Subset]:
    """Each subset with the column that helps it most, and with the next best ones."""
    grown: dict[tuple[int, ...], Subset] = {}
    for subset in level:
        q = torch.linalg.qr(inner[:, list(subset.columns)]).Q
        rest = unit - q @ (q.T @ unit)
        free = inner - q @ (q.T @ inner)
        length = free.norm(dim=0)
        gain = torch.where(length > _PARALLEL**0.5, (free.T @ rest) / length, 0.0).abs()
        power = rest.square().sum()
        for row in gain.topk(min(kept, len(gain))).indices.tolist():
            chosen = tuple(sorted((*subset.columns, row)))
            left = float((power - gain[row].square()).clamp_min(0).sqrt())
            grown.setdefault(chosen, Subset(chosen, share * left))
    return sorted(grown.values(), key=lambda subset: subset.left)[:kept]
