"""Sellers that stray: each does what its name says, and none spends what it does not have.

What a run makes of them is tried in ``test_market_bad_deliveries``.
"""

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from seller_world import (
    DIM,
    LADDER,
    RECORDS,
    TASK,
    ask,
    award_request,
    bid,
    closed,
    opened,
    sold,
    spec_of,
    terms_of,
)

from equigrad.errors import ConfigError, DataError, RegistryError
from equigrad.federation.trade.agent import SellerAgent
from equigrad.federation.trade.behaviours import SELLER_BEHAVIOURS, make_seller_behaviour
from equigrad.federation.trade.messages import DeclineReply, DeliverReply, OpenRequest
from equigrad.federation.trade.protection import local_mechanism
from equigrad.federation.trade.sales import open_account
from equigrad.market import settlement as s
from equigrad.market.settlement.papers import flaw

LISTING = s.Listing("alice-records", "alice", "0" * 64, RECORDS, RECORDS, "2")


def stray(path: Path, behaviour: str, **options: Any) -> SellerAgent:
    return SellerAgent(spec_of(path, behaviour=behaviour, options=options))


def check(agent: SellerAgent, reply: DeliverReply, level: int = 3) -> str:
    """Return what the public check says of a delivery, all of it in one sentence."""
    mechanism = local_mechanism(agent.spec.local, DIM)
    content = reply.content.numpy().tobytes()
    assert hashlib.sha256(content).hexdigest() == reply.digest
    return " ".join(mechanism.check(content, float(LADDER.eps(level))))


def spent(agent: SellerAgent) -> float:
    with open_account(agent.spec.account, "alice", agent.spec.limit) as account:
        return account.spent()


def test_every_behaviour_has_its_name_and_nonsense_is_refused() -> None:
    for name in SELLER_BEHAVIOURS:
        assert make_seller_behaviour(name, {}).name == name
    with pytest.raises(RegistryError, match="Did you mean 'silent-reveal'"):
        make_seller_behaviour("silent-reveel", {})
    with pytest.raises(ConfigError, match="Did you mean 'seconds'"):
        make_seller_behaviour("late", {"second": 3})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("misreport", {"factor": 0.0}),
        ("misreport", {"factor": float("nan")}),
        ("oversize", {"factor": 1}),
        ("late", {"seconds": -1.0}),
        ("nan", {"value": "zero"}),
        ("too-large", {"factor": 1.5}),
        ("wrong-epsilon", {"levels": 0}),
        ("wrong-epsilon", {"levels": 1.5}),
    ],
)
def test_impossible_settings_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        make_seller_behaviour(name, options)


def test_a_seller_that_keeps_silent_fails_at_the_opening(tmp_path: Path) -> None:
    agent = stray(tmp_path, "silent-reveal")
    bid(agent)
    with pytest.raises(DataError, match="got silence"):
        ask(agent, OpenRequest(round=0, task=TASK, market_round="round-0"))
    assert spent(agent) == 0.0


def test_another_bid_than_was_sealed_does_not_match(tmp_path: Path) -> None:
    agent = stray(tmp_path, "other-reveal")
    sealed = bid(agent)
    paper, nonce = opened(agent)
    assert flaw(paper, LISTING, terms_of()[0]) is None  # a sound bid, but not the sealed one
    assert s.commitment(paper, nonce, "round-0") != sealed.commitment


@pytest.mark.parametrize("factor", [0.5, 1.5, 1 / 3])
def test_a_misreport_is_a_sound_bid_with_other_prices(tmp_path: Path, factor: float) -> None:
    agent = stray(tmp_path, "misreport", factor=factor)
    bid(agent)
    paper, _ = opened(agent)
    assert flaw(paper, LISTING, terms_of()[0]) is None
    honest = [5000 * level for level in range(9)]
    assert paper.table != tuple(honest)
    for price, true in zip(paper.table, honest, strict=True):
        assert 0 <= price - true * factor < 1


