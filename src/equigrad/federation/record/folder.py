"""The run folder: what lies where, and the first and only writing of its configuration.

Neighbours: :mod:`~equigrad.federation.record.chain` writes ``record.jsonl``,
:mod:`~equigrad.federation.record.checkpoint` the settled state, and
:mod:`equigrad.federation.report` everything that is made from the record.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from equigrad.errors import RecordError
from equigrad.federation.record.canonical import canonical_json, sha256_file
from equigrad.federation.record.disk import fsync_folder, write_all, write_atomic, writing

__all__ = ["RunFolder"]


class RunFolder:
    """The places in one run folder; nothing is read or written by naming them.

    Parameters
    ----------
    path
        The folder. Use :meth:`create` for a new one and :meth:`open` for one that must exist.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path | str, config_toml: str, config: Mapping[str, Any]) -> Self:
        """Make a new run folder with the frozen configuration in it.

        Parameters
        ----------
        path
            Where; parents are made as needed. An empty folder is taken as it is.
        config_toml
            The run file as given, kept verbatim.
        config
            The resolved configuration, every key; written as canonical JSON.

        Raises
        ------
        RecordError
            If the folder holds something already or cannot be written.
        """
        folder = cls(path)
        with writing(folder.path):
            folder.path.mkdir(parents=True, exist_ok=True)
            taken = any(folder.path.iterdir())
        if taken:
            raise RecordError(
                f"Expected {folder.path} to be new or empty, got a folder with files in it. "
                "Continue that run with --resume, or choose another folder."
            )
        with writing(folder.path):
            folder.models.mkdir()
        write_atomic(folder.config_toml, config_toml)
        write_atomic(folder.config_json, canonical_json(config))
        with writing(folder.path):
            fsync_folder(folder.path.absolute().parent)
        return folder

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Return an existing run folder.

        Raises
        ------
        RecordError
            If there is none at ``path``.
        """
        folder = cls(path)
        if not folder.config_json.is_file():
            what = "a folder without config.json" if folder.path.is_dir() else "no such folder"
            raise RecordError(
                f"Expected a run folder at {folder.path}, got {what}. "
                "Give the folder that `equigrad run` made."
            )
        return folder

    @property
    def config_toml(self) -> Path:
        """The run file as it was given."""
        return self.path / "config.toml"

    @property
    def config_json(self) -> Path:
        """The resolved configuration as canonical JSON."""
        return self.path / "config.json"

    @property
    def record(self) -> Path:
        """The chained record."""
        return self.path / "record.jsonl"

    @property
    def timings(self) -> Path:
        """Wall-clock seconds, outside the chain: a resumed run has the same record, not time."""
        return self.path / "timings.jsonl"

    @property
    def models(self) -> Path:
        """The folder of the final models."""
        return self.path / "models"

    @property
    def checkpoint(self) -> Path:
        """The folder of the latest settled state."""
        return self.path / "checkpoint"

    @property
    def accounts(self) -> Path:
        """The folder of the parties' privacy accounts (private runs only); not to be published."""
        return self.path / "accounts"

    def make_accounts(self) -> None:
        """Make the folder of the accounts, readable by its owner alone."""
        with writing(self.path):
            self.accounts.mkdir(mode=0o700, exist_ok=True)

    def account(self, party: str) -> Path:
        """Return the file of one party's privacy account."""
        return self.accounts / f"{party}.sqlite"

    @property
    def sponsor(self) -> Path:
        """The sponsor's own folder (vertical runs only); not to be published."""
        return self.path / "sponsor"

    def party(self, name: str) -> Path:
        """Return a party's own folder (vertical and market runs); not to be published."""
        return self.path / "parties" / name

    def make_parties(self, names: Iterable[str]) -> None:
        """Make the folders of sponsor and parties, each readable by its owner alone.

        So is the checkpoint: it holds the sponsor's scores.
        """
        with writing(self.path):
            own = (self.sponsor, self.checkpoint, self.path / "parties")
            for path in (*own, *map(self.party, names)):
                path.mkdir(mode=0o700, exist_ok=True)

    def make_sellers(self, names: Iterable[str]) -> None:
        """Make the folders of a market's parties, each readable by its owner alone."""
        with writing(self.path):
            for path in (self.path / "parties", *map(self.party, names)):
                path.mkdir(mode=0o700, exist_ok=True)

    @property
    def metrics_csv(self) -> Path:
        """One row for each party and round."""
        return self.path / "metrics.csv"

    @property
    def metrics_json(self) -> Path:
        """The summary, one row for each party, one for each round."""
        return self.path / "metrics.json"

    @property
    def plots(self) -> Path:
        """The folder of the plots (SVG)."""
        return self.path / "plots"

    @property
    def report(self) -> Path:
        """The self-contained report."""
        return self.path / "report.html"

    def model(self, name: str) -> Path:
        """Return the file of one party's final model (or the coordinator's)."""
        return self.models / f"{name}.safetensors"

    def read_config(self) -> dict[str, Any]:
        """Return the resolved configuration.

        Raises
        ------
        RecordError
            If it cannot be read.
        """
        try:
            config: dict[str, Any] = json.loads(self.config_json.read_bytes())
        except (OSError, ValueError) as error:
            raise RecordError(
                f"Expected a configuration at {self.config_json}, got: {error}."
            ) from error
        return config

    def kind(self) -> str:
        """Return the kind of run that the folder holds; errors as for :meth:`read_config`."""
        return str(self.read_config().get("kind", "horizontal"))

    def config_sha256(self) -> str:
        """Return the SHA-256 of ``config.json``, which equals ``sha256_json`` of its content."""
        return sha256_file(self.config_json)

    def add_timing(self, facts: Mapping[str, Any]) -> None:
        """Append one line of seconds to ``timings.jsonl``."""
        with writing(self.timings):
            descriptor = os.open(self.timings, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                write_all(descriptor, canonical_json(facts).encode() + b"\n")
            finally:
                os.close(descriptor)
