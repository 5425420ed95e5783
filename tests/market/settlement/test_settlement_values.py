"""Entities, papers, commands and their one JSON form."""

from dataclasses import replace

import pytest

from equigrad.errors import ConfigError, VerificationError
from equigrad.market.settlement import (
    COMMANDS,
    MAX_UNITS,
    Allocation,
    BidPaper,
    BidRecord,
    Cancel,
    Clear,
    Clearing,
    Commit,
    Deliver,
    Deposit,
    Judge,
    Listing,
    MemoryStore,
    OpenedBids,
    Pay,
    Terms,
    Verdict,
    command_from_json,
    command_to_json,
    commitment,
)
from equigrad.market.settlement.codec import canonical, from_json, to_json
from equigrad.market.settlement.papers import flaw
from equigrad.testing.settlement_world import EUR, SELLERS, World, sha

TERMS = Terms("job", 100, sha("auction"), steps=4)
LISTING = Listing("l", "ann", sha("schema"), 100, 90, "1.5")
PAPER = BidPaper("ann", "l", (0, 1, 2, 3, 4), 3, 50, TERMS.digest)
NONCE = "ab" * 16


def test_every_command_is_what_its_json_says():
    world = World(MemoryStore([EUR]))
    world.collecting("r")
    world.deliver("r")
    seen = {type(command).__name__ for _, command in world.sent}
    assert len(seen) >= 12
    for _, command in world.sent:
        assert command_from_json(to_json(command_to_json(command))) == command
    assert seen <= set(COMMANDS)


@pytest.mark.parametrize(
    "form",
    [
        {"command": "Steal", "round": "r"},
        {"round": "r"},
        {"command": "Pay"},
        {"command": "Pay", "award": "r/l", "twice": True},
        {"command": "Pay", "award": 7},
        {"command": "Deposit", "owner": "a", "currency": "EUR", "amount": 1.5, "reference": "x"},
        {"command": "Judge", "award": "r/l", "verdict": {"digest": "x", "passed": 1, "reason": ""}},
    ],
)
def test_json_that_is_no_command_is_refused(form):
    with pytest.raises(ConfigError, match="Expected"):
        command_from_json(form)


def test_the_canonical_form_is_one_and_has_no_floats():
    assert canonical({"b": 1, "a": (None, True, "é")}) == b'{"a":[null,true,"\\u00e9"],"b":1}'
    for bad in (1.0, {1.5}, b"x"):
        with pytest.raises(TypeError, match="whole numbers"):
            canonical({"x": bad})
    with pytest.raises(VerificationError, match="changed outside"):
        from_json(Listing, {"id": "l"})


def test_a_commitment_binds_every_part():
    seal = commitment(PAPER, NONCE, "r")
    others = [
        commitment(replace(PAPER, size=51), NONCE, "r"),
        commitment(replace(PAPER, table=(0, 1, 2, 3, 5)), NONCE, "r"),
        commitment(replace(PAPER, party="bob"), NONCE, "r"),
        commitment(PAPER, "ab" * 17, "r"),
        commitment(PAPER, NONCE, "r2"),
    ]
    assert len({seal, *others}) == 6
    assert seal == commitment(PAPER, NONCE, "r")


@pytest.mark.parametrize("bad", ["", "ab" * 15, "ab" * 65, "AB" * 16, "zz" * 16, "a" * 33])
def test_a_nonce_that_could_be_guessed_is_refused(bad):
    with pytest.raises(ConfigError, match="16 to 64 bytes"):
        commitment(PAPER, bad, "r")


