"""Score sets: what they refuse, what becomes of locality and range, which side is suspicious."""

import json
import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equigrad.errors import ConfigError, DataError, NonFiniteScoreError
from equigrad.valuation import ScoreSet, combined, ranked, standardised, suspicion
from equigrad.valuation.release import release_scores
from equigrad.valuation.reliability import Reliability


def scores(*values, **options):
    return ScoreSet(
        **{
            "values": np.array(values, dtype=float),
            "scorer": "loss",
            "orientation": "harder",
            "locality": "record",
            "origin": "public",
            **options,
        }
    )


def test_values_cannot_be_changed():
    given = np.array([1.0, 2.0])
    one = scores(values=given)
    given[0] = 9
    assert one.values.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        one.values[0] = 3
    with pytest.raises(FrozenInstanceError):
        one.view = "release_scores"
    with pytest.raises(TypeError):
        one.settings["clip"] = 1


@pytest.mark.parametrize(("at", "count"), [([1], 1), ([1, 3], 2)])
def test_nan_is_never_a_score(at, count):
    values = np.arange(5.0)
    values[at] = math.nan
    with pytest.raises(
        NonFiniteScoreError, match=rf"NaN from loss for {count}, the first record 1"
    ):
        scores(values=values)


def test_scores_have_one_axis():
    with pytest.raises(DataError, match=r"\(n,\), got \(2, 2\)"):
        scores(values=np.ones((2, 2)))


def test_all_but_the_values_is_json():
    one = scores(
        1.0,
        bounds=(0.0, 2.0),
        settings={"clip": 1.0},
        reliability=Reliability(math.nan, "unreliable"),
        warnings=("few models",),
    )
    content = json.loads(json.dumps(one.to_json(), allow_nan=False))
    assert content["bounds"] == [0, 2]
    assert content["reliability"] == {"rho": None, "verdict": "unreliable", "reason": ""}
    assert "values" not in content
    open_ended = scores(1.0, bounds=(0.0, math.inf)).to_json()
    assert json.loads(json.dumps(open_ended, allow_nan=False))["bounds"] == [0, None]


@pytest.mark.parametrize(
    ("orientation", "sign"), [("harder", 1.0), ("easier", -1.0), ("valuable", -1.0)]
)
def test_suspicion_follows_the_orientation(orientation, sign):
    one = scores(1.0, 3.0, orientation=orientation)
    np.testing.assert_array_equal(suspicion(one), sign * one.values)


@pytest.mark.parametrize(
    "which",
    [
        {"orientation": "exposed", "scorer": "plis"},
        {"orientation": "exposed", "scorer": "individual-privacy(q=1)"},
        {"scorer": "vog"},
        {"scorer": "vog(stage=late)"},
        {"scorer": "rank of vog"},
        {"scorer": "0.5 vog(stage=late) + 1 loss"},
    ],
)
def test_suspicion_of_difficulty_and_exposure_needs_a_direction(which):
    one = scores(1.0, 3.0, **which)
    with pytest.raises(ConfigError, match="direction='high' or 'low'"):
        suspicion(one)
    assert suspicion(one, "high").tolist() == [1, 3]
    assert suspicion(one, "low").tolist() == [-1, -3]
    with pytest.raises(ConfigError, match="direction"):
        suspicion(one, "up")


finite = st.floats(-1e6, 1e6)


@given(st.lists(finite, min_size=1, max_size=12))
def test_ranks_are_average_ranks_and_pooled(values):
    got = ranked(scores(*values, bounds=(0.0, 1.0)))
    want = [(sum(w < v for w in values) + (values.count(v) + 1) / 2) / len(values) for v in values]
    np.testing.assert_allclose(got.values, want, rtol=1e-12)
    assert (got.locality, got.bounds, got.reliability) == ("pooled", None, None)
    assert got.scorer == "rank of loss"


def test_never_learned_has_the_highest_rank():
    assert ranked(scores(math.inf, 3.0)).values.tolist() == [1.0, 0.5]


@given(st.lists(finite, min_size=1, max_size=12))
def test_standardising_centres_and_is_pooled(values):
    got = standardised(scores(*values, bounds=(0.0, 1.0)))
    spread = float(np.std(values))
    if spread > 1e-12:
        np.testing.assert_allclose(got.values * spread + np.mean(values), values, atol=1e-6)
    else:
        assert not got.values.any()
    assert (got.locality, got.bounds) == ("pooled", None)


def test_infinite_scores_are_not_standardised_or_added():
    one = scores(math.inf, 1.0)
    with pytest.raises(NonFiniteScoreError, match="Use ranks"):
        standardised(one)
    with pytest.raises(NonFiniteScoreError, match="Use ranks"):
        combined([one], [1.0])


