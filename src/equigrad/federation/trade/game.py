"""A market run round by round: lines, money and model, and states to go on from.

A round is played again from its start if the process died in it: the ledger has its answers by
their keys, parties answer the same requests with the same bytes, and the record continues where the
last settled round ended. So however often it died, record and ledger end the same. Neighbours:
``bidding`` and ``collecting`` are the halves of a round, ``run`` plays it in a folder.
"""

from collections.abc import Mapping
from typing import Any

from equigrad.federation.gathering import finite
from equigrad.federation.journal import Journal
from equigrad.federation.trade.aggregating import Aggregate, aggregate, estimates_of
from equigrad.federation.trade.appraising import appraise
from equigrad.federation.trade.bidding import (
    NOT_OPENED,
    Bids,
    Cleared,
    Offering,
    clear,
    fund,
    open_bids,
    seal_bids,
)
from equigrad.federation.trade.clock import period
from equigrad.federation.trade.collecting import Collected, award_facts, collect
from equigrad.federation.trade.money import Ledger
from equigrad.federation.trade.progress import MarketListener, SettledRound
from equigrad.federation.trade.setup import MarketSetup
from equigrad.federation.trade.state import MarketState
from equigrad.federation.trade.terms import auction_terms, settlement_terms
from equigrad.federation.transport.base import Transport
from equigrad.market import settlement as s
from equigrad.market.settlement.codec import to_json
from equigrad.models import vector_sha256

__all__ = ["MarketGame"]


