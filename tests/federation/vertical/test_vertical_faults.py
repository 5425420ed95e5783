"""Parties that are silent, late, wrong or gone; the run goes on, and the record says so."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vertical_runs import blocks_of, make_config, write_files

from equigrad.assistance import simplex_quadratic
from equigrad.errors import AlignmentError, BudgetExceededError
from equigrad.federation.messages import Message
from equigrad.federation.record.verify import verify
from equigrad.federation.runner import run
from equigrad.federation.transport import Fault, FaultPlan
from equigrad.federation.vertical.labels import LabelAccount
from equigrad.federation.vertical.predict import predict
from equigrad.federation.vertical.progress import AssistedRound, SilentVertical
from equigrad.federation.vertical.shelf import read_arrays
from equigrad.privacy.accounting import PrivacyEvent


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]


def bodies(folder: Path, stage: str) -> list[dict[str, Any]]:
    return [line["body"] for line in lines_of(folder) if line["stage"] == stage]


def play(folder: Path, faults: list[Fault], **changes: Any) -> Path:
    write_files(folder, n_rows=60)
    config = make_config(folder, n_rounds=changes.pop("n_rounds", 3), **changes)
    done = run(config, folder / "run", report=False, faults=FaultPlan(faults))
    assert verify(done).finished
    return done


@pytest.mark.parametrize(
    ("kind", "told", "reason"),
    [
        ("drop", "absent", "lost"),
        ("raise", "absent", "raised"),
        ("nan", "refused", "NaN or infinity"),
        ("inf", "refused", "NaN or infinity"),
        ("wrong-shape", "refused", "shape (59, 1), expected (60, 1)"),
        ("wrong-dtype", "refused", "numbers of type int64"),
        ("oversized", "refused", "shape (480, 1), expected (60, 1)"),
        ("stale-round", "refused", "a reply of round 0, expected 1"),
    ],
)
def test_a_fault_costs_a_party_its_round_and_no_more(
    tmp_path: Path, kind: Any, told: str, reason: str
) -> None:
    folder = play(tmp_path, [Fault("shop", 1, kind)])
    fits, weighs = bodies(folder, "fit"), bodies(folder, "weigh")
    assert fits[1][told] == {"shop": reason}
    assert fits[1]["answered"] == ["bank", "clinic"]
    assert [fit["answered"] for fit in (fits[0], fits[2])] == [["bank", "shop", "clinic"]] * 2
    assert weighs[1]["w"][1] == 0.0
    assert len(weighs) == 3


def test_a_late_answer_is_recorded_and_not_used(tmp_path: Path) -> None:
    top, vertical = "engine.workers = 3", "deadline_s = 0.7"
    folder = play(tmp_path, [Fault("shop", 1, "delay", 1.5)], top=top, vertical=vertical)
    fit, weigh = bodies(folder, "fit")[1], bodies(folder, "weigh")[1]
    assert fit["late"] == ["shop"]
    assert fit["absent"] == {"shop": "deadline"}
    H, c = np.array(weigh["H"]), np.array(weigh["c"])
    there = [0, 2]
    assert weigh["answered"] == [True, False, True]
    alone = simplex_quadratic(H[np.ix_(there, there)], c[there])
    np.testing.assert_array_equal(np.array(weigh["w"])[there], alone / alone.sum())


def test_too_few_are_asked_once_more_then_training_ends(tmp_path: Path) -> None:
    faults = [Fault("shop", 2, "drop"), Fault("clinic", 2, "drop")]
    folder = play(tmp_path, faults, vertical="min_parties = 1", n_rounds=5)
    residuals, finish = bodies(folder, "residual"), bodies(folder, "finish")[0]
    assert [(r["t"], r["attempt"]) for r in residuals] == [(1, 0), (2, 0), (3, 0), (3, 1)]
    assert residuals[-1]["to"] == ["shop", "clinic"]  # the sponsor has answered
    assert finish["reason"] == "quorum"
    assert finish["rounds"] <= 2


def test_too_few_in_the_first_round_leave_the_start_alone(tmp_path: Path) -> None:
    faults = [Fault(name, 0, "drop") for name in ("shop", "clinic")]
    folder = play(tmp_path, faults, vertical="min_parties = 1")  # and its record verifies
    finish = bodies(folder, "finish")[0]
    assert (finish["reason"], finish["rounds"]) == ("quorum", 0)
    assert finish["losses"] == [finish["losses"][0]]
    answer = predict(folder, tmp_path / "bank.csv")
    np.testing.assert_array_equal(answer.values[:, 0], finish["start"][0])


def test_too_few_in_the_second_pass_are_told_too(tmp_path: Path) -> None:
    faults = [Fault(name, 4, "drop") for name in ("shop", "clinic")]  # the second of pass 1
    vertical = 'min_parties = 1\nweigh_on = "train"'
    folder = play(tmp_path, faults, vertical=vertical, n_rounds=3)
    finish = bodies(folder, "finish")[0]
    assert finish["refitted"]
    assert (finish["reason"], finish["rounds"]) == ("quorum", 1)


def test_one_slow_party_makes_no_other_miss_the_deadline(tmp_path: Path) -> None:
    vertical = "deadline_s = 0.7"
    folder = play(tmp_path, [Fault("shop", 1, "delay", 1.5)], vertical=vertical)
    assert bodies(folder, "fit")[1]["absent"] == {"shop": "deadline"}


def test_the_sponsor_is_told_what_a_party_raised(tmp_path: Path) -> None:
    class Listening(SilentVertical):
        def round_settled(self, facts: AssistedRound) -> None:
            told.append(dict(facts.absent))

        def message(self, level: str, text: str) -> None:
            told.append({level: text})

    told: list[dict[str, str]] = []
    write_files(tmp_path, n_rows=60)
    vertical = "min_parties = 2"
    config = make_config(tmp_path, n_rounds=2, vertical=vertical)
    faults = FaultPlan([Fault("shop", 1, "raise")])
    run(config, tmp_path / "run", report=False, faults=faults, progress=Listening())
    assert told[1] == {}
    assert "too few parties answered; without shop (raised: " in told[-1]["warning"]


def test_the_sponsor_goes_on_alone(tmp_path: Path) -> None:
    faults = [Fault(name, r, "drop") for name in ("shop", "clinic") for r in range(3)]
    folder = play(tmp_path, faults)
    assert all(weigh["w"] == [1.0, 0.0, 0.0] for weigh in bodies(folder, "weigh"))
    assert bodies(folder, "finish")[0]["participants"] == ["bank"]


def test_parties_join_and_leave(tmp_path: Path) -> None:
    party = {"shop": "join = 1", "clinic": "leave = 2"}
    folder = play(tmp_path, [], party=party, vertical='stopping = "none"', n_rounds=4)
    residuals = bodies(folder, "residual")
    assert [r["to"] for r in residuals] == [
        ["bank", "clinic"],
        ["bank", "shop", "clinic"],
        ["bank", "shop"],
        ["bank", "shop"],
    ]
    assert [r["joined"] for r in residuals] == [[], ["shop"], [], []]
    assert [r["left"] for r in residuals] == [[], [], ["clinic"], []]
    kept = bodies(folder, "finish")[0]["kept"]
    assert kept["shop"]["rounds"] == [2, 3, 4]
    assert kept["clinic"]["rounds"] == [1, 2]


def test_a_round_beyond_the_budget_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    charge = LabelAccount.charge

    def strict(self: LabelAccount, event: PrivacyEvent) -> None:
        if self.done == 2:
            raise BudgetExceededError("no more")
        charge(self, event)

    monkeypatch.setattr(LabelAccount, "charge", strict)
    more = (
        '[vertical.privacy]\nmechanism = "laplace"\nepsilon = 3.0\nrelease = "per_round"\n'
        "bounds = [0.0, 400.0]"
    )
    write_files(tmp_path, n_rows=60)
    folder = run(make_config(tmp_path, n_rounds=3, more=more), tmp_path / "run", report=False)
    assert len(bodies(folder, "residual")) == 2
    assert not (folder / "sponsor" / "message-0-0003.safetensors").exists()
    finish = bodies(folder, "finish")[0]
    assert (finish["reason"], finish["rounds"]) == ("budget", 2)
    assert finish["privacy"]["pure_epsilon"] == pytest.approx(2.0)


def test_the_record_tells_no_private_number(tmp_path: Path) -> None:
    """Labels held out shape the sponsor's own model, and nothing that is shown or sent."""
    more = '[vertical.privacy]\nmechanism = "laplace"\nepsilon = 3.0\nbounds = [0.0, 400.0]'
    shown, own = [], []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_files(folder, n_rows=60)
        config = make_config(folder, n_rounds=2, more=more)
        if number:
            _spoil(folder, config)
        done = run(config, folder / "run", report=False)
        lines = lines_of(done)
        shown.append([line["body"] for line in lines[2:]])
        own.append(json.loads((done / "sponsor" / "private.json").read_text()))
    assert shown[0] == shown[1]
    assert own[0]["weights"] != own[1]["weights"]


