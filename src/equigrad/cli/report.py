"""``equigrad report``: make a run's metrics, plots and page again, from its record alone."""

from pathlib import Path
from typing import Annotated

import typer

from equigrad.cli.complete import run_folders
from equigrad.cli.run import JsonOption
from equigrad.cli.story import tell

__all__ = ["report"]


def report(
    folder: Annotated[Path, typer.Argument(help="A run folder.", autocompletion=run_folders)],
    as_json: JsonOption = False,
) -> None:
    """Write metrics, plots and report.html from the record, and show the table of parties.

    Works for a run that is still going on, or was stopped.

    Example: [bold]equigrad report runs/consortium[/]
    """
    from equigrad.federation.report import write_report

    write_report(folder)
    tell(folder, as_json=as_json)
