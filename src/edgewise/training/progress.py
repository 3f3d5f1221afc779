"""Progress: one live line on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

_SECONDS_BETWEEN_LINES = 5.0

Row = dict[str, float | None]


class LiveLine:
    """Shows one line after the other: each in the place of the last on a terminal, one every few seconds in a log.

    Args:
        stream: where to write; standard error if not given.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.console = Console(file=sys.stderr if stream is None else stream)
        self.live = (
            Live(console=self.console, transient=False, auto_refresh=False) if self.console.is_terminal else None
        )
        self.shown_at = -_SECONDS_BETWEEN_LINES
        self.unshown: str | None = None

    def __enter__(self) -> Self:
        """Start the live line on a terminal."""
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen or in the log."""
        if self.live is not None:
            self.live.stop()
        elif self.unshown is not None:
            self._write(self.unshown)

    def write(self, line: str) -> None:
        """Show a line: at once on a terminal, every few seconds in a log."""
        if self.live is not None:
            self.live.update(Text(line), refresh=True)
            return
        now = time.monotonic()
        if now - self.shown_at >= _SECONDS_BETWEEN_LINES:
            self.shown_at = now
            self._write(line)
        else:
            self.unshown = line

    def _write(self, line: str) -> None:
        self.unshown = None
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class Progress(LiveLine):
    """Shows rows of a history as they come.

    Args:
        steps: the most steps there can be.
        stream: where to write; standard error if not given.
    """

    def __init__(self, steps: int, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self.steps = steps

    def show(self, row: Row) -> None:
        """Show a row of a history."""
        self.write(describe(row, self.steps))


def describe(row: Row, steps: int) -> str:
    """A row of a history as one line."""
    parts: list[tuple[str, str, Callable[[float], str]]] = [
        ("train_loss", "train", lambda value: f"{value:.3e}"),
        ("validation_loss", "validation", lambda value: f"{value:.3e}"),
        ("penalty", "penalty", lambda value: f"{value:.2e}"),
        ("time", "", lambda value: f"{value:.1f} s"),
    ]
    shown = [f"step {int(row['step'] or 0)}/{steps}"]
    for name, label, form in parts:
        value = row.get(name)
        if value is not None and not (name == "penalty" and value == 0):
            shown.append(f"{label} {form(value)}".strip())
    return "  ".join(shown)
