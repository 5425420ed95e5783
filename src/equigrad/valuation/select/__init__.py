"""Choosing records by their scores, with a declared stability for the training that follows.

The contract is :class:`Selector`; a :class:`Selection` says what the training is charged and what
must not be told. Neighbours: :mod:`equigrad.valuation.release` releases scores and thresholds.
"""

from equigrad.valuation.select.base import SELECTORS, Selector, make_selector
from equigrad.valuation.select.controls import All, Random
from equigrad.valuation.select.declared import Declared, declared_selection
from equigrad.valuation.select.rates import KeepRates, keep_rates
from equigrad.valuation.select.selection import TERMS, Selection
from equigrad.valuation.select.threshold import FixedThreshold, PrivateThreshold
from equigrad.valuation.select.top_k import (
    NoisyTopK,
    TopK,
    gumbel_keys,
    permute_and_flip,
    public_k,
    top_k,
)

__all__ = [
    "SELECTORS",
    "TERMS",
    "All",
    "Declared",
    "FixedThreshold",
    "KeepRates",
    "NoisyTopK",
    "PrivateThreshold",
    "Random",
    "Selection",
    "Selector",
    "TopK",
    "declared_selection",
    "gumbel_keys",
    "keep_rates",
    "make_selector",
    "permute_and_flip",
    "public_k",
    "top_k",
]
