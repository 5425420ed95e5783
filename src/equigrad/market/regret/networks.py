"""The two networks behind a regret net: plain layers, as the reference, and an equivariant one.

Both turn features into logits: ``(rounds, N, M + 1)`` for levels, the last one "sells nothing",
and ``(rounds, N + 1)`` for shares of the budget, the last one "stays with the buyer".
"""

import itertools
import math
from typing import Literal, cast

import torch
from torch import Tensor, nn

from equigrad._validate import choice

__all__ = ["ARCHITECTURES", "Architecture", "EquivariantNet", "PlainNet", "build_net"]

Architecture = Literal["mlp", "equivariant"]
ARCHITECTURES: tuple[Architecture, ...] = ("mlp", "equivariant")

_WIDTH, _ATTENTION_WIDTH, _HEADS, _BLOCKS = 100, 64, 4, 2


def _linear(fan_in: int, fan_out: int, generator: torch.Generator | None) -> nn.Linear:
    """Return a layer drawn from ``generator``; zeros, to be loaded, without one."""
    layer = cast("nn.Linear", nn.utils.skip_init(nn.Linear, fan_in, fan_out))  # type: ignore[no-untyped-call]
    bound = 1 / math.sqrt(fan_in)
    with torch.no_grad():
        for tensor in (layer.weight, layer.bias):
            if generator is None:
                tensor.zero_()
            else:
                tensor.uniform_(-bound, bound, generator=generator)
    return layer


def _tanh_layers(fan_in: int, fan_out: int, generator: torch.Generator | None) -> nn.Sequential:
    sizes = (fan_in, _WIDTH, _WIDTH, _WIDTH)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [_linear(before, after, generator), nn.Tanh()]
    return nn.Sequential(*layers, _linear(_WIDTH, fan_out, generator))


class PlainNet(nn.Module):
    """Two separate networks of three tanh layers of 100, for a fixed number of parties.

    Source: FL-Market's reference; 71,001 parameters at N = 10, M = 8.
    """

    def __init__(self, parties: int, levels: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.parties, self.levels = parties, levels
        inputs = parties * (levels + 2) + 1
        self.allocation = _tanh_layers(inputs, parties * (levels + 1), generator)
        self.payment = _tanh_layers(inputs, parties + 1, generator)

    def forward(self, party: Tensor, money: Tensor) -> tuple[Tensor, Tensor]:
        """Return level and payment logits of features ``(rounds, N, M + 2)``, ``(rounds, 1)``."""
        x = torch.cat([party.flatten(1), money], dim=1)
        levels = self.allocation(x).view(len(x), self.parties, self.levels + 1)
        return levels, self.payment(x)


class _Block(nn.Module):
    """Self-attention over the parties and a two-layer network, both with a residual."""

    def __init__(self, generator: torch.Generator | None) -> None:
        super().__init__()
        width = _ATTENTION_WIDTH
        self.mix = _linear(width, 3 * width, generator)
        self.out = _linear(width, width, generator)
        self.up = _linear(width, 2 * width, generator)
        self.down = _linear(2 * width, width, generator)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])

    def forward(self, x: Tensor) -> Tensor:
        rounds, n, width = x.shape
        parts = self.mix(self.norms[0](x)).view(rounds, n, 3, _HEADS, width // _HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(mixed.transpose(1, 2).reshape(rounds, n, width))
        return cast("Tensor", x + self.down(torch.relu(self.up(self.norms[1](x)))))


class EquivariantNet(nn.Module):
    """A shared encoder, two attention blocks without position code, one head per kind of output.

    Permuting the parties permutes its outputs: no party is treated by its place.
    """

    def __init__(self, levels: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.levels = levels
        self.encoder = _linear(levels + 3, _ATTENTION_WIDTH, generator)
        self.blocks = nn.ModuleList([_Block(generator) for _ in range(_BLOCKS)])
        self.norm = nn.LayerNorm(_ATTENTION_WIDTH)
        self.allocation = _linear(_ATTENTION_WIDTH, levels + 1, generator)
        self.payment = _linear(_ATTENTION_WIDTH, 1, generator)
        self.slack = _linear(_ATTENTION_WIDTH, 1, generator)

    def forward(self, party: Tensor, money: Tensor) -> tuple[Tensor, Tensor]:
        """Return level and payment logits of features ``(rounds, N, M + 2)``, ``(rounds, 1)``."""
        share = money[:, None, :].expand(-1, party.shape[1], -1)
        x = torch.tanh(self.encoder(torch.cat([party, share], dim=-1)))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        paid = self.payment(x)[..., 0]
        return self.allocation(x), torch.cat([paid, self.slack(x.mean(1))], dim=1)


def build_net(
    architecture: str, parties: int, levels: int, generator: torch.Generator | None = None
) -> nn.Module:
    """Return a new network of one of :data:`ARCHITECTURES`; without a generator its weights are 0.

    Raises
    ------
    ConfigError
        If the architecture is unknown.
    """
    choice("architecture", architecture, ARCHITECTURES)
    if architecture == "mlp":
        return PlainNet(parties, levels, generator)
    return EquivariantNet(levels, generator)
