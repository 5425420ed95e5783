"""Playing a vertical run in a folder, and on after a kill.

Neighbours: ``setup`` prepares, ``game`` plays, ``ending`` says what is left. The doors are
:func:`equigrad.federation.runner.run` and ``resume``.
"""

from pathlib import Path

from equigrad.assistance import Training
from equigrad.federation.journal import Journal, refuse_other_start
from equigrad.federation.record.chain import iter_record
from equigrad.federation.record.checkpoint import Checkpoint, load_checkpoint
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.transport import FaultPlan
from equigrad.federation.vertical.config.schema import VerticalConfig
from equigrad.federation.vertical.ending import ending_of
from equigrad.federation.vertical.game import Game
from equigrad.federation.vertical.labels import LabelAccount
from equigrad.federation.vertical.progress import SilentVertical, VerticalListener
from equigrad.federation.vertical.setup import VerticalSetup, party_specs, prepare
from equigrad.federation.vertical.sponsor_folder import SponsorFolder
from equigrad.federation.vertical.work import make_transport

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
    if report:
        from equigrad.federation.vertical.report import write_report

        write_report(place)
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
    specs = party_specs(setup.config, setup.key, place)
    with (
        Journal.open(place, checkpoint) as journal,
        make_transport(setup.config, specs, faults) as transport,
    ):
        progress.started(setup.start)
        for note in setup.notes:
            progress.message("info", note)
        account = _account(setup, place)
        game = Game(
            setup,
            recorder=journal,
            transport=transport,
            folder=SponsorFolder(place.sponsor),
            progress=progress,
            account=account,
        )
        held = game.align(checkpoint)
        training = game.train(held, checkpoint, resumed=resumed)
        lines = [(line.stage, line.body) for line in iter_record(place.record)]
        ending = ending_of(setup, game.parties, training, lines)
        ending.write(place)
        journal.line("finish", None, ending.body)
        journal.sync()
        if account is not None:
            account.end()
        _warn(training, game, progress)


def _warn(training: Training, game: Game, progress: VerticalListener) -> None:
    early = {"quorum": "too few parties answered", "budget": "the label budget is spent"}
    if training.reason in early:
        why = early[training.reason]
        if training.reason == "quorum":
            missing = [f"{name} ({told})" for name, told in game.parties.last.told().items()]
            why = f"{why}; without {', '.join(missing)}" if missing else why
        text = f"Training ended early ({why}) with the model so far."
        progress.message("warning", text)


def _account(setup: VerticalSetup, place: RunFolder) -> LabelAccount | None:
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
    )
