"""The end of a market run: last receipts, the model, what parties say of their accounts.

Neighbour: ``run`` calls here when all rounds are settled.
"""

from typing import Any

from safetensors.torch import save

from equigrad.federation.gathering import finite
from equigrad.federation.record.canonical import sha256_file
from equigrad.federation.record.disk import write_atomic
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.setup import COORDINATOR
from equigrad.federation.trade.asking import ask
from equigrad.federation.trade.messages import ClosingReply, ClosingRequest
from equigrad.federation.trade.setup import MarketSetup
from equigrad.federation.trade.state import MarketState
from equigrad.federation.transport.base import Transport
from equigrad.models import vector_sha256

__all__ = ["finish_body"]


def finish_body(
    setup: MarketSetup, state: MarketState, transport: Transport, place: RunFolder, reason: str
) -> dict[str, Any]:
    """Write the model, say goodbye to everybody, and return the record's last line.

    What parties tell is theirs to tell; a party that does not answer is in ``absent``.

    Parameters
    ----------
    setup, state, transport, place
        The run.
    reason
        Why it ended.
    """
    model = state.delivered()
    path = place.model(COORDINATOR)
    write_atomic(path, save(setup.named(model)))
    requests = {
        party: ClosingRequest(
            round=state.next_round,
            task=setup.task,
            model=model,
            receipts=state.receipts.get(party, []),
        )
        for party in setup.parties
    }
    deadline = setup.config.market.deliver_seconds
    replies, answers = ask(transport, requests, ClosingReply, deadline_s=deadline)
    return {
        "reason": reason,
        "rounds": state.next_round,
        "models": {path.name: sha256_file(path)},
        "digest": vector_sha256(model),
        "parties": list(replies),
        "epsilon": [float(reply.epsilon) for reply in replies.values()],
        "delta": [float(reply.delta) for reply in replies.values()],
        "sales": [reply.sales for reply in replies.values()],
        "earned": [reply.earned for reply in replies.values()],
        "receipts": [reply.receipts for reply in replies.values()],
        "heads": [reply.head for reply in replies.values()],
        "metrics": [finite(reply.metrics) for reply in replies.values()],
        "absent": {**answers.declined, **answers.absent},
        "wallets": dict(state.wallets),
        COORDINATOR: finite(setup.measure(model)),
    }
