"""Many writers at once, and writers that are killed: nothing is lost, nothing is doubled."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ledger_places import Files, Schemas, needs_postgres

from equigrad.market.settlement import Draft, Fund, Pay, Withdraw
from equigrad.testing.settlement_world import EUR, World

SCRIPT = Path(__file__).with_name("ledger_writers.py")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def places(request, tmp_path):
    places = Files(tmp_path) if request.param == "sqlite" else Schemas()
    yield places
    places.done()


def at_once(jobs):
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(*job) for job in jobs]]


def writer(places, name, count):
    words = [sys.executable, str(SCRIPT), str(places.address), name, str(count)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_one_wallet_cannot_be_spent_twice_at_once(places):
    world = World(places.new(), 50_000)
    stores = [world.store, *(places.open() for _ in range(3))]

    def spend(i):
        return stores[i % 4].execute(
            Withdraw("buyer", "EUR", 10_000, f"out{i}"), key=f"out{i}", now=world.now
        )

    answers = at_once([(spend, i) for i in range(12)])
    assert sum(answer.accepted for answer in answers) == 5
    assert world.balance("buyer") == 0
    world.store.verify()


def test_a_market_is_made_once_by_those_who_open_it_at_once(places):
    places.place()
    stores = at_once([(places.open, [EUR]) for _ in range(4)])
    assert {store.head for store in stores} == {stores[0].head}


def test_one_escrow_cannot_fund_two_rounds_at_once(places):
    world = World(places.new(), 15_000)
    for name in ("r", "s"):
        world.do(Draft(name, world.terms()))
    answers = at_once(
        [(lambda n: places.open().execute(Fund(n), key=n, now=2000), name) for name in ("r", "s")]
    )
    assert sorted(answer.accepted for answer in answers) == [False, True]
    assert world.balance("buyer") == 15_000 - 10_250
    world.store.verify()


def test_one_message_at_once_from_everywhere_takes_effect_once(places):
    world = World(places.new(), 20_000)
    world.collecting("r")
    world.deliver("r")
    stores = [places.open() for _ in range(4)]
    pay = [(lambda s: s.execute(Pay("r/ann-1"), key="pay", now=world.now), s) for s in stores]
    answers = at_once(pay * 2)
    assert all(answer == answers[0] for answer in answers)
    assert world.balance("ann") == 1500
    world.store.verify()


def test_what_was_answered_survives_a_kill(places):
    world = World(places.new(), 0)
    killed = writer(places, "killed", 10**6)
    finishing = writer(places, "finishing", 10)
    answered = [killed.stdout.readline() for _ in range(5)]
    killed.kill()
    answered += killed.stdout.readlines()
    killed.wait()
    killed.stdout.close()
    rest, _ = finishing.communicate()
    assert finishing.returncode == 0
    world.store = places.open()
    kept = {line.idempotency_key for line in world.store.snapshot().journal}
    whole = {line.strip() for line in answered if line.endswith("\n")}
    assert whole | set(rest.split()) <= kept
    assert world.balance("ann") == sum("-" in key for key in kept) >= 15
    world.store.verify()
