"""Whole runs of the fair rewards against a slow second opinion, every recorded number of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from side_by_side import NAMES, ROBUST, D, Float32, Plan, Scene, SideBySide, Upload, scaled

LENGTHS = dict(zip(NAMES, (0.42, 0.35, 0.5, 0.3, 0.45, 0.38, 0.4, 0.42, 0.36, 0.4), strict=True))


def honest(scene: Scene) -> Float32:
    """Return an upload of a norm and a quality of the party's own."""
    length = LENGTHS[scene.party] * scene.gamma
    return scene.towards(length, 0.6 + 0.2 * NAMES.index(scene.party))


def repelled(scene: Scene) -> Float32:
    """Return an upload of a round in which nobody agrees: each turns away from their sum."""
    draws = [np.random.default_rng([scene.t, i, 7]).standard_normal(D) for i in range(len(NAMES))]
    return scaled(draws[NAMES.index(scene.party)] - 0.15 * sum(draws), 0.4 * scene.gamma)


def eventful(scene: Scene) -> Float32 | None:
    """Return the uploads of a run in which all happens that may happen without noise."""
    t, p, length = scene.t, scene.party, LENGTHS[scene.party] * scene.gamma
    if (p, t) in {("p1", 2), ("p1", 7), ("p0", 3)}:
        return None
    if p == "p7":
        return scene.random(length)
    if t == 9:
        return repelled(scene)
    upload = honest(scene)
    if (p, t) == ("p2", 4):
        upload = upload * np.float32(1.9)  # above two medians, not above gamma
    elif (p, t) == ("p2", 6):
        upload = scaled(upload, 1.7 * scene.gamma)  # above both
    elif (p, t) == ("p2", 8):
        upload = scaled(upload, 1.00005 * scene.gamma)  # within the slack on gamma
    elif (p, t) in {("p3", 6), ("p9", 3)}:  # the second one only pauses its streak
        upload = np.zeros(D, np.float32)
    elif p == "p6" and t in (1, 2, 3):
        upload = scaled(scene.reward, length)
    elif p == "p9" and t:
        unit = scaled(scene.reward, 1.0) if scene.reward.any() else 0
        upload = scaled(unit + scene.random(1.0), length)
    return upload


def members_at(t: int) -> list[str]:
    """p8 joins in round 3; p5 leaves before round 6 and is back in round 9."""
    return [p for p in NAMES if (p != "p8" or t >= 3) and (p != "p5" or not 6 <= t < 9)]


@pytest.mark.parametrize("action", ["exclude", "flag"])
@pytest.mark.parametrize("warmup", [0, 1])
def test_an_eventful_run_is_judged_alike(action: Any, warmup: int) -> None:
    both = SideBySide(replace(ROBUST, audit_action=action, warmup=warmup), eventful, rounds=12)
    for t in range(12):
        both.play(t, members_at(t))
    seen = both.verdicts
    flags = [set(verdict.flags) for verdict in seen]
    assert [("p6", "echo") in up for up in flags[:7]] == [False, *[True] * 5, False]  # cleared
    assert [("p7", "random") in up for up in flags[3:6]] == [False, True, True]
    assert [("p9", "echo") in up for up in flags[5:7]] == [False, True]
    assert not flags[11]
    assert bool(seen[4].excluded) == (action == "exclude")
    assert 1 > seen[4].caps["p2"] > 0.5 > seen[6].caps["p2"]
    assert seen[9].kappa < 0 < seen[10].kappa < 0.5
    assert seen[9].earned["p0"] == seen[8].earned["p0"] != seen[10].earned["p0"]
    assert seen[2].reputation["p0"] == max(seen[2].reputation.values())  # and absent in round 3
    assert max(seen[3].ratios.values()) == 1
    assert seen[6].values["p3"] == seen[6].ratios["p3"] == 0
    if not warmup:
        assert set(seen[0].ratios.values()) != {1.0}


@pytest.mark.parametrize("aggregation", [0, 4])
def test_reputations_weigh_the_aggregate_from_the_end_of_the_warm_up(aggregation: int) -> None:
    both = SideBySide(replace(ROBUST, warmup=aggregation), honest, rounds=6)
    for t in range(6):
        both.play(t, NAMES[:5])
    spread = [
        len({round(a, 12) for a in verdict.weights.values()}) > 1 for verdict in both.verdicts
    ]
    assert spread == [t >= max(aggregation, 1) for t in range(6)]


