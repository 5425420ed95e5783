"""The party's side of every exchange."""

import copy
import hashlib
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from party_cases import NUMBERS, TABLE, TEXT, agent, made_up, spec, stream

from equigrad.errors import DataError, EquigradError
from equigrad.federation.config.schema import ModelConfig
from equigrad.federation.messages import (
    Delivery,
    FinishRequest,
    ModelRequest,
    NormRequest,
    StandaloneRequest,
    TrainRequest,
    to_bytes,
)
from equigrad.federation.party import BEHAVIOURS, PartyAgent, PartyState
from equigrad.models import flatten
from equigrad.reward import Sparse, encode


def reward(vector: torch.Tensor):
    """Return the wire form of a dense reward."""
    at = vector.nonzero().flatten().numpy()
    parts = encode(Sparse(indices=at, values=vector[at].numpy(), size=vector.numel()))
    return {name: torch.from_numpy(part) for name, part in parts.items()}


@pytest.fixture(scope="module")
def party():
    return agent()


def written(state: PartyState) -> dict[str, list[float]]:
    return {name: tensor.tolist() for name, tensor in state.to_tensors().items()}


def test_all_parties_of_a_run_start_from_the_same_model():
    north, south, other = agent(), agent(name="south", records=9), agent(seed=6)
    start = north.initial_state().weights
    assert torch.equal(start, south.initial_state().weights)
    assert not torch.equal(start, other.initial_state().weights)


def test_a_training_request_moves_nothing_and_uploads_the_update(party):
    state = party.initial_state()
    new, reply = party.handle(state, TrainRequest(round=0, bounding="none"))
    assert torch.equal(new.weights, state.weights)
    assert new.held is None
    assert (reply.party, reply.round, reply.records, reply.delivered) == ("north", 0, 23, -1)
    assert reply.upload.shape == state.weights.shape
    assert reply.upload.dtype == torch.float32
    assert reply.upload.any()


@given(
    round_=st.integers(0, 100),
    delivered=st.booleans(),
    bounding=st.sampled_from(["none", "clip", "rescale", "rescale-eps"]),
    hold=st.sampled_from(["none", "update", "upload"]),
    behaviour=st.sampled_from(BEHAVIOURS.names()),
)
@settings(max_examples=25, deadline=None)
def test_the_same_request_from_the_same_state_gives_the_same_bytes(
    round_, delivered, bounding, hold, behaviour
):
    """Also from another agent of the same specification, as after a restart."""
    options = {"source": 1, "target": 2} if behaviour == "label-flip" else {}
    particulars = spec(behaviour=behaviour, options=options)
    one, other = PartyAgent(particulars), PartyAgent(copy.deepcopy(particulars))
    state = one.initial_state()
    size = state.weights.numel()
    delivery = Delivery(round=round_ - 1, reward=reward(torch.ones(size))) if delivered else None
    request = TrainRequest(round=round_, delivery=delivery, bounding=bounding, gamma=0.5, hold=hold)
    before = written(state)
    first, reply = one.handle(state, request)
    one.handle(first, TrainRequest(round=round_ + 1, gamma=0.1))
    for again in (one, other):
        second, same = again.handle(PartyState.from_tensors(state.to_tensors()), request)
        assert to_bytes(same) == to_bytes(reply)
        assert written(second) == written(first)
    assert written(state) == before


def test_a_delivery_is_applied_exactly_once(party):
    state = party.initial_state()
    gift = torch.linspace(-1, 1, state.weights.numel())
    request = TrainRequest(
        round=4, delivery=Delivery(round=3, reward=reward(gift)), bounding="none"
    )
    once, reply = party.handle(state, request)
    twice, again = party.handle(once, request)
    assert torch.equal(once.weights, state.weights + gift)
    assert torch.equal(twice.weights, once.weights)
    assert reply.delivered == again.delivered == once.delivered == 3
    late = FinishRequest(round=5, delivery=Delivery(round=2, reward=reward(gift)))
    assert torch.equal(party.handle(twice, late)[0].weights, once.weights)


