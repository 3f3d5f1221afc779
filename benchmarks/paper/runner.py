"""Measurements in processes of their own, each with one thread and a hard limit, so that a crash costs one row."""

from __future__ import annotations

import argparse
import datetime
import math
import multiprocessing
import os
import platform
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from rows import Key, Row, Rows

RESULTS = Path(__file__).parent.parent / "results" / "paper"
_SPAWN = multiprocessing.get_context("spawn")  # a forked child would inherit the parent's threads
_THREADS: dict[str, str] = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
_GRACE = 120.0  # seconds for imports, data and the test, beyond three times what the measurement may take


@dataclass(frozen=True, kw_only=True)
class Job:
    """One measurement: `function(**arguments)` returns the rest of its row."""

    case: str
    contender: str
    seed: int
    function: Callable[..., Row]
    arguments: dict[str, Any] = field(default_factory=dict)
    seconds: float  # what it may take; a rival's row counts while it was given no less

    @property
    def key(self) -> Key:
        """That of its row."""
        return self.case, self.contender, self.seed


def one_per_seed(
    function: Callable[..., Row], cases: Mapping[str, Any], name: str, options: argparse.Namespace
) -> list[Job]:
    """Edgewise on every case and seed: `function(seed=…, name=the value of the case)`."""
    return [
        Job(
            case=case,
            contender="edgewise",
            seed=seed,
            function=function,
            arguments={name: value, "seed": seed},
            seconds=options.max_time,
        )
        for case, value in cases.items()
        for seed in range(options.seeds)
    ]


@dataclass
class _Running:
    job: Job
    process: SpawnProcess
    connection: Connection
    deadline: float

    def stop(self) -> None:
        """End the process and all that it started."""
        if self.process.is_alive():
            # The group exists from the child's first statement on; before that there is only the child.
            try:
                os.killpg(self.process.pid or 0, signal.SIGKILL)
            except ProcessLookupError:
                self.process.kill()
        self.process.join()
        self.connection.close()


def complete(jobs: Sequence[Job], rows: Rows, workers: int) -> None:
    """Do the jobs that have no row yet; rows are written, and told, as they come."""
    missing = [job for job in jobs if not _is_done(rows.get(job.key), job)]
    about = {"date": str(datetime.date.today()), "machine": processor(), "command": command()}
    with _one_thread(), _ended_like_ctrl_c(), closing(_outcomes(missing, workers)) as outcomes:
        for number, (job, result) in enumerate(outcomes, start=1):
            named = {"case": job.case, "contender": job.contender, "seed": job.seed, "budget": job.seconds}
            row = named | {"test_rmse": None, "seconds": None, "note": ""} | _finite(result) | about
            rows.append(row)
            print(f"[{number}/{len(missing)}] {told(row)}", flush=True)


def told(row: Row) -> str:
    """A row in a line."""
    error = "–" if row["test_rmse"] is None else f"{row['test_rmse']:.2e}"
    seconds = "–" if row["seconds"] is None else f"{row['seconds']:.1f} s"
    return f"{row['case']:24} {row['contender']:12} seed {row['seed']}: {error}  {seconds}  {row['note']}"


def add_options(parser: argparse.ArgumentParser, *, seeds: int, max_time: float) -> None:
    """What every measuring command understands."""
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--max-time", type=float, default=max_time, help="seconds for one fit of Edgewise")
    parser.add_argument("--jobs", type=int, default=1, help="measurements at a time, of one thread each")
    parser.add_argument("--fresh", action="store_true", help="forget what is there of what is asked for")
    parser.add_argument("--retry", action="store_true", help="run again what failed")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the rows")


def forget(rows: Rows, options: argparse.Namespace, is_asked_for: Callable[[Row], bool]) -> None:
    """Drop the rows that are to be made anew."""
    if options.fresh:
        rows.drop(is_asked_for)
    if options.retry:
        rows.drop(lambda row: is_asked_for(row) and row["test_rmse"] is None)


def command() -> str:
    """How this was called, from the root of the repository."""
    script = Path(sys.argv[0]).resolve()
    return f"python benchmarks/{script.parent.name}/{script.name} {' '.join(sys.argv[1:])}".strip()


def processor() -> str:
    """The name of the machine's processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _finite(row: Row) -> Row:
    """None for figures that are no number, which JSON has no word for."""
    is_none = {name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)}
    return {name: None if name in is_none else value for name, value in row.items()}


def _is_done(row: Row | None, job: Job) -> bool:
    return row is not None and row["budget"] >= 0.9 * job.seconds


def _outcomes(jobs: Sequence[Job], workers: int) -> Generator[tuple[Job, Row], None, None]:
    """Jobs and what came of them, as they end."""
    waiting, running = deque(jobs), []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_started(waiting.popleft()))
            soonest = min(one.deadline for one in running)
            wait([one.connection for one in running], timeout=max(0.0, soonest - time.monotonic()))
            for one in list(running):
                if one.connection.poll() or time.monotonic() >= one.deadline:
                    running.remove(one)
                    result = _result(one)
                    one.stop()
                    yield one.job, result
    finally:
        for one in running:
            one.stop()


def _started(job: Job) -> _Running:
    ours, theirs = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_measure, args=(theirs, job.function, job.arguments))
    process.start()
    theirs.close()  # so that the end of the child is the end of the pipe
    deadline = time.monotonic() + 3 * job.seconds + _GRACE
    return _Running(job, process, ours, deadline)  # pyright: ignore[reportArgumentType] - of Windows' pipes


def _result(one: _Running) -> Row:
    if not one.connection.poll():
        return {"note": f"stopped after {3 * one.job.seconds + _GRACE:.0f} s"}
    try:
        return one.connection.recv()
    except EOFError:
        one.process.join()
        return {"note": f"the process ended with code {one.process.exitcode}"}


def _measure(connection: Connection, function: Callable[..., Row], arguments: dict[str, Any]) -> None:
    """The child: away from the terminal's Ctrl-C, which would end a fit early and have it look finished."""
    os.setsid()
    try:
        result = function(**arguments)
    except Exception as error:
        result = {"note": f"{type(error).__name__}: {error}"}
    connection.send(result)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(_THREADS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """A polite end from outside stops the children too."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        yield
    except KeyboardInterrupt:
        sys.exit("interrupted; what is finished is kept, and the same command goes on from there")
    finally:
        signal.signal(signal.SIGTERM, before)
