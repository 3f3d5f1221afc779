"""Least squares by variable projection, for many starting points at once.

Of y ≈ c·f(p + s·τ) + d the best c and d for given p and s are known in closed form, which leaves a problem in p and s.

Source: Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
separate", SIAM Journal on Numerical Analysis 10 (1973); Marquardt, "An algorithm for least-squares estimation of
nonlinear parameters", Journal of the SIAM 11 (1963).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.primitives import Primitive
from edgewise.symbolic.charts import Starts, joined
from edgewise.symbolic.curve import Curve

_CHUNK = 2**17  # numbers per temporary of a scan: small enough to stay in a core's cache
_BLOCK = 2**18  # numbers per temporary of a descent: more, since few points are left after some steps
_FLAT = 1e-14  # var f / mean f² below which f on the inputs is rounding error more than shape
_GAIN = 1e-9  # relative decrease of the sum of squares, made or promised, at which a step is the last
_EXACT = 1e-29  # relative sum of squares that is rounding error


def scan(primitive: Primitive, curve: Curve, starts: Starts) -> Tensor:
    """The sum of squares that remains at each of many points, with the best c and d there.

    Args:
        primitive: f.
        curve: N points of a curve.
        starts: S points in coordinates.

    Returns:
        Shape (S,), relative to the curve's variance: 0 for an exact fit, 1 for none; inf where f is not finite or is
        constant on the inputs.
    """
    p, s = starts.line()
    moments = torch.stack((curve.weights, curve.weights * curve.z), dim=1)
    rows = max(1, _CHUNK // len(curve.z))
    parts = []
    for chunk in torch.arange(len(p)).split(rows):
        f = primitive.function(p[chunk, None] + s[chunk, None] * curve.tau[starts.reverse[chunk]])
        mean, product = (f @ moments).unbind(1)
        square = f.square() @ curve.weights
        variance = square - mean.square()
        left = 1.0 - product.square() / variance
        # The difference of two moments is less exact than a centred sum, hence the wider margin.
        parts.append(torch.where((variance > 1e3 * _FLAT * square) & (left < math.inf), left, math.inf))
    return torch.cat(parts)


@dataclass(frozen=True, kw_only=True)
class Linearised:
    """The sum of squares of S fits near a point, to second order (Gauss–Newton).

    Attributes:
        loss: the relative sum of squares, shape (S,).
        gradient: half its derivative, shape (S, 2).
        hessian: half its second derivative, of products of first derivatives, shape (S, 2, 2).
    """

    loss: Tensor
    gradient: Tensor
    hessian: Tensor

    def __getitem__(self, rows: Tensor) -> "Linearised":
        """The models of the given rows."""
        return Linearised(loss=self.loss[rows], gradient=self.gradient[rows], hessian=self.hessian[rows])

    def promise(self, step: Tensor) -> Tensor:
        """By how much steps (S, 2) should decrease the losses, shape (S,)."""
        curved = self.gradient + 0.5 * (self.hessian @ step[..., None]).squeeze(2)
        return -2.0 * (step * curved).sum(1)

    def replaced(self, rows: Tensor, other: "Linearised") -> "Linearised":
        """The models, with those of `other` where the mask `rows` (S,) is true."""
        return Linearised(
            loss=torch.where(rows, other.loss, self.loss),
            gradient=torch.where(rows[:, None], other.gradient, self.gradient),
            hessian=torch.where(rows[:, None, None], other.hessian, self.hessian),
        )


def linearise(primitives: Sequence[Primitive], curve: Curve, starts: Starts) -> Linearised:
    """The remaining sum of squares and its model of second order in the coordinates.

    With f and g = ∂f/∂θ centred and weighted, γ = ⟨f, z⟩ / ⟨f, f⟩ and the residual r = z − γ·f, the residual's
    derivative is −γ·P g − f·⟨g, r⟩ / ⟨f, f⟩, where P projects onto what is orthogonal to f.

    Args:
        primitives: the functions f.
        curve: N points of a curve.
        starts: S points in coordinates, in ascending order of their owners.

    Returns:
        The model, with an infinite loss where f is not finite or is constant on the inputs.

    Source: Golub and Pereyra (1973), for one function and a constant.
    """
    p, s = starts.line()
    tau = curve.tau[starts.reverse]
    u = torch.addcmul(p[:, None], s[:, None], tau)
    counts = torch.bincount(starts.owner, minlength=len(primitives)).tolist()
    owned = [(f, part) for f, part in zip(primitives, u.split(counts), strict=True) if len(part)]
    value = torch.cat([f.function(part) for f, part in owned])
    slope = torch.cat([f.derivative(part) for f, part in owned])
    slope = torch.where(slope.isinf(), 0.0, slope)  # at the edge of a domain the argument stays where it is
    root = curve.weights.sqrt()
    target = curve.z * root
    mean = value @ curve.weights
    rows = torch.empty(len(p), 4, len(root), dtype=u.dtype)
    slopes, centred, residual = rows[:, :2], rows[:, 2], rows[:, 3]
    torch.mul(value - mean[:, None], root, out=centred)
    power = centred.square().sum(1)
    gamma = centred @ target / power
    torch.addcmul(target, gamma[:, None], centred, value=-1.0, out=residual)
    torch.mul(slope, root, out=slopes[:, 0])
    torch.mul(slopes[:, 0], tau, out=slopes[:, 1])
    slopes -= (slopes @ root)[..., None] * root
    gram = rows @ rows.mT
    parallel, correlation = gram[:, :2, 2, None], gram[:, :2, 3, None]
    across = gram[:, :2, :2] - parallel * parallel.mT / power[:, None, None]
    hessian = gamma.square()[:, None, None] * across + correlation * correlation.mT / power[:, None, None]
    jacobian = starts.jacobian()
    hessian = jacobian.mT @ hessian @ jacobian
    gradient = -gamma[:, None] * (jacobian.mT @ correlation).squeeze(2)
    loss = gram[:, 3, 3]
    usable = (power > _FLAT * mean.square()) & loss.isfinite() & hessian.isfinite().all(2).all(1)
    return Linearised(loss=torch.where(usable, loss, math.inf), gradient=gradient, hessian=hessian)


def levenberg_marquardt(
    primitives: Sequence[Primitive], curve: Curve, starts: Starts, iterations: int = 40
) -> tuple[Starts, Tensor]:
    """Improve all starting points at once, each with a damping of its own.

    Args:
        primitives: the functions f.
        curve: N points of a curve.
        starts: S points in coordinates, in ascending order of their owners.
        iterations: at most how many steps are tried.

    Returns:
        The points reached, and their relative sums of squares, shape (S,); inf where a start was not usable.

    Source: Marquardt (1963); each step is damped relative to the diagonal.
    """
    rows = torch.arange(len(starts.owner)).split(max(1, _BLOCK // len(curve.z)))
    parts = [_descend(primitives, curve, starts[block], iterations) for block in rows]
    return joined([part for part, _ in parts]), torch.cat([loss for _, loss in parts])


def _descend(primitives: Sequence[Primitive], curve: Curve, starts: Starts, iterations: int) -> tuple[Starts, Tensor]:
    """As `levenberg_marquardt`, for as many starts as one temporary can hold."""
    theta = starts.theta.clone()
    here = linearise(primitives, curve, starts)
    loss = here.loss.clone()
    rows = torch.arange(len(loss))  # those that are still on their way
    active = (loss > _EXACT) & loss.isfinite()
    damping = torch.full_like(loss, 1e-3)
    for _ in range(iterations):
        if not active.all():
            rows, here, damping = rows[active], here[active], damping[active]
        if len(rows) == 0:
            break
        step = _damped_step(here, damping)
        trial_theta = theta[rows] + step
        trial = linearise(primitives, curve, starts[rows].moved(trial_theta))
        better = trial.loss < here.loss
        gained = torch.where(better, here.loss - trial.loss, here.promise(step))
        last = ((gained <= _GAIN * here.loss) & (better | (damping < 1.0))) | (damping > 1e12)
        here = here.replaced(better, trial)
        theta[rows[better]] = trial_theta[better]
        loss[rows] = here.loss
        damping = torch.where(better, (0.1 * damping).clamp_min(1e-15), 5.0 * damping)
        active = ~last & (here.loss > _EXACT)
    return starts.moved(theta), loss


def _damped_step(model: Linearised, damping: Tensor) -> Tensor:
    """Steps (S, 2) to the minimum of the model, its diagonal raised by `damping` (S,); 0 along fixed coordinates."""
    size = model.hessian.diagonal(dim1=1, dim2=2).sqrt()
    size = torch.where(size > 0.0, size, 1.0)
    slope = model.gradient / size
    cosine = model.hessian[:, 0, 1] / (size[:, 0] * size[:, 1])
    raised = 1.0 + damping
    # (raised − cosine)·(raised + cosine), not raised² − cosine²: nearly parallel columns are common.
    determinant = (raised - cosine) * (raised + cosine)
    first = raised * slope[:, 0] - cosine * slope[:, 1]
    second = raised * slope[:, 1] - cosine * slope[:, 0]
    return -torch.stack((first, second), dim=1) / (determinant[:, None] * size)
