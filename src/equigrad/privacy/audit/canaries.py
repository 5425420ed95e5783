"""Canaries: rows made to leave a trace, and the coins that decide which of them are put in.

Two builders. ``mislabelled`` rows go with any classifier and any data; ``dirac`` rows go with a
tiny model of their own, in which each canary alone moves one number, as far as a rule lets it: the
strongest canary there is, for testing a trainer rather than a model. Scores follow the house's
word: high says "in".
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from equigrad._validate import positive, positive_int
from equigrad.errors import DataError

__all__ = ["Dirac", "Mislabelled", "coins", "dirac", "mislabelled"]

PerRecordLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def coins(canaries: int, generator: torch.Generator) -> torch.Tensor:
    """Return ``(canaries,) bool``, each True with probability 1/2 and independent of the others."""
    positive_int("canaries", canaries)
    return torch.randint(0, 2, (canaries,), generator=generator).bool()


@dataclass(frozen=True)
class Mislabelled:
    """Rows of the data with a wrong class each.

    Attributes
    ----------
    inputs
        ``(m, ...)`` copies of the chosen rows' features.
    targets
        ``(m,) int64``, never the row's own class.
    rows
        ``(m,) int64``: which rows of the data they replace.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor

    def scores(self, model: nn.Module, loss: PerRecordLoss) -> torch.Tensor:
        """Return minus each canary's loss, ``(m,) float64``: low loss says it was learnt.

        The model is evaluated in evaluation mode and left in the mode it was in.
        """
        was_training = model.training
        model.eval()
        try:
            with torch.no_grad():
                return -loss(model(self.inputs), self.targets).detach().double()
        finally:
            model.train(was_training)


def mislabelled(
    inputs: torch.Tensor,
    targets: torch.Tensor,
    canaries: int,
    classes: int,
    generator: torch.Generator,
) -> Mislabelled:
    """Choose rows without repetition and give each a wrong class, both evenly at random.

    Parameters
    ----------
    inputs, targets
        ``(n, ...)`` features and ``(n,)`` classes 0..classes-1.
    canaries
        m, at most n.
    classes
        At least 2.
    generator
        Source of the choice.

    Raises
    ------
    DataError
        If there are more canaries than rows, fewer than two classes, or a class out of range.
    """
    positive_int("canaries", canaries)
    if canaries > len(inputs):
        raise DataError(
            f"Expected at most as many canaries as rows, got {canaries} canaries and "
            f"{len(inputs)} rows. Ask for fewer."
        )
    labels = targets.long()
    if classes < 2 or (len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes):
        raise DataError(
            f"Expected classes 0 to {classes - 1}, at least two of them, got labels from "
            f"{int(labels.min())} to {int(labels.max())}. Canaries need a classification task."
        )
    rows = torch.randperm(len(inputs), generator=generator)[:canaries]
    shift = torch.randint(1, classes, (canaries,), generator=generator)
    return Mislabelled(inputs[rows].clone(), (labels[rows] + shift) % classes, rows)


@dataclass(frozen=True)
class Dirac:
    """A tiny model and rows of which each moves one number of it, and nothing else does.

    Attributes
    ----------
    model
        ``Embedding(m, 1)`` with all zeros; canary j is the row with the index j.
    inputs
        ``(m,) int64``: 0..m-1.
    targets
        ``(m,) float32``: the size of each gradient, above any clipping bound that is tested.
    """

    model: nn.Embedding
    inputs: torch.Tensor
    targets: torch.Tensor

    @staticmethod
    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return ``-target * output``, ``(B,)``: its gradient is minus the target, always."""
        return -targets * outputs.reshape(len(targets))

    def scores(self) -> torch.Tensor:
        """Return how far each canary's number has moved, ``(m,) float64``; up says "in"."""
        return self.model.weight.detach().reshape(-1).double()


def dirac(canaries: int, size: float = 1e3) -> Dirac:
    """Return m canaries whose gradients are orthogonal and have the norm ``size``.

    Raises
    ------
    ConfigError
        If there is no canary, or the size is not positive.
    """
    positive_int("canaries", canaries)
    positive("size", size)
    model = nn.Embedding(canaries, 1, _weight=torch.zeros(canaries, 1))
    return Dirac(model, torch.arange(canaries), torch.full((canaries,), float(size)))
