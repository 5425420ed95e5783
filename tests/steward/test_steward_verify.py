"""Verification: a whole record holds, and whatever is changed is found."""

import json
import shutil

import pytest

from equigrad.errors import EquigradError, VerificationError
from equigrad.federation.record.chain import RecordWriter, read_record
from equigrad.steward.verify import verify_training


def test_a_whole_training_holds(trained):
    result = verify_training(trained)
    assert result.finished
    assert result.exact
    assert result.checks["epsilon"] == 2
    assert result.checks["models"] == 1
    assert result.checks["cost of privacy"] > 10
    head = read_record(trained / "record.jsonl")[-1].hash
    assert result.head == head
    assert verify_training(trained, head=head[:16]).head == head
    with pytest.raises(VerificationError, match="expected the head"):
        verify_training(trained, head="0123")


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy")


def rewritten(folder, change):
    """Write the whole record anew, every hash right, with one body or line changed."""
    lines = read_record(folder / "record.jsonl")
    (folder / "record.jsonl").unlink()
    with RecordWriter(folder / "record.jsonl") as writer:
        for line in lines:
            body = json.loads(json.dumps(line.body))
            for stage, number in change(line, body) or [(line.stage, line.round)]:
                writer.append(stage, number, body)


def deep(body, path, value):
    *above, last = path
    for step in above:
        body = body[step]
    body[last] = value(body[last]) if callable(value) else value


@pytest.mark.parametrize(
    ("stage", "path", "value", "message"),
    [
        ("finish", ("statement", "epsilon"), lambda e: e / 2, "recomputed epsilon"),
        ("start", ("statement", "epsilon"), lambda e: e * 0.99, "recomputed epsilon"),
        ("finish", ("statement", "delta"), 1e-9, "delta"),
        ("finish", ("statement", "private"), True, "mark"),
        ("finish", ("events", 0, "noise_multiplier"), 9.0, "finish"),
        ("start", ("event", "sampling_rate"), 0.001, "start"),
        ("start", ("event", "rule"), "flat", "rule"),
        ("start", ("event", "seeded"), False, "noise"),
        ("start", ("event", "steps"), 4, "steps"),
        ("start", ("seed",), 3, "seed"),
        ("finish", ("steps",), 4, "steps"),
        ("finish", ("cost", "cost_gap", "spread"), 0.0, "cost of privacy"),
        ("finish", ("cost",), None, "cost of privacy"),
        ("measure", ("test", "rows", "benign"), 1, "test records"),
        ("finish", ("model_sha256",), "0" * 64, "model"),
        ("finish", ("models", "model.safetensors"), "0" * 64, "expected the model"),
        ("finish", ("models",), {}, "expected the model"),
        ("start", ("config_sha256",), "0" * 64, "settings"),
        ("diagnose", ("by_group", "loss"), [0.0], "diagnoses"),
        ("finish", ("events",), [], "steps charged"),
        ("finish", ("events",), "none", "malformed"),
        ("measure", ("test",), 3, "malformed"),
    ],
)
def test_a_changed_fact_is_found_though_every_hash_is_right(copy, stage, path, value, message):
    def change(line, body):
        if line.stage == stage:
            deep(body, path, value)

    rewritten(copy, change)
    with pytest.raises(VerificationError) as caught:
        verify_training(copy)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("stage", "made", "message"),
    [
        ("start", [], "start"),
        ("finish", [], "finish line"),
        ("finish", [("finish", None), ("finish", None)], "nothing after the finish"),
        ("measure", [], "measurement before the end"),
        ("diagnose", [("diagnose", 3)], "diagnosis"),
        ("diagnose", [("remark", 3)], "stage"),
        ("measure", [("measure", 99)], "expected a step"),
    ],
)
def test_lines_must_be_those_of_a_training(copy, stage, made, message):
    rewritten(copy, lambda line, body: made if line.stage == stage else None)
    if not made:  # leaving lines out is not what `change` says by an empty list
        lines = [x for x in read_record(copy / "record.jsonl") if x.stage != stage]
        (copy / "record.jsonl").unlink()
        with RecordWriter(copy / "record.jsonl") as writer:
            for line in lines:
                writer.append(line.stage, line.round, line.body)
    with pytest.raises(EquigradError) as caught:
        verify_training(copy)
    assert message in str(caught.value)


def test_a_changed_byte_a_changed_model_and_changed_settings_are_found(copy):
    model = copy / "models" / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(VerificationError, match="expected the model"):
        verify_training(copy)
    model.unlink()
    with pytest.raises(VerificationError, match="no such file"):
        verify_training(copy)
    model.write_bytes(whole)
    record = copy / "record.jsonl"
    text = record.read_text()
    record.write_text(text.replace('"steps":5', '"steps":6', 1))
    with pytest.raises(VerificationError, match="the hash does not fit"):
        verify_training(copy)
    record.write_text(text)
    config = copy / "config.json"
    config.write_text(config.read_text().replace('"name":"train"', '"name":"other"'))
    with pytest.raises(VerificationError, match="settings"):
        verify_training(copy)
