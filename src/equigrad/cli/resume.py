"""``equigrad resume``: go on with a run, a private training or a scoring that was stopped."""

from pathlib import Path
from typing import Annotated

import typer

from equigrad.cli.complete import run_folders
from equigrad.cli.run import EngineOption, JsonOption, QuietOption, go_on
from equigrad.cli.score import go_on_scoring
from equigrad.cli.train import go_on_training

__all__ = ["resume"]


def resume(
    folder: Annotated[Path, typer.Argument(help="A run folder.", autocompletion=run_folders)],
    engine: EngineOption = "local",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Go on with a stopped run from its last settled round, or with a stopped training or scoring.

    The result is the same, bit for bit, as if the run had not been stopped.

    Example: [bold]equigrad resume runs/consortium[/]
    """
    from equigrad.steward.folder import is_scoring, is_training

    if is_scoring(folder):
        go_on_scoring(folder, quiet=quiet, as_json=as_json)
    elif is_training(folder):
        go_on_training(folder, quiet=quiet, as_json=as_json)
    else:
        go_on(folder, engine=engine, quiet=quiet, as_json=as_json)
