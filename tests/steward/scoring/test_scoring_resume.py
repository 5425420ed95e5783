"""A scoring that is stopped anywhere ends as an unbroken one, and is charged once."""

import json
import shutil
import subprocess
import sys
import time

import pytest
from score_settings import Stop, Stopper, everything, secret, whole

from equigrad.errors import BudgetExceededError, RecordError
from equigrad.privacy.account import PrivacyAccount
from equigrad.steward.config import dump_toml
from equigrad.steward.scoring import play
from equigrad.steward.scoring.run import resume_scoring, start_scoring


@pytest.mark.parametrize(
    ("stage", "at"), [(0, 0), (0, 3), (0, 6), (1, 200), (3, 2), (3, 6), (4, 1)]
)
def test_stopped_within_a_stage(trained_on_selection, tmp_path, stage, at):
    """Stages: scorer's model, scores, selection, model of the selection, baseline."""
    with pytest.raises(Stop):
        start_scoring(whole(), tmp_path / "run", listener=Stopper(stage, at))
    assert not (tmp_path / "run" / "local" / "report.html").exists()
    resume_scoring(tmp_path / "run", report=at == 3)
    report = at == 3
    assert everything(tmp_path / "run", report=report) == everything(
        trained_on_selection, report=report
    )


PLACES = [
    ("_write", 1),
    ("_write", 2),
    ("_write", 3),
    ("_write", 4),
    ("_write", 5),
    ("end_training", 1),
    ("end_training", 2),
    ("end_training", 3),
    ("write_table", 2),
    ("chosen_by", 1),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("name", "call"), PLACES)