def test_more_records_than_attested_are_a_flaw(tmp_path: Path) -> None:
    agent = stray(tmp_path, "oversize")
    bid(agent)
    found = flaw(opened(agent)[0], LISTING, terms_of()[0])
    assert found == "expected a size from 1 to 40, got 80"


def test_a_cap_above_its_own_is_sealed_but_not_served(tmp_path: Path) -> None:
    agent = stray(tmp_path, "overcap")
    bid(agent)
    paper, _ = opened(agent)
    assert paper.level_cap == LADDER.steps
    reply = ask(agent, award_request(paper, level=8))
    assert isinstance(reply, DeclineReply)
    assert reply.reason == "expected a level from 1 to its cap 6, got 8"
    assert spent(agent) == 0.0


def test_a_cap_above_its_account_is_sealed_but_not_served(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path, behaviour="overcap", limit={"limit": 1.0}))
    bid(agent)
    reply = ask(agent, award_request(opened(agent)[0], level=6))
    assert isinstance(reply, DeclineReply)
    assert "asked 1.5, left 1;" in reply.reason
    assert spent(agent) == 0.0


def test_a_seller_that_refuses_spends_nothing(tmp_path: Path) -> None:
    agent = stray(tmp_path, "refuses")
    bid(agent)
    reply = ask(agent, award_request(opened(agent)[0]))
    assert isinstance(reply, DeclineReply)
    assert "does not sell level 3" in reply.reason
    assert spent(agent) == 0.0


def test_a_late_delivery_is_sound_spent_and_late(tmp_path: Path) -> None:
    agent = stray(tmp_path, "late", seconds=0.2)
    bid(agent)
    before = time.monotonic()
    reply = sold(agent)
    assert time.monotonic() - before >= 0.2
    assert check(agent, reply) == ""
    assert spent(agent) == 0.75


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("local", [{}, {"mechanism": "laplace", "sampler": "discrete"}])
def test_numbers_that_are_none_are_rejected_and_stay_spent(
    tmp_path: Path, value: str, local: dict[str, str]
) -> None:
    spec = spec_of(tmp_path, local=local, behaviour="nan", options={"value": value})
    agent = SellerAgent(spec)
    found = check(agent, sold(agent))
    assert "got NaN or inf" in found or "got <f8" in found
    assert spent(agent) == 0.75


def test_a_padded_delivery_is_rejected_and_stays_spent(tmp_path: Path) -> None:
    agent = stray(tmp_path, "too-large", factor=3)
    reply = sold(agent)
    honest = sold(SellerAgent(spec_of(tmp_path / "honest")))
    assert reply.content.numel() == 3 * honest.content.numel()
    assert check(agent, reply).startswith("Expected an upload of")
    assert spent(agent) == 0.75


@pytest.mark.parametrize(("levels", "made"), [(-1, 2), (2, 5), (-7, 1), (7, 6)])
@pytest.mark.parametrize("tell", [False, True])
def test_another_epsilon_is_charged_as_it_is_and_rejected(
    tmp_path: Path, levels: int, made: int, tell: bool
) -> None:
    agent = stray(tmp_path, "wrong-epsilon", levels=levels, tell=tell)
    reply = sold(agent)
    assert reply.level == (made if tell else 3)
    assert f"got {0.25 * made!r}" in check(agent, reply)
    assert check(agent, reply, made) == ""
    assert spent(agent) == 0.25 * made  # what was released, not what was claimed
    again = sold(SellerAgent(agent.spec))
    assert again.digest == reply.digest


def test_a_replay_sends_the_first_bytes_again_and_spends_nothing(tmp_path: Path) -> None:
    agent = stray(tmp_path, "replay")
    replies = [sold(agent, round_=round_) for round_ in range(3)]
    assert len({reply.digest for reply in replies}) == 1
    assert [check(agent, reply) for reply in replies] == [""] * 3  # the ledger sees it, not this
    assert spent(agent) == 0.75
    assert closed(agent).sales == 1
    assert sold(SellerAgent(agent.spec), round_=0).digest == replies[0].digest
