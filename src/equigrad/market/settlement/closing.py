"""The end of a round: pay what is verified, take the fee, give the rest back.

    COLLECTING -> AGGREGATED -> SETTLED          FAILED when the quorum is missed

Either way the books end the same: every verified delivery is paid, once, and
``refund = held - paid - fee``. Neighbours: ``awards`` before, ``books`` below.
"""

from collections.abc import Iterable
from dataclasses import replace

from equigrad.errors import SettlementError
from equigrad.market.settlement.books import escrow, fees, wallet
from equigrad.market.settlement.commands import Close, Settle
from equigrad.market.settlement.entities import Escrow, Phase, Round
from equigrad.market.settlement.fields import digest
from equigrad.market.settlement.money import fee
from equigrad.market.settlement.papers import Award, AwardState
from equigrad.market.settlement.rounds import current, enter, in_phase
from equigrad.market.settlement.work import Work

__all__ = ["close", "finish", "pay_award", "settle"]

_GOOD = (AwardState.VERIFIED, AwardState.PAID)


def close(work: Work, command: Close) -> None:
    """Take no more deliveries: AGGREGATED with a model, or FAILED with everybody paid."""
    round_ = current(work, command.round)
    in_phase(round_, [Phase.COLLECTING], "close it")
    awards = [_expired(work, round_, award) for award in work.awards(round_.id)]
    waiting = [award.key for award in awards if _may_change(award, work.at)]
    if waiting:
        raise SettlementError(
            f"Expected nothing open in round {round_.id}, got {len(waiting)} awards that may still "
            f"be delivered, judged or disputed ({', '.join(waiting[:3])}). Judge them, or wait."
        )
    good = sum(award.state in _GOOD for award in awards)
    if awards and good < round_.terms.quorum:
        reason = f"{good} verified deliveries, quorum {round_.terms.quorum}"
        finish(work, replace(round_, reason=reason), awards, Phase.FAILED)
        return
    if (command.release is None) is (good > 0):
        raise SettlementError(
            f"Expected a released model exactly if anything was delivered, got {good} verified "
            f"deliveries and release={command.release!r}."
        )
    if command.release is not None:
        digest("release", command.release)
        work.event("model-released", round_.id, model=command.release)
    enter(work, replace(round_, release=command.release), Phase.AGGREGATED)


def settle(work: Work, command: Settle) -> None:
    """Pay, take the fee, refund; a second time there is nothing to settle."""
    round_ = current(work, command.round)
    in_phase(round_, [Phase.AGGREGATED], "settle it")
    finish(work, round_, work.awards(round_.id), Phase.SETTLED)


def pay_award(work: Work, round_: Round, award: Award) -> tuple[Round, Award]:
    """Move one payment out of the escrow under the award's id; return round and award after it."""
    held = round_.escrow or Escrow(0)
    source = escrow(round_.id, round_.currency)
    target = wallet(award.party, round_.currency)
    work.move(f"pay:{award.key}", source, target, award.payment)
    paid = replace(award, state=AwardState.PAID)
    work.put(paid)
    work.event("award-state", award.key, state=paid.state.value)
    return replace(round_, escrow=replace(held, paid=held.paid + award.payment)), paid


def finish(work: Work, round_: Round, awards: Iterable[Award], phase: Phase) -> None:
    """Pay every verified award, then the fee, then the refund; the escrow is empty after it."""
    for award in awards:
        if award.state is AwardState.VERIFIED:
            round_, _ = pay_award(work, round_, award)
    held = round_.escrow or Escrow(0)
    source = escrow(round_.id, round_.currency)
    charge = fee(held.paid, round_.terms.fee_bps)
    rest = held.held - held.paid - charge
    work.move(f"fee:{round_.id}", source, fees(round_.currency), charge)
    work.move(f"refund:{round_.id}", source, wallet(round_.buyer, round_.currency), rest)
    done = replace(held, fee=charge, refunded=rest, closed=True)
    enter(work, replace(round_, escrow=done), phase)
    work.result |= {"paid": done.paid, "fee": charge, "refunded": rest}


def _expired(work: Work, round_: Round, award: Award) -> Award:
    """Return an award after the deadline has been looked at."""
    open_ = award.state in (AwardState.OFFERED, AwardState.RESERVED)
    if not open_ or work.at <= (round_.deliver_by or 0):
        return award
    late = replace(award, state=AwardState.EXPIRED, reason="not delivered")
    work.put(late)
    work.event("award-state", late.key, state=late.state.value, reason=late.reason)
    return late


def _may_change(award: Award, at: int) -> bool:
    """Return whether deliveries, verdicts or disputes may still move an award."""
    moving = (AwardState.OFFERED, AwardState.RESERVED, AwardState.DELIVERED, AwardState.DISPUTED)
    window = (
        award.state is AwardState.REJECTED
        and not award.disputed
        and award.dispute_by is not None
        and at <= award.dispute_by
    )
    return award.state in moving or window
