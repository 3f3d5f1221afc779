"""Base functions: the optional fixed curve b(x) of an edge, φ(x) = w·b(x) + Σ_g c_g B_g(x).

Source: Liu et al., KAN (2024), equations 2.10 and 2.11.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgewise.errors import OptionError

BaseFunction = Callable[[Tensor], Tensor]
Base = str | BaseFunction | None


def _identity(x: Tensor) -> Tensor:
    return x


# Functions with names: layers that hold them can be pickled.
_NAMED: dict[str, BaseFunction] = {
    "identity": _identity,
    "silu": torch.nn.functional.silu,
}


def base_function(base: Base) -> BaseFunction | None:
    """The function that a base option names.

    Args:
        base: "silu", "identity", None, or an elementwise differentiable callable of a tensor.

    Returns:
        The function, or None.

    Raises:
        OptionError: the name is unknown.
    """
    if base is None or callable(base):
        return base
    if base in _NAMED:
        return _NAMED[base]
    raise OptionError(f"unknown base function {base!r}; use {', '.join(map(repr, _NAMED))}, None or a callable")


def derivative(function: BaseFunction, x: Tensor) -> Tensor:
    """The first derivative of an elementwise function at x, detached."""
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(function(at).sum(), at)
    return slope
