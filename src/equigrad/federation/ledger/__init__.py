"""The market's ledger in a database: SQLite by default, PostgreSQL by URL.

A room of its own beside the stages of a market's round: transport and stages come and go with a
run, the ledger outlives runs, serves several of them at once, and may live on another machine.
Neighbours: :mod:`equigrad.market.settlement` has the rules and the contract of a store.
"""

from equigrad.federation.ledger.store import SqlStore

__all__ = ["SqlStore"]
