"""A market record, line by line: each must follow from the run file and the lines before it.

Neighbours: ``opening`` has judged the first line; ``selling``, ``worth`` and ``money`` recompute
the stages of a round, ``last`` the end.
"""

from equigrad.federation.record.agreement import VerifyResult, fault, same
from equigrad.federation.record.canonical import plain
from equigrad.federation.record.chain import Line
from equigrad.federation.trade.bidding import NOT_OPENED, Offering
from equigrad.federation.trade.inviting import invited_in
from equigrad.federation.trade.reading import listings_in, terms_in
from equigrad.federation.trade.terms import auction_of, auction_terms, settlement_terms
from equigrad.federation.trade.verify.compare import is_digest
from equigrad.federation.trade.verify.last import check_finish
from equigrad.federation.trade.verify.money import Books
from equigrad.federation.trade.verify.opening import Opening, check_baselines
from equigrad.federation.trade.verify.selling import (
    check_bids,
    check_opened,
    check_terms,
    cleared,
)
from equigrad.federation.trade.verify.sold import Sold
from equigrad.federation.trade.verify.worth import (
    check_aggregate,
    check_appraisal,
    check_collected,
)
from equigrad.market import Clearing
from equigrad.market import settlement as s

__all__ = ["Judge"]

_NEXT = {
    "baselines": "announce",
    "announce": "bid",
    "bid": "open",
    "open": "clear",
    "clear": "collect",
    "collect": "aggregate",
    "aggregate": "settle",
    "appraise": "settle",
    "settle": "announce",
    "evaluate": "announce",
}


