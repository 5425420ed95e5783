"""The sponsor's own folder: messages, fits and its model; it is shown to nobody.

What was sent is on the disk before it leaves, so that a killed run sends the same again. Neighbours:
``remote`` writes rounds, ``run`` reads them again.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from equigrad.assistance.arrays import Bool, Float64
from equigrad.errors import RecordError
from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.disk import write_atomic, writing
from equigrad.federation.vertical.shelf import read_arrays, write_arrays

__all__ = ["SponsorFolder"]


class SponsorFolder:
    """The files of the sponsor's side of a run.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make the folder, readable by its owner alone."""
        with writing(self.path):
            self.path.mkdir(mode=0o700, exist_ok=True)

    def keep_message(self, pass_: int, t: int, message: Float64) -> None:
        """Write the message ``(n_fit, K)`` of a round before it leaves.

        Raises
        ------
        RecordError
            If another message was written for this round: it may have left, and two residuals of
            one round, with one noise, would tell the labels.
        """
        path = self._file("message", pass_, t)
        if path.is_file():
            if not np.array_equal(read_arrays(path)["message"], message):
                raise RecordError(
                    f"Expected the message that was kept in {path}, got another one for the same "
                    "round. Data, program or machine have changed: start a new run."
                )
            return
        write_arrays(path, {"message": message})

    def messages(self, pass_: int, count: int, shape: tuple[int, int]) -> Float64:
        """Return the messages of rounds 1 to ``count``, ``(count, n_fit, K)``."""
        found = [read_arrays(self._file("message", pass_, t))["message"] for t in _to(count)]
        return np.array(found, dtype=np.float64).reshape(count, *shape)

    def keep_fits(self, pass_: int, t: int, fits: Sequence[Float64 | None]) -> None:
        """Write the answers of a round that can be used."""
        arrays = {str(m): fit for m, fit in enumerate(fits) if fit is not None}
        write_arrays(self._file("fits", pass_, t), arrays)

    def fits(self, pass_: int, t: int) -> dict[int, Float64]:
        """Return the answers of a round by the party's number."""
        found = read_arrays(self._file("fits", pass_, t))
        return {int(m): fit for m, fit in found.items()}

    def keep_rows(
        self, digests: npt.NDArray[np.uint8], target: Float64, held: Bool, rows: str
    ) -> None:
        """Write digests, labels and masks of the rows, and the fingerprint of their columns."""
        write_arrays(
            self.path / "rows.safetensors", {"digests": digests, "target": target, "held": held}
        )
        write_atomic(self.path / "rows.json", canonical_json({"sha256": rows}), mode=0o600)

    def rows(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return ``digests (N, 32)``, ``target (N, K)`` and ``held (N, M)``."""
        return dict(read_arrays(self.path / "rows.safetensors"))

    def rounds(self, pass_: int) -> int:
        """Return how many rounds of a pass have answers on the disk."""
        names = [path.name for path in self.path.iterdir()]
        return sum(bool(re.fullmatch(rf"fits-{pass_}-\d+\.safetensors", name)) for name in names)

    def keep(self, name: str, content: Mapping[str, object]) -> None:
        """Write JSON for the sponsor alone."""
        write_atomic(self.path / name, canonical_json(content), mode=0o600)

    def _file(self, what: str, pass_: int, t: int) -> Path:
        return self.path / f"{what}-{pass_}-{t:04d}.safetensors"


def _to(count: int) -> range:
    return range(1, count + 1)
