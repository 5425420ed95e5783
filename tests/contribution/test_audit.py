"""The audits on planted free riders in a synthetic federation, and on honest ones."""

import json

import numpy as np
import pytest

from equigrad.contribution import Noise, correct_gram
from equigrad.contribution.audit import (
    AuditSettings,
    AuditState,
    check,
    membership,
    merge_gram,
    share_values,
)
from equigrad.errors import ConfigError, RecordError
from equigrad.reward import REWARD_RULES, take

D = 5000


class World:
    """Honest parties pull towards a drifting common direction, each with noise of its own."""

    def __init__(self, seed, attackers=(), n_honest=6, params=D, action="exclude"):
        self.rng = np.random.default_rng(seed)
        self.params, self.action = params, action
        self.kinds = ["honest"] * n_honest + list(attackers)
        self.names = tuple(f"{kind}-{i}" for i, kind in enumerate(self.kinds))
        self.rewards = np.zeros((len(self.kinds), params))
        self.common = self.unit()
        self.state = AuditState()
        self.reports = []

    def unit(self):
        vector = self.rng.normal(size=self.params)
        return vector / np.linalg.norm(vector)

    def uploads(self):
        self.common = 0.9 * self.common + 0.5 * self.unit()
        self.common /= np.linalg.norm(self.common)
        shared = self.unit()
        rows = []
        for kind, reward in zip(self.kinds, self.rewards, strict=True):
            length = np.linalg.norm(reward)
            echo = reward / length if length else self.unit()
            rows.append(
                {
                    "honest": lambda: self.common + self.rng.uniform(0.5, 1.5) * self.unit(),
                    "echo": lambda echo=echo: echo,
                    "noisy": lambda echo=echo: echo + self.unit(),
                    "random": self.unit,
                    "clone": lambda: shared,
                    "near-clone": lambda: shared + 0.05 * self.unit(),
                    "zero": lambda: np.zeros(self.params),
                }[kind]()
            )
        return np.stack(rows)

    def audit(self, t, uploads, **options):
        report, self.state = check(
            uploads @ uploads.T,
            self.rewards @ uploads.T,
            np.square(self.rewards).sum(axis=1),
            self.state,
            parties=self.names,
            round_index=t,
            n_params=self.params,
            **options,
        )
        self.reports.append(report)
        return report

    def round(self, t, **options):
        uploads = self.uploads()
        report = self.audit(t, uploads, **options)
        banned = np.isin(self.names, list(report.flagged()))
        if self.action == "flag":
            banned[:] = False
        aggregate = uploads[~banned].mean(axis=0)
        masks = REWARD_RULES["flat"]().masks(
            aggregate, np.where(banned, 0.0, self.rng.uniform(0.2, 1, banned.size)), [self.params]
        )
        for i in np.flatnonzero(~banned):
            self.rewards[i] = take(aggregate, masks, i).dense()
        return report


def cos(x, y):
    return x @ y / np.linalg.norm(x) / np.linalg.norm(y)


def flagged_kinds(report):
    return {name: {f.kind for f in report.flags if f.party == name} for name in report.flagged()}


@pytest.mark.parametrize("seed", range(3))
def test_exact_echo_is_flagged_in_its_first_testable_round(seed):
    world = World(seed, ["echo"])
    assert world.round(0).flags == ()
    assert flagged_kinds(world.round(1)) == {"echo-6": {"echo"}}
    hit = world.reports[1].hits[0]
    assert hit.echo == pytest.approx(1, abs=1e-12)
    assert (hit.since, hit.last_hit) == (1, 1)


@pytest.mark.parametrize("seed", range(3))
def test_clones_are_flagged_in_round_0_as_one_group(seed):
    report = World(seed, ["clone", "clone", "clone"]).round(0)
    assert flagged_kinds(report) == {f"clone-{i}": {"clones"} for i in (6, 7, 8)}
    assert report.groups == (("clone-6", "clone-7", "clone-8"),)
    assert report.clone[6] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("action", ["exclude", "flag"])
@pytest.mark.parametrize(("kind", "flag"), [("random", "random"), ("noisy", "echo")])
def test_random_and_noisy_echo_are_flagged_by_their_fifth_round(kind, flag, action):
    for seed in range(3):
        world = World(seed, [kind], action=action)
        reports = [world.round(t) for t in range(6)]
        # the first rounds of an echo are random: it has no reward to repeat before round 1
        assert [report.flags for report in reports[:4]] == [()] * 4
        assert flagged_kinds(reports[4]) == {f"{kind}-6": {flag}}
        assert reports[4].hits[0].streak == 5


