"""`edgewise formula`: the formula that a network computes."""

from __future__ import annotations

import click

from edgewise.cli import parameters
from edgewise.cli.models import load_model
from edgewise.expressions import as_latex, as_text


@click.command(
    short_help="Print the formula of a network.",
    epilog=parameters.example("edgewise formula run/ --digits 4", "edgewise formula demo.kan --latex"),
)
@parameters.run
@click.option("--digits", type=click.IntRange(1, 17), help="Significant digits of constants. Default: all.")
@click.option("--latex", is_flag=True, help="As LaTeX.")
def formula(run: str, digits: int | None, latex: bool) -> None:
    """Print the formula of a RUN: a folder that fit or discover wrote, or a model file.

    All of the network's edges must be symbolic, as discover leaves them.
    """
    model = load_model(run)
    found = model.symbolic_formula(digits=digits)
    written = as_latex if latex else as_text
    for name, expression in zip(model.output_names, found if isinstance(found, list) else [found], strict=True):
        click.echo(written(name, expression, digits))
