"""How a training goes: one plain object, the same for both doors.

Neighbours: ``sponsor`` and ``training`` follow it; the estimators and run files make it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

from equigrad._validate import choice, in_range, positive, positive_int
from equigrad.assistance.losses import Loss, make_loss
from equigrad.assistance.privacy import LabelPrivacy
from equigrad.assistance.rows import WEIGH_ON
from equigrad.assistance.track import REFERENCE, StepRule
from equigrad.assistance.weights import Weigher, make_weigher
from equigrad.errors import ConfigError

__all__ = ["INITS", "PRESETS", "REFITS", "STOPPINGS", "Settings"]

INITS = ("best", "mean")
STOPPINGS = ("validation", "training", "none")
REFITS = ("auto", "never")
PRESETS = (REFERENCE,)
PUBLIC_ETA_MAX = 50.0


@dataclass(frozen=True)
class Settings:
    """All settings of a training but the parties' own.

    Parameters
    ----------
    loss
        Overall loss: a name in :data:`~equigrad.assistance.LOSSES`, a loss, or a function in
        PyTorch (see :class:`~equigrad.assistance.TorchLoss`).
    init
        Constant start: ``"best"`` (the minimiser) or ``"mean"``.
    n_rounds
        Most rounds, >= 1.
    weights
        Local loss of the weights: ``"l2"``, ``"l1"``, ``"l1.5"``, ``"l4"``, ``"huber"``; or
        ``"cone"`` (chosen with the step), or ``"equal"``; or a weigher; or a function in PyTorch.
    weigh_on
        ``"train"``: weights and steps from the rows that were sent. ``"holdout"``: from a fifth of
        the rows whose residuals nobody sees; needed where a party may memorise or echo. Where
        these rows are so few that a mix tells all their classes and the best step is the longest,
        the step is the best one for classes of which a share 1 / (n + 1) is uncertain.
    rate
        ``"search"`` for the exact step, or a number > 0.
    eta_max, shrinkage
        Largest step, > 0; factor in (0, 1] on every step.
    stopping
        ``"validation"`` (with fewer than 50 rows ``"training"``), ``"training"`` (while the loss
        falls by 1e-7), or ``"none"``.
    validation_fraction
        Share of the rows held out for each purpose, in (0, 0.3].
    refit
        ``"auto"``: with fewer than 10,000 rows, weights from the rows sent and no label privacy,
        train again on all rows for the chosen number of rounds. ``"never"``.
    min_parties
        Fewest answers of a round, else it is asked once more, then training ends.
    privacy
        Privacy of the labels, or None.
    preset
        ``"reference"`` for the authors' recipe of loss, start, weights, step and rounds; it
        replaces the settings above. Learners are the parties' own: see ``reference_linear``.

    Raises
    ------
    ConfigError
        If a value is impossible, with those that are allowed.
    """

    loss: Loss | str | Callable[..., Any] = "mse"
    init: str = "best"
    n_rounds: int = 50
    weights: Weigher | str | Callable[..., Any] = "l2"
    weigh_on: str = "train"
    rate: float | str = "search"
    eta_max: float = 300.0
    shrinkage: float = 1.0
    stopping: str = "validation"
    validation_fraction: float = 0.2
    refit: str = "auto"
    min_parties: int = 0
    privacy: LabelPrivacy | None = None
    preset: str | None = None

    def __post_init__(self) -> None:
        choice("init", self.init, INITS)
        positive_int("n_rounds", self.n_rounds)
        choice("weigh_on", self.weigh_on, WEIGH_ON)
        if isinstance(self.rate, str):
            choice("rate", self.rate, ("search", REFERENCE))
        else:
            positive("rate", self.rate)
        positive("eta_max", self.eta_max)
        in_range("shrinkage", self.shrinkage, 0.0, 1.0, left_open=True)
        choice("stopping", self.stopping, STOPPINGS)
        in_range("validation_fraction", self.validation_fraction, 0.0, 0.3, left_open=True)
        choice("refit", self.refit, REFITS)
        positive_int("min_parties", self.min_parties, least=0)
        if self.preset is not None:
            choice("preset", self.preset, PRESETS)
        if self.privacy is not None and not isinstance(self.privacy, LabelPrivacy):
            raise ConfigError(
                f"Expected privacy to be a LabelPrivacy or None, got {self.privacy!r}."
            )
        make_loss(self.loss)
        make_weigher(self.weights)

    def resolved(self, *, classification: bool) -> Self:
        """Return the settings with loss and weigher made, and the preset put in.

        Raises
        ------
        ConfigError
            If the loss is not one of the task.
        """
        loss = make_loss(self.loss, classification=classification)
        if loss.classification != classification:
            task = "classification" if classification else "regression"
            raise ConfigError(
                f"Expected a loss of {task}, got {loss.name!r}. Classification takes 'ce', "
                "regression the others."
            )
        chosen = replace(self, loss=loss, weights=make_weigher(self.weights))
        if self.preset is None:
            return chosen
        return replace(
            chosen,
            loss=loss if classification else make_loss("mae"),
            init="mean",
            n_rounds=10,
            weights=make_weigher(REFERENCE),
            weigh_on="train",
            rate=REFERENCE,
            shrinkage=1.0,
            stopping="none",
            refit="never",
            preset=None,
        )

    @property
    def rule(self) -> StepRule:
        """How to weigh and step."""
        return StepRule(make_weigher(self.weights), self.rate, self.eta_max, self.shrinkage)

    @property
    def public_rule(self) -> StepRule:
        """How the public track weighs and steps: targets that are no classes need a lower cap."""
        return replace(self.rule, eta_max=min(self.eta_max, PUBLIC_ETA_MAX))
