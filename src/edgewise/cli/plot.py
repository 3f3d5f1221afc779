"""`edgewise plot`: the picture of a network."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import click

from edgewise.cli import parameters
from edgewise.cli.models import load_model
from edgewise.errors import OptionError
from edgewise.files import replaceable_mode, write_atomically

_DENSITY = 200  # dots per inch


@click.command(short_help="Draw a network.", epilog=parameters.example("edgewise plot run/ -o net.svg"))
@parameters.run
@click.option(
    "-o", "--output", metavar="FILE", default="network.svg", show_default=True, help="The picture: .svg, .png, .pdf, …"
)
@click.option("--title", help="Written above the network.")
def plot(run: str, output: str, title: str | None) -> None:
    """Draw the network of a RUN: a folder that fit or discover wrote, or a model file."""
    replaceable_mode(output)
    figure = load_model(run).plot(title=title)
    kind = Path(output).suffix.removeprefix(".").lower()
    _check_kind(kind, output, list(figure.canvas.get_supported_filetypes()))
    picture = BytesIO()
    # A date in the picture would make every one of them another file.
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    figure.savefig(picture, format=kind, dpi=_DENSITY, metadata=undated)
    write_atomically(output, picture.getvalue())
    click.echo(f"written: {output}")


def _check_kind(kind: str, output: str, known: list[str]) -> None:
    """Refuse kinds of pictures that there are not.

    Raises:
        OptionError: the kind is none of those known.
    """
    if kind not in known:
        raise OptionError(f"{output}: the name ends in no kind of picture; known: {', '.join(sorted(known))}")
