"""Levenberg–Marquardt with Nielsen's damping: the solver for a few thousand parameters, or a few thousand residuals.

Source: Nielsen, Damping parameter in Marquardt's method (1999); Madsen, Nielsen and Tingleff, Methods for non-linear
least squares problems (2004), algorithm 3.16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from edgewise.errors import OptionError
from edgewise.training.gauss_newton import QuadraticModel
from edgewise.training.objective import Objective
from edgewise.training.solvers.solver import Step

_MOST_DAMPING = 1e20
_LEAST_DAMPING = 1e-18
_GROWTH = 2.0
_TRIES = 30  # rejections in a row before a step counts as stuck
_FLAT = 1e-8  # slope, as `_slope` measures it, that counts as zero


class LeastSquaresProblem(Protocol):
    """What the iteration needs: a point, the objective there, and its quadratic model."""

    @property
    def parameters(self) -> Tensor:
        """The point, shape (P,)."""
        ...

    @parameters.setter
    def parameters(self, values: Tensor) -> None: ...

    def value(self) -> float:
        """The objective at the point."""
        ...

    def linearise(self) -> QuadraticModel:
        """The quadratic model at the point."""
        ...


class Iteration:
    """The damped Gauss–Newton iteration on any problem.

    Args:
        problem: what is minimised, in place.
        damping: λ of the first step, relative to the curvature's diagonal.

    Attributes:
        slope: what is left of the gradient where the last step began: the cosine of the angle between the residuals
            and the most parallel column of their Jacobian, of a sum of squares; of others, a number like it.
        obstacle: why the last step was not found; empty where it was.
    """

    def __init__(self, problem: LeastSquaresProblem, damping: float) -> None:
        self.problem = problem
        self.damping = damping
        self.growth = _GROWTH
        self.near: QuadraticModel | None = None
        self.slope = math.inf
        self.obstacle = ""

    def advance(self) -> tuple[float, bool]:
        """Try damped steps until one lowers the objective.

        Returns:
            The objective now, and whether a step was found.
        """
        near = self.problem.linearise() if self.near is None else self.near
        self.near = near
        self.obstacle = "no step can be computed"
        if not math.isfinite(near.value) or len(near.gradient) == 0:
            return near.value, False
        self.slope = _slope(near)
        start = self.problem.parameters
        for _ in range(_TRIES):
            step = near.solve(self.damping)
            if step is not None:
                self.problem.parameters = start + step
                value = self.problem.value()
                if math.isfinite(value):
                    self.obstacle = "no step lowers the objective, up to rounding"
                # −gᵀs − sᵀHs/2 for a step that solves (H + λD)s = −g, without H: Madsen et al., equation 3.14.
                predicted = float((self.damping * near.scale * step - near.gradient) @ step) / 2
                if math.isfinite(value) and value < near.value and predicted > 0:
                    self._relax((near.value - value) / predicted)
                    self.near, self.obstacle = None, ""
                    return value, True
            if self.damping > _MOST_DAMPING:
                break
            self.damping *= self.growth
            self.growth *= 2
        self.problem.parameters = start
        return near.value, False

    def _relax(self, gain: float) -> None:
        """Nielsen's update: the better the model predicted the gain, the less damping."""
        self.damping = max(_LEAST_DAMPING, self.damping * max(1 / 3, 1 - (2 * min(gain, 1.0) - 1) ** 3))
        self.growth = _GROWTH


def _slope(near: QuadraticModel) -> float:
    """The largest |g| / √(2·value·D): independent of the scale of the objective and of each parameter."""
    lengths = (2 * near.value * near.scale).clamp_min(torch.finfo(near.scale.dtype).tiny).sqrt()
    return float((near.gradient.abs() / lengths).max())


def minimise(problem: LeastSquaresProblem, *, steps: int, damping: float = 1e-3, tolerance: float = 1e-14) -> float:
    """Minimise a problem in place.

    Args:
        problem: what is minimised.
        steps: the most iterations.
        damping: λ of the first step.
        tolerance: stop when a step lowers the objective by less than this share.

    Returns:
        The objective reached.
    """
    iteration = Iteration(problem, damping)
    value = problem.value()
    for _ in range(steps):
        reached, moved = iteration.advance()
        if not moved:
            return reached
        if value - reached <= tolerance * value:
            return reached
        value = reached
    return value


@dataclass(frozen=True, kw_only=True)
class LevenbergMarquardt:
    """Levenberg–Marquardt on the whole data set, with the exact structured Jacobian.

    Steps are solved for by whatever is the least work: the matrix of the parameters, up to 3000; the matrix of the
    residuals, up to 4000; or conjugate gradients.

    Args:
        damping: λ of the first step, relative to the curvature's diagonal; positive.
        tolerance: converged when a step lowers the objective by less than this share.

    Raises:
        OptionError: the damping is not positive.

    Example:
        >>> from edgewise import LevenbergMarquardt
        >>> LevenbergMarquardt(damping=1e-2)
        LevenbergMarquardt(damping=0.01, tolerance=1e-12)
    """

    damping: float = 1e-2
    tolerance: float = 1e-12

    def __post_init__(self) -> None:
        """Check the range."""
        if not self.damping > 0:
            raise OptionError(f"the damping must be positive, got {self.damping}")

    def start(self, objective: Objective, *, seed: int) -> LevenbergMarquardtRun:
        """See `Solver.start`; nothing is random."""
        del seed
        return LevenbergMarquardtRun(self, objective)


class LevenbergMarquardtRun:
    """One run; see `Run`."""

    def __init__(self, options: LevenbergMarquardt, objective: Objective) -> None:
        self.options = options
        self.objective = objective
        self.iteration = Iteration(objective, options.damping)
        self.value = objective.value()

    def step(self) -> Step:
        """See `Run.step`."""
        before = self.value
        self.value, moved = self.iteration.advance()
        with torch.no_grad():
            penalty = float(self.objective.penalty_value())
        converged = not moved or before - self.value <= self.options.tolerance * before
        return Step(
            loss=self.value - penalty,
            penalty=penalty,
            figures={"damping": self.iteration.damping, "slope": self.iteration.slope},
            converged=converged,
            detail=self._ending() if converged else "",
        )

    def _ending(self) -> str:
        """Why no further step can make progress."""
        if self.iteration.slope <= _FLAT:
            return "the gradient vanishes"
        return self.iteration.obstacle or "steps lower the objective by less than the tolerance"

    def restart(self) -> None:
        """See `Run.restart`."""
        self.iteration = Iteration(self.objective, self.options.damping)
        self.value = self.objective.value()
