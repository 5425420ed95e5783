"""A training's record, read for telling: what was promised, what happened, how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equigrad.errors import VerificationError
from equigrad.federation.record.chain import iter_record
from equigrad.federation.record.folder import RunFolder

__all__ = ["Story", "read_story"]

Body = Mapping[str, Any]


@dataclass
class Story:
    """What the record says.

    Attributes
    ----------
    start
        Body of the first line.
    measured
        ``(step, body)`` of each measurement on the test records, in order.
    diagnosed
        ``(step, body)`` of each diagnosis, in order.
    finish
        Body of the last line, None if the training has not finished.
    head, lines
        Hash of the last line and number of lines.
    """

    start: Body = field(default_factory=dict)
    measured: list[tuple[int, Body]] = field(default_factory=list)
    diagnosed: list[tuple[int, Body]] = field(default_factory=list)
    finish: Body | None = None
    head: str = ""
    lines: int = 0

    @property
    def groups(self) -> tuple[str, ...]:
        """The group names, empty if there are none."""
        return tuple(self.start["data"]["groups"] or ())

    @property
    def paired(self) -> bool:
        """Whether the non-private twin was trained beside."""
        return bool(self.start["twin"])

    @property
    def steps(self) -> int:
        """Steps that the record has measurements of."""
        return self.measured[-1][0] if self.measured else 0

    @property
    def statement(self) -> Body:
        """The privacy statement: of what was done if finished, else of what is planned."""
        source: Body = self.start if self.finish is None else self.finish
        statement: Body = source["statement"]
        return statement

    @property
    def warnings(self) -> list[str]:
        """What whoever relies on the statement was warned of."""
        said = (self.start, self.finish or {})
        return [text for body in said for text in body.get("warnings", ())]

    @property
    def latest(self) -> Body | None:
        """The last measurement, None if there is none yet."""
        return self.measured[-1][1] if self.measured else None


def read_story(folder: RunFolder | Path | str) -> Story:
    """Read and check a training's record.

    Raises
    ------
    RecordError
        If there is no training in the folder.
    VerificationError
        If the record's chain is broken, or it has no start.
    """
    place = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
    story = Story()
    for line in iter_record(place.record, allow_cut=True):
        story.head, story.lines = line.hash, story.lines + 1
        if line.stage == "start":
            story.start = line.body
        elif line.stage == "measure":
            story.measured.append((line.round or 0, line.body))
        elif line.stage == "diagnose":
            story.diagnosed.append((line.round or 0, line.body))
        elif line.stage == "finish":
            story.finish = line.body
    if not story.start:
        raise VerificationError(
            f"{place.record}: expected a start line first, got none. The training was stopped "
            "before its first step: start it anew in another folder."
        )
    return story
