"""The settlement suite, second part: what people try, by the name of the attack."""

from typing import Any

import pytest

from equigrad.errors import ConfigError, IdempotencyError
from equigrad.market.settlement import (
    Accept,
    AwardState,
    Cancel,
    Close,
    Deposit,
    Draft,
    Fund,
    Judge,
    Offer,
    Open,
    Pay,
    Settle,
    Verdict,
    Withdraw,
)
from equigrad.testing.settlement_base import SettlementSuite
from equigrad.testing.settlement_world import sha

__all__ = ["AttackTests"]


class AttackTests(SettlementSuite):
    """Attacks and failures of section 8 of the specification that belong to settlement."""

    def test_a_retry_after_a_timeout_pays_once(self) -> None:
        """The same key, another key, the end of the round: one payment under the award's id."""
        world = self.world()
        world.collecting("r")
        world.deliver("r")
        first = world.do(Pay("r/ann-1"), "pay")
        world.store = self.reopen(world.store)
        assert world.do(Pay("r/ann-1"), "pay") == first
        assert world.do(Pay("r/ann-1")).result == first.result
        world.do(Close("r", sha("model")))
        world.do(Settle("r"))
        assert world.do(Pay("r/ann-1")).result == first.result
        assert world.balance("ann") == first.result["receipt"]["paid"] > 0
        self.sound(world)

    def test_a_refund_is_made_once(self) -> None:
        """Cancelling or settling again, in whatever order, moves nothing."""
        world = self.world()
        world.opened("r")
        first = world.do(Cancel("r"), "cancel")
        assert world.do(Cancel("r"), "cancel") == first
        for again in (Cancel("r"), Settle("r"), Close("r"), Fund("r")):
            assert "CANCELLED" in world.refused(again)
        assert world.balance("buyer") == 100_000
        world.collecting("s")
        world.deliver("s")
        world.do(Close("s", sha("model")))
        settled = world.do(Settle("s"), "settle")
        assert world.do(Settle("s"), "settle") == settled
        for again in (Settle("s"), Cancel("s"), Close("s")):
            assert "SETTLED" in world.refused(again)
        assert world.balance("buyer") == 100_000 - 4500 - 112
        self.sound(world)

    def test_a_deposit_is_taken_once(self) -> None:
        """A transfer's reference counts once, and so does a withdrawal's, under any key."""
        world = self.world()
        assert "first time" in world.refused(Deposit("buyer", "EUR", 100_000, "first"))
        world.do(Withdraw("buyer", "EUR", 20_000, "out"))
        assert "first time" in world.refused(Withdraw("buyer", "EUR", 20_000, "out"))
        assert world.balance("buyer") == 80_000
        self.sound(world)

    def test_a_replayed_delivery_is_rejected(self) -> None:
        """Bytes are taken once in the life of a market: another's, or one's own of before."""
        world = self.world()
        world.collecting("r")
        world.deliver("r", "ann")
        bytes_ = sha("upload r/ann-1")
        world.do(world.upload("r", "bob", upload=bytes_))
        assert world.award("r", "bob").state is AwardState.REJECTED
        assert "replayed" in (world.award("r", "bob").reason or "")
        world.collecting("s")
        world.do(world.upload("s", "ann", upload=bytes_))
        assert world.award("s", "ann").state is AwardState.REJECTED
        self.sound(world)

    @pytest.mark.parametrize(
        ("wrong", "reason"), [({"size": 1001}, "1001 bytes"), ({"level": 2}, "level 2, awarded 3")]
    )
    def test_a_delivery_too_large_or_at_another_epsilon(
        self, wrong: dict[str, Any], reason: str
    ) -> None:
        """It is rejected for good; a better one of the same award comes too late."""
        world = self.world()
        world.collecting("r")
        world.do(world.upload("r", "ann", **wrong))
        award = world.award("r", "ann")
        assert award.state is AwardState.REJECTED
        assert reason in (award.reason or "")
        assert "REJECTED" in world.refused(world.upload("r", "ann", upload=sha("better")))
        world.deliver("r", "bob", "cid")
        world.do(Close("r", sha("model")))
        assert world.do(Settle("r")).result["paid"] == 3000
        self.sound(world)

    def test_a_delivery_that_is_not_finite(self) -> None:
        """The public check says NaN: rejected, not paid; a verdict on other bytes is refused."""
        world = self.world()
        world.collecting("r")
        world.do(world.upload("r", "ann"))
        assert "stored bytes" in world.refused(Judge("r/ann-1", Verdict(sha("other"), True)))
        world.do(Judge("r/ann-1", world.verdict("r", "ann", passed=False, reason="NaN")))
        assert world.award("r", "ann").reason == "NaN"
        assert "REJECTED" in world.refused(Pay("r/ann-1"))
        assert "REJECTED" in world.refused(Judge("r/ann-1", world.verdict("r", "ann", passed=True)))
        self.sound(world)

    def test_a_late_delivery_expires(self) -> None:
        """The coordinator's second counts: the last one is in time, the next is not."""
        world = self.world()
        world.collecting("r")
        world.now += 60
        world.do(world.upload("r", "ann"))
        world.now += 1
        assert world.do(world.upload("r", "bob")).result["receipt"]["state"] == "expired"
        assert "EXPIRED" in world.refused(world.upload("r", "bob"))
        world.do(Judge("r/ann-1", world.verdict("r", "ann", passed=True)))
        self.sound(world)

    def test_a_buyer_without_funds(self) -> None:
        """Budget and fee are held before anything else happens, or nothing happens."""
        world = self.world(money=10_249)
        world.do(Draft("r", world.terms()))
        assert "Pay money in" in world.refused(Fund("r"))
        assert "FUNDED" in world.refused(Open("r"))
        assert world.balance("buyer") == 10_249
        world.do(Deposit("buyer", "EUR", 1, "more"))
        world.do(Fund("r"))
        assert world.balance("buyer") == 0
        self.sound(world)

    def test_one_account_in_two_rounds_at_once(self) -> None:
        """Money that one escrow holds cannot fund another, nor leave."""
        world = self.world(money=15_000)
        world.do(Draft("r", world.terms()))
        world.do(Draft("s", world.terms()))
        world.do(Fund("r"))
        assert "got 4750" in world.refused(Fund("s"))
        assert "between 0" in world.refused(Withdraw("buyer", "EUR", 10_000, "out"))
        world.do(Cancel("r"))
        world.do(Fund("s"))
        self.sound(world)

    def test_a_message_that_comes_twice(self) -> None:
        """Every command of a whole round, sent again in order: the same answers, no change."""
        world = self.world()
        world.collecting("r")
        world.deliver("r")
        world.do(Close("r", sha("model")))
        world.do(Settle("r"))
        world.store = self.reopen(world.store)
        before = world.store.snapshot()
        lines = {line.idempotency_key: line.response for line in before.journal}
        for key, command in world.sent:
            assert world.store.execute(command, key=key, now=world.now + 10**6) == lines[key]
        assert world.store.snapshot() == before
        key, command = world.sent[-1]
        with pytest.raises(IdempotencyError, match="another body"):
            world.store.execute(Cancel("r"), key=key, now=world.now)
        assert world.store.snapshot() == before
        assert world.do(world.upload("r", "ann")).result["receipt"]["paid"] == 1500
        self.sound(world)

    def test_a_refusal_keeps_its_key(self) -> None:
        """What was refused stays refused under its key; a new key is a new try."""
        world = self.world(money=0)
        world.do(Draft("r", world.terms()))
        first = world.send(Fund("r"), "fund")
        world.do(Deposit("buyer", "EUR", 20_000, "late"))
        assert not first.accepted
        assert world.send(Fund("r"), "fund") == first
        world.do(Fund("r"))
        self.sound(world)

    def test_a_clock_that_is_set_back(self) -> None:
        """Time never goes back: a deadline that passed stays passed."""
        world = self.world()
        world.opened("r")
        world.seal("r", "ann")
        world.now += 61
        assert world.do(world.opening("r", "ann")).at == world.now
        world.now -= 60
        assert "COMMIT" in world.refused(world.sealing("r", "bob"))
        assert world.send(Cancel("unknown")).at == world.now + 60
        with pytest.raises(ConfigError, match="now"):
            world.store.execute(Cancel("r"), key="negative", now=-1)
        self.sound(world)

    def test_nobody_speaks_for_another(self) -> None:
        """Accepting, delivering and unsigned deliveries of others change nothing."""
        world = self.world()
        world.opened("r")
        world.seal("r", "ann")
        world.reveal("r", "ann")
        world.do(world.cleared("r"))
        world.do(Offer("r"))
        assert "speak for" in world.refused(Accept("r/ann-1", "bob"))
        assert "RESERVED" in world.refused(world.upload("r", "ann"))
        world.do(Accept("r/ann-1", "ann"))
        assert "signed" in world.refused(world.upload("r", "ann", party="bob"))
        assert "signed" in world.refused(world.upload("r", "ann", signed=False))
        world.deliver("r", "ann")
        self.sound(world)
