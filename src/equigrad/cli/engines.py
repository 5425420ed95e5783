"""Where a run's parties live, by name: what ``--engine`` takes."""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from equigrad.errors import ConfigError

if TYPE_CHECKING:
    from equigrad.federation.config.loader import AnyConfig
    from equigrad.federation.engine import Engine

    Play = Callable[[Engine | None], Path]
    Stage = Callable[[AnyConfig, Path, Play], Path]

__all__ = ["on_engine"]


def on_engine(name: str) -> "Stage":
    """Return what plays a run on an engine, given its configuration, its folder and its play.

    Raises
    ------
    ConfigError
        If there is no such engine, or it is not installed.
    """
    stage = _STAGES.get(name)
    if stage is None:
        near = difflib.get_close_matches(name, _STAGES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"Expected --engine to be {' or '.join(_STAGES)}, got {name!r}.{hint}")
    if name == "simulation":
        from equigrad.federation.flower.missing import need

        need("simulation", "flwr", "ray")
    return stage


def _local(config: "AnyConfig", folder: Path, play: "Play") -> Path:
    del config, folder
    return play(None)


def _simulation(config: "AnyConfig", folder: Path, play: "Play") -> Path:
    from equigrad.federation.flower.simulation import simulate
    from equigrad.federation.remote.parties import party_names

    return simulate(play, folder, len(party_names(config)))


_STAGES: "dict[str, Stage]" = {"local": _local, "simulation": _simulation}
