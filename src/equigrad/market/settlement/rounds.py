"""Commands that carry a round from its terms to its bids: draft, fund, open, cancel; and the clock.

    DRAFT -> FUNDED -> COMMIT -> REVEAL -> ...      CANCELLED from any of these, in full

Neighbours: ``bidding`` takes and clears bids, ``closing`` ends a round that was cleared.
"""

from collections.abc import Iterable
from dataclasses import replace

from equigrad.errors import SettlementError
from equigrad.market.settlement.books import escrow, wallet
from equigrad.market.settlement.commands import Cancel, Draft, Fund, Open, Tick
from equigrad.market.settlement.entities import Escrow, Job, Phase, Round
from equigrad.market.settlement.work import Work

__all__ = ["cancel", "current", "draft", "enter", "fund", "in_phase", "open_", "tick"]


def current(work: Work, key: str) -> Round:
    """Return a round as it stands at this second: COMMIT turns to REVEAL by itself."""
    round_ = work.need(Round, key)
    if round_.phase is Phase.COMMIT and work.at > (round_.commit_by or 0):
        return enter(work, round_, Phase.REVEAL)
    return round_


def in_phase(round_: Round, phases: Iterable[Phase], what: str) -> None:
    """Refuse the command unless the round is in one of ``phases``."""
    allowed = tuple(phases)
    if round_.phase not in allowed:
        names = " or ".join(phase.name for phase in allowed)
        raise SettlementError(
            f"Expected round {round_.id} in {names} to {what}, got {round_.phase.name}."
        )


def enter(work: Work, round_: Round, phase: Phase) -> Round:
    """Put a round into a phase; return it."""
    moved = replace(round_, phase=phase)
    work.put(moved)
    facts = {} if moved.reason is None else {"reason": moved.reason}
    work.event("round-phase", moved.id, phase=phase.value, **facts)
    work.result["phase"] = phase.value
    return moved


def draft(work: Work, command: Draft) -> None:
    """Write a round's terms down."""
    job = work.need(Job, command.terms.job)
    if work.find(Round, command.round) is not None:
        raise SettlementError(f"Expected a new round, got {command.round!r}, known already.")
    enter(work, Round(command.round, job.buyer, job.currency, command.terms), Phase.DRAFT)
    work.result["terms"] = command.terms.digest


def fund(work: Work, command: Fund) -> None:
    """Hold budget and fee; refused if the buyer's wallet does not have them."""
    round_ = work.need(Round, command.round)
    in_phase(round_, [Phase.DRAFT], "fund it")
    held = round_.terms.held
    source = wallet(round_.buyer, round_.currency)
    if work.balance(source) < held:
        raise SettlementError(
            f"Expected {held} units in {round_.buyer}'s wallet for budget and fee of round "
            f"{round_.id}, got {work.balance(source)}. Pay money in, or lower the budget."
        )
    work.move(f"hold:{round_.id}", source, escrow(round_.id, round_.currency), held)
    enter(work, replace(round_, escrow=Escrow(held)), Phase.FUNDED)


def open_(work: Work, command: Open) -> None:
    """Take bids; both deadlines of the bidding are known from here."""
    round_ = work.need(Round, command.round)
    in_phase(round_, [Phase.FUNDED], "open it")
    commit_by = work.at + round_.terms.commit_seconds
    reveal_by = commit_by + round_.terms.reveal_seconds
    enter(work, replace(round_, commit_by=commit_by, reveal_by=reveal_by), Phase.COMMIT)
    work.result |= {"commit_by": commit_by, "reveal_by": reveal_by}


def cancel(work: Work, command: Cancel) -> None:
    """Call a round off before it is cleared; the buyer gets all of it back."""
    round_ = current(work, command.round)
    early = (Phase.DRAFT, Phase.FUNDED, Phase.COMMIT, Phase.REVEAL)
    in_phase(round_, early, "cancel it")
    held = round_.escrow
    if held is not None:
        source = escrow(round_.id, round_.currency)
        target = wallet(round_.buyer, round_.currency)
        work.move(f"refund:{round_.id}", source, target, held.held)
        round_ = replace(round_, escrow=replace(held, refunded=held.held, closed=True))
    enter(work, replace(round_, reason="cancelled"), Phase.CANCELLED)


def tick(work: Work, command: Tick) -> None:
    """Do what a passed deadline demands."""
    work.result["phase"] = current(work, command.round).phase.value
