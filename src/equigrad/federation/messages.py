"""What a coordinator and a party say to each other: typed, small, and the same on every engine.

One exchange a round: the request of round t carries the delivery of an earlier round, and the
reply carries the upload of round t together with what the party measured on the model that the
delivery gave it. :func:`to_bytes` and :func:`from_bytes` are the wire form (a JSON head and
safetensors; never pickle), which the process pool uses and any network engine can.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeVar

import torch
from safetensors.torch import load, save

from equigrad.errors import RegistryError
from equigrad.reward import Sparse, decode

__all__ = [
    "Delivery",
    "Failure",
    "FinishReply",
    "FinishRequest",
    "Message",
    "ModelReply",
    "ModelRequest",
    "NormReply",
    "NormRequest",
    "StandaloneReply",
    "StandaloneRequest",
    "TrainReply",
    "TrainRequest",
    "from_bytes",
    "register",
    "to_bytes",
]

Bounding = Literal["none", "clip", "rescale", "rescale-eps"]


@dataclass(frozen=True)
class Delivery:
    """What a party is to do with its model because of one settled round.

    With ``w`` the party's model before its local step of that round and ``h`` the local step it
    holds (its raw update or its bounded upload, see :attr:`TrainRequest.hold`; zero if none):

    ``w <- (1 - share) (w + keep h) + share M + v``

    where ``M`` is ``model`` (dense, ``(D,)``) and ``v`` is the reward: ``reward`` is its wire form
    (:func:`equigrad.reward.encode`: positions or bitmap, and values) as tensors, or None.
    """

    round: int
    keep: float = 0.0
    share: float = 0.0
    model: torch.Tensor | None = None
    reward: Mapping[str, torch.Tensor] | None = None

    def __post_init__(self) -> None:
        if self.share != 0 and self.model is None:
            raise ValueError(f"Expected a model to mix with share={self.share!r}, got none.")

    def sparse(self) -> Sparse | None:
        """Return the reward's positions and values, checked, or None.

        Raises
        ------
        DataError
            If the wire form is malformed.
        """
        if self.reward is None:
            return None
        return decode({name: tensor.numpy(force=True) for name, tensor in self.reward.items()})

    def increment(self, size: int) -> torch.Tensor:
        """Return the reward as a dense vector ``(size,) float32`` (zeros if there is none)."""
        vector = torch.zeros(size)
        sparse = self.sparse()
        if sparse is not None:
            vector[torch.from_numpy(sparse.indices)] = torch.from_numpy(sparse.values).to(vector)
        return vector

    def apply(self, weights: torch.Tensor, held: torch.Tensor | None) -> torch.Tensor:
        """Return the new flat model ``(D,)``; the arguments are not changed."""
        new = weights.clone()
        if self.keep and held is not None:
            new.add_(held, alpha=self.keep)
        if self.model is not None and self.share:
            model = self.model.to(new)
            new = model.clone() if self.share == 1 else new.lerp(model, self.share)
        sparse = self.sparse()
        if sparse is not None:
            at = torch.from_numpy(sparse.indices).to(new.device)
            new.index_add_(0, at, torch.from_numpy(sparse.values).to(new))
        return new


@dataclass(frozen=True, kw_only=True)
class Message:
    """Root of all messages: a round and (in replies) the party that speaks.

    ``payload`` names the field of a reply that holds the party's answer, if it has one.
    """

    kind: ClassVar[str] = ""
    payload: ClassVar[str] = ""
    round: int

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the tensors of this message by field name (``delivery.values`` and so on)."""
        return {k: v for k, v in _flatten(self).items() if isinstance(v, torch.Tensor)}

    def nbytes(self) -> int:
        """Return the size of the tensors of this message in bytes."""
        return sum(t.numel() * t.element_size() for t in self.tensors().values())


@dataclass(frozen=True, kw_only=True)
class TrainRequest(Message):
    """Apply ``delivery``, train from there for this round, and upload the bounded update.

    ``gamma`` is the upload norm (``None`` only with ``bounding = "none"``); ``hold`` says which
    form of the local step the party must remember until the next delivery; ``evaluate`` asks for
    the score of the model after the delivery, before training.
    """

    kind: ClassVar[str] = "train"
    delivery: Delivery | None = None
    bounding: Bounding = "clip"
    gamma: float | None = None
    hold: Literal["none", "update", "upload"] = "none"
    evaluate: bool = True


@dataclass(frozen=True, kw_only=True)
class TrainReply(Message):
    """The upload ``(D,)`` of one round, the last delivery applied, and what was measured.

    ``noise`` declares noise that the party added to its upload on purpose: its ``kind``
    ("gaussian" or "laplace") and its ``variance`` per coordinate; empty if none. ``privacy`` is
    what a party that trains privately tells of its release (see
    :mod:`equigrad.federation.private.told`); empty if it released nothing.
    """

    kind: ClassVar[str] = "trained"
    payload: ClassVar[str] = "upload"
    party: str
    upload: torch.Tensor
    records: int
    delivered: int = -1
    metrics: Mapping[str, float] = field(default_factory=dict)
    noise: Mapping[str, Any] = field(default_factory=dict)
    privacy: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NormRequest(Message):
    """Train for this round and report only the norm of the update (round 0, automatic gamma)."""

    kind: ClassVar[str] = "norm"


