"""What a private party tells is checked before its upload is looked at; its state comes back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from private_runs import private_config

from equigrad.errors import BudgetExceededError, PrivacyError
from equigrad.federation.admission import Refusal, admit
from equigrad.federation.messages import TrainReply, TrainRequest, from_bytes, to_bytes
from equigrad.federation.party import PartyAgent, PartyState
from equigrad.federation.party.spec import PartySpec
from equigrad.federation.private.account import RUN, PartyAccount
from equigrad.federation.private.told import Terms
from equigrad.federation.setup import prepare
from equigrad.privacy.account import PrivacyAccount

GAMMA = 0.2


@pytest.fixture(scope="module")
def spec() -> PartySpec:
    return prepare(private_config(rounds=3, rewards={"gamma": GAMMA})).specs[0]


@pytest.fixture
def party(spec: PartySpec, tmp_path: Path) -> PartyAgent:
    return PartyAgent(replace(spec, account=tmp_path / "a.sqlite"))


def ask(party: PartyAgent, state: PartyState, round_: int = 0) -> tuple[PartyState, Any]:
    return party.handle(state, TrainRequest(round=round_, bounding="clip", gamma=GAMMA))


def judge(party: PartyAgent, reply: TrainReply, **terms: Any) -> TrainReply | Refusal:
    size = reply.upload.numel()
    agreed = Terms.of(
        party.spec.plan, party.spec.training, 0, n_params=size, bounding="clip", gamma=GAMMA
    )
    return admit(
        reply.party,
        reply,
        round_=0,
        size=size,
        max_bytes=1e6,
        private=replace(agreed, **terms) if terms else agreed,
    )


def test_an_honest_reply_is_admitted_over_the_wire(party: PartyAgent) -> None:
    _, reply = ask(party, party.initial_state())
    assert 0 < reply.privacy["factor"] < 1
    assert isinstance(judge(party, from_bytes(to_bytes(reply))), TrainReply)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 0}, "steps charged"),
        ({"steps": True}, "steps charged"),
        ({"steps": 10**9}, "steps charged"),
        ({"factor": 0.0}, "factor > 0"),
        ({"factor": float("nan")}, "factor > 0"),
        ({"factor": 1.5}, "bounding could give"),
        ({"factor": "1"}, "factor > 0"),
        ({"event": {}}, "agreed privacy event"),
        ({"event": None}, "agreed privacy event"),
        ({"more": 1}, "expected event, steps and factor"),
    ],
)
def test_a_reply_that_tells_something_else_is_refused(
    party: PartyAgent, change: dict[str, Any], said: str
) -> None:
    _, reply = ask(party, party.initial_state())
    refused = judge(party, replace(reply, privacy={**reply.privacy, **change}))
    assert isinstance(refused, Refusal)
    assert refused.flag == "bad-privacy"
    assert said in refused.detail


def test_an_event_with_other_noise_is_refused_by_name(party: PartyAgent) -> None:
    _, reply = ask(party, party.initial_state())
    event = {**reply.privacy["event"], "noise_multiplier": 0.1}
    refused = judge(party, replace(reply, privacy={**reply.privacy, "event": event}))
    assert isinstance(refused, Refusal)
    assert "other noise_multiplier" in refused.detail


def test_declared_noise_must_follow_from_the_release(party: PartyAgent) -> None:
    _, reply = ask(party, party.initial_state())
    more = {**reply.noise, "variance": 2 * reply.noise["variance"]}
    refused = judge(party, replace(reply, noise=more))
    assert isinstance(refused, Refusal)
    assert refused.flag == "bad-facts"
    silent = judge(party, replace(reply, privacy={}, noise={}))
    assert isinstance(silent, TrainReply)  # who released nothing tells nothing


def test_a_factor_is_refused_where_noise_is_not_known(party: PartyAgent) -> None:
    _, reply = ask(party, party.initial_state())
    refused = judge(party, reply, known=False)
    assert isinstance(refused, Refusal)
    assert "not known" in refused.detail


def test_telling_of_a_release_in_a_plain_run_is_refused(party: PartyAgent) -> None:
    _, reply = ask(party, party.initial_state())
    size = reply.upload.numel()
    refused = admit(reply.party, reply, round_=0, size=size, max_bytes=1e6)
    assert isinstance(refused, Refusal)
    assert refused.flag == "bad-privacy"


def test_the_same_request_from_the_same_state_gives_the_same_bytes_once_charged(
    party: PartyAgent,
) -> None:
    first = party.initial_state()
    after, reply = ask(party, first)
    _, again = ask(party, first)
    assert to_bytes(again) == to_bytes(reply)
    assert party._private is not None
    assert party._private.steps() == 4
    moved = replace(first, weights=first.weights + 1)
    _, other = ask(party, moved)
    assert party._private.steps() == 8  # other inputs: fresh noise, charged again
    assert other.privacy["steps"] == 8
    assert after.private["steps"] == 4


def test_the_state_comes_back_whole(party: PartyAgent) -> None:
    state, _ = ask(party, party.initial_state())
    again = PartyState.from_tensors(state.to_tensors())
    assert again.private == state.private
    assert set(again.private) == {"rule", "steps", "steady"}
    assert PartyState.from_tensors(party.initial_state().to_tensors()).private == {}


def test_the_round_beyond_the_budget_is_refused_before_anything_happens(
    party: PartyAgent,
) -> None:
    state = party.initial_state()
    for round_ in range(3):
        state, _ = ask(party, state, round_)
    with PrivacyAccount.open(party.spec.account) as account:
        before = account.head()
    with pytest.raises(BudgetExceededError):
        ask(party, state, 3)
    with PrivacyAccount.open(party.spec.account) as account:
        assert account.head() == before


def test_a_damaged_account_releases_nothing(party: PartyAgent) -> None:
    state, _ = ask(party, party.initial_state())
    party.spec.account.write_bytes(b"no account at all, but long enough to be looked at" * 40)
    fresh = PartyAgent(party.spec)
    with pytest.raises(PrivacyError):
        ask(fresh, state, 1)


def test_an_ended_account_takes_no_further_round(spec: PartySpec, tmp_path: Path) -> None:
    account = PartyAccount(tmp_path / "a.sqlite", spec.plan, seed=1)
    account.end()  # nothing was begun
    account.charge(0, "inputs")
    account.end()
    account.end()
    with pytest.raises(BudgetExceededError, match="has ended"):
        account.charge(4, "inputs")
    with PrivacyAccount.open(tmp_path / "a.sqlite") as raw:
        assert RUN not in raw.unfinished()
    assert account.steps() == 4


def test_global_randomness_is_left_alone(party: PartyAgent) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    ask(party, party.initial_state())
    assert torch.equal(torch.get_rng_state(), before)
