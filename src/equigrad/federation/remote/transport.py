"""The transport to parties on machines of their own, over any post that carries bytes.

Neighbours: ``envelope`` is what is sent, ``keeper`` answers at the party;
:mod:`equigrad.federation.flower` has the post over Flower's grid.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import torch

from equigrad._validate import positive
from equigrad.errors import RecordError, UploadError
from equigrad.federation.messages import Failure, Message, from_bytes, to_bytes
from equigrad.federation.record.disk import write_atomic
from equigrad.federation.remote.envelope import Answer, Envelope
from equigrad.federation.transport.base import Transport

__all__ = ["Post", "RemoteTransport", "Returned"]

_POLL_S: Final = 0.1
_FILE: Final = "bases.json"


@dataclass(frozen=True)
class Returned:
    """What came back for a sent envelope: bytes, or why there are none."""

    id: str
    content: bytes = b""
    error: str = ""


class Post(Protocol):
    """Carries bytes to parties and brings bytes back; it may lose, delay and double anything."""

    def send(self, party: str, content: bytes, *, ttl_s: float) -> str:
        """Send to a party and return an id under which the answer comes; "" if it cannot be."""

    def collect(self, ids: Collection[str]) -> Sequence[Returned]:
        """Return what has come back for ``ids`` since, at once."""


class RemoteTransport(Transport):
    """Parties that keep their own state (:class:`Keeper`), reached by a post.

    All promises of :class:`Transport`. A request names the answer on whose state it stands: the
    party's last one that came in time. So a late party's work leaves no trace, and after
    :meth:`load` everybody answers as at :meth:`save`, bit for bit.

    Parameters
    ----------
    post
        Who carries.
    parties
        Names of the parties.
    run
        Identifies the run.
    clock, sleep
        Seconds that only go on, and how to wait; for tests.
    """

    def __init__(
        self,
        post: Post,
        parties: Sequence[str],
        run: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._post, self._parties, self._run = post, tuple(parties), run
        self._clock, self._sleep = clock, sleep
        self._bases: dict[str, str] = {}
        self._pinned: dict[str, str] = {}

    @property
    def parties(self) -> tuple[str, ...]:
        """Names of all parties."""
        return self._parties

    def exchange(
        self, requests: Mapping[str, Message], *, deadline_s: float
    ) -> Iterator[tuple[str, Message | Failure]]:
        """Send the requests and yield the answers; see :class:`Transport`.

        ``requests`` may build its messages when they are read: each is read once, shortly before
        it is sent.
        """
        end = self._clock() + positive("deadline_s", deadline_s)
        waiting: dict[str, Envelope] = {}
        for party in list(requests):
            envelope = Envelope(
                run=self._run,
                party=party,
                base=self._bases.get(party, ""),
                pinned=self._pinned.get(party, ""),
                content=to_bytes(requests[party]),
            )
            left = end - self._clock()
            sent = self._post.send(party, envelope.to_bytes(), ttl_s=left) if left > 0 else ""
            if sent:
                waiting[sent] = envelope
            else:
                reason: Literal["deadline", "lost"] = "lost" if left > 0 else "deadline"
                yield party, Failure(party, reason, "could not be reached")
        while waiting:
            for returned in self._post.collect(list(waiting)):
                asked = waiting.pop(returned.id, None)  # None: it came twice
                if asked is not None:
                    yield asked.party, self._taken(asked, returned)
            left = end - self._clock()
            if left <= 0:
                break
            if waiting:
                self._sleep(min(_POLL_S, left))
        for envelope in waiting.values():
            detail = f"no reply within {deadline_s:g} s"
            yield envelope.party, Failure(envelope.party, "deadline", detail)

    def _taken(self, asked: Envelope, returned: Returned) -> Message | Failure:
        """Return the reply in what came back, and stand on its state from now on."""
        if returned.error:
            return Failure(asked.party, "lost", returned.error)
        try:
            answer = Answer.from_bytes(returned.content)
            reply = None if answer.failure else from_bytes(answer.content)
        except (UploadError, ValueError) as error:
            return Failure(asked.party, "lost", f"the answer cannot be read: {error}")
        if (answer.party, answer.request) != (asked.party, asked.id):
            text = f"expected the answer of {asked.party} to this request, got another"
            return Failure(asked.party, "lost", text)
        if reply is None:
            reason: Literal["budget", "raised"] = "raised"
            if answer.failure == "budget":
                reason = "budget"
            return Failure(asked.party, reason, answer.detail)
        self._bases[asked.party] = asked.id
        return reply

    def save(self, folder: Path) -> None:
        """Write on which answers the next requests stand; the states lie at the parties."""
        write_atomic(folder / _FILE, json.dumps(self._bases, sort_keys=True))
        self._pinned = dict(self._bases)

    def load(self, folder: Path) -> None:
        """Stand on the answers of :meth:`save` again."""
        path = folder / _FILE
        if not path.is_file():
            raise RecordError(
                f"Expected the parties' answers in {path}, found no such file. A run is resumed on "
                "the engine that it was begun on."
            )
        self._bases = dict(json.loads(path.read_text()))
        self._pinned = dict(self._bases)

    def models(self) -> dict[str, torch.Tensor]:
        """Return nothing: the parties' models stay with them."""
        return {}

    def close(self) -> None:
        """Do nothing: who made the post closes it."""
