"""Random walks through the pure domain: more than ten thousand steps, crashes between any two."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from equigrad.testing.settlement_lockstep import PureStore
from equigrad.testing.settlement_machine import SettlementMachine
from equigrad.testing.settlement_world import EUR

WALKS = settings(
    max_examples=250,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class PureMachine(SettlementMachine):
    def new_store(self):
        return PureStore([EUR])


def test_the_pure_domain_holds_its_invariants_for_ten_thousand_steps():
    run_state_machine_as_test(PureMachine, settings=WALKS)
    assert PureMachine.walked >= 10_000
    assert {"settled", "failed", "cancelled"} <= set(PureMachine.ended)
