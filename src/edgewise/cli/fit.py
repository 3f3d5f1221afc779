"""`edgewise fit`: from a table to a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import edgewise
from edgewise.cli import parameters
from edgewise.cli.models import MODEL_FILE
from edgewise.cli.outputs import check_folder, staged
from edgewise.cli.report import Score, score_table, scores, show, write_report

if TYPE_CHECKING:
    from edgewise.basis import Basis
    from edgewise.data import Dataset
    from edgewise.discovery import TableFit
    from edgewise.kan import KAN

_FILES = (MODEL_FILE, "network.png", "report.json")
_DENSITY = 200  # dots per inch of pictures


@click.command(
    short_help="From a table to a network.",
    epilog=parameters.example(
        "edgewise fit yacht.csv --target residuary_resistance --out run/",
        "edgewise fit data.csv --target y --inputs a,b --width 5,1 --basis bspline:10:3",
    ),
)
@parameters.table
@click.option("--target", required=True, multiple=True, help="Column to predict; may be given several times.")
@parameters.inputs
@click.option("--width", type=parameters.WidthType(), help="Nodes of each layer behind the inputs, such as 5,1.")
@click.option(
    "--basis",
    type=parameters.BasisType(),
    help="bspline[:grid:degree], chebyshev[:degree], fourier[:terms], gaussian[:centers] or mexicanhat[:scales].",
)
@parameters.test_fraction(0.2)
@parameters.max_time
@parameters.seed
@click.option("--out", metavar="FOLDER", help=f"Where to write {', '.join(_FILES)}.")
def fit(table: str, target: tuple[str, ...], out: str | None, **options: Any) -> None:
    """Train a network on a TABLE: a CSV file with the names of its columns in the first row.

    Part of the rows is kept for the test. The network takes and gives the units of the table.
    """
    if out is not None:
        check_folder(out, _FILES)
    data = edgewise.read_table(
        table, target=target, inputs=options["inputs"], test_fraction=options["test_fraction"], seed=options["seed"]
    )
    width = _width(options["width"], data)
    click.echo(repr(data))
    for note in data.notes:
        click.echo(f"note: {note}")
    from edgewise.discovery import fit_table  # noqa: PLC0415 - takes seconds, and the table may be wrong

    fitted = fit_table(
        data.train_input,
        data.train_target,
        width=width,
        basis=options["basis"],
        max_time=options["max_time"],
        seed=options["seed"],
        input_names=data.input_names,
        output_names=data.target_names,
    )
    for note in fitted.notes:
        click.echo(f"note: {note}")
    measured = _measured(fitted.model, data)
    show(score_table(measured))
    if out is None:
        return
    report = _report(table, data, fitted, measured, options)
    with staged(out) as stage:
        fitted.model.save(stage / MODEL_FILE)
        fitted.model.plot().savefig(stage / "network.png", dpi=_DENSITY)
        write_report(stage / "report.json", report)
    click.echo("written: " + ", ".join(str(Path(out) / name) for name in _FILES))


def _width(layers: tuple[int | list[int], ...] | None, data: Dataset) -> list[Any] | None:
    """The network's width, inputs first."""
    if layers is None:
        return None
    outputs = sum(layers[-1]) if isinstance(layers[-1], list) else layers[-1]
    if outputs != len(data.target_names):
        raise click.BadParameter(
            f"the last layer has {outputs} nodes; it needs one for each of {len(data.target_names)} targets",
            param_hint="'--width'",
        )
    return [len(data.input_names), *layers]


def _measured(model: KAN, data: Dataset) -> list[Score]:
    """Scores on the training rows, then on the test rows."""
    return [
        score
        for part in ("train", "test")
        for score in scores(
            model(data[f"{part}_input"]).detach(), data[f"{part}_target"], part=part, targets=data.target_names
        )
    ]


def _report(
    table: str, data: Dataset, fitted: TableFit, measured: list[Score], options: dict[str, Any]
) -> dict[str, Any]:
    """What report.json says; the table by its name alone, so that the folder can be handed on."""
    basis: Basis | None = options["basis"]
    return {
        "command": "fit",
        "table": Path(table).name,
        "inputs": data.input_names,
        "targets": data.target_names,
        "rows": {"train": len(data.train_input), "test": len(data.test_input)},
        "options": options | {"basis": None if basis is None else basis.to_dict()},
        "width": fitted.model.width,
        "training": {"steps": len(fitted.history), "ended": fitted.history.reason},
        "scores": measured,
        "notes": [*data.notes, *fitted.notes],
    }
