"""`edgewise discover`: from a table to a formula."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import edgewise
from edgewise.cli import parameters
from edgewise.cli.models import MODEL_FILE, load_model
from edgewise.cli.outputs import check_folder, staged
from edgewise.cli.report import Score, new_table, score_table, scores, show
from edgewise.errors import DataError
from edgewise.expressions import as_text, expression_text

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from edgewise.data import Dataset
    from edgewise.discovery import Discovery
    from edgewise.kan import KAN

_FILES = (MODEL_FILE, "formula.txt", "formulas.csv", "formulas.tex", "network.png")
_DENSITY = 200  # dots per inch of pictures
SHOWN_DIGITS = 6
_FIGURES = ("complexity", "loss", "r2", "description_length")


@click.command(
    short_help="From a table to a formula.",
    epilog=parameters.example(
        "edgewise discover orbits.csv --target period_days --out run/",
        "edgewise discover drag.csv --target F --inputs rho,v,d --units kg/m^3,m/s,m,N --weights w",
        "edgewise discover data.csv --target y --forbid tan,abs --max-complexity 20 --start run/",
    ),
)
@parameters.table
@click.option("--target", required=True, help="Column to predict.")
@parameters.inputs
@click.option("--units", type=parameters.NamesType(), help="Of all inputs and, last, the target, such as kg,m/s,J.")
@click.option("--weights", metavar="COLUMN", help="Column that says how much each row counts, such as 1/error².")
@click.option("--noise", type=click.FloatRange(0), help="Standard deviation of the target's errors.  [default: judged]")
@click.option("--robust", is_flag=True, help="Leave out rows that are far from what the others say.")
@click.option("--functions", type=parameters.NamesType(), help="Functions that may occur, such as sin,x^2,1/x.")
@click.option("--forbid", type=parameters.NamesType(), help="Functions that may not occur.")
@click.option("--max-complexity", type=click.IntRange(1), help="The most nodes of a formula.")
@click.option(
    "--pick",
    type=click.Choice(["best", "accuracy", "simplest"]),
    default="best",
    show_default=True,
    help="Which formula to take.",
)
@click.option("--start", metavar="RUN", help="A run or model file whose formula to begin with.")
@click.option("--jobs", type=click.IntRange(-1), default=1, show_default=True, help="Processes; -1 for all cores.")
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
    data, weights = _read(table, target, options)
    start = _start(options, data)
    click.echo(repr(data))
    for note in data.notes:
        click.echo(f"note: {note}")
    found = search(
        data,
        weights=weights,
        units=_units(options, data),
        noise="auto" if options["noise"] is None else options["noise"],
        robust=options["robust"],
        primitives=options["functions"],
        forbidden=options["forbid"] or (),
        max_complexity=options["max_complexity"],
        model_selection=options["pick"],
        start=start,
        jobs=options["jobs"],
        max_time=options["max_time"],
        seed=options["seed"],
    )
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
        (folder / "formulas.tex").write_text(found.latex() + "\n", encoding="utf-8")
        _write_formulas(folder / "formulas.csv", found)
        model.plot().savefig(folder / "network.png", dpi=_DENSITY)
    click.echo("written: " + ", ".join(str(Path(out) / name) for name in _FILES))


def _read(table: str, target: str, options: dict[str, Any]) -> tuple[Dataset, Tensor | None]:
    """The table, and the column of weights, which is no input."""
    column, inputs = options["weights"], options["inputs"]
    read = partial(
        edgewise.read_table, table, target=target, test_fraction=options["test_fraction"], seed=options["seed"]
    )
    if column is None:
        return read(inputs=inputs), None
    data = read(inputs=None if inputs is None else (*(name for name in inputs if name != column), column))
    if column not in data.input_names:
        left_out = [note for note in data.notes if note.startswith(f"column {column!r} ")]
        missing = f"there is no column {column!r}; there are {', '.join(data.input_names)}"
        raise click.UsageError(f"--weights: {left_out[0] if left_out else missing}")
    place = data.input_names.index(column)
    weights = data.train_input[:, place]
    if bool((weights < 0).any()):
        least = float(weights.min())
        raise DataError(f"{table}: the weights in column {column!r} go down to {least:g}; expected 0 or more")
    kept = [index for index in range(len(data.input_names)) if index != place]
    if not kept:
        raise click.UsageError(f"no inputs are left beside the weights {column} and the target {target}")
    rest = replace(
        data,
        train_input=data.train_input[:, kept],
        test_input=data.test_input[:, kept],
        input_names=tuple(data.input_names[index] for index in kept),
    )
    return rest, weights


def _start(options: dict[str, Any], data: Dataset) -> Sequence[KAN]:
    """The network to begin with, if there is one: symbolic, and of the inputs of the table."""
    path = options["start"]
    if path is None:
        return ()
    model = load_model(path)
    if model.input_names != data.input_names:
        raise click.UsageError(
            f"--start: the inputs of {path} are {', '.join(model.input_names)}, those of the search "
            f"{', '.join(data.input_names)}; they have to be the same, in the same order (--inputs)"
        )
    if not model.is_symbolic:
        raise click.UsageError(f"--start: the network of {path} has edges without names; give one that discover wrote")
    return (model,)


def _units(options: dict[str, Any], data: Dataset) -> Sequence[str] | None:
    """The units of the inputs that are left and of the target: columns of --inputs that tell nothing go with theirs."""
    units, inputs = options["units"], options["inputs"]
    if units is None:
        return None
    named = [name for name in inputs or data.input_names if name != options["weights"]]
    if len(units) != len(named) + 1:
        raise click.UsageError(
            f"--units: {len(named) + 1} are needed, those of {', '.join(named)} and {data.target_names[0]}, in this "
            f"order, with 1 for a pure number; got {len(units)}: {', '.join(units)}"
        )
    *of_inputs, of_target = units
    known = dict(zip(named, of_inputs, strict=True))
    return [*(known[name] for name in data.input_names), of_target]


def search(data: Dataset, **options: Any) -> Discovery:
    """Look for formulas in the training rows, and show the progress.

    Args:
        data: one target.
        **options: of `edgewise.discover`.

    Returns:
        The `Discovery`.
    """
    y = data.train_target[:, 0]
    return edgewise.discover(data.train_input, y, names=data.input_names, progress=True, **options)


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
            expression_text(record.formula, SHOWN_DIGITS),
        )
    return table


def _write_formulas(file: Path, found: Discovery) -> None:
    """All formulas with their figures."""
    with file.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow([*_FIGURES, "pick", "formula"])
        for record in found.formulas:
            figures = [getattr(record, name) for name in _FIGURES]
            writer.writerow([*figures, "yes" if record.pick else "no", expression_text(record.formula)])