@dataclass(frozen=True, kw_only=True)
class NormReply(Message):
    """The Euclidean norm of the raw update of one round."""

    kind: ClassVar[str] = "normed"
    party: str
    norm: float


@dataclass(frozen=True, kw_only=True)
class ModelRequest(Message):
    """Send your current model (used once, for a late joiner that starts from it)."""

    kind: ClassVar[str] = "model"
    delivery: Delivery | None = None


@dataclass(frozen=True, kw_only=True)
class ModelReply(Message):
    """A party's current flat model ``(D,)``."""

    kind: ClassVar[str] = "modelled"
    party: str
    model: torch.Tensor
    delivered: int = -1


@dataclass(frozen=True, kw_only=True)
class StandaloneRequest(Message):
    """Train alone from the initial model for ``rounds`` rounds of local epochs; keep no state."""

    kind: ClassVar[str] = "standalone"
    rounds: int


@dataclass(frozen=True, kw_only=True)
class StandaloneReply(Message):
    """What the party reached alone; ``steps`` its privacy account holds by now (0 without one)."""

    kind: ClassVar[str] = "stood-alone"
    party: str
    records: int
    metrics: Mapping[str, float]
    steps: int = 0


@dataclass(frozen=True, kw_only=True)
class FinishRequest(Message):
    """Apply the last delivery, measure the final model and say its digest."""

    kind: ClassVar[str] = "finish"
    delivery: Delivery | None = None


@dataclass(frozen=True, kw_only=True)
class FinishReply(Message):
    """The final measurement and the SHA-256 of the final flat model's bytes.

    ``steps`` are those that the party's privacy account holds at the end (0 without one).
    """

    kind: ClassVar[str] = "finished"
    party: str
    metrics: Mapping[str, float]
    digest: str
    delivered: int = -1
    steps: int = 0


@dataclass(frozen=True)
class Failure:
    """A party did not answer a request: why, in one word and in one sentence.

    ``reason`` is "deadline" (silent until the deadline), "raised" (its code failed), "budget" (its
    privacy account holds too little) or "lost" (the engine lost it). The coordinator treats all of
    them alike: the party is absent this round.
    """

    party: str
    reason: Literal["deadline", "raised", "budget", "lost"]
    detail: str = ""


_KINDS: dict[str, type[Message]] = {}

AnyMessage = TypeVar("AnyMessage", bound=Message)


def register(cls: type[AnyMessage]) -> type[AnyMessage]:
    """Let the wire form carry messages of this class; a second class of one kind is refused.

    Raises
    ------
    RegistryError
        If the kind is empty or taken.
    """
    if not cls.kind or cls.kind in _KINDS:
        raise RegistryError(f"Expected a kind of message of its own, got {cls.kind!r}.")
    _KINDS[cls.kind] = cls
    return cls


for _class in (
    TrainRequest,
    TrainReply,
    NormRequest,
    NormReply,
    ModelRequest,
    ModelReply,
    StandaloneRequest,
    StandaloneReply,
    FinishRequest,
    FinishReply,
):
    register(_class)


def _flatten(message: Message) -> dict[str, Any]:
    """Return the fields by name; those of a delivery and of its reward by dotted names."""
    flat: dict[str, Any] = {}
    for f in fields(message):
        value = getattr(message, f.name)
        if isinstance(value, Delivery):
            for g in fields(value):
                part = getattr(value, g.name)
                if isinstance(part, Mapping):
                    flat |= {f"{f.name}.{g.name}.{name}": item for name, item in part.items()}
                else:
                    flat[f"{f.name}.{g.name}"] = part
        else:
            flat[f.name] = dict(value) if isinstance(value, Mapping) else value
    return flat


def _unflatten(cls: type[Message], flat: dict[str, Any]) -> Message:
    plain = {k: v for k, v in flat.items() if "." not in k}
    nested = {k.removeprefix("delivery."): v for k, v in flat.items() if "." in k}
    if nested:
        reward = {k.partition(".")[2]: v for k, v in nested.items() if k.startswith("reward.")}
        parts = {k: v for k, v in nested.items() if "." not in k}
        plain["delivery"] = Delivery(**parts | ({"reward": reward} if reward else {}))
    return cls(**plain)


def to_bytes(message: Message) -> bytes:
    """Return the wire form: length of the head, JSON head, safetensors body."""
    flat = _flatten(message)
    tensors = {k: v.contiguous().cpu() for k, v in flat.items() if isinstance(v, torch.Tensor)}
    head = {k: v for k, v in flat.items() if k not in tensors}
    text = json.dumps({"kind": message.kind, "head": head}).encode()
    return struct.pack("<Q", len(text)) + text + save(tensors)


def from_bytes(data: bytes) -> Message:
    """Return the message of a wire form made by :func:`to_bytes`.

    Raises
    ------
    ValueError
        If the bytes are no such form or name an unknown kind of message.
    """
    try:
        (length,) = struct.unpack_from("<Q", data)
        envelope = json.loads(data[8 : 8 + length])
        cls = _KINDS[envelope["kind"]]
        return _unflatten(cls, envelope["head"] | load(data[8 + length :]))
    except Exception as error:
        raise ValueError(
            f"Expected a message in wire form, got {len(data)} other bytes."
        ) from error
