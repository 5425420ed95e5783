"""A party's own folder: what it was sent and what it needs to predict later.

Residuals are what its models come from: they are written before the fit, and a learner is rebuilt
by fitting them again with the same seeds. Nothing is pickled. Neighbour: ``party``.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from equigrad.data.columns import ColumnEncoder
from equigrad.errors import RecordError
from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.disk import write_atomic, writing

__all__ = ["PartyShelf", "read_arrays", "write_arrays"]

Arrays = Mapping[str, npt.NDArray[Any]]


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write arrays whole or not at all, readable by their owner alone."""
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    tensors = {name: torch.from_numpy(np.array(a, order="C")) for name, a in arrays.items()}
    write_atomic(path, save(tensors), mode=0o600)


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a file.

    Raises
    ------
    RecordError
        If it is missing or damaged.
    """
    try:
        return {name: tensor.numpy() for name, tensor in load(path.read_bytes()).items()}
    except (OSError, SafetensorError) as error:
        raise RecordError(
            f"Expected the arrays that this run wrote to {path}, got: {error}. Restore the folder "
            "from a copy, or start the run anew."
        ) from error


class PartyShelf:
    """The files of one party.

    Parameters
    ----------
    path
        The party's folder; made when something is first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    # --- private set intersection ---------------------------------------------------------------

    def keep_psi_key(self, key: bytes) -> None:
        """Write the party's secret of an intersection under way."""
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(self._psi_key, key, mode=0o600)

    def psi_key(self) -> bytes:
        """Return what :meth:`keep_psi_key` wrote.

        Raises
        ------
        RecordError
            If no intersection is under way.
        """
        try:
            return self._psi_key.read_bytes()
        except OSError as error:
            raise RecordError(
                "Expected a set-up before the request of a private set intersection, got none. "
                "Start the alignment again."
            ) from error

    def drop_psi_key(self) -> None:
        """Forget the secret: the rows are aligned."""
        self._psi_key.unlink(missing_ok=True)

    @property
    def _psi_key(self) -> Path:
        return self.path / "psi.key"

    # --- the offer ------------------------------------------------------------------------------

    def keep_offer(self, digests: npt.NDArray[np.uint8], facts: Mapping[str, Any]) -> None:
        """Write the digests ``(n_held, 32)`` of the rows held, in the order of all messages."""
        write_arrays(self.path / "offer.safetensors", {"digests": digests})
        write_atomic(self.path / "offer.json", canonical_json(facts), mode=0o600)

    def offer(self) -> tuple[npt.NDArray[np.uint8], dict[str, Any]] | None:
        """Return what :meth:`keep_offer` wrote, or None."""
        facts = _read_json(self.path / "offer.json")
        if facts is None:
            return None
        return read_arrays(self.path / "offer.safetensors")["digests"], facts

    def refuse_other(
        self, offer: tuple[npt.NDArray[np.uint8], dict[str, Any]], fingerprint: str, party: str
    ) -> None:
        """Raise ``RecordError`` if the party's rows are not those of its offer."""
        if offer[1]["fingerprint"] != fingerprint:
            raise RecordError(
                f"Expected the data with which party {party!r} began, got others. Restore its "
                "file, or start a new run."
            )

    def encoder(self) -> ColumnEncoder | None:
        """Return how the party's columns became numbers when its rows were aligned, or None."""
        offer = self.offer()
        kept = None if offer is None else offer[1].get("encoder")
        return None if kept is None else ColumnEncoder.from_dict(kept)

    # --- one pass -------------------------------------------------------------------------------

    def keep_rows(self, pass_: int, rows: npt.NDArray[np.int64]) -> None:
        """Write which of the rows held are fitted in a pass."""
        write_arrays(self._pass(pass_) / "rows.safetensors", {"rows": rows})

    def rows(self, pass_: int) -> npt.NDArray[np.int64] | None:
        """Return what :meth:`keep_rows` wrote, or None."""
        path = self._pass(pass_) / "rows.safetensors"
        return read_arrays(path)["rows"] if path.is_file() else None

    def keep_residual(self, pass_: int, t: int, residual: npt.NDArray[np.float64]) -> None:
        """Write the residual of a round."""
        write_arrays(self._residual(pass_, t), {"residual": residual})

    def residual(self, pass_: int, t: int) -> npt.NDArray[np.float64] | None:
        """Return the residual of a round, or None."""
        path = self._residual(pass_, t)
        return read_arrays(path)["residual"] if path.is_file() else None

    def rounds(self, pass_: int) -> list[int]:
        """Return the rounds of a pass of which the party has the residual, in order."""
        folder = self._pass(pass_)
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        found = (re.fullmatch(r"residual-(\d+)\.safetensors", name) for name in names)
        return sorted(int(match[1]) for match in found if match)

    # --- the end --------------------------------------------------------------------------------

    def keep_models(self, pass_: int, rounds: int) -> None:
        """Write which rounds of which pass make up the model."""
        write_atomic(
            self.path / "kept.json", canonical_json({"pass": pass_, "rounds": rounds}), mode=0o600
        )

    def models(self) -> tuple[int, int] | None:
        """Return pass and number of rounds that :meth:`keep_models` wrote, or None."""
        kept = _read_json(self.path / "kept.json")
        return None if kept is None else (int(kept["pass"]), int(kept["rounds"]))

    def _pass(self, pass_: int) -> Path:
        return self.path / f"pass-{pass_}"

    def _residual(self, pass_: int, t: int) -> Path:
        return self._pass(pass_) / f"residual-{t:04d}.safetensors"


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RecordError(f"Expected JSON that this run wrote to {path}, got: {error}.") from error
    return content
