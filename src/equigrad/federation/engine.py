"""An engine: what opens the transport that a run is played over.

Neighbours: :mod:`equigrad.federation.transport` has the engine of one process,
:mod:`equigrad.federation.remote` transports to parties elsewhere. No algorithm knows which.
"""

from collections.abc import Sequence
from typing import Final, Literal, Protocol

from equigrad.federation.transport.agents import AgentSpec
from equigrad.federation.transport.base import Transport
from equigrad.federation.transport.faults import FaultPlan
from equigrad.federation.transport.inprocess import InProcessTransport

__all__ = ["Engine", "LocalEngine"]

_MOST_WORKERS: Final = 256


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
        See :class:`~equigrad.federation.transport.InProcessTransport`. No number of workers is one
        for each party: with fewer, a slow party makes those that wait for its worker miss the
        deadline, too.
    """

    def __init__(
        self,
        pool: Literal["thread", "process"] = "thread",
        workers: int | None = 1,
        faults: FaultPlan | None = None,
    ) -> None:
        self._pool: Literal["thread", "process"] = pool
        self._workers, self._faults = workers, faults

    def open(self, specs: Sequence[AgentSpec], run: str) -> Transport:
        """Return a transport that works the parties' specs itself."""
        del run
        workers = self._workers or min(len(specs), _MOST_WORKERS)
        return InProcessTransport(specs, pool=self._pool, workers=workers, faults=self._faults)
