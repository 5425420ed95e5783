"""The contract suite of settlement stores, and its random walks, fail for stores that break it."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from equigrad.errors import EquigradError
from equigrad.market.settlement import Clear, Deliver, Fund, MemoryStore, Pay, Settle
from equigrad.testing.settlement import SettlementStoreContract
from equigrad.testing.settlement_machine import SettlementMachine
from equigrad.testing.settlement_world import EUR


class Forgetful(MemoryStore):
    """Forgets the keys of what it did."""

    def execute(self, command, *, key, now):
        self._by_key.clear()
        return super().execute(command, key=key, now=now)


class Blind(MemoryStore):
    """Answers a known key without looking at the body."""

    def execute(self, command, *, key, now):
        known = self._by_key.get(key)
        return known.response if known else super().execute(command, key=key, now=now)


class Trusting(MemoryStore):
    """Goes by whatever time it is told."""

    def execute(self, command, *, key, now):
        self._state.clock = now
        self._head = replace(self._head, clock=now)
        return super().execute(command, key=key, now=now)


class Generous(MemoryStore):
    """Pays a cent more than was awarded, out of nowhere."""

    def execute(self, command, *, key, now):
        response = super().execute(command, key=key, now=now)
        if isinstance(command, Pay | Settle) and response.accepted:
            for account in self._state.balances:
                if account.owner == "ann":
                    self._state.balances[account] += 10_000
        return response


class Rewriting(MemoryStore):
    """Rewrites a line of its chain."""

    def execute(self, command, *, key, now):
        response = super().execute(command, key=key, now=now)
        if isinstance(command, Deliver):
            self._lines[3] = replace(self._lines[3], result={"balance": 5})
        return response


class Lossy(MemoryStore):
    """Loses a ledger entry now and then."""

    def execute(self, command, *, key, now):
        response = super().execute(command, key=key, now=now)
        if isinstance(command, Fund) and response.accepted:
            self._entries.pop()
        return response


class Stubborn(MemoryStore):
    """Decides a refused command anew under its old key."""

    def execute(self, command, *, key, now):
        known = self._by_key.get(key)
        if known is not None and not known.accepted:
            del self._by_key[key]
        return super().execute(command, key=key, now=now)


class Clearing(MemoryStore):
    """Keeps no clearing, but says that it did."""

    def execute(self, command, *, key, now):
        before = self._state.copy()
        response = super().execute(command, key=key, now=now)
        if isinstance(command, Clear):
            self._state = before
        return response


BROKEN = [Forgetful, Blind, Trusting, Generous, Rewriting, Lossy, Stubborn, Clearing]


def suite(store):
    class Suite(SettlementStoreContract):
        def store(self):
            return store([EUR])

    return Suite()


@pytest.mark.parametrize(
    ("store", "test"),
    [
        (Forgetful, "test_a_retry_after_a_timeout_pays_once"),
        (Forgetful, "test_a_message_that_comes_twice"),
        (Forgetful, "test_a_refund_is_made_once"),
        (Trusting, "test_a_clock_that_is_set_back"),
        (Generous, "test_a_round_settles"),
        (Generous, "test_a_retry_after_a_timeout_pays_once"),
        (Rewriting, "test_a_late_delivery_expires"),
        (Lossy, "test_one_account_in_two_rounds_at_once"),
        (Stubborn, "test_a_refusal_keeps_its_key"),
        (Clearing, "test_bids_after_the_clearing"),
    ],
)
def test_a_broken_store_is_caught(store, test):
    with pytest.raises((AssertionError, EquigradError)):
        getattr(suite(store), test)()


def test_a_store_that_mixes_commands_up_is_caught():
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        suite(Blind).test_a_message_that_comes_twice()


@pytest.mark.parametrize("store", BROKEN)
def test_random_walks_find_a_broken_store(store):
    class Machine(SettlementMachine):
        def new_store(self):
            return store([EUR])

    walks = settings(
        max_examples=300,
        stateful_step_count=30,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=settings().phases[:3],
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises((AssertionError, EquigradError)):
        run_state_machine_as_test(Machine, settings=walks)
