"""An outcome as rows and as JSON."""

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from equigrad.broker.offline import Outcome
from equigrad.market import from_units

__all__ = ["PartyRow", "money", "outcome_json", "party_rows"]


class PartyRow(NamedTuple):
    """One party's outcome; level as text, since a mechanism may sell between levels."""

    party: str
    level: str
    eps: float
    payment: int
    cost: int
    weight: float


def party_rows(outcome: Outcome) -> list[PartyRow]:
    """Return one row for each party, in the order of the book."""
    found = outcome.clearing
    weights = np.zeros(found.book.n) if outcome.weights is None else outcome.weights
    parts = found.parts
    levels = [f"{k / parts:.4g}" if k % parts else f"{k // parts}" for k in found.levels.tolist()]
    columns = (
        found.party.tolist(),
        levels,
        found.eps.tolist(),
        found.payments.tolist(),
        found.costs.tolist(),
        weights.tolist(),
    )
    return [PartyRow(*row) for row in zip(*columns, strict=True)]


def money(units: int, scale: int) -> str:
    """Return ledger units as currency, plainly written."""
    value = from_units(units, scale)
    exact = value.quantize(Decimal(1)) if value == value.to_integral_value() else value.normalize()
    return f"{exact:f}"


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as data for JSON: money as decimal strings, no error as null."""
    found, offer = outcome.clearing, outcome.offer
    error = outcome.error
    return {
        "mechanism": found.mechanism,
        "claims": found.claims.describe(),
        "digest": found.digest,
        "terms": found.terms.digest,
        "bids": found.book.digest,
        "public_seed": None if found.public_seed is None else found.public_seed.hex(),
        "eps_max": offer.ladder.eps_max,
        "steps": offer.ladder.steps,
        "scale": offer.scale,
        "local": offer.local,
        "dim": offer.dim,
        "budget": money(found.budget, offer.scale),
        "spent": money(found.spent, offer.scale),
        "unspent": money(found.unspent, offer.scale),
        "err": None if error is None else error.total,
        "err_variance": None if error is None else error.variance,
        "err_bias": None if error is None else error.bias,
        "err_relative": None if error is None else error.relative,
        "notes": list(outcome.notes),
        "parties": [
            {
                "party": row.party,
                "level": row.level,
                "eps": row.eps,
                "payment": money(row.payment, offer.scale),
                "payment_units": row.payment,
                "declared_cost": money(row.cost, offer.scale),
                "weight": row.weight,
            }
            for row in party_rows(outcome)
        ],
    }
