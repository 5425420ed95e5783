"""Federated averaging: one model for everybody, whatever anybody brought.

McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
AISTATS 2017. The baseline that knows no contribution and no reward.
"""

from typing import ClassVar

import numpy as np
import torch

from equigrad.federation.aggregate import weighted_sum
from equigrad.federation.messages import Delivery
from equigrad.federation.methods.base import (
    METHODS,
    Intake,
    Method,
    MethodState,
    Plan,
    Settlement,
    Terms,
)
from equigrad.federation.methods.baseline import normalised, settle_body, settlement

__all__ = ["FedAvg"]


@METHODS.register("fedavg")
class FedAvg(Method):
    """The mean of the locally trained models, weighted by the numbers of records they came from.

    Updates are not bounded. Every member gets the coordinator's latest model in place of its own;
    one that was absent, or joins late, gets the latest one when it answers again.
    """

    name: ClassVar[str] = "fedavg"

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms)
        self._model = terms.initial.numpy().copy()
        self._last = -1

    def plan(self, round_: int) -> Plan:
        """Ask for the raw update."""
        return Plan("none")

    def settle(self, intake: Intake) -> Settlement:
        """Add the weighted mean of the updates; all started from the same model."""
        weights = normalised(np.array(intake.records))
        before = self._model
        self._model = before + weighted_sum(intake.uploads, weights)
        self._last = intake.round
        everything = np.ones(len(intake.parties))
        parties = list(intake.parties)
        lines = [
            (
                "appraise",
                {
                    "parties": parties,
                    "members": list(intake.members),
                    "aggregation_weights": weights.tolist(),
                },
            ),
            (
                "reward",
                {"parties": parties, "q": everything.tolist(), "share": everything.tolist()},
            ),
            settle_body(before, self._model),
        ]
        return settlement(lines, intake, values=None, reputation={}, share=everything)

    def pending(self, party: str, since: int) -> int | None:
        """Return the last settled round, if later than ``since``."""
        return self._last if self._last > since else None

    def delivery(self, party: str, since: int) -> Delivery | None:
        """Return the latest model, if the party has an older one."""
        round_ = self.pending(party, since)
        return None if round_ is None else Delivery(round=round_, share=1.0, model=self.model())

    def model(self) -> torch.Tensor:
        """Return the model that everybody has."""
        return torch.from_numpy(self._model)

    def save(self) -> MethodState:
        """Return model and round."""
        return MethodState({"last": self._last}, {"model": self._model})

    def load(self, state: MethodState) -> None:
        """Take up where :meth:`save` left off."""
        self._last = int(state.facts["last"])
        self._model = state.arrays["model"].copy()
