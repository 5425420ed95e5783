"""Deliveries that go wrong in whole runs: a defined outcome, a reason, money and privacy conserved.

The clinic strays; bank and lab are honest, and nothing that they are paid depends on it.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from market_runs import NAMES, bodies, conserved, make_market, play, states, verified_ledger

from equigrad.federation.record.folder import RunFolder
from equigrad.federation.runner import run
from equigrad.market import Curve
from equigrad.privacy.account import SalesAccount

PRICES = {"bank": 42_363_880, "clinic": 53_719_040, "lab": 39_105_120}  # of a round, all honest


def strayed(folder: Path, behaviour: str, options: Mapping[str, Any], **changes: Any) -> Path:
    settings = {"behaviour": behaviour, "options": dict(options)}
    party = {"clinic": settings, **changes.pop("party", {})}
    return play(folder, party=party, **changes)


def accounts(folder: Path) -> dict[str, SalesAccount]:
    return {name: SalesAccount.open(folder / "accounts" / f"{name}.sqlite") for name in NAMES}


def private(folder: Path) -> dict[str, float]:
    """Assert that accounts, closings and receipts agree; return what each account has spent."""
    finish, spent = bodies(folder, "finish")[0], {}
    verified = {
        (award["party"], award["digest"])
        for body in bodies(folder, "collect")
        for award in body["awards"]
        if award["state"] == "verified"
    }
    for name, account in accounts(folder).items():
        with account:
            spent[name] = account.spent()
            assert spent[name] <= account.epsilon
            assert account.remaining() == pytest.approx(account.epsilon - spent[name])
            sold = {s.digest for s in account.sales() if s.state == "spent"}
            at = finish["parties"].index(name)
            assert finish["heads"][at] == account.head()[1]
            assert finish["epsilon"][at] == spent[name]
            assert finish["sales"][at] == len(sold)
        assert {digest for party, digest in verified if party == name} <= sold
    return spent


@pytest.mark.parametrize(
    ("behaviour", "options", "state", "reasons", "epsilon"),
    [
        ("nan", {}, "rejected", ["got NaN or inf", "replayed: delivered for"], 2.0),
        ("nan", {"value": "inf"}, "rejected", ["got NaN or inf", "replayed"], 2.0),
        ("too-large", {}, "rejected", ["5304 bytes, at most 4840"] * 2, 2.0),
        ("wrong-epsilon", {}, "rejected", ["Expected epsilon=1.0, got 0.9375."] * 2, 1.875),
        (
            "wrong-epsilon",
            {"tell": True},
            "rejected",
            ["noised at level 15, awarded 16"] * 2,
            1.875,
        ),
        ("refuses", {}, "expired", ["it does not sell level 16 after all"] * 2, 0.0),
    ],
)
def test_a_bad_delivery_is_not_paid_and_its_privacy_stays_spent(
    tmp_path: Path,
    behaviour: str,
    options: dict[str, Any],
    state: str,
    reasons: list[str],
    epsilon: float,
) -> None:
    folder = strayed(tmp_path / "run", behaviour, options)
    conserved(folder)
    for round_, reason in enumerate(reasons):
        found = states(folder, round_)
        assert found["clinic"][0] == state
        assert reason in (found["clinic"][1] or "")
        assert found["bank"] == found["lab"] == ("verified", None)
        aggregate = bodies(folder, "aggregate")[round_]
        weights = dict(zip(aggregate["parties"], aggregate["weights"], strict=True))
        assert weights["clinic"] == 0.0
        assert sum(weights.values()) == pytest.approx(1.0)
    finish = bodies(folder, "finish")[0]
    earned = dict(zip(finish["parties"], finish["earned"], strict=True))
    assert earned == {name: 0 if name == "clinic" else 2 * PRICES[name] for name in NAMES}
    assert private(folder) == {"bank": 1.625, "clinic": epsilon, "lab": 1.5}


def test_a_replayed_delivery_is_paid_once(tmp_path: Path) -> None:
    folder = strayed(tmp_path / "run", "replay", {}, rounds=3)
    conserved(folder)
    assert states(folder, 0)["clinic"] == ("verified", None)
    for round_ in (1, 2):
        reason = "replayed: delivered for round-0000/clinic"
        assert states(folder, round_)["clinic"] == ("rejected", reason)
    finish = bodies(folder, "finish")[0]
    assert finish["wallets"]["clinic"] == PRICES["clinic"]
    assert private(folder)["clinic"] == 1.0


def test_a_late_delivery_is_not_paid_and_its_privacy_stays_spent(tmp_path: Path) -> None:
    folder = strayed(
        tmp_path / "run",
        "late",
        {"seconds": 8.0},
        rounds=1,
        market='budget = "200.00"\ndeliver_seconds = 5',
        top="engine.workers = 3",
    )
    conserved(folder)
    state, reason = states(folder, 0)["clinic"]
    assert (state, reason) == ("expired", "deadline: no reply within 5 s")
    assert states(folder, 0)["bank"] == ("verified", None)
    assert bodies(folder, "finish")[0]["wallets"]["clinic"] == 0
    assert private(folder)["clinic"] == 1.0


def test_an_award_above_the_sellers_cap_is_declined(tmp_path: Path) -> None:
    folder = strayed(tmp_path / "run", "overcap", {})
    conserved(folder)
    for round_ in range(2):
        state, reason = states(folder, round_)["clinic"]
        assert (state, reason) == ("expired", "expected a level from 1 to its cap 16, got 32")
    assert private(folder)["clinic"] == 0.0


def test_an_award_above_the_sellers_account_is_declined(tmp_path: Path) -> None:
    honest = {"clinic": {"limit": 1.5}}
    fair = play(tmp_path / "fair", party=honest)
    folder = play(
        tmp_path / "run", party={"clinic": {"limit": 1.5, "behaviour": "overcap", "eps_cap": 2.0}}
    )
    for place in (fair, folder):
        conserved(place)
        assert private(place)["clinic"] <= 1.5
    levels = [body["levels"][body["parties"].index("clinic")] for body in bodies(fair, "clear")]
    assert levels == [16, 8]  # the honest seller offers what its account has left
    assert states(fair, 1)["clinic"] == ("verified", None)
    for round_ in range(2):
        state, reason = states(folder, round_)["clinic"]
        assert state == "expired"
        assert "spent 0, asked 2, left 1.5; nothing was released" in (reason or "")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("silent-reveal", "not opened (raised: DataError: Expected an opened bid of clinic"),
        ("other-reveal", "the opening does not match what was sealed"),
        ("oversize", "expected a size from 1 to 40, got 80"),
    ],
)
def test_a_bad_opening_is_dropped_and_the_others_clear_once(
    tmp_path: Path, behaviour: str, reason: str
) -> None:
    folder = strayed(tmp_path / "run", behaviour, {})
    conserved(folder)  # which clears every round again, from what was opened soundly
    for opened, cleared in zip(bodies(folder, "open"), bodies(folder, "clear"), strict=True):
        assert list(opened["dropped"]) == ["clinic"]
        assert opened["dropped"]["clinic"].startswith(reason)
        assert [paper["party"] for paper in opened["papers"]] == ["bank", "lab"]
        assert cleared["parties"] == ["bank", "lab"]
        assert all(cleared["payments"])
    assert private(folder)["clinic"] == 0.0


def test_a_round_in_which_nothing_sound_is_delivered_gives_the_money_back(tmp_path: Path) -> None:
    bad = {name: {"behaviour": "nan"} for name in NAMES}
    folder = play(tmp_path / "run", rounds=1, party=bad)
    conserved(folder)
    (settled,) = bodies(folder, "settle")
    assert (settled["paid"], settled["fee"]) == (0, 0)
    assert settled["refunded"] == settled["held"]
    assert bodies(folder, "aggregate")[0]["weights"] is None
    before = bodies(folder, "start")[0]["model"]["initial_sha256"]
    assert bodies(folder, "finish")[0]["digest"] == before
    assert all(spent > 0 for spent in private(folder).values())


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25, 2.0])
def test_a_misreport_gains_nothing(tmp_path: Path, factor: float) -> None:
    utility = {}
    for name, place in (
        ("honest", play(tmp_path / "honest", rounds=1)),
        ("bent", strayed(tmp_path / "bent", "misreport", {"factor": factor}, rounds=1)),
    ):
        conserved(place)
        cleared = bodies(place, "clear")[0]
        at = cleared["parties"].index("clinic")
        level = cleared["epsilons"][at]
        true = 40 * int(np.ceil(1e6 * float(Curve("linear", 0.5)(level))))
        utility[name] = cleared["payments"][at] - true if level else 0
    assert utility["bent"] <= utility["honest"]
    assert utility["honest"] >= 0


def test_two_runs_that_draw_on_the_same_accounts_at_once_never_overdraw_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "accounts"
    shared.mkdir()
    monkeypatch.setattr(RunFolder, "account", lambda _, party: shared / f"{party}.sqlite")
    limit, start = 2.5, threading.Barrier(2)

    def go(which: int) -> Path:
        config = make_market(
            rounds=3,
            top=f'name = "run-{which}"\nevaluation.baselines = []',
            more=f"[market.account]\nlimit = {limit}",
        )
        start.wait()
        return run(config, tmp_path / f"run-{which}", report=False)

    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(go, range(2)))
    delivered: dict[str, list[str]] = {name: [] for name in NAMES}
    for folder in folders:
        conserved(folder)
        verified_ledger(folder)
        for body in bodies(folder, "collect"):
            for award in body["awards"]:
                if award["state"] == "verified":
                    delivered[award["party"]].append(award["digest"])
    for name in NAMES:
        with SalesAccount.open(shared / f"{name}.sqlite") as account:
            spent = [sale for sale in account.sales() if sale.state == "spent"]
            assert sorted(sale.digest or "" for sale in spent) == sorted(delivered[name])
            assert account.spent() == pytest.approx(sum(sale.epsilon for sale in spent))
            assert account.spent() <= limit
            assert len({sale.award for sale in spent}) == len(spent)
    assert all(delivered.values())
