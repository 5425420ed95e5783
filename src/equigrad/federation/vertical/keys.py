"""The alignment key: a file that every party holds, and that is part of no run folder.

Neighbours: ``rows`` needs the key; ``equigrad key`` makes one.
"""

import os
import secrets
from pathlib import Path

from equigrad.data.alignment import KEY_BYTES, check_key
from equigrad.errors import ConfigError

__all__ = ["make_key", "read_key"]

_OTHERS = 0o077


def make_key(path: Path) -> None:
    """Write a new key, 64 hexadecimal signs, that its owner alone can read.

    Raises
    ------
    ConfigError
        If the file exists already (a lost key means a new alignment), or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        if not path.exists():  # a parent of the file is in the way
            raise ConfigError(
                f"Expected to write {path}, but {error.filename} is a file. Choose another folder."
            ) from None
        raise ConfigError(
            f"Expected a new file for the key, got {path}, which exists. Choose another name: a "
            "key that is overwritten is lost."
        ) from None
    except OSError as error:
        raise ConfigError(f"Expected to write {path}, got: {error.strerror}.") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_hex(KEY_BYTES) + "\n")


def read_key(path: Path) -> bytes:
    """Return the key of a file: its bytes without line ends.

    Raises
    ------
    ConfigError
        If it is missing, fewer than 32 bytes long or of few different ones, or if others than its
        owner may read it.
    """
    try:
        content = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(
            f"Expected the alignment key in {path}, got: {error.strerror}. Make one with "
            f"'equigrad key {path}' and hand it to every party over a safe channel."
        ) from None
    if os.name == "posix" and mode & _OTHERS:
        raise ConfigError(
            f"Expected the alignment key {path} to be readable by its owner alone, got mode "
            f"{mode & 0o777:03o}. Run: chmod 600 {path}"
        )
    return check_key(content.strip(b"\r\n"))
