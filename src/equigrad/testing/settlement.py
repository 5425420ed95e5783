"""The contract suite of settlement stores.

Each test is one sentence of the contract in
:class:`equigrad.market.settlement.SettlementStore`, or one attack by its name; nearly all end with
a verification of the whole market, reopened. ``equigrad.testing.settlement_machine`` goes on with
random walks and crashes.
"""

from equigrad.testing.settlement_attacks import AttackTests
from equigrad.testing.settlement_bids import BidTests
from equigrad.testing.settlement_rounds import RoundTests

__all__ = ["SettlementStoreContract"]


class SettlementStoreContract(RoundTests, BidTests, AttackTests):
    """Inherit, return a new store from :meth:`store`, name the class ``Test...``.

    Overwrite :meth:`reopen` if the store outlives its process.
    """
