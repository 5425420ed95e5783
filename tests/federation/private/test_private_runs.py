"""Private runs from end to end: every method, absent parties, budgets that end, secret noise."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from private_runs import private_config
from small_runs import lines_of, small_config

from equigrad.errors import ModelError
from equigrad.federation.methods import METHODS
from equigrad.federation.progress import Silent
from equigrad.federation.record.verify import verify
from equigrad.federation.report.reading import read_run
from equigrad.federation.report.rows import party_rows
from equigrad.federation.runner import run
from equigrad.federation.setup import prepare
from equigrad.federation.transport import Fault
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent, epsilon
from equigrad.privacy.clipping import CLIPPING_RULES

Play = Callable[..., Path]
pytestmark = pytest.mark.filterwarnings("ignore:.*layer_repo.*:UserWarning")


def last(folder: Path) -> dict[str, Any]:
    return dict(lines_of(folder, "finish")[0]["privacy"])


def accounts(folder: Path) -> list[Path]:
    return sorted((folder / "accounts").glob("*.sqlite"))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_works_on_private_uploads(play_private: Play, method: str) -> None:
    folder = play_private(method=method)
    result = verify(folder)
    assert result.finished
    assert result.checks["privacy events"] >= 4 * 3
    assert result.checks["epsilon"] == 5
    for told in lines_of(folder, "train")[-1]["privacy"]:
        assert told["event"]["steps"] == 4
        assert told["steps"] == 16


def test_epsilon_is_that_of_the_recorded_events(play_private: Play) -> None:
    folder = play_private()
    events: dict[str, list[PrivacyEvent]] = {}
    for body in lines_of(folder, "train"):
        for party, told in zip(body["parties"], body["privacy"], strict=True):
            events.setdefault(party, []).append(PrivacyEvent.from_json(told["event"]))
    spent = {party: epsilon(own, 1e-3, accountant="rdp") for party, own in events.items()}
    assert last(folder)["epsilon"] == pytest.approx(spent)
    rows = {row.party: row for row in party_rows(read_run(folder))}
    assert {p: row.epsilon for p, row in rows.items()} == last(folder)["epsilon"]
    assert all(row.budget == 8.0 for row in rows.values())


def test_a_rehearsal_is_reproducible_and_says_what_it_is(play_private: Play) -> None:
    one, other = play_private(), play_private()
    assert (one / "record.jsonl").read_bytes() == (other / "record.jsonl").read_bytes()
    start = lines_of(one, "start")[0]
    assert start["privacy"]["mark"] == "not private: seeded noise"
    assert start["privacy"]["parties"]["party-1"]["event"]["seeded"]


def test_engines_agree_on_private_runs(play_private: Play) -> None:
    one = play_private(rounds=2)
    other = play_private(rounds=2, engine={"pool": "process", "workers": 2})
    assert lines_of(one, "train") == lines_of(other, "train")
    assert lines_of(one, "finish") == lines_of(other, "finish")


def test_nothing_of_the_records_is_told_besides(play_private: Play) -> None:
    start = lines_of(play_private(rounds=1), "start")[0]
    assert start["classes"] is None
    assert start["label_entropy"] is None


def test_noise_is_really_there(play_private: Play) -> None:
    """Runs that differ in nothing but the noise's form or size have other uploads."""
    runs = [play_private(rounds=1, privacy=p) for p in ({}, {"noise_form": "fast"})]
    first, second = (lines_of(folder, "train")[0]["uploads"] for folder in runs)
    assert not set(first) & set(second)


def test_secret_noise_differs_from_run_to_run_and_leaves_no_key(play_private: Play) -> None:
    one, other = (play_private(privacy={"noise": "secret"}) for _ in range(2))
    first, second = (lines_of(folder, "train")[0]["uploads"] for folder in (one, other))
    assert not set(first) & set(second)
    assert lines_of(one, "start") == lines_of(other, "start")
    assert lines_of(one, "start")[0]["privacy"]["mark"] is None
    assert verify(one).finished
    for path in accounts(one):
        with PrivacyAccount.open(path) as account:
            assert account.unfinished() == []
            assert account.owner == path.stem
            assert account.spent() == last(one)["epsilon"][path.stem]
        with sqlite3.connect(path) as raw:
            assert raw.execute("SELECT COUNT(*) FROM run_keys").fetchone() == (0,)
        assert path.parent.stat().st_mode & 0o077 == 0


def test_a_lost_reply_is_paid_for(play_private: Play) -> None:
    """The party released something, whoever got it: the next reply tells both charges."""
    folder = play_private(faults=[Fault("party-2", 1, "drop"), Fault("party-3", 3, "drop")])
    lines = lines_of(folder, "train")
    assert lines[1]["absent"] == {"party-2": "lost"}
    told = dict(zip(lines[2]["parties"], lines[2]["privacy"], strict=True))
    assert told["party-2"]["steps"] == 12
    assert told["party-2"]["event"]["steps"] == 4
    assert last(folder)["steps"]["party-3"] == 16  # told at the end, though its last reply was lost
    assert verify(folder).finished


def test_a_spent_budget_makes_a_party_absent(play_private: Play) -> None:
    """Party 1 may spend much less than the others; the noise is the same for all."""
    folder = play_private(party=[{"name": "party-1", "epsilon": 1.5}])
    lines = lines_of(folder, "train")
    absent = [body["absent"].get("party-1") for body in lines]
    assert absent[0] is None
    assert absent[-1] == "budget"
    assert absent == sorted(absent, key=lambda reason: reason is not None)
    assert last(folder)["epsilon"]["party-1"] <= 1.5
    assert last(folder)["steps"]["party-1"] == 4 * absent.count(None)
    assert verify(folder).finished
    row = party_rows(read_run(folder))[0]
    assert row.absent == absent.count("budget")
    assert row.final is not None  # it still gets and keeps a model


