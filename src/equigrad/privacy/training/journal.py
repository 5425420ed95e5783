"""Digests of the releases made since the last checkpoint: 17 bytes each, appended and durable.

A step, or a paid evaluation, that is replayed after a crash draws its noise again from the same
key. That is free only if the noisy result comes out bit for bit as before: one noise on two
different sums would reveal their difference. So each result's digest is on the disk before the
result is used, and a replay whose digest differs is thrown away and done again under a fresh,
charged nonce. The digest of a released (noisy) sum is post-processing; the file still lies in the
private folder, because a list of nonces is of no use to others. Neighbours: :mod:`.checkpoint`,
:mod:`.trainer`.
"""

import hashlib
import os
import struct
import sys
import weakref
from pathlib import Path

from torch import Tensor

from equigrad.errors import RecordError

if sys.platform != "win32":
    import fcntl

__all__ = ["STREAMS", "Journal", "release_digest"]

STREAMS = {"step": 0, "look": 1}
"""Kinds of releases and their numbers in the file; each kind counts its nonces for itself."""

_ENTRY = struct.Struct("<BQ8s")


def release_digest(total: Tensor, counts: Tensor) -> bytes:
    """Return 8 bytes that tell two releases apart."""
    digest = hashlib.blake2b(digest_size=8)
    for tensor in (total, counts):
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.digest()


class Journal:
    """The digests by kind and nonce, in a file that a killed process leaves readable.

    Parameters
    ----------
    path
        The file; read if it exists. A last entry that was cut short is dropped.

    Raises
    ------
    RecordError
        If another journal of this file is open, here or in another process: two runs that go on
        from one state would draw one noise for two sums. (Where the system knows no locks,
        nothing guards against that.)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._close = weakref.finalize(self, os.close, self._handle)
        self._lock()
        content = path.read_bytes()
        whole = len(content) - len(content) % _ENTRY.size
        self._digests: dict[tuple[int, int], bytes] = {
            (stream, nonce): digest for stream, nonce, digest in _ENTRY.iter_unpack(content[:whole])
        }
        os.ftruncate(self._handle, whole)

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        try:  # the file's description holds the lock: gone with the process, and kept within it
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._close()
            raise RecordError(
                f"Expected a run that nobody goes on with, got {self.path.parent.parent} in use. "
                "End the other one (close() or pause()) first."
            ) from error
        except OSError:  # a file system without locks
            return

    def seen(self, nonce: int, stream: str = "step") -> bool:
        """Return whether something was released under ``nonce``."""
        return (STREAMS[stream], nonce) in self._digests

    def agrees(self, nonce: int, digest: bytes, stream: str = "step") -> bool:
        """Return whether nothing, or this very digest, was released under ``nonce``."""
        return self._digests.get((STREAMS[stream], nonce), digest) == digest

    def add(self, nonce: int, digest: bytes, stream: str = "step") -> None:
        """Append an entry, durably; nothing happens if it is there.

        Raises
        ------
        RecordError
            If it cannot be written: the release must not be used then.
        """
        if self.seen(nonce, stream):
            return
        if not self._close.alive:
            raise RecordError(
                f"Expected an open journal, got {self.path} closed. Resume the run from its folder."
            )
        try:
            os.write(self._handle, _ENTRY.pack(STREAMS[stream], nonce, digest))
            os.fsync(self._handle)
        except OSError as error:
            raise RecordError(
                f"Expected to write the journal {self.path}, got {error}. Nothing was released; "
                "make room, and resume the run."
            ) from error
        self._digests[STREAMS[stream], nonce] = digest

    def last(self, stream: str = "step") -> int:
        """Return the highest nonce seen, -1 if there is none."""
        return max((n for kind, n in self._digests if kind == STREAMS[stream]), default=-1)

    def clear(self) -> None:
        """Forget all entries: a checkpoint has settled them."""
        os.ftruncate(self._handle, 0)
        self._digests.clear()

    def close(self) -> None:
        """Close the file."""
        self._close()
