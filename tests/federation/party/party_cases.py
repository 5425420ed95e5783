"""Small parties on made-up records, shared by this folder's tests."""

from typing import Any, Literal

import torch

from equigrad.federation.config.schema import ModelConfig, TrainingConfig
from equigrad.federation.party import PartyAgent, PartySpec, Records
from equigrad.models import ModelInput

__all__ = ["IMAGES", "NUMBERS", "TABLE", "TEXT", "agent", "made_up", "spec", "stream"]

TABLE = ModelInput((6,), 3)
NUMBERS = ModelInput((6,), 1, task="regression")
IMAGES = ModelInput((1, 8, 8), 4)
TEXT = ModelInput((10,), 2, vocabulary=30)


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made_up(model_input: ModelInput, n: int, seed: int = 0) -> Records:
    """Records whose labels can be learnt from the features."""
    draw = stream(seed)
    shape = (n, *model_input.shape)
    if model_input.vocabulary:
        features = torch.randint(model_input.vocabulary, shape, generator=draw)
        return Records(features, (features == 7).any(dim=1).long())
    features = torch.randn(shape, generator=draw)
    truth = torch.randn((model_input.size, model_input.outputs), generator=stream(99))
    scores = features.flatten(1) @ truth
    if model_input.task == "regression":
        return Records(features, scores[:, 0] / truth.norm())
    return Records(features, scores.argmax(dim=1))


def spec(
    *,
    name: str = "north",
    seed: int = 5,
    model_input: ModelInput = TABLE,
    model: ModelConfig | None = None,
    records: int = 23,
    behaviour: str = "honest",
    options: dict[str, Any] | None = None,
    upload_noise: float = 0.0,
    noise_kind: Literal["gaussian", "laplace"] = "gaussian",
    **training: Any,
) -> PartySpec:
    return PartySpec(
        name=name,
        seed=seed,
        train=made_up(model_input, records),
        test=made_up(model_input, 40, seed=1),
        model_input=model_input,
        model=model or ModelConfig(factory="mlp", options={"hidden": [5]}),
        training=TrainingConfig(**{"batch_size": 8, "lr": 0.1, **training}),
        behaviour=behaviour,
        options=options or {},
        upload_noise=upload_noise,
        noise_kind=noise_kind,
    )


def agent(**particulars: Any) -> PartyAgent:
    return PartyAgent(spec(**particulars))
