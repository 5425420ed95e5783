"""A market run from the command line: init, run, report, resume, verify, compare."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from market_runs import market_text
from rich.console import Console

from equigrad.cli.market_progress import LiveMarket, PlainMarket
from equigrad.federation.trade.progress import SettledRound

START = {
    "buyer": "hospital",
    "parties": ["a", "b"],
    "mechanism": "clock",
    "local": {"mechanism": "laplace"},
    "model": {"factory": "logistic", "parameters": 6},
    "currency": "CHF",
    "scale": 1000,
    "cents": 100,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    text = market_text(top='name = "sale"', party={"lab": {"behaviour": "refuses"}})
    (folder / "run.toml").write_text(text)
    return folder


@pytest.fixture
def folder(files: Path, equigrad: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a finished run of these files, played once."""
    monkeypatch.chdir(files)
    if not (files / "runs" / "sale").exists():
        done = equigrad("run", "run.toml")
        assert done.code == 0
        (files / "told.json").write_text(json.dumps([done.out, done.err]))
    return files / "runs" / "sale"


def test_a_run_tells_rounds_and_ends_with_a_table(folder: Path, files: Path) -> None:
    out, err = json.loads((files / "told.json").read_text())
    assert "buyer buys from 3 parties by clock, l2-sphere noise, model logistic" in err
    assert "info: A rehearsal, not private: seeded noise" in err
    assert "rehearsed baselines: 4/4 rounds" in err
    assert "round 2/2  3 bids, " in err
    assert "without lab (" in err
    for name in ("bank", "clinic", "lab"):
        assert f" {name} " in out
    assert "2 rounds, 2 with an update." in out
    assert "of 400.00 EUR for " in out
    assert "without noise" in out
    assert "Not private: seeded noise. Whoever knows the seed can take the noise off." in out
    assert "Report: runs/sale/report.html" in out
    assert (folder / "report.html").is_file()
    assert len(list((folder / "plots").glob("*.svg"))) == 6


def test_a_report_is_made_again_from_the_record(folder: Path, equigrad: Any) -> None:
    page = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    told = json.loads(equigrad("report", folder, "--json").out)
    assert (folder / "report.html").read_bytes() == page
    assert told["finished"]
    assert [row["party"] for row in told["parties"]] == ["bank", "clinic", "lab"]
    assert told["parties"][2]["sales"] == 0
    assert told["summary"]["paid"] == sum(row["earned"] for row in told["parties"])
    assert (told["currency"], told["scale"]) == ("EUR", 10**6)


def test_a_finished_run_is_finished_again(folder: Path, tmp_path: Path, equigrad: Any) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    done = equigrad("resume", copy, "--quiet")
    assert done.code == 0
    assert (copy / "record.jsonl").read_bytes() == (folder / "record.jsonl").read_bytes()
    assert (copy / "report.html").read_bytes() == (folder / "report.html").read_bytes()


def test_runs_are_set_side_by_side(folder: Path, tmp_path: Path, equigrad: Any) -> None:
    plot = tmp_path / "both.svg"
    told = json.loads(equigrad("compare", folder, folder, "--plot", plot, "--json").out)
    assert [run["mechanism"] for run in told["runs"]] == ["clock", "clock"]
    assert plot.read_text().startswith("<?xml")
    assert "ERR/L², median" in equigrad("compare", folder, folder, "--plot", plot).out


def test_runs_of_other_kinds_are_not_set_beside_it(
    folder: Path, tmp_path: Path, equigrad: Any
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"kind": "vertical"}')
    (other / "record.jsonl").write_text("")
    done = equigrad("compare", folder, other)
    assert done.code == 2
    assert "got market and vertical ones" in done.err


def test_the_record_verifies_and_names_an_edit(folder: Path, tmp_path: Path, equigrad: Any) -> None:
    done = equigrad("verify", folder)
    assert done.code == 0
    assert "The record of 2 rounds holds" in done.out
    assert "Not checked: The baselines: " in done.out
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "market.db").unlink()
    told = json.loads(equigrad("verify", copy, "--json").out)
    assert told["holds"]
    assert any("market.db" in text for text in told["unchecked"])
    record = copy / "record.jsonl"
    record.write_text(record.read_text().replace('"wallets":{"bank":', '"wallets":{"bank":1', 1))
    done = equigrad("verify", copy)
    assert done.code == 1
    assert "the hash does not fit" in done.err


def test_the_example_of_init_plays_as_it_is(
    tmp_path: Path, equigrad: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert equigrad("init", "--kind", "market", "my.toml").code == 0
    done = equigrad("run", "my.toml", "--set", "rounds=2", "--json", "--quiet")
    assert done.code == 0
    assert done.err == ""
    told = json.loads(done.out)
    assert len(told["parties"]) == 8
    assert told["summary"]["valid"] == 2
    assert not (tmp_path / "my-data").exists()
    assert equigrad("init", "--kind", "market", "my.toml").code == 2


def settled(round_: int, **changes: Any) -> SettledRound:
    facts: dict[str, Any] = {
        "round": round_,
        "total": 30,
        "invited": 2,
        "bids": 2,
        "awards": 1,
        "verified": 1,
        "budget": 5000,
        "spent": 1250,
        "paid": 1250,
        "relative_error": 12.3456,
        "score": 0.75,
    }
    return SettledRound(**{**facts, **changes})


def test_lines_say_how_a_round_ended() -> None:
    text = io.StringIO()
    plain = PlainMarket(Console(file=text, width=200))
    plain.started(START)
    for done in range(1, 9):
        plain.rehearsed(done, 8)
    plain.round_settled(settled(0))
    plain.round_settled(settled(1, relative_error=None, failed=True, missing={"b": "late"}))
    plain.round_settled(settled(2, relative_error=None, score=None))
    plain.finished(Path("runs/x"))
    lines = text.getvalue().splitlines()
    assert (
        lines[0]
        == "hospital buys from 2 parties by clock, laplace noise, model logistic with 6 parameters"
    )
    assert lines[1:5] == [f"rehearsed baselines: {n}/8{' rounds' * (n == 8)}" for n in (2, 4, 6, 8)]
    money = "paid 1.25 of 5.00 CHF"
    assert lines[5] == (
        f"round 1/30  2 bids, 1 awards, 1 delivered, {money}; ERR/L² 12.3; score 0.750"
    )
    assert lines[6].endswith("no update: too few delivered; score 0.750; without b (late)")
    assert lines[7].endswith("no update: nobody sold")
    assert lines[8] == "finished: runs/x"


def test_a_terminal_shows_the_last_rounds_in_a_table() -> None:
    text = io.StringIO()
    console = Console(file=text, width=100, force_terminal=True, color_system=None)
    with LiveMarket(console) as live:
        live.started(START)
        live.rehearsed(1, 8)
        for round_ in range(20):
            live.round_settled(settled(round_, missing={"b": "late"} if round_ == 19 else {}))
        live.message("warning", "look")
        live._live.refresh()
        shown = text.getvalue()
        live.finished(Path("runs/x"))
    assert "rehearsing the baselines: 1/8 rounds" in shown or "round 20/30" in shown
    last = shown[shown.rindex("round 20/30") :]
    assert "25.00 CHF" in last
    assert "b (late)" in last
    assert "warning: look" in shown
