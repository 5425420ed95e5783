"""Admission: which replies of a round may be looked at at all.

Whatever a party sends is untrusted. A reply of the wrong kind, round, length, dtype or size, or
with NaN or inf in it, is refused with a flag; its party counts as absent and the refusal is
recorded.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from equigrad.errors import PrivacyError, UploadError
from equigrad.federation.messages import Message, TrainReply
from equigrad.federation.private.told import Terms, check_told, declared_noise

__all__ = ["Refusal", "admit"]

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_MOST_RECORDS = 2**53  # whole numbers that float64 holds exactly


@dataclass(frozen=True)
class Refusal:
    """Why a reply was refused: a flag ("non-finite", "wrong-shape", ...) and a sentence."""

    party: str
    flag: str
    detail: str


def admit(
    party: str,
    reply: Message,
    *,
    round_: int,
    size: int,
    max_bytes: float,
    noise: Mapping[str, Any] | None = None,
    private: Terms | None = None,
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
    noise
        The noise that the party was agreed to add (``kind`` and ``variance``); empty or None:
        none. It must declare exactly that: declared noise is taken out of its squared norm.
    private
        What a party that trains privately has agreed to; then its noise follows from what it
        tells of its release. None: it releases nothing of the kind.

    Returns
    -------
    TrainReply or Refusal
        The reply with its upload in float32, or a refusal with the flag "wrong-kind",
        "wrong-round", "wrong-party", "too-large", "wrong-shape", "wrong-dtype", "non-finite",
        "bad-privacy" or "bad-facts".
    """
    if not isinstance(reply, TrainReply):
        detail = f"Party {party!r}: expected a training reply, got kind {reply.kind!r}."
        return Refusal(party, "wrong-kind", detail)
    try:
        _check_place(party, reply, round_)
        upload = _checked_upload(party, reply, size, max_bytes)
        _check_facts(party, reply, _agreed(party, reply, upload, noise or {}, private))
    except _RefusedError as refused:
        return Refusal(party, refused.flag, str(refused))
    return replace(reply, upload=upload)


class _RefusedError(UploadError):
    """``expected`` and ``got`` in words, or one whole sentence."""

    def __init__(self, flag: str, party: str, expected: str, got: str | None = None) -> None:
        said = expected if got is None else f"expected {expected}, got {got}"
        super().__init__(f"Party {party!r}: {said}.")
        self.flag = flag


def _check_place(party: str, reply: TrainReply, round_: int) -> None:
    if reply.party != party:
        raise _RefusedError("wrong-party", party, f"party {party!r}", f"{reply.party!r}")
    if reply.round != round_:
        raise _RefusedError("wrong-round", party, f"round {round_}", f"round {reply.round}")


def _checked_upload(party: str, reply: TrainReply, size: int, max_bytes: float) -> torch.Tensor:
    """Return the upload as ``(size,) float32``."""
    upload: Any = reply.upload
    if not isinstance(upload, torch.Tensor) or upload.layout is not torch.strided:
        raise _RefusedError("wrong-dtype", party, "a dense tensor", type(upload).__name__)
    if reply.nbytes() > max_bytes:
        limit, got = f"at most {max_bytes:.0f} bytes", f"{reply.nbytes()} bytes"
        raise _RefusedError("too-large", party, limit, got)
    if upload.shape != (size,):
        raise _RefusedError("wrong-shape", party, f"shape ({size},)", f"{tuple(upload.shape)}")
    if upload.dtype not in _DTYPES:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in _DTYPES)
        raise _RefusedError("wrong-dtype", party, f"one of {names}", f"{upload.dtype}")
    single = upload.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(single).all()):
        raise _RefusedError("non-finite", party, "finite entries", "NaN, inf or beyond float32")
    if not math.isfinite(float(single.double().square().sum())):
        raise _RefusedError("non-finite", party, "a finite norm", "one beyond float64")
    return single


def _agreed(
    party: str,
    reply: TrainReply,
    upload: torch.Tensor,
    noise: Mapping[str, Any],
    private: Terms | None,
) -> Mapping[str, Any]:
    """Return the noise that the reply must declare, after checking what it tells of a release."""
    told: Any = reply.privacy
    if private is None:
        if told:
            expected = "nothing of a private release"
            raise _RefusedError("bad-privacy", party, expected, f"{str(told)[:40]}")
        return noise
    try:
        check_told(private, told, float(upload.double().norm()))
    except PrivacyError as error:
        raise _RefusedError("bad-privacy", party, str(error)) from error
    return declared_noise(private, told)


def _check_facts(party: str, reply: TrainReply, agreed: Mapping[str, Any]) -> None:
    records: Any = reply.records
    if type(records) is not int or not 0 <= records <= _MOST_RECORDS:
        expected = f"a whole number of records in [0, {_MOST_RECORDS}]"
        raise _RefusedError("bad-facts", party, expected, f"{str(records)[:40]}")
    if type(reply.delivered) is not int:
        raise _RefusedError("bad-facts", party, "a round as delivered", f"{reply.delivered!r}")
    if any(type(v) not in (int, float) for v in reply.metrics.values()):
        raise _RefusedError("bad-facts", party, "numbers as metrics", f"{dict(reply.metrics)}")
    declared = dict(reply.noise)
    if declared != dict(agreed):
        expected = f"the noise that was agreed ({dict(agreed) or 'none'})"
        raise _RefusedError("bad-facts", party, expected, f"{declared or 'none'}")
