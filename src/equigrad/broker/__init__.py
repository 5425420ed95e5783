"""The broker's desk: bids from files, cleared offline, compared, drawn and told.

Files and pictures are here; what is decided, and for how much, is decided in
:mod:`equigrad.market`. Neighbours: the command ``equigrad auction`` above.
"""

from equigrad.broker.bid_file import BidFile, read_bids
from equigrad.broker.offline import Offer, Outcome, clear_offline, compare
from equigrad.broker.story import outcome_json, party_rows

__all__ = [
    "BidFile",
    "Offer",
    "Outcome",
    "clear_offline",
    "compare",
    "outcome_json",
    "party_rows",
    "read_bids",
]
