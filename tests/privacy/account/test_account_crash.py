"""Several processes at once, and processes killed at random instants."""

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from equigrad.errors import BudgetExceededError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent, epsilon

WORKER = Path(__file__).with_name("account_workers.py")
STEP = PrivacyEvent(noise_multiplier=1.0, sampling_rate=0.001)
KEY = bytes(range(32))


def start(path, mode, name):
    command = [sys.executable, str(WORKER), str(path), mode, name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_share_one_limit_and_lose_no_entry(tmp_path):
    path = tmp_path / "account.db"
    with PrivacyAccount.open(path, owner="a", epsilon=1.25, delta=1e-6) as account:
        workers = [start(path, "releases", f"w{i}") for i in range(3)]
        said = [worker.communicate(timeout=200)[0].split("\n") for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0, 0]
        charged = [line.split()[1] for lines in said for line in lines if "charged" in line]
        assert sorted(map(int, charged)) == list(range(1, len(charged) + 1))
        assert [entry.seq for entry in account.entries()] == list(range(1, len(charged) + 1))
        score = account.events()[0]
        assert account.spent() <= 1.25
        assert epsilon([score.with_steps(len(charged) + 1)], 1e-6) > 1.25


def test_runs_charge_at_once_without_losing_a_step(tmp_path):
    path = tmp_path / "account.db"
    with PrivacyAccount.open(path, owner="a", epsilon=3.0, delta=1e-6) as account:
        for name in ("one", "two"):
            account.begin_run(STEP, name=name, key=KEY, steps=60)
        workers = [start(path, "steps", name) for name in ("one", "two")]
        said = [worker.communicate(timeout=200)[0].split("\n") for worker in workers]
        for lines in said:
            nonces = [int(line.split()[1]) for line in lines if line.startswith("step")]
            assert nonces == list(range(60))
        assert len(account.entries()) == 2 + 120
        assert sorted(event.steps for event in account.events()) == [60, 60]


def test_killed_at_any_instant_nothing_that_was_charged_is_forgotten(tmp_path):
    path = tmp_path / "account.db"
    chance = random.Random(7)
    account = PrivacyAccount.open(path, owner="a", epsilon=3.0, delta=1e-6)
    account.begin_run(STEP, name="run", key=KEY, steps=5000)
    account.close()
    known = 0
    for _ in range(5):
        worker = start(path, "steps", "run")
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.0, 0.3))
        worker.send_signal(signal.SIGKILL)
        printed, _ = worker.communicate(timeout=60)
        nonces = [int(line.split()[1]) for line in printed.split("\n")[:-1]]
        with PrivacyAccount.open(path) as again:
            run = again.resume_run("run")
            known = max([known, *(n + 1 for n in nonces)])
            assert known <= run.charged <= known + 1  # at most one charge had no time to be told
            assert len(again.entries()) == 1 + run.charged
            assert run.key == KEY
            known = run.charged
    assert known > 0


def test_threads_share_one_account(tmp_path):
    account = PrivacyAccount.open(tmp_path / "a.db", owner="a", epsilon=3.0, delta=1e-6)
    run = account.begin_run(STEP, name="run", key=KEY, steps=40)
    nonces, refused = [], []

    def work(first):
        for step in range(first, first + 15):
            try:
                nonces.append(run.begin_step(step, "same").nonce)
            except BudgetExceededError:
                refused.append(step)

    threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(nonces) == list(range(40))
    assert len(refused) == 20
    account.close()


@pytest.mark.parametrize("kept", [True, False])
def test_a_step_in_flight_is_replayed_only_with_its_key(tmp_path, kept):
    path = tmp_path / "account.db"
    with PrivacyAccount.open(path, owner="a", epsilon=3.0, delta=1e-6) as account:
        run = account.begin_run(STEP, name="run", key=KEY if kept else None, steps=5)
        first = run.begin_step(0, b"inputs")
    with PrivacyAccount.open(path) as account:
        again = account.resume_run("run").begin_step(0, b"inputs")
        assert again.replayed is kept
        assert (again.nonce == first.nonce) is kept
        assert account.resume_run("run").charged == (1 if kept else 2)
