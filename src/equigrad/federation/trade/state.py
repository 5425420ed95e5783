"""What the coordinator of a market run remembers between rounds, and how it is kept.

Neighbours: ``game`` changes it, the journal keeps it as a checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from equigrad.federation.record.checkpoint import Checkpoint
from equigrad.federation.trade.config.schema import StepConfig

__all__ = ["MarketState"]

Float64 = npt.NDArray[np.float64]


@dataclass(eq=False)
class MarketState:
    """The model, what parties are still to be told, and where the time stands.

    Attributes
    ----------
    model
        ``(dim,) float32``.
    total, counted
        Sum of the models after the rounds that are averaged, and how many there were.
    next_round
        The first round that is not settled.
    clock
        The second at which it begins.
    receipts
        What became of awards, by party, until the party was told.
    out
        By party whose sealed bid was not opened: the last round that it misses.
    wallets
        What each wallet gained in this run, ledger units; of the buyer, the funds less what it
        paid.
    """

    model: torch.Tensor
    total: Float64
    counted: int = 0
    next_round: int = 0
    clock: int = 0
    receipts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    out: dict[str, int] = field(default_factory=dict)
    wallets: dict[str, int] = field(default_factory=dict)

    @classmethod
    def begin(cls, model: torch.Tensor, wallets: Mapping[str, int]) -> Self:
        """Return the state before the first round."""
        return cls(model.clone(), np.zeros(model.numel()), wallets=dict(wallets))

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """Return the state that a checkpoint holds."""
        facts = checkpoint.facts
        return cls(
            model=torch.as_tensor(checkpoint.arrays["model"]),
            total=np.asarray(checkpoint.arrays["total"]),
            counted=int(facts["counted"]),
            next_round=int(facts["next_round"]),
            clock=int(facts["clock"]),
            receipts={party: list(told) for party, told in facts["receipts"].items()},
            out={party: int(last) for party, last in facts["out"].items()},
            wallets={name: int(units) for name, units in facts["wallets"].items()},
        )

    def facts(self) -> dict[str, Any]:
        """Return what JSON holds of it."""
        return {
            "counted": self.counted,
            "next_round": self.next_round,
            "clock": self.clock,
            "receipts": self.receipts,
            "out": self.out,
            "wallets": self.wallets,
        }

    def arrays(self) -> dict[str, Any]:
        """Return the rest of it."""
        return {"model": self.model, "total": self.total}

    def step(
        self, settings: StepConfig, round_: int, rounds: int, direction: Float64 | None
    ) -> None:
        """Move the model against ``direction``, if there is one, and count it if it is averaged."""
        if direction is not None:
            rate = settings.lr * settings.lr_decay**round_
            self.model = torch.from_numpy(
                (self.model.double().numpy() - rate * direction).astype(np.float32)
            )
        if settings.average and round_ >= rounds // 2:
            self.total = self.total + self.model.double().numpy()
            self.counted += 1

    def delivered(self) -> torch.Tensor:
        """Return the model as it would be delivered now: the mean, where models are averaged."""
        if not self.counted:
            return self.model
        return torch.from_numpy((self.total / self.counted).astype(np.float32))
