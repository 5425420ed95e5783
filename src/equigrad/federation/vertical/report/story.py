"""A vertical run's record, read for telling: who was asked, what came back, how it ended.

A killed run has no end, a round that did not settle no step: what is not there is None or missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equigrad.errors import RecordError
from equigrad.federation.record.chain import ZERO_HASH, iter_record
from equigrad.federation.record.folder import RunFolder

__all__ = ["Story", "Turn", "read_story"]

Body = Mapping[str, Any]


@dataclass
class Turn:
    """What the record says of one round; a round asked twice has two of the first lists.

    Attributes
    ----------
    index
        The round, from 0 over both passes.
    asked, came
        Bodies of the lines ``residual`` and ``fit``.
    weighed, stepped
        Bodies of the lines ``weigh`` and ``step``; None in a round that did not settle.
    """

    index: int
    asked: list[Body] = field(default_factory=list)
    came: list[Body] = field(default_factory=list)
    weighed: Body | None = None
    stepped: Body | None = None

    @property
    def pass_(self) -> int:
        """The pass, 0 or 1."""
        return int(self.asked[0]["pass"])

    @property
    def t(self) -> int:
        """The round of its pass, from 1."""
        return int(self.asked[0]["t"])

    def state(self, party: str) -> tuple[str, str]:
        """Return what a party was in the end, and why: "answered", "absent", "refused" or "".

        Empty for one that was not asked: it had not joined, had left, or had no rows.
        """
        for body in self.came:
            if party in body["answered"]:
                return "answered", ""
        for body in reversed(self.came):
            for state in ("refused", "absent"):
                if party in body[state]:
                    return state, str(body[state][party])
        return "", ""


@dataclass
class Story:
    """A whole record.

    Attributes
    ----------
    start, align
        Bodies of the first lines.
    turns
        The rounds in order.
    finish
        Body of the last line, None if the run has not finished.
    head, lines
        Hash of the last line and number of lines.
    """

    start: Body = field(default_factory=dict)
    align: Body = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    finish: Body | None = None
    head: str = ZERO_HASH
    lines: int = 0

    @property
    def parties(self) -> tuple[str, ...]:
        """All parties, the sponsor first."""
        return tuple(self.start["parties"])

    @property
    def sponsor(self) -> str:
        """The sponsor's name."""
        return self.parties[0]

    @property
    def private(self) -> bool:
        """Whether a mechanism protects the labels; the record then has the public track alone."""
        return bool(self.start["privacy"]["mechanism"] != "none")

    @property
    def settled(self) -> list[Turn]:
        """The rounds that were settled."""
        return [turn for turn in self.turns if turn.stepped is not None]

    @property
    def kept(self) -> list[Turn]:
        """The rounds behind the model; of a run that has not finished, those of its last pass."""
        settled = self.settled
        if self.finish is None or not settled:
            return [turn for turn in settled if turn.pass_ == settled[-1].pass_]
        rounds, number = self.finish["rounds"], self.finish["pass"]
        return [turn for turn in settled if turn.pass_ == number and turn.t <= rounds]

    def turn(self, index: int) -> Turn:
        """Return the round, a new one if it is not known yet."""
        if not self.turns or self.turns[-1].index != index:
            self.turns.append(Turn(index))
        return self.turns[-1]


def read_story(folder: RunFolder | Path | str) -> Story:
    """Read a vertical run's record and check its chain on the way.

    Raises
    ------
    RecordError
        If there is no vertical run in the folder, or it stopped before its rows were aligned.
    VerificationError
        If the chain is broken.
    """
    place = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
    story = Story()
    for line in iter_record(place.record, allow_cut=True):
        _take(story, line.stage, line.round, line.body)
        story.head, story.lines = line.hash, line.index + 1
    if story.start.get("kind") != "vertical" or not story.align:
        raise RecordError(
            f"Expected {place.record} to begin with the start and alignment of a vertical run, got "
            f"{story.lines} lines without. If it stopped before its first round, resume it."
        )
    return story


def _take(story: Story, stage: str, round_: int | None, body: Body) -> None:
    if round_ is None:
        if stage in ("start", "align", "finish"):
            setattr(story, stage, body)
        return
    turn = story.turn(round_)
    if stage == "residual":
        turn.asked.append(body)
    elif stage == "fit":
        turn.came.append(body)
    elif stage == "weigh":
        turn.weighed = body
    elif stage == "step":
        turn.stepped = body
