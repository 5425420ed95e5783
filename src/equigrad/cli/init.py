"""``equigrad init``: a commented run file to start from."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from equigrad.cli.output import note
from equigrad.errors import ConfigError

__all__ = ["init"]

_TEMPLATES = {
    "horizontal": "template.toml",
    "vertical": "vertical.toml",
    "market": "market.toml",
}


def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("run.toml"),
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="horizontal: other records; vertical: other columns; market: gradients for money.",
        ),
    ] = "horizontal",
) -> None:
    """Write a commented run file that works as it is.

    With [bold]--kind vertical[/] also the data of three parties, in a folder beside it, and a key.

    Example: [bold]equigrad init my.toml[/], change what you like, then
    [bold]equigrad run my.toml[/].
    """
    from equigrad._validate import choice  # it brings NumPy: not for a mere --help

    template = files("equigrad.cli").joinpath(_TEMPLATES[choice("--kind", kind, _TEMPLATES)])
    text = template.read_text(encoding="utf-8")
    data = file.with_name(f"{file.stem}-data")
    if kind == "vertical" and data.exists():
        raise ConfigError(
            f"Expected a new folder {data} for the data, got one. Choose another name."
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text.replace("@DATA@", data.name))
        if kind == "vertical":
            from equigrad.cli.vertical_example import write_example

            write_example(data)
    except FileExistsError as error:
        if not file.exists():  # it is a parent of the file that is in the way
            raise ConfigError(
                f"Expected to write {file}, but {error.filename} is a file. Choose another folder."
            ) from None
        raise ConfigError(
            f"Expected a new file, got {file}, which exists. Choose another name, or remove it."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"Expected to write {file}, got: {error.strerror}. Check the path and its permissions."
        ) from None
    also = f" and {data}/ (three files and a key)" if kind == "vertical" else ""
    note(f"Wrote {file}{also}. Start it with: equigrad run {file}")
