"""Fairness: who is served how well.

Among parties: does a party that brings more end up with more, and does anybody lose by taking
part. Across groups of records: metrics by group, what privacy cost each group, and which part of
a step (clipping's length, its direction, noise) made the difference. Everything here is computed
from data and covered by no epsilon. Pure functions and one recorder; the runs they come from
belong to ``equigrad.privacy.training`` and ``equigrad.federation``.
"""

from equigrad.fairness.bootstrap import CorrelationSummary, Interval, bootstrap_mean, summarise
from equigrad.fairness.correlation import SATURATION, Correlation, pearson, spearman
from equigrad.fairness.cost import Gap, GroupCost, compare_groups, gap, group_cost, mean_cost
from equigrad.fairness.curvature import EXACT_TRACE_UP_TO, Curvature, curvature
from equigrad.fairness.diagnostics import EVERY, Diagnostics
from equigrad.fairness.groups import (
    NO_ROWS,
    NOT_COVERED,
    PUBLIC_ROWS,
    GroupMetrics,
    group_metrics,
)
from equigrad.fairness.misalignment import (
    BatchSums,
    GroupAlignment,
    Misalignment,
    misalignment,
)
from equigrad.fairness.parties import PartyFairness, fairness_among_parties, jain_index
from equigrad.fairness.risk import (
    RiskTerms,
    StepProducts,
    noise_deviation,
    risk_terms,
    terms_of,
)
from equigrad.fairness.rows import Rows, group_gradient, split_by_group
from equigrad.fairness.series import DiagnosticSeries

__all__ = [
    "EVERY",
    "EXACT_TRACE_UP_TO",
    "NOT_COVERED",
    "NO_ROWS",
    "PUBLIC_ROWS",
    "SATURATION",
    "BatchSums",
    "Correlation",
    "CorrelationSummary",
    "Curvature",
    "DiagnosticSeries",
    "Diagnostics",
    "Gap",
    "GroupAlignment",
    "GroupCost",
    "GroupMetrics",
    "Interval",
    "Misalignment",
    "PartyFairness",
    "RiskTerms",
    "Rows",
    "StepProducts",
    "bootstrap_mean",
    "compare_groups",
    "curvature",
    "fairness_among_parties",
    "gap",
    "group_cost",
    "group_gradient",
    "group_metrics",
    "jain_index",
    "mean_cost",
    "misalignment",
    "noise_deviation",
    "pearson",
    "risk_terms",
    "spearman",
    "split_by_group",
    "summarise",
    "terms_of",
]
