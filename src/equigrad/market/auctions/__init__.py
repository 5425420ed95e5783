"""Auctions: who sells how much privacy, and for how much.

One mechanism a module; the contract of all of them is :class:`Auction`.
"""

from equigrad.market.auctions.base import AUCTIONS, Auction
from equigrad.market.auctions.clock import Clock
from equigrad.market.auctions.grid import default_grid
from equigrad.market.auctions.real import clear_real

__all__ = ["AUCTIONS", "Auction", "Clock", "clear_real", "default_grid"]
