"""The network of ``learned-clock``: a public quality for every level of every listing.

The network sees what is public before anyone bids (relative size, budget, number of bidders) and
never a bid; the quality it gives is an integral of a positive number over epsilon, so it is
nondecreasing whatever the weights are. This is the form that is trained; what announces a round is
:mod:`equigrad.market.learned.menu`, the same function in NumPy, which gives integers.
"""

import itertools
import math

import torch
from torch import Tensor, nn

from equigrad.market.learned.menu import LOG_BOUND

__all__ = ["MenuNet", "public_features"]


def public_features(sizes: Tensor, budget: Tensor, value_scale: float) -> Tensor:
    """Return what the network sees of each listing, ``(..., N, 3)``.

    ``log(N w_i)/2``, ``log(B/(D v_ref))`` and ``log(N)/3``, with D the bidders' records together.

    Parameters
    ----------
    sizes
        ``(..., N)``, attested records, > 0.
    budget
        ``(...,)``, in currency units, > 0.
    value_scale
        ``v_ref``: currency units per record that count as 1.
    """
    n = sizes.shape[-1]
    total = sizes.sum(-1, keepdim=True)
    money = torch.log(budget[..., None] / (total * value_scale)).expand_as(sizes)
    count = torch.full_like(sizes, math.log(n) / 3)
    return torch.stack([torch.log(n * sizes / total) / 2, money, count], dim=-1)


class MenuNet(nn.Module):
    """Three tanh-linear layers, 4-32-32-1: log of the quality gained per epsilon.

    The last layer starts near zero, so that an untrained network is the clock with q = eps.

    Parameters
    ----------
    generator
        Source of the first weights; None leaves them at zero (to be loaded).
    width
        Units of the two hidden layers.
    """

    def __init__(self, generator: torch.Generator | None = None, width: int = 32) -> None:
        super().__init__()
        sizes = (4, width, width, 1)
        weights, biases = [], []
        for fan_in, fan_out in itertools.pairwise(sizes):
            weight = torch.zeros(fan_out, fan_in)
            if generator is not None:
                bound = math.sqrt(3.0 / fan_in) * (0.01 if fan_out == 1 else 1.0)
                weight.uniform_(-bound, bound, generator=generator)
            weights.append(nn.Parameter(weight))
            biases.append(nn.Parameter(torch.zeros(fan_out)))
        self.weights, self.biases = nn.ParameterList(weights), nn.ParameterList(biases)

    @property
    def width(self) -> int:
        """Units of a hidden layer."""
        return int(self.biases[0].numel())

    def forward(self, features: Tensor, ladder: Tensor) -> Tensor:
        """Return the quality ``(..., N, K+1)`` of every level: 0 at level 0, nondecreasing.

        Parameters
        ----------
        features
            ``(..., N, 3)``, from :func:`public_features`.
        ladder
            ``(K+1,)``, the epsilons of the levels, from 0, equally spaced.
        """
        # The first layer is split: listings and levels meet only after it, so no product of
        # listings and levels is copied before it has to be.
        w0 = self.weights[0]
        hidden = (features @ w0[:, :3].T)[..., None, :] + (ladder[1:, None] - 1) * w0[:, 3]
        hidden = torch.tanh(hidden + self.biases[0])
        hidden = torch.tanh(hidden @ self.weights[1].T + self.biases[1])
        log_gain = (hidden @ self.weights[2].T + self.biases[2])[..., 0]
        gain = torch.exp(log_gain.clamp(-LOG_BOUND, LOG_BOUND)) * (ladder[1] - ladder[0])
        return nn.functional.pad(torch.cumsum(gain, dim=-1), (1, 0))
