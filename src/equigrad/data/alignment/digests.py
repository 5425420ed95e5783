"""Keyed digests of identifiers, and the order of rows that follows from them.

Neighbours: ``identifiers`` folds, ``intersect`` compares.
"""

import hmac
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from equigrad.data.alignment.identifiers import fold_id
from equigrad.errors import AlignmentError, ConfigError, DataError

__all__ = [
    "DIGEST_BYTES",
    "KEY_BYTES",
    "Digests",
    "check_key",
    "check_unique",
    "digest_ids",
    "order_by_digest",
    "sortable",
]

DIGEST_BYTES: Final = 32
KEY_BYTES: Final = 32
_DISTINCT: Final = 8
_SHOWN: Final = 3

Digests = npt.NDArray[np.uint8]
"""``(N, 32)``."""


def check_key(key: bytes) -> bytes:
    """Return the key if it is long enough and not made of a few repeated bytes.

    Raises
    ------
    ConfigError
        With fewer than 32 bytes, or fewer than 8 different ones.
    """
    if len(key) < KEY_BYTES or len(set(key)) < _DISTINCT:
        raise ConfigError(
            f"Expected an alignment key of at least {KEY_BYTES} random bytes, got {len(key)} with "
            f"{len(set(key))} different ones. Make one with: equigrad key FILE"
        )
    return key


def digest_ids(
    ids: Sequence[str], key: bytes, fold: Sequence[str] = (), *, whose: str = "the identifiers"
) -> Digests:
    """Return HMAC-SHA-256 of each identifier's UTF-8 after :func:`fold_id`, ``(N, 32) uint8``.

    Who does not hold the key learns nothing from them but which are equal; who does can test
    guesses.

    Parameters
    ----------
    ids
        ``N`` texts.
    key
        At least 32 bytes, shared by the parties.
    fold
        Declared foldings.
    whose
        Names the identifiers in errors.

    Raises
    ------
    AlignmentError
        If one is empty after folding, or two are equal: with counts and record numbers, never the
        identifiers.
    ConfigError
        If the key is weak or a folding unknown.
    """
    check_key(key)
    folded = [fold_id(text, fold) for text in ids]
    empty = [number for number, text in enumerate(folded) if not text]
    if empty:
        raise AlignmentError(
            f"Expected an identifier in every record of {whose}, got {len(empty)} without a sign "
            f"after folding, the first in record {empty[0]} (from 0). Fill or remove them."
        )
    texts = (text.encode("utf-8", "surrogatepass") for text in folded)
    joined = b"".join(hmac.digest(key, text, "sha256") for text in texts)
    digests = np.frombuffer(joined, dtype=np.uint8).reshape(-1, DIGEST_BYTES)
    check_unique(digests, whose)
    return digests


def check_unique(digests: Digests, whose: str) -> None:
    """Raise ``AlignmentError`` if two digests are equal, with counts and record numbers."""
    order = order_by_digest(digests)
    repeated = (digests[order[1:]] == digests[order[:-1]]).all(axis=1)
    if not repeated.any():
        return
    pairs = [(int(order[i]), int(order[i + 1])) for i in np.flatnonzero(repeated)[:_SHOWN]]
    told = "; ".join(f"{min(pair)} and {max(pair)}" for pair in sorted(pairs))
    raise AlignmentError(
        f"Expected each identifier once in {whose} after folding, got {int(repeated.sum())} "
        f"repetitions in {len(digests)} records, such as in records {told} (from 0). Remove the "
        "copies, or fold less."
    )


def order_by_digest(digests: Digests) -> npt.NDArray[np.int64]:
    """Return the positions ``(N,)`` that sort the digests as byte strings; ties keep their order.

    The order of every exchange: it tells nothing of the order in the sponsor's file.
    """
    return np.argsort(sortable(digests), kind="stable").astype(np.int64)


def sortable(digests: Digests) -> npt.NDArray[np.bytes_]:
    """Return digests as ``(N,)`` fixed-width byte strings, which compare and sort as bytes.

    Raises
    ------
    DataError
        If they are not ``(N, 32) uint8``.
    """
    if digests.dtype != np.uint8 or digests.ndim != 2 or digests.shape[1] != DIGEST_BYTES:
        raise DataError(
            f"Expected digests as uint8 of shape (N, {DIGEST_BYTES}), got {digests.dtype} of shape "
            f"{digests.shape}."
        )
    return np.ascontiguousarray(digests).view(f"S{DIGEST_BYTES}").ravel()
