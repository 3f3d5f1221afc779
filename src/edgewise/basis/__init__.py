"""Univariate function families: one file each, one protocol (`Basis`)."""

from edgewise.basis.basis import (
    Basis,
    basis_from_dict,
    basis_from_key,
    fit_curve,
    gram,
    least_squares,
    projection,
    quadrature,
)
from edgewise.basis.bspline import BSpline
from edgewise.basis.chebyshev import Chebyshev
from edgewise.basis.fourier import Fourier
from edgewise.basis.gaussian import Gaussian
from edgewise.basis.mexican_hat import MexicanHat

__all__ = [
    "BSpline",
    "Basis",
    "Chebyshev",
    "Fourier",
    "Gaussian",
    "MexicanHat",
    "basis_from_dict",
    "basis_from_key",
    "fit_curve",
    "gram",
    "least_squares",
    "projection",
    "quadrature",
]
