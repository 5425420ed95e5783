"""A seller delivers one protected gradient for an award that it agreed to, paid for in privacy."""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from seller_world import (
    DIM,
    LADDER,
    MODEL_INPUT,
    RECORDS,
    TASK,
    ask,
    award_request,
    bid,
    bid_request,
    closed,
    opened,
    receipt_of,
    records,
    sold,
    spec_of,
)
from torch.nn import functional

from equigrad.errors import ConfigError, PrivacyError
from equigrad.federation.config.schema import ModelConfig
from equigrad.federation.party.spec import Records
from equigrad.federation.trade import gradient as gradient_room
from equigrad.federation.trade.agent import SellerAgent
from equigrad.federation.trade.config.schema import LocalConfig
from equigrad.federation.trade.deciding import DeclinedError
from equigrad.federation.trade.gradient import FullGradient
from equigrad.federation.trade.messages import DeclineReply, DeliverReply
from equigrad.federation.trade.protection import local_mechanism, noise_source
from equigrad.federation.trade.sales import affordable_level, open_account, sale_id
from equigrad.federation.trade.spec import SellerSpec
from equigrad.market.local import SystemRandom, Upload
from equigrad.models import ModelInput
from equigrad.privacy.account import Sale

LOCALS: list[dict[str, Any]] = [
    {"mechanism": "l2-sphere"},
    {"mechanism": "laplace"},
    {"mechanism": "laplace", "sampler": "discrete"},
    {"mechanism": "gaussian", "delta": 1e-7},
    {"mechanism": "per-coordinate"},
]


def content(reply: DeliverReply) -> bytes:
    return reply.content.numpy().tobytes()


def sales(spec: SellerSpec) -> list[Sale]:
    with open_account(spec.account, spec.name, spec.limit) as account:
        return account.sales()


def declined(agent: SellerAgent, **changes: Any) -> str:
    bid(agent)
    reply = ask(agent, award_request(opened(agent)[0], **changes))
    assert isinstance(reply, DeclineReply), reply
    return reply.reason


@pytest.mark.parametrize("local", LOCALS)
@pytest.mark.parametrize("noise", ["seeded", "secret"])
def test_a_delivery_is_charged_and_passes_the_public_check(
    tmp_path: Path, local: dict[str, Any], noise: str
) -> None:
    spec = spec_of(tmp_path, local={**local, "noise": noise})
    agent = SellerAgent(spec)
    reply = sold(agent, level=4)
    mechanism = local_mechanism(spec.local, DIM)
    assert mechanism.check(content(reply), 1.0) == ()
    assert reply.digest == hashlib.sha256(content(reply)).hexdigest()
    (sale,) = sales(spec)
    assert (sale.state, sale.digest, sale.buyer) == ("spent", reply.digest, "job")
    assert sale.award == sale_id(TASK, "round-0/alice-records")
    assert sale.epsilon == pytest.approx(1.0, rel=1e-9)
    assert sale.event.seeded == (noise == "seeded")


def test_an_upload_is_the_gradient_of_the_mean_loss_on_average(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path, local={"mechanism": "laplace"}))
    model = torch.linspace(-0.5, 0.5, DIM)
    data = records()
    weights, bias = model[: 3 * 4].view(3, 4).clone(), model[12:].clone()
    weights.requires_grad_()
    bias.requires_grad_()
    loss = functional.cross_entropy(data.features @ weights.T + bias, data.labels)
    torch.autograd.backward(loss)
    assert weights.grad is not None
    assert bias.grad is not None
    wanted = torch.cat([weights.grad.reshape(-1), bias.grad]).double().numpy()
    found = agent._gradient(model, 0)
    np.testing.assert_allclose(found, wanted, atol=1e-7)
    mechanism = local_mechanism(agent.spec.local, DIM)
    noise = noise_source(agent.spec.local, 7, 0, "alice")
    upload = mechanism.release(found, 0.75, noise)
    assert upload is not None
    assert content(sold(agent, model=model)) == upload.to_bytes()


def test_only_the_records_on_sale_are_in_the_gradient(tmp_path: Path) -> None:
    everything = records()
    first = Records(everything.features[:25], everything.labels[:25])
    part = SellerAgent(spec_of(tmp_path / "part", size=25))
    alone = SellerAgent(spec_of(tmp_path / "alone", train=first, size=25))
    whole = SellerAgent(spec_of(tmp_path / "whole"))
    at = torch.full((DIM,), 0.1)
    np.testing.assert_array_equal(part._gradient(at, 0), alone._gradient(at, 0))
    assert not np.array_equal(part._gradient(at, 0), whole._gradient(at, 0))
    bid(part)
    assert opened(part)[0].size == 25


