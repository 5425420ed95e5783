"""Local training: from a flat model to the change that one round on own records makes of it.

The trainer owns one model instance and is used by one thread at a time. It keeps nothing between
calls: weights, optimiser state and randomness are arguments, so that equal arguments give equal
bytes and a local step can be undone by forgetting it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.nn import functional

from equigrad.federation.config.schema import TrainingConfig
from equigrad.federation.party.batches import local_batches
from equigrad.federation.party.optimizer import (
    check_optimizer,
    make_optimizer,
    restore_state,
    save_state,
)
from equigrad.federation.party.spec import Records
from equigrad.models import (
    flatten,
    load_flat,
    private_rng,
    set_training_mode,
    uses_global_rng,
)
from equigrad.models.flat import trainable

__all__ = ["LocalStep", "LocalTrainer", "check_training", "loss_function"]

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class LocalStep:
    """What one round of local training made.

    Attributes
    ----------
    update
        ``weights`` after minus before, ``(D,) float32``; NaN or inf if training diverged.
    weights
        The flat model after training, ``(D,) float32``.
    optimizer
        The optimiser's state afterwards by name; empty unless it is to be kept.
    private
        Where training was private, what :attr:`PartyState.private` holds afterwards.
    """

    update: torch.Tensor
    weights: torch.Tensor
    optimizer: Mapping[str, torch.Tensor]
    private: Mapping[str, Any] = field(default_factory=dict)


def loss_function(task: Literal["classification", "regression"]) -> Loss:
    """Return the mean loss of outputs ``(n, outputs)`` on labels ``(n,)``.

    Cross-entropy (log-softmax and negative log-likelihood) for classification; mean squared error
    for regression.
    """
    return functional.cross_entropy if task == "classification" else _squared_error


def _squared_error(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(outputs.squeeze(1), labels)


def check_training(model: nn.Module, training: TrainingConfig) -> None:
    """Refuse an optimiser that cannot train ``model``, before anybody trains.

    Raises
    ------
    ConfigError
        If the optimiser or an option is unknown, has an impossible value, does not suit the
        model's parameters, or is to be kept although its state is not made of tensors.
    """
    check_optimizer(
        training.optimizer,
        trainable(model),
        training.lr,
        training.options,
        keep=training.optimizer_state == "keep",
    )


class LocalTrainer:
    """Trains one model on one party's records.

    One optimiser step for each batch; the learning rate of round t is ``lr * lr_decay ** t``,
    constant within a round. A model that draws random numbers (dropout) trains with PyTorch's
    global generator seeded from the round's stream, behind a lock that all threads share; other
    models never take the lock.

    Parameters
    ----------
    model
        A checked model on the records' device; its weights are overwritten by every call.
    records
        Training records on the same device, at least one.
    training
        Optimiser, schedule, batch size and epochs or steps.
    task
        Chooses the loss.
    frozen
        Modules that stay in evaluation mode.

    Raises
    ------
    ConfigError
        If the optimiser or one of its options is unknown or does not suit the model.
    """

    def __init__(
        self,
        model: nn.Module,
        records: Records,
        training: TrainingConfig,
        task: Literal["classification", "regression"],
        *,
        frozen: tuple[nn.Module, ...] = (),
    ) -> None:
        self.model = model
        self.records = records
        self.training = training
        self._loss = loss_function(task)
        self._frozen = frozen
        self._parameters = trainable(model)
        self._keep = training.optimizer_state == "keep"
        self._plain = training.optimizer == "SGD" and not training.options
        self._draws = uses_global_rng(model, records.features[:2], frozen=frozen)
        check_training(model, training)

    def train(
        self,
        weights: torch.Tensor,
        round_: int,
        generator: torch.Generator,
        *,
        labels: torch.Tensor | None = None,
        optimizer: Mapping[str, torch.Tensor] | None = None,
    ) -> LocalStep:
        """Train from ``weights`` for one round; the arguments are not changed, but the generator.

        Parameters
        ----------
        weights
            Flat model ``(D,) float32`` to start from.
        round_
            The round, for the learning rate.
        generator
            CPU generator of batch order and, where the model draws any, of its random numbers.
        labels
            Labels ``(n,)`` to train on instead of the records' own (attacks).
        optimizer
            State to start from, where the optimiser's state is kept; ``None`` or empty: fresh.
        """
        load_flat(self.model, weights)
        set_training_mode(self.model, self._frozen)
        batches = local_batches(
            self.records.features,
            self.records.labels if labels is None else labels,
            batch_size=self.training.batch_size,
            epochs=self.training.epochs,
            steps=self.training.steps,
            generator=generator,
        )
        lr = self.training.lr * self.training.lr_decay**round_
        with self._randomness(generator):
            if self._plain:
                state = self._descend(batches, lr)
            else:
                state = self._optimise(batches, lr, optimizer or {})
        after = flatten(self.model)
        return LocalStep(after - weights, after, state)

    def _randomness(self, generator: torch.Generator) -> AbstractContextManager[None]:
        if not self._draws:
            return nullcontext()
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        return private_rng(seed, self.records.features.device)

    def _descend(
        self, batches: Iterator[tuple[torch.Tensor, torch.Tensor]], lr: float
    ) -> dict[str, torch.Tensor]:
        """Plain gradient descent without an optimiser object, which costs a quarter of a step."""
        model, loss = self.model, self._loss
        parameters: list[torch.Tensor] = list(self._parameters)
        for features, labels in batches:
            value = loss(model(features), labels)
            gradients = torch.autograd.grad(value, parameters, materialize_grads=True)
            with torch.no_grad():
                torch._foreach_add_(parameters, gradients, alpha=-lr)
        return {}

    def _optimise(
        self,
        batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
        lr: float,
        state: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        optimizer = make_optimizer(
            self.training.optimizer, self._parameters, lr, self.training.options
        )
        if state:
            restore_state(optimizer, state)
        for features, labels in batches:
            # The stub says float; optimisers pass on whatever the closure returns.
            closure = cast("Callable[[], float]", self._closure(optimizer, features, labels))
            optimizer.step(closure)
        optimizer.zero_grad(set_to_none=True)
        return save_state(optimizer) if self._keep else {}

    def _closure(
        self, optimizer: torch.optim.Optimizer, features: torch.Tensor, labels: torch.Tensor
    ) -> Callable[[], torch.Tensor]:
        """Return the loss as a function, because some optimisers ask for it more than once."""

        def closure() -> torch.Tensor:
            optimizer.zero_grad(set_to_none=True)
            value = self._loss(self.model(features), labels)
            torch.autograd.backward(value)
            return value

        return closure
