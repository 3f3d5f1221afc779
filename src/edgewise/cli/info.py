"""`edgewise info`: what is installed, and what runs."""

from __future__ import annotations

import click
from rich.table import Table

import edgewise
from edgewise.cli import parameters
from edgewise.cli.report import show, versions


@click.command(short_help="Versions, devices and kernels.", epilog=parameters.example("edgewise info"))
def info() -> None:
    """Show versions, devices, and which kernels are in use and why not the others."""
    import torch  # noqa: PLC0415 - takes a second or two

    from edgewise.kernels import extension  # noqa: PLC0415
    from edgewise.kernels.dispatch import BACKENDS, select  # noqa: PLC0415

    table = Table.grid(padding=(0, 3))
    for name, version in versions().items():
        table.add_row(name, version)
    table.add_row("threads", str(torch.get_num_threads()))
    devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    for device in devices:
        table.add_row("device", device if device == "cpu" else f"{device} {torch.cuda.get_device_name(device)}")
    sets = extension.instruction_sets()
    table.add_row("C++ extension", f"for {', '.join(sets)}; the first is in use" if sets else extension.why_missing())
    basis = edgewise.BSpline()
    for device in devices:
        probe = torch.zeros((1, 1), dtype=torch.float64, device=device)
        used = select(basis, 0, [probe]).name
        for backend in BACKENDS:
            reason = backend.why_not(basis, 0, [probe]) or "ready, but a faster one is in use"
            table.add_row(f"kernels on {device}", f"{backend.name}: {'in use' if backend.name == used else reason}")
    show(table)
