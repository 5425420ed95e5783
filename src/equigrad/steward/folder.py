"""A training's folder: the same places as a federation's run folder, and how to tell them apart.

Nothing heavy is imported here: the command line asks before it knows what a folder holds.
"""

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from equigrad.federation.record.folder import RunFolder

__all__ = ["KIND", "is_training", "trainer_path", "undo"]

KIND = "train"


def is_training(folder: Path | str) -> bool:
    """Return whether ``folder`` holds a private training (else a federation, or no run at all)."""
    try:
        config = json.loads((Path(folder) / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("kind") == KIND


def trainer_path(place: RunFolder) -> Path:
    """Return the folder of the trainer's checkpoint, removed when the training has finished.

    Its part ``private/`` holds the noise key while the training lasts.
    """
    return place.checkpoint


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
