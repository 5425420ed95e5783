"""Parties that choose their records before the first round: costs, choices, records, crashes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from private_runs import private_config
from small_runs import lines_of

from equigrad.errors import BudgetExceededError, ConfigError, VerificationError
from equigrad.federation.config.loader import parse_config
from equigrad.federation.party.private import PrivateWork
from equigrad.federation.party.selecting import Choice
from equigrad.federation.party.state import PartyState
from equigrad.federation.private.account import with_accounts
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.record.verify import verify
from equigrad.federation.report.choices import selection_rows
from equigrad.federation.report.reading import read_run
from equigrad.federation.runner import run
from equigrad.federation.setup import prepare
from equigrad.models import build_model, flatten
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent, epsilon

Play = Callable[..., Path]

SELECTION: dict[str, Any] = {
    "selector": "fixed-threshold",
    "steps": 6,
    "checkpoints": 4,
    "mean_mu": 0.5,
    "mean_range": [0.0, 3.0],
}


def selecting(**changes: Any) -> dict[str, Any]:
    return {"selection": SELECTION | changes}


def works(tmp_path: Path, **selection: Any) -> list[PrivateWork]:
    """Return the parties' private work as an engine would make it."""
    config = private_config(**selecting(**selection))
    setup = prepare(config)
    place = RunFolder.create(tmp_path / "run", "", config.model_dump())
    place.account("party-1").parent.mkdir(exist_ok=True)
    made = []
    for spec in with_accounts(setup.specs, place):
        model = build_model(spec.model.factory, spec.model_input, spec.model.options, 1)
        made.append(PrivateWork(model, spec.train, spec))
    return made


def test_a_run_with_a_selection_holds_and_counts_every_event(play_private: Play) -> None:
    folder = play_private(**selecting())
    result = verify(folder)
    assert result.finished
    assert result.checks["mean scores"] == 5 * 4
    facts = lines_of(folder, "start")[0]["privacy"]["parties"]
    spent = lines_of(folder, "finish")[0]["privacy"]
    for party, plan in facts.items():
        scoring, mean = (PrivacyEvent.from_json(e) for e in plan["selection"]["events"])
        assert scoring.steps == 6
        assert mean.released == "mean"
        rounds = PrivacyEvent.from_json(plan["event"]).with_steps(spent["steps"][party])
        together = epsilon([scoring, mean, rounds], 1e-3, accountant="rdp")
        assert spent["epsilon"][party] == pytest.approx(together)
        assert spent["epsilon"][party] > epsilon([rounds], 1e-3, accountant="rdp")


def test_the_account_holds_what_the_record_says(play_private: Play) -> None:
    folder = play_private(**selecting())
    spent = lines_of(folder, "finish")[0]["privacy"]["epsilon"]
    for file in sorted((folder / "accounts").glob("*.sqlite")):
        account = PrivacyAccount.open(file)
        assert account.spent() == pytest.approx(spent[account.owner])
        assert len(account.events()) == 3
        assert account.unfinished() == []


def test_noise_is_found_such_that_all_fits_the_budget(play_private: Play) -> None:
    folder = play_private({"noise_multiplier": None, "accountant": "pld"}, rounds=2, **selecting())
    for spent in lines_of(folder, "finish")[0]["privacy"]["epsilon"].values():
        assert 0.98 * 8.0 <= spent <= 8.0


def test_a_party_trains_on_what_it_chose_and_tells_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = works(tmp_path)[0]
    seen: list[Any] = []
    own = PrivateWork._maker

    def maker(self: PrivateWork, *args: Any) -> Any:
        made = own(self, *args)
        seen.append(made.rows)
        return made

    monkeypatch.setattr(PrivateWork, "_maker", maker)
    step = work.train(PartyState(weights=flatten(work._model)), 0)
    choice = Choice.from_json(step.private["selection"])
    assert 0 < choice.kept.sum() < len(choice.kept)
    assert torch.equal(seen[0].kept, torch.from_numpy(choice.kept))
    assert len(seen[0]) == len(choice.kept)  # rate and divisor are those of all records
    told = work.tell(step.private, step.update, step.update, honest=True)
    assert set(told) == {"event", "steps", "factor", "mean_score"}
    assert told["mean_score"] == choice.mean


def test_the_choice_is_made_once_and_again_the_same_without_charge(tmp_path: Path) -> None:
    work, again = works(tmp_path)[1], works_again(tmp_path)
    state = PartyState(weights=flatten(work._model))
    one = work.train(state, 0)
    account = PrivacyAccount.open(work.spec.account)
    before = account.head()
    other = again.train(state, 0)  # as a new process would after a crash
    assert account.head() == before
    assert torch.equal(one.update, other.update)
    assert one.private["selection"] == other.private["selection"]
    later = PartyState(weights=one.weights, private=one.private)
    third = again.train(later, 1)
    assert third.private["selection"] == one.private["selection"]


def works_again(tmp_path: Path) -> PrivateWork:
    config = private_config(**selecting())
    setup = prepare(config)
    spec = with_accounts(setup.specs, RunFolder(tmp_path / "run"))[1]
    model = build_model(spec.model.factory, spec.model_input, spec.model.options, 1)
    return PrivateWork(model, spec.train, spec)


