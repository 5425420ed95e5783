"""All bids of a round as arrays, sorted by party: what an auction clears.

Sorting by party is what breaks ties, and what makes the order of arrival irrelevant.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.errors import DataError
from equigrad.market._rows import check_rows, frozen, integers
from equigrad.market.arithmetic import Int64
from equigrad.market.bids import Bid, tables_and_caps
from equigrad.market.canonical import array_bytes, sha256
from equigrad.market.curves import Curve
from equigrad.market.ladder import Ladder
from equigrad.market.units import SCALE

__all__ = ["BidBook"]


@dataclass(frozen=True, eq=False)
class BidBook:
    """The canonical bids of N >= 0 parties and what is attested of them, in read-only arrays.

    Construct it with :meth:`of`, :meth:`gather` or :meth:`from_curves`; they sort by party (by
    code points) and check everything. Memory: the tables, ``8 N (K + 1)`` bytes.

    Attributes
    ----------
    party
        ``(N,) str``, strictly ascending.
    u
        ``(N, K + 1) int64``, ledger units per record at each level: u[:, 0] = 0, nondecreasing,
        at most ``2**62``. *A party's report.*
    kcap
        ``(N,) int64``, the highest level that a party sells, 0..K. *A party's report.*
    d
        ``(N,) int64``, number of records, ``1 <= d <= dcap``. *A party's report.*
    dcap
        ``(N,) int64``, the attested number of records, at most ``2**62``. *Public.*
    kbar
        ``(N,) int64``, level cap of the listing, 0..K. *Public.*
    """

    party: npt.NDArray[np.str_]
    u: Int64
    kcap: Int64
    d: Int64
    dcap: Int64
    kbar: Int64

    @classmethod
    def of(
        cls,
        party: Sequence[str] | npt.NDArray[np.str_],
        u: npt.ArrayLike,
        kcap: npt.ArrayLike,
        d: npt.ArrayLike,
        *,
        dcap: npt.ArrayLike | None = None,
        kbar: npt.ArrayLike | None = None,
    ) -> "BidBook":
        """Return the book of N bids given as arrays in any order.

        Arrays of int64 that are sorted by party already are shared, not copied.

        ``dcap`` defaults to ``d``, ``kbar`` to K; attributes as in the class.

        Raises
        ------
        DataError
            If something is not as said in the class, or a party bids twice; the message names
            the party.
        """
        names = np.asarray(party, dtype=np.str_)
        tables = integers("u", u)
        if names.ndim != 1 or tables.ndim != 2 or len(tables) != len(names) or not tables.shape[1]:
            raise DataError(
                f"Expected u of shape (N, K + 1) for N={names.size} parties, got {tables.shape}."
            )
        columns = [integers("kcap", kcap), integers("d", d)]
        columns.append(columns[1] if dcap is None else integers("dcap", dcap))
        top = tables.shape[1] - 1
        columns.append(np.full(names.size, top) if kbar is None else integers("kbar", kbar))
        for name, column in zip(("kcap", "d", "dcap", "kbar"), columns, strict=True):
            if column.shape != names.shape:
                raise DataError(f"Expected {name} of shape {names.shape}, got {column.shape}.")
        if not (names[1:] > names[:-1]).all():
            order = np.argsort(names, kind="stable")
            names, tables = names[order], tables[order]
            columns = [column[order] for column in columns]
        book = cls(*(frozen(array) for array in (names, tables, *columns)))
        check_rows(book)
        return book

    @classmethod
    def gather(
        cls,
        bids: Iterable[Bid],
        *,
        size_caps: Mapping[str, int] | None = None,
        level_caps: Mapping[str, int] | None = None,
        terms: str | None = None,
    ) -> "BidBook":
        """Return the book of canonical bids.

        Parameters
        ----------
        bids
            At least one bid, in any order, all on one ladder.
        size_caps, level_caps
            dcap and kbar by party; a party that is not in them has its own size and K.
        terms
            The digest of terms that every bid must name; None: not compared.
        """
        rows = list(bids)
        if not rows:
            raise DataError(
                "Expected at least one bid to gather; use BidBook.empty(steps) for none."
            )
        for bid in rows:
            if terms is not None and bid.terms != terms:
                raise DataError(
                    f"Expected bids under the terms {terms}, got one of {bid.party!r} under "
                    f"{bid.terms or 'none'}. It answers another round."
                )
            if len(bid.table) != len(rows[0].table):
                raise DataError(
                    f"Expected {len(rows[0].table)} levels in every bid, got {len(bid.table)} "
                    f"of {bid.party!r}."
                )
        sizes, levels = size_caps or {}, level_caps or {}
        return cls.of(
            [bid.party for bid in rows],
            [bid.table for bid in rows],
            [bid.cap_level for bid in rows],
            [bid.size for bid in rows],
            dcap=[sizes.get(bid.party, bid.size) for bid in rows],
            kbar=[levels.get(bid.party, len(bid.table) - 1) for bid in rows],
        )

    @classmethod
    def from_curves(
        cls,
        party: Sequence[str],
        curves: Sequence[Curve],
        eps_caps: npt.ArrayLike,
        sizes: npt.ArrayLike,
        ladder: Ladder,
        *,
        scale: int = SCALE,
        dcap: npt.ArrayLike | None = None,
        kbar: npt.ArrayLike | None = None,
    ) -> "BidBook":
        """Return the book of the canonical bids of N curves; for simulations and owners."""
        u, kcap = tables_and_caps(curves, eps_caps, ladder, scale)
        return cls.of(party, u, kcap, sizes, dcap=dcap, kbar=kbar)

    @classmethod
    def empty(cls, steps: int) -> "BidBook":
        """Return the book of nobody, on a ladder of ``steps`` steps."""
        none = np.zeros(0, dtype=np.int64)
        return cls.of(np.zeros(0, np.str_), np.zeros((0, steps + 1), np.int64), none, none)

    @property
    def n(self) -> int:
        """N, the number of bidders."""
        return len(self.party)

    @property
    def steps(self) -> int:
        """K, the number of levels above 0."""
        return int(self.u.shape[1]) - 1

    @property
    def limit(self) -> Int64:
        """``min(kcap, kbar)``, the highest level that each party can be awarded, ``(N,)``."""
        return np.minimum(self.kcap, self.kbar)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the parties and all arrays, 64 hexadecimal digits."""
        names = "\n".join(self.party.tolist()).encode("utf-8")
        arrays = (self.u, self.kcap, self.d, self.dcap, self.kbar)
        return sha256(names, *map(array_bytes, arrays))

    def row(self, party: str) -> int:
        """Return the row of ``party``.

        Raises
        ------
        DataError
            If it did not bid.
        """
        row = int(np.searchsorted(self.party, party))
        if row == self.n or self.party[row] != party:
            raise DataError(f"Expected a party that bid, got {party!r}.")
        return row

    def with_report(
        self,
        row: int,
        *,
        u: npt.ArrayLike | None = None,
        kcap: int | None = None,
        d: int | None = None,
    ) -> "BidBook":
        """Return the book in which the party of ``row`` reports something else, checked."""
        changed: dict[str, Any] = {}
        for name, value in (("u", u), ("kcap", kcap), ("d", d)):
            if value is not None:
                array = getattr(self, name).copy()
                array[row] = integers(name, value)
                changed[name] = frozen(array)
        book = replace(self, **changed)
        check_rows(book.take([row]))
        return book

    def take(self, rows: npt.ArrayLike) -> "BidBook":
        """Return the book of the parties of ``rows`` alone; rows ascending."""
        index = np.asarray(rows, dtype=np.int64)
        arrays = (self.party, self.u, self.kcap, self.d, self.dcap, self.kbar)
        return BidBook(*(frozen(array[index]) for array in arrays))
