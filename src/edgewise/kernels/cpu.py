"""The C++ kernels for B-splines on the CPU, where the installation has them.

For x in a cell only degree + 1 splines differ from zero, so the work does not grow with the grid. The source is in
csrc/, one file for each direction. The results are the same, bit for bit, for any number of threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor as _is_legacy_batchedtensor

from edgewise.basis import Basis, BSpline
from edgewise.errors import ShapeError
from edgewise.kernels import extension


class CpuBackend:
    """B-splines of every degree, any order of derivative, in float32 and float64."""

    name = "cpu"
    tolerances: Mapping[torch.dtype, float] = {torch.float32: 3e-5, torch.float64: 2e-13}

    def why_not(self, basis: Basis, order: int, tensors: Sequence[Tensor | None]) -> str | None:
        """Why this backend cannot serve a call; None if it can."""
        del order
        x = tensors[0]
        if extension.module is None:
            return extension.why_missing()
        if not isinstance(basis, BSpline):
            return f"it serves B-splines, not {type(basis).__name__}"
        if x is None or not x.is_cpu:
            return "it serves tensors on the CPU"
        if x.dtype not in extension.TYPES:
            return f"it computes in float32 and float64, not {x.dtype}"
        if x.dim() != 2 or any(tensor is not None and _is_legacy_batchedtensor(tensor) for tensor in tensors):
            return "it serves one set of coefficients at a time, and this call is mapped over several"
        return None

    def apply(self, x: Tensor, c: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int) -> Tensor:
        """See `edgewise.kernels.apply`."""
        y = x.new_empty((x.shape[0], c.shape[-1]))
        _run("apply", basis, order, y.shape[1], {"grid": grid, "x": x, "c": c, "v": v, "e": None, "w": None}, y)
        return y

    def apply_with_base(self, x: Tensor, c: Tensor, e: Tensor, w: Tensor, grid: Tensor, basis: Basis) -> Tensor:
        """See `edgewise.kernels.apply_with_base`."""
        y = x.new_empty((x.shape[0], c.shape[-1]))
        _run("apply", basis, 0, y.shape[1], {"grid": grid, "x": x, "c": c, "v": None, "e": e, "w": w}, y)
        return y

    def pullback(self, x: Tensor, c: Tensor, g: Tensor, grid: Tensor, basis: Basis, order: int) -> Tensor:
        """See `edgewise.kernels.pullback`."""
        u = x.new_empty(x.shape)
        _run("pullback", basis, order, g.shape[-1], {"grid": grid, "x": x, "c": c, "g": g}, u)
        return u

    def coefficient_gradient(
        self, x: Tensor, g: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int
    ) -> Tensor:
        """See `edgewise.kernels.coefficient_gradient`."""
        along_c = x.new_empty((x.shape[1], basis.size, g.shape[-1]))
        _run("coefficient_gradient", basis, order, g.shape[-1], {"grid": grid, "x": x, "g": g, "v": v}, along_c)
        return along_c

    def gradients(
        self, x: Tensor, c: Tensor, g: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int
    ) -> tuple[Tensor, Tensor]:
        """The pullback at the next order and the coefficient gradient, in one pass over the samples."""
        u, along_c = x.new_empty(x.shape), x.new_empty(c.shape)
        _run("gradients", basis, order, g.shape[-1], {"grid": grid, "x": x, "c": c, "g": g, "v": v}, u, along_c)
        return u, along_c


def _run(
    operation: str, basis: Basis, order: int, outputs: int, given: dict[str, Tensor | None], *results: Tensor
) -> None:
    """Fill the results of one contraction; the arrays are given in the order of the C++ function."""
    assert isinstance(basis, BSpline)
    x, grid = given["x"], given["grid"]
    assert x is not None
    assert grid is not None
    batch, inputs = x.shape
    uniform = basis.check_grid(grid)
    shapes = {
        "grid": (inputs, grid.shape[1]),
        "x": (batch, inputs),
        "c": (inputs, basis.size, outputs),
        "g": (batch, outputs),
        "v": (batch, inputs),
        "e": (batch, inputs),
        "w": (inputs, outputs),
    }
    arrays, addresses = [], []
    for name, tensor in given.items():
        if tensor is None:
            addresses.append(0)
            continue
        if tensor.shape != shapes[name] or tensor.dtype != x.dtype or tensor.device != x.device:
            raise ShapeError(
                f"{name} must be {shapes[name]} of {x.dtype} on {x.device}, "
                f"got {tuple(tensor.shape)} of {tensor.dtype} on {tensor.device}"
            )
        arrays.append(tensor.contiguous())  # which must live as long as its address is used
        addresses.append(arrays[-1].data_ptr())
    if 0 in (batch, inputs, outputs):
        for result in results:
            result.zero_()
        return
    sizes = (batch, inputs, outputs, basis.grid, basis.degree, order, uniform, torch.get_num_threads())
    wide = x.dtype == torch.float64
    getattr(extension.module, operation)(sizes, wide, *addresses, *(result.data_ptr() for result in results))
