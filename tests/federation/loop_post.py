"""A post within one process: every message is answered by a keeper of its own, as after a start."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from equigrad.federation.remote import Keeper
from equigrad.federation.remote.transport import RemoteTransport, Returned
from equigrad.federation.transport.agents import AgentSpec
from equigrad.federation.transport.base import Transport

Twist = Callable[[str, int, Callable[[], bytes]], Sequence[Returned | bytes]]
"""Party, number of its message, what answers it -> what comes back: the faults of a post."""


def honest(party: str, number: int, answer: Callable[[], bytes]) -> Sequence[Returned | bytes]:
    """Bring every answer back once."""
    del party, number
    return [answer()]


class LoopPost:
    """Delivers at once; what comes back waits to be collected."""

    def __init__(self, specs: Sequence[AgentSpec], folder: Path, run: str, twist: Twist) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._folder, self._run, self._twist = folder, run, twist
        self._count: dict[str, int] = {}
        self._back: dict[str, list[Returned]] = {}
        self.sent = 0

    def send(self, party: str, content: bytes, *, ttl_s: float) -> str:
        """Answer and keep the answer."""
        assert ttl_s > 0
        if party not in self._specs:
            return ""
        self.sent += 1
        number = self._count[party] = self._count.get(party, -1) + 1
        name = f"{party}-{number}"
        keeper = Keeper(self._specs[party], self._run, party, self._folder / party)
        back = self._twist(party, number, lambda: keeper.answer(content))
        self._back[name] = [
            Returned(name, one)
            if isinstance(one, bytes)
            else Returned(name, one.content, one.error)
            for one in back
        ]
        return name

    def collect(self, ids: Collection[str]) -> Sequence[Returned]:
        """Return the answers that wait, in no order."""
        return [one for name in reversed(list(ids)) for one in self._back.pop(name, [])]


class LoopEngine:
    """An engine whose parties keep their states in folders."""

    def __init__(self, folder: Path, twist: Twist = honest) -> None:
        self.folder, self.twist = folder, twist

    def open(self, specs: Sequence[AgentSpec], run: str) -> Transport:
        """Return a transport over a new post to the same folders."""
        self.post = LoopPost(specs, self.folder, run, self.twist)
        names = [spec.name for spec in specs]
        return RemoteTransport(self.post, names, run, sleep=lambda _: None)
