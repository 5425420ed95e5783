"""The ledger as a market run uses it: who is in it, under which names, at which time.

Every command has a key that follows from the run, the round and what it does, so a round that was
half played when the process died is played again into the answers that it got then. Without
``market.ledger`` the ledger is the run's own, ``market.db`` in its folder. In a shared one rounds,
listings and the job bear the run's mark in front; parties and wallets are the ledger's.
Neighbours: :mod:`equigrad.market.settlement` decides, :mod:`equigrad.federation.ledger` keeps.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from equigrad.errors import SettlementError, StoreError
from equigrad.federation.ledger import SqlStore
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.trade.clock import LogicalClock
from equigrad.federation.trade.config.schema import MarketConfig
from equigrad.federation.trade.terms import decimal_text
from equigrad.market import settlement as s
from equigrad.market.settlement.codec import sha256
from equigrad.market.settlement.work import E

__all__ = ["Ids", "Ledger", "currency_of", "funds_of", "ledger_address"]

_MARK = 12


class Ids:
    """What things of a run are called in its ledger.

    Parameters
    ----------
    task
        The run's mark.
    shared
        Whether other runs use the ledger.
    """

    def __init__(self, task: str, *, shared: bool) -> None:
        self._task = task
        self._front = f"{task[:_MARK]}-" if shared else ""

    def round(self, number: int) -> str:
        """Return a round's id."""
        return f"{self._front}round-{number:04d}"

    def listing(self, party: str) -> str:
        """Return the id of a party's listing."""
        return f"{self._front}{party}"

    def listed(self, party: str, attested: int, eps_max: float, schema: str) -> s.Listing:
        """Return a party's listing: all records that it holds, the whole public ladder.

        What the party itself would sell at most is in its bid and nobody's business before.
        """
        described = {"schema": schema, "run": self.job}
        digest = sha256(described) if self._front else schema
        cap = decimal_text(eps_max)
        return s.Listing(self.listing(party), party, digest, attested, attested, cap)

    @property
    def job(self) -> str:
        """The job's id."""
        return f"{self._front}model"

    def key(self, *parts: str) -> str:
        """Return the idempotency key of a command of this run."""
        return "-".join((self._task[:_MARK], *parts))

    def reference(self, what: str) -> str:
        """Return the reference of a transfer, which is the run's even in a ledger of its own."""
        return f"{self._task[:_MARK]}-{what}"


def currency_of(config: MarketConfig) -> s.Currency:
    """Return the run's currency; ``ConfigError`` if its scale is no power of ten."""
    trade = config.market
    return s.Currency(trade.currency, trade.scale, min(100, trade.scale))


def funds_of(config: MarketConfig, held: int) -> int:
    """Return the money that the buyer pays in, ledger units; 0 if none.

    Parameters
    ----------
    config
        The run file.
    held
        What one round holds: budget and fee.
    """
    if config.market.funds is None:
        return config.rounds * held
    return currency_of(config).parse(config.market.funds)


def ledger_address(config: MarketConfig, place: RunFolder) -> str:
    """Return the file or URL of a run's ledger."""
    return config.market.ledger or str(place.path / "market.db")


class Ledger:
    """A run's ledger, open.

    Parameters
    ----------
    config, place
        The run file and the run's folder.
    task
        The run's mark.

    Raises
    ------
    StoreError
        If the database cannot be had, or is a market of other currencies.
    """

    def __init__(self, config: MarketConfig, place: RunFolder, task: str) -> None:
        self.shared = config.market.ledger is not None
        self.ids = Ids(task, shared=self.shared)
        self.clock = LogicalClock()
        self.currency = currency_of(config)
        self.store = SqlStore(ledger_address(config, place), [self.currency])
        self._last = ""

    def do(self, command: s.Command, *parts: str) -> s.Response:
        """Do a command of this run, or find out what became of it; time is the answer's then.

        Parameters
        ----------
        command
            What is asked.
        parts
            What sets it apart from all other commands of the run.
        """
        key = self.ids.key(*parts)
        response = self.store.execute(command, key=key, now=self.clock.now)
        self.clock.at_least(response.at)
        self._last = key
        return response

    def need(self, kind: type[E], key: str) -> E:
        """Return an entity that must be there."""
        found = self.store.get(kind, key)
        if found is None:
            raise StoreError(
                f"Expected {kind.__name__} {key!r} in the ledger, got none. Restore it from a copy."
            )
        return found

    @property
    def head(self) -> str:
        """Digest of the audit line of the run's last command."""
        line = self.store.line(self._last)
        return "" if line is None else line.digest

    def enter(self, buyer: str, listings: Sequence[s.Listing], model: str, funds: int) -> None:
        """Make everybody known, offer the listings, post the job and pay the funds in: once.

        Raises
        ------
        SettlementError
            If the ledger refuses something that it does not have already.
        """
        for name in (buyer, *(listing.owner for listing in listings)):
            member = s.Party(name, sha256({"in-process party": name}))
            answer = self.do(s.Enrol(member), "enrol", name)
            if not answer.accepted and self.store.get(s.Party, name) is None:
                raise SettlementError(answer.reason or "")
        for listing in listings:
            self.do(s.Enlist(listing), "enlist", listing.owner).require()
        code = self.currency.code
        self.do(s.PostJob(s.Job(self.ids.job, buyer, code, model)), "job").require()
        if funds:
            reference = self.ids.reference("funds")
            self.do(s.Deposit(buyer, code, funds, reference), "funds").require()

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
