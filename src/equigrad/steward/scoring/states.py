"""Checkpoints of the scorer's model as files, read one at a time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from equigrad.errors import CheckpointError
from equigrad.steward.scoring.places import write_private
from equigrad.steward.setup import on_cpu

__all__ = ["FileStates", "given_states", "keep_state", "state_path"]

State = Mapping[str, Tensor]


class FileStates(Sequence[State]):
    """States in safetensors files; each is read when it is asked for and not kept.

    Parameters
    ----------
    paths
        One for each checkpoint, in their order.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> State: ...

    @overload
    def __getitem__(self, index: slice) -> "FileStates": ...

    def __getitem__(self, index: int | slice) -> "State | FileStates":
        if isinstance(index, slice):
            return FileStates(self.paths[index])
        path = self.paths[index]
        try:
            return load(path.read_bytes())
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"Expected a checkpoint in {path}, got: {error}. Restore the file."
            ) from error


def state_path(folder: Path, step: int) -> Path:
    """Return the file of the state after ``step`` steps."""
    return folder / f"step-{step:08d}.safetensors"


def keep_state(folder: Path, step: int, model: nn.Module) -> None:
    """Write a state, for the owner only; one written before is replaced by the same bytes."""
    write_private(state_path(folder, step), save(on_cpu(model)))


def given_states(folder: Path) -> FileStates:
    """Return the states of a folder that the user gives, in the order of their names.

    Raises
    ------
    CheckpointError
        If there are none.
    """
    found = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not found:
        what = "none there" if folder.is_dir() else "no such folder"
        raise CheckpointError(
            f"Expected a folder of .safetensors files, one for each checkpoint, at {folder}, got "
            f"{what}. Save model.state_dict() after some steps by safetensors.torch.save_file."
        )
    return FileStates(found)
