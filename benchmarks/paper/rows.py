"""Results that outlive an interruption: one line of JSON per finished measurement, in a file that only grows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str, int]


def key(row: Row) -> Key:
    """What makes a measurement the same one: case, contender and seed."""
    return row["case"], row["contender"], row["seed"]


class Rows:
    """The rows of one table. Of several with the same key the last counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[Key, Row] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                row = _parsed(line)
                if row is not None:
                    self._rows[key(row)] = row

    def get(self, wanted: Key) -> Row | None:
        """The row with a key, or None."""
        return self._rows.get(wanted)

    def of(self, case: str, contender: str) -> list[Row]:
        """The rows of all seeds, in their order."""
        return sorted((row for row in self._rows.values() if key(row)[:2] == (case, contender)), key=key)

    def all(self) -> list[Row]:
        """Every row."""
        return list(self._rows.values())

    def append(self, row: Row) -> None:
        """Add a row, on disk before this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            if file.tell() and not self.path.read_bytes().endswith(b"\n"):
                file.write(b"\n")  # what an interruption cut off stays a line of its own
            file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        self._rows[key(row)] = row

    def drop(self, unwanted: Callable[[Row], bool]) -> None:
        """Forget rows, on disk too."""
        self._rows = {of: row for of, row in self._rows.items() if not unwanted(row)}
        if self.path.exists():
            fresh = self.path.with_suffix(".new")
            fresh.write_text("".join(json.dumps(row) + "\n" for row in self._rows.values()), encoding="utf-8")
            fresh.replace(self.path)


def _parsed(line: str) -> Row | None:
    """The row in a line; None where the line was cut off."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None
