"""The whole state of a market in memory, and how a decision changes it.

Neighbours: ``work`` has the view that decisions read; ``decide`` makes decisions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from equigrad.market.settlement.books import Account
from equigrad.market.settlement.codec import sha256
from equigrad.market.settlement.entities import Job, Listing, Party, Round
from equigrad.market.settlement.money import Currency
from equigrad.market.settlement.papers import Award, BidRecord, Upload
from equigrad.market.settlement.work import Decision, E

__all__ = ["MarketState"]

_KINDS = (Party, Listing, Job, Round, BidRecord, Award, Upload)


@dataclass
class MarketState:
    """Everything a decision may read, in dictionaries; treat it as a value.

    ``after`` copies (that is the pure reducer's step); ``absorb`` changes in place, for whoever
    owns the only reference. Memory grows with what the market ever held.

    Attributes
    ----------
    currencies
        By code.
    entities
        By class, then by key.
    balances
        Of every account that was ever posted to.
    keys
        Keys of all ledger entries.
    clock
        Largest time seen, in seconds; time never goes back.
    """

    currencies: Mapping[str, Currency]
    entities: dict[type[Any], dict[str, Any]] = field(
        default_factory=lambda: {kind: {} for kind in _KINDS}
    )
    balances: dict[Account, int] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    clock: int = 0
    _schemas: dict[tuple[str, str], str] = field(default_factory=dict, compare=False)
    _bids: dict[str, list[str]] = field(default_factory=dict, compare=False)
    _awards: dict[str, list[str]] = field(default_factory=dict, compare=False)

    def get(self, kind: type[E], key: str) -> E | None:
        """Return an entity by its key."""
        found: E | None = self.entities[kind].get(key)
        return found

    def get_many(self, kind: type[E], keys: Iterable[str]) -> dict[str, E]:
        """Return those entities of the given keys that exist, by key."""
        held = self.entities[kind]
        return {key: held[key] for key in keys if key in held}

    def listing_of(self, owner: str, schema: str) -> Listing | None:
        """Return an owner's listing of a schema."""
        key = self._schemas.get((owner, schema))
        return None if key is None else self.get(Listing, key)

    def bids(self, round_: str) -> list[BidRecord]:
        """Return a round's bids in order of their listings."""
        held = self.entities[BidRecord]
        return [held[key] for key in sorted(self._bids.get(round_, ()))]

    def awards(self, round_: str) -> list[Award]:
        """Return a round's awards in order of their listings."""
        held = self.entities[Award]
        return [held[key] for key in sorted(self._awards.get(round_, ()))]

    def balance(self, account: Account) -> int:
        """Return an account's balance."""
        return self.balances.get(account, 0)

    def posted(self, key: str) -> bool:
        """Return whether an entry of that key is in the books."""
        return key in self.keys

    def copy(self) -> "MarketState":
        """Return a state that changes by itself from here on."""
        return MarketState(
            self.currencies,
            {kind: dict(held) for kind, held in self.entities.items()},
            dict(self.balances),
            set(self.keys),
            self.clock,
            dict(self._schemas),
            {key: list(value) for key, value in self._bids.items()},
            {key: list(value) for key, value in self._awards.items()},
        )

    def after(self, decision: Decision, at: int) -> "MarketState":
        """Return the state after a decision taken at time ``at``; this one stays as it is."""
        copy = self.copy()
        copy.absorb(decision, at)
        return copy

    def absorb(self, decision: Decision, at: int) -> None:
        """Change this state as a decision says."""
        for entity in decision.entities:
            held = self.entities[type(entity)]
            if entity.key not in held:
                self._index(entity)
            held[entity.key] = entity
        for entry in decision.entries:
            self.keys.add(entry.key)
            for posting in entry.postings:
                self.balances[posting.account] = self.balance(posting.account) + posting.amount
        self.clock = max(self.clock, at)

    def _index(self, entity: object) -> None:
        """Note where a new entity is looked for."""
        if isinstance(entity, Listing):
            self._schemas[entity.owner, entity.schema] = entity.id
        elif isinstance(entity, BidRecord):
            self._bids.setdefault(entity.round, []).append(entity.key)
        elif isinstance(entity, Award):
            self._awards.setdefault(entity.round, []).append(entity.key)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything in the state."""
        return sha256(
            {
                "clock": self.clock,
                "keys": sorted(self.keys),
                "balances": {account.key: n for account, n in self.balances.items()},
                "entities": {kind.__name__: held for kind, held in self.entities.items()},
            }
        )
