"""Several runs side by side: one table, one plot, the parties' scores aligned by name."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equigrad.errors import RecordError
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.report.reading import read_run
from equigrad.federation.report.rows import party_rows
from equigrad.federation.report.story import Run
from equigrad.federation.report.summary import Summary, summarise_run

if TYPE_CHECKING:
    from equigrad.federation.report.plots import Plot

__all__ = ["Comparison", "RunRow", "compare", "draw_comparison"]


@dataclass(frozen=True)
class RunRow:
    """One run in a comparison.

    Attributes
    ----------
    run, folder
        The folder's name (made unique), and the folder.
    preset, seed, head
        The preset of the fair rewards (None for a baseline), the run's seed, the hash of the
        record's last line.
    summary
        Everything else; see :class:`~equigrad.federation.report.summary.Summary`.
    """

    run: str
    folder: str
    preset: str | None
    seed: int | None
    head: str
    summary: Summary


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes
    ----------
    rows
        One for each run, in the order given.
    parties
        All party names, in the order of their first appearance.
    scores
        Final (or latest) scores by party, one for each run; None where a run lacks the party.
    standalone
        The same of training alone.
    """

    rows: tuple[RunRow, ...]
    parties: tuple[str, ...]
    scores: dict[str, tuple[float | None, ...]]
    standalone: dict[str, tuple[float | None, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON types."""
        return {
            "runs": [asdict(row) for row in self.rows],
            "parties": [
                {"party": p, "final": list(self.scores[p]), "standalone": list(self.standalone[p])}
                for p in self.parties
            ],
        }


def compare(folders: Sequence[RunFolder | Path | str]) -> Comparison:
    """Set runs side by side, from their records.

    Raises
    ------
    RecordError
        If a folder is no run folder, none is given, or their scores are of different kinds.
    VerificationError
        If a record's chain is broken.
    """
    places = [f if isinstance(f, RunFolder) else RunFolder.open(f) for f in folders]
    if not places:
        raise RecordError("Expected at least one run folder to compare, got none.")
    runs = [read_run(place) for place in places]
    names = _unique([place.path.resolve().name for place in places])
    rows = tuple(map(_row, names, places, runs))
    kinds = sorted({row.summary.score for row in rows})
    if len(kinds) > 1:
        raise RecordError(
            f"Expected runs whose scores are of one kind, got {' and '.join(kinds)}. "
            "Compare runs on the same data."
        )
    tables = [{row.party: row for row in party_rows(run)} for run in runs]
    parties = tuple(dict.fromkeys(party for run in runs for party in run.parties))
    return Comparison(
        rows=rows,
        parties=parties,
        scores={p: tuple(t[p].final if p in t else None for t in tables) for p in parties},
        standalone={p: tuple(t[p].standalone if p in t else None for t in tables) for p in parties},
    )


def draw_comparison(comparison: Comparison) -> "Plot":
    """Return the plot of a comparison: each run's parties, their mean and their range."""
    from equigrad.federation.report.plots.runs import runs  # Matplotlib is slow to import

    return runs(comparison)


def _row(name: str, place: RunFolder, run: Run) -> RunRow:
    return RunRow(
        run=name,
        folder=place.path.as_posix(),
        preset=run.settings.get("preset"),
        seed=run.start.get("seed"),
        head=run.head,
        summary=summarise_run(run),
    )


def _unique(names: Sequence[str]) -> list[str]:
    """Return the names, numbered where one comes twice: ``run``, ``run (2)``."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique
