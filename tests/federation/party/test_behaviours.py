"""What each behaviour gives out."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from party_cases import agent, stream
from torch import linalg

from equigrad.errors import ConfigError, RegistryError
from equigrad.federation.messages import TrainRequest
from equigrad.federation.party.behaviours import Situation, make_behaviour
from equigrad.federation.party.behaviours.base import free_vector

D = 3000


def situation(*, round_=0, gamma=0.5, seed=0, reward=None, memory=None, honest=None):
    return Situation(
        round=round_,
        size=D,
        gamma=gamma,
        generator=stream(seed),
        group_generator=lambda name: stream(1000 * round_ + sum(name.encode())),
        honest=lambda: vector(9) if honest is None else honest,
        reward=reward,
        memory=memory or {},
    )


def vector(seed: int) -> torch.Tensor:
    return torch.randn(D, generator=stream(seed))


def act(name, options=None, **particulars):
    return make_behaviour(name, options or {}).act(situation(**particulars))[0]


def norm(update: torch.Tensor) -> float:
    return float(linalg.vector_norm(update, dtype=torch.float64))


def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(one.double() @ other.double()) / norm(one) / norm(other)


@given(
    seed=st.integers(0, 2**32),
    length=st.floats(1e-12, 1e12) | st.none(),
    scale=st.sampled_from([1e-30, 1.0, 1e30]),
)
@settings(max_examples=40, deadline=None)
def test_free_vectors_have_the_length_that_was_asked_for(seed, length, scale):
    direction = torch.randn(50, generator=stream(seed)) * scale
    scaled = free_vector(direction, length)
    assert norm(scaled) == pytest.approx(length or 1.0, rel=1e-5)
    assert cosine(scaled, direction) == pytest.approx(1, abs=1e-6)
    assert not free_vector(torch.zeros(4), length).any()


@pytest.mark.parametrize("name", ["random", "clones", "noisy-echo", "echo"])
def test_free_vectors_have_norm_gamma_or_one(name):
    assert norm(act(name, gamma=0.25)) == pytest.approx(0.25, rel=1e-5)
    assert norm(act(name, gamma=None)) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("name", ["random", "noisy-echo"])
def test_without_a_bound_free_vectors_are_as_long_as_the_last_reward(name):
    reward = vector(3)
    assert norm(act(name, gamma=None, reward=reward)) == pytest.approx(norm(reward), rel=1e-5)


def test_random_vectors_are_fresh_and_gaussian():
    first, second = (act("random", seed=seed, gamma=math.sqrt(D)) for seed in (1, 2))
    assert abs(cosine(first, second)) < 0.1
    assert float(first.mean()) == pytest.approx(0, abs=0.1)
    assert float(first.abs().mean()) == pytest.approx(math.sqrt(2 / math.pi), abs=0.05)


def test_uniform_entries_fill_their_interval():
    update = act("uniform")
    assert update.abs().max() <= 1
    assert float(update.abs().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(update.mean()) == pytest.approx(0, abs=0.05)


def test_an_echo_is_its_last_reward():
    reward = vector(3)
    assert torch.equal(act("echo", reward=reward), reward)


def test_a_noisy_echo_is_half_way_between_reward_and_noise():
    reward = vector(3)
    update = act("noisy-echo", reward=reward)
    assert cosine(update, reward) == pytest.approx(math.sqrt(0.5), abs=0.03)
    assert norm(update) == pytest.approx(0.5, rel=1e-5)
    other = act("noisy-echo", reward=reward, seed=1)
    assert cosine(update, other) == pytest.approx(0.5, abs=0.05)


def test_clones_of_one_group_are_equal_and_groups_are_not():
    one, same = (act("clones", {"group": "a"}, seed=seed) for seed in (1, 2))
    assert torch.equal(one, same)
    assert abs(cosine(one, act("clones", {"group": "b"}))) < 0.1
    assert abs(cosine(one, act("clones", {"group": "a"}, round_=1))) < 0.1


def test_clones_are_equal_across_parties_of_one_run():
    def upload(name, group, round_=0):
        party = agent(name=name, behaviour="clones", options={"group": group})
        request = TrainRequest(round=round_, gamma=0.5)
        return party.handle(party.initial_state(), request)[1].upload

    first = upload("a", "three")
    assert torch.equal(first, upload("b", "three"))
    assert not torch.equal(first, upload("b", "other"))
    assert not torch.equal(first, upload("b", "three", round_=1))
    assert not torch.equal(first, upload("three", "a"))


def test_replay_is_the_first_update_for_ever():
    behaviour = make_behaviour("replay", {})
    first, memory = behaviour.act(situation(honest=vector(1)))
    later, memory = behaviour.act(situation(round_=1, honest=vector(2), memory=memory))
    latest, _ = behaviour.act(situation(round_=2, honest=vector(3), memory=memory))
    assert torch.equal(first, vector(1))
    assert torch.equal(later, first)
    assert torch.equal(latest, first)


def test_replay_survives_rounds_at_the_agent():
    party = agent(behaviour="replay")
    state, uploads = party.initial_state(), []
    for round_ in range(3):
        state, reply = party.handle(state, TrainRequest(round=round_, bounding="none"))
        uploads.append(reply.upload)
    honest = agent()
    own = honest.handle(honest.initial_state(), TrainRequest(round=0, bounding="none"))[1].upload
    assert all(torch.equal(upload, own) for upload in uploads)


def test_honest_and_flipped_signs():
    honest = vector(4)
    assert torch.equal(act("honest", honest=honest), honest)
    assert torch.equal(act("sign-flip", honest=honest), -honest)


def test_rescaled_entries_lie_within_a_hundredfold():
    honest = vector(4)
    ratios = act("rescale", honest=honest) / honest
    assert ratios.abs().max() <= 100.001
    assert float(ratios.mean()) == pytest.approx(0, abs=5)
    assert float(ratios.abs().mean()) == pytest.approx(50, abs=3)


def test_half_of_the_entries_are_inverted():
    honest = vector(4)
    update = act("invert", honest=honest)
    inverted = update == honest.reciprocal()
    assert int((inverted & (update != honest)).sum()) == D // 2
    assert torch.equal(update[~inverted], honest[~inverted])


def test_zeros_and_tiny_entries_are_not_inverted_to_infinity():
    honest = torch.full((D,), 1e-40)
    honest[::2] = 0
    assert torch.equal(act("invert", honest=honest), honest)


def test_random_signs_keep_magnitudes():
    honest = vector(4)
    update = act("random-sign", honest=honest)
    assert torch.equal(update.abs(), honest.abs())
    assert abs(cosine(update, honest)) < 0.1


def test_labels_are_flipped_from_one_class_to_the_other():
    labels = torch.tensor([0, 1, 7, 1, 2])
    flipped = make_behaviour("label-flip", {}).labels(labels, 10)
    assert flipped.tolist() == [0, 7, 7, 7, 2]
    own = make_behaviour("label-flip", {"source": 0, "target": 2})
    assert own.labels(labels, 10).tolist() == [2, 1, 7, 1, 2]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ecko", {}, "Did you mean 'echo'"),
        ("random", {"scale": 2}, "options of the behaviour 'random' among none"),
        ("clones", {"grup": "a"}, "Did you mean 'group'"),
        ("clones", {"group": 3}, "group to be a name"),
        ("label-flip", {"source": 2, "target": 2}, "two different classes"),
        ("label-flip", {"source": -1}, "source to be a whole number >= 0"),
        ("label-flip", {"target": "dog"}, "target to be a whole number >= 0"),
    ],
)
def test_wrong_settings_are_named(name, options, message):
    with pytest.raises((ConfigError, RegistryError), match=message):
        make_behaviour(name, options)


@pytest.mark.parametrize("classes", [0, 5])
def test_classes_that_do_not_exist_cannot_be_flipped(classes):
    with pytest.raises(ConfigError, match="below the number of classes"):
        make_behaviour("label-flip", {}).labels(torch.zeros(3, dtype=torch.int64), classes)
