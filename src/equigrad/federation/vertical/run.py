"""Playing a vertical run: align, train by the engine of the estimators, end; and on after a kill.

Neighbours: ``setup`` prepares, ``remote`` asks the parties, ``ending`` writes the last line. The
doors are :func:`equigrad.federation.runner.run` and ``resume``.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from equigrad.assistance import Pass, Training, TrainingState, train
from equigrad.assistance.arrays import Bool
from equigrad.federation.journal import Journal, refuse_other_start
from equigrad.federation.record.checkpoint import Checkpoint, load_checkpoint
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.transport import FaultPlan, InProcessTransport
from equigrad.federation.transport.base import Transport
from equigrad.federation.vertical.align import Aligner
from equigrad.federation.vertical.config.schema import VerticalConfig
from equigrad.federation.vertical.ending import finish_body
from equigrad.federation.vertical.labels import LabelAccount
from equigrad.federation.vertical.lines import step_body, weigh_body
from equigrad.federation.vertical.progress import AssistedRound, SilentVertical, VerticalListener
from equigrad.federation.vertical.remote import RemoteParties, Where
from equigrad.federation.vertical.setup import (
    VerticalSetup,
    make_settings,
    make_specs,
    prepare,
)
from equigrad.federation.vertical.sponsor_folder import SponsorFolder
from equigrad.privacy.noise import NoiseKey

__all__ = ["play", "play_on"]


def play(
    config: VerticalConfig,
    folder: Path | str,
    *,
    source: str = "",
    progress: VerticalListener | None = None,
    faults: FaultPlan | None = None,
    report: bool = True,
) -> Path:
    """Play a vertical run and return its folder; see :func:`equigrad.federation.runner.run`."""
    setup = prepare(config)
    place = RunFolder.create(folder, source, config.model_dump())
    place.make_parties(party.name for party in config.parties)
    listener = progress or SilentVertical()
    _play(setup, place, None, listener, faults)
    return _told(place, listener, report=report)


def play_on(
    config: VerticalConfig,
    place: RunFolder,
    *,
    progress: VerticalListener | None = None,
    faults: FaultPlan | None = None,
    report: bool = True,
) -> Path:
    """Go on with a vertical run; see :func:`equigrad.federation.runner.resume`."""
    setup = prepare(config, place)
    place.make_parties(party.name for party in config.parties)
    checkpoint = load_checkpoint(place)
    if checkpoint is not None:
        refuse_other_start(place, setup.start)
    listener = progress or SilentVertical()
    _play(setup, place, checkpoint, listener, faults, resumed=True)
    return _told(place, listener, report=report)


def _told(place: RunFolder, listener: VerticalListener, *, report: bool) -> Path:
    del report
    listener.finished(place.path)
    return place.path


def _play(
    setup: VerticalSetup,
    place: RunFolder,
    checkpoint: Checkpoint | None,
    progress: VerticalListener,
    faults: FaultPlan | None,
    *,
    resumed: bool = False,
) -> None:
    engine = setup.config.engine
    with (
        Journal.open(place, checkpoint) as journal,
        InProcessTransport(
            make_specs(setup, place), pool=engine.pool, workers=engine.workers, faults=faults
        ) as transport,
    ):
        progress.started(setup.start)
        for note in setup.notes:
            progress.message("info", note)
        game = _Run(setup, place, journal, transport, progress)
        held = game.align(checkpoint)
        game.train(held, checkpoint, resumed=resumed)


class _Run:
    """One run under way."""

    def __init__(
        self,
        setup: VerticalSetup,
        place: RunFolder,
        journal: Journal,
        transport: Transport,
        progress: VerticalListener,
    ) -> None:
        self._setup, self._place = setup, place
        self._journal, self._transport, self._progress = journal, transport, progress
        self._folder = SponsorFolder(place.sponsor)
        self._turn: Pass | None = None
        self._weigh_loss: float | None = None
        self._saved = True

    def align(self, checkpoint: Checkpoint | None) -> Bool:
        """Return who holds which row, asked for once in the life of the run."""
        if checkpoint is not None:
            self._transport.load(checkpoint.parties)
            return np.asarray(self._folder.rows()["held"], dtype=np.bool_)
        self._journal.line("start", None, self._setup.start)
        held, body = Aligner(self._setup, self._transport).align()
        self._folder.keep_rows(self._setup.rows.digests, self._setup.target.values, held)
        self._folder.keep("classes.json", {"classes": list(self._setup.target.classes)})
        self._journal.line("align", None, body)
        self._progress.aligned(body)
        self._journal.keep(-1, {"where": None, "state": None}, {}, self._transport)
        return held

    def train(self, held: Bool, checkpoint: Checkpoint | None, *, resumed: bool) -> None:
        """Train to the end and write the last line."""
        setup, config = self._setup, self._setup.config
        where, state = self._recalled(checkpoint)
        done = 0 if state is None else len(state.meta["events"])
        self._account = _account(setup, self._place, done)
        self._parties = RemoteParties(
            config,
            setup.task,
            held,
            linear=setup.linear,
            restating=setup.restating,
            transport=self._transport,
            journal=self._journal,
            folder=self._folder,
            where=where,
            event=self._account.take if self._account else None,
        )
        settings = make_settings(config, self._account.charge if self._account else None)
        training = train(
            self._parties,
            setup.target.values,
            settings,
            classes=setup.target.codes,
            run_seed=config.seed,
            key=self._key(),
            on_round=self._settled,
            state=state,
            resumed=resumed,
        )
        self._checkpoint()
        self._end(training)

    def _end(self, training: Training) -> None:
        body = finish_body(self._setup, self._place, self._parties, training)
        self._journal.line("finish", None, body)
        self._journal.sync()
        if self._account is not None:
            self._account.end()
        if training.reason in ("quorum", "budget"):
            self._progress.message("warning", f"Training ended early: {training.reason}.")

    def _key(self) -> NoiseKey | None:
        return None if self._account is None else self._account.key()

    def _settled(self, turn: Pass) -> None:
        """Write the round's lines and, where due, the state to go on from."""
        sponsor, where = turn.sponsor, self._parties.where
        round_, t = self._parties.round, sponsor.t
        last = self._parties.last
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
        self._parties.settle(t)
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
                weights=dict(zip(self._parties.names, made.weights.tolist(), strict=True)),
                absent={**last.absent, **last.refused},
            )
        )

    def _checkpoint(self) -> None:
        """Keep the state after the last settled round; messages lie in the sponsor's folder."""
        if self._saved or self._turn is None:
            return
        state = self._turn.state()
        arrays = {name: a for name, a in state.arrays.items() if name != "messages"}
        facts = {
            "where": asdict(self._parties.where),
            "weigh_loss": self._weigh_loss,
            "state": state.meta,
        }
        self._journal.keep(self._parties.round - 1, facts, arrays, self._transport)
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


def _account(setup: VerticalSetup, place: RunFolder, done: int) -> LabelAccount | None:
    config = setup.config
    if not config.private:
        return None
    given = config.vertical.privacy
    place.make_accounts()
    once = given.release == "once" or (given.release is None and given.epsilon is not None)
    return LabelAccount(
        place.account(config.sponsor.name),
        place.sponsor / "noise.key",
        config.sponsor.name,
        config.seed,
        given,
        releases=1 if once else config.vertical.n_rounds,
        done=done,
    )
