"""Run the command as `python -m edgewise.cli`."""

from edgewise.cli import main

main(prog_name="edgewise")
