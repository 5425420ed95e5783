"""Bidders and regret nets with random weights, for the tests of regret nets."""

import torch

from equigrad.market.regret import Bidders, RegretMechanism
from equigrad.market.workload import benchmark_profiles


def bidders(count=3, rate=0.7, parties=10):
    return Bidders.of(benchmark_profiles(parties, count), rate)


def net(variant="dm-regret", parties=10, levels=4, seed=0, **settings):
    levels = 1 if variant == "regret" else levels
    generator = torch.Generator().manual_seed(seed)
    return RegretMechanism(variant, parties, levels, generator=generator, **settings)


def loud(mechanism, size=6.0):
    """The same mechanism with outputs far from uniform, so that reports matter."""
    with torch.no_grad():
        for layer in ("allocation", "payment"):
            head = getattr(mechanism.net, layer)
            last = head if isinstance(head, torch.nn.Linear) else head[-1]
            last.weight.mul_(size)
    return mechanism
