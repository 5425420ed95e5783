"""Rows of which only some take part: a private selection, as secret as the rows themselves.

A run on a selection must not show how many records were chosen. So it is given all rows and a mask:
every row is drawn as without a selection, and what was drawn and not kept adds nothing. Sampling
rate, divisor and every other setting are those of all rows, an empty selection is a run on noise
alone, and one more kept row changes one row's contribution and nothing else. Neighbours:
:mod:`.rows` reads rows, :mod:`.release` asks who is present.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from equigrad.errors import ConfigError, DataError
from equigrad.privacy.training.rows import Inputs, Rows

__all__ = ["KeptRows", "kept_rows", "present", "refuse_cut_selection"]


class KeptRows:
    """Rows with a mask over them; number and contents are those of all rows.

    Parameters
    ----------
    rows
        All rows.
    kept
        ``(N,) bool``: which of them take part.
    """

    def __init__(self, rows: Rows, kept: Tensor) -> None:
        self.rows, self.kept = rows, kept

    @property
    def groups(self) -> Tensor | None:
        """Group labels of all rows."""
        return self.rows.groups

    def __len__(self) -> int:
        """Return N, the number of all rows."""
        return len(self.rows)

    def take(self, indices: Tensor) -> tuple[Inputs, Tensor]:
        """Return the rows ``indices``, kept or not."""
        return self.rows.take(indices)

    def chunks(self, size: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Yield all rows in order."""
        return self.rows.chunks(size)


def kept_rows(rows: Rows, kept: object) -> KeptRows:
    """Return ``rows`` with a copy of the mask ``kept``: an array, a tensor or a list.

    Raises
    ------
    DataError
        If ``kept`` is not one truth value for each row.
    """
    # A copy: an array of a Selection is read-only, and another could change during the run.
    mask = kept.detach().cpu().clone() if isinstance(kept, Tensor) else torch.tensor(kept)
    if mask.dtype is not torch.bool or mask.shape != (len(rows),):
        raise DataError(
            f"Expected kept as one truth value per row, bool of shape ({len(rows)},), got "
            f"{mask.dtype} of shape {tuple(mask.shape)}."
        )
    return KeptRows(rows, mask)


def refuse_cut_selection(max_logical_batch: int | None) -> None:
    """Refuse cut batches of a selection: rows that take no part would push kept ones out.

    Raises
    ------
    ConfigError
        If batches are cut.
    """
    if max_logical_batch is not None:
        raise ConfigError(
            f"Expected kept without max_logical_batch, got max_logical_batch={max_logical_batch}. "
            "Leave it out: large batches are accumulated in parts of max_physical."
        )


def present(rows: Rows, drawn: Tensor) -> Tensor:
    """Return the drawn rows that take part, in their order."""
    return drawn[rows.kept[drawn]] if isinstance(rows, KeptRows) else drawn
