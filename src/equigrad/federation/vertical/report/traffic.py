"""Bytes of every round, measured, beside what split learning would have sent for the same rows.

Neighbours: ``rows`` has them by party, ``html`` and ``metrics`` show them.
"""

from dataclasses import dataclass

from equigrad.federation.vertical.report.rows import round_rows
from equigrad.federation.vertical.report.story import Story
from equigrad.federation.vertical.traffic import SPLIT_ASSUMPTIONS, split_learning_bytes

__all__ = ["TrafficRow", "traffic_rows"]


@dataclass(frozen=True)
class TrafficRow:
    """What went between the sponsor and the assistors in one round.

    Attributes
    ----------
    round
        From 0 over both passes; None for the alignment before the first.
    sent, received
        Bytes to the assistors and from them.
    so_far
        Bytes in both directions up to here.
    split_learning
        Bytes that one epoch of split learning would have sent for the same rows; 0 for the
        alignment, which it would have needed, too.
    """

    round: int | None
    sent: int
    received: int
    so_far: int
    split_learning: int


def traffic_rows(story: Story) -> list[TrafficRow]:
    """Return a row for the alignment, and one for each round asked."""
    others = story.parties[1:]
    sent = sum(int(story.align["sent"][name]) for name in others)
    received = sum(int(story.align["received"][name]) for name in others)
    found = [TrafficRow(None, sent, received, sent + received, 0)]
    assumed = {**(story.start.get("split_learning") or SPLIT_ASSUMPTIONS), "epochs": 1}
    common = {name: int(story.align["common"][name]) for name in others}
    epoch = split_learning_bytes(common, assumed)
    rows = [row for row in round_rows(story) if row.party in common]
    for turn in story.turns:
        own = [row for row in rows if row.round == turn.index]
        sent = sum(row.sent or 0 for row in own)
        received = sum(row.received or 0 for row in own)
        so_far = found[-1].so_far + sent + received
        found.append(TrafficRow(turn.index, sent, received, so_far, epoch))
    return found
