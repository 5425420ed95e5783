"""``equigrad score``: records scored, chosen and trained on under one privacy budget."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equigrad.cli.complete import run_folders, run_sources, scorers, selectors
from equigrad.cli.output import say
from equigrad.cli.quiet import quiet_accountants
from equigrad.cli.run import JsonOption, QuietOption, free_folder
from equigrad.cli.score_progress import watch_scoring
from equigrad.cli.score_story import tell_scoring
from equigrad.cli.train import source_options, text_without_source
from equigrad.errors import ConfigError

if TYPE_CHECKING:
    from equigrad.steward.config import ScoreSettings
    from equigrad.steward.scoring.progress import ScoreListener

__all__ = ["go_on_scoring", "score", "score_settings_from"]

_PATHS = ("data.path", "privacy.account", "truth.file", "scoring.checkpoint_folder")


def score(
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
        typer.Option("--sensitive", help="Column whose keep rates are told apart, or label."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A model by name. Default: mlp.")
    ] = None,
    epsilon: Annotated[
        float | None, typer.Option("--epsilon", help="Budget of all that leaves you, together.")
    ] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", help="Below one over the training records.")
    ] = None,
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            "--scorer",
            "-s",
            help="A scorer by name; may be repeated. Default: loss-mean and aum.",
            autocompletion=scorers,
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option("--select", help="Choose records by this rule.", autocompletion=selectors),
    ] = None,
    train: Annotated[
        bool,
        typer.Option("--train", help="Train on the selection, and on all records beside it."),
    ] = False,
    split: Annotated[
        float | None,
        typer.Option("--split", help="Share of epsilon for the scorer's model. Default: 0.5."),
    ] = None,
    release: Annotated[
        str | None,
        typer.Option(
            "--release",
            help="Which model leaves you: selected (default), baseline, or best (pays for both).",
        ),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", help="Trainings of each arm. Default: 1.")
    ] = None,
    model_origin: Annotated[
        str | None,
        typer.Option(
            "--model-origin",
            help="What the scorer's model is trained on: private (the records, with noise; the "
            "default) or public.",
        ),
    ] = None,
    public_data: Annotated[
        str | None,
        typer.Option("--public-data", help="Public records for the scorer's model, name or file."),
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option("--checkpoints", help="Folder of a public model's .safetensors checkpoints."),
    ] = None,
    research: Annotated[
        bool,
        typer.Option("--research", help="Scorer's model WITHOUT privacy; its scores are tainted."),
    ] = False,
    truth: Annotated[
        str | None,
        typer.Option("--truth", help="Column, or file, with true labels or a mask of wrong ones."),
    ] = None,
    flip_labels: Annotated[
        float | None,
        typer.Option("--flip-labels", help="Spoil this share of the training labels on purpose."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps of every training. Default: 100.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", help="Expected records in a step. Default: 30 % of all."),
    ] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate. Default: 0.5.")] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Of weights, split and flips; public. Default: 0."),
    ] = None,
    account: Annotated[
        Path | None, typer.Option("--account", help="A privacy account that outlives this scoring.")
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
        typer.Option("--resume", help="Go on with a stopped scoring.", autocompletion=run_folders),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other setting, on top of the rest."),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Score every record of a data set; with --select and --train choose and train as well.

    Scoring, selecting and training keep to one (epsilon, delta) together, and the baseline without
    a selection is always trained beside it. Scores and all that is made of them stay in the
    folder's part local/, readable for you only.

    Example: [bold]equigrad score --data breast_cancer --model logistic --flip-labels 0.1
    --epsilon 3 --delta 1e-4 --folder runs/scores[/]

    Example: [bold]equigrad score -d patients.csv --label died --sensitive sex --epsilon 3
    --delta 1e-6 --select fixed-threshold --train --account mine.sqlite[/]

    Example: [bold]equigrad score --resume runs/scores[/]
    """
    given = {
        **source_options(data),
        **_truth(truth),
        "truth.flip_labels": flip_labels,
        "data.label": label,
        "fairness.sensitive": sensitive,
        "model.factory": model,
        "privacy.epsilon": epsilon,
        "privacy.delta": delta,
        "scoring.scorers": scorer or None,
        "selection.rule": select,
        "selection.train": train or None,
        "selection.split": split,
        "selection.release": release,
        "selection.repeats": repeats,
        "scoring.origin": model_origin,
        "scoring.public_data": public_data,
        "scoring.checkpoint_folder": None if checkpoints is None else str(checkpoints),
        "scoring.research": research or None,
        "training.steps": steps,
        "training.lr": lr,
        "privacy.expected_batch": batch,
        "seed": seed,
        "privacy.account": None if account is None else str(account),
        "privacy.noise": "seeded" if rehearse else None,
    }
    chosen = any(value is not None for value in given.values()) or bool(settings)
    if resume is not None:
        if file is not None or folder is not None or chosen:
            raise ConfigError(
                "Expected --resume FOLDER alone (the folder holds its settings), got others beside "
                "it. Leave them out."
            )
        go_on_scoring(resume, quiet=quiet, as_json=as_json)
        return
    if file is None and not chosen:
        raise ConfigError(
            "Expected data to score, got none. Name a set or a file with --data, and the budget "
            "with --epsilon and --delta."
        )
    parsed = score_settings_from(file, given, settings or [])
    target = folder if folder is not None else free_folder(parsed.name)

    def work(listener: "ScoreListener") -> Path:
        from equigrad.steward.scoring.run import start_scoring

        return start_scoring(parsed, target, listener=listener)

    _finish(work, target, quiet=quiet, as_json=as_json)


