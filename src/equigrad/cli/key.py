"""``equigrad key``: a key by which parties align their rows."""

from pathlib import Path
from typing import Annotated

import typer

from equigrad.cli.output import note

__all__ = ["key"]


def key(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("align.key"),
) -> None:
    """Make the secret by which parties with different columns find their common rows.

    One party makes it and hands it to the others over a safe channel; it stays out of run folders
    and version control. Example: [bold]equigrad key align.key[/].
    """
    from equigrad.federation.vertical.keys import make_key

    make_key(file)
    note(f"Wrote {file}, readable by you alone. Give every party a copy over a safe channel.")
