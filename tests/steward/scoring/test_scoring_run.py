"""What a scoring leaves: files and their modes, records, scores that agree with the library."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from score_settings import bodies, everything, quick, whole
from torch import nn

from equigrad.errors import (
    BudgetExceededError,
    CheckpointError,
    ConfigError,
    DataError,
    ModelError,
    NeedsError,
    RegistryError,
    StabilityError,
    TaintedScoresError,
)
from equigrad.privacy.account import PrivacyAccount
from equigrad.steward.scoring.places import ScorePlaces
from equigrad.steward.scoring.preparing import prepare_job
from equigrad.steward.scoring.progress import SilentScoring
from equigrad.steward.scoring.run import start_scoring
from equigrad.steward.scoring.scorer_model import kept_states
from equigrad.valuation import score


def test_the_folder_holds_what_it_should_and_no_key(trained_on_selection):
    held = set(everything(trained_on_selection))
    assert {
        "config.json",
        "config.toml",
        "record.jsonl",
        "models/model.safetensors",
        "models/scorer.safetensors",
        "local/NOTICE.txt",
        "local/record.jsonl",
        "local/scores.parquet",
        "local/scores.csv",
        "local/examples.json",
        "local/summary.json",
        "local/report.html",
        "local/checkpoints/step-00000006.safetensors",
        "local/models/selected-0.safetensors",
        "local/models/baseline-0.safetensors",
        "local/plots/spread-0.svg",
        "local/plots/discovery.svg",
        "local/plots/rates-0.svg",
    } <= held
    assert not [name for name in held if "key" in name or "work" in name]


def test_the_owners_part_is_for_the_owner_alone(trained_on_selection):
    local = trained_on_selection / "local"
    for path in [local, *local.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
        if path.is_file():
            assert path.stat().st_mode & 0o777 == 0o600, path
    assert "For the owner of the records only" in (local / "NOTICE.txt").read_text()


def test_no_file_of_the_owner_can_ever_be_read_by_others(tmp_path):
    """Looked at in the middle of every stage, not only at the end."""
    seen = []

    class Look(SilentScoring):
        def moved(self, done, total):
            seen.append((tmp_path / "run" / "local").stat().st_mode & 0o777)

    start_scoring(quick(), tmp_path / "run", listener=Look(), report=False)
    assert set(seen) == {0o700}


PRIVATE = ("kept", "rates", "reliability", "rho", "accuracy", "verdict", "detection", "wrong")


def test_the_shared_record_tells_nothing_of_the_owner(trained_on_selection):
    shared = bodies(trained_on_selection / "record.jsonl")
    assert [stage for stage, _ in shared] == ["start", "finish"]
    text = (trained_on_selection / "record.jsonl").read_text()
    for word in PRIVATE:
        assert f'"{word}"' not in text, word
    local = dict(bodies(trained_on_selection / "local" / "record.jsonl"))
    assert local["selection"]["kept"] < 120
    digests = [local["selection"]["sha256"]]
    digests += [one["sha256"] for one in local["scores"]["scorers"].values()]
    digests += local["start"]["data_sha256"]
    assert not [digest for digest in digests if digest in text]
    _, finish = shared[-1]
    assert finish["released"] == "selected"
    assert [event["label"] for event in finish["events"]] == [
        "score: scorer's model",
        "score: model of the selection",
    ]
    assert finish["statement"]["epsilon"] <= 5
    assert set(finish["models"]) == {"model.safetensors", "scorer.safetensors"}


def test_scores_are_those_of_the_library(trained_on_selection):
    job = prepare_job(whole())
    places = ScorePlaces(type("Place", (), {"path": trained_on_selection})())
    trajectory = job.trajectory(kept_states(job, places))
    again = score(trajectory, job.data(), ("loss-mean", "aum"), view="local")
    frame = pd.read_parquet(places.scores)
    assert list(frame.columns) == ["record", "label", "group", "wrong", "loss-mean", "aum", "kept"]
    for label, one in again.items():
        assert np.array_equal(frame[label], one.values)
    assert np.array_equal(frame["kept"], frame["loss-mean"] < np.log(2))
    assert frame["wrong"].sum() == 12
    csv = pd.read_csv(places.scores_csv)
    assert np.array_equal(csv["aum"], frame["aum"])


def test_both_arms_begin_alike_and_the_released_one_is_the_selections(trained_on_selection):
    local = trained_on_selection / "local" / "models"
    released = load_file(trained_on_selection / "models" / "model.safetensors")
    selected, baseline = (
        load_file(local / f"{arm}-0.safetensors") for arm in ("selected", "baseline")
    )
    assert all(torch.equal(released[k], selected[k]) for k in released)
    assert not all(torch.equal(baseline[k], selected[k]) for k in selected)


@pytest.mark.parametrize(("release", "labels"), [("baseline", ["baseline"]), ("best", None)])
def test_what_is_released_is_what_is_in_the_ledger(tmp_path, release, labels):
    path = tmp_path / "account.sqlite"
    settings = whole(
        **{
            "selection.release": release,
            "privacy.noise": "secret",
            "privacy.account": str(path),
            "selection.repeats": 2,
        }
    )
    start_scoring(settings, tmp_path / "run", report=False)
    finish = bodies(tmp_path / "run" / "record.jsonl")[-1][1]
    with PrivacyAccount.open(path) as account:
        charged = {event.label for event in account.events()}
        assert account.spent() == pytest.approx(finish["statement"]["epsilon"])
    assert charged == {event["label"] for event in finish["events"]}
    if labels is not None:
        assert charged == {f"score: {label}" for label in labels}
        assert set(finish["models"]) == {"model.safetensors"}
        text = (tmp_path / "run" / "record.jsonl").read_text()
        assert text.count("scorer's model") == 0
    else:
        assert len(charged) == 3
        assert finish["released"] in ("selected", "baseline")
    local = dict(bodies(tmp_path / "run" / "local" / "record.jsonl"))
    assert local["finish"]["comparison"]["repeats"] == 2
    assert local["finish"]["released"] == finish["released"]


def test_an_empty_selection_trains_on_noise_and_nobody_is_told(tmp_path):
    nothing = {"selection.options": {"threshold": -1.0}}
    start_scoring(whole(**nothing), tmp_path / "run")
    local = dict(bodies(tmp_path / "run" / "local" / "record.jsonl"))
    assert local["selection"]["kept"] == 0
    assert any("No record was kept" in text for text in local["selection"]["warnings"])
    shared = (tmp_path / "run" / "record.jsonl").read_text()
    assert "No record was kept" not in shared
    finish = bodies(tmp_path / "run" / "record.jsonl")[-1][1]
    assert [event["steps"] for event in finish["events"]] == [6, 6]


def table(path, rows=90, drop=None, **more):
    """Write a table of two classes; ``drop`` leaves one training record out."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=(rows, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(
        died=(x[:, 0] + 0.3 * generator.normal(size=rows) > 0).astype(int), **more
    )
    (frame if drop is None else frame.drop(index=drop)).to_csv(path, index=False)