def go_on_scoring(folder: Path, *, quiet: bool, as_json: bool) -> None:
    """Resume the scoring in ``folder`` and show its end."""

    def work(listener: "ScoreListener") -> Path:
        from equigrad.steward.scoring.run import resume_scoring

        return resume_scoring(folder, listener=listener)

    _finish(work, folder, quiet=quiet, as_json=as_json)


def score_settings_from(
    file: Path | None, given: dict[str, Any], overrides: list[str]
) -> "ScoreSettings":
    """Return the settings of a file with options on top of it; both may be absent."""
    from equigrad.steward.config import parse_score_settings

    text, source = text_without_source(file, given)
    home = None if file is None else file.absolute().parent
    placed = {key: _from_here(key, value) for key, value in given.items()}
    return parse_score_settings(text, source, options=placed, overrides=overrides, folder=home)


def _truth(truth: str | None) -> dict[str, Any]:
    """Return what --truth names: a file if there is one of that name, else a column."""
    if truth is None:
        return {}
    path = Path(truth)
    is_file = path.is_file() or path.suffix in (".csv", ".parquet", ".npy")
    return {"truth.file" if is_file else "truth.column": truth}


def _from_here(key: str, value: Any) -> Any:
    """Return an option's path made absolute."""
    from equigrad.steward.config import is_path

    if value is None:
        return None
    if key in _PATHS or (key == "scoring.public_data" and is_path(value)):
        return str(Path(value).absolute())
    return value


def _finish(
    work: Callable[["ScoreListener"], Path], folder: Path, *, quiet: bool, as_json: bool
) -> None:
    quiet_accountants()
    try:
        with watch_scoring(quiet) as listener:
            done = work(listener)
    except KeyboardInterrupt:
        begun = (folder / "config.json").exists()
        say(f"Interrupted. Go on with: equigrad resume {folder}" if begun else "Interrupted.")
        raise typer.Exit(130) from None
    tell_scoring(done, as_json=as_json, account=_account(done))


def _account(folder: Path) -> dict[str, Any] | None:
    """Return what is left in the account that a scoring was charged to."""
    from equigrad.federation.record.folder import RunFolder
    from equigrad.steward.budget import account_facts
    from equigrad.steward.config import restore_score_settings

    return account_facts(restore_score_settings(RunFolder.open(folder).read_config()))
