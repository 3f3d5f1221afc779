"""Arguments and options that several commands take, and the types that turn their text into values."""

from __future__ import annotations

import csv
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

import edgewise
from edgewise.errors import OptionError

if TYPE_CHECKING:
    from edgewise.basis import Basis

_BASES = {
    "bspline": "BSpline",
    "chebyshev": "Chebyshev",
    "fourier": "Fourier",
    "gaussian": "Gaussian",
    "mexicanhat": "MexicanHat",
}


class NamesType(click.ParamType):
    """Names between commas; a name that has a comma is quoted, as in a CSV file."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """See `click.ParamType.convert`."""
        if not isinstance(value, str):
            return value
        try:
            (row,) = csv.reader([value], skipinitialspace=True, strict=True)
        except (csv.Error, ValueError):
            self.fail(f"{value!r} is no list of names such as a,b", param, ctx)
        names = tuple(name.strip() for name in row)
        if not all(names):
            self.fail(f"{value!r} has an empty name; write names between commas, such as a,b", param, ctx)
        return names


class WidthType(click.ParamType):
    """Nodes of each layer behind the inputs: "5,1", or "3+2,1" with three sums and two products in the first."""

    name = "width"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | list[int], ...]:
        """See `click.ParamType.convert`."""
        if not isinstance(value, str):
            return value
        layers: list[int | list[int]] = []
        for layer in value.split(","):
            counts = layer.strip().split("+")
            if len(counts) > 2 or not all(count.isdecimal() for count in counts):
                self.fail(f"{value!r} is no width; write nodes per layer, such as 5,1 or 3+2,1", param, ctx)
            sums, products = int(counts[0]), [int(count) for count in counts[1:]]
            if sums + sum(products) < 1:
                self.fail(f"{value!r} has a layer without nodes", param, ctx)
            layers.append([sums, *products] if products else sums)
        return tuple(layers)


class BasisType(click.ParamType):
    """A function family and its options in order, between colons: "bspline:10:3"."""

    name = "basis"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Basis:
        """See `click.ParamType.convert`."""
        if not isinstance(value, str):
            return value
        name, *options = value.split(":")
        if name.lower() not in _BASES:
            self.fail(f"unknown basis {name!r}; known: {', '.join(_BASES)}", param, ctx)
        family = getattr(edgewise, _BASES[name.lower()])
        known = [option.name for option in fields(family) if option.init]
        if len(options) > len(known) or not all(option.strip().isdecimal() for option in options):
            self.fail(f"{value!r} does not read as {':'.join([name, *known])} with whole numbers", param, ctx)
        try:
            return family(*map(int, options))
        except OptionError as error:
            self.fail(str(error), param, ctx)


class SecondsType(click.ParamType):
    """A number of seconds above 0."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See `click.ParamType.convert`."""
        seconds = click.FLOAT.convert(value, param, ctx)
        if math.isnan(seconds) or seconds <= 0:
            self.fail(f"{value!r} is no number of seconds above 0", param, ctx)
        return seconds


table = click.argument("table", metavar="TABLE")
run = click.argument("run", metavar="RUN")
inputs = click.option("--inputs", type=NamesType(), help="Columns to predict from, such as a,b. Default: all others.")
seed = click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of all chance.")
max_time = click.option(
    "--max-time", type=SecondsType(), default=60.0, show_default=True, help="Seconds after which to stop."
)


def test_fraction(default: float) -> Any:
    """The option --test-fraction.

    Args:
        default: its value where it is not given.

    Returns:
        A decorator.
    """
    return click.option(
        "--test-fraction",
        type=click.FloatRange(0, 1, max_open=True),
        default=default,
        show_default=True,
        help="Share of the rows that is kept for the test.",
    )


def example(*lines: str) -> str:
    """The end of a help text.

    Args:
        *lines: commands to try.

    Returns:
        Text that click does not wrap.
    """
    return "\n".join(["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])
