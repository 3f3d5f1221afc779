"""Knot insertion: the same splines on finer knots, to rounding."""

from __future__ import annotations

import torch
from torch import Tensor


def contains(fine: Tensor, coarse: Tensor) -> Tensor:
    """Whether splines on the coarse breakpoints are splines on the fine ones too, where both domains overlap.

    Args:
        fine: breakpoints, shape (I, K').
        coarse: breakpoints, shape (I, K).

    Returns:
        Of shape (I,): true where every coarse breakpoint inside the fine domain is a fine one, as often and up to
        rounding.
    """
    rounding = torch.maximum(rounding_distance(coarse), rounding_distance(fine))
    needed, found = (
        ((coarse.unsqueeze(2) - points.unsqueeze(1)).abs() <= rounding.unsqueeze(2) / 2).sum(dim=2)
        for points in (coarse, fine)
    )
    inside = (coarse > fine[:, :1] + rounding) & (coarse < fine[:, -1:] - rounding)
    low, high = torch.maximum(coarse[:, :1], fine[:, :1]), torch.minimum(coarse[:, -1:], fine[:, -1:])
    return ((found >= needed) | ~inside).all(dim=1) & (high - low > rounding).squeeze(1)


def rounding_distance(points: Tensor) -> Tensor:
    """The distance within which points, shape (I, K), count as one, shape (I, 1)."""
    return points[:, [0, -1]].abs().sum(dim=1, keepdim=True) * (16 * torch.finfo(points.dtype).eps)


def insertion_matrix(coarse: Tensor, fine: Tensor, degree: int) -> Tensor:
    """Knot insertion by the Oslo algorithm: the same splines on finer knots.

    Args:
        coarse: knots with `degree` further ones on each side, shape (I, K).
        fine: knots, with as many further ones, that contain the coarse ones within their domain, shape (I, K'). Where
            the fine domain is the larger, the end cells' polynomials go on.
        degree: polynomial degree.

    Returns:
        Matrix of shape (I, K' − degree − 1, K − degree − 1) from coarse to fine coefficients.

    Source: Cohen, Lyche and Riesenfeld, Discrete B-splines and subdivision techniques (1980); Ramshaw, Blossoms are
    polar forms (1989).
    """
    count = fine.shape[1] - degree - 1
    low = torch.maximum(coarse[:, degree : degree + 1], fine[:, degree : degree + 1])
    high = torch.minimum(coarse[:, -degree - 1 : -degree], fine[:, -degree - 1 : -degree])
    # A fine coefficient is the blossom, at the inner knots of its function, of the polynomial in the cell in which the
    # function starts; functions that start outside use the end cells.
    # A little tolerance keeps a start that is a knot up to rounding in the cell to its right.
    tolerance = rounding_distance(torch.cat([low, high], dim=1))
    starts = (fine[:, :count] + tolerance).clamp(low + tolerance, high - tolerance).unsqueeze(2)
    weights = ((coarse[:, None, :-1] <= starts) & (starts < coarse[:, None, 1:])).to(coarse.dtype)
    # A blossom is symmetric. The nearest argument first: steps over few knots must not extrapolate far, for that
    # cancels digits.
    arguments = fine.unfold(1, degree, 1)[:, 1:-1]
    arguments = arguments.gather(2, (arguments - starts).abs().argsort(dim=2))
    for p in range(1, degree + 1):
        at = arguments[:, :, p - 1 : p]
        left, right = coarse[:, None, : -1 - p], coarse[:, None, 1 + p :]
        rising = _ratio(at - left, coarse[:, None, p:-1] - left)
        falling = _ratio(right - at, right - coarse[:, None, 1 : coarse.shape[1] - p])
        weights = rising * weights[:, :, :-1] + falling * weights[:, :, 1:]
    return weights


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient with 0 where the knots coincide, the convention of B-splines."""
    return torch.where(denominator > 0, numerator / torch.where(denominator > 0, denominator, 1.0), 0.0)
