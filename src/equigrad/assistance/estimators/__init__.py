"""scikit-learn's estimators over parties' columns."""

from equigrad.assistance.estimators.answering import Answer
from equigrad.assistance.estimators.blocks import PartyBlocks
from equigrad.assistance.estimators.classifier import GALClassifier
from equigrad.assistance.estimators.regressor import GALRegressor

__all__ = ["Answer", "GALClassifier", "GALRegressor", "PartyBlocks"]
