"""`auto_symbolic`: name all edges of a trained network, and check every name on the whole model.

A name stays only if the network, refitted with it, predicts held-out data about as well as before; else it is undone
and reported. At the end constants that the data cannot tell from simple numbers become exact, and the rest is
refitted. Where that is not exact, names that were close are followed, too, and the naming of least description length
is taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from edgewise.errors import OptionError
from edgewise.network import Network
from edgewise.primitives import get_primitive
from edgewise.symbolic.constants import canonical, snapped
from edgewise.symbolic.description import size_of_network
from edgewise.symbolic.held_out import HeldOut
from edgewise.symbolic.naming_beam import CLOSE, Naming, NamingBeam, nameable_edges
from edgewise.symbolic.sharpen import sharpened
from edgewise.training import Loss

Model = TypeVar("Model", bound=Network)

TOLERANCE = 1.25  # factor by which a name may raise the root of the loss
_EXACT = 1e-10  # of the spread: the formula is found
_FINAL_STEPS = 200


def auto_symbolic(
    model: Model,
    data: Any,
    *,
    loss: str | Loss = "mse",
    primitives: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
    max_time: float | None = None,
    seed: int = 0,
) -> Model:
    """Name the edges of a trained network.

    Args:
        model: a trained network, best a pruned one; it is left as it is.
        data: what `fit` takes; a fifth of the rows (from 50 rows on) is held out to judge names by.
        loss: "mse", "cross_entropy" or a `Loss`; labels are smoothed a little, so that curves keep a shape.
        primitives: names to try; all registered ones if not given.
        tolerance: factor by which a name may raise the root of the held-out loss, 1 or more.
        max_time: stop naming after this many seconds; edges that are left stay numeric, and constants as they are.
        seed: fixes the hold-out.

    Returns:
        A new network. `model.options.notes` says for each edge what it was named, or which names were refused and why,
        and which other names would do about as well.

    Raises:
        DataError: the data cannot be used.
        OptionError: a name is unknown, or the tolerance is below 1.
        KeyboardInterrupt: Ctrl-C was pressed; the network is left as it is.

    Example:
        >>> import edgewise as ew
        >>> data = ew.create_dataset(lambda x: x[:, 0] ** 2, n_var=1)
        >>> model = ew.KAN([1, 1], seed=0)
        >>> history = model.fit(data)
        >>> model.auto_symbolic(data).symbolic_formula()
        x0**2

    Source: Liu et al., KAN (2024), section 2.5.1, with a test of the whole model in place of a threshold on R².
    """
    if tolerance < 1:
        raise OptionError(f"the tolerance is a factor of 1 or more, got {tolerance}")
    chosen = None if primitives is None else [get_primitive(name) for name in primitives]
    rows = HeldOut.split(model, data, loss, seed)
    deadline = math.inf if max_time is None else time.monotonic() + max_time
    sharp = sharpened(model, rows.x, rows.y, loss=rows.loss, held_out=(rows.x_held, rows.y_held), deadline=deadline)
    beam = NamingBeam(sharp, rows, chosen, tolerance=tolerance, deadline=deadline)
    first = beam.one_by_one()
    found = [_finished(first, rows, deadline)]
    reached = found[0].score
    if reached > _EXACT * rows.spread and time.monotonic() <= deadline:
        found += [_finished(naming, rows, deadline) for naming in beam.others(first, reached)]
    best = min(found, key=lambda each: (len(nameable_edges(each.model)), each.bits(rows)))
    notes = (*best.edges.values(), *best.constants, *_alternatives(best, found, rows))
    return best.model.rebuilt(best.model.all_layers, notes=notes)


def _alternatives(best: Naming[Any], found: Sequence[Naming[Any]], rows: HeldOut) -> Iterator[str]:
    """What the network may be as well, a line each."""
    for other in sorted(found, key=lambda each: each.bits(rows)):
        names = [line for edge, line in other.edges.items() if line != best.edges[edge]]
        curves = len(nameable_edges(other.model)) - len(nameable_edges(best.model))
        more = other.bits(rows) - best.bits(rows)
        if names and curves == 0 and more < CLOSE:
            errors = f"the error is {other.score:.3g} then, not {best.score:.3g}"
            yield f"nearly as good, {more:.1f} bits longer: {', '.join(names)}; {errors}"


def _finished(naming: Naming[Model], rows: HeldOut, deadline: float) -> Naming[Model]:
    """Canonical constants, all refitted, exact ones where the data allow."""
    final = canonical(naming.model)
    rows.refit(final, _FINAL_STEPS)
    if not rows.score(final) <= naming.score * TOLERANCE + rows.rounding:
        refused = "constants were left as they are: refitting them in canonical form did not keep the error"
        return replace(naming, constants=(refused,))
    notes: list[str] = []
    if not nameable_edges(final):
        final, notes = snapped(final, rows.x, rows.y, rows.loss, deadline=deadline)
        rows.refit(final, _FINAL_STEPS)
    return replace(Naming.of(final, rows, size_of_network(final)), edges=naming.edges, constants=tuple(notes))
