"""The audit chain and the invariants notice what is changed: negative controls of the verifier."""

from dataclasses import replace

import pytest

from equigrad.errors import VerificationError
from equigrad.market.settlement import (
    Award,
    AwardState,
    BidRecord,
    Close,
    Currency,
    LedgerEntry,
    MemoryStore,
    Party,
    Pay,
    Posting,
    Round,
    Settle,
    broken,
    check_chain,
    fees,
    genesis,
    replay,
    verify,
    wallet,
)
from equigrad.testing.settlement_world import EUR, World, posted_price, sha

RULES = {"r": posted_price}


@pytest.fixture
def world():
    world = World(MemoryStore([EUR]))
    world.collecting("r")
    world.deliver("r")
    world.do(Pay("r/ann-1"))
    world.do(Close("r", sha("model")))
    world.do(Settle("r"))
    assert not world.send(Settle("r")).accepted
    return world


def chained(currencies, lines):
    """Return the lines bound to one another again, as a forger of the whole chain would."""
    head, forged = genesis(currencies).digest, []
    for seq, line in enumerate(lines, 1):
        forged.append(replace(line, seq=seq, previous=head).sealed())
        head = forged[-1].digest
    return tuple(forged)


def test_a_sound_chain_verifies_from_genesis(world):
    lines = world.store.snapshot().journal
    head = check_chain(world.store.currencies, lines)
    assert head == world.store.head == world.store.verify(RULES)
    assert check_chain(world.store.currencies, ()) == genesis(world.store.currencies)
    state, entries, again = replay(world.store.currencies, lines)
    assert (state, tuple(entries), again) == (
        world.store.snapshot().state,
        world.store.snapshot().entries,
        head,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"at": 5},
        {"now": 5},
        {"idempotency_key": "x"},
        {"command": {"command": "Pay", "award": "r/bob-1"}},
        {"accepted": False},
        {"reason": "x"},
        {"events": ()},
        {"result": {"x": 1}},
        {"previous": sha("x")},
        {"digest": sha("x")},
        {"seq": 99},
    ],
)
def test_a_changed_line_is_found(world, change):
    lines = list(world.store.snapshot().journal)
    lines[20] = replace(lines[20], **change)
    with pytest.raises(VerificationError, match="line 21"):
        check_chain(world.store.currencies, lines)


@pytest.mark.parametrize("forge", ["remove", "swap", "repeat"])
def test_a_line_removed_moved_or_put_in_is_found(world, forge):
    lines = list(world.store.snapshot().journal)
    lines[9:12] = {
        "remove": lines[10:12],
        "swap": [lines[10], lines[9], lines[11]],
        "repeat": [lines[9], *lines[9:12]],
    }[forge]
    with pytest.raises(VerificationError, match="audit chain"):
        check_chain(world.store.currencies, lines)


def test_a_chain_of_other_currencies_is_found(world):
    other = {"EUR": Currency("EUR", scale=100)}
    with pytest.raises(VerificationError, match="line 1 "):
        check_chain(other, world.store.snapshot().journal)


@pytest.mark.parametrize(
    ("index", "change"),
    [
        (-1, {"accepted": True, "reason": None}),
        (-2, {"result": {}}),
        (8, {"events": ()}),
        (3, {"idempotency_key": "key 1"}),
    ],
)
def test_a_chain_that_was_bound_again_does_not_play(world, index, change):
    lines = list(world.store.snapshot().journal)
    lines[index] = replace(lines[index], **change)
    forged = chained(world.store.currencies, lines)
    check_chain(world.store.currencies, forged)
    with pytest.raises(VerificationError, match="come out again"):
        replay(world.store.currencies, forged)


def spoilt(kind, key, **changes):
    def spoil(state, entries):
        state.entities[kind][key] = replace(state.entities[kind][key], **changes)

    return spoil


def balance(account, amount):
    def spoil(state, entries):
        state.balances[account] += amount

    return spoil


def entry(key, *postings):
    def spoil(state, entries):
        entries.append(LedgerEntry(key, 1, tuple(Posting(a, n) for a, n in postings)))
        state.keys.add(key)
        for account, amount in postings:
            state.balances[account] = state.balance(account) + amount

    return spoil


def gone(key):
    def spoil(state, entries):
        entries[:] = [entry for entry in entries if entry.key != key]

    return spoil


ANN, BUYER, FEES = wallet("ann", "EUR"), wallet("buyer", "EUR"), fees("EUR")


@pytest.mark.parametrize(
    ("number", "spoil"),
    [
        ("I1", balance(ANN, 1)),
        ("I1", balance(ANN, -10_000)),
        ("I1", entry("gift", (ANN, 5))),
        ("I1", entry("loan", (ANN, -2000), (BUYER, 2000))),
        ("I1", entry("half", (ANN, 0.5), (BUYER, -0.5))),
        ("I2", spoilt(Award, "r/ann-1", payment=10_000)),
        ("I3", spoilt(Award, "r/ann-1", payment=1501)),
        ("I3", spoilt(Award, "r/ann-1", state=AwardState.REJECTED)),
        ("I3", spoilt(Award, "r/ann-1", state=AwardState.VERIFIED)),
        ("I3", spoilt(Award, "r/ann-1", delivery=None)),
        ("I3", gone("pay:r/bob-1")),
        ("I7", spoilt(Award, "r/ann-1", level=4)),
        ("I7", spoilt(Award, "r/ann-1", level=2)),
        ("I7", spoilt(BidRecord, "r/ann-1", dropped="late")),
        ("I8", spoilt(BidRecord, "r/ann-1", committed_at=10**6)),
        ("I8", spoilt(BidRecord, "r/ann-1", revealed_at=1000)),
        ("I8", spoilt(BidRecord, "r/ann-1", revealed_at=10**6)),
        ("I8", spoilt(BidRecord, "r/ann-1", nonce=sha("x"))),
        ("I9", spoilt(Award, "r/ann-1", level=2)),
        ("I9", spoilt(Round, "r", inputs=sha("x"))),
    ],
)
def test_a_broken_invariant_is_named(world, number, spoil):
    kept = world.store.snapshot()
    entries = list(kept.entries)
    assert broken(kept.state, entries, RULES) == []
    spoil(kept.state, entries)
    assert number in {fault[:2] for fault in broken(kept.state, entries, RULES)}


@pytest.mark.parametrize("change", [{"fee": 113, "refunded": 5637}, {"refunded": 5637}])
def test_a_wrong_refund_is_named(world, change):
    kept = world.store.snapshot()
    round_ = kept.state.entities[Round]["r"]
    escrow = replace(round_.escrow, **change)
    kept.state.entities[Round]["r"] = replace(round_, escrow=escrow)
    assert any(fault.startswith("I4") for fault in broken(kept.state, kept.entries))


def test_a_clearing_by_another_rule_is_named(world):
    with pytest.raises(VerificationError, match="I9"):
        world.store.verify({"r": lambda book: []})


@pytest.mark.parametrize("what", ["entries", "state"])
def test_books_and_tables_must_be_what_the_chain_makes(world, what):
    kept = world.store.snapshot()
    if what == "entries":
        kept = replace(kept, entries=kept.entries[:-1])
    else:
        kept.state.entities[Party]["ann"] = Party("ann", sha("another key"))
    with pytest.raises(VerificationError, match="that the audit chain makes"):
        verify(world.store.currencies, kept, {})
