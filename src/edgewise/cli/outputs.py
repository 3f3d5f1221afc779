"""Output folders: checked before the work, and filled after it, whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from edgewise.cli.errors import describe
from edgewise.errors import OptionError
from edgewise.files import replaceable_mode


def check_folder(folder: str, names: Sequence[str]) -> None:
    """Find out whether files can be written into a folder that need not exist yet.

    Args:
        folder: its path.
        names: of the files.

    Raises:
        OptionError: the path is empty.
        OSError: the files cannot be written; nothing has been left behind.
    """
    if not folder:
        raise OptionError("--out is empty, expected a folder")
    there = Path(os.path.realpath(folder))
    if there.exists() and not there.is_dir():
        raise OSError(errno.ENOTDIR, "this is no folder; choose another for --out", folder)
    nearest = next(path for path in (there, *there.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        reason = f"nothing can be written here ({error.strerror or error}); choose another folder for --out"
        raise OSError(error.errno or errno.EIO, reason, folder) from error
    for name in names:
        if (there / name).exists():
            replaceable_mode(Path(folder) / name)


@contextmanager
def staged(folder: str) -> Iterator[Path]:
    """Fill a folder with files that appear there only once all of them are complete.

    Args:
        folder: its path; it is made where it does not exist.

    Yields:
        An empty folder beside them, to write the files into.

    Raises:
        OSError: a file could not be written; then the folder is as it was.
    """
    target = Path(os.path.realpath(folder))
    made = [path for path in (target, *target.parents) if not path.exists()]
    stage = None
    try:
        target.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".edgewise-", dir=target))
        yield stage
        files = sorted(stage.iterdir())
        for file in files:
            with file.open("rb+") as handle:
                os.fsync(handle.fileno())
        for file in files:
            os.replace(file, target / file.name)
    except OSError as error:
        raise OSError(describe(error).replace(str(stage), folder)) from error
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
        for path in made:
            with suppress(OSError):
                path.rmdir()  # fails, as it should, where something is in it