@pytest.mark.parametrize("hold", ["update", "upload"])
def test_what_is_held_is_kept_by_the_next_delivery_only(party, hold):
    request = TrainRequest(round=0, bounding="clip", gamma=0.01, hold=hold)
    state, reply = party.handle(party.initial_state(), request)
    _, raw = party.handle(party.initial_state(), TrainRequest(round=0, bounding="none"))
    held = {"update": raw, "upload": reply}[hold].upload
    assert torch.equal(state.held, held)
    kept, _ = party.handle(state, ModelRequest(round=1, delivery=Delivery(round=0, keep=1.0)))
    torch.testing.assert_close(kept.weights, state.weights + held)
    assert kept.held is None
    void, _ = party.handle(state, TrainRequest(round=1, gamma=0.01))
    assert torch.equal(void.weights, state.weights)
    assert void.held is None


def test_a_model_that_is_sent_is_taken_over_and_not_shared(party):
    model = torch.randn(party.initial_state().weights.shape, generator=stream())
    delivery = Delivery(round=0, share=1.0, model=model)
    state, reply = party.handle(party.initial_state(), ModelRequest(round=1, delivery=delivery))
    assert torch.equal(reply.model, model)
    assert reply.delivered == 0
    model.zero_()
    assert state.weights.any()


def test_a_model_is_measured_after_the_delivery_and_before_training(party):
    start = party.initial_state()
    model = torch.randn(start.weights.shape, generator=stream())
    delivery = Delivery(round=0, share=1.0, model=model)
    _, reply = party.handle(start, TrainRequest(round=1, delivery=delivery, gamma=1.0))
    _, finish = party.handle(start, FinishRequest(round=1, delivery=delivery))
    assert reply.metrics == finish.metrics
    assert set(reply.metrics) == {"score", "loss", "records"}
    assert reply.metrics["records"] == 40
    _, silent = party.handle(start, TrainRequest(round=1, gamma=1.0, evaluate=False))
    assert silent.metrics == {}


@pytest.mark.parametrize("particulars", [{}, {"behaviour": "replay"}, {"behaviour": "sign-flip"}])
@pytest.mark.parametrize("optimizer_state", ["reset", "keep"])
def test_asking_for_the_norm_first_changes_no_upload(particulars, optimizer_state):
    party = agent(optimizer="Adam", lr=0.01, optimizer_state=optimizer_state, **particulars)
    start = party.initial_state()
    request = TrainRequest(round=0, bounding="none")
    asked, norm = party.handle(start, NormRequest(round=0))
    asked_again, same_norm = party.handle(asked, NormRequest(round=0))
    direct, expected = party.handle(start, request)
    state, reply = party.handle(asked_again, request)
    assert norm.norm == same_norm.norm == pytest.approx(float(expected.upload.double().norm()))
    assert torch.equal(reply.upload, expected.upload)
    assert written(state) == written(direct)
    assert state.trained is None


def test_an_update_made_for_another_round_or_model_is_not_used(party):
    start = party.initial_state()
    asked, _ = party.handle(start, NormRequest(round=0))
    _, fresh = party.handle(start, TrainRequest(round=1, bounding="none"))
    _, reply = party.handle(asked, TrainRequest(round=1, bounding="none"))
    assert torch.equal(reply.upload, fresh.upload)
    gift = Delivery(round=-1 + 1, reward=reward(torch.ones(start.weights.numel())))
    _, fresh = party.handle(start, TrainRequest(round=0, bounding="none", delivery=gift))
    _, reply = party.handle(asked, TrainRequest(round=0, bounding="none", delivery=gift))
    assert torch.equal(reply.upload, fresh.upload)


