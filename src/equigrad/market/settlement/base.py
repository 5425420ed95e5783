"""The contract of a settlement store: who keeps a market, and what it promises.

Neighbours: ``decide`` knows what commands do; ``memory`` is the store for one process,
:mod:`equigrad.federation.ledger` keeps one in a database.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from equigrad.market.settlement.bidding import Rule
from equigrad.market.settlement.books import Account
from equigrad.market.settlement.chain import Head, Response
from equigrad.market.settlement.commands import Command
from equigrad.market.settlement.entities import Listing
from equigrad.market.settlement.money import Currency
from equigrad.market.settlement.papers import Award, BidRecord
from equigrad.market.settlement.replay import Snapshot, verify
from equigrad.market.settlement.work import E

__all__ = ["SettlementStore"]


class SettlementStore(ABC):
    """A market's money, rounds and awards, kept so that nothing is lost, doubled or rewritten.

    Guarantees, each checked by ``equigrad.testing.settlement``:

    * ``execute`` does a command as a whole or not at all. Commands of any number of writers take
      effect one after another (serialisable), in the order of their audit lines.
    * What returned from ``execute`` is kept. A call that was cut off may have taken effect or not;
      the same command under the same key finds out, and takes effect once in all.
    * One key, one command: the same one gets the same answer for ever, a refusal included; another
      one under that key is refused with ``IdempotencyError``, and changes nothing.
    * Money is whole ledger units, each entry sums to zero, no wallet and no escrow is negative;
      entries and audit lines are only ever appended.
    * Time is what ``execute`` is told and never goes back: a ``now`` before the latest one counts
      as that one, so a clock set back re-opens no deadline. One set ahead holds until it is caught
      up with. No store reads a clock of its own, and times of parties do not count.

    A store is a view (:class:`~equigrad.market.settlement.work.View`): reading sees what the last
    accepted command left. Not covered: who may send a command (the transport proves that), and a
    database whose owner rewrites all of it, chain and head, at once: publish heads.
    """

    @property
    @abstractmethod
    def currencies(self) -> Mapping[str, Currency]:
        """The market's currencies by code; fixed when it is made."""

    @abstractmethod
    def execute(self, command: Command, *, key: str, now: int) -> Response:
        """Decide and do one command.

        Parameters
        ----------
        command
            One of ``equigrad.market.settlement.COMMANDS``.
        key
            The sender's idempotency key, 1 to 200 printable characters.
        now
            The coordinator's time, whole seconds.

        Returns
        -------
        Response
            The answer; ``accepted`` is False for a refusal, and nothing but its audit line is
            written then.

        Raises
        ------
        IdempotencyError
            If the key belongs to another command.
        ConfigError
            If key or time are impossible.
        """

    @abstractmethod
    def get(self, kind: type[E], key: str) -> E | None:
        """Return an entity by its key, or None."""

    @abstractmethod
    def get_many(self, kind: type[E], keys: Iterable[str]) -> Mapping[str, E]:
        """Return those entities of the given keys that exist, by key."""

    @abstractmethod
    def listing_of(self, owner: str, schema: str) -> Listing | None:
        """Return an owner's listing of a schema, or None."""

    @abstractmethod
    def bids(self, round_: str) -> Iterable[BidRecord]:
        """Return a round's bids in order of their listings."""

    @abstractmethod
    def awards(self, round_: str) -> Iterable[Award]:
        """Return a round's awards in order of their listings."""

    @abstractmethod
    def balance(self, account: Account) -> int:
        """Return an account's balance in ledger units, 0 if nothing was ever posted to it."""

    @abstractmethod
    def posted(self, key: str) -> bool:
        """Return whether an entry of that key is in the books."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Return everything as of one moment; memory grows with the market."""

    @property
    @abstractmethod
    def head(self) -> Head:
        """The end of the audit chain; whoever keeps it can prove what came before."""

    def verify(self, rules: Mapping[str, Rule] | None = None) -> Head:
        """Check everything that is kept, from genesis; return the head.

        The chain is followed and played again, and books and entities must be what comes out; then
        every invariant is checked. Takes the time and memory of the whole market.

        Parameters
        ----------
        rules
            By round, the auction to clear it again with; rounds without one are not cleared again.

        Raises
        ------
        VerificationError
            At the first difference.
        """
        return verify(self.currencies, self.snapshot(), rules or {})
