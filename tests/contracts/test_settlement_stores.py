"""The settlement store in memory passes the contract suite; those in databases have a room."""

from equigrad.market.settlement import MemoryStore
from equigrad.testing.settlement import SettlementStoreContract
from equigrad.testing.settlement_world import EUR


class TestMemory(SettlementStoreContract):
    def store(self):
        return MemoryStore([EUR])
