"""Commands about awards: offer, accept, deliver, judge, dispute, pay.

    OFFERED -> RESERVED -> DELIVERED -> VERIFIED -> PAID
    EXPIRED: declined or late    REJECTED: what came is wrong    DISPUTED: checked once more

Neighbours: ``closing`` ends the round; the check of the bytes is elsewhere, its verdict comes in.
"""

from dataclasses import replace

from equigrad.errors import SettlementError
from equigrad.market.settlement.closing import pay_award
from equigrad.market.settlement.codec import to_json
from equigrad.market.settlement.commands import (
    Accept,
    Decline,
    Deliver,
    Dispute,
    Judge,
    Offer,
    Pay,
    Resolve,
)
from equigrad.market.settlement.entities import Phase, Round
from equigrad.market.settlement.papers import Award, AwardState, Delivery, Upload, Verdict
from equigrad.market.settlement.rounds import current, enter, in_phase
from equigrad.market.settlement.work import Work

__all__ = ["accept", "decline", "deliver", "dispute", "judge", "offer", "pay", "resolve"]


def offer(work: Work, command: Offer) -> None:
    """Tell the awards; deliveries are taken from now until ``deliver_by``."""
    round_ = current(work, command.round)
    in_phase(round_, [Phase.CLEARED], "offer its awards")
    deliver_by = work.at + round_.terms.deliver_seconds
    enter(work, replace(round_, deliver_by=deliver_by), Phase.COLLECTING)
    work.result["deliver_by"] = deliver_by


def accept(work: Work, command: Accept) -> None:
    """Reserve: the party says that its privacy account holds this award."""
    round_, award = _collecting(work, command.award, command.party)
    _in_state(award, [AwardState.OFFERED], "be accepted")
    if work.at > (round_.deliver_by or 0):
        return _answer(work, award, AwardState.EXPIRED, "accepted too late")
    return _answer(work, award, AwardState.RESERVED, None)


def decline(work: Work, command: Decline) -> None:
    """Expire: the party does not deliver, and is not paid."""
    _, award = _collecting(work, command.award, command.party)
    _in_state(award, [AwardState.OFFERED, AwardState.RESERVED], "be declined")
    _answer(work, award, AwardState.EXPIRED, "declined")


def deliver(work: Work, command: Deliver) -> None:
    """Take an upload in; what can be seen to be wrong without its bytes is refused for good."""
    known = work.need(Award, command.award)
    if known.party != command.party or not command.signed:
        raise SettlementError(f"Expected the delivery of {known.key} signed by {known.party}.")
    if known.delivery is not None and known.delivery.digest == command.upload:
        work.result["receipt"] = to_json(known.receipt)
        return None  # a message that came twice: told again, taken once
    round_, award = _collecting(work, command.award, command.party)
    _in_state(award, [AwardState.RESERVED], "be delivered")
    arrived = Delivery(command.upload, command.size, command.level, work.at)
    if work.at > (round_.deliver_by or 0):
        return _answer(work, award, AwardState.EXPIRED, "delivered too late")
    award = replace(award, delivery=arrived)
    if command.size > round_.terms.max_bytes:
        reason = f"{command.size} bytes, at most {round_.terms.max_bytes}"
        return _answer(work, award, AwardState.REJECTED, reason)
    if command.level != award.level:
        reason = f"noised at level {command.level}, awarded {award.level}"
        return _answer(work, award, AwardState.REJECTED, reason)
    seen = work.find(Upload, command.upload)
    if seen is not None:
        return _answer(work, award, AwardState.REJECTED, f"replayed: delivered for {seen.award}")
    work.put(Upload(command.upload, award.key))
    return _answer(work, award, AwardState.DELIVERED, None)


def judge(work: Work, command: Judge) -> None:
    """Take the verdict of the public check on the stored bytes."""
    round_, award = _collecting(work, command.award, None)
    _in_state(award, [AwardState.DELIVERED], "be judged")
    _same_bytes(award, command.verdict)
    if command.verdict.passed:
        return _answer(work, award, AwardState.VERIFIED, None)
    by = work.at + round_.terms.dispute_seconds if round_.terms.dispute_seconds else None
    reason = command.verdict.reason or "failed the public check"
    return _answer(work, replace(award, dispute_by=by), AwardState.REJECTED, reason)


def dispute(work: Work, command: Dispute) -> None:
    """Call for the public check once more, in time and once; only a failed check is open to it."""
    _, award = _collecting(work, command.award, command.party)
    _in_state(award, [AwardState.REJECTED], "be disputed")
    if award.disputed or award.dispute_by is None:
        raise SettlementError(
            f"Expected an award whose check may be disputed, got {award.key}: {award.reason}. The "
            "record itself shows it, or the check was run again already."
        )
    if work.at > award.dispute_by:
        raise SettlementError(
            f"Expected a dispute of {award.key} by {award.dispute_by}, got one at {work.at}."
        )
    _answer(work, replace(award, disputed=True), AwardState.DISPUTED, award.reason)


def resolve(work: Work, command: Resolve) -> None:
    """Take the verdict of the repeated check; it is the last."""
    _, award = _collecting(work, command.award, None)
    _in_state(award, [AwardState.DISPUTED], "be resolved")
    _same_bytes(award, command.verdict)
    if command.verdict.passed:
        return _answer(work, award, AwardState.VERIFIED, None)
    reason = command.verdict.reason or "failed the public check twice"
    return _answer(work, award, AwardState.REJECTED, reason)


def pay(work: Work, command: Pay) -> None:
    """Pay a verified delivery; asked again, tell the receipt again."""
    award = work.need(Award, command.award)
    if award.state is not AwardState.PAID:
        _in_state(award, [AwardState.VERIFIED], "be paid")
        round_ = work.need(Round, award.round)
        in_phase(round_, [Phase.COLLECTING, Phase.AGGREGATED], "pay an award")
        round_, award = pay_award(work, round_, award)
        work.put(round_)
    work.result["receipt"] = to_json(award.receipt)


def _collecting(work: Work, key: str, party: str | None) -> tuple[Round, Award]:
    """Return an award and its round, which takes deliveries; refuse another party's command."""
    award = work.need(Award, key)
    if party is not None and party != award.party:
        raise SettlementError(f"Expected {award.party} to speak for award {key}, got {party!r}.")
    round_ = current(work, award.round)
    in_phase(round_, [Phase.COLLECTING], "go on with its awards")
    return round_, award


def _in_state(award: Award, states: list[AwardState], what: str) -> None:
    """Refuse the command unless the award is in one of ``states``."""
    if award.state not in states:
        names = " or ".join(state.name for state in states)
        because = f" ({award.reason})" if award.reason else ""
        raise SettlementError(
            f"Expected award {award.key} {names} to {what}, got {award.state.name}{because}."
        )


def _same_bytes(award: Award, verdict: Verdict) -> None:
    """Refuse a verdict on other bytes than those that were delivered."""
    stored = award.delivery.digest if award.delivery else None
    if verdict.digest != stored:
        raise SettlementError(
            f"Expected the verdict on the stored bytes {stored} of {award.key}, got that on "
            f"{verdict.digest}."
        )


def _answer(work: Work, award: Award, state: AwardState, reason: str | None) -> None:
    """Put an award into a state and answer with its receipt."""
    moved = replace(award, state=state, reason=reason)
    work.put(moved)
    facts = {} if reason is None else {"reason": reason}
    work.event("award-state", moved.key, state=state.value, **facts)
    work.result["receipt"] = to_json(moved.receipt)
