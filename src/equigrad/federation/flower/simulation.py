"""A run in Flower's simulation: all nodes on this machine, in Ray's processes.

Neighbours: ``apps`` is what the simulation runs.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from equigrad.federation.flower.missing import need

if TYPE_CHECKING:
    from equigrad.federation.engine import Engine

__all__ = ["simulate"]


def simulate(
    play: Callable[["Engine"], Path], folder: Path, n_parties: int, *, cpus: float = 1.0
) -> Path:
    """Play a run with a virtual node for each party, and return what ``play`` does.

    Parameters
    ----------
    play
        Plays it, given the engine; called once, in a thread of its own.
    folder
        The run folder, in which the parties have their places.
    n_parties
        Number of parties.
    cpus
        Processors that one node takes while it works.

    Raises
    ------
    ConfigError
        If Flower or Ray is not installed.
    BaseException
        What ``play`` raises.
    """
    need("simulation", "flwr", "ray")
    from flwr.app import Context
    from flwr.serverapp import Grid, ServerApp
    from flwr.simulation import run_simulation

    from equigrad.federation.flower.apps import client_app
    from equigrad.federation.flower.engine import GridEngine

    server = ServerApp()
    failed: list[BaseException] = []
    done: list[Path] = []

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        del context
        try:
            done.append(play(GridEngine(grid)))
        except BaseException as error:  # Flower would end the process
            failed.append(error)

    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        run_simulation(
            server,
            client_app(folder.absolute()),
            n_parties,
            backend_config={
                "client_resources": {"num_cpus": cpus, "num_gpus": 0.0},
                "init_args": {"logging_level": "error", "log_to_driver": False},
            },
        )
    finally:
        logger.setLevel(before)
    if failed:
        raise failed[0]
    return done[0]
