"""The journal: where the coordinator writes lines, checkpoints and timings, and where it resumes.

It knows the run folder (:mod:`equigrad.federation.record`) and nothing of what the lines mean.
"""

import time
from collections.abc import Mapping
from typing import Any, Self

import torch

from equigrad.errors import RecordError
from equigrad.federation.memory import Memory
from equigrad.federation.methods.base import Method, MethodState
from equigrad.federation.record.canonical import sha256_json
from equigrad.federation.record.chain import ZERO_HASH, RecordWriter, iter_record
from equigrad.federation.record.checkpoint import Checkpoint, save_checkpoint
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.transport.base import Transport

__all__ = ["Journal", "recall", "refuse_other_start"]


class Journal:
    """Appends to a run's record and keeps its latest settled state.

    Parameters
    ----------
    folder
        The run folder.
    writer
        The record's writer; the journal closes it.
    """

    def __init__(self, folder: RunFolder, writer: RecordWriter) -> None:
        self.folder = folder
        self._writer = writer
        self._mark = time.perf_counter()

    @classmethod
    def open(cls, folder: RunFolder, checkpoint: Checkpoint | None) -> Self:
        """Go on with a folder's record where its checkpoint was made, or begin it."""
        if checkpoint is not None:
            length, head = checkpoint.record_length, checkpoint.record_head
            return cls(folder, RecordWriter.resume(folder.record, length, head))
        if folder.record.exists():  # died before anything had settled
            return cls(folder, RecordWriter.resume(folder.record, 0, ZERO_HASH))
        return cls(folder, RecordWriter(folder.record))

    @property
    def head(self) -> str:
        """Hash of the record's last line."""
        return self._writer.head

    def line(self, stage: str, round_: int | None, body: Mapping[str, Any]) -> None:
        """Append one line to the record, and the seconds since the last one to the timings."""
        self._writer.append(stage, round_, dict(body))
        now = time.perf_counter()
        entry = {"stage": stage, "round": round_, "seconds": round(now - self._mark, 6)}
        self._mark = now
        self.folder.add_timing(entry)

    def keep(
        self,
        round_: int,
        facts: Mapping[str, Any],
        arrays: Mapping[str, Any],
        transport: Transport,
    ) -> None:
        """Make a state the one that a resumed run goes on from; ``round_`` has settled."""
        self._writer.sync()
        save_checkpoint(
            self.folder,
            round=round_,
            record_length=self._writer.length,
            record_head=self._writer.head,
            facts=facts,
            arrays=arrays,
            writer=transport.save,
        )

    def checkpoint(self, memory: Memory, method: Method, transport: Transport) -> None:
        """Make the present state the one that a resumed run goes on from."""
        state = method.save()
        facts = {
            "next_round": memory.next_round,
            "void": memory.void,
            "acknowledged": memory.acknowledged,
            "starts": {party: round_ for party, (round_, _) in memory.starts.items()},
            "present": list(memory.present),
            "scores": memory.scores,
            "steps": memory.steps,
            "method": state.facts,
        }
        arrays: dict[str, Any] = {f"method.{k}": v for k, v in state.arrays.items()}
        arrays |= {f"start.{party}": model for party, (_, model) in memory.starts.items()}
        self.keep(memory.next_round - 1, facts, arrays, transport)

    def sync(self) -> None:
        """Wait until every line is on the disk."""
        self._writer.sync()

    def close(self) -> None:
        """Close the record."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def recall(checkpoint: Checkpoint, memory: Memory, method: Method, transport: Transport) -> None:
    """Put the coordinator's memory, the method and the parties back to a checkpoint's state."""
    facts = checkpoint.facts
    memory.next_round = int(facts["next_round"])
    memory.void = int(facts["void"])
    memory.acknowledged = {party: int(round_) for party, round_ in facts["acknowledged"].items()}
    memory.present = tuple(facts["present"])
    memory.scores = {party: float(score) for party, score in facts["scores"].items()}
    memory.steps = {party: int(steps) for party, steps in facts.get("steps", {}).items()}
    memory.starts = {
        party: (int(round_), torch.as_tensor(checkpoint.arrays[f"start.{party}"]))
        for party, round_ in facts["starts"].items()
    }
    arrays = {
        name.removeprefix("method."): array
        if not isinstance(array, torch.Tensor)
        else array.numpy()
        for name, array in checkpoint.arrays.items()
        if name.startswith("method.")
    }
    method.load(MethodState(facts["method"], arrays))
    transport.load(checkpoint.parties)


def refuse_other_start(place: RunFolder, start: Mapping[str, Any]) -> None:
    """Refuse to go on where data or program would lead to another run than the one begun.

    Raises
    ------
    RecordError
        If the record's first line is not ``start``; it names what differs.
    """
    began = next(iter_record(place.record)).body
    if sha256_json(began) == sha256_json(start):
        return
    changed = sorted(
        key
        for key in began.keys() | start.keys()
        if sha256_json(began.get(key)) != sha256_json(start.get(key))
    )
    raise RecordError(
        f"Expected the data and the program with which the run in {place.path} began, got others "
        f"({', '.join(changed)} differ). Restore them, or start a new run."
    )
