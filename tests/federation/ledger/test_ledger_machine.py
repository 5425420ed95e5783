"""Random walks through a market in a database, its connection cut at any statement."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from ledger_crashes import AT_COMMIT, interrupted
from ledger_places import Files, Schemas, needs_postgres

from equigrad.market.settlement import Pay
from equigrad.testing.settlement_machine import SettlementMachine
from equigrad.testing.settlement_world import World


def walk(places, walks):
    class Machine(SettlementMachine):
        def new_store(self):
            return places.new()

        @staticmethod
        def interrupt(store, *what):
            return interrupted(store, places, *what)

    short = settings(
        max_examples=walks,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=short)
    assert Machine.walked > 20 * walks


@pytest.fixture
def files(tmp_path):
    places = Files(tmp_path)
    yield places
    places.done()


@pytest.fixture
def schemas():
    places = Schemas()
    yield places
    places.done()


def test_a_market_in_sqlite_holds_its_invariants_over_crashes(files):
    walk(files, 10)


@pytest.mark.postgres
@needs_postgres[1]
def test_a_market_in_postgresql_holds_its_invariants_over_crashes(schemas):
    walk(schemas, 4)


def test_a_payment_that_is_cut_off_anywhere_is_made_once(files):
    world = World(files.new(), 20_000)
    world.collecting("r")
    world.deliver("r")
    done = []
    for point in range(AT_COMMIT + 1):
        before = world.store.head
        command = Pay("r/ann-1")
        world.store = interrupted(world.store, files, command, f"pay{point}", world.now, point)
        done.append(world.store.head.seq - before.seq)
        assert world.balance("ann") == 1500 * (1 in done)
    assert set(done) == {0, 1}
    world.do(Pay("r/ann-1"), "pay0")
    assert world.balance("ann") == 1500
    world.store.verify()
