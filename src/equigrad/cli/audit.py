"""``equigrad audit``: train once more with canaries, and see whether they can be told apart."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equigrad.cli.complete import run_folders
from equigrad.cli.output import emit_json, note
from equigrad.cli.quiet import quiet_accountants
from equigrad.cli.run import JsonOption, QuietOption
from equigrad.cli.train_progress import watch_training
from equigrad.errors import ConfigError

if TYPE_CHECKING:
    from equigrad.steward.config import TrainSettings

__all__ = ["audit"]


def audit(
    training: Annotated[
        Path,
        typer.Argument(
            help="A training's folder, or a file with settings (TOML).", autocompletion=run_folders
        ),
    ],
    canaries: Annotated[
        int | None,
        typer.Option(
            "--canaries", help="Rows with wrong labels. Default: half the records, at most 1000."
        ),
    ] = None,
    guesses: Annotated[
        int | None,
        typer.Option(
            "--guesses", help="Canaries guessed on. Default: a fifth, or enough to refute."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a setting for the audit."),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Look for gross mistakes in the privacy of a training, by training once with canaries.

    A coin decides for each canary whether it is put in; from the model one guesses which were.
    Many right guesses refute the claimed epsilon. Few prove nothing: a low bound is no proof of
    privacy. Fails (exit code 1) if the claim is refuted.

    Example: [bold]equigrad audit runs/private --canaries 200 --guesses 100[/]
    """
    from equigrad.steward.audit import audit_settings

    parsed = _settings(training, settings or [])
    quiet_accountants()
    with watch_training(quiet) as listener:
        found = audit_settings(parsed, canaries=canaries, guesses=guesses, listener=listener)
    result = found.audit
    if as_json:
        emit_json({**asdict(found), "verdict": result.verdict, "lines": result.lines()})
    else:
        note(
            f"Audit of {found.steps} steps with the rule {found.rule} on {found.name}: mislabelled "
            "canaries, one run."
        )
        if found.seeded:
            note("Not private: seeded noise. The audit is of the rehearsal.")
        for line in result.lines():
            note(line)
        if result.verdict != "cannot refute":  # that one says so by itself
            note(
                f"With all {result.guesses} guesses right the bound would be {result.ceiling:.3f}: "
                "no more can be found with so many."
            )
        note("This figure is computed from data and not covered by epsilon; nothing was charged.")
    if result.verdict == "refuted":
        raise typer.Exit(1)


def _settings(training: Path, overrides: list[str]) -> "TrainSettings":
    """Return the settings of a folder or a file, changed as asked."""
    from equigrad.federation.config.loader import read_text
    from equigrad.steward.config import parse_settings
    from equigrad.steward.folder import is_training

    file = training
    if training.is_dir() or not training.suffix:
        if not is_training(training):
            raise ConfigError(
                f"Expected the folder of a private training, got {training}. "
                "Give one that `equigrad train` made, or a file with settings."
            )
        file = training / "config.toml"
    text, home = read_text(file), file.absolute().parent
    return parse_settings(text, str(file), overrides=overrides, folder=home)
