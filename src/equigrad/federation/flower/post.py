"""The post over Flower's grid, and the roll call that finds which node is which party.

Neighbours: :mod:`equigrad.federation.remote.transport` has deadlines and states; ``wire`` says how
bytes lie in messages.
"""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from flwr.serverapp import Grid

from equigrad.errors import QuorumError
from equigrad.federation.flower.wire import content_of, error_of, request_to
from equigrad.federation.remote.transport import Returned

__all__ = ["ROLL_CALL", "GridPost", "roll_call"]

ROLL_CALL: Final = b"EQGROLL1"
"""What every node is asked first: it answers with its party's name and the run it takes part in."""

_LEAST_TTL_S: Final = 1.0
_POLL_S: Final = 0.1


class GridPost:
    """Sends each party's envelopes to its node.

    Parameters
    ----------
    grid
        Flower's grid.
    nodes
        Node ids by party.
    """

    def __init__(self, grid: Grid, nodes: Mapping[str, int]) -> None:
        self._grid, self._nodes = grid, dict(nodes)

    def send(self, party: str, content: bytes, *, ttl_s: float) -> str:
        """Push one message; what Flower has not delivered in ``ttl_s`` seconds it drops."""
        if party not in self._nodes:
            return ""
        return _push(self._grid, self._nodes[party], content, ttl_s)

    def collect(self, ids: Collection[str]) -> Sequence[Returned]:
        """Pull what came for ``ids``."""
        return [
            Returned(message.metadata.reply_to_message_id, content, error)
            for message in self._grid.pull_messages(list(ids))
            for error in (error_of(message),)
            for content in (b"" if error else content_of(message),)
        ]


def roll_call(
    grid: Grid, run: str, parties: Sequence[str], *, deadline_s: float, enough: int
) -> dict[str, int]:
    """Return the nodes of the parties that are there, asking again as nodes come.

    Parameters
    ----------
    grid
        Flower's grid.
    run
        The run; nodes of another are left out.
    parties
        Whom to find.
    deadline_s
        Seconds after which those found must do.
    enough
        Fewest parties to begin with.

    Raises
    ------
    QuorumError
        If fewer than ``enough`` parties were found, or two nodes say that they are one party.
    """
    end = time.monotonic() + deadline_s
    asked: dict[str, int] = {}
    known: set[int] = set()
    found: dict[str, int] = {}
    others: list[str] = []
    while len(found) < len(parties) and time.monotonic() < end:
        for node in grid.get_node_ids():
            if node not in known:
                known.add(node)
                asked[_push(grid, node, ROLL_CALL, end - time.monotonic())] = node
        for message in grid.pull_messages(list(asked)):
            node = asked.pop(message.metadata.reply_to_message_id, 0)
            if not node or error_of(message):
                continue
            told = json.loads(content_of(message) or b"{}")
            name = str(told.get("party", ""))
            if told.get("run") != run or name not in parties:
                others.append(name or "a node without a name")
            elif found.setdefault(name, node) != node:
                raise QuorumError(
                    f"Expected one node for each party, got two that say they are {name!r}. Stop "
                    "one of them."
                )
        time.sleep(_POLL_S)
    if len(found) < enough:
        missing = sorted(set(parties) - set(found))
        also = f" Nodes of other parties or runs: {', '.join(others)}." if others else ""
        raise QuorumError(
            f"Expected nodes of at least {enough} of {len(parties)} parties within {deadline_s:g} "
            f"s, got {len(found)}; missing: {', '.join(missing)}.{also} Start their nodes."
        )
    return found


def _push(grid: Grid, node: int, content: bytes, ttl_s: float) -> str:
    message = request_to(node, content, max(ttl_s, _LEAST_TTL_S))
    return next(iter(grid.push_messages([message])), "")
