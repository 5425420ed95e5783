"""Learning a schedule: trained on synthetic bids, chosen by exact clearing of others."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from equigrad._validate import positive_int
from equigrad.broker.noise import local_of, market_name
from equigrad.broker.pacing import Listener, Pacing
from equigrad.market import Ladder
from equigrad.market.learned import Schedule, Validation, select_schedule
from equigrad.market.learned.training import TrainingPlan, train_menu
from equigrad.market.workload import NSL_KDD_CLASSES, Profiles, seeded_profiles

__all__ = ["VALIDATION_SEED", "ScheduleTask", "learn_schedule"]

VALIDATION_SEED = 77
"""Of the rounds that choose; no other seed is used for them."""

_RATES = tuple(float(rate) for rate in np.geomspace(0.1, 2.0, 18))
_ROUNDS = {10: 200, 30: 66, 100: 60, 300: 12, 1000: 6}


@dataclass(frozen=True)
class ScheduleTask:
    """What is learned.

    Attributes
    ----------
    local, dim, delta
        The market: local mechanism, parameters of the model, delta where there is one.
    ladder
        The epsilons for sale.
    seed
        Of first weights and training rounds.
    parties
        Numbers of bidders, taken in turn, each at least 2; empty: those of the training plan.
    validation
        Rounds of ten bidders that choose, at 18 budget rates; fewer of larger ones.
    """

    local: str = "laplace"
    dim: int = 1
    delta: float | None = None
    ladder: Ladder = field(default_factory=Ladder)
    seed: int = 0
    parties: tuple[int, ...] = ()
    validation: int = 200

    def __post_init__(self) -> None:
        positive_int("validation", self.validation)
        for n in self.parties:
            positive_int("parties", n, least=2)


def learn_schedule(task: ScheduleTask, pacing: Pacing, listener: Listener) -> Schedule:
    """Train a menu, choose its best copy by exact clearing of other rounds, and where to use it.

    A training that was stopped goes on to the choice with what it has.

    Parameters
    ----------
    task, pacing
        What is learned, and how long.
    listener
        Is told of the progress.

    Raises
    ------
    ConfigError
        If the task is impossible.
    """
    precision = local_of(task.local, task.dim, task.delta).precision(task.ladder.levels)
    losses: list[float] = []

    def progress(step: int, loss: float) -> None:
        losses.append(loss)
        recent = float(np.mean(losses[-100:]))
        listener(pacing(step + 1), f"step {step + 1}, mean log ERR {recent:.3f}")

    plan = TrainingPlan(steps=pacing.most)
    if task.parties:
        plan = replace(plan, parties=task.parties)
    candidates = train_menu(
        plan,
        torch.as_tensor(precision),
        task.ladder,
        generator=np.random.default_rng(task.seed),
        weights=torch.Generator().manual_seed(task.seed),
        progress=progress,
        pace=pacing,
    )
    listener(1.0, f"choosing among {len(candidates)} by exact clearing")
    notes = {
        "steps": str(len(losses)),
        "seed": str(task.seed),
        "validation seed": str(VALIDATION_SEED),
    }
    return select_schedule(
        candidates,
        _validation(task),
        mechanism=market_name(task.local, task.delta),
        dim=task.dim,
        ladder=task.ladder,
        precision=precision,
        notes=notes,
    )


def _validation(task: ScheduleTask) -> Validation:
    """Return the rounds that choose: of the sizes trained for, fewer of the larger ones."""
    counts = _ROUNDS if not task.parties else {n: _near(n) for n in sorted(set(task.parties))}
    kinds: list[list[Profiles]] = []
    for classes in (None, NSL_KDD_CLASSES):  # lognormal sizes choose; both say where to use it
        kinds.append([])
        for n, most in counts.items():
            count = max(most * task.validation // _ROUNDS[10], 1)
            runs = math.ceil(n * count / 1000)
            drawn = seeded_profiles(n, seed=VALIDATION_SEED, runs=runs, classes=classes)
            kinds[-1].append(drawn.take(range(min(count, len(drawn)))))
    return Validation(kinds[0], _RATES, kinds[1])


def _near(parties: int) -> int:
    """Return how many rounds of a size choose, of 200 of ten bidders."""
    return max(2000 // parties, 6)
