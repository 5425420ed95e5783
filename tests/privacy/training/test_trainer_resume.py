"""Saving and going on: bit for bit, no step charged twice, no noise used for two sums."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from training_cases import flat, net, rows, trainer

from equigrad.errors import ConfigError, ModelError, PrivacyError, RecordError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.noise import NoiseKey
from equigrad.privacy.training import PaidEvaluation, PrivateTrainer
from equigrad.privacy.training.journal import Journal

LOSS = nn.CrossEntropyLoss()


def parts(kind: str = "Adam") -> tuple[nn.Module, Any, Any]:
    """Return a fresh model, optimiser and scheduler."""
    model = net(dropout=0.2)
    options = {"momentum": 0.9} if kind == "SGD" else {}
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.05, **options)
    return model, optimizer, torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 8], 0.5)


def begun(folder: Path | None, kind: str = "Adam", **options: Any) -> PrivateTrainer:
    """Return a new run of 12 steps with all that has a state."""
    model, optimizer, scheduler = parts(kind)
    return trainer(
        model,
        optimizer=optimizer,
        scheduler=scheduler,
        average_decay=0.9,
        checkpoint=folder,
        checkpoint_every=4,
        **({"rule": "global-adapt", "accountant": "rdp"} | options),
    )


def resumed(folder: Path, kind: str = "Adam", data: Any = None, **options: Any) -> PrivateTrainer:
    """Return the run saved in ``folder``, on fresh parts."""
    model, optimizer, scheduler = parts(kind)
    data = rows() if data is None else data
    return PrivateTrainer.resume(
        folder, model, optimizer, LOSS, data, scheduler=scheduler, **options
    )


@pytest.mark.parametrize("kind", ["Adam", "SGD", "NAdam"])
@pytest.mark.parametrize("stop", [1, 4, 7, 11])
def test_a_resumed_run_is_the_same_run(tmp_path: Path, kind: str, stop: int) -> None:
    whole = begun(None, kind)
    whole.train()
    broken = begun(tmp_path, kind)
    broken.train(stop)  # saved at the end of train
    broken.pause()
    again = resumed(tmp_path, kind)
    assert again.steps_done == stop
    again.train()
    assert torch.equal(flat(again.model), flat(whole.model))
    assert torch.equal(flat(again.averaged()), flat(whole.averaged()))
    assert again.rule.state() == whole.rule.state()
    assert again.meter.charged == 12
    assert again.events == whole.events
    rates = [run.optimizer.param_groups[0]["lr"] for run in (again, whole)]
    assert rates[0] == rates[1]


def test_steps_after_the_save_are_repeated_for_free(tmp_path: Path) -> None:
    lost = begun(tmp_path)
    lost.train(4)
    for _ in range(3):
        lost.step()
    lost.pause()
    again = resumed(tmp_path)
    assert again.meter.charged == 7
    reports = [again.step() for _ in range(4)]
    assert [report.replayed for report in reports] == [True, True, True, False]
    assert [report.charged for report in reports] == [7, 7, 7, 8]
    whole = begun(None)
    whole.train(8)
    assert torch.equal(flat(again.model), flat(whole.model))


def test_a_repeat_on_other_weights_gets_new_noise_and_is_charged(tmp_path: Path) -> None:
    lost = begun(tmp_path)
    lost.train(4)
    for _ in range(3):
        lost.step()
    lost.pause()
    again = resumed(tmp_path)
    with torch.no_grad():
        again.model[0].weight += 1e-4
    report = again.step()
    assert not report.replayed
    assert report.charged == 8
    assert again.nonce == 7  # beyond every nonce of the first try
    assert not again.step().replayed
    assert again.meter.charged == 9
    assert float(again.epsilon) > float(lost.epsilon)


def test_other_rows_are_noticed_and_charged(tmp_path: Path) -> None:
    lost = begun(tmp_path)
    lost.train(4)
    lost.step()
    lost.pause()
    x, y, g = rows()
    x = x.clone()
    x[5, 0] += 1e-6
    with pytest.warns(UserWarning, match="other rows"):
        again = resumed(tmp_path, data=(x, y, g))
    assert not again.step().replayed
    assert again.meter.charged == 6


def test_without_its_key_a_private_run_goes_on_with_new_noise(tmp_path: Path) -> None:
    lost = begun(tmp_path, key=NoiseKey.secret())
    lost.train(4)
    lost.step()
    lost.pause()
    (tmp_path / "private" / "key").unlink()
    with pytest.warns(UserWarning, match="key"):
        again = resumed(tmp_path)
    report = again.step()
    assert (report.charged, report.replayed) == (6, False)
    assert again.key.fingerprint != lost.key.fingerprint
    again.pause()
    assert resumed(tmp_path).key.fingerprint == again.key.fingerprint


def test_a_seeded_run_never_turns_private(tmp_path: Path) -> None:
    begun(tmp_path).train(4)
    with pytest.raises(ConfigError, match="seeded"):
        resumed(tmp_path, key=NoiseKey.secret())
    (tmp_path / "private" / "key").unlink()
    with pytest.raises(ConfigError, match="seeded"):
        resumed(tmp_path)
    assert resumed(tmp_path, test_seed=5).steps_done == 4


def test_the_key_lies_in_the_private_part_only_and_goes_at_the_end(tmp_path: Path) -> None:
    run = begun(tmp_path, key=NoiseKey.secret())
    run.train(4)
    secret = run.key.to_bytes()[1:]
    held = [p for p in tmp_path.rglob("*") if p.is_file() and secret in p.read_bytes()]
    assert held == [tmp_path / "private" / "key"]
    assert (tmp_path / "private" / "key").stat().st_mode & 0o077 == 0
    assert (tmp_path / "private").stat().st_mode & 0o077 == 0
    run.train()
    assert not (tmp_path / "private" / "key").exists()
    run.close()
    with pytest.raises(PrivacyError, match="closed"):
        run.step()


def test_a_checkpoint_holds_nothing_of_the_rows(tmp_path: Path) -> None:
    begun(tmp_path).train(4)
    (state,) = tmp_path.glob("*/state.json")
    facts = json.loads(state.read_text())["facts"]
    assert set(facts) == {
        "account_label",
        "average_decay",
        "key",
        "meter",
        "n_groups",
        "nonce",
        "private",
        "rule",
        "scheduler_every",
        "secure_noise",
        "settings",
        "stopped",
    }
    names = set(load_file(state.with_name("state.safetensors")))
    assert {name.split("/")[0] for name in names} == {"model", "optimizer", "average"}


def test_a_finished_run_can_be_looked_at(tmp_path: Path) -> None:
    run = begun(tmp_path, key=NoiseKey.secret())
    run.train()
    run.close()
    again = resumed(tmp_path)
    assert again.finished
    assert again.train() == 0
    assert float(again.epsilon) == float(run.epsilon)
    assert torch.equal(flat(again.model), flat(run.model))


def test_contradictions_are_refused(tmp_path: Path) -> None:
    begun(tmp_path).train(4)
    with pytest.raises(ConfigError, match="delta"):
        resumed(tmp_path, delta=1e-6)
    with pytest.raises(ConfigError, match="global-adapt"):
        resumed(tmp_path, rule="flat", rule_options={"clip": 1.0})
    other = nn.Linear(5, 3).double()
    with pytest.raises(ModelError, match="saved run"):
        PrivateTrainer.resume(
            tmp_path, other, torch.optim.Adam(other.parameters()), LOSS, rows(), average_decay=0.9
        )
    model, optimizer, _ = parts()
    with pytest.raises(ConfigError, match="scheduler"):
        PrivateTrainer.resume(tmp_path, model, optimizer, LOSS, rows())
    with pytest.raises(RecordError, match="another run"):
        trainer(test_seed=6).save(tmp_path)


def test_damaged_and_missing_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="checkpoint"):
        resumed(tmp_path)
    begun(tmp_path).train(4)
    (state,) = tmp_path.glob("*/state.safetensors")
    content = bytearray(state.read_bytes())
    content[-3] ^= 1
    state.write_bytes(content)
    with pytest.raises(RecordError, match="as it was written"):
        resumed(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("here")
    run = trainer()
    run.step()
    with pytest.raises(RecordError, match="write"):
        run.save(blocked / "inside")
    run.step()


def test_states_that_would_need_pickles_are_refused(tmp_path: Path) -> None:
    run = trainer()
    run.step()
    run.optimizer.param_groups[0]["odd"] = object()
    with pytest.raises(ConfigError, match="pickles"):
        run.save(tmp_path / "x")
    assert not (tmp_path / "x" / "LATEST").exists()


def test_an_account_is_charged_once_and_keeps_the_key(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with PrivacyAccount.open(
        tmp_path / "a", owner="me", epsilon=30.0, delta=1e-4, accountant="rdp"
    ) as account:
        looks = PaidEvaluation(rows(60, 1)[:2], noise=8.0, every=3, patience=99)
        options = {"account": account, "early_stopping": looks}
        lost = begun(folder, key=NoiseKey.secret(), **options)
        lost.train(4)
        for _ in range(2):
            lost.step()
        lost.pause()
        assert not (folder / "private" / "key").exists()
        with pytest.raises(ConfigError, match="account"):
            resumed(folder, early_stopping=looks)
        looks = PaidEvaluation(rows(60, 1)[:2], noise=8.0, every=3, patience=99)
        again = resumed(folder, account=account, early_stopping=looks)
        again.train()
        assert again.meter.charged == 12
        (steps,) = [e for e in account.events() if e.rule == "global-adapt"]
        (paid,) = [e for e in account.events() if e.rule is None]
        assert (steps.steps, paid.steps) == (12, 4)
        assert float(again.epsilon) == pytest.approx(account.spent(), rel=1e-9)
        assert account.unfinished() == []


def test_an_account_charges_a_repeat_on_other_inputs(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with PrivacyAccount.open(
        tmp_path / "a", owner="me", epsilon=30.0, delta=1e-4, accountant="rdp"
    ) as account:
        lost = begun(folder, key=NoiseKey.secret(), account=account)
        lost.train(4)
        for _ in range(2):
            lost.step()
        lost.pause()
        again = resumed(folder, account=account)
        again.step()
        assert again.meter.charged == 6  # a true repeat
        with torch.no_grad():
            again.model[0].weight += 1e-4
        assert not again.step().replayed
        assert again.nonce == 6
        assert [event.steps for event in account.events()] == [7]
        again.train()  # the account grants the step that the repeat took from the plan
        assert [event.steps for event in account.events()] == [13]


CHILD = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[3])
    import torch
    torch.set_num_threads(1)
    from test_trainer_resume import begun, resumed
    from equigrad.privacy.account import PrivacyAccount
    folder = Path(sys.argv[1])
    limit = {"epsilon": 30.0, "delta": 1e-4, "accountant": "rdp"}
    account = PrivacyAccount.open(sys.argv[2], owner="me", **limit)
    options = {"account": account, "progress": lambda report: print(report.step, flush=True)}
    saved = (folder / "LATEST").exists()
    run = resumed(folder, **options) if saved else begun(folder, rule="flat", **options)
    run.checkpoint_every = 2
    print("ready", flush=True)
    run.train()
    print("done", flush=True)
"""


