"""What leaves the owner of scores: noisy scores and aggregates, each charged before it is drawn.

:func:`release_scores` and :func:`release_aggregate` work on local scores; :class:`ReleaseScores`
and :class:`ReleaseAggregate` are the same as views of :func:`equigrad.valuation.score`. Scores of
a private model are not free: scoring reads the record again.
"""

from equigrad.valuation.release.aggregate import ReleasedAggregate, release_aggregate
from equigrad.valuation.release.draws import exponentials, gumbels
from equigrad.valuation.release.histogram import Count, Histogram
from equigrad.valuation.release.owner import NoiseBesideSpread, noise_beside_spread
from equigrad.valuation.release.quantile import Quantile, quantile_intervals, quantile_of_draws
from equigrad.valuation.release.score_terms import ScoreTerms, noisy_scores
from equigrad.valuation.release.scores import ReleasedScores, release_scores
from equigrad.valuation.release.slots import Slots
from equigrad.valuation.release.statistics import (
    STATISTICS,
    GaussianStatistic,
    Statistic,
    make_statistic,
)
from equigrad.valuation.release.sums import ClassMeans, Mean
from equigrad.valuation.release.terms import NO_ACCOUNT
from equigrad.valuation.release.view import ReleaseAggregate, ReleaseScores

__all__ = [
    "NO_ACCOUNT",
    "STATISTICS",
    "ClassMeans",
    "Count",
    "GaussianStatistic",
    "Histogram",
    "Mean",
    "NoiseBesideSpread",
    "Quantile",
    "ReleaseAggregate",
    "ReleaseScores",
    "ReleasedAggregate",
    "ReleasedScores",
    "ScoreTerms",
    "Slots",
    "Statistic",
    "exponentials",
    "gumbels",
    "make_statistic",
    "noise_beside_spread",
    "noisy_scores",
    "quantile_intervals",
    "quantile_of_draws",
    "release_aggregate",
    "release_scores",
]
