"""The command ``equigrad``: its subcommands, and what becomes of errors.

An error that Equigrad raises on purpose is one message on the standard error and an exit code; any
other exception is a mistake of ours and shows its traceback.
"""

import io
import os
import sys
from typing import Annotated

import typer

from equigrad.cli.auction import auction_app
from equigrad.cli.audit import audit
from equigrad.cli.compare import compare
from equigrad.cli.data import data_app
from equigrad.cli.init import init
from equigrad.cli.key import key
from equigrad.cli.output import say
from equigrad.cli.predict import predict
from equigrad.cli.report import report
from equigrad.cli.resume import resume
from equigrad.cli.run import run
from equigrad.cli.score import score
from equigrad.cli.strategies import strategies
from equigrad.cli.train import train
from equigrad.cli.verify import verify
from equigrad.errors import EquigradError

__all__ = ["app", "main"]

_HELP = """
Fair collaborative machine learning: several parties train one model, and each gets back a model as
good as what it gave.

Start with: [bold]equigrad init my.toml[/], then [bold]equigrad run my.toml[/]. One owner alone
trains privately with [bold]equigrad train[/], and looks at single records with [bold]equigrad
score[/]. A broker clears bids for private gradients with [bold]equigrad auction[/].
"""

_EXIT_CODES = (
    "Exit codes: 0 done; 1 a check did not hold, or a run had to stop; 2 a mistake in the input; "
    "130 interrupted (a run can be resumed)."
)

app = typer.Typer(
    name="equigrad",
    help=_HELP,
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command in (
    ("init", init),
    ("run", run),
    ("resume", resume),
    ("report", report),
    ("verify", verify),
    ("compare", compare),
    ("predict", predict),
    ("train", train),
    ("score", score),
    ("audit", audit),
    ("key", key),
):
    app.command(_name)(_command)
app.add_typer(auction_app, name="auction")
app.add_typer(data_app, name="data")
app.command("strategies")(strategies)


def _show_version(wanted: bool) -> None:
    if wanted:
        from equigrad import __version__

        typer.echo(f"equigrad {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


@app.command("version")
def _version() -> None:
    """Show the version."""
    _show_version(True)


def main() -> None:
    """Run the command line and exit; the entry point of the package."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without our characters gets "?"
    try:
        app()
    except EquigradError as error:
        say(f"error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("Interrupted.")
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`); nothing can be told to anybody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
