"""The state machines of rounds and awards, entirely: every command in every state."""

import pytest

from equigrad.errors import SettlementError
from equigrad.market.settlement import (
    Accept,
    Award,
    AwardState,
    Cancel,
    Close,
    Decline,
    Dispute,
    Draft,
    Fund,
    Judge,
    MemoryStore,
    Offer,
    Open,
    Pay,
    Phase,
    Resolve,
    Round,
    Settle,
    Verdict,
    reduce,
)
from equigrad.testing.settlement_world import EUR, World, sha

EARLY = (Phase.DRAFT, Phase.FUNDED, Phase.COMMIT, Phase.REVEAL)
ROUND_STEPS = {
    **{(phase, "Cancel"): Phase.CANCELLED for phase in EARLY},
    (Phase.DRAFT, "Fund"): Phase.FUNDED,
    (Phase.FUNDED, "Open"): Phase.COMMIT,
    (Phase.REVEAL, "Clear"): Phase.CLEARED,
    (Phase.CLEARED, "Offer"): Phase.COLLECTING,
    (Phase.COLLECTING, "Close"): Phase.AGGREGATED,
    (Phase.AGGREGATED, "Settle"): Phase.SETTLED,
}
GOOD = {
    "Accept": AwardState.RESERVED,
    "Decline": AwardState.EXPIRED,
    "Deliver": AwardState.DELIVERED,
    "Judge": AwardState.VERIFIED,
    "Dispute": AwardState.DISPUTED,
    "Resolve": AwardState.VERIFIED,
    "Pay": AwardState.PAID,
}
AWARD_STEPS = {
    (AwardState.OFFERED, "Accept"),
    (AwardState.OFFERED, "Decline"),
    (AwardState.RESERVED, "Decline"),
    (AwardState.RESERVED, "Deliver"),
    (AwardState.DELIVERED, "Judge"),
    (AwardState.REJECTED, "Dispute"),
    (AwardState.DISPUTED, "Resolve"),
    (AwardState.VERIFIED, "Pay"),
}


def in_phase(phase):
    """Return a world whose round is in a phase."""
    world = World(MemoryStore([EUR]))
    if phase in (Phase.CLEARED, Phase.FAILED):
        world.opened("r", quorum=3 if phase is Phase.FAILED else 1)
        world.seal("r", "ann")
        world.reveal("r", "ann")
        world.do(world.cleared("r"))
        return world
    if phase in (*EARLY, Phase.CANCELLED):
        world.do(Draft("r", world.terms()))
        for command in (Fund("r"), Open("r"))[: EARLY.index(phase) if phase in EARLY else 0]:
            world.do(command)
        if phase is Phase.REVEAL:
            world.seal("r")
            world.reveal("r")
        if phase is Phase.CANCELLED:
            world.do(Cancel("r"))
        return world
    world.collecting("r")
    world.deliver("r")
    for command in (Close("r", sha("model")), Settle("r")):
        if world.round("r").phase is not phase:
            world.do(command)
    return world


@pytest.mark.parametrize("phase", Phase)
def test_a_round_goes_where_the_table_says_and_nowhere_else(phase):
    for name in ("Draft", "Fund", "Open", "Cancel", "Clear", "Offer", "Close", "Settle"):
        world = in_phase(phase)
        assert world.round("r").phase is phase
        command = {
            "Draft": Draft("r", world.terms()),
            "Fund": Fund("r"),
            "Open": Open("r"),
            "Cancel": Cancel("r"),
            "Clear": world.cleared("r"),
            "Offer": Offer("r"),
            "Close": Close("r", sha("model")),
            "Settle": Settle("r"),
        }[name]
        accepted = world.send(command).accepted
        assert accepted is ((phase, name) in ROUND_STEPS), (phase, name)
        assert world.round("r").phase is ROUND_STEPS.get((phase, name), phase)


def in_state(state):
    """Return a world in which ann's award is in a state, and its round takes deliveries."""
    world = World(MemoryStore([EUR]), dispute_seconds=30)
    world.opened("r")
    world.seal("r")
    world.reveal("r")
    world.do(world.cleared("r"))
    world.do(Offer("r"))
    key = "r/ann-1"
    if state is AwardState.EXPIRED:
        world.do(Decline(key, "ann"))
    if state in (AwardState.OFFERED, AwardState.EXPIRED):
        return world
    world.do(Accept(key, "ann"))
    if state is AwardState.RESERVED:
        return world
    world.do(world.upload("r", "ann"))
    if state is AwardState.DELIVERED:
        return world
    good = state in (AwardState.VERIFIED, AwardState.PAID)
    world.do(Judge(key, world.verdict("r", "ann", passed=good)))
    if state is AwardState.DISPUTED:
        world.do(Dispute(key, "ann"))
    if state is AwardState.PAID:
        world.do(Pay(key))
    return world


@pytest.mark.parametrize("state", AwardState)
def test_an_award_goes_where_the_table_says_and_nowhere_else(state):
    for name, target in GOOD.items():
        world, key = in_state(state), "r/ann-1"
        assert world.award("r", "ann").state is state
        verdict = Verdict(sha(f"upload {key}"), passed=True)
        command = {
            "Accept": Accept(key, "ann"),
            "Decline": Decline(key, "ann"),
            "Deliver": world.upload("r", "ann"),
            "Judge": Judge(key, verdict),
            "Dispute": Dispute(key, "ann"),
            "Resolve": Resolve(key, verdict),
            "Pay": Pay(key),
        }[name]
        world.send(command)
        moves = (state, name) in AWARD_STEPS
        assert world.award("r", "ann").state is (target if moves else state), (state, name)


def test_a_reducer_leaves_the_state_it_was_given():
    world = World(MemoryStore([EUR]))
    world.opened("r")
    before = world.store.snapshot().state
    print_ = before.fingerprint
    after, events = reduce(before, world.sealing("r", "ann"), world.now)
    assert [event.kind for event in events] == ["bid-sealed"]
    assert before.fingerprint == print_ != after.fingerprint
    again, _ = reduce(before, world.sealing("r", "ann"), world.now)
    assert again == after
    with pytest.raises(SettlementError, match="one bid for listing"):
        reduce(after, world.sealing("r", "ann"), world.now)


def test_a_reducer_is_not_fooled_by_a_clock_that_is_set_back():
    world = World(MemoryStore([EUR]))
    world.opened("r")
    world.now += 61
    state, _ = reduce(world.store.snapshot().state, Draft("s", world.terms()), world.now)
    assert state.clock == world.now
    with pytest.raises(SettlementError, match="COMMIT"):
        reduce(state, world.sealing("r", "ann"), 0)
    assert isinstance(state.get(Round, "s"), Round)
    assert state.get(Award, "s/ann-1") is None
