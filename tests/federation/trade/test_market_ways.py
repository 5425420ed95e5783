"""Rounds that go other ways: no money, no sale, few sellers, turns, exclusion, a shared ledger."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from market_checks import private
from market_runs import NAMES, Watching, bodies, conserved, make_market, play, record_of, states

from equigrad.federation.ledger import SqlStore
from equigrad.federation.runner import run
from equigrad.federation.trade.terms import auction_of, published_auction
from equigrad.market import settlement as s


def test_a_buyer_without_funds_ends_the_run_with_what_was_settled(tmp_path: Path) -> None:
    watching = Watching()
    folder = play(
        tmp_path / "run",
        rounds=4,
        market='budget = "200.00"\nfunds = "450.00"',
        watching=watching,
    )
    conserved(folder)
    private(folder)
    settled, finish = bodies(folder, "settle"), bodies(folder, "finish")[0]
    assert (finish["reason"], finish["rounds"]) == ("funds", len(settled))
    left = 450_000_000 - sum(body["paid"] for body in settled)
    assert finish["wallets"]["buyer"] == left < 200_000_000
    assert 1 <= len(settled) < 4
    warned = [text for level, text in watching.messages if level == "warning"]
    assert len(warned) == 1
    assert warned[0].startswith(f"Round {len(settled)} has no money: ")
    assert "Raise market.funds" in warned[0]


def test_a_buyer_with_no_money_at_all_gets_no_round(tmp_path: Path) -> None:
    folder = play(tmp_path / "run", market='budget = "200.00"\nfunds = "0"')
    finish = bodies(folder, "finish")[0]
    assert (finish["reason"], finish["rounds"]) == ("funds", 0)
    assert finish["wallets"] == dict.fromkeys(("buyer", *NAMES), 0)
    assert finish["digest"] == bodies(folder, "start")[0]["model"]["initial_sha256"]
    assert "announce" not in {line.stage for line in record_of(folder)}
    assert private(folder) == dict.fromkeys(NAMES, 0.0)


def test_a_budget_that_buys_nothing_goes_back(tmp_path: Path) -> None:
    folder = play(tmp_path / "run", market='budget = "0.05"\nfee_bps = 500')
    conserved(folder)
    for settled, found in zip(bodies(folder, "settle"), bodies(folder, "aggregate"), strict=True):
        assert (settled["paid"], settled["fee"]) == (0, 0)
        assert settled["refunded"] == settled["held"] == 52_500
        assert found["err"] is None
    finish = bodies(folder, "finish")[0]
    assert finish["reason"] == "rounds"
    assert finish["digest"] == bodies(folder, "start")[0]["model"]["initial_sha256"]
    assert private(folder) == dict.fromkeys(NAMES, 0.0)


@pytest.mark.parametrize("bidders", [0, 1])
def test_a_round_of_one_bid_or_none_is_cleared(tmp_path: Path, bidders: int) -> None:
    tiny = {"eps_cap": 0.01}  # below the first level: it declines
    party = dict.fromkeys(NAMES[bidders:], tiny)
    folder = play(tmp_path / "run", rounds=1, party=party)
    conserved(folder)
    sealed, cleared = bodies(folder, "bid")[0], bodies(folder, "clear")[0]
    assert list(sealed["declined"]) == list(NAMES[bidders:])
    assert all("above the seller's cap" in why for why in sealed["declined"].values())
    assert cleared["parties"] == list(NAMES[:bidders])
    assert sum(level > 0 for level in cleared["levels"]) == bidders
    spent = private(folder)
    assert [name for name in NAMES if spent[name]] == list(NAMES[:bidders])


def test_equal_bids_are_cleared_alike_and_within_the_budget(tmp_path: Path) -> None:
    same = {"kind": "linear", "factor": 0.5, "eps_cap": 1.0}
    folder = play(tmp_path / "run", rounds=1, party=dict.fromkeys(NAMES, same))
    conserved(folder)
    cleared = bodies(folder, "clear")[0]
    assert len(set(cleared["levels"])) == len(set(cleared["payments"])) == 1
    assert cleared["spent"] <= 200_000_000


def test_a_quorum_that_is_missed_pays_who_delivered_and_moves_no_model(tmp_path: Path) -> None:
    folder = play(
        tmp_path / "run",
        rounds=1,
        market='budget = "200.00"\nquorum = 3',
        party={"clinic": {"behaviour": "refuses"}},
    )
    conserved(folder)
    settled, finish = bodies(folder, "settle")[0], bodies(folder, "finish")[0]
    assert settled["failed"] is not None
    assert settled["release"] is None
    assert states(folder, 0)["bank"][0] == states(folder, 0)["lab"][0] == "verified"
    assert finish["wallets"]["bank"] > 0 < finish["wallets"]["lab"]
    assert finish["digest"] == bodies(folder, "start")[0]["model"]["initial_sha256"]
    assert private(folder)["bank"] > 0


def test_parties_are_invited_in_turn_and_come_and_go(tmp_path: Path) -> None:
    folder = play(tmp_path / "turn", rounds=3, market='budget = "200.00"\ninvite = 2')
    conserved(folder)
    invited = [body["invited"] for body in bodies(folder, "announce")]
    assert [len(names) for names in invited] == [2] * 3
    assert sorted(name for names in invited for name in names) == sorted(NAMES * 2)
    folder = play(tmp_path / "go", rounds=3, party={"bank": {"join": 1}, "lab": {"leave": 2}})
    conserved(folder)
    invited = [body["invited"] for body in bodies(folder, "announce")]
    assert invited == [["clinic", "lab"], ["bank", "clinic", "lab"], ["bank", "clinic"]]


def test_who_does_not_open_a_bid_stays_out(tmp_path: Path) -> None:
    folder = play(
        tmp_path / "run",
        rounds=4,
        market='budget = "200.00"\nexclude_rounds = 1',
        party={"clinic": {"behaviour": "silent-reveal"}},
    )
    conserved(folder)
    there = ["clinic" in body["invited"] for body in bodies(folder, "announce")]
    assert there == [True, False, True, False]
    assert all(not body["absent"] for body in bodies(folder, "bid"))


def test_two_runs_share_a_ledger_at_once(tmp_path: Path) -> None:
    ledger, start = tmp_path / "shared.db", threading.Barrier(2)

    def go(which: int) -> Path:
        config = make_market(
            market=f'budget = "200.00"\nledger = "{ledger}"',
            top=f'name = "run-{which}"\nevaluation.baselines = []',
        )
        start.wait()
        return run(config, tmp_path / f"run-{which}", report=False)

    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(go, range(2)))
    rules: dict[str, s.Rule] = {}
    gained: dict[str, int] = dict.fromkeys(("buyer", *NAMES), 0)
    for folder in folders:
        private(folder)
        for body in bodies(folder, "announce"):
            terms = auction_of(body["auction"])
            rules[body["market_round"]] = s.auction_rule(published_auction(terms.mechanism), terms)
        told: Mapping[str, Any] = bodies(folder, "finish")[0]["wallets"]
        gained = {name: units + told[name] for name, units in gained.items()}
        assert sum(told.values()) == bodies(folder, "start")[0]["funds"]
    assert len(rules) == 4
    with SqlStore(ledger) as store:
        store.verify(rules)
        assert {name: store.balance(s.wallet(name, "EUR")) for name in gained} == gained
    assert not (folders[0] / "market.db").exists()
