"""Edgewise: Kolmogorov–Arnold networks from a table to a formula.

Names are loaded when they are first used, so that importing the package is quick. This list is the public API.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewise.basis import BSpline, Chebyshev, Fourier, Gaussian, MexicanHat
    from edgewise.data import Dataset, create_dataset, from_frame, read_table
    from edgewise.discovery import Discovery, discover
    from edgewise.errors import (
        DataError,
        DomainError,
        EdgeError,
        EdgewiseError,
        ModelFileError,
        OptionError,
        PrecisionError,
        ShapeError,
        SymbolicError,
    )
    from edgewise.estimators import KANRegressor
    from edgewise.kan import KAN, load
    from edgewise.network import KANLayer
    from edgewise.primitives import Primitive, get_primitive, register_primitive
    from edgewise.symbolic import formula_function
    from edgewise.training import (
        LBFGS,
        Adam,
        Anchor,
        History,
        LevenbergMarquardt,
        Smoothness,
        Sparsity,
        fit,
        fit_multilevel,
        prediction_intervals,
        remember,
        spline_floor,
        standard_errors,
    )

_HOMES = {
    "Adam": "training",
    "Anchor": "training",
    "BSpline": "basis",
    "Chebyshev": "basis",
    "DataError": "errors",
    "Discovery": "discovery",
    "Dataset": "data",
    "DomainError": "errors",
    "EdgeError": "errors",
    "EdgewiseError": "errors",
    "Fourier": "basis",
    "Gaussian": "basis",
    "History": "training",
    "KAN": "kan",
    "KANLayer": "network",
    "KANRegressor": "estimators",
    "LBFGS": "training",
    "LevenbergMarquardt": "training",
    "MexicanHat": "basis",
    "ModelFileError": "errors",
    "OptionError": "errors",
    "PrecisionError": "errors",
    "Primitive": "primitives",
    "ShapeError": "errors",
    "Smoothness": "training",
    "Sparsity": "training",
    "SymbolicError": "errors",
    "create_dataset": "data",
    "discover": "discovery",
    "fit": "training",
    "fit_multilevel": "training",
    "formula_function": "symbolic",
    "spline_floor": "training",
    "standard_errors": "training",
    "from_frame": "data",
    "get_primitive": "primitives",
    "load": "kan",
    "prediction_intervals": "training",
    "read_table": "data",
    "register_primitive": "primitives",
    "remember": "training",
}

__version__ = "0.1.0"

__all__ = [
    "KAN",
    "LBFGS",
    "Adam",
    "Anchor",
    "BSpline",
    "Chebyshev",
    "DataError",
    "Dataset",
    "Discovery",
    "DomainError",
    "EdgeError",
    "EdgewiseError",
    "Fourier",
    "Gaussian",
    "History",
    "KANLayer",
    "KANRegressor",
    "LevenbergMarquardt",
    "MexicanHat",
    "ModelFileError",
    "OptionError",
    "PrecisionError",
    "Primitive",
    "ShapeError",
    "Smoothness",
    "Sparsity",
    "SymbolicError",
    "create_dataset",
    "discover",
    "fit",
    "fit_multilevel",
    "formula_function",
    "from_frame",
    "get_primitive",
    "load",
    "prediction_intervals",
    "read_table",
    "register_primitive",
    "remember",
    "spline_floor",
    "standard_errors",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'edgewise' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edgewise.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
