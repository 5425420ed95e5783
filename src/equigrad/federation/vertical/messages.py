"""What sponsor and parties of a vertical run say to each other.

One exchange a round: the residual goes out, fits come back. Nothing else ever leaves a party: no
column, no model, no loss; nothing of the sponsor but digests of identifiers, residuals and, in
compact prediction, a party's own coefficients. The wire form is that of
:mod:`equigrad.federation.messages`. Neighbours: ``party`` answers, ``remote`` asks.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from equigrad.federation.messages import Message, register, to_bytes

__all__ = [
    "FitReply",
    "FitRequest",
    "KeepReply",
    "KeepRequest",
    "MaskReply",
    "OfferRequest",
    "PredictReply",
    "PredictRequest",
    "PsiReply",
    "PsiRequest",
    "PsiSetupReply",
    "PsiSetupRequest",
    "array",
    "tensor",
    "wire_size",
]

AnyMessage = TypeVar("AnyMessage", bound=Message)

ALIGNING = -1
"""The round of all messages before the first residual."""


@register
@dataclass(frozen=True, kw_only=True)
class PsiSetupRequest(Message):
    """Make a private set of your identifiers for a client with ``n_rows`` of them."""

    kind: ClassVar[str] = "psi-setup"
    task: str
    n_rows: int


@register
@dataclass(frozen=True, kw_only=True)
class PsiSetupReply(Message):
    """The party's set, blinded; ``setup`` is ``(b,) uint8``."""

    kind: ClassVar[str] = "psi-set"
    party: str
    setup: torch.Tensor


@register
@dataclass(frozen=True, kw_only=True)
class PsiRequest(Message):
    """The sponsor's identifiers, blinded, ``(b,) uint8``."""

    kind: ClassVar[str] = "psi-ask"
    task: str
    request: torch.Tensor


@register
@dataclass(frozen=True, kw_only=True)
class PsiReply(Message):
    """The same, blinded once more, ``(b,) uint8``."""

    kind: ClassVar[str] = "psi-answer"
    party: str
    response: torch.Tensor


@register
@dataclass(frozen=True, kw_only=True)
class OfferRequest(Message):
    """The task, and the digests ``(N, 32) uint8`` of its rows in the order of all later messages.

    Attributes
    ----------
    task
        Identifies the run.
    n_outputs, n_rounds
        K and the most rounds of a pass.
    mechanism
        What protects the labels in the residuals, or "none".
    deadline_s
        Seconds that a round may take.
    """

    kind: ClassVar[str] = "offer"
    task: str
    n_outputs: int
    n_rounds: int
    digests: torch.Tensor
    mechanism: str
    deadline_s: float


@register
@dataclass(frozen=True, kw_only=True)
class MaskReply(Message):
    """Which of the rows the party holds, ``(N,) bool``."""

    kind: ClassVar[str] = "mask"
    party: str
    task: str
    held: torch.Tensor


@register
@dataclass(frozen=True, kw_only=True)
class FitRequest(Message):
    """Fit this round's residual; ``round`` counts from 0 over both passes.

    Attributes
    ----------
    task
        Identifies the run.
    pass_, t
        The pass (0, 1) and its round, from 1.
    residual
        ``(n, K)`` float64 or float32, of the rows of this pass that the party holds, in order.
    rows
        ``(n,) int64``: their places among the rows that the party holds; left out once the party
        has answered in this pass.
    tag
        What is known of the label privacy of the residual; empty without.
    """

    kind: ClassVar[str] = "residual"
    task: str
    pass_: int
    t: int
    residual: torch.Tensor
    rows: torch.Tensor | None = None
    tag: str = ""


@register
@dataclass(frozen=True, kw_only=True)
class FitReply(Message):
    """The party's outputs on all rows that it holds, ``(n_held, K)``.

    A learner that states all rounds again gives ``(t, n_held, K)``, zeros for rounds it missed.
    """

    kind: ClassVar[str] = "fit"
    payload: ClassVar[str] = "outputs"
    party: str
    task: str
    pass_: int
    t: int
    outputs: torch.Tensor


@register
@dataclass(frozen=True, kw_only=True)
class KeepRequest(Message):
    """Training ended: keep the models of rounds 1 to ``rounds`` of pass ``pass_``."""

    kind: ClassVar[str] = "keep"
    task: str
    pass_: int
    rounds: int


@register
@dataclass(frozen=True, kw_only=True)
class KeepReply(Message):
    """The rounds the party keeps a model of, and the SHA-256 of the residuals behind them."""

    kind: ClassVar[str] = "kept"
    party: str
    kept: list[int]
    digest: str


@register
@dataclass(frozen=True, kw_only=True)
class PredictRequest(Message):
    """Answer for the rows of these digests, ``(n, 32) uint8``.

    Attributes
    ----------
    rounds
        T*, the rounds of the model.
    coefficients
        ``(T*,) float64``: answer with one sum by them; None for all rounds' outputs.
    """

    kind: ClassVar[str] = "query"
    task: str
    digests: torch.Tensor
    rounds: int
    coefficients: torch.Tensor | None = None


@register
@dataclass(frozen=True, kw_only=True)
class PredictReply(Message):
    """Which rows the party holds, ``(n,) bool``, and its outputs for those.

    ``outputs`` is ``(T*, n_held, K)``, zeros for rounds the party has no model of; or
    ``(n_held, K)``, their sum, if coefficients were given. ``fitted`` are the rounds it has a
    model of.
    """

    kind: ClassVar[str] = "answer"
    payload: ClassVar[str] = "outputs"
    party: str
    task: str
    held: torch.Tensor
    outputs: torch.Tensor
    fitted: list[int]


def tensor(values: npt.NDArray[Any], dtype: Literal["float64", "float32"] | None = None) -> Any:
    """Return an array as a contiguous tensor of its own, as messages carry it."""
    return torch.from_numpy(np.array(values, dtype=dtype, order="C"))


def array(values: torch.Tensor) -> npt.NDArray[Any]:
    """Return a tensor of a message as an array; floats become float64."""
    found = values.numpy(force=True)
    return found.astype(np.float64) if found.dtype == np.float32 else found


def wire_size(message: Message) -> int:
    """Return the bytes of a message on the wire."""
    return len(to_bytes(message))
