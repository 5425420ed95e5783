"""The checkpoints of a training, and what is known of how they came about.

Neighbours: :mod:`.context` puts records beside them, :mod:`.collect` keeps those of a private
training.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from equigrad._validate import choice, in_range, positive, positive_int
from equigrad.errors import CheckpointError
from equigrad.gradients import per_record_loss
from equigrad.gradients.calling import buffers_kept, evaluating
from equigrad.privacy.accounting import ADD_OR_REMOVE_ONE, PrivacyEvent

__all__ = ["ORIGINS", "Origin", "PrivateSteps", "Trajectory"]

Origin = Literal["public", "private", "unprotected"]
ORIGINS: Final = ("public", "private", "unprotected")
"""What the scorer's model was trained on: public data; the records, privately; the records."""


@dataclass(frozen=True)
class PrivateSteps:
    """The public constants of a private training, for what one record spent in it.

    Attributes
    ----------
    clip
        C, the bound on one record's contribution to a step's sum, > 0.
    noise_multiplier
        s: the noise on the sum has standard deviation ``s * C``, > 0.
    sampling_rate
        q in (0, 1], the chance with which a record is drawn for a step.
    steps
        T, the number of steps made.
    delta
        In (0, 1).
    """

    clip: float
    noise_multiplier: float
    steps: int
    delta: float
    sampling_rate: float = 1.0

    def __post_init__(self) -> None:
        positive("clip", self.clip)
        positive("noise_multiplier", self.noise_multiplier)
        positive_int("steps", self.steps)
        in_range("delta", self.delta, 0, 1, left_open=True, right_open=True)
        in_range("sampling_rate", self.sampling_rate, 0, 1, left_open=True)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Checkpoints of one model, in the order of training.

    Parameters
    ----------
    model
        The module whose states the checkpoints are. It is left as it is: scoring works on it in
        evaluation mode and puts parameters, buffers and modes back.
    states
        One ``state_dict`` for each checkpoint; a sequence that reads them from files one at a time
        is fine. Each must hold the model's names and shapes.
    loss
        ``loss(outputs, targets) -> (B,)``; known torch losses are switched to that.
    origin
        What the model was trained on, one of :data:`ORIGINS`; there is no default, since it
        decides what may become of the scores.
    steps
        Number of the training step after which each checkpoint was taken, never descending (the
        models of an ensemble may share theirs); 0 is the initial model. Unknown by default.
    learning_rates
        Learning rate at each checkpoint, > 0, for the scorers that weigh by it.
    optimizer
        Name of the optimiser, if known (TracIn's form belongs to plain SGD).
    private_steps
        The constants of the private training, for ``private`` checkpoints.
    events
        What the checkpoints were charged as, for ``private`` checkpoints.
    seeded
        True if the noise of a ``private`` training came from a seed, so that nothing is private.

    Raises
    ------
    CheckpointError
        If there is no checkpoint, names or shapes differ from the model's, steps or learning rates
        do not fit, or ``private_steps`` are not those of the events.
    """

    model: nn.Module
    states: Sequence[Mapping[str, Tensor]]
    loss: Callable[[Any, Any], Tensor]
    origin: Origin = field(kw_only=True)
    steps: tuple[int, ...] | None = field(default=None, kw_only=True)
    learning_rates: tuple[float, ...] | None = field(default=None, kw_only=True)
    optimizer: str | None = field(default=None, kw_only=True)
    private_steps: PrivateSteps | None = field(default=None, kw_only=True)
    events: tuple[PrivacyEvent, ...] = field(default=(), kw_only=True)
    seeded: bool = field(default=False, kw_only=True)
    _identities: dict[int, str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        choice("origin", self.origin, ORIGINS)
        object.__setattr__(self, "loss", per_record_loss(self.loss))
        if not len(self.states):
            raise CheckpointError(
                "Expected at least one checkpoint, got none. Keep states while training, or give "
                "[model.state_dict()]."
            )
        self._check_list("steps", self.steps)
        self._check_list("learning_rates", self.learning_rates)
        self._check_constants()
        if self.steps is not None and any(
            b < a for a, b in zip(self.steps, self.steps[1:], strict=False)
        ):
            raise CheckpointError(
                f"Expected steps that never descend, got {list(self.steps)}. Sort the checkpoints."
            )
        for rate in self.learning_rates or ():
            positive("learning_rates", rate)
        self._check_state(self.states[0], 0)

    def __len__(self) -> int:
        return len(self.states)

    @property
    def device(self) -> torch.device:
        """Where the model is; the CPU if it has no parameters."""
        first = next(self.model.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    def subset(self, indices: Sequence[int]) -> "Trajectory":
        """Return the trajectory of some checkpoints, in the given (ascending) order."""
        steps, rates = self.steps, self.learning_rates
        return replace(
            self,
            states=[self.states[i] for i in indices],
            steps=None if steps is None else tuple(steps[i] for i in indices),
            learning_rates=None if rates is None else tuple(rates[i] for i in indices),
        )

    @contextmanager
    def opened(self) -> Iterator[nn.Module]:
        """Yield the model in evaluation mode; afterwards it is as it was found."""
        kept = {name: p.detach().clone() for name, p in self.model.named_parameters()}
        with buffers_kept(self.model), evaluating(self.model):
            try:
                yield self.model
            finally:
                with torch.no_grad():
                    for name, parameter in self.model.named_parameters():
                        parameter.copy_(kept[name])

    def load(self, index: int) -> None:
        """Put checkpoint ``index`` into the model, inside of :meth:`opened`.

        Raises
        ------
        CheckpointError
            If its names or shapes are not the model's, or it holds NaN or infinity.
        """
        state = self.states[index]
        self._check_state(state, index)
        with torch.no_grad():
            for name, tensor in self._own().items():
                tensor.copy_(state[name])
        self._identify(state, index)

    def identity(self, index: int) -> str:
        """Return 16 hexadecimal digits of a digest of checkpoint ``index``.

        A checkpoint that was loaded before is not read again.
        """
        if index not in self._identities:
            self._identify(self.states[index], index)
        return self._identities[index]

    def _identify(self, state: Mapping[str, Tensor], index: int) -> None:
        """Note the digest of a checkpoint that was just read, since reading may be slow."""
        if index in self._identities:
            return
        digest = hashlib.sha256()
        for name in sorted(self._own()):
            tensor = state[name].detach().cpu().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        self._identities[index] = digest.hexdigest()[:16]

    def _own(self) -> dict[str, Tensor]:
        """Return the model's parameters and stored buffers by name."""
        return {
            name: value
            for name, value in self.model.state_dict(keep_vars=True).items()
            if isinstance(value, Tensor)
        }

    def _check_list(self, name: str, values: tuple[Any, ...] | None) -> None:
        if values is not None and len(values) != len(self.states):
            raise CheckpointError(
                f"Expected one of {name} for each of {len(self.states)} checkpoints, got "
                f"{len(values)}."
            )

    def _check_constants(self) -> None:
        """Refuse constants of another training than the one that was charged."""
        known, events = self.private_steps, self.events
        if known is None or not events:
            return
        charged = sum(
            event.steps
            for event in events
            if math.isclose(event.noise_multiplier, known.noise_multiplier, rel_tol=1e-9)
            and math.isclose(event.sampling_rate, known.sampling_rate, rel_tol=1e-9)
            and (event.neighbouring, event.group_size) == (ADD_OR_REMOVE_ONE, 1)
        )
        if charged < known.steps:
            raise CheckpointError(
                f"Expected private_steps of the training that was charged, got {known}, of whose "
                f"steps the events hold {charged}. Take both from one run, as collect does."
            )

    def _check_state(self, state: Mapping[str, Tensor], index: int) -> None:
        own = self._own()
        have = {name: tuple(t.shape) for name, t in state.items()}
        need = {name: tuple(t.shape) for name, t in own.items()}
        wrong = sorted(name for name in need | have if have.get(name) != need.get(name))
        if wrong:
            name = wrong[0]
            raise CheckpointError(
                f"Expected checkpoint {index} to have the model's names and shapes, got "
                f"{name!r} with {have.get(name, 'no tensor')} where the model has "
                f"{need.get(name, 'none')} ({len(wrong)} differ). Build the model it was taken of."
            )
        bad = [n for n, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
        if bad:
            raise CheckpointError(
                f"Expected finite numbers in checkpoint {index}, got NaN or inf in {bad[0]!r}. "
                "Take an earlier one, or train with a lower learning rate."
            )
