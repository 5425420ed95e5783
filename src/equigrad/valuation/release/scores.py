"""A noisy score for every slot of an owner's records.

Source: section 3.7 of the specification. The noise has the strength of local privacy: one event
covers all records because a record touches only its own slot.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from equigrad._validate import in_range
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation.base import Bounds
from equigrad.valuation.release.score_terms import ScoreTerms, terms_for
from equigrad.valuation.release.slots import Slots, slots_of
from equigrad.valuation.release.terms import (
    Account,
    charge,
    check_account,
    check_key,
    finite_values,
    seeds,
)
from equigrad.valuation.scores import ScoreSet

__all__ = ["ReleasedScores", "release_scores", "released_by"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ReleasedScores(ScoreSet):
    """What the world sees of scores: one noisy number for each slot.

    ``values`` are ``(n_slots,)``, with the noise: they may lie outside of the bounds they were
    clipped to, which :attr:`clipped_to` keeps (``bounds`` is None). The reliability and the
    warnings of the local scores are not here, since they were computed from the records.

    Attributes
    ----------
    clipped_to
        The public bounds (a, b) that scores were clipped to before the noise.
    noise_std
        Standard deviation of the noise on each value, in the scores' units.
    event
        What the release was charged as.
    charged
        False if it was charged to no account.
    """

    clipped_to: Bounds
    noise_std: float
    event: PrivacyEvent
    charged: bool

    def to_json(self) -> dict[str, Any]:
        """Return the released values and all that belongs to them, as JSON can hold it."""
        return {
            **super().to_json(),
            "values": self.values.tolist(),
            "clipped_to": list(self.clipped_to),
            "noise_std": self.noise_std,
            "event": self.event.to_json(),
            "charged": self.charged,
        }


def release_scores(
    scores: ScoreSet,
    *,
    mu: float,
    account: Account,
    bounds: Bounds | None = None,
    key: NoiseKey | None = None,
    stability: int | None = None,
    slots: Slots | None = None,
    absent: float | None = None,
    secure: bool = True,
) -> ReleasedScores:
    """Release a noisy score for each slot and charge it as one Gaussian event.

    Scores are clipped to [a, b] (infinite ones become the bound on their side) and get noise
    ``N(0, ((b - a) sqrt(c) / mu)^2)``.

    Guarantee: all slots together are mu-Gaussian differentially private for one record added,
    removed or replaced, given the scorer's checkpoints and a public validation set, and as far as
    a score does not depend on its batch (rounding in the model's forward pass is not covered). The
    number of slots is public. A refusal changes neither account nor key.

    Parameters
    ----------
    scores
        Local scores of a public or privately trained model.
    mu
        > 0; the event's noise multiplier is ``1/mu``.
    account
        What is charged, before any noise is drawn. ``"none"`` charges nobody: then whoever calls
        must compose :attr:`ReleasedScores.event` with all else that is released.
    bounds
        Public (a, b), chosen without looking at the records; by default the scorer's own range.
    key
        Source of the noise; a new secret one by default. A private key serves one release. The
        noise of a test key protects nobody, and result and event say so.
    stability
        c >= 1, for scores that depend on other records: the most scores one record can change.
    slots
        Public slots, if there are more than records; by default as many.
    absent
        What a slot without a record reads, in [a, b]; the middle by default.
    secure
        Round the noise on a public grid, else the fast form.

    Raises
    ------
    TaintedScoresError
        If the scorer's model was trained on the records without privacy.
    StabilityError
        If a score depends on other records and no stability is given.
    PrivacyError
        If the scores are estimates, no account is named, or the key has served before.
    ConfigError
        If bounds are missing or a value is impossible.
    BudgetExceededError
        If the account refuses; nothing is released then.
    """
    return released_by(
        scores,
        terms_for(scores, bounds, mu, stability, secure=secure),
        account=account,
        key=key,
        slots=slots,
        absent=absent,
    )


def released_by(
    scores: ScoreSet,
    terms: ScoreTerms,
    *,
    account: Account,
    key: NoiseKey | None,
    slots: Slots | None,
    absent: float | None,
    turn: int = 0,
) -> ReleasedScores:
    """Charge, draw and return; ``turn`` tells releases of one key apart."""
    check_account(account, "the scores")
    check_key(key, again=turn > 0)
    low, high = terms.bounds
    empty = in_range("absent", (low + high) / 2 if absent is None else absent, low, high)
    places = slots_of(slots, len(scores))
    full = places.spread(np.clip(finite_values(scores), low, high), empty)
    event = terms.event(scores.scorer, places.count, seeded=seeds(key))
    source = charge(account, event, key, again=turn > 0)
    noisy = terms.mechanism.release(torch.from_numpy(full), source, turn, "release")
    return ReleasedScores(
        values=noisy.numpy(),
        scorer=scores.scorer,
        orientation=scores.orientation,
        locality=scores.locality,
        origin=scores.origin,
        view="release_scores",
        checkpoints=scores.checkpoints,
        settings=scores.settings,
        warnings=_words(terms, charged=account != "none"),
        seeded=scores.seeded or event.seeded,
        public_validation=scores.public_validation,
        clipped_to=terms.bounds,
        noise_std=terms.mechanism.deviation(places.count),
        event=event,
        charged=account != "none",
    )


def _words(terms: ScoreTerms, *, charged: bool) -> tuple[str, ...]:
    """Return what a reader must know of the numbers; all of it public."""
    low, high = terms.bounds
    noise = terms.sensitivity / terms.mu
    words = [
        f"Noise of standard deviation {noise:.4g} was added to scores clipped to "
        f"[{low:g}, {high:g}]: as much as local privacy adds. Compare it with the spread of the "
        "local scores before you read a single one."
    ]
    if not charged:
        words.append("Charged to no account: compose the event with all other releases.")
    return tuple(words)
