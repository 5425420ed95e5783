"""The chain: what is written comes back, and any change is found and named."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equigrad.errors import RecordError, VerificationError
from equigrad.federation.record.canonical import canonical_json
from equigrad.federation.record.chain import ZERO_HASH, RecordWriter, iter_record, read_record


def write(path: Path, count: int = 6) -> RecordWriter:
    writer = RecordWriter(path)
    for index in range(count):
        writer.append("train", index, {"values": [0.1 * index, 1.5], "name": "h\u00f4pital"})
    writer.sync()
    writer.close()
    return writer


def test_lines_come_back(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    with RecordWriter(path) as writer:
        first = writer.append("start", None, {"parties": ("a", "b")})
        second = writer.append("train", 0, {"norms": [1.0, 2.0]})
    assert writer.length == 2
    assert writer.head == second["hash"]
    assert first["prev"] == ZERO_HASH
    assert second["prev"] == first["hash"]
    lines = read_record(path)
    assert [(line.index, line.stage, line.round) for line in lines] == [
        (0, "start", None),
        (1, "train", 0),
    ]
    assert lines[0].body == {"parties": ["a", "b"]}
    assert lines[1].hash == writer.head
    assert [line.hash for line in iter_record(path)] == [line.hash for line in lines]


def test_the_hash_is_what_the_documentation_says(tmp_path: Path) -> None:
    write(tmp_path / "r")
    prev = ZERO_HASH
    for raw in (tmp_path / "r").read_text().splitlines():
        line = json.loads(raw)
        assert raw == canonical_json(line)
        found = line.pop("hash")
        assert found == hashlib.sha256((prev + canonical_json(line)).encode()).hexdigest()
        prev = found


def test_a_body_cannot_hide_a_second_seal(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "r") as writer:
        writer.append("note", None, {"text": f'","hash":"{ZERO_HASH}","x":"', "hash": "body's own"})
    assert read_record(tmp_path / "r")[0].body["hash"] == "body's own"


def _digit(text: str) -> str:
    lines = text.splitlines(keepends=True)
    lines[2] = lines[2].replace("1.5", "1.4")
    return "".join(lines)


def _without(text: str, index: int) -> str:
    lines = text.splitlines(keepends=True)
    return "".join(lines[:index] + lines[index + 1 :])


def _swapped(text: str) -> str:
    lines = text.splitlines(keepends=True)
    lines[2], lines[3] = lines[3], lines[2]
    return "".join(lines)


def _resealed(text: str) -> str:
    """Change line 3 and give it a fitting hash: then line 4 no longer follows it."""
    lines = text.splitlines(keepends=True)
    line = json.loads(lines[2])
    line["body"]["values"][1] = 9.0
    line.pop("hash")
    line["hash"] = hashlib.sha256((line["prev"] + canonical_json(line)).encode()).hexdigest()
    lines[2] = canonical_json(line) + "\n"
    return "".join(lines)


@pytest.mark.parametrize(
    ("change", "line", "what"),
    [
        (_digit, 3, "the line was changed"),
        (lambda t: _without(t, 0), 1, "expected index 0, got 1"),
        (lambda t: _without(t, 2), 3, "expected index 2, got 3"),
        (_swapped, 3, "expected index 2, got 3"),
        (_resealed, 4, "expected the previous hash"),
        (lambda t: t[:-1], 6, "cut short"),
        (lambda t: t[:-40], 6, "cut short"),
        (lambda t: t + "garbage\n", 7, "expected JSON"),
        (lambda t: t + "{}\n", 7, "expected exactly the keys"),
        (lambda t: t + t.splitlines()[0] + "\n", 7, "expected index 6, got 0"),
        (lambda t: t.replace('"round":4', '"round": 4'), 5, "the line was changed"),
        (lambda t: t.replace('"round":4', '"round":true'), 5, "expected exactly the keys"),
        (lambda t: t.replace("\n", "\n\n", 1), 2, "expected JSON"),
        (lambda t: "[" * 100_000 + "\n" + t, 1, "expected JSON"),
    ],
)
def test_tampering_is_named(tmp_path: Path, change, line: int, what: str) -> None:
    path = tmp_path / "r"
    write(path)
    path.write_text(change(path.read_text()))
    with pytest.raises(VerificationError, match=rf"line {line}: .*{what}"):
        read_record(path)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_changed_byte_is_found(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    path = tmp_path_factory.mktemp("r") / "r"
    write(path, 3)
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    with pytest.raises(VerificationError, match=r"line [1-4]: "):
        read_record(path)


def test_without_check_only_the_form_matters(tmp_path: Path) -> None:
    path = tmp_path / "r"
    write(path)
    path.write_text(_swapped(path.read_text()))
    assert [line.index for line in read_record(path, check=False)] == [0, 1, 3, 2, 4, 5]


def test_a_cut_last_line_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r"
    write(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert len(list(iter_record(path, allow_cut=True))) == 5
    path.write_text(_digit(path.read_text()))
    with pytest.raises(VerificationError, match=r"line 3: "):
        list(iter_record(path, allow_cut=True))


def test_no_record(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file"):
        read_record(tmp_path / "r")


def test_a_new_record_must_be_new(tmp_path: Path) -> None:
    write(tmp_path / "r")
    with pytest.raises(RecordError, match="Expected a new record"):
        RecordWriter(tmp_path / "r")
    (tmp_path / "empty").touch()
    RecordWriter(tmp_path / "empty").close()


def test_resume_cuts_back_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    whole, again = tmp_path / "whole", tmp_path / "again"
    write(whole)
    write(again)
    head = read_record(again)[2].hash
    with again.open("ab") as file:
        file.write(b'{"body":{"half a line')
    with RecordWriter.resume(again, 3, head) as writer:
        assert (writer.length, writer.head) == (3, head)
        for index in range(3, 6):
            writer.append("train", index, {"values": [0.1 * index, 1.5], "name": "h\u00f4pital"})
    assert again.read_bytes() == whole.read_bytes()


def test_resume_from_nothing(tmp_path: Path) -> None:
    write(tmp_path / "r")
    with RecordWriter.resume(tmp_path / "r", 0, ZERO_HASH) as writer:
        writer.append("start", None, {})
    assert len(read_record(tmp_path / "r")) == 1


def test_resume_refuses_what_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "r"
    head = write(path).head
    before = path.read_bytes()
    with pytest.raises(RecordError, match="Expected line 5"):
        RecordWriter.resume(path, 5, head)
    with pytest.raises(RecordError, match="at least 7 lines"):
        RecordWriter.resume(path, 7, head)
    assert path.read_bytes() == before
    path.write_text(_digit(path.read_text()))
    with pytest.raises(RecordError, match=r"line 3: .*changed"):
        RecordWriter.resume(path, 6, head)
    with pytest.raises(RecordError, match="No such file"):
        RecordWriter.resume(tmp_path / "none", 0, ZERO_HASH)


def test_two_processes_cannot_write_one_record(tmp_path: Path) -> None:
    code = (
        "import sys; from equigrad.federation.record.chain import RecordWriter, ZERO_HASH\n"
        "from equigrad.errors import RecordError\n"
        "try: RecordWriter.resume(sys.argv[1], 0, ZERO_HASH)\n"
        "except RecordError as error: print(error)\n"
    )
    with RecordWriter(tmp_path / "r") as writer:
        writer.append("start", None, {})
        told = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "r"], capture_output=True, text=True, check=True
        )
    assert "another run is writing" in told.stdout
    assert len(read_record(tmp_path / "r")) == 1


def test_unwritable_places(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file or directory"):
        RecordWriter(tmp_path / "no" / "r")
    with pytest.raises(RecordError, match="Is a directory"):
        RecordWriter(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    (tmp_path / "r").symlink_to("/dev/full")
    with (
        RecordWriter(tmp_path / "r") as writer,
        pytest.raises(RecordError, match="disk is full: free some space"),
    ):
        writer.append("start", None, {})
