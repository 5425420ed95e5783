"""A seller seals and opens one bid a round, on terms that it has read itself, or says why not."""

from pathlib import Path
from typing import Any

import pytest
from seller_world import (
    LADDER,
    RECORDS,
    TASK,
    ask,
    bid,
    bid_request,
    opened,
    receipt_of,
    sold,
    spec_of,
    terms_of,
)

from equigrad.errors import ConfigError, DataError
from equigrad.federation.messages import FinishRequest
from equigrad.federation.trade.agent import SellerAgent
from equigrad.federation.trade.announcing import Announced, auction_facts
from equigrad.federation.trade.messages import BidReply, DeclineReply, OpenRequest
from equigrad.market import Curve, Ladder, QualityTable
from equigrad.market import Terms as AuctionTerms
from equigrad.market.settlement import Listing, commitment
from equigrad.market.settlement.codec import to_json
from equigrad.market.settlement.papers import flaw


def declined(agent: SellerAgent, **changes: Any) -> str:
    reply = ask(agent, bid_request(agent.spec.name, **changes))
    assert isinstance(reply, DeclineReply)
    assert (reply.party, reply.round) == (agent.spec.name, changes.get("round_", 0))
    return reply.reason


def test_what_is_opened_is_what_was_sealed_and_sound(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    reply = bid(agent)
    paper, nonce = opened(agent)
    terms, _ = terms_of()
    assert reply.terms == terms.digest == paper.terms
    assert reply.commitment == commitment(paper, nonce, "round-0")
    assert flaw(paper, Listing("alice-records", "alice", "0" * 64, 40, 40, "2"), terms) is None
    # linear: 2 a e per record at a = 0.01, a million units to one of currency
    assert paper.table == tuple(20_000 * k * 2 // 8 for k in range(9))
    assert (paper.level_cap, paper.size) == (6, RECORDS)  # epsilon 1.5 of 2 in eighths


def test_a_bid_asked_for_again_is_the_same_also_by_another_agent(tmp_path: Path) -> None:
    first = bid(SellerAgent(spec_of(tmp_path)))
    again = SellerAgent(spec_of(tmp_path))
    assert bid(again) == first
    assert opened(again) == opened(SellerAgent(spec_of(tmp_path)))


def test_a_bid_stays_as_it_was_sealed_though_privacy_was_spent_meanwhile(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path, limit={"limit": 1.5}))
    first = bid(agent)
    sold(agent, level=6, round_=1)
    assert bid(agent) == first
    assert opened(agent)[0].level_cap == 6
    assert declined(agent, round_=2).startswith("account")


def test_nonces_differ_by_round_run_and_seller(tmp_path: Path) -> None:
    nonces = []
    for name, task in (("alice", TASK), ("bob", TASK), ("alice", "0" * 64)):
        agent = SellerAgent(spec_of(tmp_path / task[:4], name, task=task))
        for round_ in range(2):
            bid(agent, round_, task=task)
            reply = ask(agent, OpenRequest(round=0, task=task, market_round=f"round-{round_}"))
            nonces.append(reply.nonce)  # type: ignore[attr-defined]
    assert len(set(nonces)) == len(nonces) == 6
    assert all(len(nonce) == 64 for nonce in nonces)


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, local={"noise": "secret"})
    bid(SellerAgent(spec))
    secret = spec.folder / "secret.bin"
    kept = secret.read_bytes()
    assert len(kept) == 32
    assert secret.stat().st_mode & 0o077 == 0
    assert (spec.folder / "seller.sqlite").stat().st_mode & 0o077 == 0
    again = SellerAgent(spec)
    assert bid(again) == bid(SellerAgent(spec))
    assert secret.read_bytes() == kept
    assert [p.name for p in spec.folder.iterdir() if "secret" in p.name] == ["secret.bin"]


def test_rehearsed_bids_need_no_secret_and_secret_ones_differ_from_folder_to_folder(
    tmp_path: Path,
) -> None:
    seals = {}
    for noise in ("seeded", "secret"):
        for folder in ("one", "two"):
            spec = spec_of(tmp_path / noise / folder, local={"noise": noise})
            seals[noise, folder] = bid(SellerAgent(spec)).commitment
            assert (spec.folder / "secret.bin").exists() == (noise == "secret")
    assert seals["seeded", "one"] == seals["seeded", "two"]
    assert seals["secret", "one"] != seals["secret", "two"]


def test_a_cap_is_what_the_account_has_left(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path, limit={"limit": 2.5}))
    caps = []
    for round_ in range(3):
        bid(agent, round_)
        paper, _ = opened(agent, round_)
        caps.append(paper.level_cap)
        sold(agent, min(paper.level_cap, 4), round_)
    assert caps == [6, 6, 2]
    assert declined(agent, round_=3).startswith("account")


