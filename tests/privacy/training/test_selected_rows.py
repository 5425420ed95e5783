"""Training on rows that were selected: other relations, prior events, and resuming with them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training_cases import flat, net, rows, trainer

from equigrad.errors import BudgetExceededError, ConfigError, PrivacyError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent, epsilon, top_k_release
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training import PrivateTrainer

SPENT = (PrivacyEvent(noise_multiplier=20.0, sampling_rate=0.1, steps=5), top_k_release(10, 0.01))
TARGET: dict[str, Any] = {"noise_multiplier": None, "target_epsilon": 0.5}
RELATIONS: list[dict[str, Any]] = [{"neighbouring": "replace-one"}, {"stability": 3}]


def resumed(folder: Path, **options: Any) -> PrivateTrainer:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    return PrivateTrainer.resume(folder, model, optimizer, nn.CrossEntropyLoss(), rows(), **options)


@pytest.mark.parametrize("relation", RELATIONS, ids=["replaced", "group"])
def test_the_relation_is_recorded_and_changes_the_price_only(relation):
    plain, other = trainer(noise_multiplier=6.0), trainer(noise_multiplier=6.0, **relation)
    for run in (plain, other):
        run.train(4)
    assert torch.equal(flat(plain.model), flat(other.model))
    (event,) = other.events
    assert event.neighbouring == relation.get("neighbouring", "add-or-remove-one")
    assert event.group_size == relation.get("stability", 1)
    assert float(other.epsilon) > float(plain.epsilon)
    assert float(other.epsilon) == epsilon([event], 1e-4)


def test_the_target_holds_together_with_what_was_spent():
    alone, beside = trainer(**TARGET), trainer(**TARGET, spent=SPENT)
    assert beside.settings.noise_multiplier > alone.settings.noise_multiplier
    beside.train()
    together = epsilon([*SPENT, *beside.events], 1e-4)
    assert 0.98 * 0.5 <= together <= 0.5
    assert float(beside.epsilon) == epsilon(beside.events, 1e-4) < together


@pytest.mark.parametrize("relation", RELATIONS, ids=["replaced", "group"])
def test_a_resumed_run_keeps_relation_and_prior_events(tmp_path: Path, relation):
    broken = trainer(**TARGET, **relation, spent=SPENT, checkpoint=tmp_path)
    sigma = broken.settings.noise_multiplier
    whole = trainer(noise_multiplier=sigma, **relation)
    whole.train()
    broken.train(5)
    broken.pause()
    with pytest.raises(ConfigError, match="spent"):
        resumed(tmp_path, spent=SPENT[:1])
    with pytest.raises(ConfigError, match=r"neighbouring|stability"):
        resumed(tmp_path, stability=2, neighbouring="replace-one")
    again = resumed(tmp_path, spent=list(SPENT), target_epsilon=0.5)
    assert again.settings == broken.settings
    assert again.settings.spent == SPENT
    again.train()
    assert again.events == whole.events
    assert torch.equal(flat(again.model), flat(whole.model))


def test_a_plain_run_saves_what_it_always_saved(tmp_path: Path):
    with trainer(checkpoint=tmp_path) as run:
        run.train(2)
        (saved,) = tmp_path.glob("0*/state.json")
    settings = json.loads(saved.read_text())["facts"]["settings"]
    assert not {"neighbouring", "stability", "spent"} & set(settings)
    assert len(settings) == 12


def test_an_account_prices_the_relation(tmp_path: Path):
    with PrivacyAccount.open(tmp_path / "a.db", owner="me", epsilon=4.0, delta=1e-4) as account:
        account.charge(SPENT[1])
        with trainer(
            account=account, key=NoiseKey.secret(), neighbouring="replace-one", noise_multiplier=9.0
        ) as run:
            run.train()
        assert account.events() == [SPENT[1], *run.events]
        assert account.statement().neighbouring == "add-or-remove-one"
        held = account.remaining()
        with pytest.raises(BudgetExceededError):
            trainer(account=account, key=NoiseKey.secret(), stability=9, noise_multiplier=4.0)
        assert account.remaining() == held


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"neighbouring": "swap"}, ConfigError, "neighbouring"),
        ({"stability": 0}, ConfigError, "stability"),
        ({"spent": SPENT}, ConfigError, "target_epsilon only"),
        ({"neighbouring": "replace-one", "accountant": "rdp"}, PrivacyError, "accountant='pld'"),
        ({"stability": 2, "accountant": "rdp"}, PrivacyError, "accountant='pld'"),
    ],
)
def test_what_cannot_be_priced_is_refused(options, error, word):
    with pytest.raises(error, match=word):
        trainer(**options)
