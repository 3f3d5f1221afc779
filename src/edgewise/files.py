"""Writing files whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from os import PathLike
from pathlib import Path


def write_atomically(path: str | PathLike[str], content: bytes) -> None:
    """Write a file so that at every moment it holds either its old content or all of the new one.

    The content goes to a temporary file in the same folder, and from there to the disk, before it takes the place of
    the file.

    Args:
        path: of the file; where it is a symbolic link, the file that it points to is replaced.
        content: all of it.

    Raises:
        OSError: the file cannot be written; then nothing has changed, and no temporary file is left.

    Example:
        >>> write_atomically("missing/folder/notes.txt", b"text")
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] there is no such folder: 'missing/folder/notes.txt'
    """
    target = Path(os.path.realpath(path))
    mode = replaceable_mode(path)
    temporary = target.with_name(f".edgewise-{secrets.token_hex(4)}.tmp")
    try:
        # Not `tempfile`: its files are readable by their owner alone, and stay so under the final name.
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def replaceable_mode(path: str | PathLike[str]) -> int | None:
    """Find out, before any work is done for it, whether a file may be written or replaced.

    Args:
        path: of the file.

    Returns:
        The permissions of the file that is there, None if there is none yet.

    Raises:
        OSError: there is no folder for it, or what is there is no ordinary file, or read-only.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise OSError(errno.ENOENT, "there is no such folder", str(path))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "this is a folder", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "this is no ordinary file", str(path))
    if not os.access(target, os.W_OK):
        raise OSError(errno.EACCES, "this file is read-only", str(path))
    return stat.S_IMODE(mode)
