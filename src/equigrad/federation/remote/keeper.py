"""A party's side of a run on a network: it keeps its states and answers, and repeats itself.

Neighbours: ``envelope`` is what it hears and says; the agent inside knows no network.
"""

import fcntl
import os
import string
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from safetensors.torch import load_file, save

from equigrad.errors import BudgetExceededError, RecordError
from equigrad.federation.messages import from_bytes, to_bytes
from equigrad.federation.record.disk import write_atomic, writing
from equigrad.federation.remote.envelope import Answer, Envelope
from equigrad.federation.transport.agents import AgentSpec

__all__ = ["Keeper"]

_ID_LENGTH: Final = 64


class Keeper:
    """One party of one run, in a folder of its own.

    Guarantees, also when the process is killed at any instant:

    * A request that comes again, from whichever process, is answered with the same bytes, and the
      party's agent is not asked again.
    * A request stands on the state that it names: what a party did for an answer that came too late
      leaves no trace in what it does next.
    * The states kept are those of the named base and pin, and of answers that stand on the base.

    Parameters
    ----------
    spec
        The party, or what makes it when an answer is not known yet: building a party may read all
        its records.
    run
        Identifies the run.
    party
        The party's name.
    folder
        Where it keeps its states, readable by its owner alone; made if it is not there.

    Raises
    ------
    RecordError
        If the folder holds another run's states, or cannot be written.
    """

    def __init__(
        self, spec: AgentSpec | Callable[[], AgentSpec], run: str, party: str, folder: Path
    ) -> None:
        self._spec, self.run, self.party, self.folder = spec, run, party, folder
        with writing(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mark = folder / "run"
        if not mark.exists():
            write_atomic(mark, run)
        kept = mark.read_text()
        if kept != run:
            raise RecordError(
                f"Expected the states of run {run[:12]} in {folder}, got those of {kept[:12]}. "
                "Give each run a folder of its own."
            )

    def answer(self, data: bytes) -> bytes:
        """Return the answer to an envelope, both in wire form; a failure is an answer, too.

        A failure is not kept: the same request may succeed when it comes again.

        Raises
        ------
        UploadError
            If ``data`` is no envelope.
        RecordError
            If it is another run's or party's, or stands on a state that is not here.
        """
        envelope = Envelope.from_bytes(data)
        if (envelope.run, envelope.party) != (self.run, self.party):
            raise RecordError(
                f"Expected a request of run {self.run[:12]} for {self.party!r}, got one of "
                f"{envelope.run[:12]} for {envelope.party!r}."
            )
        with self._alone():
            known = self._path(envelope.id, "answer")
            if known.is_file():
                return known.read_bytes()
            return self._asked(envelope).to_bytes()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time answer from this folder; a killed one lets go."""
        with writing(self.folder):
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _asked(self, envelope: Envelope) -> Answer:
        """Ask the agent, keep its state, then its answer; return the answer."""
        spec = self._spec() if callable(self._spec) else self._spec
        agent = spec.make_agent()
        if envelope.base:
            path = self._path(envelope.base, "state")
            if not path.is_file():
                raise RecordError(
                    f"Expected the state after request {envelope.base[:12]} at {self.party!r}, "
                    "got none. The folder is not that of this run, or not all of it."
                )
            state = spec.restore(load_file(path))
        else:
            state = agent.initial_state()
        try:
            new, reply = agent.handle(state, from_bytes(envelope.content))
        except BudgetExceededError as error:
            return self._failed(envelope, "budget", str(error))
        except Exception as error:
            return self._failed(envelope, "raised", f"{type(error).__name__}: {error}")
        answer = Answer(party=self.party, request=envelope.id, content=to_bytes(reply))
        write_atomic(self._path(envelope.id, "state"), save(new.to_tensors()), mode=0o600)
        write_atomic(self._path(envelope.id, "base"), envelope.base, mode=0o600)
        write_atomic(self._path(envelope.id, "answer"), answer.to_bytes(), mode=0o600)
        self._sweep(envelope)
        return answer

    def _failed(
        self, envelope: Envelope, failure: Literal["raised", "budget"], detail: str
    ) -> Answer:
        return Answer(
            party=self.party,
            request=envelope.id,
            failure=failure,
            detail=detail[:2000],
            content=b"",
        )

    def _sweep(self, envelope: Envelope) -> None:
        """Remove what no later request can stand on or repeat."""
        wanted = {envelope.id, envelope.base, envelope.pinned} - {""}
        for path in self.folder.glob("*.base"):
            if path.read_text() in (envelope.base, envelope.pinned):
                wanted.add(path.stem)
        for path in self.folder.iterdir():
            if path.suffix in (".state", ".base", ".answer") and path.stem not in wanted:
                path.unlink(missing_ok=True)

    def _path(self, request: str, kind: str) -> Path:
        if len(request) != _ID_LENGTH or not set(request) <= set(string.hexdigits):
            raise RecordError(f"Expected the id of a request, got {request[:80]!r}.")
        return self.folder / f"{request}.{kind}"
