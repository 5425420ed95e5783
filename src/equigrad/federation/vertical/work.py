"""The parties of a run at work in this process.

Neighbours: ``spec`` says what each is, ``run`` and ``predict`` talk to them.
"""

from collections.abc import Sequence
from typing import Final

from equigrad.federation.transport import FaultPlan, InProcessTransport
from equigrad.federation.vertical.config.schema import VerticalConfig
from equigrad.federation.vertical.spec import VerticalSpec

__all__ = ["make_transport"]

_MOST_WORKERS: Final = 256


def make_transport(
    config: VerticalConfig, specs: Sequence[VerticalSpec], faults: FaultPlan | None = None
) -> InProcessTransport:
    """Return the parties at work: one worker for each, unless the run file says otherwise.

    With fewer workers a slow party makes those that wait for its worker miss the deadline, too.
    """
    engine = config.engine
    workers = engine.workers or min(len(specs), _MOST_WORKERS)
    return InProcessTransport(specs, pool=engine.pool, workers=workers, faults=faults)
