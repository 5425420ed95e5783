"""The ledger's database beside a market record: sound in itself, and the same story.

Neighbours: ``judge`` has recomputed the record; :mod:`equigrad.market.settlement` checks chain,
books and invariants of a ledger and clears its rounds again.
"""

from equigrad.errors import EquigradError, StoreError, VerificationError
from equigrad.federation.ledger import SqlStore
from equigrad.federation.record.agreement import VerifyResult, fault, same
from equigrad.federation.record.chain import Line
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.trade.money import ledger_address
from equigrad.federation.trade.reading import papers_in, terms_in
from equigrad.federation.trade.terms import auction_of, published_auction
from equigrad.federation.trade.verify.judge import Judge
from equigrad.federation.trade.verify.sold import Sold
from equigrad.market import settlement as s
from equigrad.market.settlement.replay import Snapshot

__all__ = ["check_ledger"]


def check_ledger(place: RunFolder, judge: Judge) -> None:
    """Verify the run's ledger, if it can be had, and compare every settled round with it.

    Raises
    ------
    VerificationError
        If the ledger is not sound, or says another thing than the record.
    """
    config, result = judge.opening.config, judge.result
    address = ledger_address(config, place)
    own = config.market.ledger is None
    if own and not (place.path / "market.db").is_file():
        result.unchecked.append("The ledger: there is no market.db in the folder.")
        return
    try:
        store = SqlStore(address)
    except StoreError as error:
        if own:
            raise VerificationError(f"{place.path / 'market.db'}: {error}") from error
        result.unchecked.append(f"The ledger, which is not in the folder: {error}")
        return
    with store:
        _Comparing(store, judge, own=own).check()


class _Comparing:
    """Compares one ledger with one record."""

    def __init__(self, store: SqlStore, judge: Judge, *, own: bool) -> None:
        self._store, self._judge, self._own = store, judge, own
        self._result = judge.result

    def check(self) -> None:
        """Check chain, books and invariants, then round by round."""
        opening = self._judge.opening
        rules = {}
        for lines in self._judge.rounds:
            facts = lines["announce"].body
            terms = auction_of(facts["auction"])
            rule = s.auction_rule(published_auction(terms.mechanism), terms)
            rules[facts["market_round"]] = rule
        try:
            head = self._store.verify(rules)
            kept = self._store.snapshot()
        except EquigradError as error:
            raise VerificationError(f"The ledger does not hold: {error}") from error
        self._result.count("audit lines of the ledger", head.seq)
        self._result.count("ledger entries", len(kept.entries))
        digests = {line.digest for line in kept.journal}
        for lines in self._judge.rounds:
            self._round(kept, digests, lines)
        rounds = [
            r for r in kept.state.entities[s.Round].values() if r.terms.job == opening.ids.job
        ]
        closed = sum(r.phase in (s.Phase.SETTLED, s.Phase.FAILED) for r in rounds)
        if closed < self._judge.settled or (self._judge.finished and closed > self._judge.settled):
            raise VerificationError(
                f"Expected {self._judge.settled} settled rounds in the ledger, as in the record, "
                f"got {closed}."
            )
        if self._own and closed == self._judge.settled:
            self._wallets(kept)  # a run that was killed may have a ledger ahead of its record

    def _round(self, kept: Snapshot, digests: set[str], lines: dict[str, Line]) -> None:
        settle, name = lines["settle"], lines["announce"].body["market_round"]
        round_ = kept.state.get(s.Round, name)
        if round_ is None:
            raise fault(settle, f"expected the round {name} in the ledger, which has none")
        announce = lines["announce"]
        terms = terms_in(announce.body)
        same(announce, "terms in the ledger", terms.digest, round_.terms.digest, self._result)
        books = round_.escrow or s.Escrow(0)
        for key in ("held", "paid", "fee", "refunded"):
            same(settle, f"{key} in the ledger", settle.body[key], getattr(books, key), _quiet())
        self._result.count("money in the ledger", 4)
        same(settle, "release in the ledger", settle.body["release"], round_.release, _quiet())
        if settle.body["head"] not in digests:
            raise fault(settle, "expected the head to be one of the ledger's lines, got another")
        self._result.count("heads of the ledger")
        self._bids(kept, lines, name)
        self._awards(kept, name)

    def _bids(self, kept: Snapshot, lines: dict[str, Line], name: str) -> None:
        sealed, opened = lines["bid"], lines["open"]
        papers = {paper.party: paper for paper in papers_in(opened.body)}
        bids = {bid.party: bid for bid in kept.state.bids(name)}
        same(sealed, "bidders in the ledger", sorted(sealed.body["sealed"]), sorted(bids), _quiet())
        for party, bid in bids.items():
            told = sealed.body["sealed"][party]
            same(sealed, f"the seal of {party} in the ledger", told, bid.commitment, _quiet())
            if (bid.paper if bid.counts else None) != papers.get(party):
                raise fault(
                    opened, f"expected the bid of {party} as the ledger has it, got another"
                )
        self._result.count("bids in the ledger", len(bids))

    def _awards(self, kept: Snapshot, name: str) -> None:
        found = {award.key: award for award in kept.state.awards(name)}
        told = [sold for sold in self._judge.sold if sold.award.partition("/")[0] == name]
        for sold in told:
            award = found.get(sold.award)
            if award is None:
                raise fault(sold.line, f"expected the award {sold.award} in the ledger")
            self._award(sold, award)
        if len(found) != len(told):
            raise VerificationError(
                f"Expected {len(told)} awards of {name} in the ledger, as in the record, got "
                f"{len(found)}."
            )
        self._result.count("awards in the ledger", len(told))

    def _award(self, sold: Sold, award: s.Award) -> None:
        state = s.AwardState.VERIFIED if award.state is s.AwardState.PAID else award.state
        came = award.delivery
        for what, told, again in (
            ("level", sold.level, award.level),
            ("payment", sold.payment, award.payment),
            ("state", sold.state, state.value),
            ("delivery", sold.digest, None if came is None else came.digest),
            ("delivery's size", sold.size, None if came is None else came.size),
        ):
            same(sold.line, f"the {what} of {sold.party} in the ledger", told, again, _quiet())

    def _wallets(self, kept: Snapshot) -> None:
        """Compare wallets, if no round holds money."""
        code = self._judge.opening.config.market.currency
        open_ = [r for r in kept.state.entities[s.Round].values() if r.phase not in s.CLOSED]
        if open_ or not self._judge.rounds:
            return
        line = self._judge.rounds[-1]["settle"]
        for name, amount in self._judge.books.wallets.items():
            again = kept.state.balance(s.wallet(name, code))
            same(line, f"the wallet of {name} in the ledger", amount, again, _quiet())
        fees = kept.state.balance(s.fees(code))
        same(line, "fees in the ledger", self._judge.books.fees, fees, _quiet())
        self._result.count("wallets in the ledger", len(self._judge.books.wallets) + 1)


def _quiet() -> VerifyResult:
    return VerifyResult()
