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
    import matplotlib  # noqa: PLC0415 - takes a moment

    replaceable_mode(output)
    figure = load_model(run).plot(title=title)
    kind = Path(output).suffix.removeprefix(".").lower()
    _check_kind(kind, output, list(figure.canvas.get_supported_filetypes()))
    picture = BytesIO()
    # Dates and random names in the picture would make another file of it every time.
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with matplotlib.rc_context({"svg.hashsalt": "edgewise"}):
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
