"""Methods without training: parties that apply deliveries and upload random updates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from equigrad.federation.config.presets import resolve
from equigrad.federation.config.schema import AuditConfig, RewardsConfig
from equigrad.federation.methods import METHODS, Method
from equigrad.federation.methods.base import Intake, Settlement, Terms

NAMES = ("hidden.weight", "hidden.bias", "out.weight", "out.bias")
SHAPES = ((4, 5), (4,), (3, 4), (3,))
SIZES = tuple(int(np.prod(shape)) for shape in SHAPES)
D = sum(SIZES)


def terms(parties: Sequence[str], *, gamma: float = 0.5, rounds: int = 20, **other: Any) -> Terms:
    """Return the terms of a small model with a linear classifier of three classes."""
    initial = torch.from_numpy(np.random.default_rng(0).normal(size=D).astype(np.float32))
    facts: dict[str, Any] = {
        "seed": 1,
        "rounds": rounds,
        "parties": tuple(parties),
        "layer_sizes": SIZES,
        "names": NAMES,
        "shapes": SHAPES,
        "initial": initial,
        "settings": resolve(RewardsConfig(gamma=gamma), AuditConfig()),
        "validate": lambda weights: float(torch.sigmoid(weights.sum())),
    }
    return Terms(**facts | other)


@dataclass
class Simulated:
    """Parties with a model each, over one method; absent ones are simply not asked."""

    method: Method
    parties: tuple[str, ...]
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    held: dict[str, torch.Tensor | None] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, count: int = 4) -> "Simulated":
        """Return a fresh simulation of one method."""
        parties = tuple(f"p{i}" for i in range(count))
        method = METHODS[name](terms(parties))
        start = {party: method.terms.initial.clone() for party in parties}
        records = {party: 10 * (i + 1) for i, party in enumerate(parties)}
        return cls(
            method, parties, start, dict.fromkeys(parties), dict.fromkeys(parties, -1), records
        )

    def deliver(self, party: str) -> None:
        """Let one party apply what is pending for it."""
        delivery = self.method.delivery(party, self.since[party])
        if delivery is not None:
            self.weights[party] = delivery.apply(self.weights[party], self.held[party])
            self.since[party], self.held[party] = delivery.round, None

    def train(self, present: Sequence[str], t: int) -> dict[str, torch.Tensor]:
        """Deliver, and return the uploads of one round under the method's plan."""
        plan = self.method.plan(t)
        uploads = {}
        for party in present:
            self.deliver(party)
            update = random_update(party, t)
            upload = update
            if plan.bounding == "clip" and plan.gamma is not None:
                upload = update * min(1.0, plan.gamma / float(update.norm()))
            self.held[party] = {"none": None, "update": update, "upload": upload}[plan.hold]
            uploads[party] = upload
        return uploads

    def round(self, t: int, present: Sequence[str] | None = None) -> Settlement:
        """Play one round with those present and return what follows."""
        here = [p for p in self.parties if present is None or p in present]
        uploads = self.train(here, t)
        return self.method.settle(
            Intake(
                round=t,
                members=self.parties,
                parties=tuple(here),
                uploads=tuple(uploads.values()),
                records=tuple(self.records[p] for p in here),
                gamma=self.method.plan(t).gamma,
                noise=({},) * len(here),
            )
        )


def random_update(party: str, t: int) -> torch.Tensor:
    """Return an update of about norm 2: a common direction and the party's own noise."""
    common = np.random.default_rng(99).normal(size=D)
    own = np.random.default_rng([int(party[1:]), t]).normal(size=D)
    return torch.from_numpy((0.3 * (common + own)).astype(np.float32))


def line(settlement: Settlement, stage: str) -> dict[str, Any]:
    """Return the body of one of a settlement's lines."""
    return dict(dict(settlement.lines)[stage])
