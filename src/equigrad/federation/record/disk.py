"""Writing files that survive a crash, and errors that say which file could not be written.

Used by every room that writes into a run folder; nothing here knows what the files hold.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from equigrad.errors import RecordError

__all__ = ["fsync_folder", "fsync_tree", "write_all", "write_atomic", "writing"]

_REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space, then resume the run.",
    errno.EDQUOT: "Your disk quota is used up: free some space, then resume the run.",
    errno.EACCES: "Choose a folder that you may write to.",
    errno.EPERM: "Choose a folder that you may write to.",
    errno.EROFS: "The file system is read-only: choose another folder.",
    errno.ENOTDIR: "A part of the path is a file: choose another folder.",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` met while writing ``path`` into a ``RecordError`` with a remedy."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "Check the disk, then resume the run.")
        reason = error.strerror or str(error)
        raise RecordError(f"Expected to write {path}, got: {reason}. {remedy}") from error


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of ``data`` to an open file; one ``os.write`` may take only a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def fsync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable (a rename is lost in a power cut otherwise)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Make every file and every name below ``folder`` durable, contents before names."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            fsync_folder(path)
        else:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    fsync_folder(folder)


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o666) -> None:
    """Write a file whole or not at all: a reader sees the old content or the new, never a part.

    Parameters
    ----------
    path, data
        The file and its new content; text as UTF-8.
    mode
        Who may read and write it, less what the process's mask takes away.

    Raises
    ------
    RecordError
        If the file cannot be written; the old content is then untouched.
    """
    new = path.with_name(f".{path.name}.new")
    with writing(path):
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        fsync_folder(path.parent)
