"""Admission: which replies of a round may be looked at at all.

Whatever a party sends is untrusted. A reply of the wrong kind, round, length, dtype or size, or
with NaN or inf in it, is refused with a flag; its party counts as absent and the refusal is
recorded.
"""

import math
from dataclasses import dataclass

import torch

from equigrad.errors import UploadError
from equigrad.federation.messages import Message, TrainReply

__all__ = ["Refusal", "admit"]


@dataclass(frozen=True)
class Refusal:
    """Why a reply was refused: a flag ("non-finite", "wrong-shape", ...) and a sentence."""

    party: str
    flag: str
    detail: str


def admit(
    party: str, reply: Message, *, round_: int, size: int, max_bytes: float
) -> TrainReply | Refusal:
    """Return the reply if it may be used in this round, else why not.

    Parameters
    ----------
    party
        Whose answer it is, as the transport says (not as the reply claims).
    reply
        What came.
    round_
        The round that is being played.
    size
        D, the length of an upload.
    max_bytes
        Largest size of all tensors of the reply, in bytes.

    Returns
    -------
    TrainReply or Refusal
        A refusal carries the flag "wrong-kind", "wrong-round", "wrong-party", "too-large",
        "wrong-shape", "wrong-dtype", "non-finite" or "bad-facts".
    """
    if not isinstance(reply, TrainReply):
        detail = f"Party {party!r}: expected a training reply, got kind {reply.kind!r}."
        return Refusal(party, "wrong-kind", detail)
    try:
        _check(party, reply, round_, size, max_bytes)
    except _RefusedError as refused:
        return Refusal(party, refused.flag, str(refused))
    return reply


class _RefusedError(UploadError):
    def __init__(self, flag: str, party: str, expected: str, got: str) -> None:
        super().__init__(f"Party {party!r}: expected {expected}, got {got}.")
        self.flag = flag


def _check(party: str, reply: TrainReply, round_: int, size: int, max_bytes: float) -> None:
    if reply.party != party:
        raise _RefusedError("wrong-party", party, f"party {party!r}", f"{reply.party!r}")
    if reply.round != round_:
        raise _RefusedError("wrong-round", party, f"round {round_}", f"round {reply.round}")
    if reply.nbytes() > max_bytes:
        limit, got = f"at most {max_bytes:.0f} bytes", f"{reply.nbytes()} bytes"
        raise _RefusedError("too-large", party, limit, got)
    upload = reply.upload
    if upload.shape != (size,):
        raise _RefusedError("wrong-shape", party, f"shape ({size},)", f"{tuple(upload.shape)}")
    if not upload.is_floating_point():
        raise _RefusedError("wrong-dtype", party, "a floating dtype", f"{upload.dtype}")
    if not bool(torch.isfinite(upload).all()):
        raise _RefusedError("non-finite", party, "finite entries", "NaN or inf")
    _check_facts(party, reply)


def _check_facts(party: str, reply: TrainReply) -> None:
    if reply.records < 0:
        raise _RefusedError("bad-facts", party, "records >= 0", f"{reply.records}")
    if reply.noise:
        variance, kind = reply.noise.get("variance"), reply.noise.get("kind")
        sound = isinstance(variance, int | float) and math.isfinite(variance) and variance >= 0
        if not sound or kind not in ("gaussian", "laplace"):
            expected = "noise with a kind and a variance >= 0"
            raise _RefusedError("bad-facts", party, expected, f"{dict(reply.noise)}")
