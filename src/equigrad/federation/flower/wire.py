"""The only place that knows how bytes lie in Flower's messages.

Flower's interface moves with its minor releases: everything of it that messages need is here, in
``post`` and in ``apps``.
"""

from typing import Any, Final

from flwr.app import ConfigRecord, Message, RecordDict

__all__ = ["content_of", "error_of", "record_of", "request_to"]

_TYPE: Final = "query"
_GROUP: Final = "equigrad"
_RECORD: Final = "equigrad"
_FIELD: Final = "frame"


def record_of(content: bytes) -> RecordDict:
    """Return bytes as the content of a Flower message."""
    return RecordDict({_RECORD: ConfigRecord({_FIELD: content})})


def request_to(node: int, content: bytes, ttl_s: float) -> Message:
    """Return a message to a node; Flower drops it where it is not delivered in ``ttl_s`` s."""
    return Message(record_of(content), node, _TYPE, ttl=ttl_s, group_id=_GROUP)


def content_of(message: Message) -> bytes:
    """Return the bytes of a message without an error; none if there are none of ours in it."""
    record: Any = message.content.get(_RECORD)
    found = None if record is None else record.get(_FIELD)
    return found if isinstance(found, bytes) else b""


def error_of(message: Message) -> str:
    """Return why a message brings nothing, or nothing if it does."""
    if not message.has_error():
        return ""
    error = message.error
    return f"code {error.code}: {error.reason or 'no reason was given'}"
