"""Training of a schedule for ``learned-clock``, by gradient descent through smoothed clearing.

Guarantees of the auction hold for every schedule, so training has no constraints, no multipliers
and no search for misreports: it lowers the mean logarithm of the error bound (specification 3.4).
**Never train on bids of parties that will bid again**: shading today would buy a better schedule
tomorrow. The sampler below draws synthetic bids; another market's will do, too.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from equigrad._validate import in_range, positive, positive_int
from equigrad.market.ladder import Ladder
from equigrad.market.learned.error import optimal_error
from equigrad.market.learned.network import MenuNet, public_features
from equigrad.market.learned.relaxed import relaxed_precision
from equigrad.market.workload import Profiles, population

__all__ = ["Pace", "Sampler", "TrainingPlan", "synthetic_sampler", "train_menu"]

Float32 = npt.NDArray[np.float32]

Sampler = Callable[[np.random.Generator, int], Profiles]
"""Draws at least one profile of the given number of parties."""

Pace = Callable[[int], float]
"""Share of a training that is done after so many steps, from 0 to 1; at 1 it ends."""


@dataclass(frozen=True)
class TrainingPlan:
    """How a schedule is trained; the defaults are those of the specification.

    Attributes
    ----------
    steps
        Gradient steps.
    batch
        Profiles of ten parties in a step; larger rounds come in proportionally smaller batches.
    parties
        Sizes of the rounds, taken in turn.
    rates
        Least and largest budget rate, drawn uniformly for each profile.
    learning_rate, last_learning_rate
        Adam's, falling linearly.
    temperature, last_temperature
        Softness of level choices, falling linearly.
    clip
        Largest norm of a gradient.
    checkpoints
        Copies of the weights that are kept, spread over the last quarter of the training.
    """

    steps: int = 4000
    batch: int = 96
    parties: tuple[int, ...] = (10, 30, 10, 100, 10, 300, 10, 1000)
    rates: tuple[float, float] = (0.1, 2.0)
    learning_rate: float = 3e-3
    last_learning_rate: float = 3e-4
    temperature: float = 0.1
    last_temperature: float = 0.01
    clip: float = 1.0
    checkpoints: int = 4

    def __post_init__(self) -> None:
        positive_int("steps", self.steps)
        positive_int("batch", self.batch)
        for n in self.parties:
            positive_int("parties", n)
        for name in ("learning_rate", "last_learning_rate", "temperature", "last_temperature"):
            positive(name, getattr(self, name))
        positive("clip", self.clip)
        positive_int("checkpoints", self.checkpoints)
        in_range("rates", self.rates[0], 0.0, self.rates[1], left_open=True)

    def kept(self, done: float) -> int:
        """Return how many copies of the weights are kept once a share of the training is done."""
        apart = 0.25 / self.checkpoints
        marks = 1.0 - apart * np.arange(self.checkpoints)
        return int(np.count_nonzero(done >= marks - 1e-12))

    def at(self, done: float) -> tuple[float, float]:
        """Return learning rate and temperature once a share of the training is done."""
        return (
            self.learning_rate + done * (self.last_learning_rate - self.learning_rate),
            self.temperature + done * (self.last_temperature - self.temperature),
        )


def synthetic_sampler(generator: np.random.Generator, parties: int) -> Profiles:
    """Draw a fresh population of 1,000 and group it, in the manner of the benchmark's."""
    return population(generator).grouped(parties)


def train_menu(
    plan: TrainingPlan,
    precision: Tensor,
    ladder: Ladder,
    *,
    generator: np.random.Generator,
    weights: torch.Generator,
    value_scale: float = 1.0,
    sampler: Sampler = synthetic_sampler,
    progress: Callable[[int, float], None] | None = None,
    pace: Pace | None = None,
) -> list[dict[str, Float32]]:
    """Return the weights of a menu at the plan's checkpoints, the last one last.

    Which of them is used is decided by exact clearing of other rounds
    (:func:`equigrad.market.learned.select_schedule`).

    Memory: about 40 bytes x 72 prices x parties of a batch x levels (90 MiB with the defaults).

    Parameters
    ----------
    plan
        Steps and rates.
    precision
        ``(K+1,)``, ``c(eps_k) = L^2/V`` of the local mechanism at the model's dimension; 0 at 0.
    ladder
        The levels for sale.
    generator, weights
        Sources of profiles and of first weights.
    value_scale
        ``v_ref``, the currency units per record that count as 1.
    sampler
        Draws profiles of a given number of parties.
    progress
        Called after every step with its number and loss.
    pace
        How far the training is; None: steps over the plan's. With a pace by the clock, learning
        rate and temperature fall in time, and equal seeds no longer give equal weights. It should
        not fall; at 1 the training ends with the weights it has.
    """
    share: Pace = pace if pace is not None else lambda step: step / plan.steps
    net = MenuNet(weights)
    kept: list[dict[str, Float32]] = []
    optimizer = torch.optim.Adam(net.parameters(), lr=plan.learning_rate)
    done = share(0)
    for step in range(plan.steps):
        rate, temperature = plan.at(min(done, 1.0))
        for group in optimizer.param_groups:
            group["lr"] = rate
        profiles = _batch(plan, step, generator, sampler)
        loss = _loss(net, profiles, plan, precision, ladder, generator, temperature, value_scale)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), plan.clip)
        optimizer.step()
        before, done = done, share(step + 1)
        last = step + 1 == plan.steps or done >= 1
        if last or plan.kept(done) > plan.kept(before):
            kept.append({k: v.detach().numpy().copy() for k, v in net.state_dict().items()})
        if progress is not None:
            progress(step, float(loss.detach()))
        if last:
            break
    return kept


def _batch(
    plan: TrainingPlan, step: int, generator: np.random.Generator, sampler: Sampler
) -> Profiles:
    """Return the profiles of a step: about as many bidders whatever the size of its rounds."""
    parties = plan.parties[step % len(plan.parties)]
    wanted = max(plan.batch * 10 // parties, 1)
    profiles = sampler(generator, parties)
    return profiles.take(np.arange(min(len(profiles), wanted)))


def _loss(
    net: MenuNet,
    profiles: Profiles,
    plan: TrainingPlan,
    precision: Tensor,
    ladder: Ladder,
    generator: np.random.Generator,
    temperature: float,
    value_scale: float,
) -> Tensor:
    """Return the mean logarithm of the smoothed rounds' ERR*/L^2."""
    rates = generator.uniform(*plan.rates, len(profiles))
    eps = torch.as_tensor(ladder.levels, dtype=torch.float32)
    costs = torch.as_tensor(profiles.unit_costs(ladder.levels), dtype=torch.float32)
    top = torch.as_tensor(ladder.top_level(profiles.caps))
    allowed = torch.arange(len(eps)) <= top[..., None]
    sizes = torch.as_tensor(profiles.sizes, dtype=torch.float32)
    budget = torch.as_tensor(rates * profiles.total_costs().sum(axis=1), dtype=torch.float32)
    quality = net(public_features(sizes, budget, value_scale), eps)
    sold = relaxed_precision(
        quality, costs, allowed, sizes, budget, precision.to(torch.float32), temperature
    )
    return torch.log(optimal_error(sold, sizes)).mean()
