"""The run folder and its files."""

import os
from pathlib import Path

import pytest

from equigrad.errors import RecordError
from equigrad.federation.record.canonical import sha256_json
from equigrad.federation.record.disk import write_atomic
from equigrad.federation.record.folder import RunFolder

CONFIG = {"name": "run", "seed": 3, "rewards": {"beta": 0.25}}


def test_create_and_open(tmp_path: Path) -> None:
    made = RunFolder.create(tmp_path / "runs" / "one", "# a comment\nseed = 3\n", CONFIG)
    folder = RunFolder.open(made.path)
    assert folder.config_toml.read_text() == "# a comment\nseed = 3\n"
    assert folder.read_config() == CONFIG
    assert folder.config_sha256() == sha256_json(CONFIG)
    assert folder.model("party-1") == folder.path / "models" / "party-1.safetensors"
    assert folder.models.is_dir()
    folder.add_timing({"round": 0, "train": 0.5})
    folder.add_timing({"round": 1, "train": 0.25})
    assert folder.timings.read_text() == '{"round":0,"train":0.5}\n{"round":1,"train":0.25}\n'


def test_an_empty_folder_is_taken_a_used_one_is_not(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, "", CONFIG)
    with pytest.raises(RecordError, match="--resume"):
        RunFolder.create(tmp_path, "", CONFIG)


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"without config\.json"):
        RunFolder.open(tmp_path)
    with pytest.raises(RecordError, match="no such folder"):
        RunFolder.open(tmp_path / "none")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RecordError, match="Expected a configuration"):
        RunFolder.open(tmp_path).read_config()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match="part of the path is a file"):
        RunFolder.create(tmp_path / "file" / "run", "", CONFIG)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RecordError, match="that you may write to"):
        RunFolder.create(tmp_path / "run", "", CONFIG)


def test_an_atomic_write_leaves_the_old_content_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomic(path, "old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    (tmp_path / ".f.new").mkdir()
    with pytest.raises(RecordError, match="Expected to write"):
        write_atomic(path, "newer")
    assert path.read_bytes() == b"new"