def test_three_attackers_of_every_kind_among_seven():
    for kind in ("echo", "noisy", "random", "clone"):
        world = World(5, [kind] * 3, n_honest=7)
        for t in range(8):
            world.round(t)
        assert world.state.flagged() == {f"{kind}-{i}" for i in (7, 8, 9)}


def test_clones_that_differ_a_little_do_not_vouch_for_one_another():
    world = World(4, ["near-clone"] * 3, n_honest=7)
    reports = [world.round(t) for t in range(6)]
    assert 0.98 < reports[0].clone[7] < 1 - 1e-4
    assert reports[3].flags == ()
    assert flagged_kinds(reports[4]) == {f"near-clone-{i}": {"random"} for i in (7, 8, 9)}


def test_honest_parties_that_are_much_alike_are_not_clones():
    """As with a third of a large table each: cosines of .99 and more in the first rounds."""
    world = World(6, n_honest=4)
    for t in range(8):
        uploads = np.stack([world.common + 0.05 * world.unit() for _ in world.names])
        report = world.audit(t, uploads)
        assert report.clone.min() > 0.99
        assert report.flags == ()


def test_where_nobody_has_news_silence_proves_nothing():
    world = World(7, ["random"] * 6, n_honest=0)
    for t in range(10):
        assert world.round(t).flags == ()
    assert world.reports[-1].not_testable["news"] == world.names


def test_200_honest_rounds_raise_no_flag():
    world = World(1, n_honest=8)
    for t in range(200):
        assert world.round(t).flags == ()


def test_sign_flips_need_no_audit():
    world = World(2)
    for t in range(6):
        uploads = world.uploads()
        uploads[0] *= -1
        assert world.audit(t, uploads).flags == ()


def test_connected_pairs_form_one_group():
    # neighbours at 8 degrees (cosine .990), the ends at 16 (.961): a chain, not a clique
    angles = np.deg2rad([0, 8, 16, 90])
    uploads = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    report, _ = check(
        uploads @ uploads.T,
        None,
        None,
        AuditState(),
        AuditSettings(clones=0.98),
        parties=("a", "b", "c", "d"),
        round_index=0,
        n_params=2,
    )
    assert report.groups == (("a", "b", "c"),)
    assert report.flagged() == {"a", "b", "c"}


def test_statistics_match_vectors():
    world = World(4, ["noisy", "echo", "random"])
    world.round(0)
    world.round(1)
    uploads, rewards = world.uploads(), world.rewards.copy()
    already = world.state.flagged()
    report = world.audit(2, uploads)
    trusted = [i for i, name in enumerate(world.names) if name not in already | report.flagged()]
    for i, name in enumerate(world.names):
        others = uploads[[j for j in trusted if j != i]].sum(axis=0)
        axis = rewards[i] / np.linalg.norm(rewards[i])
        own, rest = uploads[i], others
        assert report.echo[i] == pytest.approx(cos(own, axis), abs=1e-10)
        assert report.alignment[i] == pytest.approx(cos(own, rest), abs=1e-10)
        left = own - (own @ axis) * axis
        if np.linalg.norm(left) < 1e-3 * np.linalg.norm(own):
            assert report.news[i] == 0, name
        else:
            rest = rest - (rest @ axis) * axis
            assert report.news[i] == pytest.approx(cos(left, rest), abs=1e-9)


def test_a_flag_lasts_until_ten_rounds_pass_without_a_hit():
    world = World(0, ["clone", "clone"])
    world.round(0)
    world.kinds = ["honest"] * 8
    up = [bool(world.round(t).flagged()) for t in range(1, 13)]
    assert up == [True] * 9 + [False] * 3  # hit in 0; rounds 1..10 without one


def test_a_new_hit_renews_a_flag_and_keeps_its_beginning():
    world = World(0, ["clone", "clone"])
    for t in range(3):
        world.round(t)
    assert {(flag.since, flag.last_hit) for flag in world.state.flags} == {(0, 2)}


def test_the_flag_of_an_absent_party_stays_up():
    world = World(0, ["clone", "clone"])
    world.round(0)
    world.names, world.kinds, world.rewards = world.names[:6], world.kinds[:6], world.rewards[:6]
    assert world.round(1).flagged() == {"clone-6", "clone-7"}


