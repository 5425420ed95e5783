"""What a market keeps of its parties, listings, jobs and rounds: frozen values, whole numbers.

Times are whole seconds of the coordinator's clock; amounts are ledger units; privacy is a level of
the public ladder ``eps_max * k / steps``. Neighbours: ``papers`` has bids and awards, ``commands``
what may happen to all of them.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from equigrad.errors import ConfigError
from equigrad.market.settlement.codec import sha256
from equigrad.market.settlement.fields import count, digest, epsilon, identifier, seconds
from equigrad.market.settlement.money import MAX_UNITS, basis_points, fee, units

__all__ = ["CLOSED", "Escrow", "Job", "Listing", "Party", "Phase", "Round", "Terms"]


class Phase(StrEnum):
    """Where a round stands; the order is that of a round that goes well."""

    DRAFT = "draft"
    FUNDED = "funded"
    COMMIT = "commit"
    REVEAL = "reveal"
    CLEARED = "cleared"
    COLLECTING = "collecting"
    AGGREGATED = "aggregated"
    SETTLED = "settled"
    CANCELLED = "cancelled"
    FAILED = "failed"


CLOSED = frozenset({Phase.SETTLED, Phase.CANCELLED, Phase.FAILED})
"""Phases in which nothing moves any more and the escrow is empty."""


@dataclass(frozen=True)
class Party:
    """Somebody who buys or sells: a name and the fingerprint of the key that signs."""

    id: str
    fingerprint: str

    def __post_init__(self) -> None:
        identifier("party", self.id)
        digest("fingerprint", self.fingerprint)

    @property
    def key(self) -> str:
        """Key among parties."""
        return self.id


@dataclass(frozen=True)
class Listing:
    """Records that a party offers; a party has one listing for each schema digest.

    Attributes
    ----------
    id, owner, schema
        Name, owning party and SHA-256 of the schema.
    attested_size, size_cap
        Records that were attested, and the most that a bid may sell, 1 <= cap <= attested.
    eps_cap
        Public largest epsilon, a decimal string.
    excluded_until
        No bid is taken up to this time; set when a committed bid was not opened.
    """

    id: str
    owner: str
    schema: str
    attested_size: int
    size_cap: int
    eps_cap: str
    excluded_until: int = -1

    def __post_init__(self) -> None:
        identifier("listing", self.id)
        identifier("owner", self.owner)
        digest("schema", self.schema)
        count("attested_size", self.attested_size, least=1)
        count("size_cap", self.size_cap, least=1)
        epsilon("eps_cap", self.eps_cap)
        if self.size_cap > self.attested_size:
            raise ConfigError(
                f"Expected size_cap of listing {self.id} at most its attested size "
                f"{self.attested_size}, got {self.size_cap}."
            )

    @property
    def key(self) -> str:
        """Key among listings."""
        return self.id

    def level_cap(self, terms: "Terms") -> int:
        """Return the largest level of the ladder of ``terms`` that the listing sells."""
        cap = epsilon("eps_cap", self.eps_cap) + Fraction(1, 10**12)
        return min(terms.steps, int(cap * terms.steps / epsilon("eps_max", terms.eps_max)))


@dataclass(frozen=True)
class Job:
    """A model that a buyer wants: SHA-256 of its description, and the currency it pays in."""

    id: str
    buyer: str
    currency: str
    model: str

    def __post_init__(self) -> None:
        identifier("job", self.id)
        identifier("buyer", self.buyer)
        digest("model", self.model)

    @property
    def key(self) -> str:
        """Key among jobs."""
        return self.id


@dataclass(frozen=True)
class Terms:
    """Everything that is fixed before anyone commits; its digest is in every bid.

    Attributes
    ----------
    job
        Whose round it is.
    budget
        Most that all payments may sum to, ledger units > 0.
    auction
        SHA-256 of the public inputs of the clearing (mechanism, menus, prices, tie rule, noise).
    eps_max, steps
        The ladder: level k is epsilon ``eps_max * k / steps``, k = 0..steps.
    fee_bps
        Fee in basis points of what was paid, held on top of the budget.
    quorum
        Fewest verified deliveries with which a round that awarded anything does not fail.
    max_bytes
        Largest delivery.
    commit_seconds, reveal_seconds, deliver_seconds
        How long bids are taken, then opened, and then deliveries taken.
    dispute_seconds
        How long after a refused check its party may call for another.
    exclude_seconds
        How long a listing stays out whose committed bid was not opened.
    """

    job: str
    budget: int
    auction: str
    eps_max: str = "2"
    steps: int = 32
    fee_bps: int = 0
    quorum: int = 1
    max_bytes: int = 2**30
    commit_seconds: int = 60
    reveal_seconds: int = 60
    deliver_seconds: int = 600
    dispute_seconds: int = 0
    exclude_seconds: int = 0

    def __post_init__(self) -> None:
        identifier("job", self.job)
        units("budget", self.budget, least=1)
        digest("auction", self.auction)
        epsilon("eps_max", self.eps_max)
        count("steps", self.steps, least=1, most=2**20)
        basis_points(self.fee_bps)
        count("quorum", self.quorum)
        count("max_bytes", self.max_bytes, least=1)
        for name in ("commit_seconds", "reveal_seconds", "deliver_seconds"):
            seconds(name, getattr(self, name), least=1)
        seconds("dispute_seconds", self.dispute_seconds)
        seconds("exclude_seconds", self.exclude_seconds)
        if self.held > MAX_UNITS:
            raise ConfigError(
                f"Expected budget and fee of at most 2^62 ledger units together, got {self.held}. "
                "Lower the budget or the currency's scale."
            )

    @property
    def held(self) -> int:
        """What is held in escrow: the budget and the fee on all of it."""
        return self.budget + fee(self.budget, self.fee_bps)

    @property
    def digest(self) -> str:
        """SHA-256 of the terms."""
        return sha256(self)


@dataclass(frozen=True)
class Escrow:
    """What a round holds and where it went; closed, ``held = paid + fee + refunded``."""

    held: int
    paid: int = 0
    fee: int = 0
    refunded: int = 0
    closed: bool = False


@dataclass(frozen=True)
class Round:
    """One round: its terms, its phase, its deadlines and its escrow.

    Attributes
    ----------
    id, buyer, currency, terms
        Name, who pays, in what, and on which terms.
    phase
        Where it stands.
    commit_by, reveal_by, deliver_by
        Last second of each stage, None before it is known.
    escrow
        None before the round is funded.
    inputs, release
        SHA-256 of what was cleared, and of the released model.
    reason
        Why it was cancelled or failed.
    """

    id: str
    buyer: str
    currency: str
    terms: Terms
    phase: Phase = Phase.DRAFT
    commit_by: int | None = None
    reveal_by: int | None = None
    deliver_by: int | None = None
    escrow: Escrow | None = None
    inputs: str | None = None
    release: str | None = None
    reason: str | None = None

    @property
    def key(self) -> str:
        """Key among rounds."""
        return self.id
