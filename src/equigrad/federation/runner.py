"""Running a run file: from a configuration to a finished run folder, and on after a kill.

``run`` and ``resume`` are the two doors; both end in the same folder with the same record, bit for
bit, however often the process died in between.
"""

from pathlib import Path
from typing import cast

from safetensors.torch import save

from equigrad.federation.config.loader import AnyConfig, restore_config
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.coordinator import Coordinator
from equigrad.federation.gathering import finite
from equigrad.federation.journal import Journal, recall, refuse_other_start
from equigrad.federation.memory import Memory
from equigrad.federation.messages import FinishReply
from equigrad.federation.methods import METHODS
from equigrad.federation.methods.base import Method
from equigrad.federation.private.account import end_accounts, with_accounts
from equigrad.federation.private.spending import spent_by_party
from equigrad.federation.progress import ProgressListener, Silent
from equigrad.federation.record.canonical import sha256_file
from equigrad.federation.record.checkpoint import Checkpoint, load_checkpoint
from equigrad.federation.record.disk import write_atomic
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.report import write_report
from equigrad.federation.setup import COORDINATOR, Setup, prepare
from equigrad.federation.trade.config.schema import MarketConfig
from equigrad.federation.trade.progress import MarketListener
from equigrad.federation.trade.run import play as play_market
from equigrad.federation.trade.run import play_on as play_market_on
from equigrad.federation.transport import FaultPlan, InProcessTransport
from equigrad.federation.vertical.config.schema import VerticalConfig
from equigrad.federation.vertical.progress import VerticalListener
from equigrad.federation.vertical.run import play, play_on

__all__ = ["resume", "run"]


Listener = ProgressListener | VerticalListener | MarketListener
"""Who is told: of the form that the kind of run has."""


def run(
    config: AnyConfig,
    folder: Path | str,
    *,
    source: str = "",
    progress: Listener | None = None,
    faults: FaultPlan | None = None,
    report: bool = True,
) -> Path:
    """Play a run and return its folder.

    Parameters
    ----------
    config
        The run file, checked.
    folder
        Where the run is kept; must be new or empty.
    source
        The run file's text, kept verbatim.
    progress
        Who is told; default: nobody.
    faults
        Planned faults, for tests.
    report
        Whether metrics, plots and report are made at the end (they follow from the record, and
        ``equigrad report`` makes them at any time).

    Raises
    ------
    EquigradError
        ``ConfigError``, ``DataError`` or ``ModelError`` before anything is written;
        ``RecordError`` if the folder cannot be written; ``QuorumError`` if too few parties
        answered too often (the run can be resumed).
    """
    if isinstance(config, VerticalConfig):
        return play(
            config,
            folder,
            source=source,
            progress=cast("VerticalListener | None", progress),
            faults=faults,
            report=report,
        )
    if isinstance(config, MarketConfig):
        listening = cast("MarketListener | None", progress)
        return play_market(
            config, folder, source=source, progress=listening, faults=faults, report=report
        )
    setup = prepare(config, source)
    place = RunFolder.create(folder, source, config.model_dump())
    if setup.plans:
        place.make_accounts()
    listener = cast("ProgressListener", progress or Silent())
    return _play(config, setup, place, None, listener, faults, report)


def resume(
    folder: Path | str,
    *,
    progress: Listener | None = None,
    faults: FaultPlan | None = None,
    report: bool = True,
) -> Path:
    """Go on with a run that was stopped, from its latest settled round, and return its folder.

    A finished run is finished again, to the same bytes.

    Raises
    ------
    RecordError
        If the folder is no run folder, is damaged, or the data or the program have changed since
        the run began, so that it could not end as it would have.
    """
    place = RunFolder.open(folder)
    config = restore_config(place.read_config())
    if isinstance(config, VerticalConfig):
        listener = cast("VerticalListener | None", progress)
        return play_on(config, place, progress=listener, faults=faults, report=report)
    if isinstance(config, MarketConfig):
        listening = cast("MarketListener | None", progress)
        return play_market_on(config, place, progress=listening, faults=faults, report=report)
    setup = prepare(config)
    checkpoint = load_checkpoint(place)
    if checkpoint is not None:
        refuse_other_start(place, setup.start)
    watching = cast("ProgressListener", progress or Silent())
    return _play(config, setup, place, checkpoint, watching, faults, report)


def _play(
    config: RunConfig,
    setup: Setup,
    place: RunFolder,
    checkpoint: Checkpoint | None,
    progress: ProgressListener,
    faults: FaultPlan | None,
    report: bool,
) -> Path:
    method = METHODS[config.method](setup.terms)
    with (
        Journal.open(place, checkpoint) as journal,
        InProcessTransport(
            with_accounts(setup.specs, place),
            pool=config.engine.pool,
            workers=config.engine.workers,
            faults=faults,
        ) as transport,
    ):
        memory = Memory()
        coordinator = Coordinator(
            config, setup.terms, method, transport, journal, progress, memory, setup.plans
        )
        progress.started(setup.start)
        for note in setup.notes:
            progress.message("info", note)
        if checkpoint is not None:
            recall(checkpoint, memory, method, transport)
        else:
            journal.line("start", None, setup.start)
            if config.evaluation.standalone:
                coordinator.standalone()
            journal.checkpoint(memory, method, transport)
        coordinator.play()
        _finish(setup, place, method, transport, journal, coordinator.finish(), memory.steps)
        end_accounts(setup.specs, place)
    if report:
        write_report(place)
    progress.finished(place.path)
    return place.path


def _finish(
    setup: Setup,
    place: RunFolder,
    method: Method,
    transport: InProcessTransport,
    journal: Journal,
    replies: dict[str, FinishReply],
    steps: dict[str, int],
) -> None:
    """Write the models and the record's last line."""
    models = {COORDINATOR: method.model(), **transport.models()}
    files = {}
    for name, weights in models.items():
        path = place.models / f"{name}.safetensors"
        write_atomic(path, save(setup.named(weights)))
        files[path.name] = sha256_file(path)
    body = {
        "parties": list(replies),
        "metrics": [finite(reply.metrics) for reply in replies.values()],
        "digests": [reply.digest for reply in replies.values()],
        COORDINATOR: finite(setup.measure(method.model())),
        "models": files,
    }
    if setup.plans:
        spent = spent_by_party(setup.start["privacy"], steps)
        body["privacy"] = {
            "steps": {party: steps.get(party, 0) for party in spent},
            "epsilon": spent,
        }
    journal.line("finish", None, body)
    journal.sync()
