"""RFFL: mixing, removal for good, own steps, absence."""

import numpy as np
import pytest
import torch
from simulated import D, Simulated, line, random_update, terms

from equigrad.federation.methods import METHODS
from equigrad.federation.methods.base import Intake, Settlement
from equigrad.federation.methods.rffl import Rffl

pytestmark = pytest.mark.filterwarnings("ignore:.*layer_repo.*:UserWarning")

PARTIES = ("p0", "p1", "p2", "p3")


def played(method: Rffl, t: int, uploads: dict[str, torch.Tensor]) -> Settlement:
    return method.settle(
        Intake(
            t,
            PARTIES,
            tuple(uploads),
            tuple(uploads.values()),
            (10, 10, 10, 10)[: len(uploads)],
            0.5,
            ({},) * len(uploads),
        )
    )


def uploads_of(t: int, flipper: str | None = None) -> dict[str, torch.Tensor]:
    uploads = {p: 0.1 * random_update(p, t) for p in PARTIES}
    if flipper:
        uploads[flipper] = -uploads[flipper]
    return uploads


def test_first_round_weighs_records_and_reputation_follows_the_cosines() -> None:
    method = Rffl(terms(PARTIES))
    uploads = uploads_of(0)
    found = line(played(method, 0, uploads), "appraise")
    stacked = torch.stack(list(uploads.values())).double().numpy()
    aggregate = stacked.mean(axis=0)
    cosines = stacked @ aggregate / np.linalg.norm(stacked, axis=1) / np.linalg.norm(aggregate)
    assert found["aggregation_weights"] == [0.25] * 4
    assert found["values"] == pytest.approx(cosines)
    assert found["r"] == pytest.approx(cosines / cosines.sum())


def test_second_round_mixes_raw_cosines() -> None:
    method = Rffl(terms(PARTIES))
    first = line(played(method, 0, uploads_of(0)), "appraise")
    second = line(played(method, 1, uploads_of(1)), "appraise")
    assert second["aggregation_weights"] == pytest.approx(first["r"])
    mixed = 0.95 * np.array(first["r"]) + 0.05 * np.array(second["values"])
    assert second["r"] == pytest.approx(mixed / mixed.sum())


def test_a_flipper_is_removed_in_round_ten_and_for_good() -> None:
    method = Rffl(terms(PARTIES))
    for t in range(14):
        found = line(played(method, t, uploads_of(t, "p2" if t < 12 else None)), "appraise")
        assert found["removed"] == (["p2"] if t >= 10 else [])
        assert sum(found["r"]) == pytest.approx(1)
        assert found["r"][2] == 0 or t < 10
    assert found["aggregation_weights"][2] == 0


def test_the_removed_keep_their_own_step_and_get_no_reward() -> None:
    method = Rffl(terms(PARTIES))
    for t in range(12):
        settlement = played(method, t, uploads_of(t, "p2"))
    assert line(settlement, "reward")["share"][2] == 0
    assert settlement.scores["p2"].excluded
    delivery = method.delivery("p2", 10)
    assert delivery is not None
    assert (delivery.round, delivery.keep, delivery.reward) == (11, 1.0, None)


def test_rewards_come_on_top_of_the_own_clipped_step() -> None:
    simulated = Simulated.of("rffl")
    settlement = simulated.round(0)
    before, held = simulated.weights["p3"].clone(), simulated.held["p3"]
    assert held is not None
    assert float(held.norm()) == pytest.approx(0.5)
    simulated.deliver("p3")
    reward = simulated.weights["p3"] - before - held
    kept = sum(line(settlement, "reward")["kept"][3])
    assert 0 < kept < D
    assert int((reward.abs() > 1e-7).sum()) <= kept


def test_an_absent_party_is_neither_mixed_nor_removed() -> None:
    method = Rffl(terms(PARTIES))
    for t in range(10):
        played(method, t, uploads_of(t, "p2"))
    three = {p: u for p, u in uploads_of(10).items() if p != "p2"}
    found = line(played(method, 10, three), "appraise")
    assert found["removed"] == []
    assert line(played(method, 11, uploads_of(11, "p2")), "appraise")["removed"] == ["p2"]


def test_a_late_joiner_begins_in_the_middle() -> None:
    method = Rffl(terms(PARTIES))
    three = {p: u for p, u in uploads_of(0).items() if p != "p3"}
    played(method, 0, three)
    r = line(played(method, 1, uploads_of(1)), "appraise")["r"]
    assert r[3] == pytest.approx(0.25, abs=0.05)


def test_zero_uploads_change_nothing() -> None:
    method = Rffl(terms(PARTIES))
    played(method, 0, uploads_of(0))
    model = method.model().clone()
    found = line(played(method, 1, {p: torch.zeros(D) for p in PARTIES}), "appraise")
    assert found["values"] == [0.0] * 4
    assert torch.equal(method.model(), model)


def test_gamma_comes_from_the_run_file_where_it_is_a_number() -> None:
    assert METHODS["rffl"](terms(PARTIES, gamma=0.125)).plan(0).gamma == 0.125
