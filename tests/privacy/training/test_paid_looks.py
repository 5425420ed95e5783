"""Paid evaluations: charged like any release, and repeated after a crash like any step."""

from pathlib import Path

import pytest
import torch
from torch import nn
from training_cases import flat, net, rows, trainer

from equigrad.errors import BudgetExceededError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.training import PaidEvaluation, PrivateTrainer, StepReport


class CrashError(Exception):
    """The process dies."""


def watch(seed: int = 9) -> PaidEvaluation:
    return PaidEvaluation(rows(80, seed)[:2], noise=6.0, every=2, patience=50)


def resumed(folder: Path, looks: PaidEvaluation, account: PrivacyAccount | None) -> PrivateTrainer:
    model = net()
    return PrivateTrainer.resume(
        folder,
        model,
        torch.optim.SGD(model.parameters(), lr=0.5),
        nn.CrossEntropyLoss(),
        rows(),
        early_stopping=looks,
        account=account,
    )


TARGET = {"noise_multiplier": None, "target_epsilon": 20.0, "accountant": "rdp"}


@pytest.fixture(scope="module")
def whole() -> PrivateTrainer:
    """Return a run that nothing interrupted."""
    run = trainer(early_stopping=watch(), **TARGET)
    run.train()
    return run


def crashed(folder: Path, account: PrivacyAccount | None, noise: float) -> PrivateTrainer:
    """Return a run saved after step 5 that died after step 9, two looks after the save."""

    def die(report: object) -> None:
        if run.steps_done == 9:
            raise CrashError

    spend = TARGET if account is None else {"noise_multiplier": noise, "accountant": "rdp"}
    run = trainer(
        **spend,
        early_stopping=watch(),
        checkpoint=folder,
        checkpoint_every=5,
        progress=die,
        account=account,
    )
    with pytest.raises(CrashError):
        run.train()
    assert run.meter.looks.charged == 4
    run.pause()
    return run


@pytest.mark.parametrize("with_account", [False, True])
def test_looks_after_the_save_are_counted_and_repeated_for_free(
    tmp_path: Path, with_account: bool, whole: PrivateTrainer
) -> None:
    account = None
    if with_account:
        account = PrivacyAccount.open(
            tmp_path / "a", owner="me", epsilon=30.0, delta=1e-4, accountant="rdp"
        )
    lost = crashed(tmp_path / "run", account, whole.settings.noise_multiplier)
    again = resumed(tmp_path / "run", watch(), account)
    assert (again.steps_done, again.meter.charged, again.meter.looks.charged) == (5, 9, 4)
    assert float(again.epsilon) == float(lost.epsilon)
    again.train()
    assert again.events == whole.events
    assert again.stopping is not None
    assert whole.stopping is not None
    assert again.stopping.scores == whole.stopping.scores
    assert torch.equal(flat(again.model), flat(whole.model))
    if account is None:
        with pytest.raises(BudgetExceededError, match="12 steps"):
            again.step()
        with pytest.raises(BudgetExceededError, match="6 evaluations"):
            again.stopping.score(again)
    else:
        assert sorted(event.steps for event in account.events()) == [6, 12]
        account.close()


def test_a_look_at_other_rows_gets_new_noise_and_is_charged(tmp_path: Path) -> None:
    run = trainer(early_stopping=watch(), checkpoint=tmp_path, checkpoint_every=5)

    def die(report: StepReport) -> None:
        if report.step == 6:
            raise CrashError

    run.progress = die
    with pytest.raises(CrashError):
        run.train()
    run.pause()
    again = resumed(tmp_path, watch(seed=10), None)
    again.train(1)
    assert (again.meter.charged, again.meter.looks.charged) == (6, 4)
    again.train(2)
    assert again.meter.looks.charged == 5
