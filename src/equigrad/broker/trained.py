"""Auctions that need something trained: a schedule, or a regret net."""

from pathlib import Path

from equigrad.broker.noise import market_name
from equigrad.errors import ConfigError
from equigrad.market import AUCTIONS, Auction
from equigrad.market.auctions import LearnedClock
from equigrad.market.learned import Schedule, shipped_schedule

__all__ = ["NETS", "TRAINABLE", "trained_auction"]

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
    if name == "learned-clock":
        schedule = shipped_schedule(market, dim) if file is None else _schedule(file)
        return LearnedClock(schedule, mechanism=market, dim=dim)
    if file is None:
        raise ConfigError(
            f"Expected --trained FILE for {name}, got none. Make one: equigrad auction train {name}"
        )
    if market != "laplace":
        raise ConfigError(f"Expected local=laplace, for which {name} is trained, got {local}.")
    from equigrad.market.regret import regret_from_bytes

    mechanism, _ = regret_from_bytes(_read(file), variant=name, dim=dim)
    return AUCTIONS[name](mechanism)  # type: ignore[call-arg]  # all of NETS take a mechanism


def _schedule(file: Path) -> Schedule:
    return Schedule.from_bytes(_read(file))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"Expected a readable file {file}, got: {error.strerror}. Check the path."
        ) from None
