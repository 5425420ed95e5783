"""The tables of a market, the same in SQLite and PostgreSQL.

What the rules of the market say in Python is said here again where a database can say it: balances
that are never negative, keys that exist once, states that exist. Entities are kept in their
canonical JSON form, beside the columns that are searched or constrained. Neighbours: ``triggers``
forbids changes of what is only appended; ``rows`` reads and writes.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

from equigrad.market.settlement import (
    MAX_UNITS,
    Award,
    AwardState,
    BidRecord,
    Job,
    Listing,
    Party,
    Phase,
    Round,
    Upload,
)

__all__ = [
    "ENTITY_TABLES",
    "SCHEMA_VERSION",
    "accounts",
    "awards",
    "bids",
    "entries",
    "journal",
    "listings",
    "market",
    "metadata",
    "postings",
]

SCHEMA_VERSION: Final = 1

metadata = MetaData()


def _one_of(column: str, values: Any) -> CheckConstraint:
    """Return the constraint that a column holds a value of an enumeration."""
    names = ", ".join(f"'{value.value}'" for value in values)
    return CheckConstraint(f"{column} IN ({names})", name=f"known_{column}")


market = Table(
    "market",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("currencies", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("clock", BigInteger, nullable=False),
)

parties = Table(
    "parties", metadata, Column("key", Text, primary_key=True), Column("body", Text, nullable=False)
)

listings = Table(
    "listings",
    metadata,
    Column("key", Text, primary_key=True),
    Column("owner", Text, ForeignKey("parties.key"), nullable=False),
    Column("schema", Text, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("owner", "schema", name="one_listing_per_owner_and_schema"),
)

jobs = Table(
    "jobs", metadata, Column("key", Text, primary_key=True), Column("body", Text, nullable=False)
)

rounds = Table(
    "rounds",
    metadata,
    Column("key", Text, primary_key=True),
    Column("phase", Text, _one_of("phase", Phase), nullable=False),
    Column("body", Text, nullable=False),
)

bids = Table(
    "bids",
    metadata,
    Column("key", Text, primary_key=True),
    Column("round", Text, ForeignKey("rounds.key"), nullable=False, index=True),
    Column("listing", Text, ForeignKey("listings.key"), nullable=False),
    Column("commitment", Text, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("round", "listing", name="one_bid_per_listing"),
)

awards = Table(
    "awards",
    metadata,
    Column("key", Text, ForeignKey("bids.key"), primary_key=True),
    Column("round", Text, ForeignKey("rounds.key"), nullable=False, index=True),
    Column("state", Text, _one_of("state", AwardState), nullable=False),
    Column("payment", BigInteger, CheckConstraint("payment >= 0"), nullable=False),
    Column("body", Text, nullable=False),
)

uploads = Table(
    "uploads",
    metadata,
    Column("key", Text, primary_key=True),
    Column("award", Text, ForeignKey("awards.key"), nullable=False, unique=True),
    Column("body", Text, nullable=False),
)

accounts = Table(
    "accounts",
    metadata,
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("balance", BigInteger, nullable=False),
    CheckConstraint("balance >= 0 OR kind = 'world'", name="nobody_owes"),
    CheckConstraint(f"balance BETWEEN -{MAX_UNITS} AND {MAX_UNITS}", name="balance_in_bounds"),
)

journal = Table(
    "journal",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("idempotency_key", Text, nullable=False, unique=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("body", Text, nullable=False),
)

entries = Table(
    "entries",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False, unique=True),
    Column("line", BigInteger, ForeignKey("journal.seq"), nullable=False),
    Column("at", BigInteger, nullable=False),
)

postings = Table(
    "postings",
    metadata,
    Column("entry", BigInteger, ForeignKey("entries.seq"), primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("account", Text, ForeignKey("accounts.key"), nullable=False, index=True),
    Column("amount", BigInteger, nullable=False),
)

ENTITY_TABLES: Final[dict[type[Any], tuple[Table, tuple[str, ...]]]] = {
    Party: (parties, ()),
    Listing: (listings, ("owner", "schema")),
    Job: (jobs, ()),
    Round: (rounds, ("phase",)),
    BidRecord: (bids, ("round", "listing", "commitment")),
    Award: (awards, ("round", "state", "payment")),
    Upload: (uploads, ("award",)),
}
"""For each entity its table and the attributes that have a column; parents come before children."""
