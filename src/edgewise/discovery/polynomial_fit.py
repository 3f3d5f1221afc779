"""Linear fits of many terms of which few count, and polynomials as trees."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from edgewise.discovery.problem import Problem
from edgewise.discovery.tree import Curve, Tree, monomial, product_of, scaled, sum_of

_NEGLIGIBLE = 1e-8  # share of a term
_SIGMAS = 4.0  # a term that counts is as many standard errors from 0
_MOST_ROUNDS = 60
_TINY = 1e-300
_CHUNK = 250
_LOOKED_AT = 20  # functions whose fits are computed exactly
_DEPENDENT = 1e-12  # eigenvalue of columns of length 1 that say the same


def varying_inputs(x: Tensor) -> Tensor:
    """Places of the columns of x that are not constant, shape (V,)."""
    return (x.amax(dim=0) > x.amin(dim=0)).nonzero().flatten()


def exponents_up_to(inputs: int, degree: int) -> Tensor:
    """Exponents of all monomials up to a degree, the lowest first, shape (K, I)."""
    rows = []
    for total in range(degree + 1):
        for chosen in itertools.combinations_with_replacement(range(inputs), total):
            rows.append([chosen.count(i) for i in range(inputs)])
    return torch.tensor(rows)


def monomial_values(x: Tensor, powers: Tensor) -> Tensor:
    """Monomials of the columns of x of shape (N, I), shape (N, K)."""
    return torch.stack([(x**row).prod(dim=1) for row in powers], dim=1)


def sparse_fit(design: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, float]:
    """A linear fit from which terms that do not count are left out, a few at a time.

    Args:
        design: the terms, shape (N, K).
        target: shape (N,).
        weight: how much each row counts, the inverse of its error, shape (N,).

    Returns:
        Coefficients, 0 for terms that are left out, shape (K,), and the error relative to the target's spread.
    """
    size = design.norm(dim=0)
    weighted = design * weight.unsqueeze(1) / size
    goal = target * weight
    keep = torch.ones(design.shape[1], dtype=torch.bool)
    mean = goal @ weight / weight.square().sum()
    spread = float((goal - weight * mean).norm()) or 1.0
    result, left = torch.zeros_like(size), 1.0
    for _ in range(_MOST_ROUNDS):
        part = weighted[:, keep]
        found = torch.linalg.lstsq(part, goal.unsqueeze(1), driver="gelsd").solution.squeeze(1)
        rest = goal - part @ found
        left = float(rest.norm()) / spread
        variance = float(rest.square().sum()) / max(len(goal) - part.shape[1], 1)
        sigma = (variance * torch.linalg.pinv(part.T @ part, hermitian=True).diagonal()).clamp_min(0).sqrt()
        result = torch.zeros_like(size)
        result[keep] = found
        strength = found.abs() / torch.maximum(_NEGLIGIBLE / _SIGMAS * found.abs().max(), sigma).clamp_min(_TINY)
        weak = int((strength < _SIGMAS).sum())
        if weak == 0 or len(strength) == 1:
            break
        # Terms that resemble each other are all weak until some of them are gone.
        least = strength.argsort()[: max(1, weak // 4)]
        keep[keep.nonzero().flatten()[least]] = False
    return result / size, left


def left_beside(problem: Problem, base: Tensor, functions: Tensor, factors: Tensor) -> tuple[float, Tensor]:
    """What linear fits leave of the target, as a share of its spread.

    Args:
        problem: rows, and what each counts.
        base: columns of every fit, shape (N, B).
        functions: one for each fit, shape (N, F).
        factors: what is multiplied by the function for the further columns of its fit, shape (N, K).

    Returns:
        What the base leaves alone, and what it leaves with each of the functions, shape (F,).
    """
    weight = problem.scale.reciprocal()
    q = torch.linalg.qr(base * weight.unsqueeze(1)).Q
    goal = problem.y * weight
    spread = float((goal - weight * problem.mean).norm()) or 1.0
    rest = goal - q @ (q.T @ goal)
    weighted = functions.T / functions.T.abs().amax(dim=1, keepdim=True).clamp_min(_TINY) * (weight / weight.max())
    left = torch.cat([_roughly_left(part, factors, q, rest) for part in weighted.split(_CHUNK)])
    best = left.argsort(stable=True)[:_LOOKED_AT]
    block = weighted[best].unsqueeze(2) * factors
    own = torch.linalg.qr(_outside(q, block / block.norm(dim=1, keepdim=True).clamp_min(_TINY))).Q
    left[best] = (rest - (own @ (own.mT @ rest.unsqueeze(1))).squeeze(2)).norm(dim=1)
    return float(rest.norm()) / spread, left / spread


def _roughly_left(functions: Tensor, factors: Tensor, q: Tensor, rest: Tensor) -> Tensor:
    """What functions, shape (F, N), times factors, shape (N, K), leave of the rest, shape (F,), by normal equations."""
    count, columns = len(functions), factors.shape[1]
    squares = (factors.unsqueeze(2) * factors.unsqueeze(1)).flatten(1)
    gram = (functions.square() @ squares).view(count, columns, columns)
    inside = torch.einsum("fn,nk,nq->fkq", functions, factors, q)
    size = gram.diagonal(dim1=1, dim2=2).clamp_min(_TINY).sqrt()
    slope = (functions * rest) @ factors / size
    values, vectors = torch.linalg.eigh((gram - inside @ inside.mT) / size.unsqueeze(1) / size.unsqueeze(2))
    along = (vectors.mT @ slope.unsqueeze(2)).squeeze(2)
    explained = torch.where(values > _DEPENDENT, along.square() / values, 0.0)
    return (rest.square().sum() - explained.sum(dim=1)).clamp_min(0).sqrt()


def _outside(q: Tensor, values: Tensor) -> Tensor:
    return values - q @ (q.T @ values)


def monomial_trees(powers: Tensor) -> list[Tree]:
    """Monomials of given exponents, shape (K, I), as trees."""
    return [monomial({i: float(p) for i, p in enumerate(row) if p}) for row in powers.tolist()]


def combination(trees: Sequence[Tree], coefficients: Tensor) -> Tree:
    """Σ c_k·tree_k without the terms whose coefficient is 0."""
    return sum_of(*(scaled(tree, c) for tree, c in zip(trees, coefficients.tolist(), strict=True) if c))


def polynomial_tree(powers: Tensor, coefficients: Tensor) -> Tree:
    """Σ c_k·Π x_i^p_ki without the terms whose coefficient is 0."""
    return combination(monomial_trees(powers), coefficients)


def quotient_tree(trees: Sequence[Tree], above: Tensor, below: Tensor) -> Tree:
    """Σ a_k·tree_k over Σ b_k·tree_k, where the first tree is a number."""
    inner = below[1:][below[1:] != 0]
    # Of one term and a constant, the constant is the number inside 1/x, and a factor of the term would be one too many.
    lead = inner[0] if len(inner) == 1 else below.abs().max() * below[below != 0][0].sign()
    return product_of(combination(trees, above / lead), Curve("1/x", combination(trees, below / lead)))
