"""What happened in a fit, step by step: a table, and why it ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from edgewise.lazy import LazyModule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from edgewise import plot
else:
    plot = LazyModule("edgewise.plot")

Reason = Literal["converged", "target", "patience", "max_time", "interrupted", "steps"]


@dataclass
class History:
    """The table of a fit.

    Args:
        rows: one per step: step, time (seconds since the start), train_loss, validation_loss (None without validation
            data), penalty, and the solver's own figures.
        reason: why the fit ended.
        detail: how the solver converged, in words, such as "the gradient vanishes"; empty where it did not.

    Example:
        >>> from edgewise.training import History
        >>> history = History()
        >>> history.append({"step": 1, "time": 0.1, "train_loss": 0.5, "validation_loss": None, "penalty": 0.0})
        >>> history.to_dict()["train_loss"]
        [0.5]
    """

    rows: list[dict[str, float | None]] = field(default_factory=list)
    reason: Reason = "steps"
    notes: tuple[str, ...] = ()
    detail: str = ""

    def append(self, row: dict[str, float | None]) -> None:
        """Add the row of a step."""
        self.rows.append(row)

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, float | None]]:
        """The rows in order."""
        return iter(self.rows)

    @property
    def last(self) -> dict[str, float | None]:
        """The last row, empty before the first step."""
        return self.rows[-1] if self.rows else {}

    def to_dict(self) -> dict[str, list[float | None]]:
        """Columns by name; a figure that a step did not report is None."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {name: [row.get(name) for row in self.rows] for name in names}

    def plot(self) -> Figure:
        """Losses over steps, on a logarithmic scale."""
        return plot.draw_history(self.to_dict())

    def __repr__(self) -> str:
        """One line: steps, last loss, reason."""
        loss = self.last.get("train_loss")
        shown = "" if loss is None else f", train_loss={loss:.3g}"
        return f"History({len(self)} steps{shown}, reason={self.reason!r})"
