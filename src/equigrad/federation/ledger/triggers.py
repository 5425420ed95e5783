"""Triggers: what was written stays written, whoever is connected to the database.

``journal``, ``entries`` and ``postings`` are appended to only. Nothing is ever deleted. A sealed
bid keeps its commitment; a paid award and a closed round stay as they are. PostgreSQL also refuses
TRUNCATE and, at the commit, an entry whose postings do not sum to zero in each currency; SQLite
cannot look at a whole transaction, and has no TRUNCATE.
The owner of a database can drop triggers: that is what the audit chain is for.
"""

from typing import Final

__all__ = ["statements"]

_APPENDED: Final = ("journal", "entries", "postings")
_KEPT: Final = ("market", "parties", "listings", "jobs", "rounds", "bids", "awards", "uploads")
_FROZEN: Final = {
    "bids": "NEW.commitment <> OLD.commitment",
    "awards": "OLD.state = 'paid'",
    "uploads": "NEW.award <> OLD.award",
    "rounds": "OLD.phase IN ('settled', 'cancelled', 'failed')",
}

_REFUSE: Final = """
CREATE FUNCTION market_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'what a market wrote is never changed: %', TG_TABLE_NAME; END $$
"""

_BALANCED: Final = """
CREATE FUNCTION market_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (
    SELECT 1 FROM postings p JOIN accounts a ON a.key = p.account
    WHERE p.entry = NEW.entry GROUP BY a.currency HAVING sum(p.amount) <> 0
  ) THEN RAISE EXCEPTION 'entry % does not sum to zero', NEW.entry; END IF;
  RETURN NULL;
END $$
"""


def statements(dialect: str) -> list[str]:
    """Return the statements that make all triggers in a new database of a dialect."""
    rules = [(table, "DELETE", "") for table in (*_APPENDED, *_KEPT, "accounts")]
    rules += [(table, "UPDATE", "") for table in _APPENDED]
    rules += [(table, "UPDATE", when) for table, when in _FROZEN.items()]
    if dialect == "sqlite":
        return [_sqlite(*rule) for rule in rules]
    truncated = [
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION market_refuse()"
        for table in (*_APPENDED, *_KEPT, "accounts")
    ]
    zero = (
        "CREATE CONSTRAINT TRIGGER postings_sum_to_zero AFTER INSERT ON postings "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION market_balanced()"
    )
    return [_REFUSE, _BALANCED, *(_postgres(*rule) for rule in rules), *truncated, zero]


def _sqlite(table: str, verb: str, when: str) -> str:
    """Return a trigger that refuses a change in SQLite."""
    condition = f"WHEN {when} " if when else ""
    return (
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} {condition}"
        f"BEGIN SELECT RAISE(ABORT, 'what a market wrote is never changed: {table}'); END"
    )


def _postgres(table: str, verb: str, when: str) -> str:
    """Return a trigger that refuses a change in PostgreSQL."""
    condition = f"WHEN ({when}) " if when else ""
    return (
        f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} FOR EACH ROW "
        f"{condition}EXECUTE FUNCTION market_refuse()"
    )
