"""Digests of the releases made since the last checkpoint: 16 bytes a step, appended.

A step that is replayed after a crash draws its batch and noise again from the same key. That is
free only if the noisy sum comes out bit for bit as before: one noise on two different sums would
reveal their difference. So each noisy sum's digest is written before the sum is used, and a replay
whose digest differs is thrown away and done again under a fresh, charged nonce. The digest of a
released (noisy) sum is post-processing; the file still lies in the private folder, because a list
of nonces is of no use to others. Neighbours: :mod:`.checkpoint`, :mod:`.trainer`.
"""

import hashlib
import os
import struct
import weakref
from pathlib import Path

from torch import Tensor

__all__ = ["Journal", "release_digest"]

_ENTRY = struct.Struct("<Q8s")


def release_digest(total: Tensor, counts: Tensor) -> bytes:
    """Return 8 bytes that tell two releases apart."""
    digest = hashlib.blake2b(digest_size=8)
    for tensor in (total, counts):
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.digest()


class Journal:
    """The digests by nonce, in a file that a killed process leaves readable.

    Parameters
    ----------
    path
        The file; read if it exists. A last entry that was cut short is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = path.read_bytes() if path.exists() else b""
        whole = len(content) - len(content) % _ENTRY.size
        self._digests: dict[int, bytes] = dict(_ENTRY.iter_unpack(content[:whole]))
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._close = weakref.finalize(self, os.close, self._handle)
        os.ftruncate(self._handle, whole)

    def __contains__(self, nonce: int) -> bool:
        return nonce in self._digests

    def agrees(self, nonce: int, digest: bytes) -> bool:
        """Return whether nothing, or this very digest, was released under ``nonce``."""
        return self._digests.get(nonce, digest) == digest

    def add(self, nonce: int, digest: bytes) -> None:
        """Append an entry; nothing happens if it is there."""
        if nonce not in self._digests:
            os.write(self._handle, _ENTRY.pack(nonce, digest))
            self._digests[nonce] = digest

    def last(self) -> int:
        """Return the highest nonce seen, -1 if there is none."""
        return max(self._digests, default=-1)

    def clear(self) -> None:
        """Forget all entries: a checkpoint has settled them."""
        os.ftruncate(self._handle, 0)
        self._digests.clear()

    def close(self) -> None:
        """Close the file."""
        self._close()
