"""``equigrad verify``: recompute a run's values, reputations and rewards from its record."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equigrad.cli.complete import run_folders
from equigrad.cli.output import emit_json, note, show_table
from equigrad.cli.quiet import quiet_accountants
from equigrad.cli.run import JsonOption
from equigrad.errors import VerificationError

if TYPE_CHECKING:
    from equigrad.federation.record.agreement import VerifyResult

__all__ = ["verify"]


def verify(
    folder: Annotated[Path, typer.Argument(help="A run folder.", autocompletion=run_folders)],
    head: Annotated[
        str | None, typer.Option(help="The head that was kept elsewhere, or its first digits.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute everything that can be recomputed from a record, and compare.

    Of a run: values, reputations and rewards. Of a vertical run: weights, steps, contributions,
    bytes; with the sponsor's folder, all of it. Of a market run: every auction, all money, weights
    and error bounds; ledger, accounts and models, too, where they and the data are there. Of a
    private training: epsilon from the events, the cost of privacy from the measurements. Of a
    scoring: epsilon of all that was released together, digests of models and scores, the selection
    from the scores.

    Fails (exit code 1) if anything was changed after the run: a digit, a line, the order of lines.
    Checked are record, configuration and models; metrics, plots and report are not: they follow
    from the record, and [bold]equigrad report[/] writes them anew.

    Example: [bold]equigrad verify runs/consortium[/]
    """
    from equigrad.steward.folder import is_scoring, is_training

    alone = is_training(folder) or is_scoring(folder)
    try:
        result = _recomputed(folder, head)
    except VerificationError as error:
        if as_json:
            emit_json({"folder": str(folder), "holds": False, "problem": str(error)})
            raise typer.Exit(error.exit_code) from None
        raise
    if as_json:
        emit_json({"folder": str(folder), "holds": True, **asdict(result)})
        return
    show_table(
        ("check", "times", "result"), [(k, str(n), "holds") for k, n in result.checks.items()]
    )
    for sentence in result.unchecked:
        note(f"Not checked: {sentence}")
    if not result.recomputed:
        note("This method's values do not follow from the record: they were not recomputed.")
    if not result.exact:
        note("Recomputed numbers agree within rounding: the run was made on another platform.")
    if not result.finished:
        note(f"The run is not finished. Go on with: equigrad resume {folder}")
    told = "" if alone else f" of {result.rounds} rounds"
    note(f"The record{told} holds. Its head: {result.head}")


def _recomputed(folder: Path, head: str | None) -> "VerifyResult":
    """Verify the folder as what it is."""
    from equigrad.steward.folder import is_scoring, is_training

    quiet_accountants()
    if is_scoring(folder):
        from equigrad.steward.scoring.verify import verify_scoring

        return verify_scoring(folder, head=head)
    if is_training(folder):
        from equigrad.steward.verify import verify_training

        return verify_training(folder, head=head)
    from equigrad.federation.record.verify import verify as recompute

    return recompute(folder, head=head)
