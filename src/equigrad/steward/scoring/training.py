"""One training of a scoring: the scorer's model or an arm, made, gone on with, and ended.

The trainer itself is :mod:`equigrad.privacy.training`'s. All trainings share the plan's rate and
divisor; a training on a selection gets all records and a mask, so that nothing of it depends on how
many were chosen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.optim import Optimizer

from equigrad.errors import BudgetExceededError
from equigrad.federation.party.optimizer import make_optimizer
from equigrad.federation.streams import stream_seed, torch_stream
from equigrad.models import build_model, check_model
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.clipping import with_default_clip
from equigrad.privacy.training import PrivateTrainer
from equigrad.steward.config import ScoreSettings
from equigrad.steward.material import Material
from equigrad.steward.promise import collected
from equigrad.steward.scoring.plan import Schedule
from equigrad.steward.setup import in_words_of_settings

__all__ = ["Training", "fresh_model", "train_plainly", "train_privately"]

Stepped = Callable[[int, int], None]
Marked = Callable[[int, nn.Module], None]


@dataclass(frozen=True, eq=False)
class Training:
    """One private training.

    Attributes
    ----------
    name
        What its random streams and its folder are called.
    settings, material, numbers
        Of the scoring.
    event
        All its steps, with their noise.
    lr
        Learning rate.
    weights
        The stream that draws its initial weights; both arms of one repeat share it.
    kept
        ``(n,) bool``: the records it learns from; None for all.
    """

    name: str
    settings: ScoreSettings
    material: Material
    numbers: Schedule
    event: PrivacyEvent
    lr: float
    weights: str
    kept: npt.NDArray[np.bool_] | None = None

    def begin(self, account: PrivacyAccount | None) -> PrivateTrainer:
        """Return a new trainer.

        Raises
        ------
        ConfigError, DataError, ModelError
            For what a private training cannot take; nothing is charged then.
        BudgetExceededError
            If the account has no room for it.
        """
        privacy = self.settings.privacy
        with collected([]), in_words_of_settings():
            return PrivateTrainer(
                **self._given(),
                rule=privacy.rule,
                rule_options=with_default_clip(privacy.rule, privacy.options),
                delta=float(privacy.delta or 0.0),
                noise_multiplier=self.event.noise_multiplier,
                steps=self.event.steps,
                sampling_rate=self.numbers.rate,
                public_batch_size=self.numbers.batch,
                max_physical=privacy.max_physical,
                secure_noise=privacy.noise_form == "rounded",
                accountant=privacy.accountant,
                n_groups=self._n_groups,
                account=account,
                account_label=self.event.label,
                test_seed=self._test_seed,
                neighbouring=self.event.neighbouring,
                stability=self.event.group_size,
            )

    def go_on(self, folder: Path, account: PrivacyAccount | None) -> PrivateTrainer:
        """Return the trainer that was saved in ``folder``, charged as before."""
        with collected([]):
            return PrivateTrainer.resume(
                folder, **self._given(), account=account, checkpoint=None, n_groups=self._n_groups
            )

    @property
    def _n_groups(self) -> int | None:
        groups = self.material.groups
        return None if groups is None else len(groups.names)

    @property
    def _test_seed(self) -> int | None:
        if self.settings.privacy.noise == "secret":
            return None
        return stream_seed(self.settings.seed, f"rehearsal of {self.name}") >> 1

    def _given(self) -> dict[str, Any]:
        train, groups = self.material.train, self.material.groups
        model = fresh_model(self.settings, self.material, self.weights)
        return {
            "model": model,
            "optimizer": _optimizer(self.settings, model, self.lr),
            "loss": nn.CrossEntropyLoss(reduction="none"),
            "data": (train.features, train.labels),
            "groups": None if groups is None else groups.train,
            "kept": None if self.kept is None else torch.from_numpy(self.kept.copy()),
        }


def fresh_model(settings: ScoreSettings, material: Material, stream: str) -> nn.Module:
    """Return a model with initial weights from a stream of the seed.

    Raises
    ------
    ConfigError, ModelError
        If there is no such model, or it does not suit the records.
    """
    model = build_model(
        settings.model.factory,
        material.model_input,
        settings.model.options,
        stream_seed(settings.seed, stream),
    )
    check_model(model, material.model_input, buffers="freeze")
    return model


def train_privately(
    training: Training,
    folder: Path,
    account: PrivacyAccount | None,
    *,
    marks: Sequence[int],
    marked: Marked,
    stepped: Stepped,
) -> PrivateTrainer:
    """Make all steps of a training that may have been begun before, and return its trainer.

    It is saved at the marks; whoever calls ends it (:meth:`PrivateTrainer.close`) once its outcome
    is safe.

    Parameters
    ----------
    training
        What is trained.
    folder
        Its checkpoint's folder.
    account
        Where it is charged, or None.
    marks
        Steps, ascending, at which it is saved; the last is its last step.
    marked
        Called with step and model at each mark, before the save; may be called again for a mark.
    stepped
        Called with steps done and all steps.

    Raises
    ------
    BudgetExceededError
        If steps would have to be charged twice, because the key of a stopped training was lost.
    """
    begun = (folder / "LATEST").exists()
    trainer = training.go_on(folder, account) if begun else training.begin(account)
    total = training.event.steps
    try:
        if not begun:
            trainer.save(folder)
        stepped(trainer.steps_done, total)
        for mark in marks:
            if mark < trainer.steps_done:
                continue
            while trainer.steps_done < mark:
                report = trainer.step()
                _refuse_beyond_plan(report.charged, total)
                stepped(report.step, total)
            marked(mark, trainer.model)
            trainer.save(folder)
    except BaseException:
        trainer.pause()
        raise
    return trainer


def train_plainly(
    settings: ScoreSettings,
    material: Material,
    data: tuple[torch.Tensor, torch.Tensor],
    numbers: Schedule,
    *,
    stepped: Stepped,
    marked: Marked,
) -> nn.Module:
    """Train the scorer's model without any protection, on batches from the seed; return it.

    Expected batches are as large a share of ``data`` as the private trainings' of the records.
    """
    features, labels = data
    model = fresh_model(settings, material, "scorer's model")
    rate = settings.scoring.lr or settings.training.lr
    optimizer = _optimizer(settings, model, rate)
    generator = torch_stream(settings.seed, "batches of the scorer's model")
    expected = max(1.0, numbers.rate * len(labels))
    loss = nn.CrossEntropyLoss(reduction="sum")
    for step in range(1, numbers.scorer_steps + 1):
        drawn = torch.rand(len(labels), generator=generator) < numbers.rate
        optimizer.zero_grad()
        (loss(model(features[drawn]), labels[drawn]) / expected).backward()
        optimizer.step()
        stepped(step, numbers.scorer_steps)
        if step in numbers.checkpoints:
            marked(step, model)
    return model


def _optimizer(settings: ScoreSettings, model: nn.Module, lr: float) -> Optimizer:
    training = settings.training
    parameters = [p for p in model.parameters() if p.requires_grad]
    return make_optimizer(training.optimizer, parameters, lr, training.options)


def _refuse_beyond_plan(charged: int, total: int) -> None:
    """Refuse to go on with a training whose steps had to be charged again."""
    if charged > total:
        raise BudgetExceededError(
            f"Expected at most {total} steps charged for this training, as planned, got "
            f"{charged}: steps made before it was stopped could not be repeated (its key, its "
            "records or the machine are not the same). Nothing was released; start a new scoring."
        )