def test_the_inputs_of_a_clearing_have_no_order_and_bind_everything():
    listings = {f"l-{name}": replace(LISTING, id=f"l-{name}", owner=name) for name in SELLERS}
    bids = [
        BidRecord("r", paper.listing, paper.party, "", 1, paper, sha(paper.party), 2)
        for paper in (replace(PAPER, party=name, listing=f"l-{name}") for name in SELLERS)
    ]
    book = OpenedBids.of("r", TERMS, bids, listings)
    assert OpenedBids.of("r", TERMS, bids[::-1], listings) == book
    smaller = {key: replace(one, size_cap=89) for key, one in listings.items()}
    others = [
        OpenedBids.of("s", TERMS, bids, listings),
        OpenedBids.of("r", replace(TERMS, budget=99), bids, listings),
        OpenedBids.of("r", TERMS, bids[1:], listings),
        OpenedBids.of("r", TERMS, bids, smaller),
        OpenedBids.of("r", TERMS, [replace(bids[0], nonce=NONCE), *bids[1:]], listings),
        OpenedBids.of("r", TERMS, [replace(bids[0], dropped="late"), *bids[1:]], listings),
    ]
    digests = [one.digest for one in others]
    assert len({book.digest, *digests}) == 6
    assert others[-1] == others[2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"terms": sha("x")}, "other terms"),
        ({"party": "bob"}, "not bob's"),
        ({"table": (0, 1, 2)}, "5 prices, got 3"),
        ({"table": (0, 1, 2, 3, -4)}, "not from 0"),
        ({"table": (0, 1, 2, 3, MAX_UNITS + 1)}, "not from 0"),
        ({"table": (1, 1, 2, 3, 4)}, "do not rise from 0"),
        ({"table": (0, 2, 1, 3, 4)}, "do not rise"),
        ({"size": 0}, "from 1 to 90"),
        ({"size": 91}, "from 1 to 90"),
        ({"level_cap": 5}, "from 0 to 4"),
        ({"level_cap": -1}, "from 0 to 4"),
    ],
)
def test_a_bid_that_cannot_be_cleared_says_why(change, reason):
    assert flaw(PAPER, LISTING, TERMS) is None
    assert reason in flaw(replace(PAPER, **change), LISTING, TERMS)


@pytest.mark.parametrize(
    ("cap", "level"),
    [("9", 4), ("2", 4), ("1.99", 3), ("1.5", 3), ("0.4999999999995", 1), ("0.1", 0)],
)
def test_a_cap_is_cut_to_the_ladder(cap, level):
    assert replace(LISTING, eps_cap=cap).level_cap(TERMS) == level


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(TERMS, budget=0),
        lambda: replace(TERMS, budget=1.5),
        lambda: replace(TERMS, budget=MAX_UNITS + 1),
        lambda: replace(TERMS, budget=MAX_UNITS, fee_bps=1),
        lambda: replace(TERMS, fee_bps=10_001),
        lambda: replace(TERMS, eps_max="nan"),
        lambda: replace(TERMS, eps_max="0.0"),
        lambda: replace(TERMS, steps=0),
        lambda: replace(TERMS, commit_seconds=0),
        lambda: replace(TERMS, deliver_seconds=1.5),
        lambda: replace(LISTING, attested_size=0),
        lambda: replace(LISTING, size_cap=101),
        lambda: replace(LISTING, size_cap=1.5),
        lambda: replace(LISTING, eps_cap="-1"),
        lambda: replace(LISTING, schema="abc"),
        lambda: replace(LISTING, id="a/b"),
        lambda: replace(PAPER, table=(0, 1.5)),
        lambda: replace(PAPER, size=True),
        lambda: Allocation("l", 0, 5),
        lambda: Allocation("l", 1, -5),
        lambda: Allocation("l", 1, 0.5),
        lambda: Clearing("x", ()),
        lambda: Verdict("x", passed=True),
        lambda: Cancel(""),
        lambda: Pay("r"),
        lambda: Pay("r/a:b"),
        lambda: Deposit("ann", "EUR", 0, "x"),
        lambda: Deposit("ann", "EUR", 1.0, "x"),
        lambda: Deliver("r/l", "ann", "x", 1, 1),
        lambda: Deliver("r/l", "ann", sha("x"), -1, 1),
        lambda: Commit("r", "l", "ann", "x", sha("t")),
    ],
)
def test_a_value_that_could_never_be_sound_cannot_be_made(make):
    with pytest.raises(ConfigError, match="Expected"):
        make()


def test_commands_of_a_clearing_keep_its_lines():
    command = Clear("r", Clearing(sha("x"), (Allocation("l", 1, 2),)))
    assert command_from_json(command_to_json(command)) == command
    judge = Judge("r/l", Verdict(sha("x"), passed=False, reason="NaN"))
    assert command_from_json(command_to_json(judge)) == judge


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", 7, None])
def test_an_impossible_key_is_refused(key):
    store = MemoryStore([EUR])
    with pytest.raises(ConfigError, match="idempotency key"):
        store.execute(Cancel("r"), key=key, now=1)
    assert store.head.seq == 0