def test_an_account_is_shared_with_whatever_else_charges_it(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, limit={"limit": 1.0})
    other = SellerAgent(spec_of(tmp_path, limit={"limit": 1.0}, task="1" * 64))
    bid(other, task="1" * 64)
    agent = SellerAgent(spec)
    sold(agent, level=2)
    bid(agent, 1)
    assert opened(agent, 1)[0].level_cap == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"listing": "bob-records"}, "it sells alice-records, not bob-records"),
        ({"terms": {}}, "Expected the terms of a round"),
        ({"auction": {}}, "Expected the terms of a round"),
        ({"terms": {**to_json(terms_of()[0]), "budget": 0}}, "budget"),
        ({"terms": {**to_json(terms_of()[0]), "budget": 1.5}}, "budget|1.5"),
        ({"terms": {**to_json(terms_of()[0]), "steps": 16}}, "Expected steps = 16"),
        ({"terms": {**to_json(terms_of()[0]), "eps_max": "3"}}, "Expected eps_max = 3.0"),
        ({"terms": {**to_json(terms_of()[0]), "auction": "0" * 64}}, "Expected auction = '0000"),
        ({"terms": {**to_json(terms_of()[0]), "surprise": 1}}, "surprise"),
        ({"receipts": [{"award": "x"}]}, "Expected a stored Receipt"),
    ],
)
def test_terms_that_are_not_sane_are_declined_and_nothing_is_sealed(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    assert any(part in declined(agent, **changes) for part in reason.split("|"))
    assert agent.folder.sealed("round-0") is None
    assert isinstance(ask(agent, bid_request()), BidReply)


def test_a_round_announced_again_with_other_terms_is_declined(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    first = bid(agent)
    terms, auction = terms_of(budget=2 * 10**6)
    other = {"terms": to_json(terms), "auction": auction_facts(auction, "alice")}
    assert "announced before with another terms" in declined(agent, **other)
    assert "announced before with another auction" in declined(agent, auction=other["auction"])
    assert bid(agent) == first


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"eps_cap": 0.2}, "the lowest level is epsilon 0.25"),
        ({"curve": Curve("table", 1.0, ((0.1, 1.0),))}, "the lowest level is epsilon 0.25"),
        ({"curve": Curve("exp", 1e300)}, "Expected prices"),
        ({"limit": {"limit": 0.2}}, "account"),
        ({"local": {"mechanism": "gaussian", "delta": 1e-5}}, "account"),
    ],
)
def test_who_can_sell_no_level_declines(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    assert reason in declined(SellerAgent(spec_of(tmp_path, **changes)))


def test_a_cap_above_the_ladder_is_cut_to_it(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path, eps_cap=50.0, limit={"limit": 100.0}))
    bid(agent)
    assert opened(agent)[0].level_cap == LADDER.steps


def test_receipts_must_say_what_was_agreed(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    delivered = sold(agent)
    due = RECORDS * opened(agent)[0].table[3]
    for change, reason in (
        ({"paid": due - 1}, "agreed at"),
        ({"delivery": "0" * 64}, "other bytes"),
        ({"state": "expired"}, "is expired and paid"),
        ({"award": "round-5/alice-records"}, "nothing was delivered"),
    ):
        assert reason in declined(agent, round_=1, receipts=[receipt_of(delivered, due, **change)])
    assert agent.folder.receipts() == []
    bid(agent, 1, receipts=[receipt_of(delivered, due)])
    bid(agent, 1, receipts=[receipt_of(delivered, due)])
    assert [receipt.paid for receipt in agent.folder.receipts()] == [due]
    changed = receipt_of(delivered, 0, state="rejected")
    assert "another receipt before" in declined(agent, round_=2, receipts=[changed])


def test_what_is_not_of_this_run_is_refused(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    with pytest.raises(DataError, match="got one of 000000000000"):
        ask(agent, bid_request(task="0" * 64))
    with pytest.raises(DataError, match="in which none was"):
        ask(agent, OpenRequest(round=0, task=TASK, market_round="round-0"))
    with pytest.raises(DataError, match="got 'finish'"):
        ask(agent, FinishRequest(round=0))


@pytest.mark.parametrize("size", [0, RECORDS + 1])
def test_a_seller_sells_no_more_than_it_holds(tmp_path: Path, size: int) -> None:
    with pytest.raises(DataError, match=f"got size = {size}"):
        spec_of(tmp_path, size=size)


@pytest.mark.parametrize("eps_cap", [0.0, -1.0, float("nan"), float("inf")])
def test_a_cap_is_positive_and_finite(tmp_path: Path, eps_cap: float) -> None:
    with pytest.raises(ConfigError, match="eps_cap"):
        spec_of(tmp_path, eps_cap=eps_cap)


def test_what_is_announced_can_be_read_again() -> None:
    rows = QualityTable(LADDER.eps([0, 1, 2, 3, 4, 5, 6, 7, 8]).astype(int)[None] * [[2]], ("bob",))
    auction = AuctionTerms(10**6, LADDER, quality=rows, mechanism="clock")
    terms = terms_of()[0]
    data = {**to_json(terms), "auction": auction.digest}
    read = Announced.read(data, auction_facts(auction, "bob"))
    assert (read.ladder, read.scale, read.terms.auction) == (LADDER, 10**6, auction.digest)
    with pytest.raises(DataError, match="none for 'alice'"):
        auction_facts(auction, "alice")


@pytest.mark.parametrize("steps", [0, -1, 2.5, "8", None, True])
def test_a_ladder_is_whole_steps(steps: Any) -> None:
    terms, auction = terms_of()
    facts = auction_facts(auction, "alice")
    facts["ladder"] = {**facts["ladder"], "steps": steps}
    with pytest.raises(DataError):
        Announced.read(to_json(terms), facts)
    assert Announced.read(to_json(terms), auction_facts(auction, "alice")).ladder == Ladder(2.0, 8)
