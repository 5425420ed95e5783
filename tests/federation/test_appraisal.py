"""One round's judgement: what it promises beyond what its parts promise alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equigrad.contribution import gram
from equigrad.errors import ConfigError
from equigrad.federation.appraisal import appraise, make_rule
from equigrad.federation.config.presets import PRESETS, CgsvSettings
from equigrad.federation.evidence import Appraisal, Evidence, History

ROBUST = replace(PRESETS["robust"], warmup=0)
PAPER = PRESETS["paper"]
D = 2000


def evidence(uploads: np.ndarray[Any, Any], **changes: Any) -> Evidence:
    n = len(uploads)
    names = tuple(f"p{i}" for i in range(n))
    facts: dict[str, Any] = {
        "round": 5,
        "members": names,
        "parties": names,
        "gram": gram(uploads),
        "overlap": np.zeros((n, n)),
        "reward_energy": np.zeros(n),
        "records": np.full(n, 10.0),
        "gamma": 100.0,
        "n_params": uploads.shape[1],
        "noise": ({},) * n,
    }
    return Evidence(**(facts | changes))


def judge(
    seen: Evidence, settings: CgsvSettings = ROBUST, history: History | None = None
) -> tuple[Appraisal, History]:
    return appraise(seen, history or History(), settings, np.random.default_rng(0))


def crowd(n: int, seed: int = 0, spread: float = 1.0) -> np.ndarray[Any, Any]:
    draws = np.random.default_rng(seed)
    return draws.standard_normal(D) + spread * draws.standard_normal((n, D))


@given(st.integers(2, 7), st.integers(0, 1000), st.randoms(use_true_random=False))
def test_permuting_the_parties_permutes_the_judgement(n: int, seed: int, mixer: Any) -> None:
    uploads = crowd(n, seed)
    order = list(range(n))
    mixer.shuffle(order)
    names = tuple(f"p{i}" for i in order)
    one, _ = judge(evidence(uploads))
    two, _ = judge(evidence(uploads[order], members=names, parties=names))
    assert np.allclose(one.values.values[order], two.values.values, atol=1e-10)
    assert np.allclose(one.reputation[order], two.reputation, atol=1e-10)
    assert np.allclose(one.ratios[order], two.ratios, atol=1e-10)


@given(st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_the_scale_of_all_uploads_changes_nothing(scale: float, seed: int) -> None:
    uploads = crowd(4, seed)
    one, _ = judge(evidence(uploads, gamma=None))
    two, _ = judge(evidence(scale * uploads, gamma=None))
    assert np.allclose(one.values.values, two.values.values, atol=1e-9)
    assert np.allclose(one.weights, two.weights)


def test_an_outsized_upload_counts_as_two_medians() -> None:
    uploads = crowd(5)
    uploads[0] *= 1000
    judged, _ = judge(evidence(uploads, gamma=None))
    norms = np.linalg.norm(uploads, axis=1)
    assert judged.caps[0] * norms[0] == pytest.approx(2 * np.median(norms))
    assert (judged.caps[1:] == 1).all()


def test_a_party_that_breaks_its_bound_is_held_to_it() -> None:
    uploads = crowd(4)
    uploads /= np.linalg.norm(uploads, axis=1, keepdims=True)
    uploads[2] *= 1.5
    judged, _ = judge(evidence(uploads, gamma=1.0))
    assert judged.caps[2] == pytest.approx(1 / 1.5)
    assert judged.caps[[0, 1, 3]] == pytest.approx(np.ones(3))


def test_an_absent_party_keeps_what_it_earned_to_the_last_bit() -> None:
    uploads = crowd(4)
    names = tuple(f"p{i}" for i in range(4))
    _, history = judge(evidence(uploads))
    after, later = judge(evidence(crowd(3, 9), members=names, parties=names[:3]), history=history)
    assert later.standing.earned[3] == history.standing.earned[3]
    assert later.standing.attended[3] == history.standing.attended[3]
    assert after.reputation[3] > 0
    assert len(after.ratios) == 3


def test_an_excluded_party_gets_nothing_and_weighs_nothing() -> None:
    uploads = crowd(5)
    uploads[4] = uploads[3]  # clones
    judged, _ = judge(evidence(uploads))
    assert judged.excluded == ("p3", "p4")
    for vector in (judged.weights, judged.values.values, judged.ratios, judged.reputation):
        assert (vector[3:] == 0).all()
        assert (vector[:3] > 0).all()
    assert judged.weights.sum() == pytest.approx(1)


def test_flags_alone_change_nothing() -> None:
    uploads = crowd(5)
    uploads[4] = uploads[3]
    judged, _ = judge(evidence(uploads), replace(ROBUST, audit_action="flag"))
    assert judged.excluded == ()
    assert {flag.party for flag in judged.audit.flags} == {"p3", "p4"}
    assert (judged.ratios > 0).all()


def test_merged_clones_share_one_partys_value() -> None:
    uploads = crowd(4)
    twins = np.vstack([uploads, uploads[3]])
    alone, _ = judge(evidence(uploads))
    merged, _ = judge(evidence(twins), replace(ROBUST, clone_action="merge"))
    assert merged.excluded == ()
    assert merged.values.values[:3] == pytest.approx(alone.values.values[:3])
    assert merged.values.values[3:] == pytest.approx([alone.values.values[3] / 2] * 2)
    assert merged.weights[3:] == pytest.approx([alone.weights[3] / 2] * 2)


def test_everybody_excluded_is_a_round_that_changes_nothing() -> None:
    uploads = np.tile(crowd(1), (3, 1))
    _, history = judge(evidence(crowd(3, 4)))
    judged, later = judge(evidence(uploads), history=history)
    assert judged.valued == ()
    assert not judged.weights.any()
    assert not judged.ratios.any()
    assert np.array_equal(later.standing.earned, history.standing.earned)


def test_silence_earns_nothing() -> None:
    uploads = crowd(4)
    uploads[1] = 0
    judged, _ = judge(evidence(uploads))
    assert judged.values.values[1] == 0
    assert judged.ratios[1] == 0
    assert judged.reputation[1] == 0


def test_all_uploads_zero() -> None:
    judged, history = judge(evidence(np.zeros((3, D))))
    assert not judged.values.values.any()
    assert not judged.ratios.any()
    assert not history.standing.earned.any()


def test_a_lone_party_gets_everything() -> None:
    judged, _ = judge(evidence(crowd(1)))
    assert judged.values.values == pytest.approx([1])
    assert judged.ratios == pytest.approx([1])
    assert judged.kappa == 1


def test_warm_up_gives_everybody_with_an_upload_everything() -> None:
    uploads = crowd(4, spread=3)
    uploads[2] = 0
    judged, _ = judge(evidence(uploads, round=0), replace(ROBUST, warmup=3))
    assert judged.ratios.tolist() == [1, 1, 0, 1]
    assert judged.weights == pytest.approx(np.full(4, 0.25))


def test_declared_noise_is_taken_out_of_the_values() -> None:
    uploads = crowd(6, spread=0.3)
    norms = np.linalg.norm(uploads, axis=1)
    deviation = 0.5 * norms.mean() / np.sqrt(D)
    noisy = uploads + deviation * np.random.default_rng(1).standard_normal(uploads.shape)
    facts = ({"kind": "gaussian", "variance": deviation**2},) * 6
    clean, _ = judge(evidence(uploads))
    corrected, _ = judge(evidence(noisy, noise=facts))
    blind, _ = judge(evidence(noisy))
    assert corrected.trust is not None
    assert corrected.trust.level == "ok"
    error = np.abs(corrected.values.values - clean.values.values).sum()
    assert error < 0.5 * np.abs(blind.values.values - clean.values.values).sum() or error < 0.01


@pytest.mark.parametrize("clones", ["flag", "merge"])
def test_no_honest_party_is_shut_out_or_merged_because_of_its_noise(clones: Any) -> None:
    """Corrected cosines, judged in the same way, would condemn somebody in some of these rounds."""
    settings = replace(ROBUST, clone_action=clones)
    deviation = 0.3 * np.sqrt(2)  # of the clean uploads' entries; their cosines are about 0.9
    facts = ({"kind": "gaussian", "variance": deviation**2},) * 4
    for seed in range(150):
        draws = np.random.default_rng(seed)
        clean = draws.standard_normal(60) + draws.standard_normal((4, 60)) / 3
        before, noisy = clean + deviation * draws.standard_normal((2, 4, 60))
        reward = before.mean(axis=0)
        overlap, energy = np.tile(noisy @ reward, (4, 1)), np.full(4, reward @ reward)
        seen = evidence(noisy, noise=facts, overlap=overlap, reward_energy=energy)
        judged, _ = judge(seen, settings)
        assert judged.excluded == ()
        assert judged.audit.flags == ()
        assert judged.audit.groups == ()


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_a_copy_of_a_noised_upload_is_excluded_however_strong_the_noise(strength: float) -> None:
    uploads = crowd(5) + strength * np.random.default_rng(3).standard_normal((5, D))
    uploads[4] = uploads[2]
    noise = {"kind": "gaussian", "variance": strength**2}
    for declared in (noise, {}):
        judged, _ = judge(evidence(uploads, gamma=None, noise=(*[noise] * 4, declared)))
        assert judged.excluded == ("p2", "p4")
        assert judged.audit.groups == (("p2", "p4"),)


def test_noise_too_strong_to_tell_parties_apart_freezes_reputations() -> None:
    _, history = judge(evidence(crowd(4)))
    noise = np.random.default_rng(2).standard_normal((4, D))
    facts = ({"kind": "laplace", "variance": 1.0},) * 4
    judged, later = judge(evidence(noise + 1e-3 * crowd(4), noise=facts), history=history)
    assert judged.trust is not None
    assert judged.trust.level == "not trustworthy"
    assert np.array_equal(later.standing.earned, history.standing.earned)
    assert judged.audit.not_testable["news"] == ("p0", "p1", "p2", "p3")


def test_noise_of_no_variance_is_no_noise_to_the_last_bit() -> None:
    uploads = crowd(4)
    plain, _ = judge(evidence(uploads))
    silent, _ = judge(evidence(uploads, noise=({"kind": "gaussian", "variance": 0.0},) * 4))
    assert np.array_equal(plain.values.values, silent.values.values)
    assert plain.kappa == silent.kappa
    assert silent.trust is None


def test_who_leaves_keeps_what_it_earned_for_its_return() -> None:
    names = ("p0", "p1", "p2")
    _, first = judge(evidence(crowd(3)))
    gone, second = judge(evidence(crowd(2), members=names[:2], parties=names[:2]), history=first)
    assert gone.reputation.sum() == pytest.approx(1)
    assert len(gone.reputation) == 2
    back, third = judge(evidence(crowd(3, 5)), history=second)
    assert third.standing.attended[2] > first.standing.attended[2]
    assert back.reputation.sum() == pytest.approx(1)


def test_a_late_joiners_first_round_counts_fully() -> None:
    names = ("p0", "p1", "p2")
    history = History()
    for seed in range(5):
        seen = evidence(crowd(2, seed), members=names[:2], parties=names[:2])
        _, history = judge(seen, history=history)
    judged, later = judge(evidence(crowd(3, 8)), history=history)
    relative = 3 * judged.values.values[2] / judged.values.values.sum()
    assert later.standing.earned[2] / later.standing.attended[2] == pytest.approx(relative)


def test_the_paper_weighs_by_data_first_and_by_reputation_then() -> None:
    uploads = crowd(3)
    records = np.array([10.0, 20.0, 70.0])
    first, history = judge(evidence(uploads, round=0, records=records), PAPER)
    assert first.weights == pytest.approx(records / 100)
    second, _ = judge(evidence(uploads, round=1, records=records), PAPER, history)
    assert second.weights == pytest.approx(first.reputation)
    assert first.rule == "cosine"


def test_history_survives_json_to_the_last_bit() -> None:
    uploads = crowd(5)
    uploads[4] = uploads[3]
    _, history = judge(evidence(uploads))
    assert History.from_json(history.to_json()).to_json() == history.to_json()


def test_rules_by_name() -> None:
    assert make_rule("auto", 20, ROBUST).name == "cgsv-exact"
    assert make_rule("auto", 21, ROBUST).name == "cgsv-sampled"
    with pytest.raises(ConfigError, match="needs the uploads"):
        make_rule("shapfed", 3, ROBUST)


def test_claiming_no_records_at_all_stops_nobody() -> None:
    uploads = crowd(3)
    first, _ = judge(evidence(uploads, round=0, records=np.zeros(3)), PAPER)
    assert first.weights == pytest.approx(np.full(3, 1 / 3))