OWN = {
    "data.name": None,
    "data.records": None,
    "data.test_records": None,
    "data.label": "died",
    "privacy.expected_batch": 45,
}


def states(folder, shape=(2, 3), count=4):
    folder.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(2)
    for step in range(count):
        weight = torch.randn(shape, generator=generator)
        state = {"1.weight": weight, "1.bias": torch.zeros(shape[0])}
        save_file(state, folder / f"step-{step}.safetensors")
    return str(folder)


@pytest.mark.parametrize("rule", ["fixed-threshold", "private-threshold", "noisy-top-k"])
def test_shared_records_of_neighbours_differ_in_released_values_only(tmp_path, rule):
    """One record less, the same checkpoints and coins, the same declared number of records."""
    options = {
        "fixed-threshold": {},
        "private-threshold": {"keep": 0.7, "epsilon": 0.5, "bounds": [0.0, 3.0]},
        "noisy-top-k": {"share": 0.5, "epsilon": 0.05, "bounds": [0.0, 3.0]},
    }[rule]
    table(tmp_path / "test.csv", rows=40)
    given = {
        **OWN,
        "data.path": str(tmp_path / "train.csv"),
        "data.test": str(tmp_path / "test.csv"),
        "scoring.origin": "public",
        "scoring.checkpoint_folder": states(tmp_path / "states"),
        "selection.rule": rule,
        "selection.options": options,
        "selection.train": True,
        "privacy.public_records": 90,
        "fairness.sensitive": None,
        "truth.flip_labels": None,
    }
    found = []
    for name, drop in (("all", None), ("less", 5)):
        table(tmp_path / "train.csv", drop=drop)
        start_scoring(whole(**given), tmp_path / name, report=False)
        shared = bodies(tmp_path / name / "record.jsonl")
        finish = shared[-1][1]
        released = {"models": finish.pop("models"), "values": finish.pop("values")}
        found.append((shared, released))
    assert found[0][0] == found[1][0]
    assert found[0][1]["models"] != found[1][1]["models"]
    assert bool(found[0][1]["values"]) == (rule != "fixed-threshold")


