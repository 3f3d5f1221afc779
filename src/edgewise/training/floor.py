"""The error below which training cannot go: what splines of this grid and degree leave of a smooth function."""

from __future__ import annotations

from torch import Tensor

from edgewise.network import Network
from edgewise.surgery.spline_error import spline_errors

_STRAIGHT = 2  # functions of a straight line


def spline_floor(model: Network, x: Tensor) -> float:
    """Estimate the root mean square error that the model's splines leave, however long they are trained.

    A model whose error is near its floor needs a finer grid or a higher degree; one whose error is far above needs more
    steps, another start, or another width. It is an estimate from the fitted splines: good to a factor of about two
    where they have learned a smooth function, worthless before, and too low next to a kink or a singular point.

    Args:
        model: a network that has been trained.
        x: inputs, shape (N, I), N ≥ 1; those it was trained on.

    Returns:
        The floor, in the units of the outputs and as a root mean square over samples and outputs. Straight lines are
        meant to be straight and count as exact, as do edges that are no splines and cells of too few samples to tell.
        NaN where a spline of a higher degree has a single cell.

    Raises:
        ShapeError: x has another number of columns than the model has inputs.

    Example:
        >>> import edgewise as ew
        >>> from edgewise.training.floor import spline_floor
        >>> data = ew.create_dataset(lambda x: x[:, 0].exp(), n_var=1)
        >>> model = ew.KAN([1, 1], basis=ew.BSpline(grid=10))
        >>> history = model.fit(data)
        >>> 0.5 < spline_floor(model, data.train_input) / history.last["train_loss"] ** 0.5 < 2
        True

    Source: see `edgewise.surgery.spline_error.spline_errors`.
    """
    errors = spline_errors(model, x)
    return sum(float(errors[block].mean_square.sum()) for block in errors if block.basis.size > _STRAIGHT) ** 0.5
