"""Whether a party's reply can be used, and why not.

Neighbour: ``remote`` asks. What cannot be used counts as missing in its round; the run goes on.
"""

import numpy as np

from equigrad.assistance.arrays import Bool, Float64
from equigrad.assistance.checks import checked_answer
from equigrad.federation.messages import Message
from equigrad.federation.vertical.messages import FitReply, FitRequest, array

__all__ = ["usable_fit"]


def usable_fit(
    reply: Message, request: FitRequest, party: str, held: Bool, size: float
) -> tuple[Float64 | None, str]:
    """Return the outputs on all N rows, zero where the party holds none; or None and the reason.

    Parameters
    ----------
    reply, request, party
        What came, for what, from whom.
    held
        ``(N,)``: rows the party holds.
    size
        Root mean square of the residual of the round.

    Returns
    -------
    ``(N, K)``, or ``(t, N, K)`` where all rounds are stated again.
    """
    if not isinstance(reply, FitReply):
        return None, f"a reply of kind {reply.kind!r}"
    if reply.party != party:
        return None, f"a reply in the name of {reply.party!r}"
    if reply.task != request.task:
        return None, "a reply of another task"
    told, asked = (reply.round, reply.pass_, reply.t), (request.round, request.pass_, request.t)
    if told != asked:
        return None, f"a reply of round {reply.round}, expected {request.round}"
    if not reply.outputs.is_floating_point():
        return None, f"numbers of type {str(reply.outputs.dtype).removeprefix('torch.')}"
    outputs = array(reply.outputs).astype(np.float64, copy=False)
    columns = request.residual.shape[1]
    shape = (int(held.sum()), columns)
    if outputs.shape not in (shape, (request.t, *shape)):
        return None, f"shape {outputs.shape}, expected {shape}"
    placed = outputs
    if not held.all():
        placed = np.zeros((*outputs.shape[:-2], len(held), columns))
        placed[..., held, :] = outputs
    return checked_answer(placed, held, request.t, columns, size)
