"""The parties of a training on the other side of a transport.

They are what :class:`equigrad.assistance.Parties` asks for, so the engine that trains estimators
plays the run. Neighbours: ``party`` is the other end, ``replies`` judges what comes back,
``sponsor_folder`` keeps both, ``lines`` tells the record.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from equigrad.assistance.arrays import Bool, Float64, Int64
from equigrad.federation.messages import Failure
from equigrad.federation.record.canonical import sha256_array
from equigrad.federation.transport.base import Transport
from equigrad.federation.vertical.config.schema import VerticalConfig
from equigrad.federation.vertical.messages import (
    FitRequest,
    KeepReply,
    KeepRequest,
    tensor,
    wire_size,
)
from equigrad.federation.vertical.replies import usable_fit
from equigrad.federation.vertical.sponsor_folder import SponsorFolder
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["Exchange", "RemoteParties", "Where"]


class Lines(Protocol):
    """Who takes the record's lines."""

    def line(self, stage: str, round_: int | None, body: Mapping[str, Any]) -> None:
        """Take one line."""


@dataclass
class Where:
    """Where a run stands; what a resumed one is given.

    Attributes
    ----------
    pass_
        The pass under way, -1 before the first.
    settled
        Rounds settled in it.
    before
        Rounds settled in the pass before.
    acknowledged
        Parties that have the rows of this pass.
    restated
        By a party's number, the round in which it last stated all rounds again.
    """

    pass_: int = -1
    settled: int = 0
    before: int = 0
    acknowledged: list[str] = field(default_factory=list)
    restated: dict[int, int] = field(default_factory=dict)


@dataclass
class Exchange:
    """What came of asking one round.

    Attributes
    ----------
    fits
        For each party its outputs on all rows, or None.
    absent, refused
        Why a party that was asked has none: it was silent, or could not be used.
    late
        Parties silent at the deadline; what they say later is dropped.
    details
        More words on absences, for the sponsor alone.
    """

    fits: list[Float64 | None]
    absent: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    late: list[str] = field(default_factory=list)
    details: dict[str, str] = field(default_factory=dict)

    def told(self) -> dict[str, str]:
        """Return why parties have no answer, in the words of an error where one was raised."""
        found = {}
        for name, reason in self.absent.items():
            words = self.details.get(name, "") if reason == "raised" else ""
            found[name] = f"{reason}: {words}" if words else reason
        return {**found, **self.refused}


