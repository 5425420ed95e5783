"""Tables and triggers of an account's file.

``entries`` only ever grows: triggers refuse changes and removals, and each entry carries the hash
of the one before. What may change lies apart: the noise keys of unfinished runs, the marks of steps
that can no longer be replayed, the bytes of uploads that were sold (the chain has their digests),
and the head, which repeats the last entry's hash so that a cut-off tail shows.

Neighbours: ``chain`` hashes, ``store`` opens files.
"""

from typing import Final

from sqlalchemy import CheckConstraint, Column, Float, Integer, LargeBinary, MetaData, Table, Text

__all__ = [
    "APPLICATION_ID",
    "SCHEMA_VERSION",
    "TRIGGERS",
    "account",
    "entries",
    "head",
    "metadata",
    "run_keys",
    "settled",
    "uploads",
]

APPLICATION_ID: Final = 0x45514143  # "EQAC"
SCHEMA_VERSION: Final = 1

metadata = MetaData()

account = Table(
    "account",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("epsilon", Float, nullable=False),
    Column("delta", Float, nullable=False),
    Column("accountant", Text, nullable=False),
)

entries = Table(
    "entries",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("run", Text),
    Column("step", Integer),
    Column("attempt", Integer),
    Column("digest", Text),
    Column("label", Text),
    Column("event", Text),
    Column("chain", LargeBinary(32), nullable=False),
)

head = Table(
    "head",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1"), primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("chain", LargeBinary(32), nullable=False),
)

run_keys = Table(
    "run_keys",
    metadata,
    Column("run", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
)

settled = Table(
    "settled",
    metadata,
    Column("run", Text, primary_key=True),
    Column("below", Integer, nullable=False),
)

uploads = Table(  # made when it is first needed in files of before
    "uploads",
    metadata,
    Column("award", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

TRIGGERS: Final = {
    f"{table}_no_{verb.lower()}": (
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} of a privacy account are never changed'); END"
    )
    for table in ("entries", "account")
    for verb in ("UPDATE", "DELETE")
}
