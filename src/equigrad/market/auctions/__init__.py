"""Auctions: who sells how much privacy, and for how much.

One mechanism a module; the contract of all of them is :class:`Auction`.
"""

from equigrad.market.auctions.all_in import AllIn
from equigrad.market.auctions.base import AUCTIONS, Auction
from equigrad.market.auctions.clock import Clock
from equigrad.market.auctions.fair_query import FairQuery
from equigrad.market.auctions.grid import default_grid
from equigrad.market.auctions.real import all_in_real, clear_real, fair_query_real

__all__ = [
    "AUCTIONS",
    "AllIn",
    "Auction",
    "Clock",
    "FairQuery",
    "all_in_real",
    "clear_real",
    "default_grid",
    "fair_query_real",
]
