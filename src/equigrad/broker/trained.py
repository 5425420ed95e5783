"""Auctions that need something trained: a schedule, or a regret net."""

from pathlib import Path

from equigrad.broker.noise import market_name
from equigrad.errors import CheckpointError, ConfigError
from equigrad.market import AUCTIONS, Auction
from equigrad.market.auctions import LearnedClock
from equigrad.market.learned import Schedule, shipped_schedule

__all__ = ["NETS", "TRAINABLE", "trained_auction", "trained_for"]

NETS = ("regret", "m-regret", "dm-regret")
"""Auctions behind which a regret net stands."""

TRAINABLE = ("learned-clock", *NETS)
"""Auctions that ``equigrad auction train`` makes a file for."""


def trained_auction(
    name: str, file: Path | None, *, local: str, dim: int, delta: float | None = None
) -> Auction:
    """Return an auction of :data:`TRAINABLE` with what was trained for it.

    Parameters
    ----------
    name
        The auction.
    file
        What ``equigrad auction train`` wrote; None: the schedule that ships, of ``learned-clock``
        alone.
    local, dim, delta
        The market it must have been trained for.

    Raises
    ------
    ConfigError
        If a file is needed and none is given, or it cannot be read.
    CheckpointError
        If the file is of another kind, or was trained for another market.
    """
    market = market_name(local, delta)
    if file is None and name == "learned-clock":
        return LearnedClock(shipped_schedule(market, dim), mechanism=market, dim=dim)
    if file is None:
        raise ConfigError(
            f"Expected --schedule FILE for {name}, got none. Make one: equigrad auction train "
            f"{name}."
        )
    kind = trained_for(file)
    if kind != name:
        raise CheckpointError(
            f"Expected a file trained for {name}, got {file}, trained for {kind}. Clear with "
            f"--mechanism {kind}, or make one: equigrad auction train {name}."
        )
    content = _read(file)
    if name == "learned-clock":
        return LearnedClock(Schedule.from_bytes(content), mechanism=market, dim=dim)
    from equigrad.market.regret import regret_from_bytes

    mechanism, _ = regret_from_bytes(content, local=market, dim=dim)
    return AUCTIONS[name](mechanism)  # type: ignore[call-arg]  # all of NETS take a mechanism


def trained_for(file: Path) -> str:
    """Return which of :data:`TRAINABLE` a file was trained for.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    CheckpointError
        If it holds neither a schedule nor a regret net.
    """
    content = _read(file)
    try:
        Schedule.from_bytes(content)
    except CheckpointError as error:
        no_schedule = error
    else:
        return "learned-clock"
    from equigrad.market.regret import regret_from_bytes

    try:
        return regret_from_bytes(content)[0].variant
    except CheckpointError as no_net:
        raise CheckpointError(
            f"Expected in {file} what equigrad auction train writes, got neither a schedule "
            f"({_cause(no_schedule)}) nor a regret net ({_cause(no_net)}). Make one with it."
        ) from None


def _cause(error: CheckpointError) -> str:
    """Return what was got, without the remedy."""
    text = str(error).split(", got ", 1)[-1].split(". ", 1)[0]
    return text if len(text) <= 80 else f"{text[:77]}..."


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"Expected a readable file {file}, got: {error.strerror}. Check the path."
        ) from None
