"""What the record says of rounds: how the parties were weighed, and the step.

Under a label mechanism these are the public track's: they follow from releases alone. Neighbours:
``remote`` tells what was sent and what came, ``ending`` the last line, ``verify`` recomputes.
"""

from typing import Any

from equigrad.assistance import Pass, Round
from equigrad.assistance.sponsor import Sponsor

__all__ = ["round_facts", "step_body", "weigh_body"]


def public_rounds(sponsor: Sponsor) -> list[Round]:
    """Return the rounds that may be shown."""
    return sponsor.public_rounds


def weigh_body(sponsor: Sponsor, pass_: int) -> dict[str, Any]:
    """Return the body of the line ``weigh`` of the round just settled.

    Where learners state earlier rounds again, all rounds were weighed anew: ``again`` has them.
    """
    rounds = sponsor.public_rounds
    made = rounds[-1]
    track = sponsor.track if sponsor.public is None else sponsor.public.track
    weights = None if track.weight is None else track.weight[track.weigh]
    rows = len(track.weigh) if weights is None else float(weights.sum())
    body = {
        "pass": pass_,
        "t": sponsor.t,
        "rule": track.rule.weigher.name,
        "n": rows * track.F.shape[1],
        **_found(made),
    }
    if sponsor.restating:
        body["again"] = [_found(r) | _stepped(r) for r in rounds[:-1]]
    return body


def step_body(turn: Pass, pass_: int, weigh_loss: float | None) -> dict[str, Any]:
    """Return the body of the line ``step`` of the round just settled.

    Parameters
    ----------
    turn
        The pass after the round.
    pass_
        Its number.
    weigh_loss
        Loss on the rows that weigh before the round; None under a mechanism, or where all rounds
        were found anew.
    """
    sponsor = turn.sponsor
    rounds = sponsor.public_rounds
    made = rounds[-1]
    body: dict[str, Any] = {"pass": pass_, "t": sponsor.t, **_stepped(made)}
    private = sponsor.public is not None
    if len(rounds) > 1:
        before: float | None = rounds[-2].loss
    else:
        before = None if private else sponsor.train_losses[0]
    body["loss_before"], body["loss"] = before, made.loss
    body["weigh_loss_before"] = weigh_loss
    body["weigh_loss"] = None if private else sponsor.track.value(sponsor.rows.weigh)
    held_out = len(sponsor.rows.stop) > 0 and not private
    body["validation_loss"] = float(sponsor.stop_losses[-1].mean()) if held_out else None
    return body


def round_facts(made: Round) -> dict[str, Any]:
    """Return weights, step and products of a round, as the record's last line has them."""
    return _found(made) | _stepped(made)


def _found(made: Round) -> dict[str, Any]:
    return {
        "answered": made.answered.tolist(),
        "H": made.H.tolist(),
        "c": made.c.tolist(),
        "w": made.weights.tolist(),
    }


def _stepped(made: Round) -> dict[str, Any]:
    return {
        "eta": made.eta,
        "capped": made.capped,
        "gg": made.gg,
        "rg": made.rg,
        "rr": made.rr,
    }