@given(
    weights=st.lists(st.floats(-5, 5), min_size=2, max_size=2),
    shares=st.lists(st.floats(0, 1), min_size=4, max_size=4),
)
def test_public_sums_keep_locality_and_range(weights, shares):
    first = scores(*(2 * s for s in shares[:2]), bounds=(0.0, 2.0))
    other = scores(*(3 * s - 1 for s in shares[2:]), bounds=(-1.0, 2.0), scorer="el1")
    got = combined([first, other], weights, orientation="harder")
    np.testing.assert_allclose(
        got.values, weights[0] * first.values + weights[1] * other.values, atol=1e-12
    )
    low, high = got.bounds
    assert ((got.values >= low - 1e-9) & (got.values <= high + 1e-9)).all()
    ends = [weights[0] * a + weights[1] * b for a in (0, 2) for b in (-1, 2)]
    assert (low, high) == pytest.approx((min(ends), max(ends)))
    assert got.locality == "record"


@pytest.mark.parametrize(
    ("options", "field", "want"),
    [
        ({"locality": "validation"}, "locality", "validation"),
        ({"locality": "pooled"}, "locality", "pooled"),
        ({"origin": "private"}, "origin", "private"),
        ({"origin": "unprotected"}, "tainted", True),
        ({"bounds": None}, "bounds", None),
        ({"seeded": True}, "seeded", True),
        ({"estimate": True}, "estimate", True),
        ({"warnings": ("w",)}, "warnings", ("w",)),
        ({"checkpoints": ("b",)}, "checkpoints", ("a", "b")),
    ],
)
def test_a_sum_is_as_bad_as_its_worst_part(options, field, want):
    first = scores(1.0, bounds=(0.0, 1.0), checkpoints=("a",))
    other = scores(2.0, **{"bounds": (0.0, 1.0), "checkpoints": ("a",), **options})
    for parts in ([first, other], [other, first]):
        got = getattr(combined(parts, [1.0, 1.0]), field)
        assert (set(got) if isinstance(got, tuple) else got) == (
            set(want) if isinstance(want, tuple) else want
        )


@pytest.mark.parametrize(
    ("parts", "weights", "want"),
    [
        (["harder"], [-1.0], "easier"),
        (["easier"], [-2.0], "harder"),
        (["harder", "easier"], [1.0, -0.5], "harder"),
        (["easier", "harder"], [1.0, -0.5], "easier"),
        (["harder", "easier"], [1.0, 0.0], "harder"),
        (["valuable", "valuable"], [1.0, 2.0], "valuable"),
    ],
)
def test_a_sum_says_which_side_is_hard(parts, weights, want):
    sets = [scores(1.0, 3.0, orientation=one) for one in parts]
    assert combined(sets, weights).orientation == want


@pytest.mark.parametrize(
    ("parts", "weights"),
    [
        (["harder", "easier"], [1.0, 1.0]),
        (["harder", "harder"], [1.0, -1.0]),
        (["valuable"], [-1.0]),
        (["exposed", "harder"], [1.0, 1.0]),
    ],
)
def test_a_sum_that_points_nowhere_needs_its_orientation_said(parts, weights):
    sets = [scores(1.0, 3.0, orientation=one) for one in parts]
    with pytest.raises(ConfigError, match="say orientation="):
        combined(sets, weights)
    assert combined(sets, weights, orientation="harder").orientation == "harder"
    with pytest.raises(ConfigError, match="orientation"):
        combined(sets, weights, orientation="hard")


def test_weights_are_numbers_and_a_weight_of_0_leaves_the_range_alone():
    one, open_ended = scores(1.0, bounds=(0.0, 2.0)), scores(1.0, bounds=(0.0, math.inf))
    for weight in (math.nan, math.inf):
        with pytest.raises(ConfigError, match="finite weights"):
            combined([one], [weight])
    assert combined([one, open_ended], [1.0, 0.0]).bounds == (0.0, 2.0)


def test_what_is_made_of_released_scores_does_not_claim_their_noise():
    released = release_scores(scores(1.0, 3.0, bounds=(0.0, 4.0)), mu=1.0, account="none")
    for made in (ranked(released), standardised(released), combined([released] * 2, [1.0, 1.0])):
        assert type(made) is ScoreSet
        assert made.view == "release_scores"


def test_a_sum_is_public_only_if_every_validation_set_is():
    parts = [
        scores(1.0, locality="validation", public_validation=public) for public in (True, False)
    ]
    assert not combined(parts, [1, 1]).public_validation
    assert combined([parts[0], scores(1.0)], [1, 1]).public_validation


@pytest.mark.parametrize(
    ("parts", "weights"),
    [
        ([], []),
        ([scores(1.0)], [1.0, 2.0]),
        ([scores(1.0), scores(1.0, 2.0)], [1.0, 1.0]),
        ([scores(1.0), scores(1.0, view="release_scores")], [1.0, 1.0]),
    ],
)
def test_sums_of_what_does_not_belong_together_are_refused(parts, weights):
    with pytest.raises(ConfigError, match="Expected"):
        combined(parts, weights)
