"""Inputs that are only a factor x_i^p: divided out one after the other, and the rest solved without them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from edgewise.discovery.problem import Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.surrogate import smooth_residual
from edgewise.discovery.tree import Input, Tree, on_inputs, power, product_of

_EXPONENTS = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0)
_REACH = 0.7  # distance of an exponent from the mean effect of its input on log|y|
_ROWS = 1000
_WORTH = 1.05  # factor by which the error of a fit may rise when an input is divided out
_EXPLAINED = 0.5  # share that the fit may leave at most once it is


class Strip:
    """See the module."""

    name = "inputs that are factors"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas with all factors divided out."""
        if problem.x.shape[1] < 2:
            return
        factors = _factors(problem.thinned(_ROWS))
        rest = [i for i in range(problem.x.shape[1]) if i not in factors]
        if not factors or not rest:
            return
        factor = torch.stack([problem.x[:, i] ** p for i, p in factors.items()]).prod(dim=0)
        if not bool((factor.isfinite() & (factor != 0)).all()):
            return
        inner = problem.divided(problem.x[:, rest], factor)
        outside = [power(Input(i), p) for i, p in factors.items()]
        for tree in solve(inner):
            yield product_of(*outside, on_inputs(tree, rest))


def _factors(problem: Problem) -> dict[int, float]:
    """Inputs without which a smooth fit is no worse once they are divided out, with their exponents."""
    x, y = problem.x, problem.y
    rest = [i for i in range(x.shape[1]) if bool((x[:, i] != 0).all()) and float(x[:, i].abs().log().std()) > 0]
    present = list(range(x.shape[1]))
    scale = problem.scale
    error, around = smooth_residual(x, y, scale, problem.seed)
    chosen: dict[int, float] = {}
    while len(present) > 1 and time.monotonic() < problem.deadline:
        slopes = _slopes(x[:, rest].abs().log(), y) if rest else []
        tried = [
            (_residual_without(x[:, [k for k in present if k != i]], y, scale, x[:, i] ** p, problem.seed), i, p)
            for i, slope in zip(rest, slopes, strict=True)
            for p in _EXPONENTS
            if abs(p - slope) < _REACH and (p == round(p) or float(x[:, i].min()) > 0)
        ]
        # With a pole in the factor a smooth fit may explain nothing before it is divided out.
        if not tried or min(tried)[0] > min(_WORTH * error, _EXPLAINED * around):
            break
        error, index, exponent = min(tried)
        chosen[index] = exponent
        factor = x[:, index] ** exponent
        y, scale = y / factor, scale / factor.abs()
        present.remove(index)
        rest.remove(index)
        if float(y.std()) <= 1e-12 * float(y.abs().max()):
            break
    return chosen


def _residual_without(x: torch.Tensor, y: torch.Tensor, scale: torch.Tensor, factor: torch.Tensor, seed: int) -> float:
    """What a smooth fit leaves of y, in units of its errors, once a factor is divided out."""
    return smooth_residual(x, y / factor, scale / factor.abs(), seed)[0]


def _slopes(logs: torch.Tensor, y: torch.Tensor) -> list[float]:
    """The mean effect of each input on log|y|, small values left out."""
    large = y.abs() > 0.05 * y.abs().mean()
    design = torch.cat([torch.ones_like(logs[large][:, :1]), logs[large]], dim=1)
    found = torch.linalg.lstsq(design, y[large].abs().log().unsqueeze(1), driver="gelsd").solution
    return found[1:, 0].tolist()
