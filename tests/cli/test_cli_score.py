"""`equigrad score`: what it prints and leaves, and one message for every mistake."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

QUICK = (
    *("--data", "iris", "--model", "logistic", "--epsilon", "9", "--delta", "1e-3"),
    *("--batch", "120", "--rehearse", "--steps", "4", "--set", "privacy.accountant=rdp"),
    *("--set", "scoring.checkpoints=4"),
)
WHOLE = (*QUICK, "--select", "fixed-threshold", "--train", "--flip-labels", "0.1")
WHOLE = (*WHOLE, "--set", "truth.removal=false", "--sensitive", "label")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One small scoring, made by the installed command; tests must not change it."""
    home = tmp_path_factory.mktemp("done")
    command = [sys.executable, "-c", "from equigrad.cli import main; main()", "score", *WHOLE]
    ran = subprocess.run(
        [*command, "--folder", "run"], cwd=home, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return home / "run", ran


def test_it_prints_the_promise_the_scores_and_the_comparison(done):
    _, ran = done
    out = " ".join(ran.stdout.split())
    for words in (
        "Privacy: epsilon = ",
        "(not private: seeded noise)",
        "Not covered: everything in the part local/ of the folder",
        "For the owner of the records only",
        "loss-mean",
        "AUC",
        "low: hard, or wrongly labelled",
        "Selection by fixed-threshold: ",
        "tell nobody",
        "Kept, by class: ",
        "on all records (baseline)",
        "Released: the selected model",
        "to release it later is charged on top",
        "Scores: run/local/scores.parquet (also .csv)",
        "Report: run/local/report.html",
    ):
        assert words in out, words
    err = " ".join(ran.stderr.split())
    for words in (
        "scoring: 120 records of iris by loss-mean, aum",
        "stage: scorer's model, trained with noise",
        "done: 4 steps",
        "stage: scores by loss-mean, aum at 4 checkpoints",
        "stage: selection by fixed-threshold",
        "stage: model of the selection",
        "stage: baseline, on all records",
        "finished: run",
    ):
        assert words in err, words
    assert "absl" not in err


def test_the_folder_can_be_told_verified_and_resumed(done, here, equigrad):
    shutil.copytree(done[0], here / "run")
    told = equigrad("report", "run")
    assert told.code == 0
    assert told.out == done[1].stdout
    checked = equigrad("verify", "run")
    assert checked.code == 0
    assert "epsilon of all releases together" in checked.out
    assert "records chosen again" in checked.out
    assert "The record holds. Its head: " in checked.out
    again = equigrad("resume", "run", "--quiet")
    assert (again.code, again.out, again.err) == (0, told.out, "")
    assert equigrad("score", "--resume", "run", "-q").out == told.out
    assert json.loads(equigrad("verify", "run", "--json").out)["holds"] is True


def test_a_changed_record_fails_with_code_1(done, here, equigrad):
    shutil.copytree(done[0], here / "run")
    record = here / "run" / "record.jsonl"
    record.write_text(record.read_text().replace("iris", "wine", 1))
    outcome = equigrad("verify", "run")
    assert outcome.code == 1
    assert "the hash does not fit" in outcome.err


def test_json_is_one_object(here, equigrad):
    outcome = equigrad("score", *QUICK, "--json", "-q", "--folder", "x")
    facts = json.loads(outcome.out)
    assert outcome.err == ""
    assert facts["statement"]["mark"] == "not private: seeded noise"
    assert facts["finished"] is True
    assert [row["scorer"] for row in facts["scorers"]] == ["loss-mean", "aum"]
    assert facts["selection"] is None
    assert facts["report"] == "x/local/report.html"


def test_a_folders_settings_can_be_given_again(done, here, equigrad):
    outcome = equigrad("score", done[0] / "config.toml", "-q", "-o", "again")
    assert outcome.code == 0
    records = [(folder / "record.jsonl").read_bytes() for folder in (here / "again", done[0])]
    assert records[0] == records[1]


def test_several_scorers_and_a_public_model(here, equigrad):
    outcome = equigrad(
        *("score", "--data", "iris", "-m", "logistic", "--model-origin", "public"),
        *("--public-data", "iris", "--steps", "3", "-s", "loss", "-s", "el2n", "-s", "vog"),
        *("--seed", "3", "-q"),
    )
    assert outcome.code == 0, outcome.err
    assert "no budget is spent" in outcome.out
    assert "vog" in outcome.out
    frame = pd.read_csv(here / "runs" / "score" / "local" / "scores.csv")
    assert {"loss", "el2n", "vog"} <= set(frame.columns)
    research = ("score", "-d", "iris", "-m", "logistic", "--research", "--steps", "3", "-q")
    told = equigrad(*research)
    assert told.code == 0
    assert "tainted" in told.out
    assert (here / "runs" / "score-2").is_dir()


def own_table(path, **columns):
    rows = np.arange(80)
    frame = pd.DataFrame(
        {"age": np.sin(rows), "sex": np.where(rows % 3, "f", "m"), "died": rows % 2, **columns}
    )
    frame.to_csv(path, index=False)


OWN = (
    *("--data", "own.csv", "--label", "died", "--model", "logistic", "--epsilon", "3"),
    *("--delta", "1e-3", "--batch", "64", "--steps", "4", "--set", "privacy.accountant=rdp"),
)


@pytest.fixture
def files(here, monkeypatch):
    """Own tables with one thing wrong each, and models that cannot be trained privately."""
    age = np.sin(np.arange(80))
    own_table(here / "own.csv")
    own_table(here / "nan.csv", age=np.where(np.arange(80) == 3, np.nan, age))
    own_table(here / "inf.csv", age=np.where(np.arange(80) == 3, np.inf, age))
    own_table(here / "real.csv", died=age * 3)
    (here / "short.csv").write_text("truth\n1\n0\n")
    (here / "own_models_too.py").write_text(
        "from torch import nn\n"
        "def normed(i):\n"
        "    return nn.Sequential(nn.Linear(i.size, 8), nn.BatchNorm1d(8), "
        "nn.Linear(8, i.outputs))\n"
    )
    (here / "empty").mkdir()
    monkeypatch.syspath_prepend(here)
    return here


SELECT = ("--select", "fixed-threshold")
MISTAKES = [
    ((), "Expected data to score, got none."),
    (("--epsilon", "1", "--delta", "1e-3"), "Expected data, got nothing"),
    (("-d", "iris", "--delta", "1e-3"), "Expected privacy.epsilon (--epsilon), got nothing"),
    (("-d", "iris", "--epsilon", "1"), "Expected privacy.delta (--delta), got nothing"),
    (("-d", "iris", "--epsilon", "0", "--delta", "1e-3"), "privacy.epsilon to be a number > 0"),
    (("-d", "iris", "--epsilon", "nan", "--delta", "1e-3"), "privacy.epsilon"),
    (("-d", "iris", "--epsilon", "1", "--delta", "1"), "privacy.delta to be a number < 1"),
    ((*QUICK, "-s", "lossmean"), "Did you mean 'loss-mean'?"),
    ((*QUICK, "--select", "threshold"), "expected one of"),
    ((*QUICK, "--train"), "`rule` (--select) beside `train`"),
    ((*QUICK, *SELECT, "--release", "best"), "`train` beside `release`"),
    ((*QUICK, *SELECT, "--train", "--release", "worst"), "selection.release"),
    ((*QUICK, *SELECT, "--train", "--split", "1"), "selection.split to be a number < 1"),
    ((*QUICK, *SELECT, "--train", "--repeats", "0"), "selection.repeats"),
    ((*QUICK, *SELECT, "--research"), "Leave --research out"),
    ((*QUICK, "--research", "--model-origin", "public"), "got both"),
    ((*QUICK, "--model-origin", "public"), "`public_data` or `checkpoint_folder`"),
    ((*QUICK, "--public-data", "iris"), 'origin = "public"'),
    ((*QUICK, "--model-origin", "public", "--checkpoints", "empty"), "files, one for each"),
    ((*QUICK, "-s", "tracin"), "a validation set"),
    ((*QUICK, "-s", "datainf"), "a validation set"),
    ((*QUICK, "-s", "grand"), "independently initialised models"),
    ((*QUICK, "-s", "vog", "--set", "scoring.checkpoints=1"), "at least 2 checkpoints"),
    (
        (*QUICK, *SELECT, "-s", "grad-dot", "--set", "scoring.validation=test"),
        "selection_stability",
    ),
    ((*QUICK, "--select", "top-k", "--set", "selection.options.k=0"), "k"),
    ((*QUICK, "--flip-labels", "2"), "truth.flip_labels to be a number < 1"),
    ((*QUICK, "--truth", "age"), "truth.column with an own file only"),
    ((*OWN, "--truth", "ag"), "Did you mean 'age'?"),
    ((*OWN, "--truth", "short.csv"), "one true label for each of the 64 training records"),
    ((*OWN, "--truth", "none.csv"), "Expected a file of true labels"),
    ((*OWN, "--truth", "sex"), "Expected labels among 0, 1"),
    ((*OWN, "-d", "nan.csv"), "in every record of the column 'age'"),
    ((*OWN, "-d", "inf.csv"), "finite numbers in the column 'age'"),
    ((*OWN, "-d", "real.csv"), "regression label"),
    ((*OWN, "--model", "own_models_too:normed"), "replace_batchnorm"),
    ((*OWN, "--batch", "400"), "privacy.expected_batch (--batch) of at most"),
    ((*QUICK, "--account", "a.sqlite"), "charged to nobody"),
    ((*QUICK, "--set", "privacy.epsilonn=1"), "Did you mean `epsilon`?"),
    ((*QUICK, "--resume", "x"), "Expected --resume FOLDER alone"),
    (("--resume", "nowhere"), "Expected a run folder at nowhere"),
    (("nothing.toml", "-d", "iris"), "got no file nothing.toml"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_is_one_message_code_2_and_nothing_written(files, equigrad, arguments, message):
    before = sorted(p.name for p in files.iterdir())
    outcome = equigrad("score", *arguments)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    after = sorted(p.name for p in files.iterdir() if p.name != "__pycache__")
    assert after == before


def test_an_exhausted_account_refuses_and_stays_as_it_was(files, equigrad):
    account = ("--account", "mine.sqlite", "--set", "privacy.account_epsilon=4", "-q")
    first = equigrad("score", *OWN, *account, "-o", "first")
    assert first.code == 0, first.err
    assert "Account of own: " in first.out
    before = (files / "mine.sqlite").read_bytes()
    more = (*SELECT, "--train")
    outcome = equigrad("score", *OWN, *account, *more, "-o", "second")
    assert outcome.code == 2
    for words in ("model of the selection", "would raise the account of own from", "Traceback"):
        assert (words in outcome.err) == (words != "Traceback")
    assert (files / "mine.sqlite").read_bytes() == before
    assert not (files / "second").exists()


@pytest.mark.parametrize("at", [3, 7])
def test_an_interrupted_scoring_says_how_to_go_on(here, equigrad, monkeypatch, at):
    from equigrad.privacy.training import PrivateTrainer

    real, calls = PrivateTrainer.step, []

    def step(self):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(PrivateTrainer, "step", step)
    outcome = equigrad("score", *WHOLE, "-o", "x")
    assert outcome.code == 130
    assert "Interrupted. Go on with: equigrad resume x" in outcome.err
    told = equigrad("report", "x")
    assert told.code == 0
    assert "Go on with: equigrad resume x" in told.out
    assert equigrad("verify", "x").code == 0
    assert equigrad("resume", "x", "-q").code == 0
    assert equigrad("score", *WHOLE, "-o", "y", "-q").code == 0
    records = [(here / name / "record.jsonl").read_bytes() for name in "xy"]
    assert records[0] == records[1]


def test_scorings_are_not_compared_like_runs(here, equigrad, done):
    outcome = equigrad("compare", done[0], done[0])
    assert outcome.code == 2
    assert outcome.out == ""


def test_scorers_and_selectors_are_listed(equigrad):
    listed = json.loads(equigrad("strategies", "scorer", "--json").out)["scorer"]
    assert {"loss-mean", "aum", "vog", "tracin"} <= set(listed)
    chosen = json.loads(equigrad("strategies", "selector", "--json").out)["selector"]
    assert {"fixed-threshold", "private-threshold", "top-k", "all", "random"} <= set(chosen)
    assert all(chosen.values())


def test_bars_and_lines_tell_the_same(done):
    import io

    from rich.console import Console

    from equigrad.cli.score_progress import ScoreBars, ScoreLines

    start = json.loads((done[0] / "record.jsonl").read_text().splitlines()[0])["body"]
    shown = []
    for terminal in (True, False):
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=160)
        listener = ScoreBars(console) if terminal else ScoreLines(console)
        if terminal:
            listener.__enter__()
        listener.started(start)
        listener.stage("model", "scorer's model", "steps")
        listener.moved(4, 4)
        listener.outcome("aum: reliable")
        listener.message("warning", "look out")
        if terminal:
            listener.__exit__(None, None, None)
        shown.append(out.getvalue())
    for text in shown:
        for words in ("scoring: 120 records of iris", "aum: reliable", "look out", "steps"):
            assert words in text