def test_a_public_model_costs_nothing(tmp_path):
    public = {"scoring.origin": "public", "scoring.public_data": "breast_cancer", "seed": 1}
    settings = quick(**public, **{"privacy.epsilon": None, "privacy.delta": None})
    start_scoring(settings, tmp_path / "run")
    start, finish = (body for _, body in bodies(tmp_path / "run" / "record.jsonl"))
    assert start["statement"] is None
    assert finish["events"] == []
    assert list((tmp_path / "run" / "models").iterdir()) == []
    assert "no budget is spent" in (tmp_path / "run" / "local" / "report.html").read_text()


def test_given_checkpoints_are_scored_in_the_order_of_their_names(tmp_path):
    table(tmp_path / "own.csv")
    folder = states(tmp_path / "states")
    more = {**OWN, "data.path": str(tmp_path / "own.csv"), "scoring.scorers": ["loss"]}
    public = {"scoring.origin": "public", "scoring.checkpoint_folder": folder}
    settings = quick(**more, **public)
    start_scoring(settings, tmp_path / "run", report=False)
    job = prepare_job(settings)
    last = load_file(sorted((tmp_path / "states").iterdir())[-1])
    outputs = job.material.train.features @ last["1.weight"].T + last["1.bias"]
    losses = nn.CrossEntropyLoss(reduction="none")(outputs, job.material.train.labels)
    frame = pd.read_parquet(tmp_path / "run" / "local" / "scores.parquet")
    np.testing.assert_allclose(frame["loss"], losses.numpy(), rtol=1e-6)


