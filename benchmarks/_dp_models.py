"""The four models that ``dp_step.py`` trains, each with a batch of random data."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["MODELS", "Case", "case"]

POSITIONS, VOCABULARY = 64, 5000


@dataclass(frozen=True)
class Case:
    """A model in training mode and one batch."""

    model: nn.Module
    inputs: Tensor
    targets: Tensor


class Encoder(nn.Module):
    """Transformer encoder: 2 layers, d 128, 4 heads, ff 256; the mean over positions decides."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, 128)
        layer = nn.TransformerEncoderLayer(128, 4, 256, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(128, 2)

    def forward(self, ids: Tensor) -> Tensor:
        """Return two logits per record."""
        return self.out(self.layers(self.table(ids)).mean(1))


class Reader(nn.Module):
    """Embedding(5000, 64) and LSTM of 128; the last hidden state decides."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, 64)
        self.lstm = nn.LSTM(64, 128, batch_first=True)
        self.out = nn.Linear(128, 2)

    def forward(self, ids: Tensor) -> Tensor:
        """Return two logits per record."""
        return self.out(self.lstm(self.table(ids))[0][:, -1])


def _mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 8, stride=2, padding=3),
        nn.ReLU(),
        nn.MaxPool2d(2, 1),
        nn.Conv2d(16, 32, 4, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(2, 1),
        nn.Flatten(),
        nn.Linear(512, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...] | None, int]] = {
    "mlp": (_mlp, (784,), 10),
    "cnn": (_cnn, (1, 28, 28), 10),
    "transformer": (Encoder, None, 2),
    "lstm": (Reader, None, 2),
}
"""How to build each model, the shape of one record (None: token ids) and the classes."""


def case(name: str, rows: int) -> Case:
    """Return the model with fixed initial weights and a batch of ``rows`` records."""
    build, shape, classes = MODELS[name]
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build()
    if shape is None:
        inputs = torch.randint(0, VOCABULARY, (rows, POSITIONS), generator=generator)
    else:
        inputs = torch.randn(rows, *shape, generator=generator)
    return Case(model, inputs, torch.randint(0, classes, (rows,), generator=generator))
