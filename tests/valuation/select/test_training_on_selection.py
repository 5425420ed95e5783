"""A private training on a selection: charged as the selection says, sampled as for all records."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from equigrad.privacy.training import PrivateTrainer
from equigrad.valuation import ScoreSet
from equigrad.valuation.select import Declared, FixedThreshold, TopK

N = 40


def trained(kept):
    generator = torch.Generator().manual_seed(1)
    inputs, labels = torch.randn(N, 3, generator=generator), torch.arange(N) % 2
    chosen = torch.from_numpy(kept.kept.copy())
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    trainer = PrivateTrainer(
        model,
        torch.optim.SGD(model.parameters(), lr=0.5),
        nn.CrossEntropyLoss(),
        (inputs[chosen], labels[chosen]),
        rule="flat",
        rule_options={"clip": 1.0},
        delta=1e-5,
        noise_multiplier=2.0,
        sampling_rate=0.2,
        public_batch_size=0.2 * N,
        steps=3,
        test_seed=4,
        **kept.training(),
    )
    trainer.train()
    return trainer, model


@pytest.mark.parametrize(
    ("selector", "relation", "group"),
    [
        (FixedThreshold(0.5), "add-or-remove-one", 1),
        (TopK(10), "replace-one", 1),
        (Declared(3, keep=0.5), "add-or-remove-one", 3),
    ],
    ids=["threshold", "top-k", "declared"],
)
def test_the_events_say_what_the_selection_says(selector, relation, group):
    scores = ScoreSet(
        values=np.linspace(0, 1, N),
        scorer="el2n",
        orientation="harder",
        locality="record",
        origin="private",
    )
    selection = selector.select(scores)
    trainer, model = trained(selection)
    (event,) = trainer.events
    assert (event.neighbouring, event.group_size) == (relation, group)
    everyone = replace(event, neighbouring="add-or-remove-one", group_size=1)
    assert selection.charged(everyone) == event
    assert event.sampling_rate == 0.2
    assert event.public_batch_size == 0.2 * N
    assert all(p.isfinite().all() for p in model.parameters())