def test_no_held_out_row_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, n_rows=60)
    config = make_config(tmp_path, n_rounds=2)
    folder = run(config, tmp_path / "run", report=False)
    _, target, _, _ = blocks_of(config)
    rows = read_arrays(folder / "parties" / "shop" / "pass-0" / "rows.safetensors")["rows"]
    held_out = np.setdiff1d(np.arange(60), rows)
    assert len(held_out) == 18  # a fifth weighs, a tenth stops
    start = bodies(folder, "finish")[0]["start"]
    np.testing.assert_allclose(start, target[rows].mean(axis=0))
    assert (folder / "parties" / "shop" / "pass-1").exists() is False


def test_labels_held_out_cannot_move_a_message(tmp_path: Path) -> None:
    """Change labels of rows held out: all that is sent stays."""
    sent = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_files(folder, n_rows=60)
        config = make_config(folder, n_rounds=1, vertical='rate = 1.0\nstopping = "none"')
        if number:
            _spoil(folder, config)
        done = run(config, folder / "run", report=False)
        sent.append(read_arrays(done / "sponsor" / "message-0-0001.safetensors")["message"])
    np.testing.assert_array_equal(sent[0], sent[1])


def _spoil(folder: Path, config: Any) -> None:
    """Add 100 to the labels of the rows that the first run held out."""
    import pandas as pd

    from equigrad.federation.vertical.keys import read_key
    from equigrad.federation.vertical.setup import row_source
    from equigrad.federation.vertical.target import read_sponsor

    shelf = folder.parent / "0" / "run" / "parties" / "bank" / "pass-0" / "rows.safetensors"
    fitted = read_arrays(shelf)["rows"]
    rows, _ = read_sponsor(
        row_source(config, config.sponsor), read_key(folder / "key.txt"), "regression"
    )
    held_out = rows.records[np.setdiff1d(np.arange(len(rows)), fitted)]
    frame = pd.read_csv(folder / "bank.csv")
    frame.loc[held_out, "y"] += 100.0
    frame.to_csv(folder / "bank.csv", index=False)


