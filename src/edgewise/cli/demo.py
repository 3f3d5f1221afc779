"""`edgewise demo`: the whole way on a bundled table."""

from __future__ import annotations

from pathlib import Path

import click

import edgewise
from edgewise import datasets
from edgewise.cli import parameters
from edgewise.cli.discover import SHOWN_DIGITS, formula_table, measured, named_model, search
from edgewise.cli.outputs import check_folder, staged
from edgewise.cli.report import show
from edgewise.expressions import as_text

_TABLE, _TARGET = "orbits.csv", "period_days"
_FILES = ("demo.kan", "demo.png")
_MAX_TIME = 40.0
_DENSITY = 200  # dots per inch of pictures


@click.command(
    short_help="The whole way on measurements that come with Edgewise.",
    epilog=parameters.example("edgewise demo --out demo/"),
)
@click.option("--out", metavar="FOLDER", default=".", show_default=True, help=f"Where to write {', '.join(_FILES)}.")
@parameters.seed
def demo(out: str, seed: int) -> None:
    """Find a formula in measurements of planets, moons and satellites that come with Edgewise.

    The same steps as `edgewise discover` takes with your table.
    """
    check_folder(out, _FILES)
    click.echo(f"table: {_TABLE}, target: {_TARGET}")
    data = edgewise.read_table(datasets.path(_TABLE), target=_TARGET, test_fraction=0, seed=seed)
    click.echo(f"{len(data.train_input)} rows; inputs: {', '.join(data.input_names)}")
    for note in data.notes:
        click.echo(f"note: {note}")
    found = search(data, max_time=_MAX_TIME, seed=seed)
    for stage in found.stages:
        click.echo(stage)
    show(formula_table(found))
    (score,) = measured(found, data)
    click.echo(as_text(_TARGET, found.formula, SHOWN_DIGITS))
    deviation = 100 * score.largest_relative_deviation
    click.echo(f"R² {score.r2:z.6f} over {score.rows} rows; largest relative deviation {deviation:.2g} %")
    model = named_model(found, data)
    with staged(out) as folder:
        model.save(folder / "demo.kan")
        model.plot().savefig(folder / "demo.png", dpi=_DENSITY)
    click.echo("written: " + ", ".join(str(Path(out) / name) for name in _FILES))
