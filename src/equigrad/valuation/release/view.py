"""Releases as views: ``score(..., view=ReleaseScores(...))`` gives what leaves the owner.

All conditions are checked, and the account asked for all scorers together, before any record is
scored. Neighbours: :mod:`.scores` and :mod:`.aggregate` do the same with scores at hand.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from equigrad._validate import positive, positive_int
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation.base import Bounds, Scorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.release.aggregate import ReleasedAggregate, aggregated_by
from equigrad.valuation.release.score_terms import ScoreTerms, terms_for
from equigrad.valuation.release.scores import ReleasedScores, released_by
from equigrad.valuation.release.statistics import Statistic, make_statistic
from equigrad.valuation.release.terms import (
    Account,
    admit,
    check_account,
    check_bounds,
    check_key,
    refuse_estimate,
    refuse_pooled,
    refuse_tainted,
    seeds,
)
from equigrad.valuation.scores import ScoreSet
from equigrad.valuation.views import View

__all__ = ["ReleaseAggregate", "ReleaseScores"]


class _Release(View):
    """What both views share: an account, a key, and a turn for every release of the key."""

    def __init__(self, account: Account, key: NoiseKey | None) -> None:
        self.account, self.key = account, key
        self._turn = 0
        check_account(account, "the release")

    def _sound(self, scorer: Scorer, context: ScoringContext, *, own_only: bool) -> None:
        """Refuse a scorer of which nothing may leave."""
        use = "a release"
        refuse_tainted(scorer.source(context).origin, scorer.label, use)
        refuse_estimate(scorer.estimate, scorer.label, use)
        if own_only:
            refuse_pooled(
                scorer.locality,
                scorer.label,
                use,
                "Score under view='local' and release with stability=c, or take another scorer.",
                public_validation=context.public_validation,
            )

    def check_all(self, scorers: Sequence[Scorer], context: ScoringContext) -> None:
        """Refuse what does not fit into the account, all scorers together."""
        super().check_all(scorers, context)
        check_key(self.key, again=self._turn > 0)
        admit(self.account, [self._event(scorer, context) for scorer in scorers])

    @abstractmethod
    def _event(self, scorer: Scorer, context: ScoringContext) -> PrivacyEvent:
        """Return what the release of one scorer would be charged as."""


class ReleaseScores(_Release):
    """A noisy score for each record leaves the owner; see :func:`release_scores`.

    Each scorer of a call is a release of its own, with an event of its own. One key serves all
    releases of a view, at different addresses.

    Parameters
    ----------
    mu, account, key, stability, secure
        As for :func:`~equigrad.valuation.release.release_scores`.
    bounds
        Public (a, b) for all scorers, or by a scorer's label; where there are none, the scorer's
        own range.

    Raises
    ------
    PrivacyError
        If no account is named.
    ConfigError
        If a value is impossible.
    """

    name = "release_scores"

    def __init__(
        self,
        mu: float,
        *,
        account: Account,
        bounds: Bounds | Mapping[str, Bounds] | None = None,
        key: NoiseKey | None = None,
        stability: int | None = None,
        secure: bool = True,
    ) -> None:
        super().__init__(account, key)
        self.mu, self.secure = positive("mu", mu), secure
        self.bounds = bounds
        self.stability = None if stability is None else positive_int("stability", stability)

    def check(self, scorer: Scorer, context: ScoringContext) -> None:
        """Refuse tainted and estimated scores, pooled ones without stability, missing bounds."""
        self._sound(scorer, context, own_only=self.stability is None)
        self._terms(scorer, context)

    def apply(self, scores: ScoreSet) -> ReleasedScores:
        """Charge and return the released scores."""
        given = self._given(scores.scorer)
        terms = terms_for(scores, given, self.mu, self.stability, secure=self.secure)
        released = released_by(
            scores,
            terms,
            account=self.account,
            key=self.key,
            slots=None,
            absent=None,
            turn=self._turn,
        )
        self._turn += 1
        return released

    def _terms(self, scorer: Scorer, context: ScoringContext) -> ScoreTerms:
        own = scorer.bounds(scorer.source(context))
        bounds = check_bounds(self._given(scorer.label), own, scorer.label)
        return ScoreTerms(bounds, self.mu, self.stability or 1, self.secure)

    def _given(self, label: str) -> Bounds | None:
        if isinstance(self.bounds, Mapping):
            return self.bounds.get(label)
        return self.bounds

    def _event(self, scorer: Scorer, context: ScoringContext) -> PrivacyEvent:
        terms = self._terms(scorer, context)
        return terms.event(scorer.label, len(context), seeded=seeds(self.key))


class ReleaseAggregate(_Release):
    """A noisy statistic of each scorer's scores leaves the owner; see :func:`release_aggregate`.

    Parameters
    ----------
    statistic, account, key, options
        As for :func:`~equigrad.valuation.release.release_aggregate`.

    Raises
    ------
    PrivacyError
        If no account is named.
    ConfigError
        If a term is impossible.
    """

    name = "release_aggregate"

    def __init__(
        self,
        statistic: Statistic | str,
        *,
        account: Account,
        key: NoiseKey | None = None,
        **options: Any,
    ) -> None:
        super().__init__(account, key)
        self.statistic = make_statistic(statistic, **options)

    def check(self, scorer: Scorer, context: ScoringContext) -> None:
        """Refuse tainted, estimated and pooled scores."""
        self._sound(scorer, context, own_only=True)
        self.statistic.check(len(context))

    def apply(self, scores: ScoreSet) -> ReleasedAggregate:
        """Charge and return the released statistic."""
        released = aggregated_by(
            scores, self.statistic, account=self.account, key=self.key, turn=self._turn
        )
        self._turn += 1
        return released

    def _event(self, scorer: Scorer, context: ScoringContext) -> PrivacyEvent:
        del context
        return self.statistic.event(scorer.label, seeded=seeds(self.key))
