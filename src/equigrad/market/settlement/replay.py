"""Verification of a whole market: follow the chain, play it again, compare, check the invariants.

Neighbours: ``chain`` has the lines, ``invariants`` what must hold of what comes out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from equigrad.errors import VerificationError
from equigrad.market.settlement.bidding import Rule
from equigrad.market.settlement.books import LedgerEntry
from equigrad.market.settlement.chain import AuditEvent, Head, check_chain, decided, genesis
from equigrad.market.settlement.commands import command_from_json
from equigrad.market.settlement.invariants import broken
from equigrad.market.settlement.money import Currency
from equigrad.market.settlement.state import MarketState

__all__ = ["Snapshot", "replay", "verify"]


@dataclass(frozen=True)
class Snapshot:
    """All that a market keeps: its state, its ledger entries and its audit lines, in order."""

    state: MarketState
    entries: tuple[LedgerEntry, ...]
    journal: tuple[AuditEvent, ...]


def replay(
    currencies: Mapping[str, Currency], lines: Iterable[AuditEvent]
) -> tuple[MarketState, list[LedgerEntry], Head]:
    """Return state, ledger entries and head of a market that is played again from its audit lines.

    Raises
    ------
    VerificationError
        If a command has another outcome than its line says, or a key is used twice.
    """
    state, entries, head = MarketState(currencies), list[LedgerEntry](), genesis(currencies)
    keys: set[str] = set()
    for line in lines:
        command = command_from_json(line.command)
        again, decision = decided(state, head, command, line.idempotency_key, line.now)
        if again != line or line.idempotency_key in keys:
            raise VerificationError(
                f"Expected line {line.seq} to come out again as it was written, got another "
                f"outcome of {line.command['command']}. The record is not what the market did."
            )
        keys.add(line.idempotency_key)
        if decision is not None:
            state.absorb(decision, again.at)
            entries += decision.entries
        state.clock = again.at
        head = Head(again.seq, again.digest, again.at)
    return state, entries, head


def verify(currencies: Mapping[str, Currency], kept: Snapshot, rules: Mapping[str, Rule]) -> Head:
    """Return the head of a market in which everything is as it must be.

    Raises
    ------
    VerificationError
        At the first difference: in the chain (I11), between the chain and what is kept (I10, I12),
        or in an invariant.
    """
    head = check_chain(currencies, kept.journal)
    played, entries, _ = replay(currencies, kept.journal)
    if list(kept.entries) != entries:
        raise VerificationError(
            f"Expected the {len(entries)} ledger entries that the audit chain makes, got others "
            f"({len(kept.entries)}). The books were changed outside: restore them from a copy."
        )
    if kept.state != played:
        raise VerificationError(
            "Expected balances and entities that the audit chain makes, got others. The tables "
            "were changed outside: restore them from a copy."
        )
    wrong = broken(played, entries, rules)
    if wrong:
        raise VerificationError(f"Expected a sound market, got {len(wrong)} faults: {wrong[0]}.")
    return head