def test_research_scores_are_tainted_and_choose_nothing(tmp_path):
    research = {"scoring.research": True, "privacy.epsilon": None, "privacy.delta": None}
    start_scoring(quick(**research), tmp_path / "run")
    local = dict(bodies(tmp_path / "run" / "local" / "record.jsonl"))
    assert local["scores"]["scorers"]["aum"]["origin"] == "unprotected"
    assert "Tainted scores" in (tmp_path / "run" / "local" / "report.html").read_text()
    with pytest.raises(TaintedScoresError, match="Leave --research out"):
        start_scoring(whole(**{"scoring.research": True}), tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("form", ["column", "mask", "file", "npy"])
def test_true_labels_come_in_several_forms(tmp_path, form):
    wrong = np.arange(90) % 9 == 0
    generator = np.random.default_rng(3)
    x = generator.normal(size=(90, 3))
    clean = (x[:, 0] > 0).astype(int)
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(died=np.where(wrong, 1 - clean, clean))
    given = {**OWN, "data.path": str(tmp_path / "own.csv")}
    if form == "column":
        frame["truth"], given["truth.column"] = clean, "truth"
    elif form == "mask":
        frame["bad"], given["truth.column"] = wrong, "bad"
    else:
        table(tmp_path / "test.csv", rows=30)
        given["data.test"] = str(tmp_path / "test.csv")
        given["truth.file"] = str(tmp_path / ("t.csv" if form == "file" else "t.npy"))
        pd.DataFrame({"truth": clean}).to_csv(tmp_path / "t.csv", index=False)
        np.save(tmp_path / "t.npy", wrong)
    frame.to_csv(tmp_path / "own.csv", index=False)
    start_scoring(quick(**given, **{"truth.removal": False}), tmp_path / "run", report=False)
    local = dict(bodies(tmp_path / "run" / "local" / "record.jsonl"))
    # a held-out share takes some of the wrong ones along
    assert local["start"]["wrong"] == 10 if "data.test" in given else local["start"]["wrong"] >= 6
    assert local["scores"]["detection"]["loss-mean"]["auc"] > 0.5
    start = bodies(tmp_path / "run" / "record.jsonl")[0][1]
    assert start["data"]["shape"] == [3]  # the truth is no feature


def test_true_private_noise_differs_and_says_so_nowhere(tmp_path):
    settings = quick(**{"privacy.noise": "secret"})
    for name in "ab":
        start_scoring(settings, tmp_path / name, report=False)
    frames = [pd.read_parquet(tmp_path / name / "local" / "scores.parquet") for name in "ab"]
    assert not np.array_equal(frames[0]["aum"], frames[1]["aum"])
    finish = bodies(tmp_path / "a" / "record.jsonl")[-1][1]
    assert finish["statement"]["private"] is True


REFUSED = [
    ({"scoring.scorers": ["lossmean"]}, RegistryError, "Did you mean 'loss-mean'"),
    ({"scoring.scorers": ["aum", "aum"]}, ConfigError, "Expected every scorer once"),
    ({"scoring.scorers": ["vog"], "scoring.checkpoints": 1}, CheckpointError, "at least 2"),
    ({"scoring.scorers": ["tracin"]}, NeedsError, "a validation set"),
    ({"scoring.scorers": ["grand"]}, NeedsError, "independently initialised models"),
    (
        {"scoring.scorers": ["vog"], "scoring.options": {"vog": {"stag": "late"}}},
        ConfigError,
        "Did you mean 'stage'",
    ),
    ({"selection.rule": "fixed-treshold"}, RegistryError, "Did you mean 'fixed-threshold'"),
    ({"selection.scorer": "loss"}, ConfigError, "selection.scorer among loss-mean, aum"),
    ({"selection.rule": "top-k"}, ConfigError, "all settings of the selector 'top-k'"),
    ({"selection.rule": "top-k", "selection.options": {"k": 0}}, ConfigError, "k"),
    (
        {
            "selection.rule": "private-threshold",
            "selection.options": {"keep": 0.8, "epsilon": 0.1},
        },
        ConfigError,
        "public bounds",
    ),
    (
        {
            "selection.rule": "private-threshold",
            "selection.options": {"keep": 0.8, "epsilon": 0.1, "bounds": [2.0, 1.0]},
        },
        ConfigError,
        "bounds",
    ),
    (
        {"scoring.scorers": ["grad-dot"], "scoring.validation": "test"},
        StabilityError,
        "'declared'",
    ),
    ({"scoring.scorers": ["datainf"], "scoring.validation": "test"}, StabilityError, "'declared'"),
    ({"scoring.scorers": ["el2n-mean"]}, ConfigError, "Expected a threshold"),
    (
        {
            "selection.rule": "private-threshold",
            "selection.options": {"keep": 0.8, "epsilon": 9.0, "bounds": [0.0, 2.0]},
        },
        BudgetExceededError,
        "within epsilon = 5, got more by what is fixed",
    ),
    ({"model.factory": "cnn"}, ModelError, "Expected images"),
    ({"data.name": "digitz"}, ConfigError, "Did you mean 'digits'?"),
    ({"fairness.sensitive": "sex"}, DataError, "got 'sex'"),
    ({"privacy.rule": "group-adaptive"}, ConfigError, "--sensitive"),
    ({"privacy.expected_batch": 4000}, ConfigError, "--batch"),
    ({"scoring.origin": "public", "scoring.public_data": "iris"}, DataError, "of shape"),
]


@pytest.mark.parametrize(("changes", "kind", "message"), REFUSED)
def test_what_is_refused_leaves_nothing(tmp_path, changes, kind, message):
    account = tmp_path / "account.sqlite"
    given = {
        "privacy.noise": "secret",
        "privacy.account": str(account),
        "fairness.sensitive": None,
        **changes,
    }
    with pytest.raises(kind, match=message.replace("?", r"\?")):
        start_scoring(whole(**given), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_that_are_another_models_are_refused(tmp_path):
    table(tmp_path / "own.csv")
    more = {**OWN, "data.path": str(tmp_path / "own.csv"), "scoring.origin": "public"}
    wrong = states(tmp_path / "states", shape=(2, 4))
    with pytest.raises(CheckpointError, match=r"'1.weight' with \(2, 4\)"):
        start_scoring(quick(**more, **{"scoring.checkpoint_folder": wrong}), tmp_path / "run")
    with pytest.raises(CheckpointError, match="no such folder"):
        start_scoring(
            quick(**more, **{"scoring.checkpoint_folder": str(tmp_path / "x")}), tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_batch_statistics_are_refused_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n"
        "def normed(i):\n"
        "    return nn.Sequential(nn.Linear(i.size, 8), nn.BatchNorm1d(8), "
        "nn.Linear(8, i.outputs))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for more in ({}, {"scoring.research": True}):
        with pytest.raises(ModelError, match=r"replace_batchnorm|GroupNorm"):
            start_scoring(quick(**{"model.factory": "own_nets:normed", **more}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_removal_curves_are_told_where_truth_is_known(scored):
    local = dict(bodies(scored / "local" / "record.jsonl"))
    body = local["removal"]
    assert len(body["removed"]) == len(body["random"]) == 6
    assert body["least_valuable"][0] == body["most_valuable"][0] == body["random"][0]
    summary = json.loads((scored / "local" / "summary.json").read_text())
    assert summary["removal"] == body
    assert (scored / "local" / "plots" / "removal.svg").exists()
