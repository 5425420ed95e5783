"""Auctions: who sells how much privacy, and for how much.

One mechanism a module; the contract of all of them is :class:`Auction`.
"""

from equigrad.market.auctions.base import AUCTIONS, Auction

__all__ = ["AUCTIONS", "Auction"]
