"""What a run has to tell: scores in the user's units, versions, tables on the screen and report.json."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import edgewise

if TYPE_CHECKING:
    from torch import Tensor

_WIDTH = 160  # of tables in files and pipes, which have no width of their own
_LIBRARIES = ("torch", "numpy", "sympy")


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well one target is predicted on some rows.

    Attributes:
        target: its name.
        part: of the table, "train" or "test".
        rows: their number.
        rmse: root mean square error, in the target's units.
        r2: share of the target's variance that is explained; NaN where it does not vary.
        largest_relative_deviation: over the rows where the target is not 0.
    """

    target: str
    part: str
    rows: int
    rmse: float
    r2: float
    largest_relative_deviation: float


def scores(predicted: Tensor, y: Tensor, *, part: str, targets: Sequence[str]) -> list[Score]:
    """Compare predictions with a table.

    Args:
        predicted: shape (N, m).
        y: what the table says, shape (N, m).
        part: what to call these rows.
        targets: m names.

    Returns:
        One score per target; none if there are no rows.

    Example:
        >>> import torch
        >>> y = torch.tensor([[1.0], [3.0]])
        >>> scores(y + torch.tensor([[0.0], [0.3]]), y, part="test", targets=["y"])[0].largest_relative_deviation
        0.1
    """
    if not len(y):
        return []
    errors = (predicted - y).square()
    rmse = errors.mean(dim=0).sqrt().tolist()
    spread = (y - y.mean(dim=0)).square().sum(dim=0)
    r2 = (1 - errors.sum(dim=0) / spread.where(spread > 0, math.nan)).tolist()
    relative = (predicted / y - 1).abs().where(y != 0, 0).amax(dim=0).tolist()
    return [
        Score(
            target=target,
            part=part,
            rows=len(y),
            rmse=rmse[index],
            r2=r2[index],
            largest_relative_deviation=relative[index],
        )
        for index, target in enumerate(targets)
    ]


def versions() -> dict[str, str]:
    """Which versions are at work.

    Returns:
        Versions by name.
    """
    here = {"edgewise": edgewise.__version__, "python": platform.python_version()}
    return here | {library: version(library) for library in _LIBRARIES}


def show(table: Table) -> None:
    """Print a table to standard output.

    Args:
        table: its cells are shown as they are, whatever brackets and colons are in them.
    """
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH
    Console(markup=False, emoji=False, highlight=False, width=width).print(table)


def score_table(all_scores: Sequence[Score]) -> Table:
    """Scores as a table.

    Args:
        all_scores: one row each.

    Returns:
        The table.
    """
    table = new_table("target", "rows", "RMSE", "R²", right=("RMSE", "R²"))
    for score in all_scores:
        r2 = "" if math.isnan(score.r2) else f"{score.r2:z.6f}"
        table.add_row(score.target, f"{score.rows} {score.part}", f"{score.rmse:.6g}", r2)
    return table


def new_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """An empty table in the look that all commands share.

    Args:
        *columns: their headings.
        right: those whose cells are numbers.

    Returns:
        The table.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def write_report(file: Path, report: dict[str, Any]) -> None:
    """Write report.json.

    Args:
        file: its path.
        report: plain data and scores; numbers that JSON does not have become null.
    """
    report = {**report, "versions": versions()}
    text = json.dumps(_plain(report), indent=2, ensure_ascii=False, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Data as JSON has it."""
    if isinstance(value, Score):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
