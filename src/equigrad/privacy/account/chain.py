"""Entries of an account and the hashes that chain them.

The chain shows careless or partial changes. Whoever can write the file can forge all of it, hashes
included; to notice that, keep ``PrivacyAccount.head`` elsewhere, as a run's record does.
Neighbours: ``schema`` stores entries, ``state`` folds them into what is spent.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from equigrad.errors import PrivacyError
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["KINDS", "Entry", "first_link"]

KINDS: Final = ("release", "begin", "step", "extend", "end")


@dataclass(frozen=True)
class Entry:
    """One line of an account.

    Attributes
    ----------
    seq
        Its number, from 1.
    kind
        ``"release"`` (a charge by itself), ``"begin"`` (a run reserves its steps), ``"step"`` (a
        run charges one), ``"extend"`` (a run reserves more), ``"end"`` (a run gives the rest back).
    run, step, attempt, digest
        Of a run's entries; ``step`` of ``"extend"`` is the number of steps added.
    label
        Words for the reader.
    event
        What was released or reserved; None for the other kinds.
    chain
        32 bytes: hash of the entry and of the chain before it.
    """

    seq: int
    kind: str
    run: str | None
    step: int | None
    attempt: int | None
    digest: str | None
    label: str | None
    event: PrivacyEvent | None
    chain: bytes

    @classmethod
    def link(cls, previous: bytes, seq: int, kind: str, **values: Any) -> Self:
        """Return a new entry chained to ``previous``; absent values are None."""
        content = {name: values.get(name) for name in ("run", "step", "attempt", "digest", "label")}
        event: PrivacyEvent | None = values.get("event")
        chain = _hash(previous, seq, kind, content, _event_text(event))
        return cls(seq=seq, kind=kind, event=event, chain=chain, **content)

    @classmethod
    def read(cls, previous: bytes, row: Mapping[str, Any]) -> Self:
        """Return the entry of a stored row.

        Raises
        ------
        PrivacyError
            If the row does not follow on ``previous``: it was changed.
        """
        content = {name: row[name] for name in ("run", "step", "attempt", "digest", "label")}
        chain = _hash(previous, row["seq"], row["kind"], content, row["event"])
        if chain != row["chain"] or row["kind"] not in KINDS:
            raise PrivacyError(
                f"Expected entry {row['seq']} of the account as it was written, got another. The "
                "file was changed by hand: restore it from a copy, and do not release anything."
            )
        event = None if row["event"] is None else PrivacyEvent.from_json(json.loads(row["event"]))
        return cls(seq=row["seq"], kind=row["kind"], event=event, chain=chain, **content)

    def row(self) -> dict[str, Any]:
        """Return the values to store."""
        return {
            "seq": self.seq,
            "kind": self.kind,
            "run": self.run,
            "step": self.step,
            "attempt": self.attempt,
            "digest": self.digest,
            "label": self.label,
            "event": _event_text(self.event),
            "chain": self.chain,
        }


def first_link(owner: str, epsilon: float, delta: float, accountant: str) -> bytes:
    """Return the hash that the first entry is chained to: who owns the account, and its limit."""
    text = json.dumps([owner, epsilon.hex(), delta.hex(), accountant])
    return hashlib.sha256(text.encode()).digest()


def _event_text(event: PrivacyEvent | None) -> str | None:
    """Return the stored form of an event."""
    return None if event is None else json.dumps(event.to_json(), sort_keys=True)


def _hash(
    previous: bytes, seq: int, kind: str, content: Mapping[str, Any], event: str | None
) -> bytes:
    """Return the hash of an entry's stored form and of the chain before it."""
    text = json.dumps([seq, kind, *(content[name] for name in sorted(content)), event])
    return hashlib.sha256(previous + text.encode()).digest()
