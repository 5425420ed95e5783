"""`equigrad train` and `equigrad audit`: what they print, and one message for every mistake."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

QUICK = (
    *("--data", "iris", "--model", "logistic", "--epsilon", "9", "--delta", "1e-3"),
    *("--batch", "40", "--rehearse", "--set", "training.steps=4"),
    *("--set", "privacy.noise_multiplier=2.0", "--set", "privacy.accountant=rdp"),
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of one small training, made by the installed command; tests must not change it."""
    home = tmp_path_factory.mktemp("done")
    command = [sys.executable, "-c", "from equigrad.cli import main; main()", "train", *QUICK]
    ran = subprocess.run(
        [*command, "--sensitive", "label", "--paired", "--folder", "run"],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return home / "run", ran


def test_it_prints_the_promise_the_groups_and_the_cost(done):
    _, ran = done
    out = ran.stdout
    for words in (
        "Privacy: epsilon = ",
        "(not private: seeded noise)",
        "Neighbouring data sets: add or remove one record",
        "Accountant: ",
        "Covered: nothing",
        "Not covered: ",
        "setosa",
        "virginica",
        "NOT private",
        "Gap in privacy cost",
        "not covered by epsilon",
        "Report: run/report.html",
    ):
        assert words in out
    assert "private training: 120 records of iris" in ran.stderr
    assert "step 4/4" in ran.stderr
    assert "absl" not in ran.stderr


def test_the_folder_can_be_told_verified_and_resumed(done, here, equigrad):
    shutil.copytree(done[0], here / "run")
    told = equigrad("report", "run")
    assert told.code == 0
    assert told.out == done[1].stdout
    checked = equigrad("verify", "run")
    assert checked.code == 0
    assert "epsilon" in checked.out
    assert "The record holds. Its head: " in checked.out
    again = equigrad("resume", "run", "--quiet")
    assert (again.code, again.out, again.err) == (0, told.out, "")
    assert equigrad("train", "--resume", "run", "-q").out == told.out
    as_json = json.loads(equigrad("verify", "run", "--json").out)
    assert as_json["holds"] is True


def test_a_changed_record_fails_with_code_1(done, here, equigrad):
    shutil.copytree(done[0], here / "run")
    record = here / "run" / "record.jsonl"
    record.write_text(record.read_text().replace("iris", "wine", 1))
    outcome = equigrad("verify", "run")
    assert outcome.code == 1
    assert "the hash does not fit" in outcome.err


def test_json_is_one_object(here, equigrad):
    outcome = equigrad("train", *QUICK, "--json", "-q", "--folder", "x")
    facts = json.loads(outcome.out)
    assert outcome.err == ""
    assert facts["statement"]["mark"] == "not private: seeded noise"
    assert facts["finished"] is True
    assert facts["groups"][0]["group"] == "all records"
    assert facts["report"] == "x/report.html"


def test_a_folders_settings_can_be_given_again(done, here, equigrad):
    outcome = equigrad("train", done[0] / "config.toml", "-q", "-o", "again")
    assert outcome.code == 0
    again = (here / "again" / "record.jsonl").read_text().splitlines()
    before = (done[0] / "record.jsonl").read_text().splitlines()
    assert json.loads(again[-1])["body"] == json.loads(before[-1])["body"]


def own_table(path, **columns):
    rows = np.arange(80)
    frame = pd.DataFrame(
        {"age": np.sin(rows), "sex": np.where(rows % 3, "f", "m"), "died": rows % 2, **columns}
    )
    frame.to_csv(path, index=False)


OWN = (
    *("--data", "own.csv", "--label", "died", "--sensitive", "sex", "--model", "logistic"),
    *("--epsilon", "3", "--delta", "1e-3", "--batch", "20", "--epochs", "1"),
)


def test_an_own_table_without_a_name_for_the_folder(here, equigrad):
    own_table(here / "own.csv")
    quick = ("--set", "privacy.noise_multiplier=3.0", "--set", "privacy.accountant=rdp")
    outcome = equigrad("train", *OWN, *quick, "--quiet")
    assert outcome.code == 0, outcome.err
    assert (here / "runs" / "train" / "report.html").exists()
    assert "Covered: the released model" in outcome.out
    assert "seeded" not in outcome.out
    assert equigrad("verify", "runs/train").code == 0


LOUD = ("--set", "privacy.noise_multiplier=9.0")  # so that nobody waits for a calibration


MISTAKES = [
    ((), "Expected data to train on, got none."),
    (("--epsilon", "1", "--delta", "1e-3"), "Expected data, got nothing"),
    (("-d", "iris", "--epsilon", "1"), "Expected privacy.delta, got nothing"),
    (("-d", "iris", "--epsilon", "0", "--delta", "1e-3"), "privacy.epsilon to be a number > 0"),
    (("-d", "iris", "--epsilon", "-1", "--delta", "1e-3"), "privacy.epsilon to be a number > 0"),
    (("-d", "iris", "--epsilon", "nan", "--delta", "1e-3"), "privacy.epsilon"),
    (("-d", "iris", "--epsilon", "1", "--delta", "1"), "privacy.delta to be a number < 1"),
    (("-d", "iris", "--epsilon", "much"), "Invalid value"),
    ((*QUICK, "--sensitive", "sex"), "got 'sex'"),
    ((*QUICK, "--rule", "flatt"), "Did you mean 'flat'?"),
    ((*QUICK, "--model", "mpl"), "Did you mean 'mlp'?"),
    ((*QUICK, "--model", "cnn"), "Expected images"),
    ((*QUICK, "--batch", "4000"), "privacy.expected_batch (--batch) of at most"),
    ((*QUICK, "--rule", "group-adaptive"), "fairness.sensitive (--sensitive)"),
    ((*QUICK, "--lr", "0"), "training.lr to be a number > 0"),
    ((*QUICK, "--epochs", "2"), "either `epochs` or `steps`"),
    ((*QUICK, "--diagnostics", "2"), "`sensitive` beside `diagnostics`"),
    ((*QUICK, "--account", "a.sqlite"), "charged to nobody"),
    ((*QUICK, "--set", "privacy.epsilonn=1"), "Did you mean `epsilon`?"),
    ((*QUICK, "--resume", "x"), "Expected --resume FOLDER alone"),
    (("--resume", "nowhere"), "Expected a run folder at nowhere"),
    (("nothing.toml", "-d", "iris"), "got no file nothing.toml"),
    ((*OWN, "--label", "dead"), "Expected the label column 'dead'"),
    ((*OWN, "--sensitive", "sx"), "Did you mean 'sex'?"),
    ((*OWN, "--set", 'fairness.groups=["f", "m", "d"]'), "got none of d"),
    ((*OWN, "-d", "none.csv"), "Expected a data file or folder at"),
    ((*OWN, "-d", "nan.csv"), "in every record of the column 'age'"),
    ((*OWN, "-d", "inf.csv"), "finite numbers in the column 'age'"),
    ((*OWN, "-d", "blank.csv"), "in every record of the column 'sex'"),
    ((*OWN, "-d", "unlabelled.csv"), "label column 'died'"),
    ((*OWN, "--set", "privacy.noise_multiplier=0.2"), "within epsilon = 3"),
    ((*OWN, *LOUD, "--model", "own_models:normed"), "replace_batchnorm"),
    ((*OWN, *LOUD, "--model", "own_models:mixing"), "row"),
]


@pytest.fixture
def files(here, monkeypatch):
    """Own tables with one thing wrong each, and models that cannot be trained privately."""
    age = np.sin(np.arange(80))
    own_table(here / "own.csv")
    own_table(here / "nan.csv", age=np.where(np.arange(80) == 3, np.nan, age))
    own_table(here / "inf.csv", age=np.where(np.arange(80) == 3, np.inf, age))
    own_table(here / "blank.csv", sex=["m", "f", None, "f"] * 20)
    own_table(here / "unlabelled.csv", died=[0, 1, None, 1] * 20)
    (here / "own_models.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def normed(i):\n"
        "    return nn.Sequential(nn.Linear(i.size, 8), nn.BatchNorm1d(8), "
        "nn.Linear(8, i.outputs))\n"
        "class Mixing(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x - x.mean(0))\n"
        "def mixing(i):\n"
        "    return Mixing(i.size, i.outputs)\n"
    )
    monkeypatch.syspath_prepend(here)
    return here


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_is_one_message_code_2_and_nothing_written(files, equigrad, arguments, message):
    before = sorted(p.name for p in files.iterdir())
    outcome = equigrad("train", *arguments)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    after = sorted(p.name for p in files.iterdir() if p.name != "__pycache__")
    assert after == before


def test_an_exhausted_account_refuses_and_stays_as_it_was(files, equigrad):
    quick = ("--set", "privacy.noise_multiplier=1.5", "--account", "mine.sqlite", "-q")
    assert equigrad("train", *OWN, *quick, "-o", "first").code == 0
    for number in range(9):
        before = (files / "mine.sqlite").read_bytes()
        outcome = equigrad("train", *OWN, *quick, "-o", f"again-{number}")
        if outcome.code:
            break
    assert outcome.code == 2
    assert "would raise the account of own" in outcome.err
    assert (files / "mine.sqlite").read_bytes() == before
    assert not (files / f"again-{number}").exists()
    assert number >= 1


def test_an_interrupted_training_says_how_to_go_on(here, equigrad, monkeypatch):
    from equigrad.privacy.training import PrivateTrainer

    real = PrivateTrainer.step
    calls = []

    def step(self):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self)

    monkeypatch.setattr(PrivateTrainer, "step", step)
    outcome = equigrad("train", *QUICK, "-o", "x")
    assert outcome.code == 130
    assert "Interrupted. Go on with: equigrad resume x" in outcome.err
    told = equigrad("report", "x")
    assert "Not finished: 2 of 4 steps. Go on with: equigrad resume x" in told.out
    assert equigrad("resume", "x", "-q").code == 0
    assert equigrad("train", *QUICK, "-o", "y", "-q").code == 0
    records = [(here / name / "record.jsonl").read_bytes() for name in "xy"]
    assert records[0] == records[1]