class Judge:
    """Follows a record after its first line.

    Parameters
    ----------
    opening
        What the run agreed on.
    start
        The first line.
    result
        Where comparisons are counted.

    Attributes
    ----------
    settled, finished
        Rounds whose money is settled; whether the last line was there.
    rounds
        Lines of each round by stage, of those that are settled.
    sold
        Every award, in order.
    books
        The run's wallets.
    """

    def __init__(self, opening: Opening, start: Line, result: VerifyResult) -> None:
        self.opening, self.result = opening, result
        self.settled, self.finished = 0, False
        self.rounds: list[dict[str, Line]] = []
        self.sold: list[Sold] = []
        self.books = Books(opening.config.buyer, opening.parties, int(start.body["funds"]))
        self.release = str(start.body["model"]["initial_sha256"])
        self.score: tuple[int, dict[str, float | None]] | None = None
        self._now: dict[str, Line] = {}
        self._due = "baselines"
        self._measure = False
        self._schema: str | None = None
        self._out: dict[str, int] = {}
        self._found: Clearing | None = None
        self._verified: list[str] = []

    @property
    def within(self) -> str | None:
        """The stage that is missing, if the record stops within a round."""
        return None if self._due == "announce" or self.finished else self._due

    def take(self, line: Line) -> None:
        """Judge one line.

        Raises
        ------
        VerificationError
            If it does not follow.
        """
        if self.finished:
            raise fault(line, "expected nothing after the finish line")
        self._check_stage(line)
        getattr(self, f"_{line.stage}")(line)
        if line.stage != "finish":
            self._due = _NEXT[line.stage]
        if line.stage == "settle":
            self._measure = self._measured(self.settled - 1)

    def _check_stage(self, line: Line) -> None:
        due = self._due
        if self._measure:
            due = "evaluate"
        elif due == "settle" and self._appraises and "appraise" not in self._now:
            due = "appraise"
        if line.stage != due and not (due == "announce" and line.stage == "finish"):
            raise fault(line, f"expected the line {due!r} here")
        if line.stage in ("baselines", "finish"):
            wanted = None
        else:
            wanted = self.settled - (line.stage == "evaluate")
        if line.round != wanted:
            raise fault(line, f"expected it in round {wanted}")

    @property
    def _appraises(self) -> bool:
        return self.opening.config.market.appraise == "cgsv" and bool(self._verified)

    def _measured(self, round_: int) -> bool:
        config = self.opening.config
        last = round_ + 1 == config.rounds
        return last or (round_ + 1) % config.evaluation.every == 0

    def _baselines(self, line: Line) -> None:
        check_baselines(self.opening, line, self.result)

    # --- one round ------------------------------------------------------------------------------

    def _announce(self, line: Line) -> None:
        opening, trade = self.opening, self.opening.config.market
        self._now = {"announce": line}
        invited = invited_in(opening.config, opening.parties, self.settled, self._out)
        same(line, "members", line.body["invited"], list(invited), self.result)
        listings = tuple(self._listing(line, party) for party in invited)
        auction = auction_of(line.body["auction"])
        if opening.whole:
            auction = auction_terms(opening.auction, trade, listings)
        terms = settlement_terms(trade, opening.ids.job, auction, opening.local.dim)
        round_ = opening.ids.round(self.settled)
        again = Offering(
            self.settled, round_, opening.task, invited, listings, auction, terms
        ).body()
        check_terms(line, again, self.result)

    def _listing(self, line: Line, party: str) -> s.Listing:
        """Return the listing that a party must have; the schema is the run's to say, once."""
        schema = listings_in(line.body)[party].schema
        if not is_digest(schema) or schema != (self._schema or schema):
            raise fault(line, f"expected one schema of all listings, got another of {party!r}")
        self._schema = schema
        size, cap = self.opening.sizes[party], terms_in(line.body).eps_max
        return s.Listing(self.opening.ids.listing(party), party, schema, size, size, cap)

    def _bid(self, line: Line) -> None:
        self._now["bid"] = line
        check_bids(self._now["announce"], line, self.result)

    def _open(self, line: Line) -> None:
        self._now["open"] = line
        check_opened(self._now["announce"], self._now["bid"], line, self.result)

    def _clear(self, line: Line) -> None:
        self._now["clear"] = line
        self._found = cleared(self._now["announce"], self._now["open"], line, self.result)

    def _collect(self, line: Line) -> None:
        self._now["collect"] = line
        quorum = self.opening.config.market.quorum
        self._verified = check_collected(
            self._now["announce"], line, self._cleared, quorum, self.result
        )
        self.sold += Sold.of(self.settled, line, self._cleared)

    @property
    def _cleared(self) -> Clearing:
        if self._found is None:
            raise ValueError("no clearing")
        return self._found

    def _aggregate(self, line: Line) -> None:
        self._now["aggregate"] = line
        trade = self.opening.config.market
        check_aggregate(
            line,
            self.opening.noise,
            trade.aggregator,
            self._cleared,
            self._verified,
            counts=len(self._verified) >= trade.quorum,
            result=self.result,
        )

    def _appraise(self, line: Line) -> None:
        self._now["appraise"] = line
        found = self._cleared
        epsilons = dict(zip(found.party.tolist(), found.eps.tolist(), strict=True))
        local, seed = self.opening.local, self.opening.config.seed
        check_appraisal(line, local, seed, epsilons, self._verified, self.result)

    def _settle(self, line: Line) -> None:
        self._now["settle"] = line
        found, terms = self._cleared, terms_in(self._now["announce"].body)
        paid = dict(zip(found.party.tolist(), found.payments.tolist(), strict=True))
        self.books.settle(line, terms, {p: paid[p] for p in self._verified}, self.result)
        self._check_release(line)
        self._check_failed(line, terms)
        if not is_digest(line.body["head"]):
            raise fault(line, "expected the head of the ledger as a SHA-256")
        self._exclude()
        self.rounds.append(self._now)
        self.settled += 1

    def _check_release(self, line: Line) -> None:
        updated = self._now["aggregate"].body["weights"] is not None
        release = line.body["release"]
        if updated != is_digest(release) or (not updated and release is not None):
            raise fault(line, f"expected a model exactly after an update, got {release!r}")
        self.release = release if updated else self.release

    def _check_failed(self, line: Line, terms: s.Terms) -> None:
        awards, good = int(self._cleared.sellers.sum()), len(self._verified)
        reason = None
        if 0 < awards < terms.quorum:
            reason = f"{awards} awards, quorum {terms.quorum}"
        elif awards and good < terms.quorum:
            reason = f"{good} verified deliveries, quorum {terms.quorum}"
        same(line, "quorum", line.body["failed"], reason, self.result)

    def _exclude(self) -> None:
        """Note whose listing is out because a sealed bid was not opened."""
        rounds = self.opening.config.market.exclude_rounds
        for party, why in self._now["open"].body["dropped"].items():
            if rounds and why.startswith(NOT_OPENED):
                self._out[party] = self.settled + rounds

    def _evaluate(self, line: Line) -> None:
        self._measure = False
        self.rounds[-1]["evaluate"] = line
        same(line, "measures", sorted(line.body), ["loss", "score"], self.result)
        self.score = (self.settled - 1, plain(line.body))

    def _finish(self, line: Line) -> None:
        check_finish(self, line)
        self.finished = True
