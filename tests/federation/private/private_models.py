"""Models that cannot be trained privately."""

import torch
from torch import nn

from equigrad.models import ModelInput


class Centred(nn.Module):
    """Takes the batch's mean off every record: records are mixed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=0, keepdim=True)


class Scale(nn.Module):
    """Packs its batch into one number before it uses its parameter: no gradient by record."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner * x.sum()


def mixing(inputs: ModelInput) -> nn.Module:
    return nn.Sequential(Centred(), nn.Linear(inputs.shape[0], inputs.outputs))


def unknown(inputs: ModelInput) -> nn.Module:
    return nn.Sequential(Scale(), nn.Linear(inputs.shape[0], inputs.outputs))
