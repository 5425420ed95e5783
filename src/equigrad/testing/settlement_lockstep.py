"""A store under test beside the store in memory: every answer of the one must be the other's.

It can also be crashed: the next command is cut off somewhere, the store opened again, and the
command sent again under its key, as its author would. Neighbours: ``settlement_machine`` walks.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from equigrad.errors import IdempotencyError
from equigrad.market.settlement import (
    Account,
    Award,
    BidRecord,
    Command,
    Currency,
    Head,
    Listing,
    MemoryStore,
    Response,
    SettlementStore,
    Snapshot,
    broken,
    decide,
    reduce,
)
from equigrad.market.settlement.chain import decided, recalled
from equigrad.market.settlement.work import E
from equigrad.testing.settlement_world import EUR

__all__ = ["Interrupt", "Lockstep", "PureStore", "lost_answer"]

Interrupt: TypeAlias = Callable[[SettlementStore, Command, str, int, int], SettlementStore]
"""Cuts a command off at a point (a whole number; how many there are is the store's affair) and
returns the market as it is found afterwards."""


class PureStore(MemoryStore):
    """A store in memory that goes the way of the pure reducer, a new state for every command."""

    def execute(self, command: Command, *, key: str, now: int) -> Response:
        """Decide and do one command."""
        known = self._by_key.get(key)
        if known is not None:
            return recalled(known, command)
        line, _ = decided(self._state, self._head, command, key, now)
        before = self._state
        if line.accepted:
            self._state, events = reduce(before, command, now)
            if events != line.events:
                raise AssertionError(f"Expected the events {line.events}, got {events}.")
            self._entries += decide(before, command, line.at).entries
        self._state.clock = line.at
        self._lines.append(line)
        self._by_key[key] = line
        self._head = Head(line.seq, line.digest, line.at)
        return line.response


def lost_answer(
    store: SettlementStore, command: Command, key: str, now: int, point: int
) -> SettlementStore:
    """Interrupt a store in memory: before anything is kept (even points), or after all of it."""
    if point % 2:
        store.execute(command, key=key, now=now)
    else:
        head = store.head
        decided(store, head, command, key, now)
        if store.head != head:
            raise AssertionError("Expected that deciding changes nothing, got another head.")
    return store


class Lockstep(SettlementStore):
    """Sends every command to two stores and compares; reads from the one in memory.

    Parameters
    ----------
    store
        The store under test, new, with the currency ``EUR``.
    interrupt
        How it is crashed.
    """

    def __init__(self, store: SettlementStore, interrupt: Interrupt) -> None:
        self.store = store
        self.twin = MemoryStore([EUR])
        self.interrupt = interrupt
        self.crash_at: int | None = None

    def execute(self, command: Command, *, key: str, now: int) -> Response:
        """Do a command in both; crash the store under test first if that was asked for."""
        wanted: Response | type[IdempotencyError]
        try:
            wanted = self.twin.execute(command, key=key, now=now)
        except IdempotencyError:
            wanted = IdempotencyError
        point, self.crash_at = self.crash_at, None
        if point is not None and wanted is not IdempotencyError:
            self.store = self.interrupt(self.store, command, key, now, point)
        try:
            got: Response | type[IdempotencyError] = self.store.execute(command, key=key, now=now)
        except IdempotencyError:
            got = IdempotencyError
        if got != wanted or self.store.head != self.twin.head:
            raise AssertionError(f"Expected the answer {wanted} to {command}, got {got}.")
        if isinstance(got, Response):
            return got
        raise IdempotencyError("Expected one command under a key, got two.")

    def check(self) -> None:
        """Check the invariants of the store in memory."""
        wrong = broken(self.twin._state, self.twin._entries)
        if wrong:
            raise AssertionError(f"Expected a sound market, got {wrong}.")

    def snapshot(self) -> Snapshot:
        """Return everything, the same in both."""
        kept = self.store.snapshot()
        if kept != self.twin.snapshot():
            raise AssertionError("Expected the same market in both stores, got two.")
        return kept

    @property
    def currencies(self) -> Mapping[str, Currency]:
        """The market's currencies by code."""
        return self.twin.currencies

    def get(self, kind: type[E], key: str) -> E | None:
        """Return an entity by its key."""
        return self.twin.get(kind, key)

    def get_many(self, kind: type[E], keys: Iterable[str]) -> Mapping[str, E]:
        """Return those entities of the given keys that exist, by key."""
        return self.twin.get_many(kind, keys)

    def listing_of(self, owner: str, schema: str) -> Listing | None:
        """Return an owner's listing of a schema."""
        return self.twin.listing_of(owner, schema)

    def bids(self, round_: str) -> Iterable[BidRecord]:
        """Return a round's bids."""
        return self.twin.bids(round_)

    def awards(self, round_: str) -> Iterable[Award]:
        """Return a round's awards."""
        return self.twin.awards(round_)

    def balance(self, account: Account) -> int:
        """Return an account's balance."""
        return self.twin.balance(account)

    def posted(self, key: str) -> bool:
        """Return whether an entry of that key is in the books."""
        return self.twin.posted(key)

    @property
    def head(self) -> Head:
        """The end of the audit chain."""
        return self.twin.head
