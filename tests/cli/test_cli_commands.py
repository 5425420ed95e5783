"""The commands on their good days: what they print, what they write."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from equigrad import __version__
from equigrad.cli.complete import partition_rules, run_folders, run_sources
from equigrad.federation.config.loader import load_config

COMMANDS = ("init", "run", "resume", "report", "verify", "compare", "strategies", "version", "data")


def test_help_names_the_commands_and_the_exit_codes(equigrad):
    outcome = equigrad("--help")
    assert outcome.code == 0
    text = " ".join(outcome.out.split())
    assert all(f" {name} " in text for name in COMMANDS)
    assert "Exit codes: 0 done; 1 a check did not hold" in text
    assert equigrad("-h").out == outcome.out
    assert "Usage" in equigrad().out + equigrad().err


@pytest.mark.parametrize(
    "command",
    [
        *((name,) for name in COMMANDS[:7]),
        ("key",),
        ("predict",),
        ("data", "list"),
        ("data", "describe"),
    ],
)
def test_every_command_has_help_with_an_example(equigrad, command):
    outcome = equigrad(*command, "--help")
    assert outcome.code == 0
    assert f"Example: equigrad {' '.join(command)}" in " ".join(outcome.out.split())


def test_help_does_not_wait_for_heavy_libraries():
    code = (
        "import sys, equigrad.cli; "
        "heavy = {'torch', 'numpy', 'sklearn', 'pandas', 'matplotlib', 'pydantic'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version(equigrad):
    assert equigrad("--version").out == f"equigrad {__version__}\n"
    assert equigrad("version").out == f"equigrad {__version__}\n"


def test_key_makes_a_key_once(equigrad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = equigrad("key", "new/align.key")
    assert outcome.code == 0
    made = (tmp_path / "new" / "align.key").read_text()
    assert len(bytes.fromhex(made)) == 32
    assert made.strip() not in outcome.out + outcome.err
    assert equigrad("key", "new/align.key").code == 2
    assert (tmp_path / "new" / "align.key").read_text() == made


def test_init_writes_a_run_file_that_works(equigrad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = equigrad("init", "new/my.toml")
    assert outcome.code == 0
    assert "equigrad run new/my.toml" in outcome.out
    assert load_config(Path("new/my.toml")).data.name == "digits"


def table_rows(text, first):
    """The cells of the table rows whose first cell is ``first``."""
    lines = [line.strip().removeprefix("│").removesuffix("│") for line in text.splitlines()]
    cells = [[cell.strip() for cell in line.split("│")] for line in lines]
    return [row for row in cells if row[0] == first]


def test_run_tells_the_story_and_numbers_its_folders(equigrad, run_file):
    outcome = equigrad("run", "small.toml")
    assert outcome.code == 0
    folder = Path("runs/small")
    assert len(table_rows(outcome.out, "party-2")[0]) == 9
    assert "Report: runs/small/report.html" in outcome.out
    assert "round 3/3" in outcome.err
    assert "round" not in outcome.out.split("standalone, final")[0]
    assert (folder / "config.toml").read_text() == run_file.read_text()
    assert (folder / "report.html").is_file()
    quiet = equigrad("run", "small.toml", "--quiet", "--set", "rounds=1")
    assert (quiet.code, quiet.err) == (0, "")
    assert "Report: runs/small-2/report.html" in quiet.out
    assert json.loads(Path("runs/small-2/config.json").read_text())["rounds"] == 1


def test_run_as_json_prints_one_object_and_nothing_else(equigrad, run_file):
    outcome = equigrad("run", "small.toml", "--json", "--folder", "out", "--set", "rounds=2")
    facts = json.loads(outcome.out)
    assert facts["folder"] == "out"
    assert (facts["finished"], facts["rounds"]) == (True, 2)
    assert [p["party"] for p in facts["parties"]] == ["party-1", "party-2", "party-3"]
    assert Path(facts["report"]).is_file()


def test_a_finished_run_is_resumed_to_the_same_bytes(equigrad, run_file):
    assert equigrad("run", "small.toml", "--quiet", "-o", "out").code == 0
    before = Path("out/record.jsonl").read_bytes()
    assert equigrad("run", "--resume", "out", "--quiet").code == 0
    assert equigrad("resume", "out", "--quiet").code == 0
    assert Path("out/record.jsonl").read_bytes() == before


def test_verify_holds(equigrad, finished_run):
    outcome = equigrad("verify", finished_run)
    assert outcome.code == 0
    assert table_rows(outcome.out, "contributions")[0][2] == "holds"
    assert "The record of 3 rounds holds." in outcome.out
    facts = json.loads(equigrad("verify", finished_run, "--json").out)
    assert facts["holds"]
    assert facts["rounds"] == 3
    assert facts["head"] in outcome.out


def test_report_is_made_again(equigrad, run_file):
    equigrad("run", "small.toml", "--quiet", "-o", "out")
    page = Path("out/report.html")
    first = page.read_bytes()
    page.unlink()
    outcome = equigrad("report", "out")
    assert outcome.code == 0
    assert "Report: out/report.html" in outcome.out
    assert page.read_bytes() == first


def test_compare_makes_one_table_and_one_plot(equigrad, finished_run, run_file):
    equigrad("run", "small.toml", "--quiet", "-o", "paper", "--set", "rewards.preset=paper")
    outcome = equigrad("compare", finished_run, "paper", "--plot", "both.svg")
    assert outcome.code == 0
    assert table_rows(outcome.out, "method") == [["method", "cgsv (robust)", "cgsv (paper)"]]
    assert len(table_rows(outcome.out, "final: party-3")[0]) == 3
    assert ElementTree.parse("both.svg").getroot().tag.endswith("svg")  # noqa: S314 - our own file
    facts = json.loads(equigrad("compare", finished_run, "paper", "--json").out)
    assert [run["run"] for run in facts["runs"]] == ["small", "paper"]
    assert Path(facts["plot"]).is_file()


def test_data_list(equigrad):
    outcome = equigrad("data", "list")
    assert table_rows(outcome.out, "digits")[0][1:4] == ["classification", "image", "1797"]
    facts = json.loads(equigrad("data", "list", "--json").out)
    assert facts["iris"]["found"] == "bundled"


def test_data_describe_a_named_set(equigrad, tmp_path):
    whole = equigrad("data", "describe", "wine")
    assert len(table_rows(whole.out, "party-1")) == 1
    plot = tmp_path / "p.png"
    divided = equigrad(
        "data", "describe", "digits", "-p", "power-law", "-n", 4, "--seed", 2, "--plot", plot
    )
    sizes = [int(table_rows(divided.out, f"party-{i}")[0][1]) for i in range(1, 5)]
    assert sizes == sorted(sizes)
    assert f"{sum(sizes)} training records" in divided.out
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_data_describe_shows_what_the_run_file_makes_of_them(equigrad, run_file):
    outcome = equigrad("data", "describe", "small.toml", "--plot", "p.svg")
    assert table_rows(outcome.out, "party-2")[0][-1] == "25% wrong labels"
    assert "240 training records, 60 test records." in outcome.out
    facts = json.loads(equigrad("data", "describe", "small.toml", "--json").out)
    assert [p["records"] for p in facts["parties"]] == [80, 80, 80]
    assert ElementTree.parse("p.svg").getroot().tag.endswith("svg")  # noqa: S314 - our own file


def test_data_describe_regression(equigrad, tmp_path):
    plot = tmp_path / "p.svg"
    outcome = equigrad("data", "describe", "diabetes", "-n", 2, "--plot", plot)
    assert len(table_rows(outcome.out, "party-2")[0]) == 5
    assert plot.is_file()


def test_data_describe_own_files(equigrad, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = ["age,ward,died"] + [f"{30 + i},{'NS'[i % 2]},{i % 3 > 0:d}" for i in range(40)]
    Path("p.csv").write_text("\n".join(rows))
    folder = Path("wards")
    folder.mkdir()
    for name in ("east", "west"):
        (folder / f"{name}.csv").write_text("\n".join(rows))
    settings = ("--set", "data.party_column=ward")
    by_ward = equigrad("data", "describe", "p.csv", "--label", "died", *settings)
    assert len(table_rows(by_ward.out, "N")) == len(table_rows(by_ward.out, "S")) == 1
    by_file = equigrad("data", "describe", "wards", "--label", "died")
    assert len(table_rows(by_file.out, "west")) == 1
    dealt = equigrad("data", "describe", "p.csv", "--label", "died", "-n", 2, "-p", "uniform")
    assert len(table_rows(dealt.out, "party-2")) == 1


def test_strategies_lists_every_family_with_a_line_on_each(equigrad):
    from equigrad.cli.strategies import FAMILIES

    facts = json.loads(equigrad("strategies", "--json").out)
    assert set(facts) == set(FAMILIES)
    assert all(lines for lines in facts.values())
    assert [name for lines in facts.values() for name, line in lines.items() if not line] == []
    one = equigrad("strategies", "partition")
    assert "power-law" in one.out
    assert "cgsv" not in one.out


def test_completion(finished_run, tmp_path, monkeypatch):
    monkeypatch.chdir(finished_run.parents[1])
    assert f"{finished_run.parent.name}/small" in run_folders("")
    assert run_folders("zzz") == []
    monkeypatch.chdir(tmp_path)
    Path("dig.toml").touch()
    assert run_sources("dig") == ["digits", "dig.toml"]
    assert partition_rules("pow") == ["power-law"]
