"""The messages a second stage asks for: the protocol without each fold.

All through :class:`~equigrad.assistance.Parties`, so that any transport can carry them. Neighbours:
``stage`` orders them, ``equigrad.assistance.sponsor`` runs each.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from equigrad.assistance.absence import row_shares
from equigrad.assistance.arrays import Float64, Int64
from equigrad.assistance.parties import Parties
from equigrad.assistance.privacy import BoundPrivacy
from equigrad.assistance.rows import Rows, split_rows
from equigrad.assistance.settings import Settings
from equigrad.assistance.sponsor import Sponsor
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["FoldPass", "fold_pass"]


@dataclass(frozen=True)
class FoldPass:
    """What one repetition gave.

    Attributes
    ----------
    start, parts
        ``(K,)`` start and ``(M, N, K)`` parts of all rows.
    n_rounds
        Rounds that were settled.
    """

    start: Float64
    parts: Float64
    n_rounds: int


def fold_pass(
    parties: Parties,
    target: Float64,
    fit: Int64,
    settings: Settings,
    *,
    keep: int,
    weight: Float64 | None,
    bind: Callable[[Int64], BoundPrivacy | None],
    generator: np.random.Generator,
    paid: list[PrivacyEvent],
) -> FoldPass:
    """Train on some rows for a fixed number of rounds, and return the parts of all.

    Parameters
    ----------
    parties
        They fit; left with this pass.
    target
        ``(N, K)``; of rows outside ``fit`` nothing is used.
    fit
        Rows that are sent; with ``weigh_on="holdout"`` some of them weigh instead.
    settings
        With the number of rounds.
    keep
        Rounds that count in the parts, the first ones.
    weight
        ``(N,)`` sample weights or None.
    bind
        Gives the plan of label privacy for the rows that are sent, or None.
    generator
        Chooses the rows that weigh.
    paid
        Events are added here as they happen, so that a refusal loses none.

    Raises
    ------
    BudgetExceededError
        If the account refuses a release; the pass is of no use.
    """
    rows = Rows(fit, fit, fit[:0])
    if settings.weigh_on == "holdout":
        inner = split_rows(
            len(fit),
            None,
            weigh_on="holdout",
            validate=False,
            fraction=settings.validation_fraction,
            generator=generator,
        )
        rows = Rows(fit[inner.fit], fit[inner.weigh], fit[:0])
    sponsor = Sponsor(
        target,
        rows=rows,
        held=parties.held,
        settings=replace(settings, stopping="none"),
        restating=parties.restating,
        weight=weight,
        privacy=bind(rows.fit),
        keep_messages=False,
    )
    parties.begin(rows.fit, weight)
    try:
        while sponsor.done() is None:
            message = sponsor.message()
            sponsor.settle(parties.answer(sponsor.t + 1, message))
    finally:
        paid.extend(sponsor.events)
    return FoldPass(sponsor.track.start, _parts(parties, sponsor, keep), sponsor.t)


def _parts(parties: Parties, sponsor: Sponsor, keep: int) -> Float64:
    """Return the additive parts of all rows, from what each model says now."""
    shape = (len(parties.names), *sponsor.track.F.shape)
    parts = np.zeros(shape)
    for t, made in enumerate(sponsor.kept_rounds(min(keep, sponsor.t)), start=1):
        shares = made.eta * row_shares(made.weights, parties.held & made.answered)
        for m, fit in enumerate(parties.stated(t)):
            if fit is not None and shares[:, m].any():
                parts[m] += shares[:, m, None] * fit
    return parts