def test_audit_says_what_it_shows_and_what_not(done, here, equigrad):
    arguments = ("--canaries", "40", "--guesses", "20", "-q")
    outcome = equigrad("audit", done[0], *arguments)
    assert outcome.code == 0
    assert "guesses about 40 canaries were right" in outcome.out
    assert "cannot refute" in outcome.out or "no proof of privacy" in outcome.out
    assert "not covered by epsilon" in outcome.out
    facts = json.loads(equigrad("audit", done[0] / "config.toml", *arguments, "--json").out)
    assert facts["audit"]["guesses"] == 20
    assert facts["verdict"] in ("not refuted", "cannot refute")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "Expected the folder of a private training, got nowhere"),
        (("nothing.toml",), "got no file nothing.toml"),
        ((".",), "Expected the folder of a private training"),
        (("RUN", "--guesses", "90"), "Guess less"),
        (("RUN", "--canaries", "4000"), "at most as many canaries as rows"),
    ],
)
def test_a_mistake_in_an_audit_is_one_message(done, here, equigrad, arguments, message):
    outcome = equigrad("audit", *(done[0] if a == "RUN" else a for a in arguments))
    assert outcome.code == 2
    assert message in outcome.err
    assert os.listdir(here) == []  # noqa: PTH208 - nothing at all


