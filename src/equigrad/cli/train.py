"""``equigrad train``: one owner's data in, a privately trained model and its proof out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equigrad.cli.complete import run_folders, run_sources
from equigrad.cli.output import say
from equigrad.cli.quiet import quiet_accountants
from equigrad.cli.run import JsonOption, QuietOption, free_folder
from equigrad.cli.train_progress import watch_training
from equigrad.cli.train_story import tell_training
from equigrad.errors import ConfigError

if TYPE_CHECKING:
    from equigrad.steward.config import TrainSettings
    from equigrad.steward.progress import TrainListener

__all__ = ["go_on_training", "settings_from", "source_options", "text_without_source", "train"]


def train(
    file: Annotated[
        Path | None, typer.Argument(help="A file with settings (TOML), such as a folder's own.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            help="A data set by name, or your own CSV, Parquet or npz file.",
            autocompletion=run_sources,
        ),
    ] = None,
    label: Annotated[str | None, typer.Option("--label", help="Label column (own data).")] = None,
    sensitive: Annotated[
        str | None,
        typer.Option(
            "--sensitive", help="Column whose groups are told apart, or label: the classes."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A model by name. Default: mlp.")
    ] = None,
    epsilon: Annotated[float | None, typer.Option("--epsilon", help="Privacy budget.")] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", help="Below one over the training records.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", "-r", help="A clipping rule by name. Default: flat.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option("--epochs", help="Expected passes over the data. Default: 20.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", help="Expected records in a step. Default: 256.")
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate. Default: 0.5.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of initial weights and split; public. Default: 0.")
    ] = None,
    account: Annotated[
        Path | None,
        typer.Option("--account", help="A privacy account that outlives this training."),
    ] = None,
    paired: Annotated[
        bool, typer.Option("--paired", help="Train a twin without privacy too, to compare.")
    ] = False,
    diagnostics: Annotated[
        int | None,
        typer.Option("--diagnostics", help="Diagnose clipping every so many steps. NOT private."),
    ] = None,
    rehearse: Annotated[
        bool,
        typer.Option("--rehearse", help="Noise from the seed: reproducible and NOT private."),
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", "-o", help="New folder. Default: runs/NAME, numbered if taken."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", help="Go on with a stopped training.", autocompletion=run_folders),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting, on top of the rest."),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train a model with differential privacy for each record, and say who pays for it.

    Prints what is promised and what is not, and accuracy by group. The folder holds settings,
    chained record, model, metrics, plots and a report.

    Example: [bold]equigrad train --data breast_cancer --model logistic --epsilon 3 --delta 1e-4
    --batch 64 --sensitive label --folder runs/private[/]

    Example: [bold]equigrad train -d patients.csv --label died --sensitive sex --epsilon 2
    --delta 1e-6 --rule global-adapt --set privacy.options.clip=1 --paired[/]

    Example: [bold]equigrad train --resume runs/private[/]
    """
    given = {
        **source_options(data),
        "data.label": label,
        "fairness.sensitive": sensitive,
        "model.factory": model,
        "privacy.epsilon": epsilon,
        "privacy.delta": delta,
        "privacy.rule": rule,
        "training.epochs": epochs,
        "privacy.expected_batch": batch,
        "training.lr": lr,
        "seed": seed,
        "privacy.account": None if account is None else str(account),
        "fairness.paired": paired or None,
        "fairness.diagnostics": diagnostics,
        "privacy.noise": "seeded" if rehearse else None,
    }
    chosen = any(value is not None for value in given.values()) or bool(settings)
    if resume is not None:
        if file is not None or folder is not None or chosen:
            raise ConfigError(
                "Expected --resume FOLDER alone (the folder holds its settings), got others beside "
                "it. Leave them out."
            )
        go_on_training(resume, quiet=quiet, as_json=as_json)
        return
    if file is None and not chosen:
        raise ConfigError(
            "Expected data to train on, got none. Name a set or a file with --data, and the budget "
            "with --epsilon and --delta."
        )
    parsed = settings_from(file, given, settings or [])
    target = folder if folder is not None else free_folder(parsed.name)

    def work(listener: "TrainListener") -> Path:
        from equigrad.steward.run import start

        return start(parsed, target, listener=listener)

    _finish(work, target, quiet=quiet, as_json=as_json)


def go_on_training(folder: Path, *, quiet: bool, as_json: bool) -> None:
    """Resume the training in ``folder`` and show its end."""

    def work(listener: "TrainListener") -> Path:
        from equigrad.steward.run import resume

        return resume(folder, listener=listener)

    _finish(work, folder, quiet=quiet, as_json=as_json)


def settings_from(
    file: Path | None, given: dict[str, Any], overrides: list[str]
) -> "TrainSettings":
    """Return the settings of a file with options on top of it; both may be absent."""
    from equigrad.steward.config import parse_settings

    text, source = text_without_source(file, given)
    # Paths in a file start at its folder, those among the options where the command is given.
    home = None if file is None else file.absolute().parent
    placed = {key: _from_here(key, value) for key, value in given.items()}
    return parse_settings(text, source, options=placed, overrides=overrides, folder=home)


def text_without_source(file: Path | None, given: Mapping[str, Any]) -> tuple[str, str]:
    """Return a file's text and name; refuse one that names data where an option does too."""
    from equigrad.federation.config.loader import read_text, tables

    if file is None:
        return "", "settings"
    text, source = read_text(file), str(file)
    if given.get("data.name") or given.get("data.path"):
        data = tables(text, source).get("data", {})
        if isinstance(data, dict) and {"name", "path"} & data.keys():
            raise ConfigError(
                f"Expected data either in {source} or by --data, got both. Leave one of them out."
            )
    return text, source


def _from_here(key: str, value: Any) -> Any:
    """Return an option's path made absolute."""
    if key in ("data.path", "privacy.account") and value is not None:
        return str(Path(value).absolute())
    return value


def source_options(data: str | None) -> dict[str, Any]:
    """Return what --data names: a set, or a file."""
    if data is None:
        return {}
    path = Path(data)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return {"data.path": data}
    return {"data.name": data}


def _finish(
    work: Callable[["TrainListener"], Path], folder: Path, *, quiet: bool, as_json: bool
) -> None:
    quiet_accountants()
    try:
        with watch_training(quiet) as listener:
            done = work(listener)
    except KeyboardInterrupt:
        begun = (folder / "config.json").exists()
        say(f"Interrupted. Go on with: equigrad resume {folder}" if begun else "Interrupted.")
        raise typer.Exit(130) from None
    tell_training(done, as_json=as_json, account=_account(done))


def _account(folder: Path) -> dict[str, Any] | None:
    """Return what is left in the account that a training was charged to."""
    from equigrad.federation.record.folder import RunFolder
    from equigrad.steward.budget import account_facts
    from equigrad.steward.config import restore_settings

    return account_facts(restore_settings(RunFolder.open(folder).read_config()))
