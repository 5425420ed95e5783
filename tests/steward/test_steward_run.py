"""Playing a training: the folder, interruption at any place, accounts, and what leaves nothing."""

import json
import shutil
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from steward_settings import quick

from equigrad.errors import (
    BudgetExceededError,
    ConfigError,
    DataError,
    EquigradError,
    ModelError,
    RecordError,
)
from equigrad.privacy.account import PrivacyAccount
from equigrad.steward import run as play
from equigrad.steward.config import dump_toml
from equigrad.steward.progress import Silent
from equigrad.steward.report import read_story
from equigrad.steward.run import resume, start


class Stop(BaseException):
    """What kills a training here."""


class Stopper(Silent):
    """Stops a training once it has made so many steps."""

    def __init__(self, at):
        self.at = at

    def stepped(self, done, total):
        if done == self.at:
            raise Stop


def everything(folder, *, report=True):
    """Return every file of a folder by name, with or without what follows from the record."""
    files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    made = ("metrics", "plots", "report")
    return files if report else {k: v for k, v in files.items() if not k.startswith(made)}


def names(folder):
    """Return what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_holds_what_it_should_and_no_key(trained):
    held = set(everything(trained))
    assert {
        "config.json",
        "config.toml",
        "record.jsonl",
        "metrics.csv",
        "metrics.json",
        "models/model.safetensors",
        "report.html",
        "plots/accuracy.svg",
        "plots/loss.svg",
        "plots/state.svg",
        "plots/misalignment.svg",
        "plots/R_noise.svg",
    } <= held
    assert not [name for name in held if "private" in name or "checkpoint" in name]


def test_the_record_tells_the_training(trained):
    story = read_story(trained)
    assert [step for step, _ in story.measured] == list(range(6))
    assert [step for step, _ in story.diagnosed] == [0, 2, 4]
    assert story.finish["steps"] == 5
    assert story.statement["mark"] == "not private: seeded noise"
    assert story.finish["cost"]["pair"] == ["benign", "malignant"]
    for _, body in story.measured:
        for model in ("test", "twin"):
            assert body[model]["note"] == "computed from data, not covered by epsilon"
    text = (trained / "record.jsonl").read_text()
    assert "seeded noise" in text


def test_the_trained_model_is_the_one_that_was_measured(trained):
    from equigrad.steward.measure import measure
    from equigrad.steward.setup import prepare

    setup = prepare(quick())
    setup.model.load_state_dict(load_file(trained / "models" / "model.safetensors"))
    story = read_story(trained)
    assert measure(setup.model, setup.material).to_json() == story.latest["test"]


@pytest.mark.parametrize("at", [1, 3, 5])
def test_an_interrupted_training_ends_like_an_unbroken_one(trained, tmp_path, at):
    with pytest.raises(Stop):
        start(quick(), tmp_path / "run", listener=Stopper(at))
    assert (tmp_path / "run" / "checkpoint").is_dir()
    resume(tmp_path / "run", report=at == 3)
    assert everything(tmp_path / "run", report=at == 3) == everything(trained, report=at == 3)


@pytest.mark.parametrize("where", ["save_twin", "_Play._measure", "_Play._finish", "_tidied"])
def test_a_training_killed_between_its_writings_can_be_resumed(
    trained, tmp_path, monkeypatch, where
):
    """Killed at the third call (or the only one): before it does anything, and after."""
    owner, _, name = where.rpartition(".")
    home = play._Play if owner else play
    real, calls = getattr(home, name), []

    def killed(*arguments, **options):
        calls.append(1)
        if len(calls) == (3 if name in ("save_twin", "_measure") else 1):
            if name == "_measure":
                real(*arguments, **options)
            raise Stop
        return real(*arguments, **options)

    monkeypatch.setattr(home, name, killed)
    with pytest.raises(Stop):
        start(quick(), tmp_path / "run")
    monkeypatch.setattr(home, name, real)
    resume(tmp_path / "run", report=False)
    assert everything(tmp_path / "run", report=False) == everything(trained, report=False)


def test_a_training_killed_before_its_first_checkpoint_begins_anew(trained, tmp_path):
    with pytest.raises(Stop):
        start(quick(), tmp_path / "run", listener=Stopper(1))
    shutil.rmtree(tmp_path / "run" / "checkpoint")
    resume(tmp_path / "run", report=False)
    assert everything(tmp_path / "run", report=False) == everything(trained, report=False)


def test_a_training_killed_while_it_removes_its_checkpoint_is_finished(
    trained, tmp_path, monkeypatch
):
    from equigrad.steward import folder as places

    real = shutil.rmtree
    monkeypatch.setattr(places.shutil, "rmtree", lambda path, **_: half_removed(path, real))

    def half_removed(path, remove):
        for part in path.iterdir():
            if part.is_dir():
                remove(part)
        raise Stop

    with pytest.raises(Stop):
        start(quick(), tmp_path / "run")
    monkeypatch.setattr(places.shutil, "rmtree", real)
    resume(tmp_path / "run", report=False)
    assert everything(tmp_path / "run", report=False) == everything(trained, report=False)


def test_a_finished_training_is_told_again_to_the_same_bytes(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    resume(tmp_path / "run")
    assert everything(tmp_path / "run") == everything(trained)


def test_the_key_lies_in_the_private_part_only(tmp_path):
    with pytest.raises(Stop):
        start(quick(), tmp_path / "run", listener=Stopper(3))
    private = tmp_path / "run" / "checkpoint" / "private"
    assert private.stat().st_mode & 0o077 == 0
    keys = [path for path in private.iterdir() if path.name == "key"]
    secret = keys[0].read_bytes()
    others = [p for p in (tmp_path / "run").rglob("*") if p.is_file() and private not in p.parents]
    assert not [path for path in others if secret in path.read_bytes()]


def test_private_trainings_differ_and_say_so_nowhere(tmp_path):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        plain = {"fairness__paired": False, "fairness__diagnostics": None}
        settings = quick(privacy__noise="secret", training__steps=1, **plain)
        start(settings, folder, report=folder.name == "a")
    models = [load_file(folder / "models" / "model.safetensors") for folder in folders]
    assert not torch.equal(models[0]["1.weight"], models[1]["1.weight"])
    story = read_story(folders[0])
    assert story.statement["private"] is True
    assert story.statement["covered"]
    assert "seeded" not in (folders[0] / "report.html").read_text()


def test_the_seed_moves_weights_and_split_and_nothing_else_of_the_form(trained, tmp_path):
    plain = {"fairness__paired": False, "fairness__diagnostics": None}
    start(quick(seed=1, **plain), tmp_path / "other", report=False)
    ours, theirs = read_story(trained), read_story(tmp_path / "other")
    assert ours.start["model"]["initial_sha256"] != theirs.start["model"]["initial_sha256"]
    assert ours.start["event"] == theirs.start["event"]


def test_a_resumed_training_notices_another_program_or_data(tmp_path):
    with pytest.raises(Stop):
        start(quick(), tmp_path / "run", listener=Stopper(3))
    record = tmp_path / "run" / "record.jsonl"
    before = record.read_bytes()
    config = tmp_path / "run" / "config.json"
    changed = json.loads(config.read_text())
    changed["name"] = "other"
    config.write_text(json.dumps(changed, sort_keys=True, separators=(",", ":")))
    with pytest.raises(EquigradError, match="Expected"):
        resume(tmp_path / "run")
    assert record.read_bytes() == before


def test_only_trainings_are_resumed(tmp_path):
    with pytest.raises(RecordError, match="no such folder"):
        resume(tmp_path / "none")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RecordError, match="another run"):
        resume(tmp_path)


REFUSED = [
    ({"privacy__rule": "flatt"}, ConfigError, "Did you mean 'flat'?"),
    ({"privacy__options": {"clipp": 1.0}}, ConfigError, "Did you mean 'clip'?"),
    ({"privacy__options": {"clip": -1.0}}, ConfigError, "clip"),
    ({"privacy__expected_batch": 10_000}, ConfigError, "at most the number of training records"),
    ({"privacy__noise_multiplier": 0.3}, BudgetExceededError, "within epsilon"),
    ({"model__factory": "cnn"}, ModelError, "Expected images"),
    ({"model__factory": "mpl"}, ConfigError, "Did you mean 'mlp'?"),
    ({"data__name": "digitz"}, ConfigError, "Did you mean 'digits'?"),
    ({"training__optimizer": "SGDD"}, ConfigError, "Did you mean"),
    ({"training__optimizer": "LBFGS"}, ConfigError, "first-order"),
    ({"fairness__sensitive": "sex"}, DataError, "got 'sex'"),
    ({"fairness__pair": ["benign", "x"]}, ConfigError, "got 'x'"),
    ({"fairness__groups": ["benign", "malignant", "x"]}, DataError, "got none of x"),
    ({"privacy__rule": "group-adaptive", "privacy__options": {"cap": 0.5}}, ConfigError, "cap"),
]


@pytest.mark.parametrize(("changes", "kind", "message"), REFUSED)
def test_what_is_refused_leaves_nothing(tmp_path, changes, kind, message):
    folder, taken = tmp_path / "run", "privacy__options" in changes
    if taken:
        folder.mkdir()
    account = tmp_path / "account.sqlite"
    secret = {"privacy__noise": "secret", "privacy__account": str(account)}
    with pytest.raises(kind, match=message.replace("?", r"\?")):
        start(quick(**{**changes, **secret}), folder)
    assert names(tmp_path) == (["run"] if taken else [])
    assert not taken or not names(folder)


def test_batch_statistics_are_refused_with_the_remedy(tmp_path, monkeypatch):
    module = tmp_path / "own_models.py"
    module.write_text(
        "from torch import nn\n"
        "def normed(i):\n"
        "    return nn.Sequential(nn.Linear(i.size, 8), nn.BatchNorm1d(8), "
        "nn.Linear(8, i.outputs))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match="replace_batchnorm"):
        start(quick(model__factory="own_models:normed"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RecordError, match="new or empty"):
        start(quick(), tmp_path)
    assert names(tmp_path) == ["letter.txt"]


def with_account(path, **changes):
    options = {"privacy__noise": "secret", "privacy__account": str(path)}
    return quick(
        **{
            **options,
            "training__steps": 3,
            "fairness__diagnostics": None,
            "fairness__paired": False,
            **changes,
        }
    )


def test_an_account_outlives_trainings_and_refuses_the_one_too_many(tmp_path):
    path = tmp_path / "account.sqlite"
    settings = with_account(path, privacy__account_epsilon=3.0)
    start(settings, tmp_path / "first", report=False)
    with PrivacyAccount.open(path) as account:
        assert (account.epsilon, account.delta) == (3.0, 1e-4)
        assert account.unfinished() == []
        assert sum(event.steps for event in account.events()) == 3
        before, spent = account.head(), account.spent()
    assert spent == pytest.approx(read_story(tmp_path / "first").statement["epsilon"])
    for number in range(10):
        try:
            start(with_account(path), tmp_path / f"again-{number}", report=False)
        except BudgetExceededError:
            break
    else:
        pytest.fail("the account was never exhausted")
    assert number >= 1
    with PrivacyAccount.open(path) as account:
        assert account.head() != before
        before = account.head()
    with pytest.raises(BudgetExceededError):
        start(with_account(path), tmp_path / "late")
    with PrivacyAccount.open(path) as account:
        assert account.head() == before
    assert not (tmp_path / "late").exists()


def test_a_resumed_training_is_charged_once(tmp_path):
    path = tmp_path / "account.sqlite"
    with pytest.raises(Stop):
        start(with_account(path), tmp_path / "run", listener=Stopper(2))
    with PrivacyAccount.open(path) as account:
        assert len(account.unfinished()) == 1
    resume(tmp_path / "run", report=False)
    with PrivacyAccount.open(path) as account:
        assert account.unfinished() == []
        assert [event.steps for event in account.events()] == [3]
    assert read_story(tmp_path / "run").finish["events"][0]["steps"] == 3


def test_an_account_is_not_for_rehearsals(tmp_path):
    with pytest.raises(ConfigError, match="charged to nobody"):
        quick(privacy__account=str(tmp_path / "account.sqlite"))


def test_a_large_delta_is_a_warning(tmp_path):
    told = []

    class Listener(Silent):
        def message(self, level, text):
            told.append((level, text))

    start(
        quick(privacy__delta=0.01, training__steps=1),
        tmp_path / "run",
        listener=Listener(),
        report=False,
    )
    assert [level for level, text in told if "delta" in text] == ["warning"]


def test_a_process_that_is_killed_can_be_resumed(trained, tmp_path):
    """SIGKILL at a moment that nobody chose, in a process of its own."""
    (tmp_path / "settings.toml").write_text(dump_toml(quick()))
    code = (
        "import sys\n"
        "from equigrad.steward.config import parse_settings\n"
        "from equigrad.steward.run import start\n"
        "start(parse_settings(open(sys.argv[1]).read()), sys.argv[2], report=False)\n"
    )
    folder = tmp_path / "run"
    arguments = [sys.executable, "-c", code, str(tmp_path / "settings.toml"), str(folder)]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    record = folder / "record.jsonl"
    while process.poll() is None:
        if record.exists() and record.read_bytes().count(b'"stage":"measure"') >= 3:
            break
        time.sleep(0.005)
    process.kill()
    process.wait()
    resume(folder, report=False)
    assert everything(folder, report=False) == everything(trained, report=False)


def test_a_training_is_locked_before_anything_of_it_is_read(tmp_path, monkeypatch):
    """A second one that reads first would take a moving record for a broken one."""
    folder = tmp_path / "run"
    refused = []

    class Second(Silent):
        def stepped(self, done, total):
            with monkeypatch.context() as patched:
                patched.setattr(play, "iter_record", None)
                with pytest.raises(RecordError, match=r"nobody goes on with, got .* in use"):
                    resume(folder)
            refused.append(done)

    plain = {"fairness__paired": False, "fairness__diagnostics": None, "training__steps": 2}
    start(quick(**plain), folder, listener=Second(), report=False)
    assert refused == [1, 2]
    resume(folder, report=False)  # and let go at the end