def cloned(scene: Scene) -> Float32:
    """Return uploads of a run with two copies, one near-copy and copies of another's echo."""
    t, p, length = scene.t, scene.party, LENGTHS[scene.party] * scene.gamma
    first = honest(replace(scene, party="p3"))
    if t == 4 and p in ("p1", "p4") and "p4" in scene.rewards:
        return scaled(scene.rewards["p4"], length)  # p4 echoes, p1 sends the same
    if p in ("p3", "p4"):
        return first * np.float32(1.3 if p == "p4" else 1)
    if p == "p5":
        return scaled(scaled(first, 1.0) + scaled(scene.random(1.0), 0.14), length)
    return honest(scene)


@pytest.mark.parametrize("clones", ["flag", "merge"])
@pytest.mark.parametrize("action", ["exclude", "flag"])
def test_clones_are_judged_alike(clones: Any, action: Any) -> None:
    settings = replace(ROBUST, clone_action=clones, audit_action=action, warmup=2)
    both = SideBySide(settings, cloned, rounds=9)
    for t in range(9):
        both.play(t, NAMES[:7])
    seen = both.verdicts
    groups = [["p3", "p4", "p5"]] if clones == "merge" else [["p3", "p4"]]
    assert seen[0].audit.groups == groups
    if (clones, action) == ("flag", "exclude"):
        assert seen[4].excluded == ["p3", "p4"]
        return
    assert ["p1", "p4"] in seen[4].audit.groups
    assert ("p4", "echo") in seen[4].flags
    assert seen[4].excluded == (["p4"] if action == "exclude" else [])
    if clones == "merge":
        assert seen[1].values["p3"] == seen[1].values["p4"] > 0
        assert seen[1].weights["p3"] == pytest.approx(1 / 15)


def private(kind: str) -> Plan:
    """Return the plan of a run in which most parties declare noise, too much of it in round 3."""

    def plan(scene: Scene) -> Upload | Float32:
        t, p, upload = scene.t, scene.party, honest(scene)
        if p == "p5":
            broken = 1.5 * scene.gamma if t == 5 else 0.3 * scene.gamma
            return scaled(upload, broken)  # declares nothing; breaks its bound in round 5
        if p == "p2" and t in (1, 6):
            upload = upload * np.float32(2.5)
        if p == "p6" and t:
            upload = scaled(scene.reward, 0.4 * scene.gamma) if scene.reward.any() else upload
        share = {0: 1.0, 2: 4.0, 3: 15.0, 7: 3.0}.get(t, 2.0)
        if p == "p6":
            share = 4.0 if t in (3, 4, 5) else 0.02
        variance = (share * LENGTHS[p] * scene.gamma) ** 2 / D
        draws = np.random.default_rng([t, NAMES.index(p), 8])
        if kind == "laplace":
            noise = draws.laplace(scale=np.sqrt(variance / 2), size=D)
        else:
            noise = draws.normal(scale=np.sqrt(variance), size=D)
        if p == "p4" and t in (4, 5):
            upload, variance = upload * np.float32(9), 40 * variance  # says it is noise, all of it
        return (upload + noise).astype(np.float32), {"kind": kind, "variance": variance}

    return plan


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
@pytest.mark.parametrize("pay_for", ["signal", "delivered"])
def test_uploads_with_declared_noise_are_judged_alike(kind: str, pay_for: Any) -> None:
    both = SideBySide(replace(ROBUST, warmup=0, pay_for=pay_for), private(kind), rounds=8)
    for t in range(8):
        both.play(t, NAMES[:7])
    seen = both.verdicts
    levels = {verdict.trust[1] for verdict in seen if verdict.trust}
    assert levels == {"ok", "weak", "not trustworthy"}
    assert seen[3].trust is not None
    assert seen[3].trust[1] == "not trustworthy"
    assert seen[3].earned == seen[2].earned
    assert seen[1].caps["p2"] < 1
    assert seen[4].caps["p4"] < 1
    assert seen[5].caps["p5"] < 1
    assert seen[1].audit.untested["news"] == list(NAMES[:7])
    hidden = [v.audit.table["p6"]["echo"] for v in seen if "p6" in v.audit.untested["echo"]]
    assert 0.999 < max(hidden) < 1 - 1e-6  # an echo but for the noise: neither flagged nor cleared
    assert not any(v.flags for v in seen)


