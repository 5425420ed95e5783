"""A market for locally private gradients: valuations, bids, auctions, awards.

A buyer has a budget; parties name prices for epsilon; an auction decides who sells at which level
and for how much. Money is integers everywhere, and a clearing is a pure function of canonical bids
and public terms, so that anyone can recompute it. After Zheng, Cao, Yoshikawa, Li and Yan,
"FL-Market" (IEEE BigData 2022), with auctions of our own.
"""

from equigrad.market.auctions import AUCTIONS, Auction
from equigrad.market.awards import Allotment, Award, Claims, Clearing
from equigrad.market.bids import Bid, bid_tables, canonical_bid
from equigrad.market.book import BidBook
from equigrad.market.curves import CURVE_KINDS, Curve, curve_values
from equigrad.market.ladder import Ladder, harmonic_levels
from equigrad.market.quality import QualityTable, power_quality
from equigrad.market.terms import Terms
from equigrad.market.units import MOST_UNITS, SCALE, from_units, to_units

__all__ = [
    "AUCTIONS",
    "CURVE_KINDS",
    "MOST_UNITS",
    "SCALE",
    "Allotment",
    "Auction",
    "Award",
    "Bid",
    "BidBook",
    "Claims",
    "Clearing",
    "Curve",
    "Ladder",
    "QualityTable",
    "Terms",
    "bid_tables",
    "canonical_bid",
    "curve_values",
    "from_units",
    "harmonic_levels",
    "power_quality",
    "to_units",
]
