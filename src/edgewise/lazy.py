"""Modules that are imported when they are first used: SymPy and matplotlib take longer than the rest of the package."""

from __future__ import annotations

import importlib
from typing import Any


class LazyModule:
    """Stands for a module until one of its names is asked for.

    Args:
        name: of the module.

    Example:
        >>> from edgewise.lazy import LazyModule
        >>> LazyModule("math").sqrt(4.0)
        2.0
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """The module's attribute."""
        return getattr(importlib.import_module(self._name), attribute)
