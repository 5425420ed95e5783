"""``equigrad run``: a run file in, a run folder out. ``equigrad resume`` shares the second half."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equigrad.cli.complete import run_folders
from equigrad.cli.market_progress import watch_market
from equigrad.cli.output import say
from equigrad.cli.progress import watch
from equigrad.cli.quiet import quiet_accountants
from equigrad.cli.story import tell
from equigrad.cli.vertical_progress import watch_vertical
from equigrad.errors import ConfigError

if TYPE_CHECKING:
    from equigrad.federation.runner import Listener

__all__ = ["JsonOption", "QuietOption", "free_folder", "go_on", "run"]

QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on the standard output, nothing else.")
]


def run(
    file: Annotated[Path | None, typer.Argument(help="The run file (TOML).")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", "-o", help="New run folder. Default: runs/NAME, numbered if taken."
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            help="Go on with a stopped run instead of starting one.",
            autocompletion=run_folders,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Put a setting on top of the file."),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train together as a run file says, and leave one run folder.

    The folder holds the configuration, the chained record, the models, metrics, plots and a report.

    Example: [bold]equigrad run consortium.toml --folder runs/first --set rounds=10[/]

    Example: [bold]equigrad run consortium.toml --set rewards.preset=paper
    --set party.north.label_noise=0.2[/]

    Example: [bold]equigrad run --resume runs/first[/]
    """
    if resume is not None:
        if file is not None or folder is not None or settings:
            raise ConfigError(
                "Expected --resume FOLDER alone (the folder holds its run file), got also a file, "
                "--folder or --set. Leave them out."
            )
        go_on(resume, quiet=quiet, as_json=as_json)
        return
    if file is None:
        raise ConfigError(
            "Expected a run file or --resume FOLDER, got neither. "
            "Write a run file with `equigrad init`."
        )
    from equigrad.federation.config.loader import load_config, read_text

    config = load_config(file, settings or ())
    source = read_text(file)
    target = folder if folder is not None else free_folder(config.name)

    def work(listener: "Listener") -> Path:
        from equigrad.federation.runner import run as start

        return start(config, target, source=source, progress=listener)

    _finish(work, target, config.kind, quiet=quiet, as_json=as_json)


def go_on(folder: Path, *, quiet: bool, as_json: bool) -> None:
    """Resume the run in ``folder`` and show its end."""
    from equigrad.federation.record.folder import RunFolder

    def work(listener: "Listener") -> Path:
        from equigrad.federation.runner import resume

        return resume(folder, progress=listener)

    _finish(work, folder, RunFolder.open(folder).kind(), quiet=quiet, as_json=as_json)


def _finish(
    work: Callable[["Listener"], Path], folder: Path, kind: str, *, quiet: bool, as_json: bool
) -> None:
    quiet_accountants()
    try:
        if kind == "vertical":
            with watch_vertical(quiet) as assisted:
                done = work(assisted)
        elif kind == "market":
            with watch_market(quiet) as trading:
                done = work(trading)
        else:
            with watch(quiet) as listener:
                done = work(listener)
    except KeyboardInterrupt:
        begun = (folder / "config.json").exists()
        say(f"Interrupted. Go on with: equigrad resume {folder}" if begun else "Interrupted.")
        raise typer.Exit(130) from None
    tell(done, as_json=as_json)


def free_folder(name: str) -> Path:
    """Return ``runs/NAME``, or ``runs/NAME-2`` and so on: the first that does not exist."""
    folder = Path("runs") / name
    number = 1
    while folder.exists():
        number += 1
        folder = Path("runs") / f"{name}-{number}"
    return folder
