"""Deliveries that go wrong in whole runs: a defined outcome, a reason, money and privacy conserved.

The clinic strays; bank and lab are honest, and nothing that they are paid depends on it.
"""

from pathlib import Path
from typing import Any

import pytest
from market_checks import private, strayed
from market_runs import NAMES, bodies, conserved, play, states

PRICES = {"bank": 42_363_880, "clinic": 53_719_040, "lab": 39_105_120}  # of a round, all honest


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
