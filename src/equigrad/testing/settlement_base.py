"""What the parts of the settlement suite share: the hooks, and the check that ends a test."""

from abc import ABC, abstractmethod
from typing import Any

from equigrad.market.settlement import Round, SettlementStore
from equigrad.testing.settlement_world import World, posted_price

__all__ = ["SettlementSuite"]


class SettlementSuite(ABC):
    """Makes markets for tests and verifies them afterwards."""

    @abstractmethod
    def store(self) -> SettlementStore:
        """Return a new, empty market whose currencies are ``[EUR]`` of ``settlement_world``."""

    def reopen(self, store: SettlementStore) -> SettlementStore:
        """Return the same market as another process would find it; in memory, the same store."""
        return store

    def world(self, money: int = 100_000, **terms: Any) -> World:
        """Return a new market with a buyer, sellers and their listings."""
        return World(self.store(), money, **terms)

    def sound(self, world: World) -> None:
        """Reopen the market and check all of it: chain, replay, invariants, clearings."""
        world.store = self.reopen(world.store)
        rounds = world.store.snapshot().state.entities[Round]
        world.store.verify(dict.fromkeys(rounds, posted_price))
