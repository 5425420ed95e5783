"""Random walks through a market, with crashes, repetitions, conflicts and clocks set back.

Inherit :class:`SettlementMachine`, return a new store from ``new_store``, give ``interrupt``, and
run ``YourMachine.TestCase``. After every step the invariants hold and the store has answered as the
store in memory did; at the end of every walk the whole market is verified from genesis.
"""

from typing import ClassVar

from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from equigrad.errors import IdempotencyError
from equigrad.market.settlement import (
    COMMANDS,
    Deposit,
    Draft,
    Fund,
    SettlementStore,
    Tick,
    Withdraw,
)
from equigrad.testing.settlement_choices import Chooser
from equigrad.testing.settlement_lockstep import Interrupt, Lockstep, lost_answer
from equigrad.testing.settlement_world import SELLERS, World, posted_price

__all__ = ["SettlementMachine"]

PICK = st.integers(0, 11)
LUCK = st.integers(0, 9)
"""How a step turns out: mostly well, 0 and 1 badly."""


class SettlementMachine(RuleBasedStateMachine):
    """A market, walked through at random.

    Attributes
    ----------
    walked, ended
        Steps taken and rounds ended in each way, summed over all walks of the class.
    """

    interrupt: ClassVar[Interrupt] = staticmethod(lost_answer)
    walked: ClassVar[int] = 0
    ended: ClassVar[dict[str, int]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.walked, cls.ended = 0, {}

    def new_store(self) -> SettlementStore:
        """Return a new market with the currency ``EUR``."""
        raise NotImplementedError

    # --- beginning and end ----------------------------------------------------------------------

    @initialize(
        money=st.sampled_from([0, 21_000, 60_000]),
        fee=st.sampled_from([0, 250, 10_000]),
        quorum=st.integers(0, 3),
        dispute=st.sampled_from([0, 30]),
        exclude=st.sampled_from([0, 100]),
    )
    def begin(self, money: int, fee: int, quorum: int, dispute: int, exclude: int) -> None:
        """Make a market with a buyer, sellers and some money."""
        self.steps = Lockstep(self.new_store(), type(self).interrupt)
        self.world = World(
            self.steps,
            money,
            fee_bps=fee,
            quorum=quorum,
            dispute_seconds=dispute,
            exclude_seconds=exclude,
        )
        self.choose = Chooser(self.world)
        self.rounds: list[str] = []

    @invariant()
    def sound(self) -> None:
        """All invariants hold after every step."""
        if hasattr(self, "steps"):
            type(self).walked += 1
            self.steps.check()

    def teardown(self) -> None:
        """Verify the whole market at the end of the walk."""
        if hasattr(self, "steps"):
            self.steps.verify(dict.fromkeys(self.rounds, posted_price))
            for round_ in self.rounds:
                phase = self.world.round(round_).phase.value
                type(self).ended[phase] = type(self).ended.get(phase, 0) + 1

    # --- what goes on -----------------------------------------------------------------------------

    @rule(amount=st.sampled_from([1, 9_999, 10_001, 250_000]), who=PICK, out=st.booleans())
    def money(self, amount: int, who: int, out: bool) -> None:
        """Move money in or out."""
        owner = ("buyer", *SELLERS)[who % 4]
        reference = f"t{self.world.count}"
        kind = Withdraw if out else Deposit
        self.world.send(kind(owner, "EUR", amount, reference))

    @rule(budget=st.sampled_from([1_000, 3_100, 10_000]))
    def another_round(self, budget: int) -> None:
        """Write down another round, and fund it if there is money."""
        assume(len(self.rounds) < 3)
        self.rounds.append(f"r{len(self.rounds)}")
        self.world.do(Draft(self.rounds[-1], self.world.terms(budget=budget)))
        self.world.send(Fund(self.rounds[-1]))

    @precondition(lambda self: self.rounds)
    @rule(pick=PICK, luck=st.lists(LUCK, min_size=3, max_size=20))
    def go_on(self, pick: int, luck: list[int]) -> None:
        """Take some of the next steps of a round."""
        name = self.rounds[pick % len(self.rounds)]
        for one in luck:
            command = self.choose.next(self.world.round(name), one)
            if command is not None:
                self.world.send(command)

    go_on_too = go_on
    go_on_again = go_on

    @precondition(lambda self: self.rounds)
    @rule(kind=st.sampled_from(sorted(COMMANDS)), pick=PICK, who=PICK, luck=LUCK)
    def stray(self, kind: str, pick: int, who: int, luck: int) -> None:
        """Send some command at some time, as who is wrong or means ill would."""
        name = self.rounds[pick % len(self.rounds)]
        command = self.choose.any(kind, name, SELLERS[who % len(SELLERS)], luck)
        if command is not None:
            self.world.send(command)

    @rule(seconds=st.sampled_from([-100, -1, 1, 30, 61]))
    def time(self, seconds: int) -> None:
        """Let time go by, or set the clock back."""
        self.world.now = max(0, self.world.now + seconds)

    @rule(pick=st.integers(0, 10**6), late=st.integers(0, 100))
    def repeat(self, pick: int, late: int) -> None:
        """Send a message again: the same answer, and nothing happens (I10)."""
        key, command = self.world.sent[pick % len(self.world.sent)]
        head = self.steps.head
        self.steps.execute(command, key=key, now=self.world.now + late)
        if self.steps.head != head:
            raise AssertionError("Expected nothing done for a repeated message, got a new line.")

    @rule(pick=st.integers(0, 10**6))
    def conflict(self, pick: int) -> None:
        """Send another body under a known key: refused, and nothing happens (I10)."""
        key, _ = self.world.sent[pick % len(self.world.sent)]
        head = self.steps.head
        try:
            self.steps.execute(Tick("conflict"), key=key, now=self.world.now)
        except IdempotencyError:
            pass
        else:
            raise AssertionError("Expected a conflict, got an answer.")
        if self.steps.head != head:
            raise AssertionError("Expected nothing done in a conflict, got a new line.")

    @rule(point=st.integers(0, 24))
    def crash(self, point: int) -> None:
        """Cut the next command off, and send it again (I12)."""
        self.steps.crash_at = point