def test_flagged_parties_are_left_out_of_the_others():
    world = World(3, ["clone", "clone"])
    uploads = world.uploads()
    report = world.audit(0, uploads)
    honest = uploads[:6]
    m = honest.sum(axis=0) - honest[0]
    assert report.alignment[0] == pytest.approx(cos(honest[0], m), abs=1e-12)


def test_zero_uploads_neither_count_nor_break_a_streak():
    world = World(0, ["random"])
    for t in range(8):
        world.kinds[-1] = "zero" if t % 2 else "random"
        report = world.round(t)
        assert report.flags == ()
        assert report.streak[-1] == t // 2 + 1
    world.kinds[-1] = "random"
    assert flagged_kinds(world.round(8)) == {"random-6": {"random"}}


def test_a_party_alone_is_not_flagged():
    world = World(0, n_honest=1)
    for t in range(8):
        report = world.round(t)
        assert report.flags == ()
    assert report.not_testable["news"] == world.names
    assert report.clone.tolist() == [-1.0]


def test_third_audit_is_off_below_a_thousand_parameters():
    world = World(0, ["random"], params=999)
    for t in range(7):
        report = world.round(t)
    assert report.flags == ()
    assert report.not_testable == {"echo": (), "clones": (), "news": world.names}


def test_nobody_present():
    state = AuditState(streaks={"a": 3})
    report, after = check(
        np.zeros((0, 0)), None, None, state, parties=(), round_index=3, n_params=D
    )
    assert report.parties == ()
    assert dict(after.streaks) == {"a": 3}


def test_permuting_parties_permutes_the_report():
    world = World(7, ["echo", "noisy", "clone", "clone"])
    for t in range(4):
        world.round(t)
    uploads = world.uploads()
    order = np.random.default_rng(0).permutation(len(world.names))
    V = np.square(world.rewards).sum(axis=1)
    C, H = uploads @ uploads.T, world.rewards @ uploads.T
    options = {"round_index": 4, "n_params": D}
    one, one_state = check(C, H, V, world.state, parties=world.names, **options)
    other, other_state = check(
        C[np.ix_(order, order)],
        H[np.ix_(order, order)],
        V[order],
        world.state,
        parties=[world.names[i] for i in order],
        **options,
    )
    assert {(f.party, f.kind) for f in one.flags} == {(f.party, f.kind) for f in other.flags}
    np.testing.assert_allclose(other.news, one.news[order], atol=1e-12)
    assert dict(one_state.streaks) == dict(other_state.streaks)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_uploads_and_rewards_does_not_matter(scale):
    world = World(7, ["echo", "noisy", "random"])
    for t in range(4):
        world.round(t)
    uploads, state = world.uploads(), world.state
    plain = world.audit(4, uploads)
    world.state, world.rewards = state, world.rewards / scale
    scaled = world.audit(4, scale * uploads)
    assert [(f.party, f.kind) for f in scaled.hits] == [(f.party, f.kind) for f in plain.hits]
    for name in ("echo", "clone", "alignment", "news"):
        np.testing.assert_allclose(getattr(scaled, name), getattr(plain, name), atol=1e-9)


def noisy_check(uploads, s2, reward=None, **options):
    n = len(uploads)
    rewards = np.zeros_like(uploads) if reward is None else np.tile(reward, (n, 1))
    return check(
        uploads @ uploads.T,
        rewards @ uploads.T,
        np.square(rewards).sum(axis=1),
        AuditState(),
        parties=[f"p{i}" for i in range(n)],
        round_index=1,
        n_params=D,
        noise=Noise(np.broadcast_to(s2, n), D),
        **options,
    )[0]


def private_uploads(rng, n, params, strength, likeness):
    """Return uploads of ``n`` honest parties, noise of ``strength`` times their length included.

    Their clean updates have cosines of about ``likeness``.
    """
    common = rng.normal(size=params)
    own = rng.normal(size=(n, params))
    clean = np.sqrt(likeness) * common + np.sqrt(1 - likeness) * own
    clean /= np.linalg.norm(clean, axis=1, keepdims=True)
    deviation = strength / np.sqrt(params)
    return clean + deviation * rng.normal(size=(n, params)), deviation**2


