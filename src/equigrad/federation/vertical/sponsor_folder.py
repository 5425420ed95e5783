"""The sponsor's own folder: messages, fits and its model; it is shown to nobody.

What was sent is on the disk before it leaves, so that a killed run sends the same again.
Neighbours: ``remote`` writes rounds, ``run`` reads them again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from equigrad.assistance.arrays import Bool, Float64
from equigrad.errors import RecordError
from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.disk import write_atomic
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

    def message(self, pass_: int, t: int) -> Float64:
        """Return the message of a round, ``(n_fit, K)``."""
        return read_arrays(self._file("message", pass_, t))["message"]

    def messages(self, pass_: int, count: int) -> Float64:
        """Return the messages of rounds 1 to ``count`` >= 1, ``(count, n_fit, K)``."""
        found = [read_arrays(self._file("message", pass_, t)) for t in range(1, count + 1)]
        return np.stack([arrays["message"] for arrays in found])

    def keep_fits(self, pass_: int, t: int, fits: Sequence[Float64 | None]) -> None:
        """Write the answers of a round that can be used."""
        arrays = {str(m): fit for m, fit in enumerate(fits) if fit is not None}
        write_arrays(self._file("fits", pass_, t), arrays)

    def fits(self, pass_: int, t: int) -> dict[int, Float64]:
        """Return the answers of a round by the party's number."""
        found = read_arrays(self._file("fits", pass_, t))
        return {int(m): fit for m, fit in found.items()}

    def keep_rows(self, digests: npt.NDArray[np.uint8], target: Float64, held: Bool) -> None:
        """Write digests, labels and masks of the rows."""
        write_arrays(
            self.path / "rows.safetensors", {"digests": digests, "target": target, "held": held}
        )

    def rows(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return ``digests (N, 32)``, ``target (N, K)`` and ``held (N, M)``."""
        return dict(read_arrays(self.path / "rows.safetensors"))

    def held(self) -> Bool:
        """Return who holds which row, ``(N, M)``."""
        return np.asarray(self.rows()["held"], dtype=np.bool_)

    def keep(self, name: str, content: Mapping[str, object]) -> None:
        """Write JSON for the sponsor alone."""
        write_atomic(self.path / name, canonical_json(content), mode=0o600)

    def _file(self, what: str, pass_: int, t: int) -> Path:
        return self.path / f"{what}-{pass_}-{t:04d}.safetensors"
