"""A scoring's two records, read for telling."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equigrad.errors import RecordError, VerificationError
from equigrad.federation.record.chain import iter_record
from equigrad.federation.record.folder import RunFolder
from equigrad.steward.scoring.places import ScorePlaces

__all__ = ["ScoreStory", "read_score_story"]

Body = Mapping[str, Any]


@dataclass
class ScoreStory:
    """What the records say.

    Attributes
    ----------
    start, shared
        First and last line of the shared record; ``shared`` is empty until it has finished.
    local
        First line of the owner's record; empty if there is no such record here.
    model, scores, selection, removal, finish
        Its stages; empty if not done, or not asked for.
    trained
        Trained arms by ``(arm, repeat)``.
    head, local_head, lines
        Hashes of the last lines, and the number of lines of the shared record.
    """

    start: Body = field(default_factory=dict)
    shared: Body = field(default_factory=dict)
    local: Body = field(default_factory=dict)
    model: Body = field(default_factory=dict)
    scores: Body = field(default_factory=dict)
    selection: Body = field(default_factory=dict)
    removal: Body = field(default_factory=dict)
    finish: Body = field(default_factory=dict)
    trained: dict[tuple[str, int], Body] = field(default_factory=dict)
    head: str = ""
    local_head: str = ""
    lines: int = 0

    @property
    def finished(self) -> bool:
        """Whether all stages are done."""
        return bool(self.finish) and bool(self.shared)

    @property
    def statement(self) -> Body | None:
        """The privacy statement: of what was released if finished, else of what is planned."""
        source = self.shared if self.shared else self.start
        statement: Body | None = source["statement"]
        return statement

    @property
    def events(self) -> list[Body]:
        """The ledger: what was charged if finished, else what is planned."""
        events = self.shared["events"] if self.shared else self.start["plan"]["events"]
        return list(events)

    @property
    def stage(self) -> str:
        """What is done, in words, for a scoring that has not finished."""
        done = [name for name in ("model", "scores", "selection") if getattr(self, name)]
        done += [f"{arm} {repeat + 1}" for arm, repeat in self.trained]
        return ", ".join(done) or "nothing"

    @property
    def scorers(self) -> dict[str, Body]:
        """What is known of each scorer's scores, by label, in the order they were asked for."""
        if not self.scores:
            return {}
        labels = [scorer["label"] for scorer in self.start["scoring"]["scorers"]]
        return {label: self.scores["scorers"][label] for label in labels}

    @property
    def comparison(self) -> Body | None:
        """The comparison of both arms, None if there is none."""
        found: Body | None = self.finish.get("comparison")
        return found


def read_score_story(folder: RunFolder | Path | str) -> ScoreStory:
    """Read and check both records of a scoring; the owner's may be missing.

    Raises
    ------
    RecordError
        If there is no scoring in the folder.
    VerificationError
        If a record's chain is broken, or has no start.
    """
    place = folder if isinstance(folder, RunFolder) else RunFolder.open(folder)
    story = ScoreStory()
    for line in iter_record(place.record, allow_cut=True):
        story.head, story.lines = line.hash, story.lines + 1
        if line.stage == "start":
            story.start = line.body
        elif line.stage == "finish":
            story.shared = line.body
    if not story.start:
        raise VerificationError(
            f"{place.record}: expected a start line first, got none. The scoring was stopped "
            "before it began: start it anew in another folder."
        )
    private = ScorePlaces(place).record
    if private.exists():
        for line in iter_record(private, allow_cut=True):
            story.local_head = line.hash
            _take(story, line.stage, line.body, private)
    return story


def _take(story: ScoreStory, stage: str, body: Body, path: Path) -> None:
    """Put one line of the owner's record in its place."""
    if stage == "trained":
        story.trained[str(body["arm"]), int(body["repeat"])] = body
    elif stage == "start":
        story.local = body
    elif stage in ("model", "scores", "selection", "removal", "finish"):
        setattr(story, stage, body)
    else:
        raise RecordError(f"Expected a stage that a scoring has in {path}, got {stage!r}.")
