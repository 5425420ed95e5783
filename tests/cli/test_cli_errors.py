"""Every way to use a command wrongly: one message, the right exit code, never a traceback."""

import os
import shutil
import subprocess
import sys

import pytest

from equigrad.cli import commands


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runn",), "No such command"),
        (("run", "--foldr", "x"), "No such option"),
        (("verify",), "Missing argument"),
        (("data", "describe", "digits", "--parties", "many"), "Invalid value"),
        (("run",), "Expected a run file or --resume FOLDER, got neither."),
        (("run", "none.toml"), "got no file none.toml. Write one with"),
        (("run", "small.toml", "--resume", "x"), "Expected --resume FOLDER alone"),
        (("run", "small.toml", "--set", "rounds"), "Expected --set KEY=VALUE"),
        (("run", "small.toml", "--set", "rouns=1"), "--set rouns=1: Expected a known key"),
        (("run", "small.toml", "--set", "method=cgvs"), "Did you mean 'cgsv'?"),
        (("run", "small.toml", "--set", "data.records=9999"), "Expected data.records of at most"),
        (("run", "--resume", "nowhere"), "Expected a run folder at nowhere, got no such folder."),
        (("resume", "nowhere"), "Expected a run folder at nowhere"),
        (("report", "nowhere"), "Expected a run folder at nowhere"),
        (("verify", "nowhere"), "Expected a run folder at nowhere"),
        (("compare", "nowhere", "."), "Expected a run folder at nowhere"),
        (("compare", "nowhere"), "Expected at least two run folders, got one."),
        (("compare", "a", "b", "--plot", "x.jpg"), "Expected a plot file ending in .svg"),
        (("data", "describe", "digitz"), "Did you mean 'digits'?"),
        (("data", "describe", "none.csv"), "got no file none.csv"),
        (("data", "describe", "."), "Name it with --label COLUMN."),
        (("data", "describe", "digits", "-p", "powerlaw"), "Did you mean 'power-law'?"),
        (("data", "describe", "digits", "-p", "power-law"), "Expected the number of parties"),
        (("data", "describe", "digits", "--plot", "x.gif"), "Expected a plot file ending in .svg"),
        (("data", "describe", "digits", "--plot", "no/x.svg"), "Expected to write no/x.svg"),
        (("strategies", "colour"), "Expected a family among method,"),
        (("init", "small.toml"), "Expected a new file, got small.toml, which exists."),
        (("init", "small.toml/x.toml"), "Expected to write small.toml/x.toml"),
    ],
)
def test_a_mistake_is_one_message_and_code_2(equigrad, run_file, arguments, message):
    outcome = equigrad(*arguments)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("rounds = 3", "rouns = 3", 3, "Did you mean `rounds`?"),
        ("rounds = 3", 'rounds = "3"', 3, "Expected rounds to be a whole number"),
        ("lr = 0.1", "lr = -1", 13, "Expected training.lr to be a number > 0, got -1."),
        ('name = "digits"', 'name = "digit"', 5, "Did you mean 'digits'?"),
        ("label_noise = 0.25", "behaviour = 'ecko'", 16, "Did you mean 'echo'?"),
        ('name = "party-2"', 'name = "party-9"', 15, "Expected a party among party-1"),
        ("parties = 3", "parties = ", 9, "Expected TOML"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(equigrad, run_file, old, new, line, message):
    run_file.write_text(run_file.read_text().replace(old, new))
    outcome = equigrad("run", "small.toml")
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: small.toml, line {line}")
    assert message in outcome.err
    assert not (run_file.parent / "runs").exists()


def test_a_folder_in_use_is_left_alone(equigrad, run_file):
    folder = run_file.parent / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    outcome = equigrad("run", "small.toml", "--folder", "mine")
    assert outcome.code == 2
    assert "Expected mine to be new or empty" in outcome.err
    assert [p.name for p in folder.iterdir()] == ["letter.txt"]


@pytest.fixture
def tampered(finished_run, tmp_path):
    """A copy of a run in which one digit of one contribution was changed."""
    folder = tmp_path / "tampered"
    shutil.copytree(finished_run, folder)
    record = folder / "record.jsonl"
    text = record.read_text()
    at = text.index('"values":[0.') + len('"values":[0.')
    record.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :])
    return folder


