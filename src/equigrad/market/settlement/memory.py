"""The settlement store of one process: everything in memory, gone with it."""

from collections.abc import Iterable, Mapping
from threading import RLock

from equigrad.errors import ConfigError
from equigrad.market.settlement.base import SettlementStore
from equigrad.market.settlement.books import Account, LedgerEntry
from equigrad.market.settlement.chain import (
    AuditEvent,
    Head,
    Response,
    decided,
    genesis,
    recalled,
)
from equigrad.market.settlement.commands import Command
from equigrad.market.settlement.entities import Listing
from equigrad.market.settlement.money import Currency
from equigrad.market.settlement.papers import Award, BidRecord
from equigrad.market.settlement.replay import Snapshot
from equigrad.market.settlement.state import MarketState
from equigrad.market.settlement.work import E

__all__ = ["MemoryStore", "by_code"]


def by_code(currencies: Iterable[Currency]) -> dict[str, Currency]:
    """Return currencies by their codes; ``ConfigError`` if there is none, or one twice."""
    listed = list(currencies)
    known = {currency.code: currency for currency in listed}
    if not listed or len(known) != len(listed):
        raise ConfigError(
            f"Expected one or more currencies with different codes, got {[c.code for c in listed]}."
        )
    return known


class MemoryStore(SettlementStore):
    """A market in memory, for simulations, replays and as the oracle of other stores.

    Safe with many threads, one at a time. Time of a command does not grow with the market, but for
    clearing and closing, which take time in the bids of the round.

    Parameters
    ----------
    currencies
        The market's currencies, at least one.
    """

    def __init__(self, currencies: Iterable[Currency]) -> None:
        self._state = MarketState(by_code(currencies))
        self._entries: list[LedgerEntry] = []
        self._lines: list[AuditEvent] = []
        self._by_key: dict[str, AuditEvent] = {}
        self._head = genesis(self._state.currencies)
        self._lock = RLock()

    @property
    def currencies(self) -> Mapping[str, Currency]:
        """The market's currencies by code."""
        return self._state.currencies

    def execute(self, command: Command, *, key: str, now: int) -> Response:
        """Decide and do one command."""
        with self._lock:
            known = self._by_key.get(key)
            if known is not None:
                return recalled(known, command)
            line, decision = decided(self._state, self._head, command, key, now)
            if decision is not None:
                self._state.absorb(decision, line.at)
                self._entries += decision.entries
            self._state.clock = line.at
            self._lines.append(line)
            self._by_key[key] = line
            self._head = Head(line.seq, line.digest, line.at)
            return line.response

    def get(self, kind: type[E], key: str) -> E | None:
        """Return an entity by its key."""
        return self._state.get(kind, key)

    def get_many(self, kind: type[E], keys: Iterable[str]) -> Mapping[str, E]:
        """Return those entities of the given keys that exist, by key."""
        return self._state.get_many(kind, keys)

    def listing_of(self, owner: str, schema: str) -> Listing | None:
        """Return an owner's listing of a schema."""
        return self._state.listing_of(owner, schema)

    def bids(self, round_: str) -> Iterable[BidRecord]:
        """Return a round's bids."""
        return self._state.bids(round_)

    def awards(self, round_: str) -> Iterable[Award]:
        """Return a round's awards."""
        return self._state.awards(round_)

    def balance(self, account: Account) -> int:
        """Return an account's balance."""
        return self._state.balance(account)

    def posted(self, key: str) -> bool:
        """Return whether an entry of that key is in the books."""
        return self._state.posted(key)

    def snapshot(self) -> Snapshot:
        """Return a copy of everything."""
        with self._lock:
            return Snapshot(self._state.copy(), tuple(self._entries), tuple(self._lines))

    @property
    def head(self) -> Head:
        """The end of the audit chain."""
        return self._head