def test_chunks_change_a_gradient_by_rounding_only(monkeypatch: pytest.MonkeyPatch) -> None:
    gradient = FullGradient(
        records(), MODEL_INPUT, ModelConfig(factory="logistic"), seed=0, party="a"
    )
    at = torch.linspace(-1, 1, DIM)
    whole = gradient(at, 0)
    monkeypatch.setattr(gradient_room, "_CHUNK", 7)
    np.testing.assert_allclose(gradient(at, 0), whole, atol=1e-7)


def test_a_model_that_draws_numbers_has_the_same_gradient_again() -> None:
    model = ModelConfig(factory="seller_world:forgetful")
    one, two = (FullGradient(records(), MODEL_INPUT, model, seed=1, party="a") for _ in range(2))
    torch.manual_seed(99)
    assert np.array_equal(one(one.initial, 3), two(two.initial, 3))
    assert not np.array_equal(one(one.initial, 3), one(one.initial, 4))


def test_a_gradient_of_regression_is_that_of_the_squared_error() -> None:
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(30, 2)).astype(np.float32))
    labels = torch.from_numpy(rng.normal(size=30).astype(np.float32))
    shape = ModelInput(shape=(2,), outputs=1, vocabulary=0, task="regression")
    gradient = FullGradient(
        Records(features, labels), shape, ModelConfig(factory="logistic"), seed=0, party="a"
    )
    at = torch.tensor([0.3, -0.2, 0.1])
    residual = (features @ at[:2] + at[2] - labels).double()
    wanted = [2 * float((residual * features[:, i].double()).mean()) for i in range(2)]
    np.testing.assert_allclose(gradient(at, 0), [*wanted, 2 * float(residual.mean())], atol=1e-6)


# --- once, and the same -----------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["seeded", "secret"])
def test_a_delivery_asked_for_again_is_the_same_bytes_and_charged_once(
    tmp_path: Path, noise: str
) -> None:
    spec = spec_of(tmp_path, local={"noise": noise})
    first = sold(SellerAgent(spec))
    for agent in (SellerAgent(spec), SellerAgent(spec)):
        again = sold(agent)
        assert content(again) == content(first)
    assert [sale.state for sale in sales(spec)] == ["spent"]


def test_secret_noise_is_drawn_afresh_for_every_award_and_a_rehearsal_repeats(
    tmp_path: Path,
) -> None:
    digests: dict[str, list[str]] = {"seeded": [], "secret": []}
    for noise, found in digests.items():
        for folder in ("one", "two"):
            agent = SellerAgent(spec_of(tmp_path / noise / folder, local={"noise": noise}))
            found += [sold(agent, round_=round_).digest for round_ in range(2)]
    assert len(set(digests["secret"])) == 4
    assert digests["seeded"][:2] == digests["seeded"][2:]
    assert len(set(digests["seeded"])) == 2
    local = LocalConfig(mechanism="l2-sphere", noise="secret")
    assert isinstance(noise_source(local, 7, 0, "alice"), SystemRandom)


class _Killed(BaseException):
    """Stands for a process that ends here."""


@pytest.mark.parametrize("noise", ["seeded", "secret"])
@pytest.mark.parametrize("after", ["reserved", "spent"])
def test_a_seller_killed_on_the_way_delivers_the_same_and_pays_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: str, after: str
) -> None:
    spec = spec_of(tmp_path, local={"noise": noise})
    agent = SellerAgent(spec)
    bid(agent)
    paper, _ = opened(agent)

    def kill(*_: Any) -> None:
        raise _Killed

    if after == "spent":  # the account has paid, the reply was never said
        monkeypatch.setattr(agent.folder, "handed_over", kill)
    else:
        monkeypatch.setattr(agent._mechanism, "release", kill)
    with pytest.raises(_Killed):
        ask(agent, award_request(paper))
    (before,) = sales(spec)
    assert before.state == after
    again = SellerAgent(spec)
    reply = ask(again, award_request(paper))
    assert isinstance(reply, DeliverReply)
    (sale,) = sales(spec)
    assert (sale.state, sale.digest) == ("spent", reply.digest)
    if after == "spent":
        assert reply.digest == before.digest
    assert closed(again).epsilon == 0.75


