"""The trainer behind one fit of a classifier for tables.

Neighbours: :mod:`.classifier` fits, :mod:`.trainer` trains.
"""

import copy
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from equigrad._validate import choice, positive
from equigrad.privacy.clipping import with_default_clip
from equigrad.privacy.training.trainer import PrivateTrainer

if TYPE_CHECKING:
    from equigrad.privacy.training.classifier import PrivateClassifier

__all__ = ["trainer_of"]

_OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


def trainer_of(
    estimator: "PrivateClassifier",
    model: nn.Module,
    inputs: torch.Tensor,
    targets: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64] | None,
    n_groups: int | None,
) -> PrivateTrainer:
    """Return the trainer of this fit."""
    kind = _OPTIMIZERS[choice("optimizer", estimator.optimizer, _OPTIMIZERS)]
    options = estimator.rule_options
    if isinstance(estimator.rule, str):
        options = with_default_clip(estimator.rule, options)
    return PrivateTrainer(
        model,
        kind(model.parameters(), lr=positive("learning_rate", estimator.learning_rate)),
        nn.CrossEntropyLoss(),
        (inputs, torch.from_numpy(targets)),
        rule=copy.deepcopy(estimator.rule),  # a rule serves one run
        rule_options=options,
        noise_multiplier=estimator.noise_multiplier,
        target_epsilon=estimator.epsilon if estimator.noise_multiplier is None else None,
        delta=estimator.delta,
        epochs=estimator.epochs,
        public_batch_size=min(positive("batch_size", estimator.batch_size), len(inputs)),
        groups=groups,
        n_groups=n_groups,
        test_seed=estimator.random_state,
        secure_noise=estimator.secure_noise,
        accountant=estimator.accountant,
        account=estimator.account,
        account_label="private classifier",
    )
