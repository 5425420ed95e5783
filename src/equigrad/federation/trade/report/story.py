"""A market run's record, read for telling: who bid, who sold, what was paid, what it was worth.

A killed run has no end, a round under way no settlement: what is not there is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equigrad.errors import RecordError
from equigrad.federation.record.chain import ZERO_HASH, iter_record
from equigrad.federation.record.folder import RunFolder
from equigrad.market.settlement import Currency

__all__ = ["Story", "Turn", "read_story"]

Body = Mapping[str, Any]

_STAGES = (
    "announce",
    "bid",
    "open",
    "clear",
    "collect",
    "aggregate",
    "appraise",
    "settle",
    "evaluate",
)


@dataclass
class Turn:
    """One round: the bodies of its lines, each None until its stage was reached.

    Attributes
    ----------
    index
        The round, from 0.
    lines
        Bodies by stage.
    """

    index: int
    lines: dict[str, Body] = field(default_factory=dict)

    def line(self, stage: str) -> Body:
        """Return the body of a stage, an empty one if the round did not get there."""
        return self.lines.get(stage) or {}

    @property
    def settled(self) -> bool:
        """Whether the round's money is where it belongs."""
        return "settle" in self.lines

    @property
    def invited(self) -> tuple[str, ...]:
        """Who was asked for a bid."""
        return tuple(self.line("announce").get("invited", ()))

    @property
    def bidders(self) -> tuple[str, ...]:
        """Whose bid was sound and was cleared, in the order of the clearing."""
        return tuple(self.line("clear").get("parties", ()))

    @property
    def awards(self) -> dict[str, Body]:
        """What became of each award, by party."""
        return {award["party"]: award for award in self.line("collect").get("awards", ())}

    def place(self, party: str) -> int | None:
        """Return the party's row in the clearing, None if it has none."""
        return self.bidders.index(party) if party in self.bidders else None


@dataclass
class Story:
    """A whole record.

    Attributes
    ----------
    start
        Body of the first line.
    baselines
        Body of the line with what other buyers would have come to; None before it was rehearsed.
    turns
        The rounds in order.
    finish
        Body of the last line, None if the run has not finished.
    head, lines
        Hash of the last line and number of lines.
    """

    start: Body = field(default_factory=dict)
    baselines: Body | None = None
    turns: list[Turn] = field(default_factory=list)
    finish: Body | None = None
    head: str = ZERO_HASH
    lines: int = 0

    @property
    def parties(self) -> tuple[str, ...]:
        """All parties, in the run's order."""
        return tuple(self.start["parties"])

    @property
    def sizes(self) -> dict[str, int]:
        """Attested records of each party."""
        return dict(zip(self.parties, self.start["sizes"], strict=True))

    @property
    def limits(self) -> dict[str, float]:
        """Limit of each party's account."""
        return dict(zip(self.parties, self.start["account"]["limit"], strict=True))

    @property
    def settled(self) -> list[Turn]:
        """The rounds whose money is settled."""
        return [turn for turn in self.turns if turn.settled]

    @property
    def currency(self) -> Currency:
        """What money is counted in."""
        return Currency(self.start["currency"], self.start["scale"], self.start["cents"])

    def closed(self, what: str) -> dict[str, Any]:
        """Return what parties said at the end, by party; who did not answer is left out."""
        told = self.finish or {}
        return dict(zip(told.get("parties", ()), told.get(what, ()), strict=True))

    @property
    def regression(self) -> bool:
        """Whether scores are R squared, not accuracies."""
        return (self.start.get("data") or {}).get("task") == "regression"

    def turn(self, index: int) -> Turn:
        """Return the round, a new one if it is not known yet."""
        if not self.turns or self.turns[-1].index != index:
            self.turns.append(Turn(index))
        return self.turns[-1]


def read_story(folder: RunFolder | Path | str) -> Story:
    """Read a market run's record and check its chain on the way.

    Raises
    ------
    RecordError
        If there is no market run in the folder.
    VerificationError
        If the chain is broken.
    """
    place = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
    story = Story()
    for line in iter_record(place.record, allow_cut=True):
        _take(story, line.stage, line.round, line.body)
        story.head, story.lines = line.hash, line.index + 1
    if story.start.get("kind") != "market":
        raise RecordError(
            f"Expected {place.record} to begin with the start of a market run, got {story.lines} "
            "lines without. If the run stopped before its first line, start it again."
        )
    return story


def _take(story: Story, stage: str, round_: int | None, body: Body) -> None:
    if round_ is None:
        if stage in ("start", "baselines", "finish"):
            setattr(story, stage, body)
        return
    if stage in _STAGES:
        story.turn(round_).lines[stage] = body
