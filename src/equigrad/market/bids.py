"""The canonical bid: what a party signs, commits to and is cleared by.

Computed at the party, once; everybody else handles integers. A re-computation of a clearing never
evaluates a curve, so it is the same on every machine.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError, DataError
from equigrad.market.arithmetic import Int64
from equigrad.market.canonical import canonical_json, sha256
from equigrad.market.curves import Curve, curve_values
from equigrad.market.ladder import Ladder
from equigrad.market.units import MOST_UNITS, SCALE

__all__ = ["Bid", "bid_tables", "canonical_bid", "tables_and_caps"]


@dataclass(frozen=True)
class Bid:
    """One party's canonical bid in one round.

    Attributes
    ----------
    party
        Identity of the party: one bid per party and round.
    table
        u, ``K + 1`` integers: ledger units per record at each level; u[0] = 0, nondecreasing.
    cap_level
        kcap, the highest level that the party sells, from 0 to K.
    size
        d, number of records, >= 1; at most the attested one.
    listing
        What is sold: name or digest of the listing.
    terms
        Digest of the public terms (:attr:`equigrad.market.terms.Terms.digest`) that it answers.
    """

    party: str
    table: tuple[int, ...]
    cap_level: int
    size: int
    listing: str = ""
    terms: str = ""

    def to_bytes(self) -> bytes:
        """Return the canonical bytes: JSON in ASCII, sorted keys, integers only."""
        content = {
            "cap_level": int(self.cap_level),
            "listing": self.listing,
            "party": self.party,
            "size": int(self.size),
            "table": [int(price) for price in self.table],
            "terms": self.terms,
        }
        return canonical_json(content)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes, 64 hexadecimal digits."""
        return sha256(self.to_bytes())

    @classmethod
    def from_bytes(cls, content: bytes) -> "Bid":
        """Return the bid whose canonical bytes are ``content``.

        Raises
        ------
        DataError
            If the bytes are not canonical: not the very bytes that the bid itself would give.
        """
        try:
            found: dict[str, Any] = json.loads(content)
            bid = cls(**{**found, "table": tuple(found["table"])})
            same = bid.to_bytes() == content
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"Expected the canonical bytes of a bid, got {error}.") from error
        if not same:
            raise DataError(
                "Expected the canonical bytes of a bid (ASCII JSON, sorted keys, no blanks, "
                "integers), got another spelling. Send Bid.to_bytes()."
            )
        return bid


def bid_tables(values: npt.ArrayLike, scale: int = SCALE) -> Int64:
    """Return ``ceil(scale * v)``, made nondecreasing along the last axis by a running maximum.

    Parameters
    ----------
    values
        ``(..., K + 1) float64``, currency per record at each level, finite, >= 0, 0 at level 0.

    Returns
    -------
    Int64
        Ledger units per record, same shape.

    Raises
    ------
    ConfigError
        If a value is negative, NaN or infinite, not 0 at level 0, or above ``2**62`` units.
    """
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all() or (array < 0).any():
        bad = array[~(np.isfinite(array) & (array >= 0))]
        raise ConfigError(f"Expected prices finite and >= 0, got {float(bad.flat[0])!r}.")
    if (array[..., 0] != 0).any():
        raise ConfigError("Expected v(0) = 0: selling nothing costs nothing.")
    units = np.ceil(scale * array)
    if units.size and units.max() >= MOST_UNITS:
        raise ConfigError(
            f"Expected prices below 2^62 ledger units per record, got {units.max():g} at "
            f"scale={scale}. Lower scale."
        )
    return np.maximum.accumulate(units.astype(np.int64), axis=-1)


def canonical_bid(
    party: str,
    curve: Curve,
    eps_cap: float,
    size: int,
    ladder: Ladder,
    *,
    scale: int = SCALE,
    listing: str = "",
    terms: str = "",
) -> Bid:
    """Return the canonical bid of a party: its curve on the public ladder, in ledger units.

    ``eps_cap`` (> 0) is cut to the ladder and to the curve's own cap. The arguments are those of
    :class:`Bid` and :func:`bid_tables`.
    """
    tables, caps = tables_and_caps([curve], [eps_cap], ladder, scale)
    table = tuple(int(price) for price in tables[0])
    return Bid(party, table, int(caps[0]), int(size), listing, terms)


def tables_and_caps(
    curves: Sequence[Curve], eps_caps: npt.ArrayLike, ladder: Ladder, scale: int = SCALE
) -> tuple[Int64, Int64]:
    """Return u ``(n, K + 1)`` and kcap ``(n,)`` of n curves and caps on epsilon, all > 0."""
    own = np.asarray([curve.cap for curve in curves], dtype=np.float64)
    caps = np.minimum(np.asarray(eps_caps, dtype=np.float64), own)
    return bid_tables(curve_values(curves, ladder.levels), scale), ladder.top_level(caps)
