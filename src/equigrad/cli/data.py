"""``equigrad data list`` and ``equigrad data describe``: what there is, and who would hold what."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equigrad.cli.complete import partition_rules, run_sources
from equigrad.cli.output import ROOMY, emit_json, note, number, results, show_table
from equigrad.cli.run import JsonOption
from equigrad.errors import ConfigError

if TYPE_CHECKING:
    from equigrad.data.describe import PartyRow
    from equigrad.federation.config.schema import RunConfig
    from equigrad.federation.dealing import Dealt

__all__ = ["data_app"]

_MOST_CLASSES = 12
"""Classes up to this number have a column each."""

data_app = typer.Typer(
    help="Data sets, and how they are divided among parties.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@data_app.command("list")
def list_sets(as_json: JsonOption = False) -> None:
    """List the data sets that a run file can name, and where each is found now.

    Sets that are "not here" are looked for in EQUIGRAD_DATA, in the cache, and downloaded.

    Example: [bold]equigrad data list[/]
    """
    from equigrad.data import catalogue

    entries = catalogue()
    if as_json:
        emit_json({e.info.name: {**asdict(e.info), "found": e.found} for e in entries})
        return
    rows = [
        (
            e.info.name,
            e.info.task,
            e.info.kind,
            str(e.info.records),
            str(len(e.info.classes)) if e.info.classes else "–",
            ", ".join(e.info.sensitive) or "–",
            e.found,
        )
        for e in entries
    ]
    columns = ("name", "task", "kind", "records", "classes", "sensitive", "found")
    show_table(columns, rows, left=3, right=2, wrap=("sensitive",))


@data_app.command("describe")
def describe(
    source: Annotated[
        str,
        typer.Argument(
            help="A data set by name, a run file (.toml), or your own data file or folder.",
            autocompletion=run_sources,
        ),
    ],
    partition: Annotated[
        str | None,
        typer.Option("--partition", "-p", help="Partition rule.", autocompletion=partition_rules),
    ] = None,
    parties: Annotated[int | None, typer.Option("--parties", "-n", help="How many.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the division.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Label column (own data).")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any other key of a run file."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Also draw it into this .svg, .png or .pdf file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each party would hold: records, classes, label entropy.

    The division is the one that a run with these settings uses.

    Example: [bold]equigrad data describe digits --partition power-law --parties 8 --plot p.svg[/]

    Example: [bold]equigrad data describe consortium.toml[/]

    Example: [bold]equigrad data describe patients.csv --label died --set
    data.party_column=hospital[/]
    """
    from equigrad.data import PARTITIONS
    from equigrad.data.describe import describe as rows_of
    from equigrad.federation.dealing import deal

    options = [
        *_option("partition.rule", partition),
        *_option("partition.parties", parties),
        *_option("seed", seed),
        *_option("data.label", label),
        *(settings or ()),
    ]
    if partition is not None and partition != "files":
        PARTITIONS[partition]  # an unknown name is refused here, with the nearest one
    divided = any(option.startswith("partition.") for option in options)
    config = _config(source, options, divided=divided)
    dealt = deal(config)
    rows = rows_of(dealt.parties)
    if plot is not None:
        from equigrad.cli.plot import draw_division

        draw_division(rows, dealt.test.classes, plot)
    if as_json:
        emit_json(_facts(dealt, rows))
        return
    about = _particulars(config)
    cells = [_cells(row, dealt, about.get(row.party, "")) for row in rows]
    show_table(("party", "records", *_columns(dealt), "particulars"), cells)
    total = sum(row.records for row in rows)
    note(f"{total} training records, {len(dealt.test)} test records.")
    for sentence in dealt.notes:
        note(sentence)
    if plot is not None:
        note(f"Plot: {plot}")


def _option(key: str, value: object) -> list[str]:
    if value is None:
        return []
    return [f"{key}={json.dumps(value)}"]


def _config(source: str, options: Sequence[str], *, divided: bool) -> "RunConfig":
    """Return the configuration of a run on ``source``; undivided data are one party's."""
    from equigrad.data import SETS
    from equigrad.federation.config.loader import horizontal, load_config, parse_config

    path = Path(source)
    if path.suffix == ".toml":
        return horizontal(load_config(path, options))
    if path.exists():
        data = f"path = {json.dumps(str(path.absolute()))}"
        given = {option.partition("=")[0].strip() for option in options}
        if "data.label" not in given:
            raise ConfigError(
                f"Expected the column of the label in your own data {source}, got none. "
                "Name it with --label COLUMN."
            )
        rule = "files" if path.is_dir() else "column" if "data.party_column" in given else None
        if rule is not None and not divided:
            text = f'data.{data}\npartition.rule = "{rule}"'
            return horizontal(parse_config(text, source, options))
    elif path.suffix or len(path.parts) > 1:
        raise ConfigError(
            f"Expected a data set by name, a run file or a data file, got no file {source}. "
            "Check the path; `equigrad data list` shows the names."
        )
    else:
        SETS[source]  # an unknown name is refused here, with the nearest one
        data = f"name = {json.dumps(source)}"
    text = f"data.{data}\n" + ("" if divided else "partition.parties = 1\n")
    return horizontal(parse_config(text, source, options))


def _columns(dealt: "Dealt") -> tuple[str, ...]:
    if dealt.test.task == "regression":
        return ("label mean", "label deviation")
    return ("classes", "label entropy (nats)", *(dealt.test.classes if _counted(dealt) else ()))


def _counted(dealt: "Dealt") -> bool:
    """Return whether the records of each class have a column: few classes, a wide terminal."""
    return len(dealt.test.classes) <= _MOST_CLASSES and results().width >= ROOMY


def _cells(row: "PartyRow", dealt: "Dealt", about: str) -> list[str]:
    if dealt.test.task == "regression":
        numbers = [number(row.label_mean, ".4g"), number(row.label_deviation, ".4g")]
        return [row.party, str(row.records), *numbers, about]
    counts = list(row.label_counts.values()) if _counted(dealt) else []
    cells = [str(row.classes_present), number(row.label_entropy), *(str(c) for c in counts)]
    return [row.party, str(row.records), *cells, about]


def _particulars(config: "RunConfig") -> dict[str, str]:
    """Return in words what the run file says of single parties."""
    words: dict[str, str] = {}
    for p in config.party:
        parts = [] if p.behaviour == "honest" else [p.behaviour]
        if p.label_noise:
            parts.append(f"{100 * p.label_noise:g}% wrong labels")
        if p.feature_noise:
            parts.append(f"feature noise {p.feature_noise:g}")
        if p.duplicates:
            parts.append(f"{100 * p.duplicates:g}% duplicates")
        words[p.name] = ", ".join(parts)
    return words


def _facts(dealt: "Dealt", rows: Sequence["PartyRow"]) -> dict[str, Any]:
    return {
        "task": dealt.test.task,
        "classes": list(dealt.test.classes),
        "test_records": len(dealt.test),
        "parties": [asdict(row) for row in rows],
        "notes": list(dealt.notes),
    }
