"""Learning a regret net: trained by penalties, watched on other rounds, the best one kept."""

import copy
from dataclasses import dataclass

import numpy as np
import torch

from equigrad._validate import positive_int
from equigrad.broker.pacing import Listener, Pacing
from equigrad.market.regret import (
    Bidders,
    Measured,
    RegretMechanism,
    RegretPlan,
    SearchPlan,
    Violations,
    measure,
    regret_to_bytes,
    train_regret_net,
)
from equigrad.market.regret.networks import Architecture
from equigrad.market.workload import seeded_profiles

__all__ = ["MOST_REGRET", "MOST_SHORTFALL", "LearnedNet", "NetTask", "learn_net"]

MOST_REGRET, MOST_SHORTFALL = 0.02, 0.01
"""A training that is below both on validation, over true costs, ends: the stopping criterion."""

_VALIDATION_SEED = 78
_LOOKS = 20
_LOOK = SearchPlan(steps=50, starts=2, random=50)


@dataclass(frozen=True)
class NetTask:
    """What is learned.

    Attributes
    ----------
    variant
        ``"regret"``, ``"m-regret"`` or ``"dm-regret"``.
    parties, levels
        N and M; one level for ``"regret"`` whatever is given.
    architecture
        ``"mlp"`` or ``"equivariant"``.
    dim
        Parameters of the model, under Laplace noise.
    seed
        Of first weights, rounds and the search's starts.
    batch
        Rounds in a step.
    validation
        Rounds on which regret and shortfall are looked at.
    """

    variant: str
    parties: int = 10
    levels: int = 8
    architecture: Architecture = "mlp"
    dim: int = 1
    seed: int = 0
    batch: int = 64
    validation: int = 32

    def __post_init__(self) -> None:
        positive_int("validation", self.validation)
        positive_int("dim", self.dim)


@dataclass(frozen=True, eq=False)
class LearnedNet:
    """A net and what was seen of it.

    Attributes
    ----------
    content
        The file.
    validated
        Statistics on the validation rounds.
    done
        Whether the stopping criterion was met.
    """

    content: bytes
    validated: Measured
    done: bool


def learn_net(task: NetTask, pacing: Pacing, listener: Listener) -> LearnedNet:
    """Train a net until it hardly violates anything on validation rounds, or time is up.

    It is looked at twenty times; the copy nearest to the criterion is kept, the one of least
    error among those that meet it. Training searches lies lightly, going on from the last one
    found for the same round; the looks search harder.

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
    levels = 1 if task.variant == "regret" else task.levels
    generator = torch.Generator().manual_seed(task.seed)
    mechanism = RegretMechanism(
        task.variant,
        task.parties,
        levels,
        architecture=task.architecture,
        generator=generator,
    )
    search = SearchPlan(steps=5, starts=1, random=0, shifts=False)
    plan = RegretPlan(steps=pacing.most, batch=task.batch, search=search)
    watch = _Watch(task, mechanism, pacing, listener)
    train_regret_net(
        mechanism,
        plan,
        dim=task.dim,
        generator=np.random.default_rng(task.seed),
        starts=torch.Generator().manual_seed(task.seed + 1),
        progress=watch,
    )
    return watch.result()


_Kept = tuple[tuple[float, float], Measured, dict[str, torch.Tensor]]  # merit, seen, weights


class _Watch:
    """Looks at the net now and then, and keeps the best."""

    def __init__(
        self, task: NetTask, mechanism: RegretMechanism, pacing: Pacing, listener: Listener
    ) -> None:
        self.task, self.mechanism, self.pacing, self.listener = task, mechanism, pacing, listener
        runs = -(-task.validation * task.parties // 1000)
        drawn = seeded_profiles(task.parties, seed=_VALIDATION_SEED, runs=runs)
        rates = np.random.default_rng(_VALIDATION_SEED).uniform(0.1, 2.0, task.validation)
        self.rounds = Bidders.of(drawn.take(range(task.validation)), rates)
        self.looks, self.steps, self.text = 0, 0, ""
        self.best: _Kept | None = None

    def __call__(self, step: int, found: Violations, loss: float) -> bool:
        self.steps, done = step + 1, self.pacing(step + 1)
        if done >= (self.looks + 1) / _LOOKS or done >= 1:
            self.looks = int(done * _LOOKS)
            self._look()
        seen = f"regret {float(found.regret.mean()):.3f}, shortfall {found.shortfall.mean():.3f}"
        self.listener(done, f"step {self.steps}, loss {loss:.2f}, {seen}{self.text}")
        return done >= 1 or self.done

    @property
    def done(self) -> bool:
        """Whether the kept net meets the criterion."""
        return self.best is not None and self.best[0][0] <= 1.0

    def _look(self) -> "_Kept":
        generator = torch.Generator().manual_seed(_VALIDATION_SEED)
        dim = self.task.dim
        found, _ = measure(self.mechanism, self.rounds, generator, dim=dim, search=_LOOK)
        excess = max(found.regret / MOST_REGRET, found.shortfall / MOST_SHORTFALL, 1.0)
        merit = (
            excess if np.isfinite(excess) else np.inf,
            found.mean_error if np.isfinite(found.mean_error) else np.inf,
        )
        if self.best is None or merit < self.best[0]:
            self.best = (merit, found, copy.deepcopy(self.mechanism.net.state_dict()))
        self.text = (
            f"; validation: ERR {found.mean_error:.3g}, regret {found.regret:.3f}, "
            f"shortfall {found.shortfall:.3f}"
        )
        return self.best

    def result(self) -> LearnedNet:
        """Return the kept net."""
        _, found, weights = self.best if self.best is not None else self._look()
        self.mechanism.net.load_state_dict(weights)
        notes = {
            "steps": str(self.steps),
            "seconds": f"{self.pacing.elapsed:.0f}",
            "seed": str(self.task.seed),
            "ended": "criterion met" if self.done else self.pacing.describe(self.steps),
            "validation regret/cost": f"{found.regret:.4f}",
            "validation shortfall/cost": f"{found.shortfall:.4f}",
        }
        content = regret_to_bytes(self.mechanism, dim=self.task.dim, notes=notes)
        return LearnedNet(content, found, self.done)
