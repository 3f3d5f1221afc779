"""In which floating type a network computes: its own, also where `torch.autocast` lowers that of other modules."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgewise.errors import PrecisionError


def in_precision(x: Tensor, expected: torch.dtype) -> Tensor:
    """An input in the floating type of a model.

    Args:
        x: any input.
        expected: the model's floating type.

    Returns:
        x as it is, or under `torch.autocast` converted: other modules may have lowered its precision.

    Raises:
        PrecisionError: x is not a tensor of the expected type; the message says how to convert.
    """
    if not isinstance(x, Tensor):
        raise PrecisionError(f"expected a tensor, got {type(x).__name__}; use torch.as_tensor(x, dtype={expected})")
    if x.dtype == expected:
        return x
    if x.is_floating_point() and _is_lowered(x):
        return x.to(expected)
    raise PrecisionError(f"the model computes in {expected}, got an input of {x.dtype}; use x.to({expected})")


def without_autocast(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Compute a function as if there were no `torch.autocast`.

    It is for functions that need all digits of their input: a cell of a grid and the place in it do not fit into the
    eight bits of bfloat16.

    Args:
        function: what is computed.
        x: its argument.

    Returns:
        The value at x.
    """
    if not _is_lowered(x):
        return function(x)
    with torch.autocast(x.device.type, enabled=False):
        return function(x)


def _is_lowered(x: Tensor) -> bool:
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
