"""One process at a time works in a training's folder.

What a second one would read there (record, checkpoint) changes under its eyes, so the folder is
locked before anything in it is read. The record and the checkpoint guard themselves as well.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from equigrad.errors import RecordError
from equigrad.federation.record.folder import RunFolder

if sys.platform != "win32":
    import fcntl

__all__ = ["locked"]


@contextmanager
def locked(place: RunFolder) -> Iterator[None]:
    """Hold the training's folder for as long as the context lasts; nothing is written for it.

    The folder itself is locked, so that no file is left behind and a killed process lets go.
    Where the system knows no such locks nothing is held.

    Raises
    ------
    RecordError
        If another process, or another training of this one, works in the folder.
    """
    if sys.platform == "win32":
        yield
        return
    handle = os.open(place.path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecordError(
                f"Expected a training that nobody goes on with, got {place.path} in use. "
                "Wait for the other one, or end it first."
            ) from error
        except OSError:  # a file system without locks; record and checkpoint have their own
            pass
        yield
    finally:
        os.close(handle)
