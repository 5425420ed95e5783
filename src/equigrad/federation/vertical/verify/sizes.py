"""What messages weigh, from their shapes alone; and which releases have an event.

Neighbour: ``judge``.
"""

from typing import Any

import numpy as np

from equigrad.assistance import make_loss
from equigrad.federation.record.canonical import plain
from equigrad.federation.record.chain import Line
from equigrad.federation.vertical.config.schema import VerticalConfig
from equigrad.federation.vertical.labels import label_privacy
from equigrad.federation.vertical.messages import (
    ALIGNING,
    FitReply,
    FitRequest,
    MaskReply,
    OfferRequest,
    tensor,
    wire_size,
)
from equigrad.federation.vertical.setup import make_settings
from equigrad.privacy.noise import NoiseKey

__all__ = ["Sizes"]


class Sizes:
    """Builds messages of zeros, as large as the real ones.

    Parameters
    ----------
    config
        The run file.
    task
        What identifies the run.
    n_outputs
        K.
    """

    def __init__(self, config: VerticalConfig, task: str, n_outputs: int) -> None:
        self._config, self._task, self._columns = config, task, n_outputs
        self._wire = config.vertical.wire_dtype
        mechanism = config.vertical.privacy.mechanism
        self._tag = "" if mechanism == "none" else mechanism

    def alignment(self, name: str, n_rows: int) -> tuple[int, int]:
        """Return the bytes of the offer to a party, and of its mask, with keyed digests."""
        given = self._config.vertical
        offer = OfferRequest(
            round=ALIGNING,
            task=self._task,
            n_outputs=self._columns,
            n_rounds=given.n_rounds,
            digests=tensor(np.zeros((n_rows, 32), dtype=np.uint8)),
            mechanism=given.privacy.mechanism,
            deadline_s=given.deadline_s,
        )
        held = tensor(np.zeros(n_rows, dtype=np.bool_))
        mask = MaskReply(round=ALIGNING, party=name, task=self._task, held=held)
        return wire_size(offer), wire_size(mask)

    def request(self, line: Line, name: str, rows: int, *, told: bool) -> int:
        """Return the bytes of a residual of so many rows."""
        del name
        body = line.body
        return wire_size(
            FitRequest(
                round=line.round or 0,
                task=self._task,
                pass_=body["pass"],
                t=body["t"],
                residual=tensor(np.zeros((rows, self._columns)), self._wire),
                rows=tensor(np.zeros(rows, dtype=np.int64)) if told else None,
                tag=self._tag,
            )
        )

    def reply(self, asked: Line, name: str, shape: list[int]) -> int:
        """Return the bytes of an answer of this shape."""
        return wire_size(
            FitReply(
                round=asked.round or 0,
                party=name,
                task=self._task,
                pass_=asked.body["pass"],
                t=asked.body["t"],
                outputs=tensor(np.zeros(shape), self._wire),
            )
        )

    def event(self, *, first: bool, again: bool) -> dict[str, Any] | None:
        """Return the privacy event of a round, if it releases something."""
        given = self._config.vertical.privacy
        plan = label_privacy(given)
        if plan is None or again:
            return None
        secret = given.noise == "secret"
        key = NoiseKey.secret() if secret else NoiseKey.test(self._config.seed)
        loss = make_loss(make_settings(self._config).loss)
        bound = plan.bind(loss, self._columns, self._config.vertical.n_rounds, key)
        event = bound.event()
        if event is None or (bound.once and not first):
            return None
        found: dict[str, Any] = plain(event.to_json())
        return found
