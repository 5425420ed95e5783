"""The announcement of a round as data: what a seller is told, and how it reads it.

Neighbours: ``messages`` carries it, ``agent`` bids on it; the terms themselves are those of
:mod:`equigrad.market.settlement`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import numpy as np

from equigrad._validate import positive_int
from equigrad.errors import DataError, EquigradError
from equigrad.market import Ladder
from equigrad.market import Terms as AuctionTerms
from equigrad.market.settlement import Terms
from equigrad.market.settlement.codec import from_json

__all__ = ["Announced", "auction_facts"]


def auction_facts(terms: AuctionTerms, party: str) -> dict[str, Any]:
    """Return the public inputs of a clearing as one party is told them: JSON data.

    ``digest`` is that of all of it, ``quality`` the party's own row of the table.

    Raises
    ------
    DataError
        If the quality table has no row for the party.
    """
    row = terms.qualities().of(np.asarray([party], dtype=np.str_))[0]
    return {
        "mechanism": terms.mechanism,
        "ladder": terms.ladder.describe(),
        "scale": terms.scale,
        "quality": row.tolist(),
        "digest": terms.digest,
    }


@dataclass(frozen=True)
class Announced:
    """A round's announcement, read and found sane.

    Attributes
    ----------
    terms
        The settlement's terms, rebuilt from their data: their digest is the reader's own.
    ladder
        The epsilons for sale.
    scale
        Ledger units to one unit of currency.
    """

    terms: Terms
    ladder: Ladder
    scale: int

    @classmethod
    def read(cls, terms: Mapping[str, Any], auction: Mapping[str, Any]) -> Self:
        """Return the announcement of a :class:`~equigrad.federation.trade.messages.BidRequest`.

        Raises
        ------
        DataError
            If something is missing, impossible, or says another thing than the rest.
        """
        try:
            kept = from_json(Terms, dict(terms))
            ladder = Ladder(float(auction["ladder"]["eps_max"]), auction["ladder"]["steps"])
            scale = positive_int("scale", auction["scale"])
            digest = str(auction["digest"])
        except (EquigradError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"Expected the terms of a round, got others: {error}") from error
        for what, told, bound in (
            ("auction", digest, kept.auction),
            ("eps_max", ladder.eps_max, float(Fraction(kept.eps_max))),
            ("steps", ladder.steps, kept.steps),
        ):
            if told != bound:
                raise DataError(
                    f"Expected {what} = {bound!r}, as the terms say, got {told!r} in the auction."
                )
        return cls(kept, ladder, scale)
