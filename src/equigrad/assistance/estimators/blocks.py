"""Rows that several parties hold columns of, as one object that scikit-learn can split.

Neighbours: ``columns`` makes blocks of one table, ``base`` takes them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.errors import DataError

__all__ = ["PartyBlocks", "as_blocks"]


class PartyBlocks:
    """Each party's rows, aligned; splits by rows, as ``cross_val_score`` and others do.

    Parameters
    ----------
    blocks
        Arrays or frames ``(n, ...)`` by party name, or a sequence of them (named ``party 0`` and
        so on). The first is the sponsor's. None in the place of a party that is absent.

    Raises
    ------
    DataError
        If there is none, or numbers of rows differ.
    """

    def __init__(self, blocks: Mapping[str, Any] | Sequence[Any]) -> None:
        if not isinstance(blocks, Mapping):
            blocks = {f"party {m}": block for m, block in enumerate(blocks)}
        self.names = tuple(str(name) for name in blocks)
        self.blocks: tuple[Any, ...] = tuple(
            block if block is None or hasattr(block, "shape") else np.asarray(block)
            for block in blocks.values()
        )
        sizes = {
            name: int(block.shape[0])
            for name, block in zip(self.names, self.blocks, strict=True)
            if block is not None
        }
        if not sizes:
            raise DataError("Expected the rows of at least one party, got none.")
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{name}: {size}" for name, size in sizes.items())
            raise DataError(
                f"Expected as many rows of every party, got {told}. Align the blocks by record."
            )
        self._n_rows = next(iter(sizes.values()))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and columns of all parties together."""
        columns = [int(np.prod(b.shape[1:])) for b in self.blocks if b is not None]
        return self._n_rows, sum(columns)

    def __len__(self) -> int:
        return self._n_rows

    def __getitem__(self, rows: Any) -> "PartyBlocks":
        """Return some rows of every party: a slice, numbers or a mask."""
        key = rows[0] if isinstance(rows, tuple) else rows
        if isinstance(key, int | np.integer):
            key = [int(key)]
        return PartyBlocks(
            {
                name: None if block is None else _rows_of(block, key)
                for name, block in zip(self.names, self.blocks, strict=True)
            }
        )

    def array(self, m: int) -> npt.NDArray[Any] | None:
        """Return party m's rows as an array, or None if it is absent."""
        block = self.blocks[m]
        return None if block is None else np.asarray(block)

    def __repr__(self) -> str:
        told = ", ".join(
            f"{name}: {'absent' if block is None else 'x'.join(map(str, block.shape[1:]))}"
            for name, block in zip(self.names, self.blocks, strict=True)
        )
        return f"PartyBlocks({self._n_rows} rows; {told})"


def as_blocks(X: Any) -> PartyBlocks | None:
    """Return blocks if X is a collection of them, else None: X is one table."""
    if isinstance(X, PartyBlocks):
        return X
    if isinstance(X, Mapping) and not hasattr(X, "shape"):  # some sparse tables are mappings
        return PartyBlocks(X)
    if isinstance(X, list | tuple) and any(_is_table(block) for block in X):
        return PartyBlocks(X)
    return None


def _is_table(block: Any) -> bool:
    return hasattr(block, "shape") and len(block.shape) >= 2


def _rows_of(block: Any, key: Any) -> Any:
    return block.iloc[key] if hasattr(block, "iloc") else block[key]
