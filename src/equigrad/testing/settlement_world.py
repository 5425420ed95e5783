"""A small market to test stores with: a buyer, sellers, a posted price, and steps that go well.

Neighbours: ``settlement`` is the contract suite, ``settlement_machine`` the stateful one.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from equigrad.market.settlement import (
    Accept,
    Allocation,
    Award,
    BidPaper,
    BidRecord,
    Clear,
    Command,
    Commit,
    Currency,
    Deliver,
    Deposit,
    Draft,
    Enlist,
    Enrol,
    Fund,
    Job,
    Judge,
    Listing,
    Offer,
    Open,
    Party,
    PostJob,
    Response,
    Reveal,
    Round,
    SettlementStore,
    Terms,
    Verdict,
    clearing,
    commitment,
    wallet,
)

__all__ = ["EUR", "SELLERS", "World", "posted_price", "sha"]

EUR = Currency("EUR")
SELLERS = ("ann", "bob", "cid")


def sha(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def posted_price(
    terms: Terms, papers: tuple[BidPaper, ...], listings: Mapping[str, Listing]
) -> list[Allocation]:
    """Return an auction's awards: 10 units per record and level, to the cap, while money lasts."""
    left, awards = terms.budget, []
    for paper in papers:
        level = min(paper.level_cap, listings[paper.listing].level_cap(terms))
        while level and 10 * level < paper.table[level]:
            level -= 1
        price = level * paper.size * 10
        if level and price <= left:
            left -= price
            awards.append(Allocation(paper.listing, level, price))
    return awards


