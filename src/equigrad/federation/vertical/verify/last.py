"""The last line of a vertical record, from the lines before it.

Neighbour: ``judge``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equigrad.assistance import (
    Round,
    contributions_of,
    label_epsilon,
    pure_label_epsilon,
    shapley_of,
)
from equigrad.federation.record.agreement import VerifyResult, fault, same
from equigrad.federation.record.canonical import plain
from equigrad.federation.record.chain import Line
from equigrad.federation.vertical.config.schema import VerticalConfig
from equigrad.federation.vertical.ending import MODEL
from equigrad.federation.vertical.labels import NOT_PRIVATE
from equigrad.federation.vertical.traffic import traffic_of
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["PassRecord", "check_finish"]


@dataclass
class PassRecord:
    """What was read of one pass.

    Attributes
    ----------
    number
        0 or 1.
    rounds
        Weigh and step lines of each round settled.
    rows
        Rows sent to each party.
    size
        Entries on which parties were weighed, 0 before it is known.
    open
        The weigh line of the round under way.
    events
        Privacy events so far.
    """

    number: int
    rounds: list[dict[str, Any]] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    size: float = 0
    open: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)


def check_finish(
    config: VerticalConfig,
    start: Line,
    line: Line,
    passes: Sequence[PassRecord],
    lines: Sequence[Line],
    result: VerifyResult,
) -> None:
    """Recompute the last line.

    Raises
    ------
    VerificationError
        If something in it does not follow from the lines before.
    """
    body = line.body
    last = passes[-1] if passes else PassRecord(0)
    same(line, "pass", body["pass"], last.number, result)
    same(line, "pass", body["refitted"], last.number == 1, result)
    kept = last.rounds[: body["rounds"]]
    same(line, "rounds", body["rounds"], len(kept), result)
    _reason(config, line, last)
    shown = [body["weights"], body["steps"]]
    again = [[r["w"] for r in kept], [r["eta"] for r in kept]]
    same(line, "weights and steps", shown, again, result)
    names = start.body["parties"]
    seen = np.array([r["answered"] for r in kept], dtype=np.bool_).reshape(-1, len(names))
    there = [name for m, name in enumerate(names) if seen[:, m].any()]
    same(line, "members", body["participants"], there, result)
    told = [(each.stage, each.body) for each in lines]
    same(line, "traffic", body["traffic"], plain(traffic_of(told, config.sponsor.name)), result)
    _privacy(config, line, passes, result)
    _kept(line, names, last)
    same(line, "models", list(body["models"]), [] if config.private else [MODEL], result)
    if config.private:
        own = [body[k] for k in ("start", "losses", "validation_losses", "contributions")]
        same(line, "what the sponsor keeps", own, [None, [], [], None], result)
        same(line, "rounds", body["rounds"], len(last.rounds), result)
        return
    if len(body["start"]) != start.body["n_outputs"]:
        raise fault(line, f"expected a start of {start.body['n_outputs']} numbers")
    _losses(line, passes, kept, result)
    _contributions(line, last, kept, names, result)


def _reason(config: VerticalConfig, line: Line, last: PassRecord) -> None:
    """Check what can be of why training ended."""
    reason, given = line.body["reason"], config.vertical
    known = ("rounds", "validation", "training loss", "no descent", "budget", "quorum")
    if reason not in known:
        raise fault(line, f"expected the reason to be one of {', '.join(known)}")
    full = len(last.rounds) >= given.n_rounds
    if last.number == 0 and given.preset is None and full != (reason == "rounds"):
        raise fault(
            line, f"expected another reason than {reason!r} after {len(last.rounds)} rounds"
        )
    if config.private and reason not in ("rounds", "budget", "quorum"):
        raise fault(line, "expected label privacy to end training by its rounds alone")


def _losses(
    line: Line, passes: Sequence[PassRecord], kept: list[dict[str, Any]], result: VerifyResult
) -> None:
    body = line.body
    if kept and all("loss" in r for r in kept):
        told = [kept[0]["loss_before"], *(r["loss"] for r in kept)]
        same(line, "losses", body["losses"], told, result)
    chosen = [r["validation_loss"] for r in passes[0].rounds if "loss" in r]
    if any(value is not None for value in chosen) and len(chosen) == len(passes[0].rounds):
        same(line, "losses", body["validation_losses"][1:], chosen, result)
        best = int(np.argmin(body["validation_losses"]))
        cut = body["refitted"] and body["reason"] == "quorum"
        if not (cut or best <= len(kept)) or len(kept) > len(chosen):
            raise fault(line, f"expected at least {best} rounds kept, the best on rows held out")
    elif chosen and chosen[0] is None:
        same(line, "losses", body["validation_losses"], [], result)
    elif not chosen and len(body["validation_losses"]) > 1:
        raise fault(line, "expected at most the loss of the start before any round")


def _contributions(
    line: Line,
    last: PassRecord,
    kept: list[dict[str, Any]],
    names: list[str],
    result: VerifyResult,
) -> None:
    told = line.body["contributions"]
    values = told["coalitions"]
    whole = all(r.get("weigh_loss_before") is not None for r in kept)
    if whole:
        falls = [r["weigh_loss_before"] - r["weigh_loss"] for r in kept]
        again = contributions_of([_round(r) for r in kept], falls, len(names), None)
        for name in ("assistance", "loss_share"):
            same(line, "contributions", told[name], getattr(again, name).tolist(), result)
        same(line, "contributions", told["cosine"], again.cosines.tolist(), result)
    if values is not None:
        if len(values) != 2 ** len(names):
            raise fault(line, f"expected the values of {2 ** len(names)} coalitions")
        again_values = shapley_of(np.array(values, dtype=np.float64))
        same(line, "Shapley values", told["shapley"], again_values.tolist(), result)
        same(line, "Shapley values", values[0], 0.0, result)
        ends = line.body["losses"]
        if told["rows"] == "validation" and last.number == 0:
            ends = line.body["validation_losses"][: len(kept) + 1]
        same(line, "Shapley values", values[-1], ends[0] - ends[-1], result)
    held_out = _held_out(last)
    if not last.rounds and last.number == 0:
        held_out = len(line.body["validation_losses"]) > 0
    rows = "validation" if held_out else "training"
    same(line, "contributions", told["rows"], rows, result)


def _held_out(last: PassRecord) -> bool:
    return any(r.get("validation_loss") is not None for r in last.rounds)


def _kept(line: Line, names: list[str], last: PassRecord) -> None:
    """Check the form of what parties say they keep."""
    told = line.body["kept"]
    if set(told) != set(names):
        raise fault(line, "expected what every party keeps")
    for name, own in told.items():
        if own is None:
            continue
        rounds = own["rounds"]
        if rounds != sorted(set(rounds)) or any(not 1 <= t <= len(last.rounds) for t in rounds):
            raise fault(line, f"expected rounds of the pass at {name!r}, got {rounds}")
        if len(own["sha256"]) != 64:
            raise fault(line, f"expected the SHA-256 of what {name!r} keeps")


def _privacy(
    config: VerticalConfig, line: Line, passes: Sequence[PassRecord], result: VerifyResult
) -> None:
    told = line.body["privacy"]
    if not config.private:
        same(line, "privacy", told, None, result)
        return
    events = [event for each in passes for event in each.events]
    made = [PrivacyEvent.from_json(event) for event in events]
    delta = config.vertical.privacy.delta
    again = {
        "events": events,
        "pure_epsilon": pure_label_epsilon(made) if made else None,
        "epsilon": label_epsilon(made, delta) if made else None,
        "delta": delta,
        "mark": NOT_PRIVATE if config.vertical.privacy.noise == "seeded" else None,
    }
    same(line, "privacy", told, plain(again), result)


def _round(found: dict[str, Any]) -> Round:
    """Return a recorded round as the engine has it."""
    H, c, w = (np.array(found[k], dtype=np.float64) for k in ("H", "c", "w"))
    answered = np.array(found["answered"], dtype=np.bool_)
    products = (found["rg"], found["gg"], found["rr"])
    return Round(w, found["eta"], found["capped"], answered, H, c, *products, 0.0)
