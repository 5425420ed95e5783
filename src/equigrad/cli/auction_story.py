"""What ``equigrad auction`` shows: awards, totals, rivals, lies."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from equigrad.broker.story import money, party_rows
from equigrad.cli.output import note, number, show_table

if TYPE_CHECKING:
    from equigrad.broker import Outcome
    from equigrad.market.misreports import Gain

__all__ = ["tell_comparison", "tell_lies", "tell_outcome"]

_MOST_ROWS = 40
_DIGEST = re.compile(r"([0-9a-f]{12})[0-9a-f]{20,}")
_TRUTHFUL = {
    "exact": "for everybody, exactly",
    "single-minded": "single-minded parties",
    "no": "no",
}


def tell_outcome(outcome: "Outcome") -> None:
    """Print one row for each party, or the best paid, and the totals."""
    found, scale = outcome.clearing, outcome.offer.scale
    rows = party_rows(outcome)
    shown = rows
    if len(rows) > _MOST_ROWS:
        paid = sorted(rows, key=lambda row: (-row.payment, row.party))[:_MOST_ROWS]
        shown = sorted(paid)
    if shown:
        show_table(
            ("party", "level", "epsilon", "payment", "declared cost", "weight"),
            [
                (
                    row.party,
                    row.level,
                    number(row.eps, ".4f"),
                    money(row.payment, scale),
                    money(row.cost, scale),
                    number(row.weight, ".4f"),
                )
                for row in shown
            ],
            right=0,
        )
    if len(shown) < len(rows):
        note(f"The {len(shown)} best paid of {len(rows)} parties; --json FILE writes all.")
    claims, error = found.claims, outcome.error
    note(f"Mechanism     {_short(found.mechanism)}")
    promises = [f"truthful: {_TRUTHFUL[claims.truthful]}"]
    promises.append(f"nobody below cost: {'yes' if claims.rational else 'no'}")
    promises.append(f"within budget: {'yes' if claims.within_budget else 'no'}")
    note(f"It claims     {'; '.join(promises)}")
    note(f"Budget        {money(found.budget, scale)}")
    note(f"Spent         {money(found.spent, scale)}")
    note(f"Unspent       {money(found.unspent, scale)}")
    if error is None:
        note("Error bound   none: nobody sells, so there is no update; the budget is returned.")
    else:
        how = f"L = 1, {outcome.offer.local}, dim {outcome.offer.dim}"
        note(
            f"Error bound   {error.total:.4g} = noise {error.variance:.4g} + bias {error.bias:.4g}"
            f" ({how}); ERR/L^2 {error.relative:.4g}"
        )
        if error.relative > 1:
            note("              above 1: no update at all has the smaller bound.")
    note(f"SHA-256       {found.digest}")
    for line in outcome.notes:
        note(f"Note: {line}")


def tell_comparison(rivals: "Sequence[tuple[str, Outcome | str]]") -> None:
    """Print one row for each auction on the same bids."""
    rows, refused = [], []
    for label, outcome in rivals:
        if isinstance(outcome, str):
            refused.append(f"{_short(label)} refused: {outcome}")
            continue
        found, error = outcome.clearing, outcome.error
        rows.append(
            (
                _short(label),
                _TRUTHFUL[found.claims.truthful],
                str(int(found.sellers.sum())),
                money(found.spent, outcome.offer.scale),
                money(found.unspent, outcome.offer.scale),
                number(None if error is None else error.total, ".4g"),
                number(None if error is None else error.relative, ".4g"),
            )
        )
    show_table(
        ("auction", "truthful", "sellers", "spent", "unspent", "ERR", "ERR/L^2"),
        rows,
        left=2,
        right=0,
    )
    for line in refused:
        note(line)


def _short(label: str) -> str:
    """Return an auction's label with the first digits of its digests."""
    return _DIGEST.sub(r"\1...", label)


def tell_lies(lies: "Mapping[str, Gain]", outcome: "Outcome") -> dict[str, Any]:
    """Print the best lie of each kind; return it as data."""
    scale = outcome.offer.scale
    first = next(iter(lies.values()))
    show_table(
        ("lie about", "tried", "truth", "best lie", "gain"),
        [
            (
                kind,
                str(found.tried),
                money(found.truth, scale),
                money(found.best, scale),
                money(found.gain, scale),
            )
            for kind, found in lies.items()
        ],
        right=0,
    )
    best = max(found.gain for found in lies.values())
    exact = outcome.clearing.claims.truthful == "exact"
    if best:
        note(f"A lie of {first.party} pays, by up to {money(best, scale)}.")
    elif exact:
        note(
            f"No lie of {first.party} pays; that is proved for every bid, not only for those tried."
        )
    else:
        note(f"No lie of {first.party} that was tried pays; that is not proved for all bids.")
    return {
        "party": first.party,
        "kinds": {
            kind: {
                "tried": found.tried,
                "truth": money(found.truth, scale),
                "best": money(found.best, scale),
                "gain": money(found.gain, scale),
                "table": None if found.table is None else list(found.table),
                "cap_level": found.cap_level,
                "size": found.size,
            }
            for kind, found in lies.items()
        },
    }
