"""The alignment of a run: which of the sponsor's rows each party holds, over the transport.

Keyed digests: one exchange, in which a party sees the digests of all rows. Private set
intersection: three, after which it sees those of the common rows alone. Neighbours: ``party``
answers, :mod:`equigrad.data.alignment` has the mathematics.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from equigrad.assistance.arrays import Bool
from equigrad.data.alignment import PsiClient, check_common
from equigrad.errors import AlignmentError
from equigrad.federation.messages import Failure, Message
from equigrad.federation.record.canonical import sha256_array
from equigrad.federation.transport.base import Transport
from equigrad.federation.vertical.messages import (
    ALIGNING,
    MaskReply,
    OfferRequest,
    PsiReply,
    PsiRequest,
    PsiSetupReply,
    PsiSetupRequest,
    array,
    tensor,
    wire_size,
)
from equigrad.federation.vertical.setup import VerticalSetup

__all__ = ["Aligner"]


class Aligner:
    """Asks all parties for their rows.

    Parameters
    ----------
    setup
        The run.
    transport
        Who carries the messages.
    """

    def __init__(self, setup: VerticalSetup, transport: Transport) -> None:
        self._setup, self._transport = setup, transport
        self._names = [party.name for party in setup.config.parties]
        self.sent = dict.fromkeys(self._names, 0)
        self.received = dict.fromkeys(self._names, 0)

    def align(self) -> tuple[Bool, dict[str, Any]]:
        """Return who holds which row, ``(N, M)``, and the body of the record's line.

        Raises
        ------
        AlignmentError
            If a party does not answer, or shares too few rows.
        """
        config, digests = self._setup.config, self._setup.rows.digests
        held = np.ones((len(digests), len(self._names)), dtype=np.bool_)
        if config.vertical.alignment.method == "psi":
            held[:, 1:] = self._intersections()
        offers = {
            name: OfferRequest(
                round=ALIGNING,
                task=self._setup.task,
                n_outputs=self._setup.target.n_outputs,
                n_rounds=config.vertical.n_rounds,
                digests=tensor(digests[held[:, m]]),
                mechanism=config.vertical.privacy.mechanism,
                deadline_s=config.vertical.deadline_s,
            )
            for m, name in enumerate(self._names)
        }
        for name, reply in self._ask(offers, MaskReply).items():
            m = self._names.index(name)
            mask = array(reply.held)
            if mask.dtype != np.bool_ or mask.shape != (int(held[:, m].sum()),):
                raise AlignmentError(
                    f"Expected a mask of {int(held[:, m].sum())} rows from party {name!r}, got "
                    f"{mask.dtype} of shape {mask.shape}."
                )
            held[held[:, m], m] = mask
        common = {name: int(held[:, m].sum()) for m, name in enumerate(self._names)}
        check_common(common, len(digests), self._setup.target.n_outputs)
        return held, self._body(held, common)

    def _body(self, held: Bool, common: Mapping[str, int]) -> dict[str, Any]:
        return {
            "method": self._setup.config.vertical.alignment.method,
            "n_rows": len(held),
            "common": dict(common),
            "masks": {
                name: sha256_array(np.ascontiguousarray(held[:, m]))
                for m, name in enumerate(self._names)
            },
            "sent": dict(self.sent),
            "received": dict(self.received),
        }

    def _intersections(self) -> Bool:
        """Return which rows each assistor holds, ``(N, M - 1)``, by private set intersection."""
        client = PsiClient(self._setup.rows.digests)
        n_rows, task = len(self._setup.rows), self._setup.task
        ask = PsiSetupRequest(round=ALIGNING, task=task, n_rows=n_rows)
        setups = self._ask(dict.fromkeys(self._names[1:], ask), PsiSetupReply)
        blinded = tensor(np.frombuffer(client.request(), dtype=np.uint8))
        request = PsiRequest(round=ALIGNING, task=task, request=blinded)
        answers = self._ask(dict.fromkeys(self._names[1:], request), PsiReply)
        return np.stack(
            [
                client.held(
                    array(setups[name].setup).tobytes(), array(answers[name].response).tobytes()
                )
                for name in self._names[1:]
            ],
            axis=1,
        )

    def _ask(self, requests: Mapping[str, Message], kind: type[Any]) -> dict[str, Any]:
        """Return everybody's reply; no party may be missing before the rows are known."""
        deadline = self._setup.config.vertical.deadline_s
        replies = {}
        for name, request in requests.items():
            self.sent[name] += wire_size(request)
        for name, reply in self._transport.exchange(requests, deadline_s=deadline):
            if isinstance(reply, Failure):
                raise AlignmentError(
                    f"Expected party {name!r} to tell which rows it holds, got no answer "
                    f"({reply.reason}: {reply.detail}). All parties take part in the alignment."
                )
            if not isinstance(reply, kind) or reply.party != name:
                raise AlignmentError(
                    f"Expected an answer of kind {kind.kind!r} from party {name!r}, got "
                    f"{reply.kind!r}."
                )
            self.received[name] += wire_size(reply)
            replies[name] = reply
        return replies
