"""The two apps that Flower runs: the party's, once a message, and the coordinator's, once a run.

Neighbours: ``seat`` says which party a node is, ``engine`` plays a run over the grid.
"""

import json
from pathlib import Path
from typing import Any, Final

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from equigrad.errors import ConfigError
from equigrad.federation.flower.engine import GridEngine
from equigrad.federation.flower.post import ROLL_CALL
from equigrad.federation.flower.seat import FOLDER, Seat
from equigrad.federation.flower.wire import content_of, record_of

__all__ = ["client_app", "server_app"]

_WAIT: Final = "equigrad-wait"
"""Run setting: seconds to wait for the parties' nodes."""


def client_app(folder: Path | None = None) -> ClientApp:
    """Return the party's app: it answers the roll call and envelopes.

    Parameters
    ----------
    folder
        The run folder of a simulation, in which all parties have their places; None where each
        node's settings say where its own is.
    """
    app = ClientApp()

    @app.query()
    def answer(message: Message, context: Context) -> Message:
        given = {} if folder is None else {FOLDER: str(folder)}
        seat = Seat.of(context.node_config, {**context.run_config, **given})
        content = content_of(message)
        if content == ROLL_CALL:
            told = json.dumps({"party": seat.party, "run": seat.run}).encode()
            return Message(record_of(told), reply_to=message)
        return Message(record_of(seat.keeper().answer(content)), reply_to=message)

    return app


def server_app() -> ServerApp:
    """Return the coordinator's app: it plays the run whose folder the run's settings name."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        play(grid, context.run_config)

    return app


def play(grid: Grid, settings: Any) -> None:
    """Play on the run that lies in the folder that the run's settings name.

    Raises
    ------
    ConfigError
        If they name none.
    """
    from equigrad.federation.runner import resume

    folder = settings.get(FOLDER)
    if not folder:
        raise ConfigError(f"Expected the run setting {FOLDER}, got none. Give the run folder.")
    resume(Path(str(folder)), engine=GridEngine(grid, wait_s=float(settings.get(_WAIT, 300.0))))
