"""Everything a private run cannot take: one clear error, nothing charged, nothing moved."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training_cases import flat, net, rows, trainer

from equigrad.errors import BudgetExceededError, ConfigError, DataError, ModelError, PrivacyError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import LargeDeltaWarning
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training import PrivateTrainer


@pytest.fixture
def account(tmp_path: Path) -> PrivacyAccount:
    return PrivacyAccount.open(
        tmp_path / "account", owner="tests", epsilon=4.0, delta=1e-4, accountant="rdp"
    )


def with_value(value: float, at: str) -> tuple[torch.Tensor, ...]:
    x, y, g = rows()
    if at == "input":
        x[7, 2] = value
    elif at == "target":
        y[7] = int(value)
    else:
        g[7] = int(value)
    return x, y, g


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "NaN feature": ({"data": with_value(float("nan"), "input")}, DataError, "row 7"),
    "infinite feature": ({"data": with_value(float("inf"), "input")}, DataError, "row 7"),
    "label too large": ({"data": with_value(3, "target")}, DataError, r"0\.\.2.*3 in row 7"),
    "label negative": ({"data": with_value(-1, "target")}, DataError, "-1 in row 7"),
    "group too large": ({"data": with_value(2, "group")}, DataError, r"0\.\.1, got 2"),
    "group negative": ({"data": with_value(-1, "group")}, DataError, "got -1"),
    "groups not declared": ({"n_groups": None}, ConfigError, "n_groups"),
    "groups missing": (
        {"rule": "group-adaptive", "data": rows()[:2]},
        DataError,
        "group labels for this",
    ),
    "group labels short": ({"groups": [0, 1]}, DataError, r"shape \(120,\)"),
    "group labels broken": ({"groups": [0.5] * 120}, DataError, "whole numbers"),
    "lengths differ": ({"data": (torch.zeros(3, 5), torch.zeros(4))}, DataError, "one length"),
    "no rows": ({"data": (torch.zeros(0, 5), torch.zeros(0))}, DataError, "length > 0"),
    "too many parts": ({"data": rows() + rows()}, DataError, "parts"),
    "epsilon zero": ({"target_epsilon": 0.0, "noise_multiplier": None}, ConfigError, "epsilon"),
    "epsilon negative": ({"target_epsilon": -1.0, "noise_multiplier": None}, ConfigError, "eps"),
    "both budgets": ({"target_epsilon": 1.0}, ConfigError, "exactly one"),
    "no budget": ({"noise_multiplier": None}, ConfigError, "exactly one"),
    "noise negative": ({"noise_multiplier": -1.0}, ConfigError, "noise_multiplier"),
    "delta one": ({"delta": 1.0}, ConfigError, "delta"),
    "delta zero": ({"delta": 0.0}, ConfigError, "delta"),
    "batch zero": ({"public_batch_size": 0.0}, ConfigError, "public_batch_size"),
    "batch above N": ({"public_batch_size": 121.0}, ConfigError, "at most"),
    "rate above one": ({"sampling_rate": 1.5}, ConfigError, "sampling_rate"),
    "no batch": ({"public_batch_size": None}, ConfigError, "neither"),
    "steps and epochs": ({"epochs": 1.0}, ConfigError, "exactly one"),
    "steps zero": ({"steps": 0}, ConfigError, "steps"),
    "accountant": ({"accountant": "prv"}, ConfigError, "accountant"),
    "clip zero": ({"rule_options": {"clip": 0.0}}, ConfigError, "clip"),
    "unknown option": ({"rule_options": {"klip": 1.0}}, ConfigError, "flat"),
    "unknown rule": ({"rule": "flatt", "rule_options": {}}, ConfigError, "flat"),
    "rule not private": (
        {"rule": "global-adapt", "rule_options": {"clip": 1.0, "divide_by": "batch"}},
        ConfigError,
        "private",
    ),
    "count noise too small": (
        {
            "rule": "global-adapt",
            "rule_options": {"clip": 1.0, "count_noise": 0.01},
            "noise_multiplier": None,
            "target_epsilon": 1.0,
            "accountant": "rdp",
        },
        ConfigError,
        "count noise above",
    ),
    "key and seed": ({"key": NoiseKey.test(1), "test_seed": 3}, PrivacyError, "takes no seed"),
    "seed as key": ({"key": 7}, PrivacyError, "takes no seed"),
    "physical zero": ({"max_physical": 0}, ConfigError, "max_physical"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_settings_and_rows(case: str, account: PrivacyAccount) -> None:
    options, error, message = BAD[case]
    model = net()
    before, head = flat(model).clone(), account.head()
    with pytest.raises(error, match=message):
        trainer(model, account=account, **options)
    assert account.head() == head
    assert account.unfinished() == []
    assert torch.equal(before, flat(model))
    assert all(p.grad is None for p in model.parameters())


def frozen_all(model: nn.Module) -> None:
    for p in model.parameters():
        p.requires_grad_(False)


def test_models_that_cannot_be_trained(account: PrivacyAccount) -> None:
    head = account.head()
    batch_norm = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
    with pytest.raises(ModelError, match="BatchNorm"):
        trainer(batch_norm, account=account)
    frozen = net()
    optimizer = torch.optim.SGD(frozen.parameters(), lr=0.1)
    frozen_all(frozen)
    with pytest.raises(ModelError, match="trainable"):
        trainer(frozen, optimizer=optimizer, account=account)
    assert account.head() == head


def test_a_loss_that_averages_is_refused(account: PrivacyAccount) -> None:
    def averaged(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, targets)

    model = net()
    options = {"rule": "flat", "rule_options": {"clip": 1.0}, "delta": 1e-4, "steps": 3}
    with pytest.raises(ModelError, match="per record"):
        PrivateTrainer(
            model,
            torch.optim.SGD(model.parameters(), lr=0.1),
            averaged,
            rows()[:2],
            noise_multiplier=1.0,
            public_batch_size=20,
            account=account,
            **options,
        )
    assert account.entries() == []


OPTIMIZERS: dict[str, tuple[Callable[[nn.Module], Any], str]] = {
    "closure": (lambda m: torch.optim.LBFGS(m.parameters()), "LBFGS"),
    "sparse": (lambda m: torch.optim.SparseAdam(m.parameters()), "SparseAdam"),
    "too few": (lambda m: torch.optim.SGD(m[3].parameters(), lr=0.1), "0.weight"),
    "too many": (
        lambda m: torch.optim.SGD([*m.parameters(), nn.Parameter(torch.ones(1))], lr=0.1),
        "only trainable",
    ),
    "none": (lambda m: "sgd", "str"),
}


@pytest.mark.parametrize("case", sorted(OPTIMIZERS))
def test_optimizers_that_do_not_fit(case: str) -> None:
    make, message = OPTIMIZERS[case]
    model = net()
    with pytest.raises(ConfigError, match=message):
        trainer(model, optimizer=make(model))


def test_schedulers_that_do_not_fit() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watching = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    with pytest.raises(ConfigError, match="ReduceLROnPlateau"):
        trainer(model, optimizer=optimizer, scheduler=watching)
    other = torch.optim.lr_scheduler.StepLR(torch.optim.SGD(net().parameters(), lr=1.0), 3)
    with pytest.raises(ConfigError, match="another one"):
        trainer(model, optimizer=optimizer, scheduler=other)


def test_a_gradient_by_hand_is_refused_before_the_charge() -> None:
    run = trainer()
    run.step()
    x, y, _ = rows()
    nn.functional.cross_entropy(run.model(x), y).backward()
    with pytest.raises(ModelError, match="un-noised"):
        run.step()
    assert run.meter.charged == 1
    run.optimizer.zero_grad()
    run.step()
    assert run.meter.charged == 2


def test_an_exhausted_account_is_left_unchanged(tmp_path: Path) -> None:
    with PrivacyAccount.open(
        tmp_path / "a", owner="me", epsilon=0.5, delta=1e-4, accountant="rdp"
    ) as account:
        head = account.head()
        with pytest.raises(BudgetExceededError, match="account of me"):
            trainer(account=account, steps=1000, accountant="rdp")
        assert account.head() == head
        assert account.entries() == []


def test_the_step_over_the_target_is_refused_before_drawing() -> None:
    run = trainer(noise_multiplier=None, target_epsilon=2.0, accountant="rdp")
    assert run.train() == 12
    assert float(run.epsilon) <= 2.0
    before, charged = flat(run.model).clone(), run.meter.charged
    with pytest.raises(BudgetExceededError, match="12 steps"):
        run.step()
    assert run.meter.charged == charged
    assert torch.equal(before, flat(run.model))


def test_a_large_delta_is_warned_about() -> None:
    with pytest.warns(LargeDeltaWarning, match="delta"):
        trainer(delta=1 / 120)


def test_a_seeded_run_never_shows_an_unmarked_epsilon() -> None:
    run = trainer(accountant="rdp")
    run.train(2)
    assert not run.private
    shown = [str(run.epsilon), repr(run.epsilon), f"{run.epsilon:.2f}", "%s" % run.epsilon]  # noqa: UP031
    assert all("not private: seeded noise" in text for text in shown)
    assert any("not private" in line for line in run.statement.lines())
    assert run.statement.to_json()["private"] is False
    secret = trainer(key=NoiseKey.secret(), accountant="rdp")
    secret.train(2)
    assert secret.private
    assert "not private" not in f"{secret.epsilon:.2f}"
    assert float(secret.epsilon) == float(run.epsilon)


def test_noise_may_be_off_in_seeded_runs_only() -> None:
    run = trainer(noise_multiplier=0.0)
    run.step()
    assert float(run.epsilon) == float("inf")
    with pytest.raises(PrivacyError, match="noise"):
        _ = run.statement
    with pytest.raises(ConfigError, match="noise_multiplier"):
        trainer(noise_multiplier=0.0, key=NoiseKey.secret())


def test_a_diverged_model_is_told_by_its_released_weights() -> None:
    model = net()

    class Diverging(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(float("inf"))

    run = trainer(model, optimizer=Diverging(model.parameters(), lr=1.0))
    with pytest.raises(ModelError, match="finite parameters"):
        run.train()


def test_a_broken_optimizer_step_stops_the_run() -> None:
    model = net()

    class Breaking(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise RuntimeError("broken")

    run = trainer(model, optimizer=Breaking(model.parameters(), lr=0.1))
    with pytest.raises(RuntimeError, match="broken"):
        run.step()
    for p in model.parameters():
        p.grad = None
    with pytest.raises(PrivacyError, match="broke"):
        run.step()


def test_a_step_that_failed_before_its_release_keeps_its_noise() -> None:
    calm, shaken = trainer(rule="group-adaptive"), trainer(rule="group-adaptive")
    calm.train(3)
    shaken.train(1)
    take = shaken.rows.take

    def failing(indices: torch.Tensor) -> Any:
        raise MemoryError("once")

    object.__setattr__(shaken.rows, "take", failing)
    with pytest.raises(MemoryError):
        shaken.step()
    object.__setattr__(shaken.rows, "take", take)
    shaken.train(2)
    assert shaken.meter.charged == calm.meter.charged == 3
    assert torch.equal(flat(shaken.model), flat(calm.model))


def test_truncated_batches_are_accounted_as_such() -> None:
    run = trainer(max_logical_batch=22, noise_multiplier=4.0)
    run.train(2)
    event = run.events[0]
    assert (event.max_logical_batch, event.dataset_size) == (22, 120)
    plain = trainer(noise_multiplier=4.0)
    plain.train(2)
    assert float(run.epsilon) > float(plain.epsilon)


def test_reports_tell_nothing_of_the_rows() -> None:
    seen = []
    run = trainer(rule="global-adapt", progress=seen.append)
    run.train(3)
    assert [report.step for report in seen] == [1, 2, 3]
    assert set(vars(seen[0])) == {
        "step",
        "steps",
        "charged",
        "replayed",
        "learning_rates",
        "sensitivity",
        "noisy_counts",
        "rule_state",
    }
