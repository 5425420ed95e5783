"""Building blocks of decomposed layers: linear maps and single parameters that are watched.

Attention and recurrent layers are made of these; each block computes what the layer would and
tells the tape which pieces follow.
"""

from torch import Tensor, nn

from equigrad.gradients.pieces import OuterPiece, Piece, SharedGrams, SumPiece
from equigrad.gradients.tape import Tape

__all__ = ["linear", "linear_pieces", "repeated"]


def linear(
    tape: Tape,
    name: str,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    batch_axis: int,
    at: slice | None = None,
    bias_at: slice | None = None,
) -> Tensor:
    """Return ``x @ weight[at].T + bias[bias_at]`` and mark it for both parameters.

    Parameters
    ----------
    tape, name
        The tape of the pass and the layer's name.
    x
        ``(*, I)`` with the records on ``batch_axis``.
    weight, bias
        The parameters ``(O, I)`` and ``(O,)``; ``bias`` may be None.
    batch_axis
        Axis of ``x`` that counts records.
    at, bias_at
        Rows of the parameters to use; None means all.
    """
    part = weight if at is None else weight[at]
    its_bias = bias if bias is None or bias_at is None else bias[bias_at]
    y = nn.functional.linear(x, part, its_bias)
    kept = tape.keep(x, name)

    def make(b: Tensor) -> list[Piece]:
        a = kept.get() if tape.create_graph else kept.get().detach()
        a = a.movedim(batch_axis, 0)
        return linear_pieces(tape, name, weight, (bias,), a, b, at=at, bias_at=bias_at)

    if tape.wants(weight) or tape.wants(bias):
        return tape.watch(y, make, layer=name, batch_axis=batch_axis)
    return y


def linear_pieces(
    tape: Tape,
    name: str,
    weight: Tensor,
    biases: tuple[Tensor | None, ...],
    a: Tensor,
    b: Tensor,
    *,
    at: slice | None = None,
    bias_at: slice | None = None,
    shared: SharedGrams | None = None,
) -> list[Piece]:
    """Return the pieces of a linear map with input ``a (B, *, I)`` and gradient ``b (B, *, O)``.

    Several biases get the same gradient; recurrent layers have two. ``shared`` is given where
    several weights meet the same gradient.
    """
    work = tape.workspace
    b = b.reshape(b.shape[0], -1, b.shape[-1])
    found: list[Piece] = []
    if isinstance(weight, nn.Parameter) and tape.wants(weight):
        a = a.reshape(a.shape[0], -1, a.shape[-1])
        found.append(OuterPiece(weight, a, b, work, view=at, layer=name, shared=shared))
    wanted = [p for p in biases if isinstance(p, nn.Parameter) and tape.wants(p)]
    if wanted:
        first = SumPiece(wanted[0], b, work, view=bias_at, layer=name)
        found.extend([first, *(first.for_parameter(other) for other in wanted[1:])])
    return found


def repeated(
    tape: Tape, name: str, parameter: nn.Parameter, size: int, *, batch_axis: int
) -> Tensor:
    """Return ``parameter (1, 1, E)`` once for each of ``size`` records, on ``batch_axis``."""
    copies = parameter.repeat((size, 1, 1) if batch_axis == 0 else (1, size, 1))
    if not tape.wants(parameter):
        return copies

    def make(b: Tensor) -> list[Piece]:
        return [SumPiece(parameter, b, tape.workspace, layer=name)]

    return tape.watch(copies, make, layer=name, batch_axis=batch_axis)
