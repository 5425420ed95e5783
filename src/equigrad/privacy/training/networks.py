"""The initial network of a classifier for tables.

Neighbour: :mod:`.classifier`.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

from equigrad._validate import positive_ints

__all__ = ["initial", "perceptron"]


def initial(
    make: Callable[[int, int], nn.Module], n_inputs: int, n_outputs: int, seed: int | None
) -> nn.Module:
    """Return a new network; its numbers are public and the global generator is left alone.

    Parameters
    ----------
    make
        ``(n_inputs, n_outputs) -> Module``.
    n_inputs, n_outputs
        Sizes.
    seed
        Of the initial parameters; from the operating system if ``None``.
    """
    with torch.random.fork_rng(devices=[]):
        if seed is None:
            torch.seed()
        else:
            torch.manual_seed(seed)
        return make(n_inputs, n_outputs)


def perceptron(n_inputs: int, n_outputs: int, hidden: Sequence[int]) -> nn.Module:
    """Return linear layers of the sizes ``hidden`` with tanh between; linear if there is none."""
    sizes = [n_inputs, *positive_ints("hidden", list(hidden))]
    layers: list[nn.Module] = []
    for size, following in pairwise(sizes):
        layers += [nn.Linear(size, following), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], n_outputs))
