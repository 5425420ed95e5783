"""Playing a market run in a folder, and on after a kill.

Neighbours: ``setup`` prepares, ``game`` plays, ``ending`` says what is left. The doors are
:func:`equigrad.federation.runner.run` and ``resume``.
"""

from pathlib import Path

from equigrad.errors import RecordError
from equigrad.federation.journal import Journal, refuse_other_start
from equigrad.federation.ledger import SqlStore
from equigrad.federation.record.checkpoint import Checkpoint, load_checkpoint
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.trade.baselines import rehearse
from equigrad.federation.trade.config.schema import MarketConfig
from equigrad.federation.trade.ending import finish_body
from equigrad.federation.trade.game import MarketGame
from equigrad.federation.trade.money import Ledger, currency_of
from equigrad.federation.trade.progress import MarketListener, SilentMarket
from equigrad.federation.trade.setup import MarketSetup, make_specs, prepare
from equigrad.federation.trade.state import MarketState
from equigrad.federation.transport import FaultPlan, InProcessTransport

__all__ = ["play", "play_on"]


def play(
    config: MarketConfig,
    folder: Path | str,
    *,
    source: str = "",
    progress: MarketListener | None = None,
    faults: FaultPlan | None = None,
    report: bool = True,
) -> Path:
    """Play a market run and return its folder; see :func:`equigrad.federation.runner.run`."""
    setup = prepare(config)
    if config.market.ledger is not None:  # to refuse it before there is a folder
        SqlStore(config.market.ledger, [currency_of(config)]).close()
    place = RunFolder.create(folder, source, config.model_dump())
    return _play(setup, place, None, progress or SilentMarket(), faults, report)


def play_on(
    config: MarketConfig,
    place: RunFolder,
    *,
    progress: MarketListener | None = None,
    faults: FaultPlan | None = None,
    report: bool = True,
) -> Path:
    """Go on with a market run; see :func:`equigrad.federation.runner.resume`."""
    setup = prepare(config)
    checkpoint = load_checkpoint(place)
    if checkpoint is not None:
        refuse_other_start(place, setup.start)
        own = place.path / "market.db"
        if config.market.ledger is None and not own.exists():
            raise RecordError(
                f"Expected the run's ledger in {own}, got no such file. Restore it from a copy."
            )
    return _play(setup, place, checkpoint, progress or SilentMarket(), faults, report)


def _play(
    setup: MarketSetup,
    place: RunFolder,
    checkpoint: Checkpoint | None,
    progress: MarketListener,
    faults: FaultPlan | None,
    report: bool,
) -> Path:
    config = setup.config
    place.make_accounts()
    place.make_sellers(setup.parties)
    engine = config.engine
    with (
        Journal.open(place, checkpoint) as journal,
        Ledger(config, place, setup.task) as ledger,
        InProcessTransport(
            make_specs(setup, place), pool=engine.pool, workers=engine.workers, faults=faults
        ) as transport,
    ):
        progress.started(setup.start)
        for note in setup.notes:
            progress.message("info", note)
        listings = list(setup.listings.values())
        ledger.enter(config.buyer, listings, setup.start["model"]["initial_sha256"], setup.funds)
        wallets = {config.buyer: setup.funds} | dict.fromkeys(setup.parties, 0)
        state = MarketState.begin(setup.initial, wallets)
        if checkpoint is None:
            journal.line("start", None, setup.start)
            journal.line("baselines", None, rehearse(setup, progress.rehearsed))
            state.clock = ledger.clock.now
            journal.keep(-1, state.facts(), state.arrays(), transport)
        else:
            state = MarketState.of(checkpoint)
            transport.load(checkpoint.parties)
        game = MarketGame(
            setup, state, ledger=ledger, transport=transport, journal=journal, progress=progress
        )
        reason = game.play()
        journal.line("finish", None, finish_body(setup, state, transport, place, reason))
        journal.sync()
    if report:
        from equigrad.federation.trade.report import write_report

        write_report(place)
    progress.finished(place.path)
    return place.path
