"""The latest settled state of a run, kept so that a killed run goes on from it bit for bit.

``checkpoint/000012/`` holds one complete state and ``checkpoint/LATEST`` names it together with
the digest of its list of files. A new state is written beside the old one and made durable before
``LATEST`` is replaced in one rename; the old one goes only after that is durable too. So whenever
the process dies, ``LATEST`` names a whole state. Neighbours: the chain, whose length and head a
checkpoint remembers, and the transport, which writes the parties' states through ``writer``.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load, save

from equigrad.errors import RecordError
from equigrad.federation.record.canonical import canonical_json, sha256_file, sha256_json
from equigrad.federation.record.disk import fsync_folder, fsync_tree, write_atomic, writing
from equigrad.federation.record.folder import RunFolder

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

Array = npt.NDArray[Any] | torch.Tensor

_SCHEMA = "equigrad-checkpoint-1"


@dataclass(frozen=True)
class Checkpoint:
    """A settled state, as :func:`save_checkpoint` was given it.

    ``arrays`` holds NumPy arrays and tensors as they were saved, to the last bit; ``parties`` is
    the folder that the writer filled (empty if there was none).
    """

    round: int
    record_length: int
    record_head: str
    facts: dict[str, Any]
    arrays: dict[str, Array]
    parties: Path


def save_checkpoint(
    folder: RunFolder | Path,
    *,
    round: int,  # noqa: A002 - the record's own word, everywhere
    record_length: int,
    record_head: str,
    facts: Mapping[str, Any],
    arrays: Mapping[str, Array],
    writer: Callable[[Path], None] | None = None,
) -> None:
    """Make the given state the one that :func:`load_checkpoint` returns.

    Parameters
    ----------
    folder
        The run folder.
    round
        The round that has settled (-1 before the first).
    record_length, record_head
        Lines of the record that belong to this state, and the last one's hash. Sync the record
        first: a checkpoint must not know more than the disk.
    facts
        What JSON can hold of the coordinator's state; finite floats come back to the last bit,
        others as the strings that ``float`` reads.
    arrays
        The rest of it: NumPy arrays or CPU tensors of any shape, float, int or bool.
    writer
        Called once with an empty folder for the parties' states.

    Raises
    ------
    RecordError
        If something cannot be written; the state saved before is then still there.
    """
    root = _root(folder)
    with writing(root):
        root.mkdir(exist_ok=True)
        name = _next_name(root)
        state = root / name
        shutil.rmtree(state, ignore_errors=True)  # left by a run that died while writing it
        (state / "parties").mkdir(parents=True)
        tensors = {key: _tensor(array) for key, array in arrays.items()}
        (state / "arrays.safetensors").write_bytes(save(tensors))
        if writer is not None:
            writer(state / "parties")
        head = {
            "schema": _SCHEMA,
            "round": round,
            "record_length": record_length,
            "record_head": record_head,
            "facts": facts,
            "numpy": sorted(k for k, v in arrays.items() if not isinstance(v, torch.Tensor)),
            "files": _digests(state),
        }
        (state / "state.json").write_text(canonical_json(head))
        fsync_tree(state)
        fsync_folder(root)
        latest = {"state": name, "sha256": sha256_json(head)}
        write_atomic(root / "LATEST", canonical_json(latest))
        for old in root.iterdir():
            if old.is_dir() and old.name != name:
                shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: RunFolder | Path) -> Checkpoint | None:
    """Return the latest settled state, or None if no round has settled yet.

    Raises
    ------
    RecordError
        If a file of it is missing or was changed.
    """
    root = _root(folder)
    try:
        latest = json.loads((root / "LATEST").read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _damaged(root, str(error), error)
    try:
        state = root / latest["state"]
        head = json.loads((state / "state.json").read_bytes())
        if sha256_json(head) != latest["sha256"] or head["schema"] != _SCHEMA:
            _damaged(state, "state.json was changed")
        found = _digests(state)
        for file in sorted(found.keys() | head["files"].keys()):
            if found.get(file) != head["files"].get(file):
                _damaged(state, f"{file} was changed, added or removed")
        loaded = load((state / "arrays.safetensors").read_bytes())
    except (OSError, ValueError, KeyError, TypeError) as error:
        _damaged(root, f"{type(error).__name__}: {error}", error)
    arrays: dict[str, Array] = {key: tensor.clone() for key, tensor in loaded.items()}
    arrays |= {key: loaded[key].clone().numpy() for key in head["numpy"]}
    return Checkpoint(
        round=head["round"],
        record_length=head["record_length"],
        record_head=head["record_head"],
        facts=head["facts"],
        arrays=arrays,
        parties=state / "parties",
    )


def _root(folder: RunFolder | Path) -> Path:
    return (folder if isinstance(folder, RunFolder) else RunFolder(folder)).checkpoint


def _next_name(root: Path) -> str:
    """Return a name that ``LATEST`` does not point to; whatever lies there is a leftover."""
    try:
        current = re.fullmatch(r"\d+", json.loads((root / "LATEST").read_bytes())["state"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        current = None
    return f"{int(current[0]) + 1 if current else 1:06d}"


def _tensor(array: Array) -> torch.Tensor:
    """Return a contiguous copy: safetensors refuses views and shared memory."""
    tensor = array if isinstance(array, torch.Tensor) else torch.from_numpy(np.array(array))
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _digests(state: Path) -> dict[str, str]:
    files = sorted(path for path in state.rglob("*") if path.is_file())
    return {
        path.relative_to(state).as_posix(): sha256_file(path)
        for path in files
        if path != state / "state.json"
    }


def _damaged(path: Path, why: str, cause: Exception | None = None) -> NoReturn:
    raise RecordError(
        f"Expected a whole checkpoint at {path}, got a damaged one ({why}). "
        "Restore the folder from a copy, or start the run anew in another folder."
    ) from cause
