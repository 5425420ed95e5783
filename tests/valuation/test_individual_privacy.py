"""Individual privacy loss through its scorer: bounds, monotony, which step a norm stands for."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from equigrad.errors import CheckpointError, ConfigError, NeedsError
from equigrad.privacy.accounting import PrivacyEvent, gaussian_epsilon, renyi_epsilon
from equigrad.privacy.accounting.renyi import Renyi
from equigrad.privacy.accounting.step_cost import ORDERS
from equigrad.valuation import PrivateSteps, Trajectory, make_scorer, score
from equigrad.valuation.scorers import IndividualPrivacy

quick = settings(max_examples=20, deadline=None)
DELTA = 1e-5


def half_square(outputs, targets):
    """A loss whose gradient is ``w x^2`` for the model ``w x``."""
    del targets
    return 0.5 * outputs[:, 0].square()


def path(weights, *, steps=None, total=None, clip=1.0, noise=1.1, rate=1.0):
    """Return a trajectory of the model ``w x``: a record's norm at a checkpoint is ``|w| x^2``."""
    count = len(weights)
    return Trajectory(
        nn.Linear(1, 1, bias=False).double(),
        [{"weight": torch.tensor([[w]], dtype=torch.float64)} for w in weights],
        half_square,
        origin="private",
        steps=tuple(range(count)) if steps is None else steps,
        private_steps=PrivateSteps(
            clip=clip,
            noise_multiplier=noise,
            steps=count if total is None else total,
            delta=DELTA,
            sampling_rate=rate,
        ),
    )


def values(given_path, sizes, output="eps", *, carry_last=False, batch_size=3, **options):
    """Return the scores of records whose norms are ``|w|`` times ``sizes``."""
    x = torch.tensor(sizes, dtype=torch.float64).sqrt()[:, None]
    scorer = IndividualPrivacy(output, carry_last=carry_last)
    records = (x, torch.zeros(len(x), 1, dtype=torch.float64))
    found = score(given_path, records, [scorer], view="local", batch_size=batch_size, **options)
    return found[scorer.label].values


def worst(given_path, output="eps"):
    return IndividualPrivacy(output).bounds(given_path)[1]


@cache
def divergences(norm, clip, noise, rate):
    """Return those of one step at an exact norm, ``(orders,)``."""
    if norm == 0:
        return np.zeros(len(ORDERS))
    step = PrivacyEvent(noise_multiplier=noise * clip / norm, sampling_rate=rate)
    return Renyi(ORDERS).compose(step.dp_event()).rdp


def exact(weights, size, *, clip, noise, rate):
    """Return the epsilon of one record by adding up each step at its exact norm."""
    norms = [min(abs(weight) * size, clip) for weight in weights]
    if rate < 1:
        total = sum(divergences(round(norm, 12), clip, noise, rate) for norm in norms)
        return float(renyi_epsilon(ORDERS, total, DELTA))
    rho = sum(norm**2 for norm in norms) / (2 * (noise * clip) ** 2)
    return float(gaussian_epsilon(math.sqrt(2 * rho), DELTA))


# Few values and one sampled training: a table of divergences takes a second.
weights = st.lists(st.sampled_from([0.0, 0.3, 0.45, 1.0, 2.0]), min_size=1, max_size=4)
sizes = st.lists(st.sampled_from([0.0, 0.1, 0.22, 0.7, 3.0]), min_size=1, max_size=4)
SAMPLED = {"clip": 0.8, "noise": 1.0, "rate": 0.02}
full = st.fixed_dictionaries(
    {"clip": st.floats(0.1, 5.0), "noise": st.floats(0.6, 4.0), "rate": st.just(1.0)}
)
trainings = full | st.just(SAMPLED)


@quick
@given(weights=weights, sizes=sizes, training=trainings)
def test_values_lie_between_those_of_the_exact_norms_and_the_worst_case(weights, sizes, training):
    given_path = path(weights, **training)
    got, most = values(given_path, sizes), worst(given_path)
    least = [exact(weights, size, **training) for size in sizes]
    room = 1e-9 * (1 + most)
    assert (got >= np.array(least) - room).all()
    assert (got <= most).all()
    if training["rate"] == 1.0:
        np.testing.assert_allclose(got, least, rtol=1e-9, atol=1e-9)


@quick
@given(count=st.integers(1, 5), training=trainings, gap=st.integers(0, 7))
def test_norms_that_are_all_clipped_give_the_worst_case(count, training, gap):
    given_path = path([1.0] * count, total=count + gap, **training)
    got = values(given_path, [training["clip"], 2 * training["clip"], 1e9])
    np.testing.assert_allclose(got, worst(given_path), rtol=1e-12)


