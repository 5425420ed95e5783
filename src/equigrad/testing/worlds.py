"""A small world to score in: records, checkpoints, a validation set, an ensemble.

Neighbour: :mod:`.scoring`, the contract suite of scorers, which works on nothing else.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equigrad.valuation import PrivateSteps, ScoringContext, Trajectory
from equigrad.valuation.context import scored_rows

__all__ = [
    "ScoredWorld",
    "StopError",
    "altered",
    "failing",
    "global_states",
    "snapshot",
    "unsettled",
]

Records = tuple[Tensor, Tensor]


class StopError(Exception):
    """What stops the work on purpose."""


class _Net(nn.Module):
    """Takes images of 2 x 2 x 2 numbers, and shifts them by a buffer."""

    shift: Tensor

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(8, 6)
        self.last = nn.Linear(6, n_outputs)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("shift", torch.full((8,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.hidden(x.flatten(1) + self.shift))
        outputs: Tensor = self.last(self.drop(hidden))
        return outputs


@dataclass(frozen=True, eq=False)
class ScoredWorld:
    """All that a scorer can need, in float64.

    Attributes
    ----------
    trajectory
        Five checkpoints that differ in buffers too, with steps, learning rates and the constants
        of a private training.
    records
        Inputs ``(23, 2, 2, 2)`` and labels of three classes, one of them wrong.
    validation
        Five records more.
    ensemble
        Three models, each initialised on its own.
    """

    trajectory: Trajectory
    records: Records
    validation: Records | None
    ensemble: Trajectory | None

    def __len__(self) -> int:
        return len(self.records[1])

    @classmethod
    def drawn(cls, seed: int) -> "ScoredWorld":
        """Return a world of three classes."""
        return _world(seed, 3, lambda z: z.argmax(1), nn.CrossEntropyLoss())

    @classmethod
    def regression(cls, seed: int) -> "ScoredWorld":
        """Return a world of one real target."""
        return _world(seed, 1, lambda z: z.double(), nn.MSELoss())

    def at(self, indices: Tensor) -> "ScoredWorld":
        """Return the world of the records ``indices``, in their order."""
        inputs, labels = self.records
        return replace(self, records=(inputs[indices], labels[indices]))

    def scaled(self, size: float) -> "ScoredWorld":
        """Return the world with the records' inputs multiplied by ``size``."""
        return replace(self, records=(size * self.records[0], self.records[1]))

    def sure(self) -> "ScoredWorld":
        """Return the world with labels of which the model is so sure that no loss is left."""
        source = self.trajectory
        states = [_sharpened(state) for state in source.states]
        model = source.model
        model.load_state_dict(dict(states[-1]))
        model.eval()
        with torch.no_grad():
            labels = model(self.records[0]).argmax(1)
        return replace(
            self,
            trajectory=replace(source, states=states),
            records=(self.records[0], labels),
        )

    def without(self, need: str) -> "ScoredWorld":
        """Return the world without one of the things that scorers can need."""
        nothing: Any = {need: None}
        if need in ("validation", "ensemble"):
            return replace(self, **nothing)
        return replace(self, trajectory=replace(self.trajectory, **nothing))

    def context(self) -> ScoringContext:
        """Return the world as scorers see it."""
        return ScoringContext(
            self.trajectory,
            scored_rows(self.records),
            validation=None if self.validation is None else scored_rows(self.validation),
            ensemble=self.ensemble,
            public_validation=True,
            batch_size=7,
        )


def altered(world: ScoredWorld, at: int) -> ScoredWorld:
    """Return the world with other features and another label in record ``at``."""
    inputs, labels = (tensor.clone() for tensor in world.records)
    inputs[at] = 3 - 2 * inputs[at]
    labels[at] = (labels[at] + 1) % 3
    return replace(world, records=(inputs, labels))


def unsettled(world: ScoredWorld) -> list[nn.Module]:
    """Return the models, left half in training, with a gradient and a hook of their owner's."""
    sources = [world.trajectory] if world.ensemble is None else [world.trajectory, world.ensemble]
    models = [source.model for source in sources]
    for model in models:
        model.train()
        next(model.children()).eval()
        parameter = next(model.parameters())
        parameter.grad = torch.full_like(parameter, 0.25)
        model.register_forward_hook(lambda module, args, outputs: None)
    return models


def snapshot(model: nn.Module) -> list[Any]:
    """Return everything of a model that scoring must not change, comparable."""
    found: list[Any] = []
    for name, module in model.named_modules():
        hooks = [
            len(getattr(module, kind))
            for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        ]
        found.append((name, module.training, hooks, sorted(module.__dict__)))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        grad = None if tensor.grad is None else tensor.grad.numpy().tobytes()
        content = tensor.detach().numpy().tobytes()
        found.append((name, id(tensor), tensor.requires_grad, grad, content))
    return found


@contextmanager
def failing(models: list[nn.Module], calls: int) -> Iterator[list[int]]:
    """Let the ``calls``-th call of any of the models raise; yield how many are left till then."""
    left = [calls]

    def hook(module: nn.Module, args: object) -> None:
        del module, args
        left[0] -= 1
        if left[0] <= 0:
            raise StopError

    handles = [model.register_forward_pre_hook(hook) for model in models]
    try:
        yield left
    finally:
        for handle in handles:
            handle.remove()


def global_states() -> tuple[Any, ...]:
    """Return the states of all global generators, comparable."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    own = torch.get_rng_state().numpy().tobytes()
    return random.getstate(), name, np.asarray(keys).tobytes(), rest, own


def _world(seed: int, n_outputs: int, label: Any, loss: nn.Module) -> ScoredWorld:
    """Return a world whose labels are a teacher's, and one of them not."""
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    teacher = numbers(8, n_outputs)

    def records(n: int) -> Records:
        inputs = numbers(n, 2, 2, 2)
        return inputs, label(inputs.flatten(1) @ teacher)

    def states(count: int) -> list[dict[str, Tensor]]:
        like = _Net(n_outputs).state_dict()
        return [{n: 0.6 * numbers(*t.shape) for n, t in like.items()} for _ in range(count)]

    scored, validation = records(23), records(5)
    scored[1][1] = label(-scored[0][1:2].flatten(1) @ teacher)[0]
    trajectory = Trajectory(
        _Net(n_outputs).double(),
        _path(*states(2)),
        loss,
        origin="private",
        steps=(10, 20, 30, 40, 50),
        learning_rates=(0.5, 0.4, 0.3, 0.2, 0.1),
        optimizer="SGD",
        private_steps=PrivateSteps(clip=1.0, noise_multiplier=1.5, steps=60, delta=1e-5),
    )
    models = _Net(n_outputs).double()
    ensemble = Trajectory(models, states(3), loss, origin="private", steps=(10, 10, 10))
    return ScoredWorld(trajectory, scored, validation, ensemble)


def _path(start: dict[str, Tensor], end: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return five states on the way from one to another."""
    return [{n: torch.lerp(start[n], end[n], share / 4) for n in start} for share in range(5)]


def _sharpened(state: Any) -> dict[str, Tensor]:
    """Return a state whose logits are so far apart that probabilities round to 0 and 1."""
    return {n: 1e6 * t if n.startswith("last") else t for n, t in state.items()}
