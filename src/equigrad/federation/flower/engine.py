"""Flower's grid as an engine of runs.

Neighbours: ``post`` carries; :mod:`equigrad.federation.runner` plays.
"""

from collections.abc import Sequence

from flwr.serverapp import Grid

from equigrad.federation.flower.post import GridPost, roll_call
from equigrad.federation.remote.transport import RemoteTransport
from equigrad.federation.transport.agents import AgentSpec
from equigrad.federation.transport.base import Transport

__all__ = ["GridEngine"]


class GridEngine:
    """Parties at Flower's nodes.

    Parameters
    ----------
    grid
        Flower's grid.
    wait_s
        Seconds to wait for the parties' nodes before the first exchange.
    enough
        Fewest parties to begin with; default: all.
    """

    def __init__(self, grid: Grid, *, wait_s: float = 300.0, enough: int | None = None) -> None:
        self._grid, self._wait_s, self._enough = grid, wait_s, enough

    def open(self, specs: Sequence[AgentSpec], run: str) -> Transport:
        """Call the roll and return a transport to the parties that are there."""
        names = [spec.name for spec in specs]
        enough = len(names) if self._enough is None else self._enough
        nodes = roll_call(self._grid, run, names, deadline_s=self._wait_s, enough=enough)
        return RemoteTransport(GridPost(self._grid, nodes), names, run)
