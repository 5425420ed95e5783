"""The second half of a round: awards are told, uploads taken, checked in public, and counted.

Neighbours: ``bidding`` cleared the round, ``aggregating`` uses what was verified. The bytes stay
with the coordinator until the round is closed; the ledger has their digests.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from equigrad.federation.trade.asking import ask
from equigrad.federation.trade.bidding import Offering
from equigrad.federation.trade.messages import DeliverReply, DeliverRequest
from equigrad.federation.trade.money import Ledger
from equigrad.federation.transport.base import Transport
from equigrad.market import settlement as s
from equigrad.market.ladder import MOST_STEPS
from equigrad.market.local import LocalMechanism

__all__ = ["Collected", "award_facts", "collect"]

_OPEN = (s.AwardState.OFFERED, s.AwardState.RESERVED)


@dataclass(frozen=True)
class Collected:
    """What was delivered.

    Attributes
    ----------
    verified
        The bytes of the verified uploads by party, in the order of the awards.
    awards
        Of the record's line ``collect``; states are those before payment.
    """

    verified: dict[str, bytes]
    awards: list[dict[str, Any]]

    def body(self, quorum: int) -> dict[str, Any]:
        """Return the record's line ``collect``."""
        return {"awards": self.awards, "quorum": quorum, "verified": len(self.verified)}


def collect(
    ledger: Ledger,
    transport: Transport,
    offering: Offering,
    local: LocalMechanism,
    model: torch.Tensor,
) -> Collected:
    """Tell the awards, take what comes in time, check it, and let the deadline pass.

    Parameters
    ----------
    ledger, transport, offering
        The run's ledger, the way to the parties, and the round, which is cleared.
    local
        The mechanism, whose public check judges every upload.
    model
        ``(dim,)``, the model whose gradient is sold.
    """
    ledger.do(s.Offer(offering.id), offering.id, "offer").require()
    awards = sorted(ledger.store.awards(offering.id), key=lambda award: award.party)
    ladder = offering.auction.ladder
    requests = {
        award.party: DeliverRequest(
            round=offering.number,
            task=offering.task,
            market_round=offering.id,
            award=award.key,
            level=award.level,
            payment=award.payment,
            epsilon=float(ladder.eps(award.level)),
            model=model,
        )
        for award in awards
    }
    deadline = offering.terms.deliver_seconds
    replies, answers = ask(transport, requests, DeliverReply, deadline_s=deadline)
    verified: dict[str, bytes] = {}
    why = {**answers.absent, **answers.declined}
    for award in awards:
        if award.party in answers.declined:
            ledger.do(s.Decline(award.key, award.party), offering.id, "decline", award.party)
        elif award.party in replies:
            reply = replies[award.party]
            content = _bytes(reply)
            if content is None:
                why[award.party] = "a reply that is no upload: its bytes or its level are none"
            elif _taken(ledger, offering, local, award, reply, content):
                verified[award.party] = content
    round_ = ledger.need(s.Round, offering.id)
    ledger.clock.beyond(round_.deliver_by or 0)
    return Collected(verified, [award_facts(ledger, award, why) for award in awards])


def _bytes(reply: DeliverReply) -> bytes | None:
    """Return the delivered bytes, or None if these, or the level told, are none."""
    content = reply.content
    if content.dtype != torch.uint8 or content.ndim != 1:
        return None
    if type(reply.level) is not int or not 0 <= reply.level <= MOST_STEPS:
        return None
    return content.cpu().contiguous().numpy().tobytes()


def _taken(
    ledger: Ledger,
    offering: Offering,
    local: LocalMechanism,
    award: s.Award,
    reply: DeliverReply,
    content: bytes,
) -> bool:
    """Give a delivery to the ledger, check its bytes, and return whether it is verified.

    What the ledger answered decides, not what it has now: a round that is played again after a
    kill is asked the same questions.
    """
    party, digest = award.party, hashlib.sha256(content).hexdigest()
    ledger.do(s.Accept(award.key, party), offering.id, "accept", party)
    delivery = s.Deliver(award.key, party, digest, len(content), reply.level)
    if _state(ledger.do(delivery, offering.id, "deliver", party)) != s.AwardState.DELIVERED:
        return False
    faults = local.check(content, float(offering.auction.ladder.eps(award.level)))
    if reply.digest != digest:
        faults = (f"Expected bytes of the digest that the party tells, got {digest}.",)
    verdict = s.Verdict(digest, passed=not faults, reason=" ".join(faults))
    judged = ledger.do(s.Judge(award.key, verdict), offering.id, "judge", party)
    return _state(judged) == s.AwardState.VERIFIED


def _state(response: s.Response) -> str | None:
    """Return the state of the award that an accepted command left."""
    return response.result["receipt"]["state"] if response.accepted else None


def award_facts(ledger: Ledger, award: s.Award, why: Mapping[str, str]) -> dict[str, Any]:
    """Return what the record says of an award, as it stands when deliveries are over.

    Parameters
    ----------
    ledger, award
        The ledger, and the award as it was made.
    why
        Why nothing usable came, by party.
    """
    now = ledger.need(s.Award, award.key)
    state = s.AwardState.VERIFIED if now.state is s.AwardState.PAID else now.state
    state = s.AwardState.EXPIRED if state in _OPEN else state
    return {
        "award": award.key,
        "party": award.party,
        "state": state.value,
        "digest": None if now.delivery is None else now.delivery.digest,
        "bytes": None if now.delivery is None else now.delivery.size,
        "reason": why.get(award.party, now.reason),
    }
