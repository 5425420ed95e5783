"""Whatever is asked of a seller, in whatever order: it keeps its limit, its price and its word."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seller_world import (
    DIM,
    LADDER,
    RECORDS,
    ask,
    award_request,
    bid_request,
    opened,
    spec_of,
    terms_of,
)

from equigrad.federation.trade.agent import SellerAgent
from equigrad.federation.trade.announcing import Announced, auction_facts
from equigrad.federation.trade.deciding import DeclinedError, own_paper
from equigrad.federation.trade.messages import BidReply, DeclineReply, DeliverReply
from equigrad.federation.trade.protection import local_mechanism
from equigrad.federation.trade.sales import open_account
from equigrad.market import Curve, Ladder
from equigrad.market.settlement import Listing, Terms
from equigrad.market.settlement.codec import to_json
from equigrad.market.settlement.papers import flaw

LIMIT = 3.0
FACTORS = st.floats(1e-6, 1e3)
CURVES = st.one_of(
    st.builds(Curve, st.sampled_from(["quad", "sqrt", "linear", "exp"]), FACTORS),
    st.lists(st.tuples(st.floats(0.01, 4.0), st.floats(0.0, 1e6)), min_size=1, max_size=6).map(
        lambda points: Curve(
            "table",
            1.0,
            tuple(zip(sorted(e for e, _ in points), sorted(v for _, v in points), strict=True)),
        )
    ),
)
LADDERS = st.builds(Ladder, st.integers(1, 64).map(lambda n: n / 16), st.integers(1, 40))


@settings(max_examples=150, deadline=None)
@given(
    curve=CURVES,
    eps_cap=st.floats(0.01, 10.0),
    size=st.integers(1, 10**6),
    ladder=LADDERS,
    scale=st.sampled_from([100, 10**6, 10**9]),
)
def test_a_bid_never_asks_less_than_privacy_costs_nor_offers_more_than_the_cap(
    curve: Curve, eps_cap: float, size: int, ladder: Ladder, scale: int
) -> None:
    terms, auction = terms_of(ladder=ladder)
    facts = {**auction_facts(auction, "alice"), "scale": scale}
    announced = Announced.read(to_json(terms), facts)
    cap = min(eps_cap, curve.cap)
    if cap < float(ladder.eps(1)) * (1 - 1e-9):
        with pytest.raises(DeclinedError, match="above the seller's cap"):
            own_paper("alice", "alice-records", curve, eps_cap, size, announced)
        return
    if cap < float(ladder.eps(1)) * (1 + 1e-9):
        return  # as near to the first level as rounding is
    paper = own_paper("alice", "alice-records", curve, eps_cap, size, announced)
    listing = Listing("alice-records", "alice", "0" * 64, size, size, "9")
    assert flaw(paper, listing, terms) is None
    assert float(ladder.eps(paper.level_cap)) <= cap + 1e-12
    if paper.level_cap < ladder.steps:
        assert float(ladder.eps(paper.level_cap + 1)) > cap
    for level, price in enumerate(paper.table):
        wanted = scale * float(curve(float(ladder.eps(level))))
        assert wanted * (1 - 1e-12) <= price <= (wanted + 1) * (1 + 1e-12)


@settings(max_examples=100, deadline=None)
@given(
    budget=st.integers(1, 2**61),
    ladder=LADDERS,
    seconds=st.tuples(*[st.integers(1, 2**30)] * 3),
    fee_bps=st.integers(0, 10_000),
)
def test_terms_read_are_the_terms_announced(
    budget: int, ladder: Ladder, seconds: tuple[int, int, int], fee_bps: int
) -> None:
    _, auction = terms_of(ladder=ladder)
    terms = Terms(
        "job",
        budget,
        auction.digest,
        eps_max=str(ladder.eps_max),
        steps=ladder.steps,
        fee_bps=fee_bps,
        commit_seconds=seconds[0],
        reveal_seconds=seconds[1],
        deliver_seconds=seconds[2],
    )
    read = Announced.read(to_json(terms), auction_facts(auction, "alice"))
    assert (read.terms, read.terms.digest, read.ladder) == (terms, terms.digest, ladder)


ASKED = st.lists(
    st.tuples(
        st.integers(0, 3),  # the round
        st.integers(0, 9),  # the level, 0 and 9 being none
        st.sampled_from([-1, 0, 1]),  # the payment less the price
        st.booleans(),  # whether a fresh agent answers
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=20, deadline=None)
@given(asked=ASKED, noise=st.sampled_from(["seeded", "secret"]))
def test_no_order_of_requests_overdraws_an_account_undersells_or_changes_a_word(
    asked: list[tuple[int, int, int, bool]], noise: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spec = spec_of(Path(folder), eps_cap=2.0, limit={"limit": LIMIT}, local={"noise": noise})
        agent = SellerAgent(spec)
        mechanism = local_mechanism(spec.local, DIM)
        first: dict[tuple[int, int, int], str] = {}
        for round_, level, more, fresh in asked:
            agent = SellerAgent(spec) if fresh else agent
            if not isinstance(ask(agent, bid_request(round_=round_)), BidReply):
                continue
            paper, _ = opened(agent, round_)
            due = RECORDS * paper.table[min(level, 8)] + more
            award = award_request(paper, min(level, 8), round_, payment=due)
            award = replace(award, level=level, epsilon=0.25 * level)
            reply = ask(agent, award)
            if isinstance(reply, DeclineReply):
                continue
            assert isinstance(reply, DeliverReply)
            assert 1 <= level <= paper.level_cap
            assert more >= 0
            assert mechanism.check(reply.content.numpy().tobytes(), float(LADDER.eps(level))) == ()
            assert first.setdefault((round_, level, more), reply.digest) == reply.digest
        assert len({round_ for round_, _, _ in first}) == len(first)  # an award is of one kind
        with open_account(spec.account, "alice", spec.limit) as account:
            assert account.spent() == sum(0.25 * level for _, level, _ in first) <= LIMIT
            assert account.remaining() == LIMIT - account.spent()  # nothing stays reserved
