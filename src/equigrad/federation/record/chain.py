"""The record: an append-only file whose every line seals the line before it.

A line is canonical JSON ``{"body", "hash", "index", "prev", "round", "stage"}`` with ``prev`` the
hash of the line before (64 zeros before the first) and ``hash`` the SHA-256 of ``prev`` followed by
the line without its ``hash``. Changing a byte, removing, inserting or swapping lines breaks the
chain at a line that can be named; what the chain cannot show is that whole lines are missing at
the end, or that somebody recomputed all hashes: keep the last hash elsewhere for that. What the
bodies hold is the coordinator's business; that the numbers in them agree is the verifier's.
"""

import io
import json
import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from equigrad.errors import RecordError, VerificationError
from equigrad.federation.record.disk import write_all, writing
from equigrad.federation.record.seal import ZERO_HASH, Line, scan, sealed

if sys.platform != "win32":
    import fcntl

__all__ = ["ZERO_HASH", "Line", "RecordWriter", "iter_record", "read_record"]


class RecordWriter:
    """Appends lines to a new record; :meth:`resume` goes on with an old one.

    After :meth:`append` returns, the line survives the death of the process; after :meth:`sync`
    also a power cut. One process writes a record at a time.

    Raises
    ------
    RecordError
        If the file exists and holds something, cannot be written, or is being written by another
        process.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        with writing(self.path):
            self._file = self.path.open("ab+", buffering=0)
        self._length = 0
        self._head = ZERO_HASH
        self._lock()
        if self._file.seek(0, os.SEEK_END):
            self._refuse(f"Expected a new record at {self.path}, got one with lines in it.")

    @classmethod
    def resume(cls, path: Path | str, length: int, head: str) -> Self:
        """Go on after the first ``length`` lines, whose last hash is ``head``; cut off the rest.

        Raises
        ------
        RecordError
            If the file has fewer whole lines, or the kept ones are not an unbroken chain that ends
            in ``head``; the file is then left as it is.
        """
        self = cls.__new__(cls)
        self.path = Path(path)
        with writing(self.path):
            self._file = self.path.open("rb+", buffering=0)
        self._lock()
        end = self._check_kept(length, head)
        with writing(self.path):
            self._file.truncate(end)
            os.fsync(self._file.fileno())
            self._file.seek(end)
        self._length, self._head = length, head
        return self

    @property
    def length(self) -> int:
        """Number of lines written so far, in earlier processes too."""
        return self._length

    @property
    def head(self) -> str:
        """Hash of the last line, which seals all before it (64 zeros while there is none)."""
        return self._head

    def append(self, stage: str, round_: int | None, body: dict[str, Any]) -> dict[str, Any]:
        """Write one line and return it as JSON would give it back.

        ``body`` may hold what :func:`~equigrad.federation.record.canonical.plain` understands.
        """
        text, digest = sealed(self._length, self._head, round_, stage, body)
        with writing(self.path):
            write_all(self._file.fileno(), text.encode() + b"\n")
        self._length += 1
        self._head = digest
        line: dict[str, Any] = json.loads(text)
        return line

    def sync(self) -> None:
        """Wait until every line is on the disk."""
        with writing(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lock(self) -> None:
        if sys.platform == "win32":  # there nothing guards against two runs in one folder
            return
        try:  # a POSIX lock: gone with the process, and not inherited by its forked workers
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            self._refuse(f"Expected {self.path} to be free, got one that another run is writing.")
        except OSError:  # a file system without locks; nothing guards there
            return

    def _check_kept(self, length: int, head: str) -> int:
        """Return where the kept lines end."""
        # Read through our own file: a POSIX lock is dropped when any other one on it is closed.
        kept, end, last = 0, 0, ZERO_HASH
        buffered = io.BufferedReader(self._file)
        try:
            for raw, line in islice(scan(self.path, buffered, check=True), length):
                kept, end, last = kept + 1, end + len(raw), line.hash
        except VerificationError as error:
            self._refuse(f"{error} The run cannot go on from this record.")
        buffered.detach()  # else its end would close our file
        if kept < length:
            self._refuse(f"Expected at least {length} lines in {self.path}, got {kept}.")
        if last != head:
            self._refuse(
                f"Expected line {length} of {self.path} to end in hash {head[:12]}..., "
                f"got {last[:12]}.... The record is not the one that the checkpoint belongs to."
            )
        return end

    def _refuse(self, message: str) -> NoReturn:
        self._file.close()
        raise RecordError(message)


def iter_record(path: Path | str, *, check: bool = True, allow_cut: bool = False) -> Iterator[Line]:
    """Yield the lines of a record one by one, for records too large to hold.

    Parameters
    ----------
    path, check
        As for :func:`read_record`.
    allow_cut
        Leave out a last line that is cut short: what a run that was killed, or is still being
        written, may end in.

    Raises
    ------
    RecordError
        If there is no such file.
    VerificationError
        As :func:`read_record`.
    """
    path = Path(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise RecordError(f"Expected a record at {path}, got: {error.strerror}.") from error
    with file:
        for _, line in scan(path, file, check=check, allow_cut=allow_cut):
            yield line


def read_record(path: Path | str, *, check: bool = True) -> list[Line]:
    """Return the lines of a record.

    Parameters
    ----------
    path
        The file.
    check
        Whether to check the chain too; without it only the form of each line is.

    Raises
    ------
    RecordError
        If there is no such file.
    VerificationError
        If a line is no JSON, is cut short, or breaks the chain; the message names the line
        (counted from 1) and what is wrong with it.
    """
    return list(iter_record(path, check=check))
