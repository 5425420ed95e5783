"""One key, one run, one folder: what would let one noise serve two sums is refused or renewed."""

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training_cases import flat, net, rows, trainer

from equigrad.errors import ConfigError, PrivacyError, RecordError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training import PoissonSampler, PrivateTrainer, paired_non_private
from equigrad.privacy.training.digests import describe_callable
from equigrad.privacy.training.keeping import forget_key, is_copy

LOSS = nn.CrossEntropyLoss()


def begun(**options: Any) -> PrivateTrainer:
    """Return a run with a secret key that made five steps."""
    run = trainer(key=NoiseKey.secret(), **options)
    run.train(5)
    return run


def resumed(folder: Path, loss: nn.Module = LOSS, **options: Any) -> PrivateTrainer:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    return PrivateTrainer.resume(folder, model, optimizer, loss, rows(), **options)


def sums(run: PrivateTrainer) -> list[tuple[str, int]]:
    """Return a list that fills with (key, nonce) of every sum that gets noise."""
    made, drawn = run.releases.make, []

    def make(nonce: int, observer: Any = None) -> Any:
        drawn.append((run.releases.key.fingerprint, nonce))
        return made(nonce, observer)

    run.releases.make = make  # type: ignore[method-assign]
    return drawn


def test_a_run_has_one_folder(tmp_path: Path) -> None:
    run = begun()
    run.save(tmp_path / "a")
    with pytest.raises(RecordError, match="one folder"):
        run.save(tmp_path / "b")
    assert not (tmp_path / "b").exists()
    run.save(tmp_path / "a")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    run.save(tmp_path / "link")
    run.pause()
    with pytest.raises(ConfigError, match="own folder"):
        resumed(tmp_path / "a", checkpoint=tmp_path / "b")
    again = resumed(tmp_path / "a", checkpoint=None)
    with pytest.raises(RecordError, match="one folder"):
        again.save(tmp_path / "b")


def test_a_folder_has_one_user(tmp_path: Path) -> None:
    run = begun()
    run.save(tmp_path / "a")
    with pytest.raises(RecordError, match="in use"):
        resumed(tmp_path / "a")
    with pytest.raises(RecordError, match="in use"):
        begun().save(tmp_path / "a")
    run.pause()
    with pytest.raises(PrivacyError, match="closed"):
        run.step()
    again = resumed(tmp_path / "a")
    with pytest.raises(RecordError, match="in use"):
        resumed(tmp_path / "a")
    again.pause()
    assert resumed(tmp_path / "a").steps_done == 5


def test_a_folder_in_use_is_seen_from_another_process(tmp_path: Path) -> None:
    run = begun()
    run.save(tmp_path)
    script = """
        import fcntl, sys
        with open(sys.argv[1], "ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("in use")
    """
    command = [sys.executable, "-c", textwrap.dedent(script), tmp_path / "private" / "journal"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "in use"
    run.pause()
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""


def test_a_refused_resume_lets_go_of_the_folder(tmp_path: Path) -> None:
    run = begun()
    run.save(tmp_path)
    run.pause()
    with pytest.raises(ConfigError, match="delta") as kept:
        resumed(tmp_path, delta=1e-6)
    assert resumed(tmp_path).steps_done == 5
    assert kept.value is not None  # its frames, with the refused run in them, are still alive


def copied(folder: Path, to: Path) -> None:
    shutil.copytree(folder, to)


def replaced(folder: Path, to: Path) -> None:
    shutil.copytree(folder, to)
    for path in folder.rglob("*"):
        stamps = path.stat()
        os.utime(to / path.relative_to(folder), ns=(stamps.st_atime_ns, stamps.st_mtime_ns))


@pytest.mark.parametrize("copy", [copied, replaced])
@pytest.mark.parametrize("with_account", [False, True])
def test_a_copied_folder_goes_on_with_new_noise(
    tmp_path: Path, copy: Callable[[Path, Path], None], with_account: bool
) -> None:
    account = None
    if with_account:
        account = PrivacyAccount.open(
            tmp_path / "account", owner="me", epsilon=50.0, delta=1e-4, accountant="rdp"
        )
    run = begun(account=account)
    run.save(tmp_path / "a")
    run.step()
    run.pause()
    copy(tmp_path / "a", tmp_path / "b")
    with pytest.warns(UserWarning, match="copy"):
        other = resumed(tmp_path / "b", account=account, loss=nn.CrossEntropyLoss(weight=W))
    second = sums(other)
    assert not other.step().replayed
    assert other.meter.charged == 7
    other.pause()
    third = resumed(tmp_path / "b", account=account, loss=nn.CrossEntropyLoss(weight=W))
    assert third.key.fingerprint == other.key.fingerprint  # the copy is a home of its own now
    third.pause()
    if account is None:
        own = resumed(tmp_path / "a")
        first = sums(own)
        assert own.step().replayed
        own.step()
        assert not set(first) & set(second)
        own.close()
    else:
        assert [event.steps for event in account.events()] == [7]
        account.close()


W = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)


