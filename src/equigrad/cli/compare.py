"""``equigrad compare``: several runs in one table and one plot."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equigrad.cli.complete import run_folders
from equigrad.cli.output import emit_json, note, number, show_table
from equigrad.cli.run import JsonOption
from equigrad.errors import ConfigError

if TYPE_CHECKING:
    from equigrad.federation.report.compare import Comparison, RunRow

__all__ = ["compare"]

_COLUMNS = (
    "run",
    "method",
    "seed",
    "standalone",
    "mean",
    "lowest",
    "highest",
    "gain",
    "least gain",
    "Pearson",
    "Spearman",
    "flags",
    "remarks",
)


def compare(
    folders: Annotated[
        list[Path], typer.Argument(help="Run folders, at least two.", autocompletion=run_folders)
    ],
    plot: Annotated[Path, typer.Option("--plot", help="The plot's file (.svg).")] = Path(
        "comparison.svg"
    ),
    as_json: JsonOption = False,
) -> None:
    """Compare runs: final scores, gains, fairness among parties; one table and one plot.

    Example: [bold]equigrad compare runs/robust runs/paper runs/fedavg --plot all.svg[/]
    """
    from equigrad.federation.record.disk import write_atomic
    from equigrad.federation.report.compare import compare as side_by_side
    from equigrad.federation.report.compare import draw_comparison

    if len(folders) < 2:
        raise ConfigError(
            "Expected at least two run folders, got one. `equigrad report` shows a single run."
        )
    if plot.suffix != ".svg":
        raise ConfigError(f"Expected a plot file ending in .svg, got {plot}. Rename it.")
    comparison = side_by_side(folders)
    write_atomic(plot, draw_comparison(comparison).svg)
    if as_json:
        emit_json({**comparison.to_json(), "plot": str(plot)})
        return
    show_table(_COLUMNS, [_cells(row) for row in comparison.rows], left=2)
    _show_parties(comparison)
    note(
        "mean, lowest, highest: final scores of the parties. gain: final minus standalone in "
        "points, mean over the parties. Pearson, Spearman: of standalone with final scores."
    )
    note(f"Plot: {plot}")


def _cells(row: "RunRow") -> list[str]:
    s = row.summary
    who = s.everybody
    score = number if s.score == "R^2" else _percent
    remarks = [] if who.correlation == "ok" else [f"correlation {who.correlation}"]
    if not s.finished:
        remarks.append(f"not finished ({s.rounds} rounds)")
    return [
        row.run,
        f"{s.method} ({row.preset})" if row.preset and s.method == "cgsv" else s.method,
        "–" if row.seed is None else str(row.seed),
        score(who.mean_standalone),
        score(who.mean_final),
        score(who.min_final),
        score(who.max_final),
        number(who.mean_gain, "+.1f"),
        number(who.least_gain, "+.1f"),
        number(who.pearson, ".2f"),
        number(who.spearman, ".2f"),
        str(s.flags),
        ", ".join(remarks),
    ]


def _percent(value: float | None) -> str:
    return number(None if value is None else 100 * value, ".1f", " %")


def _show_parties(comparison: "Comparison") -> None:
    """Print each party's final score in each run."""
    score = number if comparison.rows[0].summary.score == "R^2" else _percent
    names = [row.run for row in comparison.rows]
    show_table(
        ("party", *names),
        [[party, *map(score, comparison.scores[party])] for party in comparison.parties],
        title="Final scores by party",
        right=0,
    )
