"""How the estimators read rows: one table with columns by party, or blocks.

Neighbours: ``blocks`` and ``columns``; ``answering`` and ``base`` build on it.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from equigrad.assistance.arrays import Int64
from equigrad.assistance.estimators.blocks import PartyBlocks, as_blocks
from equigrad.assistance.estimators.columns import columns_of_parties, in_order
from equigrad.assistance.parties import Block
from equigrad.errors import ConfigError, DataError

__all__ = ["ALONE", "Reading", "refuse_labels_among_columns", "refuse_unfinite"]

ALONE = "sponsor"


class Reading(BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn is untyped
    """Reads rows in fit and in prediction."""

    def _blocks_to_fit(self, X: Any) -> dict[str, Block]:
        """Return each party's rows, sponsor first, and remember how to find them again."""
        found = as_blocks(X)
        self._columns: dict[str, Int64] | None = None
        if found is not None:
            if self.parties is not None:
                raise ConfigError(
                    "Expected one table with parties=..., or blocks without it; got both. Blocks "
                    "say themselves whose columns they are."
                )
            blocks = self._arrays(found, in_order(found.names, self.sponsor))
            self.n_features_in_ = found.shape[1]
            return blocks
        table = self._table(X, reset=True)
        if self.parties is None:
            return {ALONE: table}
        self._columns = columns_of_parties(
            X,
            self.parties,
            n_columns=table.shape[1],
            sponsor=self.sponsor,
            remainder=self.remainder,
        )
        return {name: table[:, numbers] for name, numbers in self._columns.items()}

    def _table(self, X: Any, *, reset: bool) -> npt.NDArray[Any]:
        """Return one table's numbers; missing ones are looked at by party, where there are some."""
        finite: Any = False if self.parties is not None else not self._takes_missing()
        found: npt.NDArray[Any] = validate_data(
            self,
            X,
            dtype=np.float64,
            reset=reset,
            ensure_all_finite="allow-nan" if self.parties is None and not finite else finite,
        )
        return found

    def _arrays(self, found: PartyBlocks, names: list[str]) -> dict[str, Block]:
        """Return the blocks of the parties that are there."""
        blocks = {}
        for name in names:
            array = found.array(found.names.index(name))
            if array is None:
                raise DataError(
                    f"Expected the rows of party {name!r} to fit, got none. Leave the party out."
                )
            blocks[name] = array
        return blocks

    def _blocks_to_predict(self, X: Any) -> tuple[list[Block | None], int]:
        """Return the rows of each party in fitted order, None where it is absent, and how many."""
        found = as_blocks(X)
        if found is None:
            if self.party_names_ != (ALONE,) and self._columns is None:
                raise DataError(
                    f"Expected blocks of {len(self.party_names_)} parties, got one table. Give "
                    "them as in fit."
                )
            table = self._table(X, reset=False)
            if self._columns is None:
                return [table], len(table)
            return [table[:, numbers] for numbers in self._columns.values()], len(table)
        unknown = [name for name in found.names if name not in self.party_names_]
        if unknown:
            raise DataError(
                f"Expected blocks of {', '.join(self.party_names_)}; got one of {unknown[0]!r}."
            )
        blocks: list[Block | None] = [
            found.array(found.names.index(name)) if name in found.names else None
            for name in self.party_names_
        ]
        for name, block, shape in zip(self.party_names_, blocks, self._shapes, strict=True):
            if block is not None and block.shape[1:] != shape:
                raise DataError(
                    f"Expected rows of shape {shape} of party {name!r}, got {block.shape[1:]}. "
                    "Give the columns it was fitted with."
                )
        return blocks, len(found)

    @abstractmethod
    def _takes_missing(self) -> bool:
        """Return whether one table may hold NaN."""


def refuse_labels_among_columns(X: Any, y: Any) -> None:
    """Raise ``DataError`` if a column of a frame has the labels' name."""
    name = getattr(y, "name", None)
    if name is not None and name in list(getattr(X, "columns", ())):
        raise DataError(
            f"Expected labels with the sponsor alone, got a column {name!r} among the features as "
            "well as in y. Drop it."
        )


def refuse_unfinite(y: Any) -> None:
    """Raise ``DataError`` for labels that are NaN or infinite."""
    labels = np.asarray(y)
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise DataError("Expected finite labels, got NaN or infinity in y. Drop such rows.")
