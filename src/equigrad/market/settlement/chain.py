"""The audit chain: one line for every command that was decided, each bound to the one before.

A line has the command, the time it came with, the answer and all that happened, so that the whole
market can be played again from its first line. Neighbours: ``base`` writes lines, ``replay`` plays
them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from equigrad.errors import ConfigError, IdempotencyError, SettlementError, VerificationError
from equigrad.market.settlement.codec import Json, sha256
from equigrad.market.settlement.commands import Command, command_to_json
from equigrad.market.settlement.decide import decide
from equigrad.market.settlement.fields import seconds
from equigrad.market.settlement.money import Currency
from equigrad.market.settlement.work import Decision, Event, View

__all__ = ["AuditEvent", "Head", "Response", "check_chain", "decided", "genesis", "recalled"]


@dataclass(frozen=True)
class Response:
    """The answer to a command; the same command under the same key gets the same one for ever.

    Attributes
    ----------
    seq, at
        Number of its audit line, and the time that counted.
    accepted, reason
        Whether it was done, and if not, why not.
    events
        What happened.
    result
        What the command's author wants to know: a receipt, deadlines, amounts.
    """

    seq: int
    at: int
    accepted: bool
    reason: str | None
    events: tuple[Event, ...]
    result: Mapping[str, Json]

    def require(self) -> "Response":
        """Return this answer; raise ``SettlementError`` with the reason if it is a refusal."""
        if not self.accepted:
            raise SettlementError(self.reason or "refused")
        return self


@dataclass(frozen=True)
class AuditEvent:
    """One line of the audit chain.

    ``now`` is the time that came with the command, ``at`` the one that counted: never before an
    earlier line's. ``digest`` is the SHA-256 of everything else in the line, ``previous`` included.
    """

    seq: int
    at: int
    now: int
    idempotency_key: str
    command: Mapping[str, Json]
    accepted: bool
    reason: str | None
    events: tuple[Event, ...]
    result: Mapping[str, Json]
    previous: str
    digest: str = ""

    def sealed(self) -> "AuditEvent":
        """Return the line with its digest."""
        return replace(self, digest=sha256(replace(self, digest="")))

    @property
    def response(self) -> Response:
        """The answer that this line keeps."""
        return Response(
            self.seq, self.at, self.accepted, self.reason, self.events, dict(self.result)
        )


@dataclass(frozen=True)
class Head:
    """The end of a chain: number, digest and time of its last line."""

    seq: int
    digest: str
    clock: int


def genesis(currencies: Mapping[str, Currency]) -> Head:
    """Return the head of an empty chain; it binds the market's currencies and their scales."""
    return Head(0, sha256({"equigrad": "market", "currencies": dict(currencies)}), 0)


def recalled(line: AuditEvent, command: Command) -> Response:
    """Return the answer given before under a line's key; ``IdempotencyError`` for another command.

    A refusal is an answer, too: the key outlives failures. Who wants to try again takes a new key.
    """
    if sha256(command_to_json(command)) != sha256(dict(line.command)):
        raise IdempotencyError(
            f"Expected under key {line.idempotency_key!r} the {line.command['command']} that came "
            f"first, got another body ({type(command).__name__}). Take a new key for a new command."
        )
    return line.response


def decided(
    view: View, head: Head, command: Command, key: str, now: int
) -> tuple[AuditEvent, Decision | None]:
    """Decide a command whose key is new; return its line and, if it is accepted, what to write.

    Raises
    ------
    ConfigError
        If key or time are impossible; nothing is recorded then.
    """
    if not isinstance(key, str) or not 1 <= len(key) <= 200 or not key.isprintable():
        raise ConfigError(f"Expected an idempotency key of 1 to 200 characters, got {key!r}.")
    at = max(seconds("now", now), head.clock)
    decision, reason = None, None
    try:
        decision = decide(view, command, at)
    except SettlementError as refusal:
        reason = str(refusal)
    line = AuditEvent(
        seq=head.seq + 1,
        at=at,
        now=now,
        idempotency_key=key,
        command=command_to_json(command),
        accepted=decision is not None,
        reason=reason,
        events=decision.events if decision else (),
        result=dict(decision.result) if decision else {},
        previous=head.digest,
    ).sealed()
    return line, decision


def check_chain(currencies: Mapping[str, Currency], lines: Iterable[AuditEvent]) -> Head:
    """Return the head of a chain after checking every line from genesis.

    Raises
    ------
    VerificationError
        At the first line that was changed, removed, moved or put in.
    """
    head = genesis(currencies)
    for line in lines:
        sound = (
            line.seq == head.seq + 1
            and line.previous == head.digest
            and line.sealed().digest == line.digest
            and line.at == max(line.now, head.clock)
        )
        if not sound:
            raise VerificationError(
                f"Expected line {head.seq + 1} of the audit chain to follow {head.digest[:12]}, "
                f"got line {line.seq} with previous {line.previous[:12]}. The record was changed "
                "after it was written: restore it from a copy."
            )
        head = Head(line.seq, line.digest, line.at)
    return head