class RemoteParties:
    """Parties behind a transport.

    Parameters
    ----------
    config
        The run file.
    task
        Identifies the run.
    held
        ``(N, M)``: party m holds row i.
    linear, restating
        What the parties' learners are; see :class:`equigrad.assistance.Learner`.
    transport, journal, folder
        Who carries messages, where the record and the sponsor's own files go.
    where
        Where a stopped run stood.
    event
        Gives the privacy event of the residual about to be sent, if it has one.
    """

    def __init__(
        self,
        config: VerticalConfig,
        task: str,
        held: Bool,
        *,
        linear: bool,
        restating: bool,
        transport: Transport,
        journal: Lines,
        folder: SponsorFolder,
        where: Where | None = None,
        event: Callable[[], PrivacyEvent | None] | None = None,
    ) -> None:
        self.names = tuple(party.name for party in config.parties)
        self.held = held
        self.linear, self.restating = linear, restating
        self.where = where or Where()
        self.kept: dict[str, dict[str, Any] | None] = {}
        self._event = event
        self._config, self._task = config, task
        self._transport, self._journal, self._folder = transport, journal, folder
        self._resumed = where is not None and where.pass_ >= 0
        self._rows: list[tuple[Int64, Int64]] = []
        self._last: Exchange | None = None
        self._asked = 0

    # --- what a training asks for ---------------------------------------------------------------

    def begin(self, rows: Int64, weight: Float64 | None) -> None:
        """Start a pass in which residuals of ``rows`` will come; sample weights are not taken."""
        del weight
        if self._resumed:
            self._resumed = False
        else:
            where = self.where
            self.where = Where(where.pass_ + 1, 0, where.before + where.settled)
        self._rows = []
        for m in range(len(self.names)):
            places = np.flatnonzero(self.held[rows, m])
            own = np.flatnonzero(self.held[:, m])
            self._rows.append((places, np.searchsorted(own, rows[places])))

    def answer(self, t: int, message: Float64) -> Sequence[Float64 | None]:
        """Ask all members for round t, and return each one's outputs on all N rows.

        Asked again for the same round, those are asked who have not answered. Rounds that had
        settled when a run stopped are not asked.
        """
        if t <= self.where.settled:
            return []
        again = self._last is not None and self._asked == t
        kept = self._last if again else None
        exchange = kept or Exchange([None] * len(self.names))
        self._folder.keep_message(self.where.pass_, t, message)
        requests = self._requests(t, message, exchange)
        self._announce(t, message, requests, attempt=int(again))
        self._exchange(requests, message, exchange)
        self._folder.keep_fits(self.where.pass_, t, exchange.fits)
        self._asked = t
        return exchange.fits

    def stated(self, t: int) -> Sequence[Float64 | None]:
        """Return what each party's model of round t says, as it told last."""
        told: list[Float64 | None] = [None] * len(self.names)
        for m, fit in self._folder.fits(self.where.pass_, t).items():
            told[m] = fit if fit.ndim == 2 else fit[t - 1]
        for m, last in self.where.restated.items():
            if t <= last:
                told[m] = self._folder.fits(self.where.pass_, last)[m][t - 1]
        return told

    def keep(self, rounds: int) -> None:
        """Tell all parties which rounds make up the model."""
        if self._config.private:
            rounds = self.where.settled  # which round is best tells of labels held out
        request = KeepRequest(
            round=self.round, task=self._task, pass_=self.where.pass_, rounds=rounds
        )
        self.kept = dict.fromkeys(self.names)
        asked = dict.fromkeys(self.names, request)
        for name, reply in self._transport.exchange(asked, deadline_s=self._deadline):
            if isinstance(reply, KeepReply):
                self.kept[name] = {"rounds": reply.kept, "sha256": reply.digest}

    # --- what the run asks for ------------------------------------------------------------------

    @property
    def round(self) -> int:
        """The round under way, counted from 0 over both passes."""
        return self.where.before + self.where.settled

    @property
    def last(self) -> Exchange:
        """What came of the round asked last."""
        if self._last is None:
            raise RuntimeError("no round was asked")
        return self._last

    def settle(self, t: int) -> None:
        """Take note that round t is settled."""
        self.where.settled = t
        for m, fit in enumerate(self.last.fits):
            if fit is not None and fit.ndim == 3:
                self.where.restated[m] = t
        self._last = None

    def members(self) -> list[int]:
        """Return the numbers of the parties that take part in the round under way."""
        return [m for m, party in enumerate(self._config.parties) if party.present(self.round)]

    @property
    def _tag(self) -> str:
        privacy = self._config.vertical.privacy
        return "" if privacy.mechanism == "none" else privacy.mechanism

    @property
    def _deadline(self) -> float:
        return self._config.vertical.deadline_s

    def _requests(self, t: int, message: Float64, exchange: Exchange) -> dict[str, FitRequest]:
        where = self.where
        requests = {}
        for m in self.members():
            name, (places, own) = self.names[m], self._rows[m]
            if exchange.fits[m] is None and len(places):
                rows = None if name in where.acknowledged else tensor(own)
                requests[name] = FitRequest(
                    round=self.round,
                    task=self._task,
                    pass_=where.pass_,
                    t=t,
                    residual=tensor(message[places], self._config.vertical.wire_dtype),
                    rows=rows,
                    tag=self._tag,
                )
        return requests

    def _announce(
        self, t: int, message: Float64, requests: dict[str, FitRequest], *, attempt: int
    ) -> None:
        parties, before = self._config.parties, self.round - 1
        event = None if self._event is None else self._event()
        here = {p.name for p in parties if p.present(self.round)}
        there = {p.name for p in parties if self.round and p.present(before)}
        body = {
            "pass": self.where.pass_,
            "t": t,
            "attempt": attempt,
            "sha256": sha256_array(message),
            "to": list(requests),
            "rows": [len(request.residual) for request in requests.values()],
            "told": [request.rows is not None for request in requests.values()],
            "bytes": [wire_size(request) for request in requests.values()],
            "event": None if event is None else event.to_json(),
            "joined": [p.name for p in parties if self.round and p.name in here - there],
            "left": [p.name for p in parties if p.name in there - here],
        }
        self._journal.line("residual", self.round, body)

    def _exchange(
        self, requests: dict[str, FitRequest], message: Float64, exchange: Exchange
    ) -> None:
        size = float(np.sqrt((message**2).mean()))
        digests: dict[str, str] = {}
        sizes: dict[str, int] = {}
        absent: dict[str, str] = {}
        refused: dict[str, str] = {}
        late: list[str] = []
        for name, reply in self._transport.exchange(requests, deadline_s=self._deadline):
            if isinstance(reply, Failure):
                absent[name] = reply.reason
                exchange.details[name] = reply.detail
                if reply.reason == "deadline":
                    late.append(name)
                continue
            m = self.names.index(name)
            fit, why = usable_fit(reply, requests[name], name, self.held[:, m], size)
            sizes[name] = wire_size(reply)
            if fit is None:
                refused[name] = why
                continue
            exchange.fits[m] = fit
            digests[name] = sha256_array(np.ascontiguousarray(fit[..., self.held[:, m], :]))
        answered = [name for name in self.names if name in digests]
        self.where.acknowledged = [
            name for name in self.names if name in digests or name in self.where.acknowledged
        ]
        self._last = exchange
        exchange.absent, exchange.refused = absent, refused
        exchange.late = sorted(late, key=self.names.index)
        self._journal.line(
            "fit",
            self.round,
            {
                "pass": self.where.pass_,
                "answered": answered,
                "sha256": [digests[name] for name in answered],
                "shapes": [self._shape(name) for name in answered],
                "bytes": {name: sizes[name] for name in self.names if name in sizes},
                "absent": {name: absent[name] for name in self.names if name in absent},
                "late": exchange.late,
                "refused": {name: refused[name] for name in self.names if name in refused},
            },
        )

    def _shape(self, name: str) -> list[int]:
        """Return the shape of a party's answer of the round, as it came."""
        m = self.names.index(name)
        fit = self.last.fits[m]
        rows = int(self.held[:, m].sum())
        return [] if fit is None else [*fit.shape[:-2], rows, fit.shape[-1]]