@pytest.mark.slow
def test_kill_at_any_point_leaves_one_run(tmp_path: Path) -> None:
    """A killed process goes on; model and charges are those of a run that nobody killed."""
    whole = begun(None, rule="flat")
    whole.train()
    script = tmp_path / "child.py"
    script.write_text(textwrap.dedent(CHILD))
    folder, path = tmp_path / "run", tmp_path / "a"
    here = str(Path(__file__).parent)
    delays = [0.02, None]
    for delay in delays:
        command = [sys.executable, str(script), str(folder), str(path), here]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("ready"):
                    break
            if delay is not None:
                child.stdout.readline()  # at least one step, then some way into the next
                time.sleep(delay)
                os.kill(child.pid, signal.SIGKILL)
            child.communicate()
        if not (folder / "LATEST").exists():
            path.unlink()  # killed before anything could be resumed: a new run, a new account
            for log in tmp_path.glob("a-*"):
                log.unlink()
            continue
    with PrivacyAccount.open(
        path, owner="me", epsilon=30.0, delta=1e-4, accountant="rdp"
    ) as account:
        (event,) = account.events()
        assert event.steps == 12
        assert account.unfinished() == []
        final = resumed(folder, account=account)
    assert final.finished
    assert torch.equal(flat(final.model), flat(whole.model))


def test_a_journal_survives_a_cut_entry(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.add(3, b"12345678")
    journal.add(4, b"abcdefgh")
    journal.close()
    with path.open("ab") as file:
        file.write(b"\x05\x00\x00")
    again = Journal(path)
    assert [again.seen(nonce) for nonce in (3, 4, 5)] == [True, True, False]
    assert (again.last(), again.last("look")) == (4, -1)
    assert again.agrees(3, b"12345678")
    assert again.agrees(3, b"87654321", "look")
    assert not again.agrees(4, b"12345678")
    assert again.agrees(5, b"anything")
    again.add(5, b"12345678")
    again.add(9, b"12345678", "look")
    again.close()
    final = Journal(path)
    assert (final.last(), final.last("look")) == (5, 9)
    with pytest.raises(RecordError, match="closed"):
        again.add(6, b"12345678")
