"""A party's choice of its own records: train a scorer privately, score, select, tell a noisy mean.

All of it is charged to the party's account before a batch is drawn, under names of its own, and
follows from the account's keys: done again after a crash it gives the same choice at no further
charge. Neighbours: :mod:`.private` trains on what was chosen,
:mod:`equigrad.federation.private.selection_plan` says what it may cost.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from equigrad.federation.party.spec import Records
from equigrad.federation.private.account import MEAN, SCORING, Charge, PartyAccount
from equigrad.federation.private.selection_plan import SelectionPlan
from equigrad.models import private_rng, set_training_mode
from equigrad.privacy.training.release import ReleaseMaker
from equigrad.privacy.training.rows import as_rows
from equigrad.privacy.training.settings import Settings
from equigrad.valuation import ScoreSet, Trajectory, score
from equigrad.valuation.keeper import CheckpointKeeper
from equigrad.valuation.release.aggregate import check_aggregate
from equigrad.valuation.release.terms import finite_values

__all__ = ["Choice", "choose"]

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Choice:
    """Which records a party trains on, for itself, and what it tells.

    Attributes
    ----------
    kept
        ``(n,) bool``; private, its sum included.
    mean
        The noisy mean of the scores, None if none is told.
    """

    kept: npt.NDArray[np.bool_]
    mean: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the choice for the party's own state."""
        bits = np.packbits(self.kept).tobytes().hex()
        return {"kept": bits, "records": len(self.kept), "mean": self.mean}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Choice":
        """Return the choice that :meth:`to_json` wrote."""
        bits = np.frombuffer(bytes.fromhex(content["kept"]), dtype=np.uint8)
        return cls(np.unpackbits(bits, count=content["records"]).astype(bool), content["mean"])


def choose(
    model: nn.Module,
    records: Records,
    labels: Tensor,
    loss: Loss,
    plan: SelectionPlan,
    account: PartyAccount,
    *,
    inputs: str,
    frozen: tuple[nn.Module, ...] = (),
) -> Choice:
    """Return the records to train on.

    Parameters
    ----------
    model
        The initial model on the records' device; its weights move.
    records, labels
        The party's records, and the labels ``(n,)`` that it trains on.
    loss
        ``(outputs, labels) -> (n,)``.
    plan, account
        What may be released, and who is charged.
    inputs
        Digest of the records, the labels and the model.
    frozen
        Modules that stay in evaluation mode.

    Raises
    ------
    BudgetExceededError
        If the account refuses; nothing was touched then.
    """
    charge = account.charge_whole(
        SCORING, plan.scoring.with_steps(plan.settings.steps), f"{SCORING} {inputs}"
    )
    set_training_mode(model, frozen)
    with private_rng(0, records.features.device):
        trajectory = _trained(model, records, labels, loss, plan, charge, account.plan.delta)
    scores: ScoreSet = next(
        iter(
            score(
                trajectory,
                (records.features, labels),
                [plan.scorer()],
                view="local",
                assess=False,
            ).values()
        )
    )
    # The coins of a selector come from the key of the scorer's run, at addresses of their own.
    kept = plan.selector().select(scores, key=charge.key, account="none").kept
    return Choice(np.array(kept), _told_mean(scores, plan, account, inputs))


def _told_mean(
    scores: ScoreSet, plan: SelectionPlan, account: PartyAccount, inputs: str
) -> float | None:
    """Return the noisy mean, charged first; None if none is told."""
    statistic = plan.statistic()
    if statistic is None or plan.mean is None:
        return None
    check_aggregate(scores)
    charge = account.charge_whole(MEAN, plan.mean, f"{MEAN} {inputs}")
    return float(statistic.release(finite_values(scores), charge.key, charge.nonces[0])[0])


def _trained(
    model: nn.Module,
    records: Records,
    labels: Tensor,
    loss: Loss,
    plan: SelectionPlan,
    charge: Charge,
    delta: float,
) -> Trajectory:
    """Train the scorer and return its checkpoints."""
    settings = plan.settings
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(parameters.values(), lr=settings.lr)
    keeper = CheckpointKeeper(
        model, optimizer, steps=settings.steps, checkpoints=settings.checkpoints
    )
    maker = ReleaseMaker(
        model,
        loss,
        parameters,
        as_rows((records.features, labels)),
        plan.rule(),
        _settings(plan, len(records), delta),
        charge.key,
        secure=plan.secure,
        device=records.features.device,
    )
    try:
        for nonce in charge.nonces:
            mean = maker.make(nonce).total / plan.expected_batch
            for parameter, part in _parts(parameters, mean):
                parameter.grad = part.view(parameter.shape).to(parameter.dtype)
            optimizer.step()
            keeper()
    finally:
        maker.close()
        optimizer.zero_grad(set_to_none=True)
    return keeper.trajectory(
        loss,
        origin="private",
        events=plan.events[:1],
        private_steps=plan.private_steps(delta),
        seeded=plan.scoring.seeded,
    )


def _parts(
    parameters: dict[str, nn.Parameter], flat: Tensor
) -> Iterator[tuple[nn.Parameter, Tensor]]:
    parts = torch.split(flat, [p.numel() for p in parameters.values()])
    yield from zip(parameters.values(), parts, strict=True)


def _settings(plan: SelectionPlan, n_rows: int, delta: float) -> Settings:
    event = plan.scoring
    return Settings(
        n_rows=n_rows,
        sampling_rate=event.sampling_rate,
        public_batch_size=plan.expected_batch,
        steps=plan.settings.steps,
        delta=delta,
        noise_multiplier=event.noise_multiplier,
        counts=(),
        target_epsilon=None,
        accountant="pld",
        max_physical=1024,
        max_logical_batch=None,
        noise_coordinates=event.noise_coordinates,
    )
