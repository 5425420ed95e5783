"""The declared groups: from raw values of a sensitive attribute to group numbers.

Names and number of the groups are public; who belongs to which is part of each record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from equigrad.errors import ConfigError, DataError

__all__ = ["MOST_GROUPS", "Groups", "find_groups"]

MOST_GROUPS = 50
"""An attribute with more values than this is a quantity, not a group."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of training and test records.

    Attributes
    ----------
    attribute
        The sensitive attribute's name.
    names
        The groups, in the order of their numbers.
    train, test
        ``(n,) int64`` group numbers.
    """

    attribute: str
    names: tuple[str, ...]
    train: torch.Tensor
    test: torch.Tensor

    def check_pair(self, pair: Sequence[str]) -> None:
        """Refuse a named pair that is not two of the groups."""
        unknown = [name for name in pair if name not in self.names]
        if unknown:
            raise ConfigError(
                f"Expected a pair of groups among {', '.join(self.names)}, got {unknown[0]!r}."
            )


def find_groups(
    attribute: str,
    train: npt.NDArray[Any],
    test: npt.NDArray[Any],
    declared: Sequence[str] = (),
) -> Groups:
    """Return the groups that values of a sensitive attribute make.

    Parameters
    ----------
    attribute
        Its name.
    train, test
        ``(n,)`` raw values.
    declared
        The groups' names in order; empty takes all values that occur, numbers by size, text by
        spelling.

    Raises
    ------
    DataError
        If a declared group has no training records, a value is not declared, fewer than two
        groups are there, or so many that the attribute is a quantity.
    """
    parts = [_text(values) for values in (train, test)]
    names = tuple(dict.fromkeys(declared)) or _found(train, test)
    if len(names) > MOST_GROUPS:
        raise DataError(
            f"Expected at most {MOST_GROUPS} groups in {attribute!r}, got {len(names)} values. "
            "Bin them into ranges first, or name another column."
        )
    if len(names) < 2:
        raise DataError(
            f"Expected at least two groups in {attribute!r}, got {', '.join(names) or 'none'}. "
            "Name another column."
        )
    numbers = [_numbered(attribute, values, names) for values in parts]
    empty = [n for k, n in enumerate(names) if not (numbers[0] == k).any()]
    if empty:
        raise DataError(
            f"Expected training records in every group of {attribute!r}, got none of "
            f"{', '.join(empty)}. Leave the group out, or give records of it."
        )
    return Groups(attribute, names, *(torch.from_numpy(n) for n in numbers))


def _text(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    whole = values.dtype.kind == "f" and bool((values == np.floor(values)).all())
    return (values.astype(np.int64) if whole else values).astype(str)


def _found(train: npt.NDArray[Any], test: npt.NDArray[Any]) -> tuple[str, ...]:
    if train.dtype.kind in "iuf" and test.dtype.kind in "iuf":
        ordered = np.unique(np.concatenate([train, test]))
        return tuple(str(name) for name in _text(ordered))
    return tuple(str(name) for name in np.unique(np.concatenate([_text(train), _text(test)])))


def _numbered(
    attribute: str, values: npt.NDArray[Any], names: tuple[str, ...]
) -> npt.NDArray[np.int64]:
    known = np.asarray(names)
    order = np.argsort(known)
    at = np.searchsorted(known[order], values).clip(max=len(names) - 1)
    numbers: npt.NDArray[np.int64] = order[at].astype(np.int64)
    wrong = np.flatnonzero(known[numbers] != values)
    if wrong.size:
        raise DataError(
            f"Expected values of {attribute!r} among {', '.join(names)}, got "
            f"{str(values[wrong[0]])!r}. Declare it as a group too, or remove those records."
        )
    return numbers
