"""Federated averaging against its definition."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from simulated import Simulated, line
from small_runs import lines_of, small_config

from equigrad.federation.messages import TrainRequest
from equigrad.federation.party import PartyAgent
from equigrad.federation.setup import prepare


def test_one_round_is_the_weighted_mean_of_locally_trained_models(
    play: Callable[..., Path],
) -> None:
    changes = {"method": "fedavg", "rounds": 1, "partition": {"rule": "power-law", "parties": 4}}
    folder = play(**changes)
    setup = prepare(small_config(**changes))
    trained = []
    for spec in setup.specs:
        agent = PartyAgent(spec)
        request = TrainRequest(round=0, bounding="none")
        _, reply = agent.handle(agent.initial_state(), request)
        trained.append(setup.terms.initial + reply.upload)
    records = np.array([len(spec.train) for spec in setup.specs], dtype=np.float64)
    mean = sum(
        n * model.double() for n, model in zip(records / records.sum(), trained, strict=True)
    )
    for path in sorted((folder / "models").iterdir()):
        model = load_file(path)
        flat = torch.cat([model[name].reshape(-1) for name in setup.terms.names]).double()
        assert torch.allclose(flat, mean, atol=1e-6)
    digests = lines_of(folder, "finish")[0]["digests"]
    assert len(set(digests)) == 1


def test_weights_are_shares_of_the_records_of_those_present() -> None:
    simulated = Simulated.of("fedavg")
    settlement = simulated.round(0, ["p1", "p3"])
    assert line(settlement, "appraise")["aggregation_weights"] == [20 / 60, 40 / 60]


def test_who_was_away_gets_the_latest_model() -> None:
    simulated = Simulated.of("fedavg")
    simulated.round(0)
    simulated.round(1, ["p0", "p2"])
    simulated.round(2, ["p0", "p2"])
    simulated.deliver("p1")
    assert torch.equal(simulated.weights["p1"], simulated.method.model())
