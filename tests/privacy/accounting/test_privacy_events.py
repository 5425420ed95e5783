"""Privacy events: what they refuse, how they are written, which mechanism they become."""

import dataclasses
import json
import math

import dp_accounting as dpa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.errors import ConfigError, EquigradError, PrivacyError
from equigrad.privacy.accounting import (
    PrivacyEvent,
    gradient_noise_multiplier,
    joint_noise_multiplier,
)

FULL = PrivacyEvent(
    noise_multiplier=1.2,
    sampling_rate=1 / 93,
    steps=7,
    counts=((0.5, 10.0), (1.0, 8.0)),
    max_logical_batch=300,
    dataset_size=10_000,
    noise_coordinates=12,
    rule="global-adapt",
    public_batch_size=256.0,
    noise_form="rounded",
    settings={"clip": 1.0, "bounds": [1.0, 5000.0]},
    label="training",
)


@pytest.mark.parametrize("event", [FULL, PrivacyEvent(noise_multiplier=2.0, mechanism="laplace")])
def test_written_and_read_back_is_the_same(event):
    assert PrivacyEvent.from_json(json.loads(json.dumps(event.to_json()))) == event


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"noise_multiplier": 0.0}, "noise_multiplier"),
        ({"noise_multiplier": math.nan}, "noise_multiplier"),
        ({"noise_multiplier": math.inf}, "noise_multiplier"),
        ({"sampling_rate": 0.0}, "sampling_rate"),
        ({"sampling_rate": 1.01}, "sampling_rate"),
        ({"steps": -1}, "steps"),
        ({"steps": 1.5}, "steps"),
        ({"mechanism": "cauchy"}, "mechanism"),
        ({"neighbouring": "swap"}, "neighbouring"),
        ({"counts": ((0.5, 0.0),)}, "counts"),
        ({"counts": ((0.5,),)}, "pair"),
        ({"dataset_size": None}, "together"),
        ({"max_logical_batch": 0}, "max_logical_batch"),
        ({"mechanism": "laplace"}, "counts"),
        ({"mechanism": "laplace", "counts": ()}, "max_logical_batch"),
        ({"settings": {"clip": object()}}, "settings"),
        ({"settings": {"clip": math.nan}}, "settings"),
        ({"public_batch_size": 0.0}, "public_batch_size"),
    ],
)
def test_impossible_events_are_refused(change, word):
    with pytest.raises(ConfigError, match=word):
        dataclasses.replace(FULL, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"effective_noise_multiplier": 99.0},
        {"sigma": 1.0},
        {"noise_multiplier": "much"},
        {"counts": 3},
    ],
)
def test_damaged_events_are_refused(change):
    with pytest.raises(PrivacyError, match="Expected"):
        PrivacyEvent.from_json({**FULL.to_json(), **change})


def test_each_release_becomes_its_mechanism():
    plain = PrivacyEvent(noise_multiplier=2.0, steps=3)
    assert plain.dp_event() == dpa.SelfComposedDpEvent(dpa.GaussianDpEvent(2.0), 3)
    sampled = PrivacyEvent(noise_multiplier=2.0, sampling_rate=0.25, counts=((1.0, 2.0),))
    inner = dpa.GaussianDpEvent(sampled.effective_noise_multiplier)
    assert sampled.dp_event() == dpa.SelfComposedDpEvent(dpa.PoissonSampledDpEvent(0.25, inner), 1)
    assert sampled.effective_noise_multiplier == pytest.approx(2.0 / math.sqrt(2.0))
    cut = FULL.dp_event().event
    assert isinstance(cut, dpa.TruncatedSubsampledGaussianDpEvent)
    assert (cut.dataset_size, cut.truncated_batch_size) == (10_000, 300)
    laplace = PrivacyEvent(noise_multiplier=2.0, mechanism="laplace", sampling_rate=0.5)
    assert laplace.dp_event().event == dpa.PoissonSampledDpEvent(0.5, dpa.LaplaceDpEvent(2.0))
    assert plain.with_steps(0).dp_event() == dpa.NoOpDpEvent()


multipliers = st.floats(0.05, 50.0)


@settings(deadline=None, max_examples=50)
@given(sigma=multipliers, sensitivity=st.floats(0.01, 2.0), noise=st.floats(0.05, 100.0))
def test_joint_noise_has_an_inverse(sigma, sensitivity, noise):
    joint = joint_noise_multiplier(sigma, ((sensitivity, noise),))
    assert joint < sigma
    assert joint < noise / sensitivity
    if joint * sensitivity / noise < 0.999:
        back = gradient_noise_multiplier(joint, ((sensitivity, noise),))
        assert back == pytest.approx(sigma, rel=1e-9)


def test_infeasible_counts_name_the_least_noise():
    with pytest.raises(ConfigError, match=r"above 0\.4 .*got 0\.3"):
        gradient_noise_multiplier(0.8, ((0.5, 0.3),))
    with pytest.raises(ConfigError, match=r"above 0\.4 "):
        gradient_noise_multiplier(0.8, ((0.5, 0.4),))
    assert gradient_noise_multiplier(0.8, ((0.5, 0.41),)) > 0.8


def test_errors_are_ours():
    assert issubclass(PrivacyError, EquigradError)
    assert issubclass(PrivacyError, ValueError)