def test_an_audit_tells_its_ceiling_and_guesses_often_enough(here, equigrad, done, monkeypatch):
    from equigrad.privacy.audit import OneRunAudit
    from equigrad.steward import audit

    asked = {}

    def made(*_, high, low, canaries, **__):
        asked.update(guesses=high + low, canaries=canaries)
        return OneRunAudit(3.0, 1e-4, canaries, high + low, 60, 0.5, 3.25, 0.95)

    monkeypatch.setattr(audit, "audit_training", made)
    outcome = equigrad("audit", done[0], "-q", "--canaries", "20")
    assert outcome.code == 0
    assert asked == {"canaries": 20, "guesses": 14}
    assert "The claim is not refuted" in outcome.out
    assert "guesses right the bound would be 3.250" in outcome.out


def test_the_default_number_of_guesses_can_refute_the_claim_if_any_can():
    from equigrad.privacy.audit import one_run_ceiling
    from equigrad.steward.audit import _enough_guesses

    made = _enough_guesses(200, 3.0, 1e-4, confidence=0.95)
    assert one_run_ceiling(made, 200, 1e-4) > 3.0 >= one_run_ceiling(made - 1, 200, 1e-4)
    assert _enough_guesses(200, 0.1, 1e-4, confidence=0.95) == 40
    assert _enough_guesses(20, 8.0, 1e-4, confidence=0.95) == 4


def test_trainings_are_not_compared_like_runs(here, equigrad, done):
    outcome = equigrad("compare", done[0], done[0])
    assert outcome.code == 2
    assert "got private trainings: " in outcome.err
    assert outcome.out == ""
    assert not (here / "comparison.svg").exists()


def test_a_large_delta_is_told_even_when_quiet(here, equigrad):
    outcome = equigrad("train", *QUICK, "--delta", "0.05", "-q", "-o", "x")
    assert outcome.code == 0
    assert "Warning: Expected delta below 1/120" in outcome.out
    assert "Expected delta below" in (here / "x" / "report.html").read_text()
    assert outcome.out.count("Expected delta below") == 1


def test_what_is_left_in_the_account_is_told_and_owners_are_kept_apart(files, equigrad):
    options = ("--set", "privacy.noise_multiplier=6.0", "--account", "a.sqlite", "-q")
    outcome = equigrad("train", *OWN, *options, "-o", "first")
    assert outcome.code == 0, outcome.err
    assert "Account of own: " in outcome.out
    assert "left (" in outcome.out
    own_table(files / "others.csv")
    others = (*OWN, "-d", "others.csv", *options)
    refused = equigrad("train", *others, "-o", "second")
    assert refused.code == 2
    assert "Expected an account of 'others', got that of 'own'" in refused.err
    assert not (files / "second").exists()
    told = equigrad("train", *others, "--set", "privacy.account_owner=own", "--json", "-o", "third")
    account = json.loads(told.out)["account"]
    assert account["owner"] == "own"
    assert account["left"] < 3.0


def test_a_refuted_claim_is_code_1(here, equigrad, done, monkeypatch):
    from equigrad.privacy.audit import OneRunAudit
    from equigrad.steward import audit

    made = OneRunAudit(1.0, 1e-5, 100, 50, 50, 2.7, 2.7, 0.95)
    monkeypatch.setattr(audit, "audit_training", lambda *a, **k: made)
    outcome = equigrad("audit", done[0], "-q")
    assert outcome.code == 1
    assert "The claim is refuted" in outcome.out
