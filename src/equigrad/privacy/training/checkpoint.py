"""A checkpoint of a private run: safetensors and JSON, whole at every instant.

``FOLDER/00000050/`` holds one complete state and ``FOLDER/LATEST`` names it together with its
digest; the new state is made durable before ``LATEST`` is replaced in one rename, and the old one
goes only after that. ``FOLDER/private/`` is for this machine alone: the noise key, where no privacy
account keeps it, and the digests of the releases made since. Neighbours: :mod:`.encoding` takes
states apart, :mod:`.journal` keeps the digests, :mod:`.trainer` says what a state is.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from equigrad.errors import RecordError
from equigrad.privacy.training.encoding import join, split

__all__ = ["SavedState", "load_state", "private_folder", "save_state", "write_atomic", "writing"]

_SCHEMA = "equigrad-private-training-2"
_LATEST = "LATEST"


@dataclass(frozen=True)
class SavedState:
    """One state as it was saved: ``facts`` is JSON, ``states`` holds the nested states by name."""

    step: int
    facts: dict[str, Any]
    states: dict[str, Any]


def save_state(
    folder: Path, *, step: int, facts: Mapping[str, Any], states: Mapping[str, object]
) -> None:
    """Make the given state the one that :func:`load_state` returns.

    Parameters
    ----------
    folder
        The checkpoint's folder; made where missing.
    step
        Steps done.
    facts
        What JSON can hold: settings and counters. Never batch indices, never a key.
    states
        Nested states (model, optimiser, ...) for :func:`~.encoding.split`.

    Raises
    ------
    RecordError
        If the folder cannot be written; the state that was there stays whole.
    ConfigError
        If a state could only be pickled.
    """
    plain: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    for name, state in states.items():
        plain[name], found = split(state, name)
        tensors.update(found)
    body = {"schema": _SCHEMA, "step": step, "facts": dict(facts), "states": plain}
    files = {
        "state.json": json.dumps(body, sort_keys=True, indent=1, allow_nan=False).encode(),
        "state.safetensors": save(tensors),
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _swap(folder, f"{step:08d}", files)


def _swap(folder: Path, stem: str, files: Mapping[str, bytes]) -> None:
    """Write ``files`` as a new version and point ``LATEST`` at it; then remove the others."""
    digest = _digest(files)
    version = folder / f"{stem}-{digest[:12]}"
    latest = {"version": version.name, "sha256": digest}
    if version.exists():  # half-written by a process that died, or equal: written anew
        shutil.rmtree(version)
    version.mkdir()
    for name, content in files.items():
        _write_durable(version / name, content)
    _sync_folder(version)
    write_atomic(folder / _LATEST, json.dumps(latest).encode())
    for other in folder.iterdir():
        if other.is_dir() and other != version and other.name[:8].isdigit():
            shutil.rmtree(other, ignore_errors=True)


def load_state(folder: Path) -> SavedState:
    """Return the latest whole state in ``folder``.

    Raises
    ------
    RecordError
        If there is none, or its files are not those that were written.
    """
    try:
        latest = json.loads((folder / _LATEST).read_bytes())
        version = folder / str(latest["version"])
        files = {
            name: (version / name).read_bytes() for name in ("state.json", "state.safetensors")
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"Expected a checkpoint of a private run in {folder}, got {error}. "
            "Give the folder that `save` wrote."
        ) from error
    if _digest(files) != latest.get("sha256"):
        raise RecordError(
            f"Expected the checkpoint {version} as it was written, got other content. "
            "Take it from a backup, or start a new run."
        )
    body = json.loads(files["state.json"])
    if body.get("schema") != _SCHEMA:
        raise RecordError(
            f"Expected a checkpoint of schema {_SCHEMA}, got {body.get('schema')!r}. "
            "Read it with the version of Equigrad that wrote it."
        )
    tensors = load(files["state.safetensors"])
    states = {name: join(plain, tensors) for name, plain in body["states"].items()}
    return SavedState(step=int(body["step"]), facts=body["facts"], states=states)


def private_folder(folder: Path) -> Path:
    """Return ``folder/private``, made readable for its owner only."""
    private = folder / "private"
    with writing(folder):
        private.mkdir(parents=True, exist_ok=True)
        private.chmod(0o700)
    return private


def write_atomic(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write ``content`` durably under ``path`` by one rename."""
    new = path.with_name(f"{path.name}.new")
    _write_durable(new, content, mode=mode)
    new.replace(path)
    _sync_folder(path.parent)


def _digest(files: Mapping[str, bytes]) -> str:
    """Return one SHA-256 over names and contents."""
    total = hashlib.sha256()
    for name, content in sorted(files.items()):
        total.update(f"{name} {len(content)}\n".encode())
        total.update(content)
    return total.hexdigest()


def _write_durable(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def writing(folder: Path) -> Any:
    """Turn an ``OSError`` into a ``RecordError`` that names the folder."""
    try:
        yield
    except OSError as error:
        raise RecordError(
            f"Expected to write the checkpoint {folder}, got {error}. "
            "Check permissions and free space; the state saved before is untouched."
        ) from error
