"""A vertical run from the command line: run, report, resume, predict."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from vertical_runs import run_text, write_files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    write_files(folder, missing={"shop": 9})
    (folder / "run.toml").write_text(run_text(top='name = "partners"'))
    return folder


@pytest.fixture
def folder(files: Path, tmp_path: Path, equigrad: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a finished run of these files, played once."""
    monkeypatch.chdir(files)
    if not (files / "runs" / "partners").exists():
        done = equigrad("run", "run.toml")
        assert done.code == 0
        (files / "told.json").write_text(json.dumps([done.out, done.err]))
    return files / "runs" / "partners"


def test_a_run_tells_rounds_and_ends_with_a_table(folder: Path, files: Path) -> None:
    out, err = json.loads((files / "told.json").read_text())
    assert "regression by bank, assisted by shop, clinic; loss mse" in err
    assert "aligned 90 rows: bank 90, shop 81, clinic 90" in err
    assert "info: The residual is the label" in err
    assert err.count("\nround ") == 4
    assert "round 4/4  loss " in err
    for name in ("bank (sponsor)", "shop", "clinic"):
        assert f" {name} " in out
    assert "Kept 4 rounds" in out
    assert "split learning would have sent" in out
    assert "Report: runs/partners/report.html" in out
    assert (folder / "report.html").is_file()
    assert len(list((folder / "plots").glob("*.svg"))) == 5


def test_a_report_is_made_again_from_the_record(folder: Path, equigrad: Any) -> None:
    page = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    told = json.loads(equigrad("report", folder, "--json").out)
    assert (folder / "report.html").read_bytes() == page
    assert told["finished"]
    assert [row["party"] for row in told["parties"]] == ["bank", "shop", "clinic"]
    assert told["summary"]["rounds"] == 4


def test_a_finished_run_is_finished_again(folder: Path, tmp_path: Path, equigrad: Any) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    done = equigrad("resume", copy, "--quiet")
    assert done.code == 0
    assert (copy / "record.jsonl").read_bytes() == (folder / "record.jsonl").read_bytes()
    assert (copy / "report.html").read_bytes() == (folder / "report.html").read_bytes()


def test_runs_are_set_side_by_side(folder: Path, equigrad: Any) -> None:
    told = json.loads(equigrad("compare", folder, folder, "--json").out)
    assert [run["rounds"] for run in told["runs"]] == [4, 4]
    assert "validation loss, last" in equigrad("compare", folder, folder).out


def test_the_record_verifies_and_names_an_edit(folder: Path, tmp_path: Path, equigrad: Any) -> None:
    done = equigrad("verify", folder)
    assert done.code == 0
    assert "The record of 4 rounds holds" in done.out
    copy = shutil.copytree(folder, tmp_path / "copy")
    record = copy / "record.jsonl"
    record.write_text(record.read_text().replace('"capped":false', '"capped":true', 1))
    assert equigrad("verify", copy).code == 1


def test_the_example_of_init_plays_as_it_is(
    tmp_path: Path, equigrad: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert equigrad("init", "--kind", "vertical", "my.toml").code == 0
    done = equigrad("run", "my.toml", "--set", "vertical.n_rounds=2", "--json", "--quiet")
    assert done.code == 0
    assert [row["party"] for row in json.loads(done.out)["parties"]] == [
        "clinic",
        "laboratory",
        "imaging",
    ]
    assert (tmp_path / "my-data" / "alignment.key").stat().st_mode & 0o777 == 0o600
    again = equigrad("init", "--kind", "vertical", "my.toml")
    assert again.code == 2
    assert equigrad("init", "--kind", "diagonal", "other.toml").code == 2


def test_horizontal_commands_name_the_kind(files: Path, folder: Path, equigrad: Any) -> None:
    done = equigrad("data", "describe", "run.toml")
    assert done.code == 2
    assert "vertical" in done.err


def test_warnings_are_told_once_and_plainly(files: Path, tmp_path: Path, equigrad: Any) -> None:
    text = (files / "shop.csv").read_text().splitlines()
    rows = [f"{line},{'country' if i == 0 else 'de'}" for i, line in enumerate(text)]
    (files / "constant.csv").write_text("\n".join(rows) + "\n")
    (files / "other.toml").write_text(run_text().replace("shop.csv", "constant.csv"))
    done = equigrad("run", files / "other.toml", "-o", tmp_path / "run", "--quiet", "--json")
    assert done.code == 0
    assert done.err.count("warning: Expected columns of constant.csv") == 1
    assert "Warning:" not in done.err
    assert json.loads(done.out)["finished"]
