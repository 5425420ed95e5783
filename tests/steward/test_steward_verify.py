"""Verification: a whole record holds, and whatever is changed is found."""

import json
import shutil

import pytest
from steward_settings import quick

from equigrad.errors import EquigradError, VerificationError
from equigrad.federation.record.chain import RecordWriter, read_record
from equigrad.steward.report import read_story
from equigrad.steward.run import start
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
        ("finish", ("statement", "delta"), 1e-9, "statement"),
        ("finish", ("statement", "private"), True, "statement"),
        (
            "finish",
            ("statement", "lines", 0),
            "Privacy: epsilon = 0.1 at delta = 0.0001",
            "statement",
        ),
        (
            "start",
            ("statement", "lines", 0),
            "Privacy: epsilon = 0.1 at delta = 0.0001",
            "statement",
        ),
        ("finish", ("statement", "claim"), "epsilon = 0.1 at delta = 0.0001", "statement"),
        ("finish", ("statement", "not_covered"), [], "statement"),
        ("finish", ("statement", "not_covered"), lambda said: said[:-1], "statement"),
        ("finish", ("statement", "neighbouring"), "substitute-one", "statement"),
        ("start", ("statement", "releases"), ["none"], "statement"),
        ("start", ("twin",), None, "twin"),
        ("start", ("diagnostics",), None, "diagnostics"),
        ("start", ("event", "label"), "other", "label"),
        ("finish", ("events", 0, "settings", "clip"), 9.0, "events as planned"),
        ("measure", ("twin",), None, "twin"),
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
        ("measure", [], "no diagnosis of this step"),
        ("diagnose", [("diagnose", 3)], "diagnosis"),
        ("diagnose", [("remark", 3)], "stage"),
        ("measure", [("measure", 99)], "the measurement after step 0"),
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


@pytest.mark.parametrize("step", range(6))
def test_a_deleted_measurement_is_found_though_every_hash_is_right(copy, step):
    lines = read_record(copy / "record.jsonl")
    (copy / "record.jsonl").unlink()
    with RecordWriter(copy / "record.jsonl") as writer:
        for line in lines:
            if (line.stage, line.round) != ("measure", step):
                writer.append(line.stage, line.round, line.body)
    with pytest.raises(VerificationError, match=r"measurement after step|of this step"):
        verify_training(copy)


def test_a_diagnosis_stands_once_and_in_its_place(copy):
    lines = read_record(copy / "record.jsonl")
    (copy / "record.jsonl").unlink()
    with RecordWriter(copy / "record.jsonl") as writer:
        for line in lines:
            for _ in range(2 if (line.stage, line.round) == ("diagnose", 2) else 1):
                writer.append(line.stage, line.round, line.body)
    with pytest.raises(VerificationError, match="no diagnosis of this step"):
        verify_training(copy)


def test_a_large_delta_is_told_in_the_record_and_cannot_be_left_out(tmp_path):
    plain = {"fairness__paired": False, "fairness__diagnostics": None}
    start(quick(privacy__delta=0.01, training__steps=1, **plain), tmp_path / "run")
    story = read_story(tmp_path / "run")
    assert any("allows whole records to be published" in text for text in story.warnings)
    assert len(story.warnings) == 1
    assert verify_training(tmp_path / "run").finished
    page = (tmp_path / "run" / "report.html").read_text()
    assert "allows whole records to be published" in page

    def silent(line, body):
        if line.stage == "start":
            body["warnings"] = []

    rewritten(tmp_path / "run", silent)
    with pytest.raises(VerificationError, match="expected the warning"):
        verify_training(tmp_path / "run")


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
