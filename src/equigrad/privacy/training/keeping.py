"""The private part of a checkpoint's folder: the key, whose rows, and which folder it is.

One key must never make the noise of two different sums. So a folder has one user at a time (its
journal is locked), its key is in no second folder, and a folder that was copied is known for a
copy: the file ``home`` is then not the one that was written, as its number in the file system and
the time of its making show, which no copy can take along. (A snapshot of a whole disk can: never
go on with both.) Neighbours: :mod:`.persistence` saves and restores, :mod:`.journal` locks.
"""

import contextlib
import hmac
import os
from pathlib import Path

from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training.checkpoint import private_folder, write_atomic
from equigrad.privacy.training.digests import data_digest
from equigrad.privacy.training.rows import Rows

__all__ = [
    "data_fingerprint",
    "forget_key",
    "is_copy",
    "keep_key",
    "keep_place",
    "keep_rows",
    "read_key",
    "same_rows",
]

_KEY, _DATA, _HOME, _PLACE = "key", "data", "home", "place"


def read_key(folder: Path) -> NoiseKey | None:
    """Return the key that ``folder`` keeps, ``None`` if there is none."""
    path = folder / "private" / _KEY
    return NoiseKey.from_bytes(path.read_bytes()) if path.exists() else None


def keep_key(folder: Path, key: NoiseKey) -> None:
    """Keep ``key`` in ``folder``, in the place of another."""
    forget_key(private_folder(folder))
    write_atomic(private_folder(folder) / _KEY, key.to_bytes(), mode=0o600)


def forget_key(private: Path) -> None:
    """Overwrite the key in the private folder ``private`` where it lies, and remove it.

    What a solid-state disk or a backup has kept is out of reach.
    """
    path = private / _KEY
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
        path.unlink()


def keep_place(folder: Path) -> None:
    """Make ``folder`` the home of its run."""
    private = private_folder(folder)
    write_atomic(private / _HOME, b"This file is at home in one folder only.\n", mode=0o600)
    write_atomic(private / _PLACE, _place(private / _HOME), mode=0o600)


def is_copy(folder: Path) -> bool:
    """Return whether ``folder`` is not the one that its run was saved in, or cannot show it."""
    private = folder / "private"
    try:
        return (private / _PLACE).read_bytes() != _place(private / _HOME)
    except FileNotFoundError:
        return True


def _place(home: Path) -> bytes:
    found = home.stat()
    return f"{found.st_ino} {found.st_ctime_ns}".encode()


def keep_rows(folder: Path, rows: Rows, key: NoiseKey) -> None:
    """Note which rows the run trains on."""
    write_atomic(private_folder(folder) / _DATA, data_fingerprint(rows, key), mode=0o600)


def same_rows(folder: Path, rows: Rows, key: NoiseKey) -> bool:
    """Return whether ``rows`` are those that were noted."""
    path = folder / "private" / _DATA
    return path.exists() and hmac.compare_digest(path.read_bytes(), data_fingerprint(rows, key))


def data_fingerprint(rows: Rows, key: NoiseKey) -> bytes:
    """Return a keyed digest of the rows: a plain one would let others test their guesses."""
    words = key.words(0, "data", 4).tobytes()
    return hmac.new(words, data_digest(rows).encode(), "sha256").digest()
