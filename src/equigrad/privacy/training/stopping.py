"""Stopping early without looking at private rows for free: on public rows, or on a paid count.

When a run stops is part of what it gives out. A rule that watches the training rows, or rows kept
aside from the same people, makes the number of steps depend on them. So there are two: rows that
are public, and a noisy count that is charged like any release. Neighbour: :mod:`.trainer` asks
after every ``every`` steps.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from equigrad._validate import choice, in_range, positive, positive_int
from equigrad.gradients.calling import call_model, evaluating
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey, count_mechanism
from equigrad.privacy.training.journal import release_digest
from equigrad.privacy.training.rows import Rows, as_rows, to_device

if TYPE_CHECKING:
    from equigrad.privacy.training.run import PrivateRun

__all__ = ["EarlyStopping", "PaidEvaluation", "PublicData"]

_CHUNK = 1024


class EarlyStopping(ABC):
    """Stops a run when its score has not risen by more than ``min_gain`` for ``patience`` looks.

    Parameters
    ----------
    data
        ``(inputs, targets)``, as for the trainer.
    every
        Steps between looks.
    patience
        Looks without a gain after which the run stops.
    min_gain
        A rise of the best score must exceed it to count; >= 0.
    """

    def __init__(
        self, data: object, *, every: int = 100, patience: int = 5, min_gain: float = 0.0
    ) -> None:
        self.rows: Rows = as_rows(data)
        self.every = positive_int("every", every)
        self.patience = positive_int("patience", patience)
        self.min_gain = in_range("min_gain", min_gain, 0, float("inf"))
        self.scores: list[float] = []

    @abstractmethod
    def score(self, trainer: "PrivateRun") -> float:
        """Return the present score, higher for better; charge for it if it must be paid."""

    def planned(self, steps: int, *, seeded: bool) -> PrivacyEvent | None:
        """Return all looks of a run of ``steps`` steps, ``None`` if they cost nothing."""
        del steps, seeded
        return None

    def look(self, trainer: "PrivateRun") -> bool:
        """Score the model and return whether to stop."""
        self.scores.append(self.score(trainer))
        best, since = float("-inf"), 0
        for score in self.scores:
            gained = score > best + self.min_gain
            best, since = (score, 0) if gained else (best, since + 1)
        return since >= self.patience

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint: the scores so far, public or paid for."""
        return {"scores": list(self.scores)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` returned."""
        self.scores = [float(score) for score in state["scores"]]


class PublicData(EarlyStopping):
    """Early stopping on rows that are public; it costs nothing.

    Parameters
    ----------
    data, every, patience, min_gain
        See :class:`EarlyStopping`. The rows must be public: no record of anybody to be protected.
    metric
        ``"loss"`` (the mean of the run's loss; its negative is the score) or ``"accuracy"``.
    """

    def __init__(
        self,
        data: object,
        *,
        metric: str = "loss",
        every: int = 100,
        patience: int = 5,
        min_gain: float = 0.0,
    ) -> None:
        super().__init__(data, every=every, patience=patience, min_gain=min_gain)
        self.metric = choice("metric", metric, ("accuracy", "loss"))

    def score(self, trainer: "PrivateRun") -> float:
        """Return the accuracy, or minus the mean loss, on the public rows."""
        if self.metric == "accuracy":
            return _right(trainer.model, self.rows, trainer.device) / len(self.rows)
        return -_mean_loss(trainer, self.rows)


class PaidEvaluation(EarlyStopping):
    """Early stopping on private rows by a noisy count of right predictions, charged every time.

    Guarantee: each look is a Gaussian mechanism on a count that one record moves by at most 1;
    its event is charged before the rows are read. The rows may be kept aside or training rows:
    what they cost is added up in either case.

    Parameters
    ----------
    data, every, patience, min_gain
        See :class:`EarlyStopping`. Targets are classes.
    noise
        Standard deviation of the noise, in records.
    public_size
        Declared number of rows, the divisor of the noisy count; ``len(data)`` if ``None``, which
        takes the number for public.
    """

    def __init__(
        self,
        data: object,
        *,
        noise: float,
        public_size: float | None = None,
        every: int = 100,
        patience: int = 5,
        min_gain: float = 0.0,
    ) -> None:
        super().__init__(data, every=every, patience=patience, min_gain=min_gain)
        self.noise = float(positive("noise", noise))
        self.public_size = float(
            positive("public_size", len(self.rows) if public_size is None else public_size)
        )

    def event(self, *, seeded: bool) -> PrivacyEvent:
        """Return the event of one look."""
        return PrivacyEvent(
            noise_multiplier=self.noise,
            noise_form="rounded",
            noise_coordinates=1,
            public_batch_size=self.public_size,
            label="evaluation for early stopping",
            seeded=seeded,
        )

    def planned(self, steps: int, *, seeded: bool) -> PrivacyEvent | None:
        """Return all looks of a run of ``steps`` steps."""
        looks = steps // self.every
        return self.event(seeded=seeded).with_steps(looks) if looks else None

    def score(self, trainer: "PrivateRun") -> float:
        """Return the noisy accuracy. A look that repeats one from before a crash is free."""
        nonce = trainer.meter.begin_look(len(self.scores))
        right = _right(trainer.model, self.rows, trainer.device)
        noisy = self._noisy(right, trainer.key, nonce)
        if trainer.journal is not None:
            digest = release_digest(noisy, noisy)
            if not trainer.journal.agrees(nonce, digest, "look"):
                # Another count than before the crash: this noise is thrown away.
                nonce = trainer.meter.begin_look(len(self.scores), again=True)
                noisy = self._noisy(right, trainer.key, nonce)
                digest = release_digest(noisy, noisy)
            trainer.journal.add(nonce, digest, "look")
        return float(noisy) / self.public_size

    def _noisy(self, right: int, key: NoiseKey, nonce: int) -> Tensor:
        """Return the noisy count, ``(1,) float64``."""
        return count_mechanism(self.noise, 1.0, secure=True).release(
            torch.tensor([right], dtype=torch.float64), key, nonce, "evaluation"
        )


def _right(model: nn.Module, rows: Rows, device: torch.device) -> int:
    """Return how many rows the model gives their own class."""
    right = 0
    with evaluating(model), torch.no_grad():
        for inputs, targets in rows.chunks(_CHUNK):
            outputs = call_model(model, to_device(inputs, device))
            guesses = (
                outputs.argmax(1)
                if outputs.dim() > 1 and outputs.shape[1] > 1
                else (outputs.reshape(-1) > 0)
            )
            right += int((guesses == targets.to(device).reshape(-1)).sum())
    return right


def _mean_loss(trainer: "PrivateRun", rows: Rows) -> float:
    """Return the mean of the run's loss over the rows."""
    total = 0.0
    with evaluating(trainer.model), torch.no_grad():
        for inputs, targets in rows.chunks(_CHUNK):
            outputs = call_model(trainer.model, to_device(inputs, trainer.device))
            losses: Tensor = trainer.record_loss(outputs, targets.to(trainer.device))
            total += float(losses.double().sum())
    return total / len(rows)
