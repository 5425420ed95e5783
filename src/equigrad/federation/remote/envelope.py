"""What wraps a message between machines: which run, which request, on which state it stands.

A frame is eight bytes of magic, the length of a JSON head (four bytes, big-endian), the head and
the wire form of a message (:func:`equigrad.federation.messages.to_bytes`), never pickle.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, Literal, Self

from equigrad.errors import UploadError

__all__ = ["Answer", "Envelope"]

_LENGTH: Final = 4


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """A head of short texts and a body."""

    magic: ClassVar[bytes]
    content: bytes

    def to_bytes(self) -> bytes:
        """Return the frame."""
        head = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "content"}
        text = json.dumps(head, sort_keys=True, separators=(",", ":")).encode()
        return self.magic + len(text).to_bytes(_LENGTH, "big") + text + self.content

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Return what :meth:`to_bytes` wrote.

        Raises
        ------
        UploadError
            If the bytes are no such frame.
        """
        start = len(cls.magic) + _LENGTH
        end = start + int.from_bytes(data[len(cls.magic) : start], "big")
        names = {f.name for f in fields(cls)} - {"content"}
        try:
            head: Any = json.loads(data[start:end])
        except (ValueError, RecursionError):
            head = None
        sound = data[: len(cls.magic)] == cls.magic and isinstance(head, dict)
        if not sound or set(head) != names or not all(isinstance(v, str) for v in head.values()):
            raise UploadError(f"Expected a frame of {cls.__name__}, got {len(data)} other bytes.")
        return cls(content=data[end:], **head)


@dataclass(frozen=True, kw_only=True)
class Envelope(_Frame):
    """A request on its way to a party.

    Attributes
    ----------
    run
        Identifies the run; a party takes part in one run with one folder.
    party
        Whom it is for.
    base
        The answered request on whose state this one stands; empty: the state before any.
    pinned
        An answered request that a resumed run would go on from, so that its state is kept, too.
    content
        The message in wire form.
    """

    magic: ClassVar[bytes] = b"EQGENV01"
    run: str
    party: str
    base: str = ""
    pinned: str = ""

    @property
    def id(self) -> str:
        """SHA-256 of run, party, base and content: the same request has the same id, ever."""
        text = "\n".join((self.run, self.party, self.base)).encode()
        return hashlib.sha256(text + b"\n" + self.content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Answer(_Frame):
    """A party's answer to the request ``request``.

    ``failure`` is empty, or "raised" or "budget" with a sentence in ``detail`` and no content.
    """

    magic: ClassVar[bytes] = b"EQGANS01"
    party: str
    request: str
    failure: Literal["", "raised", "budget"] = ""
    detail: str = ""
