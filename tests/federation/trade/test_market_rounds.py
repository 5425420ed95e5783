"""A market round from its terms to its receipts: what is recorded, paid and trained."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from market_runs import (
    NAMES,
    Watching,
    bodies,
    conserved,
    make_market,
    play,
    record_of,
    states,
    verified_ledger,
)
from safetensors.torch import load_file

from equigrad.federation.runner import run
from equigrad.federation.trade.setup import prepare
from equigrad.federation.trade.terms import auction_of
from equigrad.market import settlement as s
from equigrad.market.aggregation import AGGREGATORS, error_bound
from equigrad.market.settlement.codec import from_json, to_json
from equigrad.privacy.account import SalesAccount

STAGES = ["announce", "bid", "open", "clear", "collect", "aggregate", "settle", "evaluate"]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market") / "run"
    return run(make_market(market='budget = "200.00"\nfee_bps = 250'), folder, report=False)


def test_a_run_leaves_its_lines_in_order(played: Path) -> None:
    stages = [(line.stage, line.round) for line in record_of(played)]
    rounds = [(stage, t) for t in range(2) for stage in STAGES]
    assert stages == [("start", None), ("baselines", None), *rounds, ("finish", None)]
    start = bodies(played, "start")[0]
    assert start["parties"] == list(NAMES)
    assert start["claims"] == {"truthful": "exact", "rational": True, "within_budget": True}
    assert start["mark"] == "not private: seeded noise"
    assert sum(start["sizes"]) == 120


def test_money_is_conserved_and_the_ledger_clears_again(played: Path) -> None:
    conserved(played)
    head = verified_ledger(played)
    assert bodies(played, "settle")[-1]["head"] == head.digest
    for settled, cleared in zip(bodies(played, "settle"), bodies(played, "clear"), strict=True):
        assert settled["paid"] == cleared["spent"] <= 200_000_000
        assert settled["fee"] == settled["paid"] * 250 // 10_000
        assert all(p >= c for p, c in zip(cleared["payments"], cleared["costs"], strict=True))


def test_terms_bids_and_awards_can_be_checked_from_the_record(played: Path) -> None:
    lines = {stage: bodies(played, stage) for stage in STAGES}
    for t, announced in enumerate(lines["announce"]):
        terms = from_json(s.Terms, announced["terms"])
        auction = auction_of(announced["auction"])
        assert terms.digest == announced["terms_digest"]
        assert terms.auction == auction.digest
        assert announced["held"] == terms.held
        opened = lines["open"][t]
        for form, nonce in zip(opened["papers"], opened["nonces"], strict=True):
            paper = from_json(s.BidPaper, form)
            seal = s.commitment(paper, nonce, announced["market_round"])
            assert lines["bid"][t]["sealed"][paper.party] == seal
        assert [p["party"] for p in opened["papers"]] == lines["clear"][t]["parties"]


def test_weights_and_error_bound_follow_from_record_and_mechanism(played: Path) -> None:
    setup = prepare(make_market(market='budget = "200.00"\nfee_bps = 250'))
    for cleared, opened, found in zip(
        bodies(played, "clear"), bodies(played, "open"), bodies(played, "aggregate"), strict=True
    ):
        sizes = [paper["size"] for paper in opened["papers"]]
        precision = setup.local.precision(cleared["epsilons"])
        weights = AGGREGATORS["opt-aggr"]().weights(sizes, precision)
        assert weights is not None
        assert found["weights"] == weights.tolist()
        bound = error_bound(weights, sizes, precision, bound=1.0)
        assert bound is not None
        assert found["err"] == bound.total
        assert found["variance_term"] + found["bias_term"] == pytest.approx(found["err"])


def test_the_model_is_what_the_deliveries_make_of_it(played: Path) -> None:
    setup = prepare(make_market(market='budget = "200.00"\nfee_bps = 250'))
    model = setup.initial.double().numpy()
    for t, (collected, found) in enumerate(
        zip(bodies(played, "collect"), bodies(played, "aggregate"), strict=True)
    ):
        total = np.zeros(setup.local.dim)
        for award in collected["awards"]:
            with SalesAccount.open(
                played / "accounts" / f"{award['party']}.sqlite",
                owner=award["party"],
                epsilon=10.0,
                delta=1e-6,
                accountant="basic",
            ) as account:
                sale = next(x for x in account.sales() if x.award.endswith(award["award"]))
                content = account.deliver(sale.award, lambda: b"")
            assert hashlib.sha256(content).hexdigest() == award["digest"] == sale.digest
            assert len(content) == award["bytes"]
            weight = found["weights"][found["parties"].index(award["party"])]
            from equigrad.market.local import Upload

            total += weight * setup.local.estimate(Upload.from_bytes(content))
        assert found["estimate_norm"] == pytest.approx(float(np.linalg.norm(total)))
        model = (model - 0.1 * total).astype(np.float32).astype(np.float64)
        assert bodies(played, "settle")[t]["release"] is not None
    saved = load_file(played / "models" / "coordinator.safetensors")
    flat = torch.cat([saved[name].reshape(-1) for name in saved]).double().numpy()
    assert sorted(flat.tolist()) == pytest.approx(sorted(model.tolist()), abs=0)


def test_what_parties_say_at_the_end_agrees_with_what_was_paid(played: Path) -> None:
    finish, cleared = bodies(played, "finish")[0], bodies(played, "clear")
    assert finish["reason"] == "rounds"
    assert finish["absent"] == {}
    for i, party in enumerate(finish["parties"]):
        epsilons = [c["epsilons"][c["parties"].index(party)] for c in cleared]
        assert finish["epsilon"][i] == pytest.approx(sum(epsilons))
        assert finish["sales"][i] == sum(e > 0 for e in epsilons)
        assert finish["earned"][i] == finish["wallets"][party]
        assert finish["receipts"][i] == finish["sales"][i]
    assert any(finish["sales"])


def test_baselines_are_measured_where_the_run_is(tmp_path: Path) -> None:
    watching = Watching()
    folder = play(
        tmp_path / "run",
        rounds=3,
        more="evaluation.every = 2",
        watching=watching,
    )
    found = bodies(folder, "baselines")[0]
    assert found["non-private"]["rounds"] == found["buy-all"]["rounds"] == [1, 2]
    assert [line.round for line in record_of(folder) if line.stage == "evaluate"] == [1, 2]
    assert watching.steps == [(i, 6) for i in range(1, 7)]
    setup = prepare(make_market(rounds=3))
    each = [
        offer.size * int(np.ceil(1e6 * float(offer.curve(min(offer.eps_cap, 2.0)))))
        for offer in setup.offered.values()
    ]
    assert found["buy-all"]["cost"] == 3 * sum(each)
    assert found["buy-all"]["epsilons"] == {"bank": 1.5, "clinic": 1.0, "lab": 2.0}
    # The exact gradients of all records do what gradient descent does.
    assert found["non-private"]["loss"][1] < found["non-private"]["loss"][0]


def test_the_non_private_baseline_is_gradient_descent_on_all_records(tmp_path: Path) -> None:
    folder = play(tmp_path / "run", rounds=2, more='evaluation.baselines = ["non-private"]')
    setup = prepare(make_market())
    model = torch.nn.Linear(30, 2)
    with torch.no_grad():
        model.weight.copy_(setup.initial[:60].reshape(2, 30))
        model.bias.copy_(setup.initial[60:])
    X = torch.cat([setup.records[name].features for name in NAMES]).flatten(1)
    y = torch.cat([setup.records[name].labels for name in NAMES])
    losses = []
    for _ in range(2):
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(X), y).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter -= 0.1 * parameter.grad
            out = model(setup.test.features.flatten(1))
            losses.append(float(torch.nn.functional.cross_entropy(out, setup.test.labels)))
    assert bodies(folder, "baselines")[0]["non-private"]["loss"] == pytest.approx(losses, rel=1e-5)


def test_the_mean_of_the_second_half_is_delivered_where_asked(tmp_path: Path) -> None:
    plain = play(tmp_path / "plain", rounds=3)
    mean = play(tmp_path / "mean", rounds=3, more="evaluation.baselines = []\nstep.average = true")
    assert states(plain, 0) == states(mean, 0)
    last = [load_file(x / "models" / "coordinator.safetensors") for x in (plain, mean)]
    assert not torch.equal(
        last[0]["0.weight"] if "0.weight" in last[0] else next(iter(last[0].values())),
        next(iter(last[1].values())),
    )


def test_listeners_are_told_what_is_recorded(tmp_path: Path) -> None:
    watching = Watching()
    folder = play(tmp_path / "run", watching=watching)
    assert watching.folders == [folder]
    for told, settled, found in zip(
        watching.rounds, bodies(folder, "settle"), bodies(folder, "aggregate"), strict=True
    ):
        assert told.paid == settled["paid"]
        assert told.relative_error == found["err_over_l2"]
        assert told.bids == told.invited == 3
        assert not told.missing
    assert any("rehearsal" in text for _, text in watching.messages)


def test_receipts_tell_a_party_what_was_paid(played: Path) -> None:
    finish = bodies(played, "finish")[0]
    assert to_json(s.AwardState.PAID) == "paid"
    sold = {a["party"] for body in bodies(played, "collect") for a in body["awards"]}
    assert {p for p, n in zip(finish["parties"], finish["receipts"], strict=True) if n} == sold
