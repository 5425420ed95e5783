"""``equigrad compare``: several runs in one table and one plot."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equigrad.cli.complete import run_folders
from equigrad.cli.market_story import compare_market
from equigrad.cli.output import emit_json, note, number, percent, show_table
from equigrad.cli.run import JsonOption
from equigrad.cli.vertical_story import compare_vertical
from equigrad.errors import ConfigError

if TYPE_CHECKING:
    from equigrad.federation.report.compare import Comparison, RunRow

__all__ = ["compare"]


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

    Of vertical runs: losses, rounds and bytes in one table. Of market runs: what was paid, sold and
    learned, and a plot of the scores.

    Example: [bold]equigrad compare runs/robust runs/paper runs/fedavg --plot all.svg[/]
    """
    from equigrad.federation.record.disk import write_atomic
    from equigrad.federation.record.folder import RunFolder
    from equigrad.federation.report.compare import compare as side_by_side
    from equigrad.federation.report.compare import draw_comparison
    from equigrad.steward.folder import is_scoring, is_training

    if len(folders) < 2:
        raise ConfigError(
            "Expected at least two run folders, got one. `equigrad report` shows a single run."
        )
    trainings = [str(f) for f in folders if is_training(f) or is_scoring(f)]
    if trainings:
        raise ConfigError(
            "Expected folders of runs among parties, got private trainings: "
            f"{', '.join(trainings)}. `equigrad report` shows a single one."
        )
    if plot.suffix != ".svg":
        raise ConfigError(f"Expected a plot file ending in .svg, got {plot}. Rename it.")
    kinds = {RunFolder.open(folder).kind() for folder in folders}
    if kinds == {"vertical"}:
        compare_vertical(folders, as_json=as_json)
        return
    if kinds == {"market"}:
        compare_market(folders, plot=plot, as_json=as_json)
        return
    if len(kinds) > 1:
        raise ConfigError(
            f"Expected runs of one kind, got {' and '.join(sorted(kinds))} ones. Their measures "
            "differ: compare each kind by itself."
        )
    comparison = side_by_side(folders)
    write_atomic(plot, draw_comparison(comparison).svg)
    if as_json:
        emit_json({**comparison.to_json(), "plot": str(plot)})
        return
    _table(comparison)
    note(
        "standalone, final: scores on the test records, trained alone and together. gain: final "
        "minus standalone, in points. Pearson, Spearman: of standalone with final scores. All but "
        "the mean of all are over the parties that were never flagged."
    )
    note(f"Plot: {plot}")


def _table(comparison: "Comparison") -> None:
    """Print one column for each run: its summary, then every party's final score."""
    score = number if comparison.rows[0].summary.score == "R^2" else percent
    summary = [_facts(row, score) for row in comparison.rows]
    rows = [(name, *(facts[name] for facts in summary)) for name in summary[0]]
    parties = [(f"final: {p}", *map(score, comparison.scores[p])) for p in comparison.parties]
    names = [row.run for row in comparison.rows]
    show_table(("", *names), [*rows, *parties], right=0, wrap=names, ruled=len(rows))


def _facts(row: "RunRow", score: Callable[[float | None], str]) -> dict[str, str]:
    s, some = row.summary, row.summary.unflagged
    return {
        "method": f"{s.method} ({row.preset})" if row.preset and s.method == "cgsv" else s.method,
        "seed": "–" if row.seed is None else str(row.seed),
        "rounds": str(s.rounds) if s.finished else f"{s.rounds}, not finished",
        "parties flagged": f"{s.everybody.parties - some.parties} of {s.everybody.parties}",
        "final, mean of all": score(s.everybody.mean_final),
        "final, mean": score(some.mean_final),
        "final, lowest": score(some.min_final),
        "final, highest": score(some.max_final),
        "standalone, mean": score(some.mean_standalone),
        "gain, mean": number(some.mean_gain, "+.1f"),
        "gain, least": number(some.least_gain, "+.1f"),
        "Pearson": number(some.pearson, ".2f"),
        "Spearman": number(some.spearman, ".2f"),
        "correlation is": some.correlation,
    }