def noised(scene: Scene, strength: float) -> Upload:
    """Return an honest upload with noise of ``strength`` times its length, declared."""
    variance = (strength * LENGTHS[scene.party] * scene.gamma) ** 2 / D
    draws = np.random.default_rng([scene.t, NAMES.index(scene.party), 9])
    upload = honest(scene) + np.sqrt(variance) * draws.standard_normal(D)
    return upload.astype(np.float32), {"kind": "gaussian", "variance": variance}


@pytest.mark.parametrize("strength", [0.1, 1.0])
@pytest.mark.parametrize("clones", ["flag", "merge"])
def test_copies_of_noised_uploads_are_found_alike(strength: float, clones: Any) -> None:
    """p4 sends what p3 sends, noise and all; however strong the noise, a copy is a copy."""

    def plan(scene: Scene) -> Upload:
        return noised(replace(scene, party="p3") if scene.party == "p4" else scene, strength)

    both = SideBySide(replace(ROBUST, clone_action=clones, warmup=1), plan, rounds=4)
    for t in range(4):
        both.play(t, NAMES[:6])
        assert both.verdicts[t].audit.groups == [["p3", "p4"]]
        assert both.verdicts[t].audit.table["p3"]["clone"] == pytest.approx(1, abs=1e-6)
        assert set(both.verdicts[t].flags) == {("p3", "clones"), ("p4", "clones")}


def test_look_alikes_are_merged_as_far_as_noise_of_their_own_lets_them_alike() -> None:
    """Equal updates, noise apart: merged while the uploads themselves are alike, not beyond."""

    def plan(scene: Scene) -> Upload:
        strength = 0.1 if scene.t < 2 else 0.5
        upload = honest(replace(scene, party="p3"))
        other, declared = noised(scene, strength)
        if scene.party != "p4":
            return other, declared
        extra = np.sqrt(declared["variance"]) * scene.draws.standard_normal(D)
        return (upload + extra).astype(np.float32), declared

    both = SideBySide(replace(ROBUST, clone_action="merge", warmup=1), plan, rounds=4)
    for t in range(4):
        both.play(t, NAMES[:6])
    groups = [verdict.audit.groups for verdict in both.verdicts]
    assert groups == [[["p3", "p4"]], [["p3", "p4"]], [], []]
    untested = [verdict.audit.untested["clones"] for verdict in both.verdicts]
    assert untested[3] == list(NAMES[:6])


def test_the_announced_bound_is_enforced_alike() -> None:
    """Norms near the bound: who is above it is not above two medians, nor anybody else."""

    def plan(scene: Scene) -> Float32:
        share = {("p0", 1): 1.3, ("p1", 1): 1.00005, ("p2", 2): 1.001}
        return scene.towards(share.get((scene.party, scene.t), 0.9) * scene.gamma)

    both = SideBySide(replace(ROBUST, warmup=0), plan, rounds=4)
    for t in range(4):
        both.play(t, NAMES[:5])
    capped = [{p for p, cap in verdict.caps.items() if cap < 1} for verdict in both.verdicts]
    assert capped == [set(), {"p0"}, {"p2"}, set()]


def test_a_crowd_without_news_is_judged_alike() -> None:
    """Where most uploads agree with nobody's, agreeing with nobody is no sign of anything."""

    def plan(scene: Scene) -> Float32:
        alone = scene.party not in ("p0", "p1") or scene.t == 3
        return scene.random(0.4) if alone else scene.towards(0.4)

    both = SideBySide(replace(ROBUST, warmup=0), plan, rounds=8)
    for t in range(8):
        both.play(t, NAMES[:6])
    assert not both.verdicts[-1].flags
    assert both.verdicts[-1].audit.untested["news"] == list(NAMES[:6])
