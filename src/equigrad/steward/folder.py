"""A training's folder: the same places as a federation's run folder, and how to tell them apart.

Nothing heavy is imported here: the command line asks before it knows what a folder holds.
"""

import json
import shutil
from pathlib import Path

from equigrad.federation.record.folder import RunFolder

__all__ = ["KIND", "account_path", "is_training", "trainer_path", "undo"]

KIND = "train"


def is_training(folder: Path | str) -> bool:
    """Return whether ``folder`` holds a private training (else a federation, or no run at all)."""
    try:
        config = json.loads((Path(folder) / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("kind") == KIND


def account_path(place: RunFolder) -> Path:
    """Return the file of a training's own privacy account; it holds the key while it runs."""
    return place.path / "account.sqlite"


def trainer_path(place: RunFolder) -> Path:
    """Return the folder of the trainer's checkpoint, removed when the training has finished."""
    return place.checkpoint


def undo(place: RunFolder) -> None:
    """Remove a folder that was made for a training that was then refused."""
    shutil.rmtree(place.path, ignore_errors=True)
