"""Verification of a scoring: a whole folder holds, and whatever is changed is found."""

import json
import shutil

import pandas as pd
import pytest
from score_settings import whole

from equigrad.errors import EquigradError, VerificationError
from equigrad.federation.record.chain import RecordWriter, read_record
from equigrad.steward.scoring.run import start_scoring
from equigrad.steward.scoring.verify import verify_scoring


def test_a_whole_scoring_holds(trained_on_selection):
    result = verify_scoring(trained_on_selection)
    assert result.finished
    assert result.exact
    checks = result.checks
    assert checks["epsilon of all releases together"] == 2
    assert checks["models"] == 2
    assert checks["records chosen again"] == 120
    assert checks["scores"] == 240
    assert checks["checkpoints"] == 4
    assert checks["budget"] == 1
    head = read_record(trained_on_selection / "record.jsonl")[-1].hash
    assert verify_scoring(trained_on_selection, head=head[:16]).head == head
    with pytest.raises(VerificationError, match="expected the head"):
        verify_scoring(trained_on_selection, head="0123")


def test_scoring_alone_holds(scored):
    result = verify_scoring(scored)
    assert result.finished
    assert "records chosen again" not in result.checks


def test_what_may_be_shared_holds_without_the_owners_part(trained_on_selection, tmp_path):
    copy = shutil.copytree(trained_on_selection, tmp_path / "copy")
    shutil.rmtree(copy / "local")
    result = verify_scoring(copy)
    assert result.finished
    assert "scores" not in result.checks
    assert result.checks["models"] == 2


@pytest.fixture
def copy(trained_on_selection, tmp_path):
    return shutil.copytree(trained_on_selection, tmp_path / "copy")


def rewritten(path, change):
    """Write a whole record anew, every hash right, with its bodies changed."""
    lines = read_record(path)
    path.unlink()
    with RecordWriter(path) as writer:
        for line in lines:
            body = json.loads(json.dumps(line.body))
            change(line.stage, body)
            writer.append(line.stage, line.round, body)


def deep(body, path, value):
    *above, last = path
    for step in above:
        body = body[step]
    body[last] = value(body[last]) if callable(value) else value


@pytest.mark.parametrize(
    ("stage", "path", "value", "message"),
    [
        ("start", ("statement", "epsilon"), lambda e: e / 2, "recomputed epsilon"),
        ("finish", ("statement", "epsilon"), lambda e: e * 0.99, "recomputed epsilon"),
        ("finish", ("statement", "claim"), "epsilon = 0.1 at delta = 0.0001", "statement"),
        ("finish", ("statement", "not_covered"), lambda said: said[:-1], "statement"),
        ("finish", ("events",), lambda events: events[1:], "events that were planned"),
        ("finish", ("events", 0, "noise_multiplier"), lambda s: s * 2, "effective|planned"),
        ("finish", ("released",), "baseline", "expected selected to be released"),
        ("finish", ("models", "model.safetensors"), "0" * 64, "expected the model with SHA-256"),
        ("finish", ("models",), {}, "no model but the released ones"),
        ("start", ("plan", "rate"), 0.5, "sampling rate"),
        ("start", ("plan", "release"), "baseline", "release"),
        ("start", ("plan", "events", 0, "seeded"), False, "noise as the settings|statement"),
        ("start", ("seed",), 7, "seed"),
        ("start", ("config_sha256",), "0" * 64, "settings that the record began with"),
    ],
)
def test_a_changed_shared_record_is_found(copy, stage, path, value, message):
    def change(at, body):
        if at == stage:
            deep(body, path, value)

    rewritten(copy / "record.jsonl", change)
    with pytest.raises(VerificationError, match=message):
        verify_scoring(copy)


@pytest.mark.parametrize(
    ("stage", "path", "value", "message"),
    [
        ("finish", ("comparison", "verdict"), "selected better", "verdict"),
        ("finish", ("comparison", "selected"), lambda a: a + 0.1, "accuracy, selected"),
        ("finish", ("comparison", "interval"), [0.1, 0.2], "verdict"),
        ("finish", ("released",), "baseline", "released arm"),
        ("selection", ("kept",), lambda k: k + 1, "expected the selection that was written"),
        ("selection", ("selection", "settings", "threshold"), 0.1, "selector chooses"),
        ("scores", ("scorers", "aum", "sha256"), "0" * 64, "expected the scores of aum"),
        ("model", ("checkpoints", 0, "sha256"), "0" * 64, "SHA-256"),
        ("trained", ("sha256",), "0" * 64, "SHA-256"),
    ],
)
def test_a_changed_record_of_the_owner_is_found(copy, stage, path, value, message):
    def change(at, body):
        if at == stage:
            deep(body, path, value)

    rewritten(copy / "local" / "record.jsonl", change)
    with pytest.raises(VerificationError, match=message):
        verify_scoring(copy)


@pytest.mark.parametrize("column", ["loss-mean", "kept"])
def test_changed_scores_and_selections_are_found(copy, column):
    path = copy / "local" / "scores.parquet"
    frame = pd.read_parquet(path)
    frame[column] = frame[column].to_numpy()[::-1]
    frame.to_parquet(path, index=False)
    with pytest.raises(VerificationError, match="expected the"):
        verify_scoring(copy)


@pytest.mark.parametrize(
    "name", ["models/model.safetensors", "local/models/baseline-0.safetensors"]
)
def test_a_changed_model_is_found(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[-1] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(VerificationError, match="SHA-256"):
        verify_scoring(copy)


def test_a_byte_of_a_record_that_was_changed_is_found(copy):
    for name in ("record.jsonl", "local/record.jsonl"):
        path = copy / name
        before = path.read_bytes()
        path.write_bytes(before.replace(b"aum", b"sum", 1))
        with pytest.raises(VerificationError, match="hash"):
            verify_scoring(copy)
        path.write_bytes(before)
    (copy / "record.jsonl").write_bytes(b"")
    with pytest.raises(EquigradError, match="start line first"):
        verify_scoring(copy)


def test_a_private_threshold_is_chosen_again_from_what_was_released(tmp_path):
    settings = whole(
        **{
            "selection.rule": "private-threshold",
            "selection.options": {"keep": 0.8, "epsilon": 0.3, "bounds": [0.0, 3.0]},
        }
    )
    start_scoring(settings, tmp_path / "run", report=False)
    result = verify_scoring(tmp_path / "run")
    assert result.checks["records chosen again"] == 120
    finish = read_record(tmp_path / "run" / "record.jsonl")[-1].body
    assert 0 < finish["values"]["threshold"] < 3
