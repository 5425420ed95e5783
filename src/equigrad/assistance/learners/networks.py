"""Networks made for the rows they get, and learners that find their rows' shape themselves.

Neighbours: ``network`` trains any module; ``training`` has the schedules.
"""

from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from equigrad.assistance.arrays import Float64
from equigrad.assistance.learners.base import LEARNERS
from equigrad.assistance.learners.network import TorchLearner
from equigrad.assistance.learners.training import Schedule
from equigrad.errors import ModelError

__all__ = ["CNN", "LSTM", "ReferenceCNN", "ShapedLearner"]


class ShapedLearner(TorchLearner):
    """A network that is made for the shape of its party's rows.

    Parameters
    ----------
    schedule
        How it is trained; the class's ``usual`` schedule by default.
    epochs, batch_size, loss
        In place of the schedule's; None for the schedule's own.
    scale_residual
        See :class:`Learner`.

    Class attributes
    ----------------
    usual
        The schedule it was measured with.
    """

    usual: ClassVar[Schedule]

    def __init__(
        self,
        schedule: Schedule | None = None,
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        loss: str | None = None,
        scale_residual: bool = True,
    ) -> None:
        given = {"epochs": epochs, "batch_size": batch_size, "loss": loss}
        changed: dict[str, Any] = {
            name: value for name, value in given.items() if value is not None
        }
        chosen = replace(schedule or self.usual, **changed)
        super().__init__(self._network, chosen, scale_residual=scale_residual)
        self._shape: tuple[int, ...] = ()

    def fresh(self) -> Self:
        """Return another learner of the same schedule."""
        return type(self)(self.schedule, scale_residual=self.scale_residual)

    @abstractmethod
    def network(self, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Return a new network that maps rows of a shape, ``(b, *shape)``, to ``(b, n_outputs)``.

        Raises
        ------
        ModelError
            If there is no such network for the shape.
        """

    def _network(self, n_outputs: int) -> nn.Module:
        return self.network(self._shape, n_outputs)

    def _prepare(self, X: npt.NDArray[Any], sample_weight: Float64 | None) -> None:
        self._shape = X.shape[1:]
        super()._prepare(X, sample_weight)

    def _saved(self) -> dict[str, npt.NDArray[Any]]:
        return {**super()._saved(), "shape": np.array(self._shape, dtype=np.int64)}

    def _restore(self, rounds: list[int], arrays: dict[str, npt.NDArray[Any]]) -> None:
        self._shape = tuple(arrays["shape"].tolist())
        super()._restore(rounds, arrays)


@LEARNERS.register("cnn")
class CNN(ShapedLearner):
    """A small convolutional network for images ``(h, w)`` or ``(c, h, w)``.

    Twice a 3 x 3 convolution (16, 32 channels), batch norm, ReLU and 2 x 2 pooling where a side
    allows it; 64 hidden units. Two epochs a round of Adam in one cycle up to 4e-3, batches of 512:
    a round trains a network from new parameters, so few epochs are enough.
    """

    name = "cnn"
    usual = Schedule(learning_rate=4e-3, one_cycle=True, epochs=2, batch_size=512)

    def network(self, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Return the network."""
        layers, (channels, height, width) = _convolutions(shape, (16, 32), pool_last=True)
        flat = channels * height * width
        ends = [nn.Flatten(), nn.Linear(flat, 64), nn.ReLU(), nn.Linear(64, n_outputs)]
        return nn.Sequential(*layers, *ends)


@LEARNERS.register("reference_cnn")
class ReferenceCNN(ShapedLearner):
    """The authors' convolutional network for images ``(h, w)`` or ``(c, h, w)``.

    3 x 3 convolutions of 64, 128, 256 and 512 channels, each with batch norm (scales drawn from
    N(1, 0.02)), ReLU and, except after the last, 2 x 2 pooling where a side allows it; the mean
    over places; a linear layer. Ten epochs a round of clipped SGD.
    """

    name = "reference_cnn"
    usual = Schedule(
        optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=5e-4),
        scheduler=partial(torch.optim.lr_scheduler.MultiStepLR, milestones=[50, 100], gamma=0.1),
        epochs=10,
        batch_size=512,
        clip_norm=1.0,
    )

    def network(self, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Return the network."""
        layers, (channels, _, _) = _convolutions(shape, (64, 128, 256, 512), pool_last=False)
        for layer in layers:
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1.0, 0.02)
        mean = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, n_outputs)]
        return nn.Sequential(*layers, *mean)


@LEARNERS.register("lstm")
class LSTM(ShapedLearner):
    """The authors' recurrent network for series ``(steps, d)``: one LSTM layer of 128 units.

    A linear layer reads its last state. Ten epochs a round of Adam at 1e-3 with weight decay 5e-4,
    batches of 8.
    """

    name = "lstm"
    usual = Schedule(weight_decay=5e-4, epochs=10, batch_size=8)

    def network(self, shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Return the network."""
        if len(shape) != 2:
            raise ModelError(
                f"Expected series (steps, d) for the learner 'lstm', got rows of shape {shape}."
            )
        return nn.Sequential(_LastState(shape[1], 128), nn.Linear(128, n_outputs))


class _LastState(nn.Module):
    """The last hidden state ``(b, h)`` of an LSTM over ``(b, steps, d)``."""

    def __init__(self, n_inputs: int, n_hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_inputs, n_hidden, batch_first=True)

    def forward(self, rows: Tensor) -> Tensor:
        last: Tensor = self.lstm(rows)[0][:, -1]
        return last


def _convolutions(
    shape: tuple[int, ...], widths: tuple[int, ...], *, pool_last: bool
) -> tuple[list[nn.Module], tuple[int, int, int]]:
    """Return the layers for images of a shape, and the shape after them."""
    layers: list[nn.Module] = []
    if len(shape) == 2:
        layers, shape = [nn.Unflatten(1, (1, shape[0]))], (1, *shape)
    if len(shape) != 3:
        raise ModelError(
            f"Expected images (h, w) or (c, h, w), got rows of shape {shape}. Reshape the party's "
            "block, or choose a learner of tables."
        )
    channels, height, width = shape
    for i, after in enumerate(widths):
        convolution = nn.Conv2d(channels, after, 3, padding=1)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
        channels = after
        if min(height, width) > 1 and (pool_last or i + 1 < len(widths)):
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
    return layers, (channels, height, width)