# --- what is declined ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"level": 0}, "expected a level from 1 to its cap 6, got 0"),
        ({"level": 7}, "expected a level from 1 to its cap 6, got 7"),
        ({"level": -1}, "expected a level from 1 to its cap 6, got -1"),
        ({"payment": 599_999}, "below cost: expected at least 600000 units, got 599999"),
        ({"payment": -1}, "below cost"),
        ({"epsilon": 0.76}, "expected epsilon 0.75 at level 3, got 0.76"),
        ({"epsilon": math.nan}, "expected epsilon 0.75"),
        ({"model": torch.zeros(DIM + 1)}, f"expected a model of {DIM} numbers"),
        ({"model": torch.zeros(DIM, 1)}, f"expected a model of {DIM} numbers"),
        ({"model": torch.full((DIM,), math.nan)}, "expected a model of finite numbers"),
        ({"model": torch.full((DIM,), math.inf)}, "expected a model of finite numbers"),
        ({"model": torch.zeros(DIM, dtype=torch.int64)}, "expected a model of finite numbers"),
        ({"award": "round-1/alice-records"}, "expected the award round-0/alice-records"),
        ({"award": "round-0/bob-records"}, "expected the award round-0/alice-records"),
        ({"market_round": "round-1"}, "it made no bid in round round-1"),
    ],
)
def test_an_award_that_was_not_asked_for_is_declined_and_costs_nothing(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    assert reason in declined(agent, **changes)
    assert sales(agent.spec) == []
    assert sold(agent).level == 3  # the award proper is still served


def test_an_award_may_pay_more_than_it_costs(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    reply = sold(agent, payment=10**9)
    assert closed(agent, receipt_of(reply, 10**9)).earned == 10**9


@pytest.mark.parametrize("change", [{"level": 2}, {"payment": 10**9}, {"model": torch.ones(DIM)}])
def test_an_award_made_again_with_other_terms_is_declined(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    first = sold(agent)
    assert "made before with other terms or model" in declined(agent, **change)
    assert content(sold(agent)) == content(first)
    assert len(sales(agent.spec)) == 1


def test_a_gradient_that_is_not_finite_is_declined_and_costs_nothing(tmp_path: Path) -> None:
    bad = records()
    bad.features[3, 2] = math.nan
    agent = SellerAgent(spec_of(tmp_path, train=bad))
    assert "finite" in declined(agent)
    assert sales(agent.spec) == []
    assert closed(agent).epsilon == 0.0


def test_an_award_above_what_the_account_has_left_is_declined(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, limit={"limit": 2.0})
    one, two = SellerAgent(spec), SellerAgent(spec_of(tmp_path, limit={"limit": 2.0}))
    for round_, agent in enumerate((one, two)):
        bid(agent, round_)
    assert [opened(one, r)[0].level_cap for r in range(2)] == [6, 6]
    sold(one, level=6, round_=0)
    paper, _ = opened(two, 1)
    reply = ask(two, award_request(paper, level=6, round_=1))
    assert isinstance(reply, DeclineReply)
    assert "left 0.5" in reply.reason
    assert [sale.epsilon for sale in sales(spec)] == [1.5]
    assert isinstance(ask(two, award_request(paper, level=6, round_=1)), DeclineReply)


def test_an_account_that_cannot_be_trusted_sells_nothing(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    sold(agent)
    agent.spec.account.write_bytes(b"no account")
    for old in agent.spec.account.parent.glob("*-wal"):
        old.unlink()
    fresh = SellerAgent(agent.spec)
    paper, _ = opened(fresh)
    reply = ask(fresh, award_request(paper))
    assert isinstance(reply, DeclineReply)
    with pytest.raises(PrivacyError):
        closed(fresh)


def test_an_account_is_of_its_owner_and_limit(tmp_path: Path) -> None:
    sold(SellerAgent(spec_of(tmp_path)))
    other = SellerAgent(spec_of(tmp_path, limit={"limit": 100.0}))
    reply = ask(other, award_request(opened(other)[0], round_=0))
    assert isinstance(reply, DeclineReply)
    assert "keeps its owner and limit" in reply.reason


@pytest.mark.parametrize(
    ("local", "field"),
    [
        ({"mechanism": "gaussian"}, "delta"),
        ({"mechanism": "l2-sphere", "delta": 1e-6}, "delta"),
        ({"mechanism": "l2-sphere", "sampler": "discrete"}, "sampler"),
    ],
)
def test_settings_that_are_not_the_mechanisms_are_refused(
    local: dict[str, Any], field: str
) -> None:
    with pytest.raises(ConfigError, match=field):
        local_mechanism(LocalConfig.model_validate(local), 3)


# --- the end ------------------------------------------------------------------------------------


def test_what_a_seller_says_at_the_end_is_what_its_account_holds(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, test=records(1))
    agent = SellerAgent(spec)
    paid = []
    for round_, level in enumerate((2, 3)):
        reply = sold(agent, level, round_)
        due = RECORDS * opened(agent, round_)[0].table[level]
        paid.append(receipt_of(reply, due))
    end = closed(agent, *paid)
    with open_account(spec.account, "alice", spec.limit) as account:
        assert (end.epsilon, end.head) == (account.spent(), account.head()[1])
    assert (end.epsilon, end.delta, end.sales, end.receipts) == (1.25, 0.0, 2, 2)
    assert end.earned == RECORDS * (2 + 3) * 5000
    assert set(end.metrics) == {"score", "loss", "records"}
    assert closed(SellerAgent(spec)) == end


def test_a_gaussian_seller_says_its_delta(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path, local={"mechanism": "gaussian", "delta": 1e-7}))
    for round_ in range(3):
        sold(agent, 2, round_)
    end = closed(agent)
    assert end.delta == pytest.approx(3e-7)
    assert end.epsilon == pytest.approx(1.5, rel=1e-6)
    renyi = SellerAgent(
        spec_of(
            tmp_path / "rdp",
            local={"mechanism": "gaussian", "delta": 1e-7},
            limit={"cost": "rdp"},
        )
    )
    sold(renyi, 2)
    assert closed(renyi).delta == 1e-6


@pytest.mark.parametrize(("cost", "left"), [("basic", 0), ("rdp", 8)])
def test_renyi_accounting_leaves_more_after_many_small_sales(
    tmp_path: Path, cost: str, left: int
) -> None:
    spec = spec_of(
        tmp_path,
        local={"mechanism": "laplace"},
        limit={"limit": 6.0, "delta": 1e-3, "cost": cost},
    )
    mechanism = local_mechanism(spec.local, DIM)
    with open_account(spec.account, "alice", spec.limit) as account:
        account.charge(mechanism.event(0.25).with_steps(24))
        assert affordable_level(account, mechanism, LADDER, 8) == left


def test_an_award_that_expires_gives_back_what_was_reserved_and_no_noise_was_drawn_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = SellerAgent(spec_of(tmp_path, limit={"limit": 1.0}))
    bid(agent)
    paper, _ = opened(agent)

    def kill(*_: Any) -> None:
        raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(agent._mechanism, "release", kill)
        with pytest.raises(_Killed):
            ask(agent, award_request(paper, 4))
    expired = {
        "award": "round-0/alice-records",
        "state": "expired",
        "delivery": None,
        "paid": 0,
        "reason": "no delivery in time",
    }
    assert isinstance(ask(agent, bid_request("alice", 1)), DeclineReply)  # all of it is reserved
    bid(agent, 1, receipts=[expired])
    assert [sale.state for sale in sales(agent.spec)] == ["released"]
    late = ask(agent, award_request(paper, 4))
    assert isinstance(late, DeclineReply)
    assert "expired" in late.reason
    sold(agent, 4, 1)


def test_a_delivery_that_was_rejected_stays_spent(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    reply = sold(agent)
    rejected = receipt_of(reply, 0, state="rejected", reason="too large")
    bid(agent, 1, receipts=[rejected])
    end = closed(agent, rejected)
    assert (end.epsilon, end.sales, end.earned, end.receipts) == (0.75, 1, 0, 1)


def test_a_run_does_not_close_on_receipts_that_are_not_what_was_agreed(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    reply = sold(agent)
    with pytest.raises(DeclinedError, match="agreed at 600000 units, got 1"):
        closed(agent, receipt_of(reply, 1))


def test_what_is_delivered_is_of_the_level_awarded(tmp_path: Path) -> None:
    agent = SellerAgent(spec_of(tmp_path))
    for round_, level in enumerate((1, 4)):
        upload = Upload.from_bytes(content(sold(agent, level, round_)))
        assert upload.epsilon == float(LADDER.eps(level))
