"""A vertical run is the same with parties that keep their own states, reached by a post."""

from pathlib import Path

from loop_post import LoopEngine
from vertical_runs import make_config, write_files

from equigrad.federation.runner import run


def test_the_record_is_the_same(tmp_path: Path) -> None:
    write_files(tmp_path)
    config = make_config(tmp_path)
    local = run(config, tmp_path / "local", report=False)
    engine = LoopEngine(tmp_path / "states")
    remote = run(config, tmp_path / "remote", engine=engine, report=False)
    assert (remote / "record.jsonl").read_bytes() == (local / "record.jsonl").read_bytes()
