"""``equigrad auction train``: a schedule for the learned clock, or a regret net, into a file."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from equigrad.cli.complete import local_mechanisms, trainable
from equigrad.cli.output import errors, note, say
from equigrad.cli.run import QuietOption
from equigrad.errors import ConfigError

if TYPE_CHECKING:
    from equigrad.broker.pacing import Listener, Pacing

__all__ = ["auction_train"]

_ROUNDS = 4000
_LINES = 20


def auction_train(
    mechanism: Annotated[
        str,
        typer.Argument(
            help="learned-clock (default), regret, m-regret or dm-regret.", autocompletion=trainable
        ),
    ] = "learned-clock",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file. Default: MECHANISM.safetensors.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option("--rounds", help="Steps of training. Default: 4000.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", help="Stop after so many; then equal seeds may differ."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of weights and synthetic bids.")] = 0,
    local: Annotated[
        str,
        typer.Option(
            "--local", help="How sellers will add noise.", autocompletion=local_mechanisms
        ),
    ] = "laplace",
    delta: Annotated[float | None, typer.Option("--delta", help="Of --local gaussian.")] = None,
    dim: Annotated[int, typer.Option("--dim", help="Parameters of the model.")] = 1,
    eps_max: Annotated[
        float, typer.Option("--eps-max", help="Learned clock: largest epsilon for sale.")
    ] = 2.0,
    parties: Annotated[
        list[int] | None,
        typer.Option("--parties", help="Bidders of a round; a learned clock takes several."),
    ] = None,
    levels: Annotated[int, typer.Option("--levels", help="Nets: levels below a cap.")] = 8,
    architecture: Annotated[
        str, typer.Option("--architecture", help="Nets: mlp or equivariant.")
    ] = "mlp",
    validation: Annotated[
        int | None,
        typer.Option(
            "--validation", help="Rounds that choose. Default: 200, or 32 for nets.", min=1
        ),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Train what an auction needs on synthetic bids: a schedule, or a regret net.

    The learned clock keeps its guarantees with any schedule; training lowers the error only. A
    regret net promises nothing but its budget: what is left of regret and shortfall is measured
    and told. Ctrl-C ends a training early and keeps the best so far.

    Example: [bold]equigrad auction train --dim 98 --minutes 8 --out dim98.safetensors[/]

    Example: [bold]equigrad auction train dm-regret --minutes 10 --out dm.safetensors[/]
    """
    from equigrad._validate import choice
    from equigrad.broker.pacing import Pacing
    from equigrad.broker.trained import TRAINABLE

    choice("mechanism", mechanism, TRAINABLE)
    target = Path(f"{mechanism}.safetensors") if out is None else out
    _check_writable(target)
    import torch

    torch.set_num_threads(1)  # the arrays are small: more threads only wait for one another
    steps = _ROUNDS if rounds is None and minutes is None else rounds
    pacing = Pacing(steps, minutes)
    common: dict[str, Any] = {"dim": dim, "seed": seed}
    if validation is not None:
        common["validation"] = validation
    learn: Callable[..., tuple[bytes, list[str]]]
    if mechanism == "learned-clock":
        market: dict[str, Any] = {
            "local": local,
            "delta": delta,
            "eps_max": eps_max,
            "parties": parties or [],
        }
        learn, settings = _learn_schedule, {**market, **common}
    else:
        _refuse_other_noise(mechanism, local, delta)
        shape: dict[str, Any] = {
            "levels": levels,
            "architecture": architecture,
            "variant": mechanism,
        }
        learn, settings = _learn_net, {**shape, "parties": _one(parties), **common}
    with _shown(quiet) as listener, _stopped_by_ctrl_c(pacing):
        content, story = learn(settings, pacing, listener)
    try:
        target.write_bytes(content)
    except OSError as error:
        raise ConfigError(
            f"Expected to write {target}, got: {error.strerror}. Check the path."
        ) from None
    for line in story:
        note(line)
    note(f"Trained for   {pacing.elapsed:.0f} s in all")
    note(f"Written       {target}")
    if pacing.stopped:
        raise typer.Exit(130)


