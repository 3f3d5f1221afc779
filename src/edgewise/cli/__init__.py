"""The `edgewise` command. Each subcommand is a file here, and calls what users of the library call."""

from edgewise.cli.app import main

__all__ = ["main"]
