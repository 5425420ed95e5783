"""The run played again from what the sponsor kept: every line must come out as it was written.

It is the engine that played the run, with messages and answers from the sponsor's folder in place
of parties. Neighbours: ``game`` plays, ``judge`` checks a record that comes without the folder.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from equigrad.assistance.arrays import Bool, Float64
from equigrad.errors import VerificationError
from equigrad.federation.messages import Failure, Message
from equigrad.federation.record.agreement import VerifyResult, fault, same
from equigrad.federation.record.canonical import plain, sha256_array
from equigrad.federation.record.chain import Line
from equigrad.federation.transport.base import Transport
from equigrad.federation.vertical.messages import (
    FitReply,
    FitRequest,
    KeepReply,
    KeepRequest,
    MaskReply,
    OfferRequest,
    array,
    tensor,
)
from equigrad.federation.vertical.shelf import read_arrays
from equigrad.federation.vertical.sponsor_folder import SponsorFolder
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey

__all__ = ["Comparing", "EndOfRecordError", "KeptFolder", "Replay", "Seeded"]

REFUSED: Final = "refused then"


class EndOfRecordError(Exception):
    """The record ends here: the run was stopped."""


class Comparing:
    """Takes the lines of a run that is played again, and compares each with the recorded one."""

    def __init__(self, lines: Iterator[Line], result: VerifyResult) -> None:
        self._lines, self._result = lines, result

    def skip(self, count: int) -> None:
        """Leave out lines that were compared otherwise."""
        for _ in range(count):
            next(self._lines)

    def line(self, stage: str, round_: int | None, body: Mapping[str, Any]) -> None:
        """Compare one line.

        Raises
        ------
        VerificationError
            If it is not the recorded one.
        EndOfRecordError
            If no line is left.
        """
        line = next(self._lines, None)
        if line is None:
            raise EndOfRecordError
        if (line.stage, line.round) != (stage, round_):
            raise fault(line, f"expected the line {stage!r} of round {round_}")
        if stage == "fit":
            body = _with_refused(body, line.body)
        what = f"the {stage} lines, played again"
        same(line, what, line.body, plain(body), self._result)

    def keep(
        self,
        round_: int,
        facts: Mapping[str, Any],
        arrays: Mapping[str, Any],
        transport: Transport,
    ) -> None:
        """Do nothing: there is nothing to go on from."""


def _with_refused(body: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body with what was refused then: it was not kept, so it cannot be judged again."""
    refused = dict(told["refused"])
    return {
        **body,
        "absent": {n: why for n, why in body["absent"].items() if n not in refused},
        "refused": refused,
        "bytes": {**body["bytes"], **{n: told["bytes"][n] for n in refused}},
    }


class KeptFolder(SponsorFolder):
    """The sponsor's folder, read and not written."""

    def keep_message(self, pass_: int, t: int, message: Float64) -> None:
        """Compare a message with the one that was kept."""
        kept = read_arrays(self._file("message", pass_, t))["message"]
        if kept.shape != message.shape or not np.allclose(kept, message, rtol=1e-9, atol=1e-12):
            raise VerificationError(
                f"{self._file('message', pass_, t)}: expected the message that follows from "
                "labels and answers, got another one; the file was changed."
            )

    def keep_fits(self, pass_: int, t: int, fits: Any) -> None:
        """Do nothing: they were read from there."""

    def keep_rows(self, digests: Any, target: Any, held: Any) -> None:
        """Do nothing: they were read from there."""

    def keep(self, name: str, content: Mapping[str, object]) -> None:
        """Do nothing: it lies there."""


class Replay(Transport):
    """Gives the answers that the sponsor kept, and is silent where the record says so.

    Parameters
    ----------
    names
        The parties.
    folder
        The sponsor's folder.
    held
        ``(N, M)``.
    lines
        The record's lines.
    wire
        Floats on the wire.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        folder: SponsorFolder,
        held: Bool,
        lines: list[Line],
        wire: Any,
    ) -> None:
        self._names, self._folder, self._held, self._wire = names, folder, held, wire
        fits = [line for line in lines if line.stage == "fit"]
        self._told = iter(fits)
        self._finish = next((line for line in lines if line.stage == "finish"), None)
        self._residuals: dict[tuple[str, int], dict[int, Float64]] = {}

    @property
    def parties(self) -> tuple[str, ...]:
        """All parties."""
        return self._names

    def exchange(
        self, requests: Mapping[str, Message], *, deadline_s: float
    ) -> Iterator[tuple[str, Message | Failure]]:
        """Yield what each party said then."""
        del deadline_s
        line = None
        if any(isinstance(request, FitRequest) for request in requests.values()) or not requests:
            line = next(self._told, None)
        for name, request in requests.items():
            match request:
                case OfferRequest():
                    yield name, self._mask(name, request)
                case FitRequest():
                    if line is None:
                        raise EndOfRecordError
                    yield name, self._fit(name, request, line)
                case KeepRequest():
                    yield name, self._kept(name, request)
                case _:
                    yield name, Failure(name, "lost")

    def _mask(self, name: str, request: OfferRequest) -> MaskReply:
        held = self._held[:, self._names.index(name)]
        return MaskReply(round=request.round, party=name, task=request.task, held=tensor(held))

    def _fit(self, name: str, request: FitRequest, line: Line) -> Message | Failure:
        place = (name, request.pass_)
        self._residuals.setdefault(place, {})[request.t] = array(request.residual)
        if name in line.body["absent"]:
            return Failure(name, line.body["absent"][name])
        if name in line.body["refused"]:
            return Failure(name, "raised", REFUSED)
        m = self._names.index(name)
        kept = self._folder.fits(request.pass_, request.t).get(m)
        if kept is None:
            raise fault(line, f"expected the answer of {name!r} in the sponsor's folder, got none")
        return FitReply(
            round=request.round,
            party=name,
            task=request.task,
            pass_=request.pass_,
            t=request.t,
            outputs=tensor(kept[..., self._held[:, m], :], self._wire),
        )

    def _kept(self, name: str, request: KeepRequest) -> Message | Failure:
        told = None if self._finish is None else self._finish.body["kept"].get(name)
        if told is None:
            return Failure(name, "lost")
        sent = self._residuals.get((name, request.pass_), {})
        rounds = list(told["rounds"])
        if any(t not in sent for t in rounds):
            raise VerificationError(
                f"Expected party {name!r} to keep rounds that it was sent, got {rounds}."
            )
        digest = sha256_array(*(sent[t] for t in rounds))
        return KeepReply(round=request.round, party=name, kept=rounds, digest=digest)

    def save(self, folder: Path) -> None:
        """Do nothing."""

    def load(self, folder: Path) -> None:
        """Do nothing."""

    def models(self) -> Mapping[str, torch.Tensor]:
        """Return nothing."""
        return {}

    def close(self) -> None:
        """Do nothing."""


class Seeded:
    """Pays for nothing, and has the key of a rehearsal's seed."""

    def __init__(self, seed: int) -> None:
        self.done, self._seed = 0, seed
        self._last: PrivacyEvent | None = None

    def charge(self, event: PrivacyEvent) -> None:
        """Take note of the release."""
        self.done += 1
        self._last = event

    def take(self) -> PrivacyEvent | None:
        """Return the event since the last call, or None."""
        event, self._last = self._last, None
        return event

    def key(self) -> NoiseKey:
        """Return the key."""
        return NoiseKey.test(self._seed)
