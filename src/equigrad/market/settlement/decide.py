"""What every command does: pure functions of the market, the command and the time.

Neighbours: ``wallets``, ``rounds``, ``bidding``, ``awards`` and ``closing`` have one function for
each command; ``base`` makes a store of them.
"""

from collections.abc import Callable
from typing import Any, Final

from equigrad.market.settlement import awards, bidding, closing, commands, rounds, wallets
from equigrad.market.settlement.commands import Command
from equigrad.market.settlement.fields import seconds
from equigrad.market.settlement.state import MarketState
from equigrad.market.settlement.work import Decision, Event, View, Work

__all__ = ["decide", "reduce"]

_HANDLERS: Final[dict[type[Command], Callable[[Work, Any], None]]] = {
    commands.Enrol: wallets.enrol,
    commands.Enlist: wallets.enlist,
    commands.PostJob: wallets.post_job,
    commands.Deposit: wallets.deposit,
    commands.Withdraw: wallets.withdraw,
    commands.Draft: rounds.draft,
    commands.Fund: rounds.fund,
    commands.Open: rounds.open_,
    commands.Cancel: rounds.cancel,
    commands.Tick: rounds.tick,
    commands.Commit: bidding.commit,
    commands.Reveal: bidding.reveal,
    commands.Clear: bidding.clear,
    commands.Offer: awards.offer,
    commands.Accept: awards.accept,
    commands.Decline: awards.decline,
    commands.Deliver: awards.deliver,
    commands.Judge: awards.judge,
    commands.Dispute: awards.dispute,
    commands.Resolve: awards.resolve,
    commands.Pay: awards.pay,
    commands.Close: closing.close,
    commands.Settle: closing.settle,
}


def decide(view: View, command: Command, at: int) -> Decision:
    """Decide a command; nothing is changed.

    Parameters
    ----------
    view
        The market before it.
    command
        What is asked.
    at
        The time, whole seconds >= 0.

    Returns
    -------
    Decision
        Everything that must be written, all of it or nothing.

    Raises
    ------
    SettlementError
        If the market's state does not allow the command; the message says what to do.
    """
    work = Work(view, seconds("at", at))
    _HANDLERS[type(command)](work, command)
    return work.decision()


def reduce(state: MarketState, command: Command, now: int) -> tuple[MarketState, tuple[Event, ...]]:
    """Return the state after a command and what happened; ``state`` stays as it is.

    A ``now`` before the latest time seen counts as that time: a clock that is set back re-opens
    nothing. Raises ``SettlementError`` as :func:`decide` does.
    """
    at = max(seconds("now", now), state.clock)
    decision = decide(state, command, at)
    return state.after(decision, at), decision.events