def test_own_rules_with_states_and_groups(play_private: Play) -> None:
    """Rules that adapt carry their released state from round to round."""
    for rule, options, more in (
        ("global-adapt", {"clip": 1.0, "threshold": 5.0, "count_noise": 4.0}, {}),
        ("quantile", {"count_noise": 4.0}, {}),
        ("group-adaptive", {"count_noise": 4.0}, {"groups": "label"}),
    ):
        names = CLIPPING_RULES[rule].__init__.__code__.co_varnames
        chosen = {"clip": 1.0} | {k: v for k, v in options.items() if k in names}
        folder = play_private(rounds=2, privacy={"rule": rule, "options": chosen} | more)
        assert verify(folder).finished
        told = lines_of(folder, "train")[1]["privacy"][0]
        assert told["event"]["counts"], rule
        moving = rule != "global-adapt"
        assert (told["factor"] is None) == moving, rule  # noise is not known where C moves


def test_noise_is_declared_and_taken_out_of_squared_norms(play_private: Play) -> None:
    """After clipping to half its length an update carries a quarter of the variance."""
    changes = {"rounds": 1, "rewards": {"gamma": 0.05}}
    folder = play_private(**changes)
    plan = prepare(private_config(**changes)).plans["party-1"]
    told = lines_of(folder, "train")[0]["privacy"][0]
    assert 0 < told["factor"] < 1  # all updates are longer than that
    declared = lines_of(folder, "appraise")[0]["noise"][0]
    size = lines_of(folder, "start")[0]["model"]["parameters"]
    assert declared["variance"] == plan.noise_variance(0.1, size) * told["factor"] ** 2
    assert lines_of(folder, "appraise")[0]["trust"] is not None
    untouched = play_private(rounds=1, rewards={"gamma": 100.0})
    assert {t["factor"] for t in lines_of(untouched, "train")[0]["privacy"]} == {1.0}


def test_noise_is_not_declared_where_it_is_not_known(play_private: Play) -> None:
    momentum = {"lr": 0.1, "batch_size": 8, "options": {"momentum": 0.9}}
    flipped = [{"name": "party-1", "behaviour": "sign-flip"}]
    folder = play_private(rounds=1, training=momentum)
    assert {t["factor"] for t in lines_of(folder, "train")[0]["privacy"]} == {None}
    assert lines_of(folder, "appraise")[0]["noise"] is None
    folder = play_private(rounds=1, party=flipped)
    assert lines_of(folder, "train")[0]["privacy"][0]["factor"] is None
    assert verify(folder).finished


def test_training_alone_is_charged_as_well(play_private: Play) -> None:
    privacy = {"noise_multiplier": None, "epsilon": 20.0}
    folder = play_private(
        privacy, rounds=2, partition={"rule": "uniform", "parties": 2},
        evaluation={"standalone": True},
    )  # fmt: skip
    alone = lines_of(folder, "standalone")[0]
    steps = [lines_of(folder, "start")[0]["privacy"]["parties"][p]["round_steps"] * 2
             for p in alone["parties"]]  # fmt: skip
    assert alone["steps"] == steps
    assert list(last(folder)["steps"].values()) == [2 * n for n in steps]
    assert all(19.5 < spent <= 20.0 for spent in last(folder)["epsilon"].values())
    assert verify(folder).finished


def test_attackers_who_release_nothing_pay_nothing(play_private: Play) -> None:
    folder = play_private(party=[{"name": "party-1", "behaviour": "echo"}])
    told = [body["privacy"][0] for body in lines_of(folder, "train")]
    assert told == [None] * 4
    assert last(folder)["epsilon"]["party-1"] == 0.0
    assert verify(folder).finished


@pytest.mark.parametrize("kind", ["mixing", "unknown"])
def test_models_without_gradients_by_record_are_refused(tmp_path: Path, kind: str) -> None:
    config = private_config(model={"factory": f"private_models:{kind}"})
    with pytest.raises(ModelError, match=r'privacy.unit = "record" with model.factory'):
        run(config, tmp_path / "run", report=False)
    assert not (tmp_path / "run").exists()


def test_a_run_without_privacy_is_as_it_was(tmp_path: Path) -> None:
    folder = run(small_config(rounds=1), tmp_path / "run", report=False)
    assert not (folder / "accounts").exists()
    assert "privacy" not in lines_of(folder, "start")[0]
    assert "privacy" not in lines_of(folder, "train")[0]
    assert "privacy" not in lines_of(folder, "finish")[0]


def test_the_watcher_is_told(tmp_path: Path) -> None:
    class Listener(Silent):
        said: list[str]

        def __init__(self) -> None:
            self.said = []

        def message(self, level: Any, text: str) -> None:
            self.said.append(text)

    listener = Listener()
    config = private_config({"delta": 0.5}, rounds=1)
    run(config, tmp_path / "run", report=False, progress=listener)
    said = "\n".join(listener.said)
    assert "Every party trains privately: epsilon 8, delta 0.5" in said
    assert "A rehearsal, not private: seeded noise" in said
    assert "not below one over the records of party-1" in said


def test_the_report_shows_epsilon_with_its_mark(tmp_path: Path) -> None:
    folder = run(private_config(rounds=1), tmp_path / "run")
    page = (folder / "report.html").read_text()
    assert "Privacy of the records" in page
    assert "Not private: seeded noise" in page
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["parties"][0]["epsilon"] == last(folder)["epsilon"]["party-1"]
    plain = run(small_config(rounds=1), tmp_path / "plain")
    assert "Privacy of the records" not in (plain / "report.html").read_text()
