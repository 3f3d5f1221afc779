"""The group of all subcommands.

Nothing here or at the top of their files loads torch, so that `--help` and misspelt options are answered at once: what
computes is reached through the lazy names of `edgewise`, or imported where it is used.
"""

import click

import edgewise
from edgewise.cli.demo import demo
from edgewise.cli.discover import discover
from edgewise.cli.errors import OneLineErrors
from edgewise.cli.fit import fit
from edgewise.cli.formula import formula
from edgewise.cli.info import info
from edgewise.cli.parameters import example
from edgewise.cli.plot import plot


@click.group(
    cls=OneLineErrors,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example("edgewise demo", "edgewise discover data.csv --target y --out run/"),
)
@click.version_option(edgewise.__version__, prog_name="edgewise")
@click.pass_context
def main(context: click.Context) -> None:
    """Kolmogorov-Arnold networks: from a table of measurements to a network, and to a formula."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (demo, fit, discover, formula, plot, info):
    main.add_command(_command)