@pytest.mark.parametrize("likeness", [0.9, 0.999, 1.0])
@pytest.mark.parametrize("strength", [0.01, 0.1, 0.5, 3.0])
def test_independent_noise_makes_nobody_a_copy(strength, likeness):
    """300 rounds each; corrected for noise, many of these pairs have a cosine above 1."""
    rng = np.random.default_rng(0)
    above = 0
    for _ in range(300):
        params = int(rng.integers(20, 200))
        uploads, s2 = private_uploads(rng, 4, params, strength, likeness)
        reward = np.tile(
            private_uploads(rng, 4, params, strength, likeness)[0].mean(axis=0), (4, 1)
        )
        C, noise = uploads @ uploads.T, Noise(np.full(4, s2), params)
        report, _ = check(
            C,
            reward @ uploads.T,
            np.square(reward).sum(axis=1),
            AuditState(),
            parties="abcd",
            round_index=1,
            n_params=params,
            noise=noise,
        )
        assert report.flags == ()
        assert report.groups == ()
        for cosines in (report.echo, report.clone, report.alignment, report.news):
            assert np.abs(cosines).max() <= 1 + 1e-12
        clean = correct_gram(C, noise)
        above += clean[0, 1] > np.sqrt(max(clean[0, 0] * clean[1, 1], 0.0))
    assert above > 30 or likeness < 1  # the trap was there


@pytest.mark.parametrize("strength", [0.0, 0.01, 0.5, 10.0])
def test_copies_that_hold_anothers_noise_are_found_under_any_noise(strength):
    """With the copied party's noise declared or none, and scaled besides."""
    rng = np.random.default_rng(1)
    for declared in (1.0, 0.0):
        uploads, s2 = private_uploads(rng, 5, 60, strength, 0.5)
        uploads[3] = 0.7 * uploads[1]
        reward = np.zeros_like(uploads)
        reward[4] = uploads[4] * 1.3
        report, _ = check(
            uploads @ uploads.T,
            reward @ uploads.T,
            np.square(reward).sum(axis=1),
            AuditState(),
            parties="abcde",
            round_index=1,
            n_params=60,
            noise=Noise(s2 * np.array([1, 1, 1, 0.49 * declared, declared]), 60),
        )
        assert flagged_kinds(report) == {"b": {"clones"}, "d": {"clones"}, "e": {"echo"}}


def test_look_alikes_are_not_made_by_noise():
    """The threshold of merging: at a true cosine of 0.9 an estimate passes 0.98 now and then."""
    rng = np.random.default_rng(2)
    estimated = 0
    for _ in range(300):
        uploads, s2 = private_uploads(rng, 2, 100, 0.5, 0.9)
        C, noise = uploads @ uploads.T, Noise(np.full(2, s2), 100)
        settings = AuditSettings(clones=0.98)
        report, _ = check(
            C,
            None,
            None,
            AuditState(),
            settings,
            parties="ab",
            round_index=0,
            n_params=100,
            noise=noise,
        )
        assert report.groups == ()
        clean = correct_gram(C, noise)
        estimated += clean[0, 1] >= 0.98 * np.sqrt(max(clean[0, 0] * clean[1, 1], 0.0))
    assert estimated > 10


def test_a_copy_with_noise_of_its_own_is_not_seen_and_not_called_clean():
    rng = np.random.default_rng(0)
    vector = rng.normal(size=D) / np.sqrt(D)
    s2 = 1e-4  # D s2 = 0.5 of the squared norm of 1
    noised = vector + np.sqrt(s2) * rng.normal(size=(2, D))
    report = noisy_check(np.stack([vector, *noised]), np.array([0.0, s2, s2]), vector)
    assert flagged_kinds(report) == {"p0": {"echo"}}
    assert report.not_testable["echo"] == ("p1", "p2")
    assert report.not_testable["clones"] == ("p0", "p1", "p2")
    assert report.not_testable["news"] == ("p0", "p1", "p2")
    # cosine of a copy that carries a third of its square as noise, for thresholds around it
    for threshold, hidden in ((0.8, ()), (0.83, ("p1", "p2"))):
        settings = AuditSettings(echo=threshold)
        report = noisy_check(
            np.stack([vector, *noised]), np.array([0.0, s2, s2]), vector, settings=settings
        )
        assert report.not_testable["echo"] == hidden


