"""The presets are the published table, and every key can be set alone on top of one."""

import math

import pytest

from equigrad.errors import ConfigError
from equigrad.federation.config.presets import PRESETS, resolve
from equigrad.federation.config.schema import AuditConfig, RewardsConfig
from equigrad.federation.record.canonical import canonical_json

TABLE = {
    # key: (paper, reference, robust)
    "contribution": ("cosine", "cosine", "auto"),
    "value_weights": ("aggregation", "aggregation", "uniform"),
    "aggregation": ("records-then-reputation",) * 2 + ("uniform-then-reputation",),
    "bounding": ("rescale", "rescale-eps", "clip"),
    "gamma": (0.5, 0.5, "auto"),
    "gamma_end": (1.0, 1.0, 0.1),
    "norm_cap": (math.inf, math.inf, 2.0),
    "mixing": ("paper", "paper", "robust"),
    "alpha": (0.95, 0.95, 0.95),
    "floor": (1e-3, 1e-3, 0.0),
    "beta": (1.0, 1.0, 0.25),
    "beta_times_members": (False, False, True),
    "sharpness": (1.0, 1.0, 2.0),
    "warmup": (0, 0, 3),
    "mask": ("flat", "layer_repo", "flat"),
    "audit_action": ("flag", "flag", "exclude"),
}


@pytest.mark.parametrize(("column", "preset"), [(0, "paper"), (1, "reference"), (2, "robust")])
def test_the_presets_are_the_table(column, preset):
    settings = resolve(RewardsConfig(preset=preset), AuditConfig())
    assert {key: getattr(settings, key) for key in TABLE} == {
        k: v[column] for k, v in TABLE.items()
    }
    assert settings == PRESETS[preset]


@pytest.mark.parametrize(
    ("data", "gamma"),
    [("mnist", 0.5), ("cifar10", 0.15), ("movie_reviews", 1.0), ("sst", 1.0), ("digits", 0.5)],
)
def test_the_upload_norm_of_the_paper_is_the_tasks(data, gamma):
    assert resolve(RewardsConfig(preset="paper"), AuditConfig(), data).gamma == gamma
    assert resolve(RewardsConfig(preset="reference"), AuditConfig(), data).gamma == gamma
    assert resolve(RewardsConfig(), AuditConfig(), data).gamma == "auto"
    assert resolve(RewardsConfig(preset="paper", gamma=2.0), AuditConfig(), data).gamma == 2.0


OTHER = {
    "contribution": "projection",
    "value_weights": "aggregation",
    "aggregation": "records-then-reputation",
    "bounding": "rescale",
    "gamma": 3.0,
    "gamma_end": 0.7,
    "norm_cap": 5.0,
    "mixing": "paper",
    "alpha": 0.5,
    "beta": math.inf,
    "beta_times_members": False,
    "sharpness": 4.0,
    "warmup": 9,
    "mask": "energy",
    "tolerance": 0.2,
    "max_permutations": 500,
    "join_from": "lowest",
}


@pytest.mark.parametrize("key", OTHER)
def test_a_key_is_set_alone_on_top_of_a_preset(key):
    plain = resolve(RewardsConfig(), AuditConfig())
    changed = resolve(RewardsConfig(**{key: OTHER[key]}), AuditConfig())
    different = {k for k in plain.facts() if plain.facts()[k] != changed.facts()[k]}
    assert different == {key}
    assert getattr(changed, key) == OTHER[key]


def test_the_audit_section():
    settings = resolve(RewardsConfig(), AuditConfig(action="flag", clones="merge", clear_after=4))
    assert (settings.audit_action, settings.clone_action, settings.clear_after) == (
        "flag",
        "merge",
        4,
    )
    paper = resolve(RewardsConfig(preset="paper"), AuditConfig(action="exclude"))
    assert paper.audit_action == "exclude"


def test_no_bound_has_no_norm():
    assert resolve(RewardsConfig(bounding="none"), AuditConfig()).gamma is None
    with pytest.raises(ConfigError, match=r"got gamma = 1\.0"):
        resolve(RewardsConfig(bounding="none", gamma=1.0), AuditConfig())


def test_the_robust_reputation_has_no_floor():
    assert resolve(RewardsConfig(preset="paper", mixing="robust"), AuditConfig()).floor == 0
    assert resolve(RewardsConfig(mixing="paper", floor=0.1), AuditConfig()).floor == 0.1
    with pytest.raises(ConfigError, match=r"got floor = 0\.1"):
        resolve(RewardsConfig(floor=0.1), AuditConfig())


def test_the_facts_can_be_written_as_json():
    facts = resolve(RewardsConfig(preset="paper", beta=math.inf), AuditConfig()).facts()
    assert (facts["beta"], facts["norm_cap"], facts["alpha"]) == ("inf", "inf", 0.95)
    canonical_json(facts)
