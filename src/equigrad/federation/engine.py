"""An engine: what opens the transport that a run is played over.

Neighbours: :mod:`equigrad.federation.transport` has the engine of one process,
:mod:`equigrad.federation.remote` transports to parties elsewhere. No algorithm knows which.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from equigrad.federation.transport.agents import AgentSpec
from equigrad.federation.transport.base import Transport
from equigrad.federation.transport.faults import FaultPlan
from equigrad.federation.transport.inprocess import InProcessTransport

__all__ = ["Engine", "LocalEngine"]


class Engine(Protocol):
    """Opens transports."""

    def open(self, specs: Sequence[AgentSpec], run: str) -> Transport:
        """Return a transport to the parties of ``specs``; who asked closes it.

        Parties that live elsewhere are made there: an engine may take no more than the names.
        ``run`` identifies the run: SHA-256 of its resolved configuration.
        """


class LocalEngine:
    """Parties in a pool of this process.

    Parameters
    ----------
    pool, workers, faults
        See :class:`~equigrad.federation.transport.InProcessTransport`.
    """

    def __init__(
        self,
        pool: Literal["thread", "process"] = "thread",
        workers: int = 1,
        faults: FaultPlan | None = None,
    ) -> None:
        self._pool: Literal["thread", "process"] = pool
        self._workers, self._faults = workers, faults

    def open(self, specs: Sequence[AgentSpec], run: str) -> Transport:
        """Return a transport that works the parties' specs itself."""
        del run
        return InProcessTransport(
            specs, pool=self._pool, workers=self._workers, faults=self._faults
        )