def test_a_folder_that_was_moved_is_no_copy(tmp_path: Path) -> None:
    run = begun()
    run.save(tmp_path / "a")
    run.step()
    run.pause()
    (tmp_path / "a").rename(tmp_path / "b")
    assert not is_copy(tmp_path / "b")
    assert resumed(tmp_path / "b").step().replayed


def test_the_key_of_a_copy_cannot_be_given_by_hand(tmp_path: Path) -> None:
    run = begun()
    key = NoiseKey.from_bytes(run.key.to_bytes())
    run.save(tmp_path / "a")
    run.pause()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with pytest.raises(PrivacyError, match="served no run"):
        resumed(tmp_path / "b", key=key)


def test_a_repeat_with_another_loss_is_charged(tmp_path: Path) -> None:
    with PrivacyAccount.open(
        tmp_path / "account", owner="me", epsilon=50.0, delta=1e-4, accountant="rdp"
    ) as account:
        run = begun(account=account)
        run.save(tmp_path / "a")
        run.step()
        run.pause()
        other = resumed(tmp_path / "a", nn.CrossEntropyLoss(label_smoothing=0.5), account=account)
        assert not other.step().replayed
        assert [event.steps for event in account.events()] == [7]


def weighted(factor: float, kind: Any = nn.functional.cross_entropy) -> Callable[..., Any]:
    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return factor * kind(outputs, targets, reduction="none")

    return loss


def test_losses_are_told_apart() -> None:
    losses = [
        nn.CrossEntropyLoss(),
        nn.CrossEntropyLoss(label_smoothing=0.5),
        nn.CrossEntropyLoss(weight=W),
        nn.CrossEntropyLoss(weight=2 * W),
        nn.MSELoss(),
        nn.functional.cross_entropy,
        nn.functional.nll_loss,
        weighted(1.0),
        weighted(2.0),
        weighted(1.0, nn.functional.nll_loss),
        lambda outputs, targets: (outputs - targets).square(),
        lambda outputs, targets: (outputs + targets).square(),
    ]
    told = [describe_callable(loss) for loss in losses]
    assert len(set(told)) == len(losses)
    assert describe_callable(weighted(2.0)) == told[8]
    assert describe_callable(nn.CrossEntropyLoss(weight=2 * W)) == told[3]
    assert not any("0x" in text for text in told)


def test_a_secret_key_serves_one_run() -> None:
    key = NoiseKey.secret()
    trainer(key=key)
    with pytest.raises(PrivacyError, match="served no run"):
        trainer(key=key)
    with pytest.raises(PrivacyError, match="served no run"):
        trainer(key=NoiseKey.from_bytes(key.to_bytes()))
    with pytest.raises(PrivacyError, match="served no run"):
        PoissonSampler(10, 0.5, key=key)
    used = NoiseKey.secret()
    PoissonSampler(10, 0.5, key=used)
    with pytest.raises(PrivacyError, match="served no run"):
        trainer(key=used)
    for _ in range(2):
        trainer(key=NoiseKey.test(1))  # protects nothing, so it may


def test_the_twin_keeps_no_key_of_its_own() -> None:
    run = trainer(key=NoiseKey.secret())
    twin = paired_non_private(run)
    twin.train(2)
    run.close()
    with pytest.raises(ConfigError, match="destroyed"):
        twin.step()


def test_a_forgotten_key_is_overwritten_where_it_lay(tmp_path: Path) -> None:
    run = begun()
    run.save(tmp_path)
    path = tmp_path / "private" / "key"
    with path.open("rb") as held:
        assert held.read() == run.key.to_bytes()
        forget_key(tmp_path / "private")
        held.seek(0)
        assert held.read() == bytes(33)
    assert not path.exists()
    forget_key(tmp_path / "private")


def test_a_run_that_never_stepped_leaves_nothing_reserved(tmp_path: Path) -> None:
    with PrivacyAccount.open(
        tmp_path / "account", owner="me", epsilon=50.0, delta=1e-4, accountant="rdp"
    ) as account:
        run = trainer(account=account)
        assert account.entries() == []
        run.close()
        assert account.entries() == []
        with pytest.raises(PrivacyError, match="closed"):
            run.step()
        other = trainer(account=account)
        other.step()
        assert len(account.unfinished()) == 1
        other.close()
        assert account.unfinished() == []


def test_the_key_outlives_training_until_the_model_can_be_saved(tmp_path: Path) -> None:
    run = trainer(key=NoiseKey.secret())
    run.save(tmp_path)
    run.train()  # by hand: nothing was saved since
    assert run.finished
    after = flat(run.model).clone()
    run.pause()  # the process dies before the caller could save
    again = resumed(tmp_path, checkpoint=None)
    assert again.train() == 12
    assert torch.equal(flat(again.model), after)
    assert again.meter.charged == 12
    again.save(tmp_path)
    again.close()
    assert not (tmp_path / "private" / "key").exists()
