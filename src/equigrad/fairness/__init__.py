"""Fairness: who is served how well.

Among parties: does a party that brings more end up with more, and does anybody lose by taking
part. Pure functions over accuracies; the runs they come from belong to ``equigrad.federation``.
"""

from equigrad.fairness.bootstrap import CorrelationSummary, Interval, bootstrap_mean, summarise
from equigrad.fairness.correlation import SATURATION, Correlation, pearson, spearman
from equigrad.fairness.parties import PartyFairness, fairness_among_parties, jain_index

__all__ = [
    "SATURATION",
    "Correlation",
    "CorrelationSummary",
    "Interval",
    "PartyFairness",
    "bootstrap_mean",
    "fairness_among_parties",
    "jain_index",
    "pearson",
    "spearman",
    "summarise",
]
