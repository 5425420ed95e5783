"""Who uploads the same again although its model has moved is found; nobody else is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import lines_of

from equigrad.federation.config.presets import PRESETS
from equigrad.federation.methods.base import Terms
from equigrad.federation.methods.repeats import RepeatMeter
from equigrad.federation.record.verify import verify


def meter(size: int = 5000) -> RepeatMeter:
    terms = Terms(
        seed=1,
        rounds=9,
        parties=("a", "b"),
        layer_sizes=(size,),
        names=("w",),
        shapes=((size,),),
        initial=torch.zeros(size),
        settings=PRESETS["robust"],
    )
    return RepeatMeter(terms)


def vector(seed: int, size: int = 5000) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [100, 5000])
def test_a_copy_has_a_cosine_of_one_whatever_its_length(size: int) -> None:
    meters = meter(size)
    old = vector(0, size)
    assert meters.measure(0, ["a"], [old], {}).tolist() == [0.0]
    again = meters.measure(1, ["a"], [0.37 * old], {"a": 0})
    assert again == pytest.approx([1.0], abs=1e-7)


def test_sketches_estimate_cosines() -> None:
    meters = meter()
    old, new = vector(0), vector(0) + vector(1)
    meters.measure(0, ["a"], [old], {})
    estimate = meters.measure(1, ["a"], [new], {"a": 0})[0]
    exact = float(torch.nn.functional.cosine_similarity(old, new, dim=0))
    assert abs(estimate - exact) < 0.1


def test_an_older_upload_is_remembered() -> None:
    meters = meter()
    for t in range(3):
        meters.measure(t, ["a"], [vector(t)], {"a": t - 1})
    assert meters.measure(3, ["a"], [vector(0)], {"a": 2}) == pytest.approx([1.0])


def test_who_was_not_rewarded_may_compute_the_same_again() -> None:
    meters = meter()
    for t in range(4):
        assert meters.measure(t, ["b"], [vector(7)], {}).tolist() == [0.0]


def test_an_excluded_replay_goes_on_being_found() -> None:
    """Its model no longer moves, and it uploads the same for ever."""
    meters = meter()
    meters.measure(0, ["a"], [vector(3)], {})
    found = [meters.measure(t, ["a"], [vector(3)], {"a": 0})[0] for t in range(1, 12)]
    assert found == pytest.approx(np.ones(11))


def test_state_comes_back() -> None:
    one, two = meter(), meter()
    one.measure(0, ["a", "b"], [vector(0), vector(1)], {})
    two.load(one.save())
    expected = one.measure(1, ["b"], [vector(1)], {"b": 0})
    assert np.array_equal(two.measure(1, ["b"], [vector(1)], {"b": 0}), expected)


def test_zero_uploads_repeat_nothing() -> None:
    meters = meter()
    meters.measure(0, ["a"], [torch.zeros(5000)], {})
    assert meters.measure(1, ["a"], [torch.zeros(5000)], {"a": 0}).tolist() == [0.0]


def test_a_replaying_party_is_flagged_in_a_run_and_nobody_else(play: Callable[..., Path]) -> None:
    folder = play(rounds=6, party=[{"name": "party-3", "behaviour": "replay"}])
    flags = [
        {(f["party"], f["kind"]) for f in line["flags"]} for line in lines_of(folder, "appraise")
    ]
    assert flags == [set(), *[{("party-3", "replay")}] * 5]
    assert lines_of(folder, "reward")[-1]["q"][2] == 0
    assert verify(folder).exact


def test_full_batches_without_rewards_are_no_replay(play: Callable[..., Path]) -> None:
    """Nothing is random and nothing moves: the same update again is honest."""
    folder = play(
        rounds=3,
        training={"lr": 0.1, "batch_size": 1000},
        rewards={"gamma": 1.0, "warmup": 0},
        party=[
            {"name": "party-1", "behaviour": "sign-flip"},
        ],
    )
    kinds = {f["kind"] for line in lines_of(folder, "appraise") for f in line["flags"]}
    assert "replay" not in kinds