def test_noise_too_weak_to_hide_a_copy_leaves_everything_testable():
    uploads = np.random.default_rng(0).normal(size=(3, D))
    report = noisy_check(uploads, 1e-8)  # a hundred-millionth of each square
    assert report.not_testable == {"echo": (), "clones": (), "news": ("p0", "p1", "p2")}


def test_declared_noise_of_zero_changes_nothing():
    rng = np.random.default_rng(0)
    uploads = rng.normal(size=(4, D))
    quiet = noisy_check(uploads, 0.0).to_json()
    plain, _ = check(
        uploads @ uploads.T,
        None,
        None,
        AuditState(),
        parties=[f"p{i}" for i in range(4)],
        round_index=1,
        n_params=D,
    )
    assert quiet == plain.to_json()


def test_an_upload_of_less_than_its_noise_is_not_testable():
    C = np.diag([0.0, 1.0, 4.0])
    report, _ = check(
        C,
        None,
        None,
        AuditState(),
        parties=("a", "b", "c"),
        round_index=1,
        n_params=D,
        noise=Noise(np.array([1e-5, 2.0 / D, 0.0]), D),
    )
    assert report.not_testable["echo"] == ("a", "b")
    assert report.not_testable["clones"] == ("a", "b", "c")
    assert report.echo.tolist() == [0.0, 0.0, 0.0]
    assert report.clone.tolist() == [0.0, 0.0, 0.0]


def test_state_comes_back_from_json_to_the_last_bit():
    world = World(9, ["echo", "noisy", "clone", "clone", "random"])
    for t in range(5):
        world.round(t)
    assert world.state.flags
    back = AuditState.from_json(json.loads(json.dumps(world.state.to_json())))
    assert back == world.state
    uploads = world.uploads()
    one = world.audit(5, uploads).to_json()
    world.state = back
    assert world.audit(5, uploads).to_json() == one
    json.dumps(one, allow_nan=False)


@pytest.mark.parametrize(
    "data", [{}, {"streaks": 3, "flags": []}, {"streaks": {}, "flags": [{"party": "a"}]}]
)
def test_a_malformed_state_is_refused(data):
    with pytest.raises(RecordError, match="Expected the state of the audits"):
        AuditState.from_json(data)


@pytest.mark.parametrize(
    ("H", "V", "message"),
    [
        (np.zeros((2, 3)), np.zeros(2), "Expected C and H of shape"),
        (np.zeros((2, 2)), np.zeros(3), "Expected C and H of shape"),
        (np.full((2, 2), np.nan), np.ones(2), "Expected H finite"),
        (np.zeros((2, 2)), np.array([-1.0, 0.0]), "V finite and >= 0"),
    ],
)
def test_bad_arrays_are_refused(H, V, message):
    with pytest.raises(ValueError, match=message):
        check(np.eye(2), H, V, AuditState(), parties="ab", round_index=0, n_params=D)


@pytest.mark.parametrize(
    "setting",
    [
        {"echo": 0.0},
        {"echo": float("nan")},
        {"clones": 1.5},
        {"echo_hint": -1},
        {"width": 0},
        {"streak": 0},
        {"clear_after": 0},
        {"least_params": 0},
    ],
)
def test_impossible_settings_are_refused(setting):
    with pytest.raises(ConfigError, match="Expected"):
        AuditSettings(**setting)


def test_merging_averages_uploads_and_shares_the_value():
    uploads = np.random.default_rng(0).normal(size=(5, 40))
    members = membership("abcde", [("b", "d"), ("e", "c")])
    merged = np.stack([uploads[0], uploads[[1, 3]].mean(0), uploads[[2, 4]].mean(0)])
    np.testing.assert_allclose(members @ uploads, merged, atol=1e-15)
    C = merge_gram(uploads @ uploads.T, members)
    np.testing.assert_allclose(C, merged @ merged.T, atol=1e-12)
    np.testing.assert_array_equal(C, C.T)
    shared = share_values(np.array([0.2, 0.5, 0.3]), members)
    np.testing.assert_allclose(shared, [0.2, 0.25, 0.15, 0.25, 0.15])
    np.testing.assert_array_equal(membership("abc", []), np.eye(3))


@pytest.mark.parametrize("groups", [[("a", "b"), ("b", "c")], [("a", "x")]])
def test_groups_that_overlap_or_are_unknown_are_refused(groups):
    with pytest.raises(ConfigError, match="Expected disjoint groups"):
        membership("abc", groups)
