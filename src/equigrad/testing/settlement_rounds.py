"""The settlement suite, first part: money, and rounds that end in each of their ways."""

import pytest

from equigrad.market.settlement import (
    Accept,
    AwardState,
    Cancel,
    Close,
    Decline,
    Deposit,
    Dispute,
    Draft,
    Enlist,
    Fund,
    Judge,
    Listing,
    Offer,
    Open,
    Pay,
    Phase,
    Resolve,
    Settle,
    Tick,
    Verdict,
    Withdraw,
    escrow,
    fees,
    wallet,
)
from equigrad.testing.settlement_base import SettlementSuite
from equigrad.testing.settlement_world import SELLERS, sha

__all__ = ["RoundTests"]

PRICE = 1500  # what each seller is awarded: 50 records, level 3, 10 units per record and level


class RoundTests(SettlementSuite):
    """Money and rounds."""

    def test_a_round_settles(self) -> None:
        """Held is the budget and the fee on it; paid, fee and refund are what was held."""
        world = self.world()
        world.collecting("r")
        assert world.balance("buyer") == 100_000 - 10_250
        world.deliver("r")
        world.do(Close("r", sha("model")))
        done = world.do(Settle("r")).result
        assert (done["paid"], done["fee"], done["refunded"]) == (4500, 112, 5638)
        assert [world.balance(name) for name in SELLERS] == [PRICE] * 3
        assert world.balance("buyer") == 100_000 - 4500 - 112
        assert world.store.balance(escrow("r", "EUR")) == 0
        assert world.store.balance(fees("EUR")) == 112
        assert world.round("r").phase is Phase.SETTLED
        self.sound(world)

    def test_a_failed_round_pays_every_verified_delivery(self) -> None:
        """The quorum is missed: no model, but who delivered soundly is paid (I3, I4)."""
        world = self.world(quorum=3)
        world.collecting("r")
        world.deliver("r", "ann", "bob")
        world.now += 61
        done = world.do(Close("r")).result
        assert done["phase"] == "failed"
        assert [world.balance(name) for name in SELLERS] == [PRICE, PRICE, 0]
        assert (done["fee"], done["refunded"]) == (75, 10_250 - 3000 - 75)
        assert world.award("r", "cid").state is AwardState.EXPIRED
        assert "FAILED" in world.refused(Settle("r"))
        assert world.round("r").reason == "2 verified deliveries, quorum 3"
        self.sound(world)

    def test_too_few_awards_fail_before_any_privacy_is_spent(self) -> None:
        """Fewer awards than the quorum: FAILED at the clearing, everything is given back."""
        world = self.world(quorum=2)
        world.opened("r")
        world.seal("r", "ann")
        world.reveal("r", "ann")
        assert world.do(world.cleared("r")).result["phase"] == "failed"
        assert world.balance("buyer") == 100_000
        assert "COLLECTING" in world.refused(Accept("r/ann-1", "ann"))
        self.sound(world)

    def test_nobody_sells(self) -> None:
        """No bid: cleared, no award, no model, the budget returned; that is no failure."""
        world = self.world()
        world.opened("r")
        world.now += 121
        assert world.do(world.cleared("r")).result["awards"] == 0
        world.do(Offer("r"))
        world.do(Close("r"))
        assert world.do(Settle("r")).result["refunded"] == 10_250
        assert world.balance("buyer") == 100_000
        self.sound(world)

    @pytest.mark.parametrize("steps", range(5))
    def test_cancelling_before_the_clearing_refunds_all(self, steps: int) -> None:
        """From DRAFT, FUNDED, COMMIT and REVEAL: a full refund, no fee; never after."""
        world = self.world()
        world.do(Draft("r", world.terms()))
        for command in (Fund("r"), Open("r"))[:steps]:
            world.do(command)
        if steps > 2:
            world.seal("r")
            world.reveal("r", *SELLERS[: steps - 2])
        world.do(Cancel("r"))
        assert world.balance("buyer") == 100_000
        assert "CANCELLED" in world.refused(Cancel("r"))
        world.opened("s")
        world.now += 121
        world.do(world.cleared("s"))
        assert "CLEARED" in world.refused(Cancel("s"))
        self.sound(world)

    def test_payments_before_the_end(self) -> None:
        """A verified delivery may be paid at once, and is not paid again at the end."""
        world = self.world()
        world.collecting("r")
        world.deliver("r")
        receipt = world.do(Pay("r/bob-1")).result["receipt"]
        assert (receipt["paid"], receipt["state"]) == (PRICE, "paid")
        world.do(Close("r", sha("model")))
        assert world.do(Settle("r")).result["paid"] == 3 * PRICE
        assert world.balance("bob") == PRICE
        self.sound(world)

    def test_a_party_may_decline(self) -> None:
        """Above its cap or its account: the award expires, nothing is paid."""
        world = self.world()
        world.opened("r")
        world.seal("r", "ann")
        world.reveal("r", "ann")
        world.do(world.cleared("r"))
        world.do(Offer("r"))
        world.do(Decline("r/ann-1", "ann"))
        assert "EXPIRED" in world.refused(world.upload("r", "ann"))
        assert world.do(Close("r")).result["refunded"] == 10_250
        self.sound(world)

    @pytest.mark.parametrize("upheld", [True, False])
    def test_a_refused_delivery_may_be_disputed_once(self, upheld: bool) -> None:
        """The public check is run again on the stored bytes; its verdict is the last."""
        world = self.world(dispute_seconds=30)
        world.collecting("r")
        world.do(world.upload("r", "ann"))
        world.do(Judge("r/ann-1", world.verdict("r", "ann", passed=False, reason="norm")))
        world.do(Decline("r/bob-1", "bob"))
        world.do(Decline("r/cid-1", "cid"))
        assert "disputed" in world.refused(Close("r"))
        world.now += 30
        world.do(Dispute("r/ann-1", "ann"))
        assert "disputed" in world.refused(Close("r"))
        assert "stored bytes" in world.refused(Resolve("r/ann-1", Verdict(sha("other"), True)))
        world.do(Resolve("r/ann-1", world.verdict("r", "ann", passed=upheld)))
        if upheld:
            world.do(Close("r", sha("model")))
            world.do(Settle("r"))
        else:
            assert "again already" in world.refused(Dispute("r/ann-1", "ann"))
            world.do(Close("r"))
        assert world.balance("ann") == (PRICE if upheld else 0)
        self.sound(world)

    def test_a_dispute_comes_in_time(self) -> None:
        """After its time a refusal stands, and the round can be closed."""
        world = self.world(dispute_seconds=30)
        world.collecting("r")
        world.do(world.upload("r", "ann"))
        world.do(Judge("r/ann-1", world.verdict("r", "ann", passed=False)))
        world.now += 31
        assert "by" in world.refused(Dispute("r/ann-1", "ann"))
        world.now += 60
        assert world.do(Close("r")).result["paid"] == 0
        self.sound(world)

    def test_withdrawals_round_down_to_the_cent(self) -> None:
        """The rest stays in the wallet; less than a cent cannot leave."""
        world = self.world(money=25_999)
        assert world.do(Withdraw("buyer", "EUR", 25_999, "out-1")).accepted
        assert world.balance("buyer") == 5_999
        assert "at least one" in world.refused(Withdraw("buyer", "EUR", 5_999, "out-2"))
        assert "between 0" in world.refused(Withdraw("buyer", "EUR", 10_000, "out-3"))
        self.sound(world)

    def test_only_known_currencies(self) -> None:
        """Money comes and goes in the market's own currencies."""
        world = self.world()
        assert "among EUR" in world.refused(Deposit("buyer", "USD", 5, "usd"))
        assert world.store.balance(wallet("buyer", "USD")) == 0

    def test_one_listing_per_owner_and_schema(self) -> None:
        """Records that are split into listings of one schema are refused."""
        world = self.world()
        again = Enlist(Listing("ann-2", "ann", sha("schema"), 100, 90, "1.5"))
        assert "one listing per owner" in world.refused(again)
        world.do(Enlist(Listing("ann-2", "ann", sha("other"), 100, 90, "1.5")))
        self.sound(world)

    def test_time_moves_a_round_from_sealing_to_opening(self) -> None:
        """The first command after the deadline finds the round in REVEAL."""
        world = self.world()
        world.opened("r")
        world.now += 60
        assert world.do(Tick("r")).result["phase"] == "commit"
        world.now += 1
        assert world.do(Tick("r")).result["phase"] == "reveal"
        self.sound(world)
