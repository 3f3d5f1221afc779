"""What a full run of an example leaves behind: a table that says machine, date and command, and pictures."""

from __future__ import annotations

import argparse
import datetime
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

FOLDER = Path(__file__).parents[1] / "benchmarks" / "results" / "examples"


@dataclass(frozen=True)
class Settings:
    """What the command line of an example says.

    Args:
        name: of the example, and of its files.
        quick: whether to run at reduced size, for a first look; nothing is written then unless a folder is given.
        out: where tables and pictures go; None to write nothing.
    """

    name: str
    quick: bool
    out: Path | None

    @classmethod
    def parse(cls, name: str, about: str, arguments: Sequence[str] | None = None) -> Settings:
        """Read the options that all examples have."""
        parser = argparse.ArgumentParser(prog=f"python examples/{name}.py", description=about)
        parser.add_argument("--quick", action="store_true", help="reduced size: seconds instead of minutes")
        parser.add_argument("--out", type=Path, help=f"folder for the table and pictures (full runs: {FOLDER.name}/)")
        given = parser.parse_args(arguments)
        return cls(name, given.quick, given.out or (None if given.quick else FOLDER))

    def show(self, title: str, rows: Sequence[dict[str, Any]], note: str = "") -> None:
        """Print a table, and write it with machine, date and command to NAME.md.

        Args:
            title: the heading.
            rows: cells by the name of their column; all rows have the same columns.
            note: a paragraph under the table.
        """
        table = markdown(rows)
        print(f"{title}\n\n{table}\n{note}")
        if self.out is None:
            return
        command = f"python examples/{self.name}.py" + (" --quick" if self.quick else "")
        today = f"{datetime.datetime.now(datetime.UTC).date()}"
        machine = f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
        self.out.mkdir(parents=True, exist_ok=True)
        text = f"# {title}\n\n`{command}` on {today}; {machine}.\n\n{table}\n" + (f"\n{note}\n" if note else "")
        (self.out / f"{self.name}.md").write_text(text, encoding="utf-8")

    def draw(self, figure: Figure, name: str | None = None) -> None:
        """Write a picture to NAME.png."""
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
            figure.savefig(self.out / f"{name or self.name}.png", dpi=150, bbox_inches="tight")


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """A table in Markdown."""
    header = list(rows[0])
    lines = [header, ["---"] * len(header), *([_cell(row[key]) for key in header] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def processor() -> str:
    """The name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
