"""The papers of a round: bids, commitments to them, clearings, awards, deliveries and verdicts.

Neighbours: ``entities`` has what they refer to, ``bidding`` and ``awards`` what happens to them.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from equigrad.errors import ConfigError
from equigrad.market.settlement.codec import canonical, sha256
from equigrad.market.settlement.entities import Listing, Terms
from equigrad.market.settlement.fields import count, digest, identifier, nonce
from equigrad.market.settlement.money import MAX_UNITS, units

__all__ = [
    "Allocation",
    "Award",
    "AwardState",
    "BidPaper",
    "BidRecord",
    "Clearing",
    "Delivery",
    "Receipt",
    "Upload",
    "Verdict",
    "commitment",
    "flaw",
    "inputs_digest",
]


class AwardState(StrEnum):
    """Where an award stands."""

    OFFERED = "offered"
    RESERVED = "reserved"
    DELIVERED = "delivered"
    VERIFIED = "verified"
    PAID = "paid"
    EXPIRED = "expired"
    REJECTED = "rejected"
    DISPUTED = "disputed"


@dataclass(frozen=True)
class BidPaper:
    """A canonical bid, as its party wrote, signed and sealed it.

    Attributes
    ----------
    party, listing
        Who sells, and what.
    table
        Price in ledger units per record at each level, ``steps + 1`` whole numbers from 0 up,
        none below the one before.
    level_cap
        Largest level that the party sells.
    size
        Records on sale.
    terms
        Digest of the round's terms.
    """

    party: str
    listing: str
    table: tuple[int, ...]
    level_cap: int
    size: int
    terms: str

    def __post_init__(self) -> None:
        identifier("party", self.party)
        identifier("listing", self.listing)
        digest("terms", self.terms)
        numbers = (*self.table, self.level_cap, self.size)
        if not isinstance(self.table, tuple) or any(type(n) is not int for n in numbers):
            raise ConfigError(
                f"Expected the bid of {self.party} in whole numbers, got {self!r}. Round prices up "
                "to ledger units first."
            )


def commitment(paper: BidPaper, opening: str, round_: str) -> str:
    """Return H = SHA-256(canonical bid, nonce, round, party), every part led by its length.

    The length makes the parts unambiguous; ``opening`` is the nonce, 16 to 64 bytes in hexadecimal,
    without which a guess of the bid could be checked against H.
    """
    parts = (canonical(paper), bytes.fromhex(nonce(opening)), round_.encode(), paper.party.encode())
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(len(part).to_bytes(8, "big") + part)
    return hasher.hexdigest()


def flaw(paper: BidPaper, listing: Listing, terms: Terms) -> str | None:
    """Return why a bid cannot be cleared under ``terms``, or None if it can."""
    table = paper.table
    if paper.terms != terms.digest:
        return "the bid was written for other terms"
    if paper.party != listing.owner:
        return f"listing {listing.id} is not {paper.party}'s"
    if len(table) != terms.steps + 1:
        return f"expected {terms.steps + 1} prices, got {len(table)}"
    if not all(0 <= price <= MAX_UNITS for price in table):
        return "a price is not from 0 to 2^62 ledger units"
    if table[0] != 0 or any(b < a for a, b in pairwise(table)):
        return "prices do not rise from 0"
    if not 1 <= paper.size <= listing.size_cap:
        return f"expected a size from 1 to {listing.size_cap}, got {paper.size}"
    if not 0 <= paper.level_cap <= terms.steps:
        return f"expected a level cap from 0 to {terms.steps}, got {paper.level_cap}"
    return None


@dataclass(frozen=True)
class BidRecord:
    """What the market knows of one bid: first a commitment, then perhaps the paper, or a reason.

    ``committed_at`` and ``revealed_at`` are times; ``dropped`` says why the bid does not count.
    """

    round: str
    listing: str
    party: str
    commitment: str
    committed_at: int
    paper: BidPaper | None = None
    nonce: str | None = None
    revealed_at: int | None = None
    dropped: str | None = None

    @property
    def key(self) -> str:
        """Key among bids, and that of the award that may follow."""
        return f"{self.round}/{self.listing}"

    @property
    def counts(self) -> bool:
        """Whether the bid is opened and sound."""
        return self.paper is not None and self.dropped is None


@dataclass(frozen=True)
class Allocation:
    """One line of a clearing: a listing sells at ``level`` (>= 1) for ``payment`` units."""

    listing: str
    level: int
    payment: int

    def __post_init__(self) -> None:
        identifier("listing", self.listing)
        count("level", self.level, least=1)
        units("payment", self.payment)


@dataclass(frozen=True)
class Clearing:
    """The result of an auction on exactly the bids whose digest is ``inputs``."""

    inputs: str
    allocations: tuple[Allocation, ...]

    def __post_init__(self) -> None:
        digest("inputs", self.inputs)


def inputs_digest(round_: str, terms: Terms, papers: Iterable[BidPaper]) -> str:
    """Return the SHA-256 of a clearing's inputs; the order of the papers does not matter."""
    ordered = sorted(papers, key=lambda paper: (paper.party, paper.listing))
    return sha256({"round": round_, "terms": terms.digest, "papers": ordered})


@dataclass(frozen=True)
class Delivery:
    """An upload as it arrived: SHA-256 and length of its bytes, the level it was noised at."""

    digest: str
    size: int
    level: int
    at: int


@dataclass(frozen=True)
class Verdict:
    """What the public check said of the bytes with SHA-256 ``digest``."""

    digest: str
    passed: bool
    reason: str = ""

    def __post_init__(self) -> None:
        digest("digest", self.digest)


@dataclass(frozen=True)
class Upload:
    """Whose delivery some bytes were: they are taken once in the life of a market."""

    digest: str
    award: str

    @property
    def key(self) -> str:
        """Key among uploads."""
        return self.digest


@dataclass(frozen=True)
class Receipt:
    """The coordinator's answer about an award: its state, what arrived, what was paid and why."""

    award: str
    state: AwardState
    delivery: str | None
    paid: int
    reason: str | None


@dataclass(frozen=True)
class Award:
    """The auction's outcome for a listing: the level to deliver at and the payment for it.

    ``dispute_by`` is None unless a failed check may still be disputed; ``disputed`` says that it
    was, which can happen once.
    """

    round: str
    listing: str
    party: str
    level: int
    payment: int
    state: AwardState = AwardState.OFFERED
    delivery: Delivery | None = None
    reason: str | None = None
    dispute_by: int | None = None
    disputed: bool = False

    @property
    def key(self) -> str:
        """The award's id, ``round/listing``: it is paid once under this key, ever."""
        return f"{self.round}/{self.listing}"

    @property
    def receipt(self) -> Receipt:
        """What the party may be told of it."""
        came = self.delivery.digest if self.delivery else None
        paid = self.payment if self.state is AwardState.PAID else 0
        return Receipt(self.key, self.state, came, paid, self.reason)
