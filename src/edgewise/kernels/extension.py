"""The compiled extension, and what can be said of it. Its source is in csrc/."""

from __future__ import annotations

import importlib
from typing import Any

import torch

module: Any = None
_ERROR = ""
try:
    module = importlib.import_module("edgewise.kernels._cpu")
except ImportError as error:  # without a compiler the installation is complete, only slower
    _ERROR = str(error)

TYPES = (torch.float32, torch.float64)


def why_missing() -> str | None:
    """Why there is no extension; None where there is one."""
    if module is not None:
        return None
    return f"the C++ extension is not installed ({_ERROR}); install Edgewise where GCC or Clang is at hand"


def instruction_sets() -> list[str]:
    """What this processor can run of what was built, the one in use first; empty without the extension.

    Returns:
        Names such as "AVX-512".
    """
    if module is None:
        return []
    used = module.in_use()
    return [used, *(name for name in module.instruction_sets() if name != used)]
