"""`edgewise discover`: from a table to a formula."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

import edgewise
from edgewise.cli import parameters
from edgewise.cli.expressions import as_text, expression_text
from edgewise.cli.models import MODEL_FILE
from edgewise.cli.outputs import check_folder, staged
from edgewise.cli.report import Score, new_table, score_table, scores, show

if TYPE_CHECKING:
    from rich.table import Table

    from edgewise.data import Dataset
    from edgewise.discovery import Discovery
    from edgewise.kan import KAN

_FILES = (MODEL_FILE, "formula.txt", "formulas.csv", "network.png")
_DENSITY = 200  # dots per inch of pictures
SHOWN_DIGITS = 6
_FIGURES = ("complexity", "loss", "r2", "description_length")


@click.command(
    short_help="From a table to a formula.",
    epilog=parameters.example("edgewise discover orbits.csv --target period_days --out run/"),
)
@parameters.table
@click.option("--target", required=True, help="Column to predict.")
@parameters.inputs
@parameters.test_fraction(0.0)
@parameters.max_time
@parameters.seed
@click.option("--out", metavar="FOLDER", help=f"Where to write {', '.join(_FILES)}.")
def discover(table: str, target: str, out: str | None, **options: Any) -> None:
    """Find the formula behind a column of a TABLE: a CSV file with the names of its columns in the first row.

    Shows the best formula of each complexity, and picks one.
    """
    if out is not None:
        check_folder(out, _FILES)
    data = edgewise.read_table(
        table, target=target, inputs=options["inputs"], test_fraction=options["test_fraction"], seed=options["seed"]
    )
    click.echo(repr(data))
    for note in data.notes:
        click.echo(f"note: {note}")
    found = search(data, max_time=options["max_time"], seed=options["seed"])
    for stage in found.stages:
        click.echo(stage)
    show(formula_table(found))
    click.echo(as_text(target, found.formula, SHOWN_DIGITS))
    show(score_table(measured(found, data)))
    if out is None:
        return
    model = named_model(found, data)
    with staged(out) as folder:
        model.save(folder / MODEL_FILE)
        (folder / "formula.txt").write_text(as_text(target, found.formula) + "\n", encoding="utf-8")
        _write_formulas(folder / "formulas.csv", found)
        model.plot().savefig(folder / "network.png", dpi=_DENSITY)
    click.echo("written: " + ", ".join(str(Path(out) / name) for name in _FILES))


def search(data: Dataset, *, max_time: float, seed: int) -> Discovery:
    """Look for formulas in the training rows.

    Args:
        data: one target.
        max_time: seconds.
        seed: of all chance.

    Returns:
        The `Discovery`.
    """
    with Console(stderr=True).status(f"looking for formulas, at most {max_time:g} s"):
        return edgewise.discover(
            data.train_input, data.train_target[:, 0], names=data.input_names, max_time=max_time, seed=seed
        )


def named_model(found: Discovery, data: Dataset) -> KAN:
    """The network of the picked formula, its output named after the target.

    Args:
        found: the `Discovery`.
        data: what it was found in.

    Returns:
        The network.
    """
    return found.model.rebuilt(found.model.all_layers, output_names=data.target_names)


def measured(found: Discovery, data: Dataset) -> list[Score]:
    """Scores of the picked formula.

    Args:
        found: the `Discovery`.
        data: what it was found in.

    Returns:
        The scores on the training rows, then those on the test rows, if there are any.
    """
    return [
        score
        for part in ("train", "test")
        if len(data[f"{part}_input"])
        for score in scores(
            found.predict(data[f"{part}_input"]).reshape(-1, 1),
            data[f"{part}_target"],
            part=part,
            targets=data.target_names,
        )
    ]


def formula_table(found: Discovery) -> Table:
    """The formulas, simplest first, with a mark at the pick.

    Args:
        found: the `Discovery`.

    Returns:
        The table.
    """
    table = new_table("", "complexity", "loss", "R²", "bits", "formula", right=("complexity", "loss", "R²", "bits"))
    for record in found.formulas:
        table.add_row(
            "→" if record.pick else "",
            f"{record.complexity:g}",
            f"{record.loss:.3g}",
            f"{record.r2:z.6f}",
            f"{record.description_length:.0f}",
            expression_text(record.expression, SHOWN_DIGITS),
        )
    return table


def _write_formulas(file: Path, found: Discovery) -> None:
    """All formulas with their figures."""
    with file.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow([*_FIGURES, "pick", "formula"])
        for record in found.formulas:
            figures = [getattr(record, name) for name in _FIGURES]
            writer.writerow([*figures, "yes" if record.pick else "no", expression_text(record.expression)])
