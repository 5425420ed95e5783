"""Schedules and regret nets with random weights, for the tests of the market."""

import numpy as np
import torch

from equigrad.market.learned import Bands, Schedule
from equigrad.market.learned.menu import NAMES
from equigrad.market.regret import RegretMechanism

EVERYWHERE = Bands((1.0, 1e12), (1e-30, 1e30), ((True,),))


def random_weights(seed, width=5, size=1.5):
    rng = np.random.default_rng(seed)
    shapes = ((width, 4), (width,), (width, width), (width,), (1, width), (1,))
    return {name: rng.normal(0, size, shape) for name, shape in zip(NAMES, shapes, strict=True)}


def random_schedule(seed, *, bands=EVERYWHERE, size=1.5, **settings):
    market = {"mechanism": "laplace", "dim": 1, "eps_max": 2.0, **settings}
    return Schedule(random_weights(seed, size=size), bands=bands, **market)


def random_net(variant, parties, seed=0, **settings):
    levels = 1 if variant == "regret" else 3
    generator = torch.Generator().manual_seed(seed)
    return RegretMechanism(variant, parties, levels, generator=generator, **settings)
