"""Whole runs of the fair rewards: presets, rules, masks, joiners, noise; each verified."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import lines_of, small_config

from equigrad.contribution import RULES
from equigrad.errors import ConfigError
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import run
from equigrad.federation.transport import Fault
from equigrad.reward import REWARD_RULES

Runner = Callable[..., Path]

BY_GRAM = [name for name in RULES if RULES[name].needs == "gram"]


@pytest.mark.filterwarnings("ignore:.*layer_repo.*:UserWarning")
@pytest.mark.parametrize("preset", ["paper", "reference", "robust"])
def test_presets(play: Runner, preset: str) -> None:
    folder = play(rewards={"preset": preset})
    assert lines_of(folder, "start")[0]["settings"]["preset"] == preset
    result = verify(folder)
    assert result.exact
    assert result.rounds == 4


@pytest.mark.parametrize("rule", BY_GRAM)
def test_contribution_rules(play: Runner, rule: str) -> None:
    folder = play(rewards={"contribution": rule, "max_permutations": 256})
    assert {line["rule"] for line in lines_of(folder, "appraise")} == {rule}
    assert verify(folder).exact


@pytest.mark.filterwarnings("ignore:.*layer_repo.*:UserWarning")
@pytest.mark.parametrize("mask", REWARD_RULES)
def test_masks(play: Runner, mask: str) -> None:
    folder = play(rewards={"mask": mask, "warmup": 1})
    rewards = lines_of(folder, "reward")
    assert {line["mask"] for line in rewards} == {mask}
    for line in rewards:
        assert all(0 <= share <= 1 for share in line["share"])
    assert verify(folder).exact


def test_one_party_alone(play: Runner) -> None:
    folder = play(partition={"rule": "uniform", "parties": 1}, evaluation={"standalone": True})
    assert lines_of(folder, "reward")[-1]["q"] == [1.0]
    assert verify(folder).finished


def test_more_parties_than_are_valued_exactly(play: Runner) -> None:
    folder = play(
        partition={"rule": "uniform", "parties": 24}, rounds=2, rewards={"max_permutations": 128}
    )
    line = lines_of(folder, "appraise")[0]
    assert line["rule"] == "cgsv-sampled"
    assert line["permutations"] == 128
    assert len(line["half_width"]) == 24
    assert verify(folder).exact


@pytest.mark.parametrize("join_from", ["initial", "lowest"])
def test_a_late_joiner_and_a_leaver(play: Runner, join_from: str) -> None:
    folder = play(
        rounds=5,
        rewards={"join_from": join_from},
        party=[{"name": "party-2", "join": 2}, {"name": "party-3", "leave": 3}],
    )
    announced = lines_of(folder, "announce")
    assert announced[2]["joined"] == ["party-2"]
    assert announced[3]["left"] == ["party-3"]
    assert announced[2]["deliveries"][1] == (1 if join_from == "lowest" else None)
    scores = dict(
        zip(*[lines_of(folder, "train")[2][k] for k in ("parties", "metrics")], strict=True)
    )
    others = [scores[p]["loss"] for p in scores if p != "party-2"]
    initial = lines_of(folder, "train")[0]["metrics"][0]["loss"]
    joiner = scores["party-2"]["loss"]
    assert joiner in others if join_from == "lowest" else joiner == initial
    assert lines_of(folder, "finish")[0]["parties"] == ["party-1", "party-2", "party-4", "party-5"]
    assert verify(folder).exact


def test_a_joiner_whose_first_round_is_lost_still_gets_its_start(play: Runner) -> None:
    folder = play(
        [Fault("party-2", 2, "drop")],
        rounds=5,
        rewards={"join_from": "lowest"},
        party=[{"name": "party-2", "join": 2}],
    )
    announced = [line["deliveries"][1] for line in lines_of(folder, "announce")[2:]]
    assert announced[0] == announced[1] == 1
    assert announced[2] == 3
    assert verify(folder).exact


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_noisy_uploads_are_valued_with_the_noise_taken_out(play: Runner, kind: str) -> None:
    noisy = [{"name": f"party-{i}", "upload_noise": 0.01, "noise_kind": kind} for i in range(1, 6)]
    folder = play(party=noisy, rewards={"gamma": 1.0})
    for line in lines_of(folder, "appraise"):
        assert line["noise"][0] == {"kind": kind, "variance": 0.0001}
        assert line["trust"]["level"] in ("ok", "weak", "not trustworthy")
    assert verify(folder).exact


def test_noise_needs_a_bound_fixed_beforehand(tmp_path: Path) -> None:
    config = small_config(party=[{"name": "party-1", "upload_noise": 0.1}])
    with pytest.raises(ConfigError, match=r"Expected a fixed rewards\.gamma"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_regression(play: Runner) -> None:
    folder = play(data={"name": "diabetes"}, training={"lr": 0.05, "batch_size": 16})
    assert lines_of(folder, "start")[0]["data"]["task"] == "regression"
    assert verify(folder).exact


def test_the_seed_decides_everything_and_the_engine_nothing(play: Runner) -> None:
    one, again, other = (
        lines_of(play(**changes), "finish")[0]["digests"]
        for changes in ({}, {"engine": {"workers": 3}}, {"seed": 4})
    )
    assert one == again
    assert set(one).isdisjoint(other)
