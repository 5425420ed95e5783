"""Processes that charge a privacy account, started and killed by the crash tests.

Usage: python account_workers.py FILE MODE NAME. What was charged is printed, line by line, after
the call returned.
"""

import sys

from equigrad.errors import BudgetExceededError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent

SCORE = PrivacyEvent(noise_multiplier=10.0, mechanism="laplace")


def say(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def releases(account: PrivacyAccount, name: str) -> None:
    """Charge releases until the account refuses."""
    while True:
        try:
            say("charged", account.charge(SCORE, name).seq)
        except BudgetExceededError:
            say("refused")
            return


def steps(account: PrivacyAccount, name: str) -> None:
    """Charge the steps of a run from its last one on, until none is left."""
    run = account.resume_run(name)
    say("ready")
    step = run.charged
    while True:
        try:
            say("step", run.begin_step(step, f"inputs of {step}").nonce)
        except BudgetExceededError:
            say("refused")
            return
        step += 1


if __name__ == "__main__":
    path, mode, name = sys.argv[1:]
    with PrivacyAccount.open(path, timeout=120.0) as opened:
        {"releases": releases, "steps": steps}[mode](opened, name)
