"""Public quality tables: what the clock pays for a level, in integers, for each party.

The clock offers party i level k at ``P d_i Q_i[k]``. ``Q_i`` must be a function of public facts
only; then it may be anything nondecreasing, learned ones included.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from equigrad._validate import in_range, positive_int
from equigrad.errors import ConfigError, DataError
from equigrad.market._rows import frozen, integers
from equigrad.market.arithmetic import Int64
from equigrad.market.canonical import array_bytes, sha256

__all__ = ["MOST_QUALITY", "QUALITY_STEPS", "QualityTable", "power_quality"]

QUALITY_STEPS = 10**4
"""Integer steps to which a real quality is rounded down."""

MOST_QUALITY = 2**31 - 1
"""Largest entry of a quality table."""


@dataclass(frozen=True, eq=False)
class QualityTable:
    """Integer qualities, ``Q[0] = 0`` and nondecreasing along levels.

    Attributes
    ----------
    rows
        ``(K + 1,)``, one table for everybody, or ``(M, K + 1)``, one for each of M parties; int64
        in ``[0, 2**31 - 1]``, read-only.
    party
        Of a table for each party: their M names in ascending order; else None. There must be one
        row for every party that bids; others are not used.

    Raises
    ------
    ConfigError
        On construction, if something is not as said here.
    """

    rows: Int64
    party: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        rows = integers("quality", self.rows)
        if rows.ndim != (1 if self.party is None else 2) or rows.shape[-1] < 2:
            raise ConfigError(
                "Expected quality of shape (K + 1,), or (M, K + 1) with M party names, got "
                f"{rows.shape} with {'no' if self.party is None else len(self.party)} names."
            )
        if (rows[..., 0] != 0).any() or (rows[..., 1:] < rows[..., :-1]).any():
            raise ConfigError("Expected quality 0 at level 0 and nondecreasing along levels.")
        if rows.size and rows.max() > MOST_QUALITY:
            raise ConfigError(f"Expected quality <= 2^31 - 1, got {int(rows.max())}.")
        if self.party is not None:
            names = tuple(self.party)
            if len(names) != len(rows) or any(a >= b for a, b in itertools.pairwise(names)):
                raise ConfigError("Expected one quality row for each party, ascending by party.")
            object.__setattr__(self, "party", names)
        object.__setattr__(self, "rows", frozen(rows))

    @property
    def steps(self) -> int:
        """K, the number of levels above 0."""
        return int(self.rows.shape[-1]) - 1

    @property
    def shared(self) -> bool:
        """Whether all parties have the same table."""
        return self.party is None

    def of(self, party: npt.NDArray[np.str_]) -> Int64:
        """Return the tables of the parties, ``(N, K + 1)``; a read-only view if shared.

        Raises
        ------
        DataError
            If there is no row for one of them.
        """
        if self.party is None:
            return np.broadcast_to(self.rows, (len(party), self.steps + 1))
        names = np.asarray(self.party, dtype=np.str_)
        found = np.minimum(np.searchsorted(names, party), max(len(names) - 1, 0))
        missing = np.ones(len(party), bool) if not len(names) else names[found] != party
        if missing.any():
            who = str(party[np.flatnonzero(missing)[0]])
            raise DataError(
                f"Expected a row of the quality table for every bidder, got none for {who!r}."
            )
        return self.rows[found]

    @property
    def digest(self) -> str:
        """SHA-256 of the table, 64 hexadecimal digits."""
        names = b"" if self.party is None else "\n".join(self.party).encode("utf-8")
        return sha256(names, array_bytes(self.rows))


def power_quality(
    steps: int,
    *,
    quality_exponent: float = 1.0,
    size_exponent: float = 0.0,
    party: Sequence[str] | None = None,
    dcap: npt.ArrayLike | None = None,
) -> QualityTable:
    """Return ``Q_i[k] = floor(10^4 (k/K)^alpha (N w_i)^(-beta))``, to be published before bids.

    With ``alpha = 1, beta = 0`` it is ``Q[k] = k``, exactly. Computed once, in floats, by whoever
    announces; what is published and cleared with is the integers.

    Parameters
    ----------
    steps
        K.
    quality_exponent
        alpha, in (0, 8]: below 1 the first levels are worth more, above 1 the last.
    size_exponent
        beta, in [0, 4]. Above 0 small listings are paid more per record: lower error, but
        splitting a listing pays, and sizes must be attested exactly.
    party, dcap
        Names and attested sizes, ``(N,)`` each, of all listings; needed with beta > 0 only.

    Raises
    ------
    ConfigError
        If a setting is out of range or a quality is above ``2**31 - 1``.
    """
    positive_int("steps", steps)
    in_range("quality_exponent", quality_exponent, 0.0, 8.0, left_open=True)
    in_range("size_exponent", size_exponent, 0.0, 4.0)
    level = np.arange(steps + 1, dtype=np.int64)
    if size_exponent == 0 and quality_exponent == 1:
        return QualityTable(level)
    shape = QUALITY_STEPS * (level / steps) ** quality_exponent
    if size_exponent == 0:
        return QualityTable(np.floor(shape).astype(np.int64))
    if party is None or dcap is None or not len(party):
        raise ConfigError("Expected party and dcap of all listings with size_exponent > 0.")
    sizes = integers("dcap", dcap).astype(np.float64)
    names = np.asarray(party, dtype=np.str_)
    order = np.argsort(names, kind="stable")
    relative = sizes / sizes.mean()  # N w_i
    rows = np.floor(shape * (relative[order, None] ** -size_exponent))
    if rows.max() > MOST_QUALITY:
        raise ConfigError(f"Expected quality <= 2^31 - 1, got {rows.max():g}. Lower size_exponent.")
    return QualityTable(rows.astype(np.int64), tuple(names[order].tolist()))