def test_a_record_that_was_changed_fails_with_code_1(equigrad, tampered):
    outcome = equigrad("verify", tampered)
    assert outcome.code == 1
    assert outcome.err.startswith("error: ")
    assert "line" in outcome.err
    assert outcome.out == ""
    assert equigrad("report", tampered).code == 1


def test_a_failed_verification_as_json(equigrad, tampered):
    import json

    outcome = equigrad("verify", tampered, "--json")
    facts = json.loads(outcome.out)
    assert (outcome.code, facts["holds"]) == (1, False)
    assert "line" in facts["problem"]


def test_an_interrupted_run_says_how_to_go_on(equigrad, run_file, monkeypatch):
    from equigrad.federation import runner

    def stop(config, folder, **_):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", stop)
    outcome = equigrad("run", "small.toml", "--folder", "half", "--quiet")
    assert outcome.code == 130
    assert outcome.err.strip() == "Interrupted. Go on with: equigrad resume half"


def test_interrupted_before_anything_was_written(equigrad, run_file, monkeypatch):
    from equigrad.federation import runner

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", stop)
    assert equigrad("run", "small.toml", "--quiet") == (130, "", "Interrupted.\n")


def test_an_interrupt_anywhere_else_is_quiet(equigrad, monkeypatch):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "app", stop)
    assert equigrad() == (130, "", "Interrupted.\n")


def test_a_bug_shows_its_traceback(monkeypatch):
    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "app", fail)
    with pytest.raises(ZeroDivisionError):
        commands.main()


def script(*arguments, **options):
    code = "from equigrad.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_the_process_ends_with_the_code_and_no_traceback(run_file):
    run_file.write_text(f"rouns = 1\n{run_file.read_text()}")
    with script("run", "small.toml", cwd=run_file.parent) as process:
        out, err = process.communicate()
    assert process.returncode == 2
    assert out == ""
    assert err.startswith("error: small.toml, line 1: Expected a known key at the top level")
    assert "Traceback" not in err


def test_a_terminal_without_our_characters_is_no_traceback():
    with script("data", "list", env={**os.environ, "PYTHONIOENCODING": "ascii"}) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert "digits" in out


def test_a_reader_that_goes_away_is_no_error_message():
    with script("strategies") as process:
        process.stdout.close()
        err = process.stderr.read()
        process.wait()
    assert err == ""
    assert process.returncode == 1


def test_a_run_below_its_quorum_stops_with_code_1(equigrad, run_file, monkeypatch):
    from equigrad.errors import QuorumError
    from equigrad.federation import runner

    def stop(*_, **__):
        raise QuorumError("Expected 2 of 3 parties to answer, got 1, three rounds in a row.")

    monkeypatch.setattr(runner, "run", stop)
    outcome = equigrad("run", "small.toml", "--quiet")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("error: Expected 2 of 3 parties")


@pytest.mark.parametrize("factory", ["math:sqrt", "no_such_room:make"])
def test_a_model_that_cannot_be_built_is_told_with_its_line(equigrad, run_file, factory):
    run_file.write_text(run_file.read_text().replace('"logistic"', f'"{factory}"'))
    outcome = equigrad("run", "small.toml")
    assert outcome.code == 2
    assert ", line 11: " in outcome.err
    assert factory in outcome.err
    assert ("PYTHONPATH=." in outcome.err) == (factory != "math:sqrt")
    assert not (run_file.parent / "runs").exists()


def test_a_rule_that_is_only_a_method_is_said_to_be(equigrad):
    lines = equigrad("strategies", "contribution").out.splitlines()
    marked = [line for line in lines if 'as method = "shapfed" only' in line]
    assert len(marked) == 1
    assert "shapfed" in marked[0].split()
