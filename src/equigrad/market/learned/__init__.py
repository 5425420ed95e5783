"""Learned schedules of the clock: qualities from public facts, trained, chosen and stored.

``menu`` is what a schedule computes, in NumPy; ``network`` and ``relaxed`` are what is trained, in
PyTorch (imported by ``training`` only); ``selection`` chooses by exact clearing; ``schedule`` is
the file; ``bands`` says where the plain clock stays; ``shipped`` is what comes with the package.
The auction is :class:`equigrad.market.auctions.LearnedClock`.
"""

from equigrad.market.learned.bands import Bands
from equigrad.market.learned.schedule import Schedule
from equigrad.market.learned.selection import Validation, select_schedule
from equigrad.market.learned.shipped import SHIPPED, shipped_schedule

__all__ = ["SHIPPED", "Bands", "Schedule", "Validation", "select_schedule", "shipped_schedule"]