def test_killed_between_two_writings(
    trained_on_selection, tmp_path, monkeypatch, name, call, after
):
    """At the n-th call, before it does anything, or after all of it."""
    home = play.Play if name.startswith("_") else play
    real, calls = getattr(home, name), []

    def killed(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            if after:
                real(*arguments, **options)
            raise Stop
        return real(*arguments, **options)

    monkeypatch.setattr(home, name, killed)
    with pytest.raises(Stop):
        start_scoring(whole(), tmp_path / "run")
    monkeypatch.setattr(home, name, real)
    resume_scoring(tmp_path / "run", report=False)
    assert everything(tmp_path / "run", report=False) == everything(
        trained_on_selection, report=False
    )


@pytest.mark.parametrize("line", ["shared", "owner's"])
def test_killed_while_it_finished(trained_on_selection, tmp_path, monkeypatch, line):
    """The shared record's last line is written first: it may be there without the owner's."""
    from equigrad.federation.record.chain import RecordWriter

    real = RecordWriter.append

    def killed(self, stage, round_, body):
        owners = "local" in self.path.parts
        if stage == "finish" and owners == (line == "owner's"):
            raise Stop
        return real(self, stage, round_, body)

    monkeypatch.setattr(RecordWriter, "append", killed)
    with pytest.raises(Stop):
        start_scoring(whole(), tmp_path / "run")
    monkeypatch.setattr(RecordWriter, "append", real)
    resume_scoring(tmp_path / "run", report=False)
    assert everything(tmp_path / "run", report=False) == everything(
        trained_on_selection, report=False
    )


def test_a_finished_scoring_is_told_again_to_the_same_bytes(trained_on_selection, tmp_path):
    shutil.copytree(trained_on_selection, tmp_path / "run")
    (tmp_path / "run" / "local" / "report.html").unlink()
    resume_scoring(tmp_path / "run")
    assert everything(tmp_path / "run") == everything(trained_on_selection)


@pytest.mark.parametrize("stage", ["model", "scores", "trained"])
def test_a_process_that_is_killed_can_be_resumed(trained_on_selection, tmp_path, stage):
    """SIGKILL once a stage's line is there, in a process of its own."""
    (tmp_path / "settings.toml").write_text(dump_toml(whole()))
    code = (
        "import sys\n"
        "from equigrad.steward.config import parse_score_settings\n"
        "from equigrad.steward.scoring.run import start_scoring\n"
        "text = open(sys.argv[1]).read()\n"
        "start_scoring(parse_score_settings(text), sys.argv[2], report=False)\n"
    )
    folder = tmp_path / "run"
    arguments = [sys.executable, "-c", code, str(tmp_path / "settings.toml"), str(folder)]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    record = folder / "local" / "record.jsonl"
    while process.poll() is None:
        if record.exists() and f'"stage":"{stage}"'.encode() in record.read_bytes():
            break
        time.sleep(0.002)
    process.kill()
    process.wait()
    resume_scoring(folder, report=False)
    assert everything(folder, report=False) == everything(trained_on_selection, report=False)


def charged(path):
    with PrivacyAccount.open(path) as account:
        assert account.unfinished() == []
        return [(event.label, event.steps) for event in account.events()], account.spent()


@pytest.mark.parametrize(("stage", "at"), [(0, 3), (1, 200), (3, 2), (4, 3)])
def test_a_resumed_scoring_is_charged_once(tmp_path, stage, at):
    path = tmp_path / "account.sqlite"
    with pytest.raises(Stop):
        start_scoring(secret(path), tmp_path / "run", listener=Stopper(stage, at))
    resume_scoring(tmp_path / "run", report=False)
    events, spent = charged(path)
    assert events == [("score: scorer's model", 6), ("score: model of the selection", 6)]
    assert 0.98 * 5 <= spent <= 5
    finish = json.loads((tmp_path / "run" / "record.jsonl").read_text().splitlines()[-1])["body"]
    assert finish["statement"]["epsilon"] == pytest.approx(spent)


def test_a_killed_selection_is_charged_once_and_chooses_the_same(tmp_path, monkeypatch):
    """A private threshold: its key is kept before the charge, and its charge is found again."""
    path = tmp_path / "account.sqlite"
    settings = secret(
        path,
        selection__rule="private-threshold",
        selection__options={"keep": 0.8, "epsilon": 0.2, "bounds": [0.0, 4.0]},
    )
    kept, real = [], play.write_table

    def killed(places, scored, scores, mask=None):
        if mask is not None:
            kept.append(mask.copy())
            if len(kept) == 1:
                raise Stop
        real(places, scored, scores, mask)

    monkeypatch.setattr(play, "write_table", killed)
    with pytest.raises(Stop):
        start_scoring(settings, tmp_path / "run")
    key = tmp_path / "run" / "local" / "work" / "selection.key"
    assert key.stat().st_mode & 0o777 == 0o600
    resume_scoring(tmp_path / "run", report=False)
    assert (kept[0] == kept[1]).all()
    assert not key.exists()
    events, spent = charged(path)
    assert sorted(steps for _, steps in events) == [1, 6, 6]
    assert 0.98 * 5 <= spent <= 5


def test_other_data_or_settings_are_noticed(tmp_path, monkeypatch):
    with pytest.raises(Stop):
        start_scoring(whole(), tmp_path / "run", listener=Stopper(1, 200))
    record = tmp_path / "run" / "record.jsonl"
    before = record.read_bytes()
    config = tmp_path / "run" / "config.json"
    changed = json.loads(config.read_text())
    changed["truth"]["flip_labels"] = 0.2
    config.write_text(json.dumps(changed, sort_keys=True, separators=(",", ":")))
    with pytest.raises(RecordError, match=r"data_sha256|config_sha256"):
        resume_scoring(tmp_path / "run")
    assert record.read_bytes() == before


def test_scores_that_were_changed_do_not_choose(tmp_path):
    import pandas as pd

    with pytest.raises(Stop):
        start_scoring(whole(), tmp_path / "run", listener=Stopper(3, 0))
    table = tmp_path / "run" / "local" / "scores.parquet"
    frame = pd.read_parquet(table)
    frame["kept"] = ~frame["kept"]
    frame.to_parquet(table, index=False)
    with pytest.raises(RecordError, match="Expected the selection as it was written"):
        resume_scoring(tmp_path / "run")


def test_a_lost_key_is_no_second_budget(tmp_path):
    """Without its key the training's steps could not be repeated: it must not go on anew."""
    path = tmp_path / "account.sqlite"
    settings = secret(path, **{"training.steps": 40})

    class Late(Stopper):
        def moved(self, done, total):
            super().moved(done, total)

    with pytest.raises(Stop):
        start_scoring(settings, tmp_path / "run", listener=Late(3, 3))
    with PrivacyAccount.open(path) as account:
        name = account.unfinished()[0]
        account.resume_run(name).destroy_key()
    with pytest.raises(BudgetExceededError, match=r"planned|would"):
        resume_scoring(tmp_path / "run", report=False)


def test_a_folder_is_used_by_one_process_at_a_time(tmp_path):
    folder, refused = tmp_path / "run", []

    class Second(Stopper):
        def stage(self, name, words, unit):
            with pytest.raises(RecordError, match=r"got .* in use"):
                resume_scoring(folder)
            refused.append(name)

    start_scoring(whole(), folder, listener=Second(99, 0), report=False)
    assert refused == ["model", "scores", "selection", "trained", "trained"]


def test_only_scorings_are_resumed_here(tmp_path):
    with pytest.raises(RecordError, match="no such folder"):
        resume_scoring(tmp_path / "none")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RecordError, match="another run"):
        resume_scoring(tmp_path)
