"""What a coordinator withstands: unfair joins, partial clones, dead workers, silent rounds."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import lines_of, rounds_of, small_config

from equigrad.errors import ConfigError, QuorumError
from equigrad.federation.appraisal import appraise
from equigrad.federation.config.presets import PRESETS
from equigrad.federation.evidence import Evidence, History
from equigrad.federation.progress import Silent
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import resume, run
from equigrad.federation.transport import Fault, FaultPlan
from equigrad.federation.transport.inprocess import InProcessTransport

Runner = Callable[..., Path]


class Heard(Silent):
    """Remembers messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, level: str, text: str) -> None:
        self.messages.append(text)


def test_declaring_noise_is_no_way_around_the_cap() -> None:
    draws = np.random.default_rng(0)
    uploads = draws.standard_normal(400) + draws.standard_normal((5, 400))
    uploads[0] *= 500
    names = tuple("abcde")
    gram = uploads @ uploads.T
    facts: list[dict[str, Any]] = [{} for _ in names]
    facts[0] = {"kind": "gaussian", "variance": 1.1 * gram[0, 0] / 400}
    evidence = Evidence(
        round=5,
        members=names,
        parties=names,
        gram=gram,
        overlap=np.zeros((5, 5)),
        reward_energy=np.zeros(5),
        records=np.ones(5),
        gamma=1e9,
        n_params=400,
        noise=tuple(facts),
    )
    appraisal, _ = appraise(evidence, History(), PRESETS["robust"], np.random.default_rng(0))
    capped = appraisal.caps[0] * np.sqrt(gram[0, 0])
    assert capped <= 2 * np.median(np.sqrt(np.diagonal(gram)[1:])) * (1 + 1e-9)


def test_a_joiner_never_starts_from_a_flagged_partys_model(play: Runner) -> None:
    folder = play(
        rounds=4,
        rewards={"join_from": "lowest"},
        party=[
            {"name": "party-1", "behaviour": "clones", "options": {"group": "g"}},
            {"name": "party-2", "behaviour": "clones", "options": {"group": "g"}},
            {"name": "party-5", "join": 2},
        ],
    )
    assert lines_of(folder, "appraise")[1]["excluded"] == ["party-1", "party-2"]
    trained = lines_of(folder, "train")[2]
    loss = {p: m["loss"] for p, m in zip(trained["parties"], trained["metrics"], strict=True)}
    assert loss["party-5"] in (loss["party-3"], loss["party-4"])
    assert loss["party-5"] != loss["party-1"]
    assert verify(folder).exact


def test_merged_clones_stay_merged_when_one_of_them_is_excluded() -> None:
    """An echo among three clones is excluded; the other two still count as one party."""
    draws = np.random.default_rng(1)
    common = draws.standard_normal(2000)
    uploads = common + draws.standard_normal((6, 2000))
    uploads[4] = uploads[5] = uploads[3]
    names = tuple("abcdef")
    overlap, energy = np.zeros((6, 6)), np.zeros(6)
    overlap[5] = uploads @ uploads[5]  # the last reward of f was what it now uploads
    energy[5] = uploads[5] @ uploads[5]
    evidence = Evidence(
        round=5,
        members=names,
        parties=names,
        gram=uploads @ uploads.T,
        overlap=overlap,
        reward_energy=energy,
        records=np.ones(6),
        gamma=None,
        n_params=2000,
    )
    settings = replace(PRESETS["robust"], clone_action="merge", warmup=0)
    appraisal, _ = appraise(evidence, History(), settings, np.random.default_rng(0))
    assert appraisal.excluded == ("f",)
    values = appraisal.values.values
    assert values[3] == values[4]
    assert values[3] + values[4] < 1.3 * values[:3].mean()


def test_unusual_rounds_are_told(tmp_path: Path) -> None:
    heard = Heard()
    config = small_config(
        rounds=2,
        partition={"rule": "uniform", "parties": 2},
        party=[
            {"name": f"party-{i}", "behaviour": "clones", "options": {"group": "g"}} for i in (1, 2)
        ],
        rewards={"gamma": 1.0},
    )
    folder = run(config, tmp_path / "run", progress=heard, report=False)
    assert any("everybody present is excluded" in text for text in heard.messages)
    assert lines_of(folder, "settle")[0]["aggregate_norm"] == 0.0
    assert verify(folder).exact


def test_uploads_of_zero_are_a_round_of_zeros(tmp_path: Path) -> None:
    heard = Heard()
    config = small_config(rounds=2, training={"lr": 1e-45, "batch_size": 8})
    folder = run(config, tmp_path / "run", progress=heard, report=False)
    assert set(lines_of(folder, "announce")[0]["gamma_norms"].values()) == {0.0}
    assert lines_of(folder, "appraise")[0]["values"] == [0.0] * 5
    assert lines_of(folder, "reward")[0]["q"] == [0.0] * 5
    assert any("all uploads are zero" in text for text in heard.messages)
    assert verify(folder).exact


def test_a_killed_run_stops_where_an_uninterrupted_one_would(tmp_path: Path) -> None:
    faults = FaultPlan([Fault(f"party-{i}", t, "drop") for i in (1, 2, 3) for t in (1, 2, 3)])
    config = small_config(rounds=8, round={"max_void_rounds": 3})
    folder = tmp_path / "run"

    class Stop(Silent):
        def round_done(self, round_: int, total: int, rows: object) -> None:
            if round_ == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, folder, faults=faults, progress=Stop(), report=False)
    with pytest.raises(QuorumError):
        resume(folder, faults=faults, report=False)
    assert rounds_of(folder, "announce") == [0, 1, 2, 3]


def test_a_worker_process_that_dies_loses_its_round_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_config(rounds=3, engine={"pool": "process", "workers": 1})
    transports: list[InProcessTransport] = []
    opened = InProcessTransport.__init__

    def remember(self: InProcessTransport, *args: Any, **kwargs: Any) -> None:
        transports.append(self)
        opened(self, *args, **kwargs)

    monkeypatch.setattr(InProcessTransport, "__init__", remember)

    class Kill(Silent):
        def round_done(self, round_: int, total: int, rows: object) -> None:
            if round_ == 0:
                for pid in list(transports[0]._pool._processes):
                    os.kill(pid, signal.SIGKILL)

    folder = run(config, tmp_path / "run", progress=Kill(), report=False)
    assert lines_of(folder, "train")[-1]["absent"] == {}
    assert verify(folder).finished


def test_too_many_parties_for_exact_values_are_refused_before_the_run(tmp_path: Path) -> None:
    config = small_config(
        partition={"rule": "uniform", "parties": 25}, rewards={"contribution": "cgsv-exact"}
    )
    with pytest.raises(ConfigError, match="at most 24 parties"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_paying_for_what_was_delivered_lowers_a_noisy_partys_value(play: Runner) -> None:
    noisy = [{"name": "party-1", "upload_noise": 0.05}]
    values = {}
    for pay_for in ("signal", "delivered"):
        folder = play(party=noisy, rewards={"gamma": 1.0, "pay_for": pay_for}, rounds=1)
        values[pay_for] = lines_of(folder, "appraise")[0]["values"]
        assert verify(folder).exact
    assert values["signal"] != values["delivered"]
