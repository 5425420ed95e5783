"""One command at work: it reads the market through a view and gathers what is to be written.

Nothing is written before the command is decided, so a refusal changes nothing. Neighbours:
``state`` and every store are views; ``wallets``, ``bidding``, ``awards`` and ``closing`` work here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar, cast

from equigrad.errors import SettlementError
from equigrad.market.settlement.books import Account, LedgerEntry, Posting
from equigrad.market.settlement.codec import Json
from equigrad.market.settlement.entities import Job, Listing, Party, Round
from equigrad.market.settlement.money import Currency
from equigrad.market.settlement.papers import Award, BidRecord, Upload

__all__ = ["Decision", "Entity", "Event", "View", "Work"]

Entity: TypeAlias = Party | Listing | Job | Round | BidRecord | Award | Upload
E = TypeVar("E", Party, Listing, Job, Round, BidRecord, Award, Upload)


@dataclass(frozen=True)
class Event:
    """Something that happened: what, to what, and the facts that are new."""

    kind: str
    subject: str
    facts: Mapping[str, Json] = field(default_factory=dict)


class View(Protocol):
    """What a decision may read. Everything is as the last accepted command left it."""

    @property
    def currencies(self) -> Mapping[str, Currency]:
        """The market's currencies by code."""

    def get(self, kind: type[E], key: str) -> E | None:
        """Return an entity by its key."""

    def get_many(self, kind: type[E], keys: Iterable[str]) -> Mapping[str, E]:
        """Return those entities of the given keys that exist, by key."""

    def listing_of(self, owner: str, schema: str) -> Listing | None:
        """Return an owner's listing of a schema."""

    def bids(self, round_: str) -> Iterable[BidRecord]:
        """Return a round's bids in order of their listings."""

    def awards(self, round_: str) -> Iterable[Award]:
        """Return a round's awards in order of their listings."""

    def balance(self, account: Account) -> int:
        """Return an account's balance, 0 if nothing was ever posted to it."""

    def posted(self, key: str) -> bool:
        """Return whether an entry of that key is in the books."""


@dataclass(frozen=True)
class Decision:
    """What an accepted command writes: entities in their new form, entries, events, the answer."""

    entities: tuple[Entity, ...]
    entries: tuple[LedgerEntry, ...]
    events: tuple[Event, ...]
    result: Mapping[str, Json]


class Work:
    """A view with what one command has changed so far on top.

    Parameters
    ----------
    view
        The market before the command.
    at
        The coordinator's time, in seconds.
    """

    def __init__(self, view: View, at: int) -> None:
        self.view = view
        self.at = at
        self.result: dict[str, Json] = {}
        self._entities: dict[tuple[type[Entity], str], Entity] = {}
        self._balances: dict[Account, int] = {}
        self._entries: dict[str, LedgerEntry] = {}
        self._events: list[Event] = []

    def find(self, kind: type[E], key: str) -> E | None:
        """Return an entity, or None."""
        changed = self._entities.get((kind, key))
        return cast("E", changed) if changed is not None else self.view.get(kind, key)

    def need(self, kind: type[E], key: str) -> E:
        """Return an entity; refuse the command if there is none."""
        found = self.find(kind, key)
        if found is None:
            name = {"BidRecord": "bid"}.get(kind.__name__, kind.__name__.lower())
            raise SettlementError(f"Expected a known {name}, got {key!r}. Make it first.")
        return found

    def put(self, entity: Entity) -> None:
        """Write an entity."""
        self._entities[type(entity), entity.key] = entity

    def bids(self, round_: str) -> list[BidRecord]:
        """Return a round's bids as they are now."""
        return [
            cast("BidRecord", self._entities.get((BidRecord, bid.key), bid))
            for bid in self.view.bids(round_)
        ]

    def awards(self, round_: str) -> list[Award]:
        """Return a round's awards as they are now."""
        return [
            cast("Award", self._entities.get((Award, award.key), award))
            for award in self.view.awards(round_)
        ]

    def event(self, kind: str, subject: str, **facts: Json) -> None:
        """Say that something happened."""
        self._events.append(Event(kind, subject, facts))

    def posted(self, key: str) -> bool:
        """Return whether money moved under ``key``."""
        return key in self._entries or self.view.posted(key)

    def balance(self, account: Account) -> int:
        """Return an account's balance as it is now."""
        if account not in self._balances:
            self._balances[account] = self.view.balance(account)
        return self._balances[account]

    def move(self, key: str, source: Account, target: Account, amount: int) -> None:
        """Move ``amount`` units from one account to another, once under ``key``.

        Raises
        ------
        SettlementError
            If money moved under this key before, or an account would leave its bounds.
        """
        if self.posted(key):
            raise SettlementError(f"Expected a movement of money for the first time, got {key!r}.")
        for account, change in ((source, -amount), (target, amount)):
            balance = self.balance(account) + change
            if not account.allows(balance):
                raise SettlementError(
                    f"Expected account {account.key} between 0 and 2^62 units after {key}, got "
                    f"{balance}. Pay money in, or move less."
                )
            self._balances[account] = balance
        postings = (Posting(source, -amount), Posting(target, amount))
        self._entries[key] = LedgerEntry(key, self.at, postings)
        self.event("money-moved", key, source=source.key, target=target.key, amount=amount)

    def decision(self) -> Decision:
        """Return everything that is to be written."""
        return Decision(
            tuple(self._entities.values()),
            tuple(self._entries.values()),
            tuple(self._events),
            self.result,
        )
