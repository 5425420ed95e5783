"""Choices for random walks through a market: what comes next, well or badly, and what might.

Neighbours: ``settlement_machine`` walks, ``settlement_world`` has the single steps.
"""

from dataclasses import replace

from equigrad.market.settlement import (
    Accept,
    Award,
    AwardState,
    Cancel,
    Close,
    Command,
    Decline,
    Dispute,
    Fund,
    Judge,
    Offer,
    Open,
    Pay,
    Phase,
    Resolve,
    Round,
    Settle,
    Tick,
    Verdict,
)
from equigrad.testing.settlement_world import SELLERS, World, sha

__all__ = ["Chooser"]


class Chooser:
    """Chooses commands for a world; ``luck`` is 0 to 9, low numbers go badly."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store

    def next(self, round_: Round, luck: int) -> Command | None:
        """Return what a round needs next; luck says how it goes."""
        name, phase = round_.id, round_.phase
        plain: dict[Phase, Command] = {
            Phase.DRAFT: Fund(name),
            Phase.FUNDED: Open(name) if luck else Cancel(name),
            Phase.CLEARED: Offer(name),
            Phase.AGGREGATED: Settle(name),
        }
        if phase in plain:
            return plain[phase]
        if phase is Phase.COMMIT and self.world.now <= (round_.commit_by or 0):
            return self._seal(name, luck)
        if phase in (Phase.COMMIT, Phase.REVEAL):
            return self._reveal(round_, luck)
        return self._collect(round_, luck) if phase is Phase.COLLECTING else None

    def _seal(self, name: str, luck: int) -> Command | None:
        """Return the next sealing, or let the time for it pass."""
        sealed = {bid.party for bid in self.store.bids(name)}
        waiting = [seller for seller in SELLERS if seller not in sealed]
        if waiting and luck:
            return self.world.sealing(name, waiting[0])
        self.world.now += 61
        return None

    def _reveal(self, round_: Round, luck: int) -> Command | None:
        """Return the next opening, one that does not match, or the clearing."""
        sealed = [b for b in self.store.bids(round_.id) if b.paper is None and b.dropped is None]
        if not sealed or self.world.now > (round_.reveal_by or 0):
            return self.world.cleared(round_.id)
        seller = sealed[0].party
        if luck == 0:
            self.world.now += 61
        opening = self.world.opening(round_.id, seller)
        return replace(opening, nonce=sha("wrong")) if luck == 1 else opening

    def _collect(self, round_: Round, luck: int) -> Command | None:
        """Return what the first award that is open needs, or the end of the round."""
        if luck == 0:
            self.world.now += 31
        for award in self.store.awards(round_.id):
            command = self._award(award, luck)
            if command is not None:
                return command
        good = any(
            award.state in (AwardState.VERIFIED, AwardState.PAID)
            for award in self.store.awards(round_.id)
        )
        return Close(round_.id, sha("model") if good else None)

    def _award(self, award: Award, luck: int) -> Command | None:
        """Return what an award needs next, None if nothing."""
        name, party = award.round, award.party
        if award.state is AwardState.OFFERED:
            return Decline(award.key, party) if luck == 1 else Accept(award.key, party)
        if award.state is AwardState.RESERVED:
            return self.world.upload(name, party, level=award.level + (luck == 1))
        if award.state is AwardState.DELIVERED:
            return Judge(award.key, self.world.verdict(name, party, passed=luck > 2))
        if award.state is AwardState.DISPUTED:
            return Resolve(award.key, self.world.verdict(name, party, passed=luck > 4))
        disputable = award.dispute_by is not None and not award.disputed
        if award.state is AwardState.REJECTED and disputable:
            if luck > 3 and self.world.now <= (award.dispute_by or 0):
                return Dispute(award.key, party)
            self.world.now = max(self.world.now, (award.dispute_by or 0) + 1)
        return Pay(award.key) if award.state is AwardState.VERIFIED and luck > 7 else None

    def any(self, kind: str, name: str, seller: str, luck: int) -> Command | None:
        """Return a command of a kind about a round and a seller, sound or not."""
        award, other = f"{name}/{seller}-1", SELLERS[luck % len(SELLERS)]
        made: dict[str, Command] = {
            "Fund": Fund(name),
            "Open": Open(name),
            "Cancel": Cancel(name),
            "Commit": self.world.sealing(name, seller),
            "Reveal": self.world.opening(name, seller),
            "Clear": self.world.cleared(name),
            "Offer": Offer(name),
            "Accept": Accept(award, other),
            "Decline": Decline(award, other),
            "Judge": Judge(award, Verdict(sha(f"upload {award}"), luck > 4)),
            "Dispute": Dispute(award, other),
            "Resolve": Resolve(award, Verdict(sha(f"upload {award}"), luck > 4)),
            "Pay": Pay(award),
            "Close": Close(name, None if luck > 4 else sha("model")),
            "Settle": Settle(name),
            "Tick": Tick(name),
        }
        if kind == "Deliver" and self.store.get(Award, award) is not None:
            upload = sha(f"upload {name}/{other}-1")
            return self.world.upload(name, seller, upload=upload, size=500 + 100 * luck)
        if kind == "Cancel" and luck > 3:  # or few rounds would come to their end
            return None
        return made.get(kind)
