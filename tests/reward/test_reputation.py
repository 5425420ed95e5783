"""Reputation: both mixings, absence, exclusion, joining and leaving, exact JSON."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.errors import ConfigError, RecordError
from equigrad.reward import (
    MIXINGS,
    PaperMixing,
    RobustMixing,
    Standing,
    paper_ratio,
    robust_ratio,
    standing_ratio,
)

ABC = ("a", "b", "c")


def names(n):
    return tuple(f"p{i}" for i in range(n))


def random_run(mixing, rounds=12, seed=0):
    rng = np.random.default_rng(seed)
    state = mixing.start(names(5))
    for _ in range(rounds):
        present = [p for p in names(5) if rng.random() < 0.8]
        value = rng.normal(0.3, 0.4, len(present))
        state = mixing.update(state, value, rng.normal(0.3, 0.3), present)
    return state


def test_robust_worked_example():
    mixing = RobustMixing(0.95)
    state = mixing.start(ABC)
    rounds = [
        ((0.5, 0.3, 0.2), 0.6, ABC),
        ((0.4, 0.7, -0.1), 0.3, ABC),
        ((0.9, 0.1, 0.0), -0.2, ABC),
        ((0.6, 0.4), 0.4, ABC[:2]),
    ]
    r = [
        (0.5, 0.3, 0.2),
        (0.452978056, 0.415987461, 0.131034483),
        (0.452978056, 0.415987461, 0.131034483),
        (0.466476500, 0.393233229, 0.140290271),
    ]
    q = [
        (1, 0.664252068, 0.458652433),
        (1, 0.936940685, 0.328261252),
        (1, 0.936940685, 0.328261252),
        (1, 0.876860772, 0.343243607),
    ]
    for t, (value, kappa, present) in enumerate(rounds):
        state = mixing.update(state, value, kappa, present)
        np.testing.assert_allclose(state.share, r[t], rtol=0, atol=1e-9)
        got = robust_ratio(state.share, np.ones(3, bool), beta=0.5, sharpness=1.0)
        np.testing.assert_allclose(got, q[t], rtol=0, atol=1e-9)
        if t:
            assert standing_ratio(state)[2] == pytest.approx(0.393103448, abs=1e-9)


@pytest.mark.parametrize("n", [2, 5, 50])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.95])
def test_weight_of_the_newest_round_does_not_depend_on_the_parties(n, alpha):
    rng = np.random.default_rng(n)
    mixing = RobustMixing(alpha)
    state = mixing.start(names(n))
    for k in range(1, 8):
        value = rng.uniform(0.1, 1, n)
        before = standing_ratio(state)
        state = mixing.update(state, value, 0.3, names(n))
        weight = (1 - alpha) / (1 - alpha**k)
        relative = n * value / value.sum()
        expected = before + weight * (relative - before)
        np.testing.assert_allclose(standing_ratio(state), expected, rtol=1e-12)


def test_attended_rounds_count_for_the_weight_not_the_rounds_of_the_run():
    mixing = RobustMixing(0.95)
    state = mixing.start(ABC)
    for t in range(9):
        state = mixing.update(state, [0.5, 0.3, 0.2][: 2 + t % 2], 0.3, ABC[: 2 + t % 2])
    before = standing_ratio(state)[2]
    after = standing_ratio(mixing.update(state, [0.1, 0.1, 0.8], 0.3, ABC))[2]
    assert after - before == pytest.approx(0.05 / (1 - 0.95**5) * (2.4 - before), rel=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000))
def test_absent_and_excluded_parties_keep_every_bit(seed):
    mixing = RobustMixing()
    state = random_run(mixing, seed=seed)
    after = mixing.update(state, [0.4, -0.2, 0.3], 0.5, ["p3", "p0", "p1"], excluded=["p4"])
    for array in ("earned", "attended"):
        old, new = getattr(state, array), getattr(after, array)
        assert old[[2, 4]].tobytes() == new[[2, 4]].tobytes()
        assert (old[[0, 1, 3]] != new[[0, 1, 3]]).any()
    assert standing_ratio(state)[[2, 4]].tobytes() == standing_ratio(after)[[2, 4]].tobytes()


@pytest.mark.parametrize(
    ("value", "kappa", "frozen"),
    [
        ([0.5, 0.3, 0.2], -0.1, False),
        ([0.5, 0.3, 0.2], 0.0, False),
        ([0.0, 0.0, 0.0], 0.5, False),
        ([-0.5, -0.3, 0.0], 0.5, False),
        ([0.5, 0.3, 0.2], 0.5, True),
    ],
)
def test_rounds_without_consensus_or_value_or_trust_change_nothing(value, kappa, frozen):
    mixing = RobustMixing()
    state = mixing.update(mixing.start(ABC), [0.2, 0.5, 0.3], 0.4, ABC)
    assert mixing.update(state, value, kappa, ABC, frozen=frozen) == state


@pytest.mark.parametrize("mixing", [PaperMixing(), RobustMixing()])
def test_a_round_without_parties_changes_nothing(mixing):
    state = random_run(mixing)
    assert mixing.update(state, [], 0.3, [], excluded=["p1"]) == state


def test_nobody_has_evidence_then_shares_are_uniform_on_the_present():
    mixing = RobustMixing()
    state = mixing.update(mixing.start(ABC), [0.5, 0.5], -0.2, ["a", "c"])
    np.testing.assert_array_equal(state.share, [0.5, 0, 0.5])
    np.testing.assert_array_equal(state.attended, 0)


def test_free_riders_get_nothing_when_all_who_earned_are_excluded():
    mixing = RobustMixing()
    state = mixing.update(mixing.start(ABC), [1.0, -0.5, 0.0], 0.4, ABC)
    np.testing.assert_array_equal(state.share, [1, 0, 0])
    state = mixing.update(state, [-0.1, -0.1], 0.4, ["b", "c"], excluded=["a"])
    np.testing.assert_array_equal(state.share, 0)


@pytest.mark.parametrize("mixing", [PaperMixing(), RobustMixing()])
def test_an_excluded_party_counts_as_zero_and_comes_back_with_what_it_had(mixing):
    state = random_run(mixing)
    rest = [p for p in names(5) if p != "p2"]
    out = mixing.update(state, [0.2] * 4, 0.3, rest, excluded=["p2"])
    assert out.shares(["p2"])[0] == 0
    assert out.share.sum() == pytest.approx(1, abs=1e-12)
    back = mixing.update(out, [0.2] * 4, 0.3, rest)
    assert back.shares(["p2"])[0] > 0


@pytest.mark.parametrize("n", [2, 5, 50])
def test_robust_ratio_of_fixed_relative_values_does_not_depend_on_the_parties(n):
    # a half of the parties twice as good as the other, whatever their number
    shares = np.tile([2.0, 1.0], n)
    shares /= shares.sum()
    q = robust_ratio(shares, np.ones(2 * n, bool))
    expected = robust_ratio(np.array([2, 1]) / 3, np.ones(2, bool))
    np.testing.assert_allclose(q[:2], expected, rtol=1e-12)


def test_paper_ratio_depends_on_the_number_of_parties():
    few, many = (np.tile([2.0, 1.0], n) / (3 * n) for n in (1, 25))
    assert abs(paper_ratio(few)[1] - paper_ratio(many)[1]) > 0.03


def test_a_single_party_has_everything():
    for mixing, ratio in [
        (PaperMixing(), paper_ratio),
        (RobustMixing(), lambda r: robust_ratio(r, [True])),
    ]:
        state = mixing.update(mixing.start(["a"]), [1.0], 1.0, ["a"])
        np.testing.assert_array_equal(state.share, [1.0])
        np.testing.assert_array_equal(ratio(state.share), [1.0])


def test_two_opposite_uploads_leave_paper_shares_uniform():
    for floor in (1e-3, 0.0):
        mixing = PaperMixing(floor=floor)
        state = mixing.update(mixing.start(ABC[:2]), [0.0, 0.0], -1.0, ABC[:2])
        np.testing.assert_array_equal(state.share, [0.5, 0.5])


def test_paper_update_by_hand():
    mixing = PaperMixing(0.9, floor=0.01)
    state = mixing.start(ABC, [0.5, 0.4, 0.1])
    state = mixing.update(state, [0.8, -3.0], 1.0, ["a", "c"])
    mixed = np.array([0.53, 0.4, 0.01])  # b is absent and enters unchanged; c meets the floor
    np.testing.assert_allclose(state.share, mixed / mixed.sum(), rtol=1e-14)


def test_late_joiner_counts_fully_in_its_first_round():
    mixing = RobustMixing()
    state = mixing.start(ABC[:2])
    for _ in range(5):
        state = mixing.update(state, [0.5, 0.5], 0.3, ABC[:2])
    state = mixing.join(state, "c")
    assert state.n_members == 3
    np.testing.assert_array_equal(state.share, [0.5, 0.5, 0])
    state = mixing.update(state, [0.2, 0.2, 0.6], 0.3, ABC)
    assert standing_ratio(state)[2] == pytest.approx(1.8, rel=1e-12)


def test_a_leaver_is_dropped_and_keeps_what_it_earned_for_its_return():
    mixing = RobustMixing()
    state = mixing.update(mixing.start(ABC), [0.5, 0.3, 0.2], 0.6, ABC)
    left = mixing.leave(state, "a")
    np.testing.assert_allclose(left.share, [0, 0.6, 0.4], rtol=1e-14)
    assert left.n_members == 2
    with pytest.raises(ConfigError, match="Expected distinct members"):
        mixing.update(left, [0.5], 0.3, ["a"])
    left = mixing.update(left, [0.5, 0.5], 0.3, ["b", "c"])
    back = mixing.join(left, "a")
    assert (back.earned[0], back.attended[0]) == (state.earned[0], state.attended[0])
    after = mixing.update(back, [0.5, 0.5], 0.3, ["b", "c"])
    assert after.share[0] == pytest.approx(1.5 / standing_ratio(after).sum(), rel=1e-12)


def test_a_leaver_under_the_paper_mixing():
    mixing = PaperMixing()
    state = mixing.leave(mixing.start(ABC, [0.5, 0.3, 0.2]), "a")
    np.testing.assert_allclose(state.share, [0, 0.6, 0.4], rtol=1e-14)
    state = mixing.update(state, [0.5, 0.5], 0.3, ["b", "c"])
    mixed = 0.95 * np.array([0.6, 0.4]) + 0.05 * 0.5
    np.testing.assert_allclose(state.share, [0, *(mixed / mixed.sum())], rtol=1e-14)


def test_leaving_before_anything_was_earned():
    mixing = PaperMixing()
    state = mixing.leave(mixing.start(ABC), "b")
    np.testing.assert_array_equal(state.earned, 0)
    assert state.n_members == 2


@pytest.mark.parametrize("name", sorted(MIXINGS))
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_shares_are_a_distribution(name, seed):
    state = random_run(MIXINGS[name](), seed=seed)
    assert (state.share >= 0).all()
    assert state.share.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", sorted(MIXINGS))
def test_a_resumed_run_goes_on_to_the_same_bits(name):
    mixing = MIXINGS[name]()
    state = mixing.leave(mixing.join(random_run(mixing), "late"), "p1")
    back = Standing.from_json(json.loads(json.dumps(state.to_json())))
    assert back == state
    assert hash(back) == hash(state)
    assert back.earned.tobytes() == state.earned.tobytes()
    present = ["p0", "late", "p4"]
    one, two = (mixing.update(s, [0.1, 0.7, 0.3], 0.2, present) for s in (state, back))
    assert one == two
    assert one != state


def test_update_leaves_the_given_state_alone():
    for mixing in (PaperMixing(), RobustMixing()):
        state = random_run(mixing)
        before = json.dumps(state.to_json())
        mixing.update(state, [0.5, 0.2], 0.4, ["p0", "p1"], excluded=["p2"])
        mixing.join(state, "late")
        mixing.leave(state, "p0")
        assert json.dumps(state.to_json()) == before


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"names": 3, "active": [], "earned": [], "attended": [], "share": []},
        {"names": ["a"], "active": [True], "earned": [1.0], "attended": [1.0], "share": []},
        {"names": ["a"], "active": [True], "earned": ["x"], "attended": [1.0], "share": [1.0]},
    ],
)
def test_a_malformed_standing_is_refused(data):
    with pytest.raises(RecordError, match="standing"):
        Standing.from_json(data)


@pytest.mark.parametrize("alpha", [-0.1, 1.0, float("nan")])
@pytest.mark.parametrize("name", sorted(MIXINGS))
def test_alpha_outside_its_range_is_refused(name, alpha):
    with pytest.raises(ConfigError, match=r"Expected alpha in \[0, 1\)"):
        MIXINGS[name](alpha)


@pytest.mark.parametrize("floor", [-1e-3, np.inf, np.nan])
def test_floor_outside_its_range_is_refused(floor):
    with pytest.raises(ConfigError, match="Expected floor"):
        PaperMixing(floor=floor)


@pytest.mark.parametrize(
    ("value", "kappa", "present", "excluded", "message"),
    [
        ([0.1], 0.3, ["a", "b"], (), "Expected 2 finite values"),
        ([np.nan, 0.1], 0.3, ["a", "b"], (), "finite values"),
        ([0.1, 0.2], np.nan, ["a", "b"], (), "kappa"),
        ([0.1], 0.3, ["x"], (), "distinct members"),
        ([0.1, 0.2], 0.3, ["a", "a"], (), "distinct members"),
        ([0.1], 0.3, ["a"], ["a"], "either valued or excluded"),
    ],
)
def test_bad_rounds_are_refused(value, kappa, present, excluded, message):
    for mixing in (PaperMixing(), RobustMixing()):
        with pytest.raises(ConfigError, match=message):
            mixing.update(mixing.start(ABC), value, kappa, present, excluded)


def test_party_names_are_distinct():
    with pytest.raises(ConfigError, match="distinct party names"):
        Standing.fresh(["a", "a"])
