"""A party's seat: what its node needs to know of a run before it is asked anything.

A node finds its seat by Flower's node settings: in earnest ``equigrad-seat`` is a folder of the
party's own with the run file in it; in a simulation the run's settings name one folder and a
node's number is the party's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from equigrad.errors import ConfigError
from equigrad.federation.config.loader import AnyConfig, dump_config, restore_config
from equigrad.federation.record.canonical import sha256_json
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.remote import Keeper
from equigrad.federation.remote.parties import party_specs
from equigrad.federation.transport.agents import AgentSpec

__all__ = ["FOLDER", "SEAT", "Seat", "run_id"]

SEAT = "equigrad-seat"
"""Node setting: the party's own folder."""

FOLDER = "equigrad-folder"
"""Run setting: the run folder at the coordinator; in a simulation also the parties' place."""


def run_id(config: AnyConfig) -> str:
    """Return what identifies a run: SHA-256 of its resolved configuration, its terms."""
    return sha256_json(dump_config(config))


@dataclass(frozen=True)
class Seat:
    """One party of one run, on this machine.

    Attributes
    ----------
    party
        The party's name.
    config
        The run's configuration as this party knows it.
    place
        Where its folders lie.
    """

    party: str
    config: AnyConfig
    place: RunFolder

    @classmethod
    def of(cls, node: Mapping[str, Any], run: Mapping[str, Any]) -> Self:
        """Return the seat that Flower's node and run settings name.

        Raises
        ------
        ConfigError
            If they name none.
        RecordError
            If the folder is not there.
        """
        number = node.get("partition-id")
        if SEAT not in node and (number is None or FOLDER not in run):
            raise ConfigError(
                f"Expected the node setting {SEAT} = FOLDER, got none. Start the node with "
                f"--node-config {SEAT}=FOLDER, the folder in double quotes."
            )
        place = RunFolder.open(Path(str(node.get(SEAT, run.get(FOLDER)))))
        config = restore_config(place.read_config())
        if SEAT in node:
            return cls((place.path / "party").read_text().strip(), config, place)
        return cls(_specs(config, place)[int(number or 0)].name, config, place)

    @property
    def run(self) -> str:
        """What identifies the run."""
        return run_id(self.config)

    def keeper(self) -> Keeper:
        """Return the party's keeper, its states in a folder of their own."""
        own = self.place.party(self.party)
        return Keeper(self._spec, self.run, self.party, own / "states")

    def _spec(self) -> AgentSpec:
        return next(s for s in _specs(self.config, self.place) if s.name == self.party)


_made: dict[str, tuple[AgentSpec, ...]] = {}  # a worker of a simulation serves many parties


def _specs(config: AnyConfig, place: RunFolder) -> tuple[AgentSpec, ...]:
    """Return the parties of a run as this machine makes them from the run file."""
    run = run_id(config)
    if run not in _made:
        _made.clear()
        _made[run] = tuple(party_specs(config, place))
    return _made[run]
