"""``equigrad predict``: predictions of a vertical run, by asking its parties."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equigrad.cli.complete import run_folders
from equigrad.cli.output import emit_json, note, say
from equigrad.cli.run import JsonOption
from equigrad.errors import ConfigError

if TYPE_CHECKING:
    from equigrad.federation.vertical.answer import Answer

__all__ = ["predict"]


def predict(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder of a finished vertical run.", autocompletion=run_folders),
    ],
    rows: Annotated[
        Path,
        typer.Option(
            help="File with the sponsor's identifiers, and its columns for rows it does not have."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the predictions there (.csv, .json).")
    ] = None,
    absent: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A party that is not asked.")
    ] = None,
    party_rows: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="Where an assistor looks the rows up."),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            "--if-absent",
            metavar="MODE",
            help="renormalise, zero or refuse; default: vertical.absent of the run file.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Predict rows by asking the parties of a vertical run, and say who took part.

    Each party looks the rows up in its own data by keyed digest; the label is never read. A row
    that nobody holds has no prediction. Without --out or --json the predictions go to the standard
    output as CSV, and all else to the standard error.

    Example: [bold]equigrad predict runs/shopping --rows new-customers.csv --out scores.csv[/]
    """
    from equigrad._validate import choice
    from equigrad.assistance import AssistanceWarning
    from equigrad.assistance.model import ABSENT
    from equigrad.federation.vertical.answer import answer_csv, answer_json
    from equigrad.federation.vertical.predict import predict as ask

    _check_out(out)
    if mode is not None:
        choice("--if-absent", mode, ABSENT)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AssistanceWarning)
        files = dict(_pair(given) for given in party_rows or ())
        answer = ask(folder, rows, absent=absent or (), party_rows=files, mode=mode)
    for warning in caught:
        say(f"warning: {warning.message}")
    if out is not None:
        _write(out, answer)
    if as_json:
        emit_json({"folder": str(folder), **answer_json(answer)})
        return
    if out is None:
        typer.echo(answer_csv(answer), nl=False)
    tell = say if out is None else note
    for line in _summary(answer):
        tell(line)
    if out is not None:
        note(f"Predictions: {out}")


def _pair(given: str) -> tuple[str, Path]:
    name, equals, file = given.partition("=")
    if not (name and equals and file):
        raise ConfigError(f"Expected --party-rows NAME=FILE, got {given!r}.")
    return name, Path(file)


def _check_out(out: Path | None) -> None:
    if out is not None and out.suffix not in (".csv", ".json"):
        raise ConfigError(f"Expected --out to end in .csv or .json, got {out}.")


def _write(out: Path, answer: "Answer") -> None:
    from equigrad.federation.record.canonical import canonical_json
    from equigrad.federation.record.disk import write_atomic, writing
    from equigrad.federation.vertical.answer import answer_csv, answer_json

    with writing(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
    as_json = out.suffix == ".json"
    text = canonical_json(answer_json(answer)) + "\n" if as_json else answer_csv(answer)
    write_atomic(out, text, mode=0o600)  # predictions are the sponsor's, and name its rows


def _summary(answer: "Answer") -> list[str]:
    took_part = ", ".join(answer.participants) or "nobody"
    lines = [f"{_rows(len(answer))}. Took part: {took_part}."]
    if answer.absent:
        told = "; ".join(f"{name} ({why})" for name, why in answer.absent.items())
        lines.append(f"Absent: {told}.")
    if answer.alone:
        lines.append(f"Known to the sponsor {answer.parties[0]} alone: {_rows(answer.alone)}.")
    if answer.unknown:
        lines.append(f"Known to nobody, without a prediction: {_rows(answer.unknown)}.")
    return lines


def _rows(count: int) -> str:
    return f"{count} {'row' if count == 1 else 'rows'}"