def test_a_row_of_the_sponsor_alone_moves_through_it_alone(tmp_path: Path) -> None:
    write_files(tmp_path, n_rows=60, missing={"shop": 20, "clinic": 20})
    config = make_config(tmp_path, n_rounds=2, vertical='weigh_on = "train"\nstopping = "none"')
    folder = run(config, tmp_path / "run", report=False)
    _, _, _, held = blocks_of(config)
    alone = ~held[:, 1:].any(axis=1)
    assert alone.any()
    finish = bodies(folder, "finish")[0]
    arrays = read_arrays(next((folder / "checkpoint").rglob("arrays.safetensors")))
    scores = np.tile(finish["start"], (60, 1))
    for t, eta in enumerate(finish["steps"], start=1):
        own = read_arrays(folder / "sponsor" / f"fits-0-{t:04d}.safetensors")["0"]
        share = 1.0 if finish["weights"][t - 1][0] > 0.0 else 0.0
        scores += eta * share * own
    np.testing.assert_allclose(arrays["F"][alone], scores[alone], rtol=1e-12)


def test_a_party_that_does_not_align_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from equigrad.federation.vertical.party import VerticalAgent

    def refuse(self: VerticalAgent, message: Message) -> Message:
        raise OSError("no disk")

    write_files(tmp_path, n_rows=60)
    monkeypatch.setattr(VerticalAgent, "_offer", refuse)
    with pytest.raises(AlignmentError, match="to tell which rows it holds, got no answer"):
        run(make_config(tmp_path), tmp_path / "run", report=False)
