"""The gradient that a seller sells: of the mean loss over all its records, at one model.

Neighbours: ``agent`` protects it, rehearsed baselines add it up unprotected.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from equigrad.federation.config.schema import ModelConfig
from equigrad.federation.party.spec import Records
from equigrad.federation.party.training import loss_function
from equigrad.federation.streams import stream_seed
from equigrad.models import (
    ModelInput,
    build_model,
    check_model,
    flatten,
    load_flat,
    private_rng,
    set_training_mode,
    uses_global_rng,
)
from equigrad.models.flat import trainable

__all__ = ["FullGradient"]

Float64 = npt.NDArray[np.float64]

_CHUNK: Final = 4096  # records at a time: bounds memory, changes no more than rounding


class FullGradient:
    """The full-batch gradient of one party's records; used by one thread at a time.

    Parameters
    ----------
    records
        The records, at least one.
    model_input, model
        Description of the data and choice of the model.
    seed
        The run's seed: it draws the initial model, and what a model itself draws (dropout).
    party
        The party's name, which keys the latter.
    device
        Where it is computed.

    Raises
    ------
    ConfigError, ModelError
        If model and data do not fit together.
    """

    def __init__(
        self,
        records: Records,
        model_input: ModelInput,
        model: ModelConfig,
        *,
        seed: int,
        party: str,
        device: str = "cpu",
    ) -> None:
        built = build_model(
            model.factory, model_input, model.options, stream_seed(seed, "initial model")
        )
        self._frozen = check_model(built, model_input, buffers=model.buffers)
        self._device = torch.device(device)
        self.model = built.to(self._device)
        self.records = records.to(self._device)
        self.initial = flatten(self.model)
        self._loss = loss_function(model_input.task)
        self._parameters = trainable(self.model)
        self._draws = uses_global_rng(self.model, self.records.features[:2], frozen=self._frozen)
        self._key = (seed, party)

    @property
    def dim(self) -> int:
        """Number of trainable parameters."""
        return self.initial.numel()

    def __call__(self, weights: torch.Tensor, round_: int) -> Float64:
        """Return the gradient ``(dim,) float64`` of the mean loss at ``weights`` ``(dim,)``.

        Equal arguments give equal bytes; NaN or inf where the loss is not finite.
        """
        load_flat(self.model, weights)
        set_training_mode(self.model, self._frozen)
        total = np.zeros(self.dim)
        with self._randomness(round_):
            for share, features, labels in self._chunks():
                value = self._loss(self.model(features), labels)
                found = torch.autograd.grad(value, self._parameters, materialize_grads=True)
                flat = torch.cat([part.reshape(-1) for part in found]).cpu()
                total += share * flat.double().numpy()
        return total

    def _chunks(self) -> Iterator[tuple[float, torch.Tensor, torch.Tensor]]:
        """Yield the records in chunks, each with its share of all."""
        count = len(self.records)
        for start in range(0, count, _CHUNK):
            part = slice(start, start + _CHUNK)
            labels = self.records.labels[part]
            yield len(labels) / count, self.records.features[part], labels

    def _randomness(self, round_: int) -> AbstractContextManager[None]:
        if not self._draws:
            return nullcontext()
        seed, party = self._key
        return private_rng(
            stream_seed(seed, "full gradient", round_=round_, party=party) & (2**63 - 1),
            self._device,
        )