def _learn_schedule(
    settings: dict[str, Any], pacing: "Pacing", listener: "Listener"
) -> tuple[bytes, list[str]]:
    from equigrad.broker.learn_schedule import ScheduleTask, learn_schedule
    from equigrad.market import Ladder

    ladder = Ladder(settings.pop("eps_max"))
    parties = tuple(settings.pop("parties"))
    found = learn_schedule(
        ScheduleTask(ladder=ladder, parties=parties, **settings), pacing, listener
    )
    bands = found.bands
    cells = [cell for row in bands.learned for cell in row]
    story = [
        f"Schedule      {found.mechanism}, dim {found.dim}, epsilons up to {found.eps_max:g}",
        f"Steps         {found.notes['steps']}; copy {found.notes['checkpoint']} is best",
        f"Serves        {sum(cells)} of {len(cells)} kinds of rounds, the plain clock the others",
    ]
    for low, row in zip(bands.parties, bands.learned, strict=False):
        story.append(f"  from {low:g} bidders: budget per record {_ranges(bands.money, row)}")
    return found.to_bytes(), [*story, f"SHA-256       {found.digest}"]


def _learn_net(
    settings: dict[str, Any], pacing: "Pacing", listener: "Listener"
) -> tuple[bytes, list[str]]:
    from equigrad.broker.learn_net import MOST_REGRET, MOST_SHORTFALL, NetTask, learn_net

    found = learn_net(NetTask(**settings), pacing, listener)
    seen = found.validated
    criterion = f"regret/cost <= {MOST_REGRET:g} and shortfall/cost <= {MOST_SHORTFALL:g}"
    return found.content, [
        f"Validation    ERR {seen.mean_error:.4g}, invalid {100 * seen.invalid:.0f} %",
        f"              regret/cost {seen.regret:.4f}, shortfall/cost {seen.shortfall:.4f}",
        f"Criterion     {criterion}: {'met' if found.done else 'NOT met'}",
    ]


def _ranges(edges: Sequence[float], used: Sequence[bool]) -> str:
    """Return the runs of used cells, as "0.1 to 3.2, 4.5 to 6.4"; "none" without any."""
    runs: list[list[float]] = []
    for low, high, cell in zip(edges, edges[1:], used, strict=False):
        if cell and runs and runs[-1][1] == low:
            runs[-1][1] = high
        elif cell:
            runs.append([low, high])
    return ", ".join(f"{low:g} to {high:g}" for low, high in runs) or "none"


@contextmanager
def _shown(quiet: bool) -> Iterator["Listener"]:
    """Yield what shows progress: a bar on a terminal, some twenty lines elsewhere."""
    console = errors()
    if quiet:
        yield lambda done, text: None
    elif console.is_terminal:
        columns = (BarColumn(30), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(
            *columns, TextColumn("{task.description}"), console=console, transient=True
        ) as bar:
            task = bar.add_task("", total=1.0)
            yield lambda done, text: bar.update(task, completed=done, description=text)
    else:
        told = -1

        def line(done: float, text: str) -> None:
            nonlocal told
            if done >= 1 or int(done * _LINES) > told:
                told = int(done * _LINES)
                console.print(Text(f"{100 * done:3.0f} %  {text}"), soft_wrap=True)

        yield line


@contextmanager
def _stopped_by_ctrl_c(pacing: "Pacing") -> Iterator[None]:
    """Let the first Ctrl-C end the training in good order; the second one interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: object) -> None:
        del number, frame
        pacing.stop()
        signal.signal(signal.SIGINT, before)
        say("Ending the training; the best so far is kept. Ctrl-C again gives up.")

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _one(parties: list[int] | None) -> int:
    """Return the number of bidders of a net's rounds."""
    if parties and len(parties) > 1:
        raise ConfigError(
            f"Expected one number of parties for a net, which serves no other, got {parties}."
        )
    return parties[0] if parties else 10


def _refuse_other_noise(mechanism: str, local: str, delta: float | None) -> None:
    if local != "laplace" or delta is not None:
        raise ConfigError(f"Expected --local laplace without a delta for {mechanism}, got {local}.")


def _check_writable(target: Path) -> None:
    """Raise before minutes of training if the file could not be written afterwards."""
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise ConfigError(f"Expected a file in a folder that exists, got {target}. Check the path.")
