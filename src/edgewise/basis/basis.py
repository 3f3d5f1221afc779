"""The protocol of a univariate function family.

A basis is linear in its coefficients: an edge is φ(x) = Σ_g c_g B_g(x). What a basis knows is how many functions
it has, their values and derivatives, and how its coefficients turn into those of another basis. Layers, kernels,
solvers, plots and files are written once against this protocol.

The *grid* of an input is the increasing row of points that places the functions: two points, the ends of the
domain, for every family; more for splines with free knots. It is a tensor of the layer, not a field of the basis,
so that one basis serves all inputs of a layer.
"""

from __future__ import annotations

import abc
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgewise.errors import OptionError

_FAMILIES: dict[str, type[Basis]] = {}
_LEAST_SPREAD = 1e-6  # of the present domain: values closer together say nothing of a domain
_NODES_PER_CELL = (
    16  # Gauss–Legendre nodes: exact for polynomials up to degree 31, so for products of two degree-9 splines
)


@dataclass(frozen=True)
class Basis(abc.ABC):
    """A family of `size` univariate functions placed on an interval by a grid.

    Subclasses are frozen dataclasses of plain numbers; defining one registers it under its class name, which is
    what files and `basis_from_dict` use.
    """

    key: str = field(init=False, repr=False, compare=False)
    """The basis as one string, for operators whose schema has no objects."""

    def __post_init__(self) -> None:
        """Write down the key; subclasses call this after their checks."""
        object.__setattr__(self, "key", json.dumps(self.to_dict()))

    def __init_subclass__(cls, **options: Any) -> None:
        """Register the family under its class name."""
        super().__init_subclass__(**options)
        _FAMILIES[cls.__name__] = cls

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """The number M of functions."""

    @abc.abstractmethod
    def ones(self) -> list[float]:
        """The M coefficients of the constant function 1: every family can represent constants exactly."""

    @abc.abstractmethod
    def values(self, x: Tensor, grid: Tensor, order: int = 0) -> Tensor:
        """Values of the order-th derivatives, anywhere.

        Args:
            x: inputs, shape (..., I). NaN gives NaN.
            grid: increasing points, shape (I, K).
            order: derivative order, 0 or more.

        Returns:
            Values of shape (..., I, M). Outside the domain the functions continue linearly, unless the family says
            otherwise.

        Example:
            >>> import torch
            >>> from edgewise.basis import Chebyshev
            >>> ends = torch.tensor([[-1.0, 1.0]])
            >>> Chebyshev(degree=2).values(torch.tensor([[0.5], [2.0]]), ends)[:, 0]
            tensor([[ 1.0000,  0.5000, -0.5000],
                    [ 1.0000,  2.0000,  5.0000]])
        """

    def values_and_slopes(self, x: Tensor, grid: Tensor, order: int = 0) -> tuple[Tensor, Tensor]:
        """The order-th derivatives and the next ones, for less than two calls of `values` where a family can.

        Args:
            x: inputs, shape (..., I).
            grid: shape (I, K).
            order: derivative order, 0 or more.

        Returns:
            Both, of shape (..., I, M).
        """
        return self.values(x, grid, order), self.values(x, grid, order + 1)

    @property
    def support(self) -> int:
        """How many neighbouring functions can differ from zero at one point: all, unless a family knows better."""
        return self.size

    def local(self, x: Tensor, grid: Tensor, order: int = 0) -> tuple[Tensor, Tensor]:
        """The functions that can differ from zero at x, W = `support` neighbours.

        Args:
            x: inputs, shape (..., I).
            grid: shape (I, K).
            order: derivative order, 0 or more.

        Returns:
            The index of the first of them, shape (..., I); and their order-th derivatives, shape (..., I, W).
        """
        return torch.zeros(x.shape, dtype=torch.long, device=x.device), self.values(x, grid, order)

    def breakpoints(self, grid: Tensor) -> Tensor:
        """Points, shape (I, K'), between which the functions are smooth enough for Gauss quadrature."""
        return _subdivide(grid, self.size)

    def with_grid(self, grid: int) -> Basis:
        """The same family with `grid` intervals.

        Raises:
            OptionError: the family has no grid.
        """
        raise OptionError(f"{self} has no grid of intervals to set to {grid}; refine its degree instead")

    def with_degree(self, degree: int) -> Basis:
        """The same family at another degree.

        Raises:
            OptionError: the family has no degree.
        """
        raise OptionError(f"{self} has no degree to set to {degree}; refine its grid instead")

    def refined_grid(self, grid: Tensor, finer: Basis) -> Tensor:
        """The grid, shape (I, K'), on which `finer` (from `with_grid` or `with_degree`) stands where this stood."""
        del finer
        return grid

    def adapted_grid(self, grid: Tensor, values: Tensor) -> Tensor:
        """A grid of the same basis that suits where the inputs are.

        Args:
            grid: the present grid, shape (I, K).
            values: inputs, shape (N, I), N ≥ 1.

        Returns:
            A new grid, shape (I, K'); the interval of the values where they spread, the present one elsewhere.
        """
        low, high = values.amin(dim=0), values.amax(dim=0)
        spread = (high - low) > _LEAST_SPREAD * (grid[:, -1] - grid[:, 0])
        return torch.where(spread.unsqueeze(1), torch.stack([low, high], dim=1), grid[:, [0, -1]])

    def grid_over(self, grid: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """A grid of the same basis that reaches over other intervals.

        Args:
            grid: the present grid, shape (I, K).
            low: lower ends, shape (I,).
            high: upper ends, shape (I,).

        Returns:
            A new grid, shape (I, K): the same arrangement of points, stretched to the new ends, unless the family
            knows one that keeps more of its functions as they are.
        """
        shares = (grid - grid[:, :1]) / (grid[:, -1:] - grid[:, :1])
        return torch.lerp(low.unsqueeze(1), high.unsqueeze(1), shares)

    def transfer(self, grid: Tensor, target: Basis, target_grid: Tensor) -> Tensor:
        """The matrix that turns coefficients of this basis into those of another.

        Args:
            grid: this basis's grid, shape (I, K).
            target: the basis to express the functions in.
            target_grid: its grid, shape (I, K').

        Returns:
            Matrix of shape (I, M', M). It is the L2 projection on the target's domain, so it keeps every function
            that the target can represent.
        """
        return projection(self, grid, target, target_grid)

    def to_dict(self) -> dict[str, Any]:
        """The basis as plain data: `basis_from_dict` reads it back."""
        options = {each.name: getattr(self, each.name) for each in fields(self) if each.init}
        return {"family": type(self).__name__, **options}


@dataclass(frozen=True)
class ContinuedBasis(Basis, abc.ABC):
    """A family that is known on the domain, perhaps a little beyond, and continues linearly from there."""

    def limits(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """From where on the functions are straight lines, to the left and to the right, each of shape (I,)."""
        return grid[:, 0], grid[:, -1]

    @abc.abstractmethod
    def inside(self, x: Tensor, grid: Tensor, orders: Sequence[int]) -> list[Tensor]:
        """Derivatives of several orders at points within the limits, each of shape (..., I, M)."""

    def values(self, x: Tensor, grid: Tensor, order: int = 0) -> Tensor:
        """See `Basis.values`."""
        return self._continued(x, grid, (order,))[0]

    def values_and_slopes(self, x: Tensor, grid: Tensor, order: int = 0) -> tuple[Tensor, Tensor]:
        """See `Basis.values_and_slopes`."""
        values, slopes = self._continued(x, grid, (order, order + 1))
        return values, slopes

    def _continued(self, x: Tensor, grid: Tensor, orders: Sequence[int]) -> list[Tensor]:
        low, high = self.limits(grid)
        nearest = torch.minimum(torch.maximum(x, low), high)
        beyond = (x - nearest).unsqueeze(-1)
        results = self.inside(nearest, grid, orders)
        for position, order in enumerate(orders):
            if order == 0:
                (slopes,) = self.inside(torch.stack([low, high]), grid, (1,))
                below, above = beyond.clamp(max=0), beyond.clamp(min=0)
                results[position] = torch.addcmul(torch.addcmul(results[position], below, slopes[0]), above, slopes[1])
            elif order > 1:
                results[position] = vanish_beyond(results[position], beyond)
        return results


def vanish_beyond(values: Tensor, beyond: Tensor) -> Tensor:
    """The values where `beyond` is zero, 0 where it is not, NaN where it is NaN."""
    return torch.where(beyond == 0, values, torch.where(beyond.isnan(), beyond, 0.0))


def basis_from_dict(description: dict[str, Any]) -> Basis:
    """The basis that `Basis.to_dict` described.

    Args:
        description: the family's name and its options.

    Returns:
        The basis.

    Raises:
        OptionError: the family or an option is unknown.

    Example:
        >>> from edgewise.basis import BSpline, basis_from_dict
        >>> basis_from_dict(BSpline(grid=4).to_dict())
        BSpline(grid=4, degree=3)
    """
    options = dict(description)
    name = options.pop("family", None)
    if name not in _FAMILIES:
        raise OptionError(f"unknown basis family {name!r}; known: {', '.join(sorted(_FAMILIES))}")
    try:
        return _FAMILIES[name](**options)
    except TypeError as error:
        raise OptionError(f"basis {name} does not take these options: {options}") from error


@lru_cache(maxsize=256)
def basis_from_key(key: str) -> Basis:
    """The basis whose `key` this is."""
    return basis_from_dict(json.loads(key))


def quadrature(breakpoints: Tensor) -> tuple[Tensor, Tensor]:
    """Composite Gauss–Legendre quadrature.

    Args:
        breakpoints: non-decreasing points, shape (I, K).

    Returns:
        Points and weights, each of shape (I, Q); the weights of a row sum to the length of its interval.
    """
    nodes, weights = _gauss_legendre(breakpoints.dtype, breakpoints.device)
    left, width = breakpoints[:, :-1, None], breakpoints.diff(dim=1)[:, :, None]
    points = left + width * nodes
    return points.flatten(1), (width * weights).flatten(1)


def gram(basis: Basis, grid: Tensor, order: int) -> Tensor:
    """The Gram matrices ∫ B_g⁽ⁿ⁾ B_h⁽ⁿ⁾ dx over the domain.

    Args:
        basis: the function family.
        grid: its grid, shape (I, K).
        order: derivative order n.

    Returns:
        Matrices of shape (I, M, M).
    """
    points, weights = quadrature(basis.breakpoints(grid))
    values = basis.values(points.T, grid, order).transpose(0, 1)
    return values.transpose(1, 2) @ (weights.unsqueeze(-1) * values)


def projection(source: Basis, source_grid: Tensor, target: Basis, target_grid: Tensor) -> Tensor:
    """The L2 projection of one basis onto another over the target's domain.

    Args:
        source: the basis to express.
        source_grid: its grid, shape (I, K).
        target: the basis to express it in.
        target_grid: its grid, shape (I, K').

    Returns:
        Matrix of shape (I, M', M).
    """
    low, high = target_grid[:, :1], target_grid[:, -1:]
    cuts = source.breakpoints(source_grid).clamp(low, high)
    joint = torch.cat([cuts, target.breakpoints(target_grid)], dim=1).sort(dim=1).values
    points, weights = quadrature(joint)
    root = weights.sqrt().unsqueeze(-1)
    wanted = root * source.values(points.T, source_grid).transpose(0, 1)
    design = root * target.values(points.T, target_grid).transpose(0, 1)
    return least_squares(design, wanted)


def least_squares(design: Tensor, wanted: Tensor) -> Tensor:
    """The minimum-norm least-squares solution, safe where the design is rank-deficient (cells without data).

    Args:
        design: shape (..., N, M).
        wanted: shape (..., N, O).

    Returns:
        Coefficients of shape (..., M, O).
    """
    return torch.linalg.lstsq(design.cpu(), wanted.cpu(), driver="gelsd").solution.to(design.device)


def fit_curve(basis: Basis, grid: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Least-squares coefficients of curves given by samples.

    Args:
        basis: the function family.
        grid: its grid, shape (I, K).
        x: sample points, shape (N, I).
        y: samples of O curves per input, shape (N, I, O).

    Returns:
        Coefficients of shape (I, M, O).

    Example:
        >>> import torch
        >>> from edgewise.basis import BSpline, fit_curve
        >>> ends = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
        >>> x = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None]
        >>> coefficients = fit_curve(BSpline(grid=2, degree=3), ends, x, x.pow(3)[..., None])
        >>> fitted = BSpline(grid=2, degree=3).values(x, ends)[:, 0] @ coefficients[0]
        >>> bool((fitted - x**3).abs().max() < 1e-14)
        True
    """
    return least_squares(basis.values(x, grid).transpose(0, 1), y.transpose(0, 1))


def _subdivide(grid: Tensor, cells: int) -> Tensor:
    """Equal cells between the ends of each row: shape (I, cells + 1)."""
    steps = torch.linspace(0, 1, cells + 1, dtype=grid.dtype, device=grid.device)
    return grid[:, :1] + (grid[:, -1:] - grid[:, :1]) * steps


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # a cached inference tensor could never be used in training
def _gauss_legendre(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES_PER_CELL)
    convert = {"dtype": dtype, "device": device}
    return torch.tensor((nodes + 1) / 2, **convert), torch.tensor(weights / 2, **convert)
