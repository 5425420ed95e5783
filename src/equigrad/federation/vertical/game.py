"""A vertical run turn by turn: lines before and after every exchange, states to go on from.

It neither knows where lines go nor where answers come from: ``run`` plays it in a folder,
``verify`` plays it again from what was kept, and compares.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np

from equigrad.assistance import Pass, Training, TrainingState, train
from equigrad.assistance.arrays import Bool
from equigrad.federation.record.checkpoint import Checkpoint
from equigrad.federation.transport.base import Transport
from equigrad.federation.vertical.align import Aligner
from equigrad.federation.vertical.labels import Charging
from equigrad.federation.vertical.lines import step_body, weigh_body
from equigrad.federation.vertical.progress import AssistedRound, VerticalListener
from equigrad.federation.vertical.remote import RemoteParties, Where
from equigrad.federation.vertical.setup import VerticalSetup, make_settings
from equigrad.federation.vertical.sponsor_folder import SponsorFolder

__all__ = ["Game", "Recorder"]


class Recorder(Protocol):
    """Who takes the record's lines and the states to go on from."""

    def line(self, stage: str, round_: int | None, body: Mapping[str, Any]) -> None:
        """Take one line."""

    def keep(
        self,
        round_: int,
        facts: Mapping[str, Any],
        arrays: Mapping[str, Any],
        transport: Transport,
    ) -> None:
        """Take the state after a settled round."""


class Game:
    """One run under way.

    Parameters
    ----------
    setup
        The run.
    recorder, transport, folder, progress
        Who records, carries messages, keeps what the sponsor has, and watches.
    account
        The sponsor's account under a label mechanism.
    """

    def __init__(
        self,
        setup: VerticalSetup,
        *,
        recorder: Recorder,
        transport: Transport,
        folder: SponsorFolder,
        progress: VerticalListener,
        account: Charging | None,
    ) -> None:
        self._setup, self._folder, self._account = setup, folder, account
        self._journal, self._transport, self._progress = recorder, transport, progress
        self._turn: Pass | None = None
        self._weigh_loss: float | None = None
        self._saved = True

    def align(self, checkpoint: Checkpoint | None) -> Bool:
        """Return who holds which row, asked for once in the life of the run."""
        if checkpoint is not None:
            self._transport.load(checkpoint.parties)
            return self._folder.held()
        self._journal.line("start", None, self._setup.start)
        held, body = Aligner(self._setup, self._transport).align()
        self._folder.keep_rows(self._setup.rows.digests, self._setup.target.values, held)
        self._folder.keep("classes.json", {"classes": list(self._setup.target.classes)})
        self._journal.line("align", None, body)
        self._progress.aligned(body)
        self._journal.keep(-1, {"where": None, "state": None}, {}, self._transport)
        return held

    def train(self, held: Bool, checkpoint: Checkpoint | None, *, resumed: bool) -> Training:
        """Train to the end."""
        setup, config, account = self._setup, self._setup.config, self._account
        where, state = self._recalled(checkpoint)
        if account is not None:
            account.done = 0 if state is None else len(state.meta["events"])
        self.parties = RemoteParties(
            config,
            setup.task,
            held,
            linear=setup.linear,
            restating=setup.restating,
            transport=self._transport,
            journal=self._journal,
            folder=self._folder,
            where=where,
            event=account.take if account else None,
        )
        training = train(
            self.parties,
            setup.target.values,
            make_settings(config, account.charge if account else None),
            classes=setup.target.codes,
            run_seed=config.seed,
            key=account.key() if account else None,
            on_round=self._settled,
            state=state,
            resumed=resumed,
        )
        self._checkpoint()
        return training

    def _settled(self, turn: Pass) -> None:
        """Write the round's lines and, where due, the state to go on from."""
        sponsor, where = turn.sponsor, self.parties.where
        round_, t = self.parties.round, sponsor.t
        last = self.parties.last
        before = self._weigh_loss
        if t == 1 and sponsor.public is None:
            track = sponsor.track
            rows = sponsor.rows.weigh
            start = np.tile(track.start, (len(rows), 1))
            before = sponsor.loss.value(track.target[rows], start)
        if sponsor.restating or sponsor.public is not None:
            before = None
        self._journal.line("weigh", round_, weigh_body(sponsor, where.pass_))
        step = step_body(turn, where.pass_, before)
        self._journal.line("step", round_, step)
        self._weigh_loss = step["weigh_loss"]
        self.parties.settle(t)
        self._turn, self._saved = turn, False
        if (round_ + 1) % self._setup.config.engine.checkpoint_every == 0:
            self._checkpoint()
        made = sponsor.public_rounds[-1]
        self._progress.round_settled(
            AssistedRound(
                round=round_,
                total=sponsor.settings.n_rounds,
                pass_=where.pass_,
                t=t,
                loss=made.loss,
                validation_loss=step["validation_loss"],
                eta=made.eta,
                weights=dict(zip(self.parties.names, made.weights.tolist(), strict=True)),
                absent=last.told(),
            )
        )

    def _checkpoint(self) -> None:
        """Keep the state after the last settled round; messages lie in the sponsor's folder."""
        if self._saved or self._turn is None:
            return
        state = self._turn.state()
        arrays = {name: a for name, a in state.arrays.items() if name != "messages"}
        facts = {
            "where": asdict(self.parties.where),
            "weigh_loss": self._weigh_loss,
            "state": state.meta,
        }
        self._journal.keep(self.parties.round - 1, facts, arrays, self._transport)
        self._saved = True

    def _recalled(self, checkpoint: Checkpoint | None) -> tuple[Where | None, TrainingState | None]:
        if checkpoint is None or checkpoint.facts["where"] is None:
            return None, None
        told: dict[str, Any] = checkpoint.facts["where"]
        restated = {int(m): int(t) for m, t in told["restated"].items()}
        where = Where(**{**told, "restated": restated})
        arrays = {name: np.asarray(array) for name, array in checkpoint.arrays.items()}
        arrays["messages"] = self._folder.messages(where.pass_, where.settled)
        self._weigh_loss = checkpoint.facts["weigh_loss"]
        return where, TrainingState(arrays, checkpoint.facts["state"])
