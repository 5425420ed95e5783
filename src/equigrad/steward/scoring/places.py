"""Where everything of a scoring lies: what may be shown, and what is for its owner's eyes only.

``record.jsonl`` and ``models/`` hold events, released values and digests. Scores, flags, the
selection, accuracies and what is made of them lie in ``local/``, whose files nobody else may read.
"""

import os
import shutil
from pathlib import Path

from equigrad.federation.record.disk import fsync_folder, writing
from equigrad.federation.record.folder import RunFolder

__all__ = ["NOTICE", "ScorePlaces", "write_private"]

NOTICE = """\
For the owner of the records only.

Everything in this folder was made from the records without noise, or tells what was: scores, the
reliability flag, the records that were chosen and their number, accuracies. No epsilon covers it.
Do not publish it and do not hand it on. What may leave is record.jsonl and models/ beside it.
"""

_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700


class ScorePlaces:
    """The places of a scoring's folder.

    Parameters
    ----------
    place
        The folder: settings, shared record and released models lie as in any run's.
    """

    def __init__(self, place: RunFolder) -> None:
        self.place = place
        self.local = place.path / "local"

    def make(self) -> None:
        """Make the owner's part, with the notice in it; what is there already stays."""
        _make(self.local, self.work, self.checkpoints, self.models)
        write_private(self.local / "NOTICE.txt", NOTICE)

    def make_report(self) -> None:
        """Make the folders of the report."""
        _make(self.local, self.plots)

    @property
    def record(self) -> Path:
        """The owner's record, chained like the shared one."""
        return self.local / "record.jsonl"

    @property
    def scores(self) -> Path:
        """Scores as Parquet; :attr:`scores_csv` holds the same."""
        return self.local / "scores.parquet"

    @property
    def scores_csv(self) -> Path:
        """Scores as CSV."""
        return self.local / "scores.csv"

    @property
    def summary(self) -> Path:
        """The outcome as JSON."""
        return self.local / "summary.json"

    @property
    def report(self) -> Path:
        """The owner's page."""
        return self.local / "report.html"

    @property
    def plots(self) -> Path:
        """Plots of the page."""
        return self.local / "plots"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of the scorer's model."""
        return self.local / "checkpoints"

    @property
    def models(self) -> Path:
        """Models that stay with the owner."""
        return self.local / "models"

    @property
    def work(self) -> Path:
        """What a stopped scoring goes on from; gone when it has finished."""
        return self.local / "work"

    def training(self, name: str) -> Path:
        """Return the folder of the checkpoint of one training under way."""
        return self.work / name

    def drop_work(self) -> None:
        """Remove what a finished scoring needs no more, keys included."""
        shutil.rmtree(self.work, ignore_errors=True)


def _make(*folders: Path) -> None:
    for folder in folders:
        with writing(folder):
            folder.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)


def write_private(path: Path, data: bytes | str) -> None:
    """Write a file whole or not at all, readable and writable for its owner only (mode 0600).

    The mode holds from the first byte on: no other user can open the file in between.

    Raises
    ------
    RecordError
        If it cannot be written; the old content is then untouched.
    """
    new = path.with_name(f".{path.name}.new")
    with writing(path):
        new.unlink(missing_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        fsync_folder(path.parent)
