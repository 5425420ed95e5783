"""The settlement suite, third part: bids that are sealed, opened and cleared, or are not."""

from dataclasses import replace

from equigrad.market.settlement import Allocation, Clear, Clearing
from equigrad.testing.settlement_base import SettlementSuite
from equigrad.testing.settlement_world import sha

__all__ = ["BidTests"]


class BidTests(SettlementSuite):
    """Attacks on the sealed auction."""

    def test_who_does_not_open_is_left_out(self) -> None:
        """Cleared once with what was opened; the listing is out for a while."""
        world = self.world(exclude_seconds=1000)
        world.opened("r")
        world.seal("r")
        world.reveal("r", "ann", "bob")
        assert "sealed" in world.refused(world.cleared("r"))
        world.now += 61
        world.do(world.cleared("r"))
        assert world.bid("r", "cid").dropped == "not opened"
        assert "REVEAL" in world.refused(world.opening("r", "cid"))
        world.opened("s")
        assert "not opened" in world.refused(world.sealing("s", "cid"))
        world.seal("s", "ann", "bob")
        self.sound(world)

    def test_an_opening_that_does_not_match(self) -> None:
        """Another price, another nonce, an unsound bid: dropped, recorded, no second try."""
        world = self.world()
        world.opened("r")
        unsound = world.paper("r", "cid", size=91)
        world.seal("r", "ann", "bob")
        world.do(world.sealing("r", "cid", unsound))
        world.now += 61
        lower = world.opening("r", "ann", world.paper("r", "ann", table=(0, 1, 2, 3, 4)))
        assert world.do(lower).result["counts"] is False
        other = replace(world.opening("r", "bob"), nonce=sha("another"))
        assert "does not match" in world.do(other).result["reason"]
        assert "from 1 to 90" in world.do(world.opening("r", "cid", unsound)).result["reason"]
        assert "dropped" in world.refused(world.opening("r", "ann"))
        assert world.do(world.cleared("r")).result["awards"] == 0
        self.sound(world)

    def test_an_opening_that_is_late_or_unsigned(self) -> None:
        """Late: dropped. Unsigned or another's: not the party's word, so its bid stays sealed."""
        world = self.world()
        world.opened("r")
        world.seal("r")
        assert "REVEAL" in world.refused(world.opening("r", "ann"))
        world.now += 61
        assert "signed" in world.refused(replace(world.opening("r", "ann"), signed=False))
        assert "signed" in world.refused(replace(world.opening("r", "ann"), party="bob"))
        world.do(world.opening("r", "ann"))
        world.now += 60
        assert world.do(world.opening("r", "bob")).result["reason"] == "opened too late"
        world.do(world.cleared("r"))
        assert [award.listing for award in world.store.awards("r")] == ["ann-1"]
        self.sound(world)

    def test_two_bids_for_one_listing(self) -> None:
        """A sealed bid cannot be changed, and nobody bids for another's listing."""
        world = self.world()
        world.opened("r")
        world.seal("r", "ann")
        second = world.sealing("r", "ann", world.paper("r", "ann", size=1))
        assert "one bid for listing" in world.refused(second)
        assert "owner" in world.refused(replace(world.sealing("r", "bob"), party="ann"))
        stale = replace(world.sealing("r", "bob"), terms_digest=sha("other"))
        assert "other terms" in world.refused(stale)
        self.sound(world)

    def test_bids_after_the_clearing(self) -> None:
        """A round is cleared once and never again, whoever comes later."""
        world = self.world()
        world.opened("r")
        world.seal("r", "ann")
        world.reveal("r", "ann")
        command = world.cleared("r")
        world.do(command)
        for late in (world.sealing("r", "bob"), world.opening("r", "ann"), command):
            assert "CLEARED" in world.refused(late)
        self.sound(world)

    def test_a_clearing_that_no_auction_makes(self) -> None:
        """Above the budget, above a cap, twice, for no bid, or of other bids: refused."""
        world = self.world()
        world.opened("r")
        world.seal("r", "ann", "bob")
        world.reveal("r", "ann", "bob")
        right = world.cleared("r").clearing
        line = Allocation("ann-1", 3, 1500)
        wrongs = {
            "within the budget": (line, Allocation("bob-1", 3, 8501)),
            "up to its cap 3": (Allocation("ann-1", 4, 1500),),
            "one award at most": (line, line),
            "each opened bid": (Allocation("cid-1", 1, 1),),
        }
        for reason, lines in wrongs.items():
            assert reason in world.refused(Clear("r", Clearing(right.inputs, lines)))
        assert "of others" in world.refused(Clear("r", Clearing(sha("x"), right.allocations)))
        world.do(Clear("r", right))
        self.sound(world)
