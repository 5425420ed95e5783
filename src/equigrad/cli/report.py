"""``equigrad report``: make a run's metrics, plots and page again, from its record alone."""

from pathlib import Path
from typing import Annotated

import typer

from equigrad.cli.complete import run_folders
from equigrad.cli.quiet import quiet_accountants
from equigrad.cli.run import JsonOption
from equigrad.cli.score_story import tell_scoring
from equigrad.cli.story import tell
from equigrad.cli.train_story import tell_training

__all__ = ["report"]


def report(
    folder: Annotated[Path, typer.Argument(help="A run folder.", autocompletion=run_folders)],
    as_json: JsonOption = False,
) -> None:
    """Write metrics, plots and report.html from the record, and show the table of parties.

    Works for a run that is still going on, or was stopped, and for private trainings and scorings.

    Example: [bold]equigrad report runs/consortium[/]
    """
    from equigrad.steward.folder import is_scoring, is_training

    if is_scoring(folder):
        from equigrad.steward.scoring.report import write_score_report

        write_score_report(folder)
        tell_scoring(folder, as_json=as_json)
        return
    if is_training(folder):
        from equigrad.steward.report import write_report as write_training

        write_training(folder)
        tell_training(folder, as_json=as_json)
        return
    from equigrad.federation.record.folder import RunFolder

    quiet_accountants()
    kind = RunFolder.open(folder).kind()
    if kind == "vertical":
        from equigrad.federation.vertical.report import write_report as write_vertical

        write_vertical(folder)
    elif kind == "market":
        from equigrad.federation.trade.report import write_report as write_market

        write_market(folder)
    else:
        from equigrad.federation.report import write_report

        write_report(folder)
    tell(folder, as_json=as_json)