class World:
    """Drives a store through rounds; every command has a key of its own unless it is given one.

    Parameters
    ----------
    store
        A new market with the currency ``EUR``.
    money
        What the buyer pays in, in ledger units.
    terms
        What differs from the terms of :meth:`terms`.
    """

    def __init__(self, store: SettlementStore, money: int = 100_000, **terms: Any) -> None:
        self.store = store
        self.now = 1000
        self.count = 0
        self.sent: list[tuple[str, Command]] = []
        self._terms = terms
        for name in ("buyer", *SELLERS):
            self.do(Enrol(Party(name, sha(name))))
        for name in SELLERS:
            self.do(Enlist(Listing(f"{name}-1", name, sha("schema"), 100, 90, "1.5")))
        self.do(PostJob(Job("job", "buyer", "EUR", sha("model"))))
        if money:
            self.do(Deposit("buyer", "EUR", money, "first"))

    def terms(self, **others: Any) -> Terms:
        """Return terms: 10,000 units, a fee of 2.5 %, 4 levels up to epsilon 2, 60 s a stage."""
        usual: dict[str, Any] = {
            "job": "job",
            "budget": 10_000,
            "auction": sha("auction"),
            "steps": 4,
            "fee_bps": 250,
            "max_bytes": 1000,
            "deliver_seconds": 60,
        }
        return Terms(**(usual | self._terms | others))

    # --- sending --------------------------------------------------------------------------------

    def send(self, command: Command, key: str | None = None) -> Response:
        """Send a command at the present second."""
        if key is None:
            self.count += 1
            key = f"key {self.count}"
        self.sent.append((key, command))
        return self.store.execute(command, key=key, now=self.now)

    def do(self, command: Command, key: str | None = None) -> Response:
        """Send a command that must be accepted."""
        return self.send(command, key).require()

    def refused(self, command: Command) -> str:
        """Send a command that must be refused; return why."""
        response = self.send(command)
        if response.accepted:
            raise AssertionError(f"Expected a refusal of {command}, got {response}.")
        return response.reason or ""

    def balance(self, owner: str) -> int:
        """Return what is in a wallet."""
        return self.store.balance(wallet(owner, "EUR"))

    def award(self, round_: str, seller: str) -> Award:
        """Return a seller's award."""
        found = self.store.get(Award, f"{round_}/{seller}-1")
        if found is None:
            raise AssertionError(f"Expected an award of {seller} in {round_}, got none.")
        return found

    def round(self, round_: str) -> Round:
        """Return a round."""
        found = self.store.get(Round, round_)
        if found is None:
            raise AssertionError(f"Expected a round {round_}, got none.")
        return found

    # --- steps of a round -----------------------------------------------------------------------

    def opened(self, round_: str, **terms: Any) -> None:
        """Draft, fund and open a round."""
        self.do(Draft(round_, self.terms(**terms)))
        self.do(Fund(round_))
        self.do(Open(round_))

    def paper(self, round_: str, seller: str, **others: Any) -> BidPaper:
        """Return a seller's bid: 8 units per level, up to level 3, for 50 records."""
        usual: dict[str, Any] = {
            "party": seller,
            "listing": f"{seller}-1",
            "table": (0, 8, 16, 24, 32),
            "level_cap": 3,
            "size": 50,
            "terms": self.round(round_).terms.digest,
        }
        return BidPaper(**(usual | others))

    def nonce(self, round_: str, seller: str) -> str:
        """Return the nonce of a seller's bid in a round."""
        return sha(f"nonce {round_} {seller}")

    def sealing(self, round_: str, seller: str, paper: BidPaper | None = None) -> Commit:
        """Return the command that seals a seller's bid."""
        paper = paper or self.paper(round_, seller)
        seal = commitment(paper, self.nonce(round_, seller), round_)
        return Commit(round_, f"{seller}-1", seller, seal, self.round(round_).terms.digest)

    def opening(self, round_: str, seller: str, paper: BidPaper | None = None) -> Reveal:
        """Return the command that opens a seller's bid."""
        paper = paper or self.paper(round_, seller)
        return Reveal(round_, f"{seller}-1", seller, paper, self.nonce(round_, seller))

    def seal(self, round_: str, *sellers: str) -> None:
        """Seal the bids of some sellers, all unless named."""
        for seller in sellers or SELLERS:
            self.do(self.sealing(round_, seller))

    def reveal(self, round_: str, *sellers: str) -> None:
        """Wait for the end of sealing and open the bids of some sellers."""
        self.now = max(self.now, (self.round(round_).commit_by or 0) + 1)
        for seller in sellers or SELLERS:
            self.do(self.opening(round_, seller))

    def cleared(self, round_: str) -> Clear:
        """Return the command that clears a round by the posted price."""
        return Clear(round_, clearing(self.store, round_, posted_price))

    def collecting(self, round_: str, **terms: Any) -> None:
        """Bring a new round to the point where deliveries are taken, and accept all awards."""
        self.opened(round_, **terms)
        self.seal(round_)
        self.reveal(round_)
        self.do(self.cleared(round_))
        self.do(Offer(round_))
        for seller in SELLERS:
            self.do(Accept(self.award(round_, seller).key, seller))

    def upload(self, round_: str, seller: str, **others: Any) -> Deliver:
        """Return the command that delivers a seller's upload."""
        award = self.award(round_, seller)
        usual: dict[str, Any] = {
            "award": award.key,
            "party": seller,
            "upload": sha(f"upload {award.key}"),
            "size": 500,
            "level": award.level,
        }
        return Deliver(**(usual | others))

    def verdict(self, round_: str, seller: str, *, passed: bool, reason: str = "") -> Verdict:
        """Return a verdict on what a seller delivered."""
        delivery = self.award(round_, seller).delivery
        if delivery is None:
            raise AssertionError(f"Expected a delivery of {seller}, got none.")
        return Verdict(delivery.digest, passed, reason)

    def deliver(self, round_: str, *sellers: str) -> None:
        """Deliver for some sellers, with a check that is passed."""
        for seller in sellers or SELLERS:
            self.do(self.upload(round_, seller))
            key = self.award(round_, seller).key
            self.do(Judge(key, self.verdict(round_, seller, passed=True)))

    def bid(self, round_: str, seller: str) -> BidRecord:
        """Return what the market knows of a seller's bid."""
        found = self.store.get(BidRecord, f"{round_}/{seller}-1")
        if found is None:
            raise AssertionError(f"Expected a bid of {seller} in {round_}, got none.")
        return found