@quick
@given(weights=weights, training=trainings, at=st.integers(0, 3), more=st.floats(0.0, 2.0))
def test_values_grow_with_every_norm(weights, training, at, more):
    larger = list(weights)
    larger[at % len(weights)] += more
    sizes = [0.0, 0.1, 0.5, 1.0, 2.0]
    small, large = values(path(weights, **training), sizes), values(path(larger, **training), sizes)
    assert (large >= small * (1 - 1e-12) - 1e-12).all()
    assert (np.diff(small) >= -1e-12 * (1 + small[1:])).all()


@pytest.mark.parametrize("output", ["eps", "mu", "rho"])
def test_the_worst_case_is_that_of_full_batches(output):
    given_path = path([1.0], total=9, noise=2.0)
    want = {"rho": 9 / 8, "mu": 1.5, "eps": float(gaussian_epsilon(1.5, DELTA))}
    assert worst(given_path, output) == pytest.approx(want[output], rel=1e-12)


def test_the_worst_case_under_sampling_is_the_accountants():
    given_path = path([1.0], total=30, **SAMPLED)
    event = PrivacyEvent(noise_multiplier=1.0, sampling_rate=0.02, steps=30)
    want = renyi_epsilon(ORDERS, Renyi(ORDERS).compose(event.dp_event()).rdp, DELTA)
    assert worst(given_path) == pytest.approx(float(want), rel=1e-9)


def test_a_checkpoint_stands_for_the_step_that_starts_from_it():
    given_path = path([0.1, 0.2, 0.5, 0.9], steps=(0, 2, 3, 6), total=6, noise=1.0)
    # steps 1..6: norms .1, C, .2, .5, C, C; what comes after the last step is no step's beginning
    want = (0.1**2 + 1 + 0.2**2 + 0.5**2 + 1 + 1) / 2
    np.testing.assert_allclose(values(given_path, [1.0], "rho"), want, rtol=1e-12)


def test_a_norm_that_is_carried_stands_for_the_steps_after_it():
    given_path = path([0.1, 0.2], steps=(1, 3), total=6, noise=1.0)
    want = (1 + 2 * 0.1**2 + 3 * 0.2**2) / 2
    got = values(given_path, [1.0], "rho", carry_last=True)
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_an_estimate_says_so():
    x, y = torch.ones(2, 1).double(), torch.zeros(2, 1).double()
    given_path = path([0.1, 0.2], total=5)
    made = [IndividualPrivacy(), IndividualPrivacy(carry_last=True)]
    sound, rough = score(given_path, (x, y), made, view="local").values()
    assert not sound.estimate
    assert rough.estimate
    assert any("3 of 5 steps" in w and "clip bound" in w for w in sound.warnings)
    assert any("3 of 5 steps" in w and "last one known" in w for w in rough.warnings)
    for one in (sound, rough):
        assert one.orientation == "exposed"
        assert "no guarantee" in one.warnings[0]
        assert one.bounds == (0.0, worst(given_path))


def test_only_the_constant_warning_where_every_step_has_its_norm():
    x, y = torch.ones(2, 1).double(), torch.zeros(2, 1).double()
    found = score(path([0.1, 0.2]), (x, y), ["individual_privacy"], view="local")
    assert len(found["individual-privacy"].warnings) == 1


@pytest.mark.parametrize("training", [{}, SAMPLED])
def test_neither_batches_nor_stretches_matter(training):
    given_path = path([0.3, 0.8, 0.1], total=20, **training)
    sizes = np.linspace(0.0, 2.0, 17)
    whole = values(given_path, sizes, batch_size=17)
    parts = values(given_path, sizes, batch_size=2, accumulator_bytes=1)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


def test_the_settings_make_it_again():
    made = make_scorer("individual_privacy", output="mu", carry_last=True)
    again = IndividualPrivacy(**made.settings())
    assert again.describe() == made.describe()
    assert again.estimate


def test_refusals():
    with pytest.raises(ConfigError, match="Expected output"):
        IndividualPrivacy("epsilon")
    for output in ("mu", "rho"):
        with pytest.raises(ConfigError, match="Expected output='eps'"):
            values(path([0.1], rate=0.5), [1.0], output)
        assert IndividualPrivacy(output).bounds(path([0.1], rate=0.5)) is None
    with pytest.raises(CheckpointError, match=r"steps 0\.\.4 .*after step 5"):
        values(path([0.1, 0.2], steps=(0, 5), total=4), [1.0])
    with pytest.raises(CheckpointError, match="steps"):
        values(path([0.1, 0.2], steps=(1, 1), total=4), [1.0])
    with pytest.raises(NeedsError, match="individual-privacy"):
        values(replace(path([0.1]), private_steps=None), [1.0])
    with pytest.raises(NeedsError, match="individual-privacy"):
        values(replace(path([0.1]), steps=None), [1.0])
    assert IndividualPrivacy().bounds(replace(path([0.1]), private_steps=None)) is None
