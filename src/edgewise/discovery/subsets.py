"""Least squares with few of many columns: all singles and pairs are looked at, more are added greedily."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_MOST_IN_PAIRS = 3000
_CHUNK = 256  # columns of a Gram matrix at a time
_TINY = 1e-300
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


def best_subsets(
    target: Tensor, base: Tensor, columns: Tensor, *, most: int, kept: int, enough: float, price: Tensor | None = None
) -> list[Subset]:
    """The subsets that explain a target best, beside columns that are always there.

    Args:
        target: shape (N,).
        base: columns that are always used, shape (N, B).
        columns: those to choose among, the simplest first, shape (N, F).
        most: how many to choose at most.
        kept: how many subsets of each size to return.
        enough: what may be left of a subset for larger ones not to be tried.
        price: bits that each column costs, shape (F,). Under noise many explain the target about as well: the best
            are then those of least description length. None where all cost the same.

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
    usable = length > _PARALLEL * size
    inner = torch.where(usable, inner / length, 0.0)
    unit = rest / rest.norm() if float(rest.norm()) else rest
    reach = inner.T @ unit
    share = found[0].left
    # N/2·log2(what is left) + the prices in bits, the description length, grows with what is left times the handicaps.
    handicap = torch.ones_like(reach) if price is None else torch.exp2(2 * price / len(target))
    handicap = torch.where(usable, handicap, torch.inf)
    if most and columns.shape[1]:
        left = (1 - reach.square()).clamp_min(_TINY)
        order = (left * handicap).argsort(stable=True)[: min(kept, int(usable.sum()))].tolist()
        found += [Subset((row,), share * float(left[row]) ** 0.5) for row in order]
    if most > 1 and len(found) > 1 and found[1].left > enough:
        first = slice(_MOST_IN_PAIRS)
        pairs = _pairs(inner[:, first], reach[first], handicap[first], kept)
        found += [Subset(pair, share * remains) for pair, remains in pairs]
        level = found[len(found) - len(pairs) :]
        for _ in range(most - 2):
            if not level or level[0].left <= enough:
                break
            level = _grown(level, unit, inner, handicap, share, kept)
            found += level
    return found


def _pairs(inner: Tensor, reach: Tensor, handicap: Tensor, kept: int) -> list[tuple[tuple[int, int], float]]:
    """The best pairs of standard columns and the root of what each leaves."""
    best: list[tuple[float, float, int, int]] = []
    count = inner.shape[1]
    for start in range(0, count, _CHUNK):
        part = slice(start, min(start + _CHUNK, count))
        rho = inner[:, part].T @ inner
        free = 1 - rho.square()
        mine, theirs = reach[part, None], reach[None, :]
        gain = (mine.square() - 2 * rho * mine * theirs + theirs.square()) / free
        rows = torch.arange(part.start, part.stop)[:, None]
        is_pair = (free > _PARALLEL) & (rows < torch.arange(count)) & (gain > 0)
        left = (1 - gain).clamp_min(_TINY)
        weighed = torch.where(is_pair, left * (handicap[part, None] * handicap[None, :]), torch.inf)
        value, place = weighed.flatten().topk(min(kept, weighed.numel()), largest=False)
        best += [
            (float(v), float(left.flatten()[p]), start + int(p) // count, int(p) % count)
            for v, p in zip(value, place, strict=True)
            if v < torch.inf
        ]
    best.sort()
    return [((i, j), left**0.5) for _, left, i, j in best[:kept]]


def _grown(level: list[Subset], unit: Tensor, inner: Tensor, handicap: Tensor, share: float, kept: int) -> list[Subset]:
    """Each subset with the column that helps it most, and with the next best ones."""
    grown: dict[tuple[int, ...], tuple[float, Subset]] = {}
    for subset in level:
        q = torch.linalg.qr(inner[:, list(subset.columns)]).Q
        rest = unit - q @ (q.T @ unit)
        free = inner - q @ (q.T @ inner)
        length = free.norm(dim=0)
        left = (rest.square().sum() - ((free.T @ rest) / length).square()).clamp_min(_TINY)
        before = handicap[list(subset.columns)].prod()
        weighed = torch.where(length > _PARALLEL**0.5, left * before * handicap, torch.inf)
        for value, row in zip(*weighed.topk(min(kept, len(weighed)), largest=False), strict=True):
            if value < torch.inf:
                chosen = tuple(sorted((*subset.columns, int(row))))
                grown.setdefault(chosen, (float(value), Subset(chosen, share * float(left[row]) ** 0.5)))
    return [subset for _, subset in sorted(grown.values(), key=lambda entry: entry[0])[:kept]]
