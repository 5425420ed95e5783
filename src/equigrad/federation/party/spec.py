"""What a party is: its records, its model, its training and its behaviour. Picklable, constant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch

from equigrad.data.dataset import Dataset
from equigrad.errors import ConfigError, DataError
from equigrad.federation.config.presets import CgsvSettings
from equigrad.federation.config.schema import ModelConfig, TrainingConfig
from equigrad.federation.party.behaviours import make_behaviour
from equigrad.federation.party.state import PartyState
from equigrad.federation.private.plan import PrivacyPlan
from equigrad.models import ModelInput

if TYPE_CHECKING:
    from equigrad.federation.party.agent import PartyAgent

__all__ = ["PartySpec", "Records", "model_input"]


@dataclass(frozen=True, eq=False)
class Records:
    """Features and labels as tensors, one row per record.

    Parameters
    ----------
    features
        ``(n, *shape)``: ``float32``, or ``int64`` token ids.
    labels
        ``(n,) int64`` class numbers, or ``(n,) float32`` for regression.

    Raises
    ------
    DataError
        If there are no records, or not one label for each.
    """

    features: torch.Tensor
    labels: torch.Tensor
    _moved: dict[torch.device, "Records"] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not len(self.features) or self.labels.shape != (len(self.features),):
            raise DataError(
                f"Expected records with one label each, got {len(self.features)} records and "
                f"labels of shape {tuple(self.labels.shape)}."
            )

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Return the records of a data set, without a copy where its arrays are writable."""
        return cls(
            torch.from_numpy(np.require(dataset.features, requirements=["C", "W"])),
            torch.from_numpy(np.require(dataset.labels, requirements=["C", "W"])),
        )

    def to(self, device: torch.device) -> "Records":
        """Return the records on ``device``; parties that share records share the copy."""
        if device == self.features.device:
            return self
        if device not in self._moved:
            moved = Records(self.features.to(device), self.labels.to(device))
            return self._moved.setdefault(device, moved)
        return self._moved[device]


def model_input(dataset: Dataset) -> ModelInput:
    """Return what a model factory is told about a data set."""
    return ModelInput(
        shape=dataset.shape,
        outputs=dataset.n_outputs,
        vocabulary=dataset.vocabulary_size if dataset.kind == "text" else 0,
        task=dataset.task,
    )


@dataclass(frozen=True, eq=False)
class PartySpec:
    """All that a worker needs to be a party.

    Parameters
    ----------
    name
        The party's name; it keys the party's random streams.
    seed
        The run's seed, the same for all parties: it draws their common initial model.
    train, test
        Own training records; the records that models are measured on.
    model_input, model
        Description of the data and choice of the model.
    training
        How the party trains in a round.
    behaviour, options
        A name in :data:`~equigrad.federation.party.behaviours.BEHAVIOURS` and its settings.
    device
        Where model and records live, e.g. ``"cpu"`` or ``"cuda:0"``.
    upload_noise, noise_kind
        Standard deviation and distribution of the noise that the party adds to every entry of its
        bounded upload, and declares with it.
    plan
        What the party may release where it trains privately; None where it does not.
    groups
        ``(n,) int64``, each record's group, if the plan's clipping rule goes by groups.
    account
        The file of the party's own privacy account; only with a plan.
    """

    name: str
    seed: int
    train: Records
    test: Records
    model_input: ModelInput
    model: ModelConfig
    training: TrainingConfig
    behaviour: str = "honest"
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "cpu"
    upload_noise: float = 0.0
    noise_kind: Literal["gaussian", "laplace"] = "gaussian"
    plan: PrivacyPlan | None = None
    groups: torch.Tensor | None = None
    account: Path | None = None

    @property
    def classes(self) -> int:
        """How many classes there are; 0 for regression."""
        return self.model_input.outputs if self.model_input.task == "classification" else 0

    def make_agent(self) -> "PartyAgent":
        """Return the party, ready to be asked."""
        from equigrad.federation.party.agent import PartyAgent

        return PartyAgent(self)

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> PartyState:
        """Return the state that :meth:`PartyState.to_tensors` wrote."""
        return PartyState.from_tensors(tensors)

    def check(self, settings: CgsvSettings) -> None:
        """Refuse, before a run starts, what would make the party fail or leak in it.

        Raises
        ------
        RegistryError, ConfigError
            If the behaviour is unknown or does not fit the party's labels; or if the party adds
            noise and the upload norm is automatic: the bound must be fixed before any number that
            depends on the data is sent.
        """
        make_behaviour(self.behaviour, self.options).labels(self.train.labels, self.classes)
        if self.upload_noise > 0 and settings.gamma == "auto":
            raise ConfigError(
                f"Expected a fixed rewards.gamma because {self.name!r} adds noise to its uploads, "
                'got gamma = "auto". Set gamma to the largest norm an upload may have.'
            )