class MarketGame:
    """One run under way.

    Parameters
    ----------
    setup, state
        The run, and where it stands; the state moves.
    ledger, transport, journal, progress
        Who keeps the money, carries messages, records, and watches.
    """

    def __init__(
        self,
        setup: MarketSetup,
        state: MarketState,
        *,
        ledger: Ledger,
        transport: Transport,
        journal: Journal,
        progress: MarketListener,
    ) -> None:
        self._setup, self.state = setup, state
        self._ledger, self._transport = ledger, transport
        self._journal, self._progress = journal, progress
        self._saved = True

    def play(self) -> str:
        """Play the rounds that are left; return why it ended: ``rounds`` or ``funds``."""
        config = self._setup.config
        while self.state.next_round < config.rounds:
            round_ = self.state.next_round
            self._ledger.clock.at_least(self.state.clock)
            offering = self._offering(round_)
            refused = fund(self._ledger, offering)
            if refused is not None:
                text = f"Round {round_} has no money: {refused} Raise market.funds in a new run."
                self._progress.message("warning", text)
                self.checkpoint()
                return "funds"
            self._round(offering)
            if (round_ + 1) % config.engine.checkpoint_every == 0:
                self.checkpoint()
        self.checkpoint()
        return "rounds"

    def checkpoint(self) -> None:
        """Make the present state the one to go on from."""
        if not self._saved:
            state = self.state
            self._journal.keep(state.next_round - 1, state.facts(), state.arrays(), self._transport)
            self._saved = True

    # --- one round ------------------------------------------------------------------------------

    def _offering(self, round_: int) -> Offering:
        setup, ids = self._setup, self._ledger.ids
        trade = setup.config.market
        invited = setup.invited(round_, self.state.out)
        listings = tuple(setup.listings[party] for party in invited)
        auction = auction_terms(setup.auction, trade, listings)
        terms = settlement_terms(trade, ids.job, auction, setup.local.dim)
        return Offering(round_, ids.round(round_), setup.task, invited, listings, auction, terms)

    def _round(self, offering: Offering) -> None:
        setup, state, ledger, journal = self._setup, self.state, self._ledger, self._journal
        round_, began = offering.number, ledger.clock.now
        journal.line("announce", round_, offering.body())
        bid = seal_bids(ledger, self._transport, offering, state.receipts)
        for party in offering.invited:
            if party not in bid["absent"]:
                state.receipts.pop(party, None)
        journal.line("bid", round_, bid)
        bids = open_bids(ledger, self._transport, offering, list(bid["sealed"]))
        journal.line("open", round_, bids.body)
        cleared = clear(ledger, offering, setup.auction, bids)
        journal.line("clear", round_, cleared.body)
        collected = self._collected(offering, cleared)
        counts = len(collected.verified) >= offering.terms.quorum
        journal.line("collect", round_, collected.body(offering.terms.quorum))
        estimates = estimates_of(setup.local, collected.verified)
        found = self._aggregated(bids, cleared, estimates, counts=counts)
        journal.line("aggregate", round_, found.body)
        if setup.config.market.appraise == "cgsv" and estimates:
            sold = dict(zip(cleared.body["parties"], cleared.body["epsilons"], strict=True))
            body = appraise(setup.local, setup.config.seed, round_, sold, estimates)
            journal.line("appraise", round_, body)
        state.step(setup.config.step, round_, setup.config.rounds, found.direction)
        release = None if found.direction is None else vector_sha256(state.model)
        settled = self._settled(offering, cleared, release)
        journal.line("settle", round_, settled)
        self._excluded(offering, bids)
        measured = self._measured(round_)
        if measured is not None:
            journal.line("evaluate", round_, measured)
        state.next_round = round_ + 1
        state.clock = began + period(setup.config.market)
        self._saved = False
        self._tell(offering, bid, bids, cleared, collected, found, settled, measured)

    def _collected(self, offering: Offering, cleared: Cleared) -> Collected:
        """Collect, unless the ledger has ended the round for too few awards."""
        ledger, setup = self._ledger, self._setup
        if cleared.failed:
            awards = sorted(ledger.store.awards(offering.id), key=lambda award: award.party)
            return Collected({}, [award_facts(ledger, award, {}) for award in awards])
        return collect(ledger, self._transport, offering, setup.local, self.state.model)

    def _aggregated(
        self, bids: Bids, cleared: Cleared, estimates: Mapping[str, Any], *, counts: bool
    ) -> Aggregate:
        setup, papers = self._setup, bids.opened.papers
        return aggregate(
            setup.config.market.aggregator,
            setup.noise,
            [paper.party for paper in papers],
            [paper.size for paper in papers],
            cleared.body["epsilons"],
            estimates,
            counts=counts,
        )

    def _settled(self, offering: Offering, cleared: Cleared, release: str | None) -> dict[str, Any]:
        """Close the round, pay, and return the record's line ``settle``."""
        ledger, name = self._ledger, offering.id
        if not cleared.failed:
            ledger.do(s.Close(name, release), name, "close").require()
            if ledger.need(s.Round, name).phase is not s.Phase.FAILED:
                ledger.do(s.Settle(name), name, "settle").require()
        round_ = ledger.need(s.Round, name)
        books = round_.escrow or s.Escrow(0)
        wallets = self.state.wallets
        wallets[round_.buyer] += books.refunded - books.held
        for award in ledger.store.awards(name):
            receipt = award.receipt
            wallets[award.party] += receipt.paid
            told = self.state.receipts.setdefault(award.party, [])
            told.append(to_json(receipt))
        return {
            "paid": books.paid,
            "fee": books.fee,
            "refunded": books.refunded,
            "held": books.held,
            "wallets": dict(wallets),
            "head": ledger.head,
            "release": release,
            "failed": round_.reason,
        }

    def _excluded(self, offering: Offering, bids: Bids) -> None:
        """Note whose listing is out because a sealed bid was not opened."""
        rounds = self._setup.config.market.exclude_rounds
        for party, why in bids.body["dropped"].items():
            if rounds and why.startswith(NOT_OPENED):
                self.state.out[party] = offering.number + rounds

    def _measured(self, round_: int) -> dict[str, float | None] | None:
        config = self._setup.config
        last = round_ + 1 == config.rounds
        if (round_ + 1) % config.evaluation.every and not last:
            return None
        found = finite(self._setup.measure(self.state.delivered())) or {}
        return {"score": found["score"], "loss": found["loss"]}

    def _tell(
        self,
        offering: Offering,
        bid: Mapping[str, Any],
        bids: Bids,
        cleared: Cleared,
        collected: Collected,
        found: Aggregate,
        settled: Mapping[str, Any],
        measured: Mapping[str, float | None] | None,
    ) -> None:
        sold = dict(zip(cleared.body["parties"], cleared.body["epsilons"], strict=True))
        states = {fact["party"]: fact for fact in collected.awards}
        missing = {**bid["declined"], **bid["absent"], **bids.body["dropped"]}
        missing |= {
            party: str(fact["reason"] or fact["state"])
            for party, fact in states.items()
            if party not in collected.verified
        }
        self._progress.round_settled(
            SettledRound(
                round=offering.number,
                total=self._setup.config.rounds,
                invited=len(offering.invited),
                bids=len(bids.opened.papers),
                awards=len(collected.awards),
                verified=len(collected.verified),
                budget=offering.terms.budget,
                spent=cleared.body["spent"],
                paid=settled["paid"],
                relative_error=found.body["err_over_l2"],
                epsilons={party: sold[party] for party in collected.verified},
                missing=missing,
                score=None if measured is None else measured["score"],
                loss=None if measured is None else measured["loss"],
                failed=settled["failed"] is not None,
            )
        )