def test_momentum_survives_the_roll_back_only_when_asked():
    kept = agent(options={}, optimizer="SGD", lr=0.1, optimizer_state="keep")
    assert kept.handle(kept.initial_state(), TrainRequest(round=0, gamma=1.0))[0].optimizer == {}
    for optimizer_state, differs in (("keep", True), ("reset", False)):
        party = agent(optimizer="Adam", lr=0.01, optimizer_state=optimizer_state)
        start = party.initial_state()
        state, _ = party.handle(start, TrainRequest(round=0, bounding="none"))
        _, carried = party.handle(state, TrainRequest(round=1, bounding="none"))
        _, fresh = party.handle(start, TrainRequest(round=1, bounding="none"))
        assert torch.equal(carried.upload, fresh.upload) is not differs


@pytest.mark.parametrize(
    ("bounding", "gamma", "expected"),
    [("rescale", 5.0, 5.0), ("rescale", 0.01, 0.01), ("clip", 0.01, 0.01), ("clip", 1e9, None)],
)
def test_uploads_are_bounded(party, bounding, gamma, expected):
    start = party.initial_state()
    _, raw = party.handle(start, TrainRequest(round=0, bounding="none"))
    _, reply = party.handle(start, TrainRequest(round=0, bounding=bounding, gamma=gamma))
    norm = float(reply.upload.double().norm())
    assert norm == pytest.approx(expected or float(raw.upload.double().norm()), rel=1e-5)
    cosine = torch.cosine_similarity(reply.upload, raw.upload, dim=0)
    assert float(cosine) == pytest.approx(1, abs=1e-5)


def test_divergence_is_uploaded_and_reported_as_it_is():
    party = agent(model_input=NUMBERS, lr=1e30, epochs=5)
    state, reply = party.handle(party.initial_state(), TrainRequest(round=0, gamma=1.0))
    assert not reply.upload.isfinite().all()
    assert torch.equal(state.weights, party.initial_state().weights)
    _, norm = party.handle(party.initial_state(), NormRequest(round=0))
    assert not norm.norm < float("inf")
    _, alone = party.handle(state, StandaloneRequest(round=0, rounds=2))
    assert not alone.metrics["loss"] < float("inf")


def test_standing_alone_keeps_no_state_and_every_step(party):
    state, _ = party.handle(party.initial_state(), TrainRequest(round=0, gamma=1.0))
    after, reply = party.handle(state, StandaloneRequest(round=0, rounds=30))
    assert after is state
    assert reply.records == 23
    assert reply.metrics["score"] > 0.6
    none = party.handle(state, StandaloneRequest(round=0, rounds=0))[1].metrics
    assert none == party.handle(party.initial_state(), FinishRequest(round=0))[1].metrics


def test_standing_alone_is_honest_whatever_the_behaviour():
    alone = StandaloneRequest(round=0, rounds=5)
    expected = agent().handle(agent().initial_state(), alone)[1]
    for behaviour, options in (
        ("random", {}),
        ("sign-flip", {}),
        ("label-flip", {"source": 0, "target": 1}),
    ):
        party = agent(behaviour=behaviour, options=options)
        assert party.handle(party.initial_state(), alone)[1] == expected


def test_standing_alone_uses_the_schedule_and_the_kept_state():
    def score(**training):
        party = agent(**training)
        return party.handle(party.initial_state(), StandaloneRequest(round=0, rounds=6))[1].metrics

    plain = score(optimizer="Adam", lr=0.05)
    assert score(optimizer="Adam", lr=0.05, lr_decay=0.5) != plain
    assert score(optimizer="Adam", lr=0.05, optimizer_state="keep") != plain


def test_the_final_digest_is_that_of_the_final_model(party):
    start = party.initial_state()
    gift = torch.ones(start.weights.numel())
    delivery = Delivery(round=0, reward=reward(gift))
    state, reply = party.handle(start, FinishRequest(round=1, delivery=delivery))
    digest = hashlib.sha256((start.weights + gift).numpy().astype("<f4").tobytes()).hexdigest()
    assert reply.digest == digest
    assert reply.delivered == 0
    named = party.model_state(state)
    assert list(named) == ["1.weight", "1.bias", "3.weight", "3.bias"]
    assert torch.equal(torch.cat([t.flatten() for t in named.values()]), state.weights)


