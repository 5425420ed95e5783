"""Individual privacy loss: what a private training has cost each record, by its gradient norms.

Source: section 3.4 of the specification; Feldman and Zrnic 2021 (arXiv 2008.11193), Yu et al. 2023
(arXiv 2206.02617). The arithmetic is :class:`equigrad.privacy.accounting.IndividualAccount`'s.
"""

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from equigrad._validate import choice
from equigrad.errors import CheckpointError, ConfigError, NeedsError
from equigrad.privacy.accounting import IndividualAccount
from equigrad.valuation.base import SCORERS, Bounds, Float64, State, StreamedScorer
from equigrad.valuation.context import ScoringContext
from equigrad.valuation.trajectory import PrivateSteps, Trajectory
from equigrad.valuation.visit import Visit

__all__ = ["OUTPUTS", "IndividualPrivacy"]

OUTPUTS: Final = ("eps", "mu", "rho")
"""Epsilon at the training's delta; the Gaussian-DP parameter; the zCDP parameter."""


@SCORERS.register("individual-privacy")
class IndividualPrivacy(StreamedScorer):
    """The privacy that the training has spent on each record, between 0 and the worst case.

    A checkpoint taken after k steps is the iterate that step k + 1 starts from, so the norms there
    stand for that step; every other of the T steps is charged as if the record had been clipped.
    **The value is ex-post and depends on the data: it is for the records' owner, no guarantee.**

    ==================  ===========================================================================
    training            value
    ==================  ===========================================================================
    full batch (q = 1)  exact: ``rho_i = sum_t min(||g_it||, C)^2 / (2 s^2 C^2)``,
                        ``mu_i = sqrt(2 rho_i)``, epsilon by the tight Gaussian conversion
    Poisson (q < 1)     epsilon from Rényi divergences of the sampled Gaussian, norms rounded up to
                        multiples of C/10; every step counts, whether the record was drawn or not
    ==================  ===========================================================================

    Guarantee: never above the worst case; equal to it if every norm is clipped or not computed;
    never below the value of the exact norms; monotone in every norm.

    Parameters
    ----------
    output
        One of :data:`OUTPUTS`; ``"mu"`` and ``"rho"`` for full batches only.
    carry_last
        Charge a step without a computed norm by the last one computed. The values are then
        estimates, which bound nothing and can be neither released nor used to choose records.
    """

    name = "individual-privacy"
    orientation = "exposed"
    needs = frozenset({"labels", "private_steps"})
    gradients = True

    def __init__(self, output: str = "eps", *, carry_last: bool = False) -> None:
        self.output = choice("output", output, OUTPUTS)
        self.carry_last = self.estimate = carry_last

    def settings(self) -> dict[str, Any]:
        """Return output and whether norms are carried over."""
        return {"output": self.output, "carry_last": self.carry_last}

    def bounds(self, trajectory: Trajectory) -> Bounds | None:
        """Return 0 and the value of a record that was clipped in every step."""
        constants = trajectory.private_steps
        if constants is None or not self._possible(constants):
            return None
        return 0.0, self._worst(constants)

    def check(self, context: ScoringContext) -> None:
        """Refuse also checkpoints whose steps are unknown, repeated or not of the training."""
        super().check(context)
        constants, steps = _known(context)
        if not self._possible(constants):
            raise ConfigError(
                f"Expected output='eps' for a training on drawn batches, got {self.output!r} at "
                f"sampling_rate={constants.sampling_rate:g}. Without sampling alone do mu and rho "
                "say all."
            )
        if len(set(steps)) < len(steps):
            raise CheckpointError(
                f"Expected one checkpoint for a step for {self.name!r}, got steps {list(steps)}. "
                "Give the checkpoints of one training."
            )
        if steps[-1] > constants.steps:
            raise CheckpointError(
                f"Expected checkpoints of steps 0..{constants.steps} for {self.name!r}, got one "
                f"after step {steps[-1]}. Give PrivateSteps.steps as all steps of the training."
            )

    def warnings(self, context: ScoringContext) -> list[str]:
        """Return what the values are not, and how many steps were charged without a norm."""
        constants, steps = _known(context)
        unknown = constants.steps - sum(step < constants.steps for step in steps)
        how = "as the last one known" if self.carry_last else "at the clip bound"
        found = ["Ex-post and data-dependent: for the records' owner, no guarantee."]
        if unknown:
            found.append(
                f"{unknown} of {constants.steps} steps have no computed norm and are charged {how}."
            )
        return found

    def begin(self, n: int, context: ScoringContext) -> dict[str, Tensor]:
        """Return one norm for each record and checkpoint, NaN until it is computed."""
        source = self.source(context)
        norms = torch.full((n, len(source)), math.nan, dtype=torch.float64, device=source.device)
        return {"norms": norms}

    def visit(self, state: State, visit: Visit) -> None:
        """Keep the norms of a visit."""
        state["norms"][visit.rows, visit.index] = visit.norms

    def values(self, state: State, context: ScoringContext) -> Tensor:
        """Return what the steps add up to."""
        constants, steps = _known(context)
        norms = state["norms"].cpu().numpy()
        account = self._account(len(norms), constants)
        for at, times in _charges(steps, constants.steps):
            unknown = np.full(len(norms), math.nan)
            account.add_step(unknown if at is None else norms[:, at], times=times)
        # Roots are found to 1e-12, so that one may come out above the worst case.
        return torch.from_numpy(
            np.minimum(self._result(account, constants), self._worst(constants))
        )

    def _possible(self, constants: PrivateSteps) -> bool:
        return self.output == "eps" or constants.sampling_rate == 1.0

    def _worst(self, constants: PrivateSteps) -> float:
        """Return the value of a record that was clipped in every step."""
        account = self._account(1, constants)
        account.add_step([math.nan], times=constants.steps)
        return float(self._result(account, constants)[0])

    def _account(self, n: int, constants: PrivateSteps) -> IndividualAccount:
        return IndividualAccount(
            n,
            clip=constants.clip,
            noise_multiplier=constants.noise_multiplier,
            sampling_rate=constants.sampling_rate,
            carry_last=self.carry_last,
        )

    def _result(self, account: IndividualAccount, constants: PrivateSteps) -> Float64:
        if self.output == "eps":
            return account.epsilon(constants.delta)
        return account.mu() if self.output == "mu" else account.rho()


def _known(context: ScoringContext) -> tuple[PrivateSteps, tuple[int, ...]]:
    """Return the training's constants and the checkpoints' steps."""
    constants, steps = context.trajectory.private_steps, context.trajectory.steps
    if constants is None or steps is None:
        raise NeedsError(
            "Expected the number of steps before each checkpoint (Trajectory.steps) for the "
            f"scorer {IndividualPrivacy.name!r}, got none. Give them: which step a norm stands for "
            "cannot be guessed."
        )
    return constants, steps


def _charges(steps: tuple[int, ...], total: int) -> Iterator[tuple[int | None, int]]:
    """Yield (checkpoint, or None where no norm is known; number of steps) in the order of steps."""
    done = 0
    for at, step in enumerate(steps):
        if step >= total:
            break
        if step > done:
            yield None, step - done
        yield at, 1
        done = step + 1
    if done < total:
        yield None, total - done
