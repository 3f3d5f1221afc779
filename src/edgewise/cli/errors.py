"""The one place where what went wrong becomes one line on standard error and an exit code."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from edgewise.errors import EdgewiseError

FAILED = 1
MISUSED = 2
INTERRUPTED = 130


class OneLineErrors(click.Group):
    """A group whose every error is one line: "error: what was given, what was expected, what to do"."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the command that the arguments name, and leave with its exit code.

        Args:
            *args: see `click.Command.main`.
            standalone_mode: False to get the result, or the exception, instead of an exit.
            **extra: see `click.Command.main`.

        Returns:
            The command's result, if not standalone.
        """
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        _show_any_character()
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except click.Abort:
            _fail("interrupted", INTERRUPTED)
        except click.UsageError as error:
            command = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
            _fail(error.format_message() + command, MISUSED)
        except click.ClickException as error:
            _fail(error.format_message(), FAILED)
        except (EdgewiseError, OSError) as error:
            _fail(describe(error), FAILED)
        sys.exit(code if isinstance(code, int) else 0)


def describe(error: Exception) -> str:
    """What an exception says, with the file where the system complains of one.

    Args:
        error: any.

    Returns:
        One line.

    Example:
        >>> describe(FileNotFoundError(2, "No such file or directory", "data.csv"))
        'data.csv: No such file or directory'
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).splitlines())


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {' '.join(message.splitlines())}", err=True)
    sys.exit(code)


def _show_any_character() -> None:
    """Names in a table may hold characters that the terminal has not: show their codes, do not fail."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