def test_other_records_are_scored_anew_and_charged_again_or_refused(tmp_path: Path) -> None:
    work = works(tmp_path)[0]
    state = PartyState(weights=flatten(work._model))
    work.train(state, 0)
    flipped = work._records.labels.roll(1)
    with pytest.raises(BudgetExceededError):
        work.train(state, 0, labels=flipped)


@pytest.mark.parametrize(
    ("selector", "options"),
    [("all", {}), ("random", {"keep": 0.5}), ("top-k", {"k": 20})],
)
def test_other_selectors_work_and_are_charged_as_they_say(
    play_private: Play, selector: str, options: dict[str, Any]
) -> None:
    folder = play_private(
        {"accountant": "pld"}, rounds=1, **selecting(selector=selector, options=options)
    )
    assert verify(folder).finished
    plan = lines_of(folder, "start")[0]["privacy"]["parties"]["party-1"]
    wanted = "replace-one" if selector == "top-k" else "add-or-remove-one"
    assert plan["selection"]["neighbouring"] == wanted
    assert plan["event"]["neighbouring"] == wanted


def test_a_selection_of_nothing_trains_on_noise_and_says_nothing(play_private: Play) -> None:
    options = {"threshold": -1.0}
    folder = play_private(rounds=1, **selecting(options=options))
    assert verify(folder).finished
    assert len(lines_of(folder, "train")[0]["parties"]) == 5


def test_a_party_that_comes_late_chooses_late(play_private: Play) -> None:
    folder = play_private(rounds=3, party=[{"name": "party-2", "join": 1}], **selecting())
    assert verify(folder).finished
    assert set(lines_of(folder, "finish")[0]["privacy"]["epsilon"]) == {
        f"party-{k}" for k in range(1, 6)
    }


def test_a_changed_mean_is_found(play_private: Play) -> None:
    folder = play_private(**selecting())
    record = folder / "record.jsonl"
    text = record.read_text()
    mean = lines_of(folder, "train")[-1]["privacy"][0]["mean_score"]
    place = text.rindex(json.dumps(mean))
    record.write_text(
        text[:place] + json.dumps(mean + 0.25) + text[place + len(json.dumps(mean)) :]
    )
    with pytest.raises(VerificationError):
        verify(folder)


def test_the_report_shows_means_and_costs_and_no_counts(tmp_path: Path) -> None:
    folder = run(private_config(**selecting()), tmp_path / "run", report=True)
    rows = selection_rows(read_run(folder))
    assert rows is not None
    assert [row["party"] for row in rows["rows"]] == [f"party-{k}" for k in range(1, 6)]
    assert all(row["mean"] is not None and row["steps"] == 6 for row in rows["rows"])
    page = (folder / "report.html").read_text()
    assert "Choice of records" in page
    assert "Noisy mean score" in page


@pytest.mark.parametrize(
    ("selection", "privacy", "message"),
    [
        ({"selector": "fixed-thresold"}, "record", "fixed-threshold"),
        ({"selector": "private-threshold", "options": {"keep": 0.5, "epsilon": 1.0}}, "record",
         "releases nothing itself"),
        ({"selector": "fixed-threshold", "scorer": "loss-meen"}, "record", "loss-mean"),
        ({"selector": "fixed-threshold", "scorer": "aum", "steps": 1, "checkpoints": 1,
          "scorer_options": {"x": 1}}, "record", "scorer_options"),
        ({"selector": "fixed-threshold", "checkpoints": 1}, "record", "at least 2 checkpoints"),
        ({"selector": "fixed-threshold"}, "none", 'privacy.unit = "record"'),
        ({"steps": 3}, "record", "Expected a selector beside steps"),
        ({"selector": "all", "mean_mu": 1.0}, "record", "together"),
        ({"selector": "all", "mean_mu": 1.0, "mean_range": [1.0, 0.0]}, "record", "a < b"),
        ({"selector": "declared", "options": {"selection_stability": 2, "keep": 0.5},
          "scorer": "data-oob", "mean_mu": 1.0, "mean_range": [0.0, 1.0]}, "record",
         "further than it is charged for"),
        ({"selector": "all", "scorer": "vog", "scorer_options": {"class_norm": True},
          "mean_mu": 1.0, "mean_range": [0.0, 1.0]}, "record", "further than it is charged for"),
        ({"selector": "all", "scorer": "individual-privacy",
          "scorer_options": {"carry_last": True}, "mean_mu": 1.0, "mean_range": [0.0, 1.0]},
         "record", "further than it is charged for"),
    ],
)  # fmt: skip
def test_bad_settings_get_one_clear_message(
    selection: dict[str, Any], privacy: str, message: str
) -> None:
    table = "\n".join(f"{key} = {_toml(value)}" for key, value in selection.items())
    unit = 'unit = "record"\nepsilon = 3.0\ndelta = 1e-3\noptions = { clip = 1.0 }'
    text = (
        '[data]\nname = "wine"\n[partition]\nparties = 3\n'
        + (f"[privacy]\n{unit}\n" if privacy == "record" else "")
        + f"[selection]\n{table}\n"
    )
    with pytest.raises(ConfigError, match=message):
        parse_config(text)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)


def test_a_choice_survives_its_json() -> None:
    kept = np.arange(11) % 3 == 0
    again = Choice.from_json(json.loads(json.dumps(Choice(kept, 0.5).to_json())))
    assert np.array_equal(again.kept, kept)
    assert again.mean == 0.5
