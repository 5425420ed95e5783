"""How well scores find records known to be wrong: numbers for tables, never for a training.

All functions take suspicion numbers (:func:`equigrad.valuation.suspicion`) and the true mask of
wrong labels, which only an experiment has. Arrays in, numbers out.
"""

from equigrad.valuation.detection.agreement import agreement
from equigrad.valuation.detection.clusters import TwoMeans, f1_two_means, two_means
from equigrad.valuation.detection.curves import Curve, discovery_curve
from equigrad.valuation.detection.ranking import (
    auc,
    average_precision,
    precision_at,
    recall_at,
)
from equigrad.valuation.detection.removal import RemovalCurves, removal_curves
from equigrad.valuation.detection.summary import Detection, detection

__all__ = [
    "Curve",
    "Detection",
    "RemovalCurves",
    "TwoMeans",
    "agreement",
    "auc",
    "average_precision",
    "detection",
    "discovery_curve",
    "f1_two_means",
    "precision_at",
    "recall_at",
    "removal_curves",
    "two_means",
]
