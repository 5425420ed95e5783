"""A training's folder: the same places as a federation's run folder, and how to tell them apart.

Nothing heavy is imported here: the command line asks before it knows what a folder holds.
"""

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from equigrad.errors import RecordError
from equigrad.federation.record.folder import RunFolder

__all__ = ["drop_checkpoint", "is_scoring", "is_training", "refuse_taken", "trainer_path", "undo"]


def is_training(folder: Path | str) -> bool:
    """Return whether ``folder`` holds a private training."""
    return _kind(folder) == "train"


def is_scoring(folder: Path | str) -> bool:
    """Return whether ``folder`` holds a scoring."""
    return _kind(folder) == "score"


def _kind(folder: Path | str) -> str | None:
    """Return what kind of run a folder says it holds; None if it holds none."""
    try:
        config = json.loads((Path(folder) / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    kind = config.get("kind") if isinstance(config, dict) else None
    return kind if isinstance(kind, str) else None


def refuse_taken(place: RunFolder) -> list[Path]:
    """Refuse a folder in use before the work begins; return the folders there are not yet.

    Raises
    ------
    RecordError
        If there is something in the folder.
    """
    if place.path.is_dir() and any(place.path.iterdir()):
        raise RecordError(
            f"Expected {place.path} to be new or empty, got a folder with files in it. "
            "Continue what is in it with --resume, or choose another folder."
        )
    here = place.path.absolute()
    return [folder for folder in (here, *here.parents) if not folder.exists()]


def trainer_path(place: RunFolder) -> Path:
    """Return the folder of the trainer's checkpoint, removed when the training has finished.

    Its part ``private/`` holds the noise key while the training lasts.
    """
    return place.checkpoint


def drop_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a training that has ended, its name for the latest state first.

    Killed halfway, this leaves a folder that nobody takes for one to go on from.
    """
    (folder / "LATEST").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def undo(place: RunFolder, new: Sequence[Path]) -> None:
    """Remove what was written for a training that was then refused.

    Parameters
    ----------
    place
        Its folder, new or empty before.
    new
        Folders that there were not before, the deepest first.
    """
    for path in place.path.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for folder in new:
        with suppress(OSError):  # somebody else has put something there meanwhile
            folder.rmdir()
