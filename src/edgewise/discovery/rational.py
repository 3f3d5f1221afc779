"""The likeliest quotient of two linear combinations of the same columns, y = P/Q, where y has errors.

P − y·Q = 0 is linear, but with errors among its columns its solution is biased. So the quotient itself is fitted, by
damped Gauss–Newton steps (Levenberg 1944, Marquardt 1963) from the fit with Q = 1. A common factor of P and Q is no
parameter: the largest coefficient of Q is held in each step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

_STEPS = 30
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-12, 1e6
_LESS, _MORE = 0.1, 10.0  # factors of the damping after a step that helps, and after one that does not
_STILL = 1e-5  # gain of a step after which no more is to be had
_SIGMAS = 4.0  # a term that counts is as many standard errors from 0
_GONE_AT_ONCE = 4  # one of so many weak terms, as terms that resemble each other are all weak
_TINY = 1e-300
_EXACT, _ONLY = 1e-11, 1e-9  # least and second singular value, relative to the largest, where there is one quotient
_NEGLIGIBLE = 1e-8  # share of a term of it
_BALANCINGS = 3


@dataclass(frozen=True)
class _Fit:
    """A quotient under way.

    Args:
        both: the columns of P and, again, those of Q, of length 1 each, shape (N, 2K).
        y: target, shape (N,).
        weight: inverse of its errors, shape (N,).
        found: coefficients, shape (2K,).
        keep: which of them are not 0, bool (2K,).
    """

    both: Tensor
    y: Tensor
    weight: Tensor
    found: Tensor
    keep: Tensor

    @property
    def parts(self) -> tuple[Tensor, Tensor]:
        """Values of P and Q."""
        terms = self.both * self.found
        count = len(self.found) // 2
        return terms[:, :count].sum(dim=1), terms[:, count:].sum(dim=1)

    @property
    def rest(self) -> Tensor:
        """What the quotient leaves, in units of the errors."""
        above, below = self.parts
        return (self.y - above / below) * self.weight

    @property
    def loss(self) -> float:
        """Its sum of squares."""
        return float(self.rest.square().sum())

    @property
    def free(self) -> Tensor:
        """The coefficients that are fitted: those that are kept, but for the largest of Q."""
        free = self.keep.clone()
        count = len(free) // 2
        free[count + int(self.found[count:].abs().argmax())] = False
        return free

    def normal_equations(self) -> tuple[Tensor, Tensor]:
        """JᵀJ and Jᵀr of the free coefficients."""
        above, below = self.parts
        slopes = self.both * (self.weight / below).unsqueeze(1)
        count = len(self.found) // 2
        slopes[:, count:] *= -(above / below).unsqueeze(1)
        slopes = slopes[:, self.free]
        return slopes.T @ slopes, slopes.T @ self.rest

    def converged(self) -> _Fit:
        """The same after steps that help."""
        fit, loss, damping = self, self.loss, _FIRST_DAMPING
        for _ in range(_STEPS):
            gram, goal = fit.normal_equations()
            better, before = fit, loss
            while not loss < before and damping < _MOST_DAMPING:
                damped = gram + (damping * gram.diagonal() + _TINY).diag()
                found = fit.found.clone()
                found[fit.free] += torch.linalg.lstsq(damped, goal.unsqueeze(1), driver="gelsd").solution[:, 0]
                better = replace(fit, found=found)
                loss = better.loss
                damping = max(damping * (_LESS if loss < before else _MORE), _LEAST_DAMPING)
            if not loss < before:
                break
            fit = better
            if loss > (1 - _STILL) * before:
                break
        return fit

    def sparser(self) -> _Fit | None:
        """The same without some of the terms that might as well be 0; None if all of them count."""
        free = self.free
        gram, _ = self.normal_equations()
        variance = self.loss / max(len(self.y) - int(free.sum()), 1)
        sigma = (variance * torch.linalg.pinv(gram, hermitian=True).diagonal()).clamp_min(0).sqrt()
        strength = self.found[free].abs() / sigma.clamp_min(_TINY)
        order = free.nonzero().flatten()[strength.argsort()]
        # Terms that resemble each other are all weak until some of them are gone.
        gone = math.ceil(int((strength < _SIGMAS).sum()) / _GONE_AT_ONCE)
        while gone:
            found, keep = self.found.clone(), self.keep.clone()
            found[order[:gone]], keep[order[:gone]] = 0.0, False
            fewer = replace(self, found=found, keep=keep).converged()
            if fewer.loss < self.loss + gone * _SIGMAS**2 * variance:
                return fewer
            gone //= 2
        return None


def exact_quotient(above: Tensor, below: Tensor, y: Tensor) -> tuple[Tensor, Tensor] | None:
    """Coefficients of P and Q where y is exactly their quotient: a null vector of P − y·Q.

    Args:
        above: what P is a combination of, shape (N, K).
        below: what Q is a combination of, shape (N, L).
        y: target, shape (N,).

    Returns:
        Those of P, shape (K,), and those of Q, shape (L,), or None where there is no quotient or more than one.
    """
    both = torch.cat([above, -below * y.unsqueeze(1)], dim=1)
    found = _null_vector(both)
    if found is None:
        return None
    # Without the terms that are not there the others are exact.
    present = found != 0
    exact = _null_vector(both[:, present])
    if exact is not None:
        found = torch.zeros_like(found).masked_scatter(present, exact)
    p, q = found.tensor_split([above.shape[1]])
    # Inputs of few values make the columns of P, or of Q, depend on each other.
    return (p, q) if bool(p.any()) and bool(q.any()) else None


def _null_vector(columns: Tensor) -> Tensor | None:
    """Coefficients with which columns, shape (N, K), add up to 0; None where there are none or more than one."""
    size = torch.ones_like(columns[0])
    for _ in range(_BALANCINGS):  # rows near a pole, and terms that are large somewhere, would hide all others
        norm = columns.norm(dim=0).clamp_min(_TINY)
        columns, size = columns / norm, size * norm
        columns = columns / columns.norm(dim=1, keepdim=True)
    if not bool(columns.isfinite().all()):
        return None
    _, values, vectors = torch.linalg.svd(columns, full_matrices=False)
    if not float(values[-1]) < _EXACT * float(values[0]) or bool((values[:-1] < _ONLY * values[0]).any()):
        return None
    found = vectors[-1]
    return torch.where(found.abs() > _NEGLIGIBLE * found.abs().max(), found / size, 0.0)


def likeliest_quotient(columns: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients of P and Q, terms that do not count left out.

    Args:
        columns: what P and Q are combinations of, a constant first, shape (N, K).
        y: target, shape (N,).
        weight: inverse of its errors, shape (N,).

    Returns:
        Those of P and those of Q, shape (K,) each.
    """
    size = columns.norm(dim=0).clamp_min(_TINY)
    columns = columns / size
    polynomial = torch.linalg.lstsq(columns * weight.unsqueeze(1), (y * weight).unsqueeze(1), driver="gelsd").solution
    start = torch.cat([polynomial[:, 0], torch.zeros_like(size)])
    start[len(size)] = size[0]
    fit = _Fit(columns.repeat(1, 2), y, weight, start, torch.ones_like(start, dtype=torch.bool))
    fit = fit.converged()
    while (fewer := fit.sparser()) is not None:
        fit = fewer
    above, below = fit.found.chunk(2)
    return above / size, below / size