@pytest.mark.parametrize(
    ("echo", "delivery"),
    [
        (
            lambda w: torch.ones_like(w),
            lambda w: Delivery(round=0, reward=reward(torch.ones_like(w))),
        ),
        (lambda w: 2 - w, lambda w: Delivery(round=0, share=1.0, model=torch.full_like(w, 2.0))),
    ],
)
def test_the_last_reward_is_remembered_until_another_one_comes(echo, delivery):
    party = agent(behaviour="echo")
    start = party.initial_state()
    request = TrainRequest(round=1, delivery=delivery(start.weights), bounding="none")
    state, reply = party.handle(start, request)
    torch.testing.assert_close(reply.upload, echo(start.weights))
    nothing = Delivery(round=1, reward=reward(torch.zeros_like(start.weights)))
    empty = TrainRequest(round=2, delivery=nothing, bounding="none")
    state, again = party.handle(state, empty)
    assert torch.equal(again.upload, reply.upload)


def test_free_riders_do_no_work(monkeypatch):
    party = agent(behaviour="random")
    monkeypatch.setattr(party._trainer, "train", lambda *_, **__: pytest.fail("it trained"))
    _, reply = party.handle(party.initial_state(), TrainRequest(round=0, gamma=0.5))
    assert reply.upload.any()


def test_label_flippers_train_on_other_labels():
    honest = agent()
    flipper = agent(behaviour="label-flip", options={"source": 0, "target": 2})
    request = TrainRequest(round=0, bounding="none")
    start = honest.initial_state()
    own, other = (p.handle(start, request)[1].upload for p in (honest, flipper))
    assert not torch.equal(own, other)


@pytest.mark.parametrize(
    "particulars",
    [
        {"behaviour": "hones"},
        {"behaviour": "echo", "options": {"loud": True}},
        {"behaviour": "label-flip", "options": {"source": 1, "target": 3}},
        {"behaviour": "label-flip", "model_input": NUMBERS},
        {"optimizer": "SDG"},
        {"model": ModelConfig(factory="cnn")},
        {"model": ModelConfig(factory="nowhere.to.be:found")},
        {"records": 0},
    ],
)
def test_parties_that_cannot_be_are_refused_at_once(particulars):
    with pytest.raises(EquigradError):
        agent(**particulars)


def test_specifications_can_be_sent_to_other_processes():
    particulars = spec(model_input=TEXT, behaviour="echo")
    assert pickle.dumps(particulars)


def test_records_are_moved_to_a_device_once():
    records = made_up(TABLE, 3)
    there = records.to(torch.device("meta"))
    assert there.features.device.type == there.labels.device.type == "meta"
    assert records.to(torch.device("meta")) is there
    assert records.to(torch.device("cpu")) is records


def test_records_need_a_label_each():
    with pytest.raises(DataError, match="one label each"):
        type(made_up(TABLE, 3))(torch.zeros(3, 6), torch.zeros(2))


def test_a_reply_is_no_request(party):
    _, reply = party.handle(party.initial_state(), FinishRequest(round=0))
    with pytest.raises(TypeError, match="Expected a request, got FinishReply"):
        party.handle(party.initial_state(), reply)


def test_texts_with_dropout_go_all_the_way():
    model = ModelConfig(factory="text-cnn", options={"embedding": 8, "kernels": 4, "widths": [2]})
    party = agent(model_input=TEXT, model=model, lr=0.5, epochs=3)
    state, reply = party.handle(party.initial_state(), TrainRequest(round=0, gamma=1.0))
    assert reply.upload.any()
    again = party.handle(party.initial_state(), TrainRequest(round=0, gamma=1.0))[1]
    assert torch.equal(again.upload, reply.upload)
    assert torch.equal(flatten(agent(model_input=TEXT, model=model)._model), state.weights)
