"""How labels are protected when the protocol is repeated without each fold.

Released once, labels are not released again: every pass computes its residuals from the same
release. Per round, all passes share one epsilon. Neighbours: ``stage`` and the estimators.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from equigrad.assistance.arrays import Float64, Int64
from equigrad.assistance.losses import make_loss
from equigrad.assistance.privacy import BoundPrivacy, LabelPrivacy
from equigrad.assistance.settings import Settings
from equigrad.assistance.training import OnRound, Pass
from equigrad.errors import ConfigError
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey

__all__ = ["FoldLabels", "shared_settings"]


@dataclass(frozen=True)
class _Released(BoundPrivacy):
    """Labels that were released and paid before; nothing is released again."""

    estimate: Float64 = field(default_factory=lambda: np.zeros((0, 0)))

    def pay(self) -> PrivacyEvent | None:
        """Charge nothing."""
        return None

    def labels(self, target: Float64) -> Float64:
        """Return the estimate that was released."""
        del target
        return self.estimate


def shared_settings(settings: Settings, n_folds: int) -> Settings:
    """Return settings of the training and of each repetition, which share one epsilon per round.

    A label is sent in all of ``n_folds + 1`` passes but one; the account charges all.
    """
    plan = settings.privacy
    if plan is None or plan.epsilon is None or plan.release != "per_round" or not n_folds:
        return settings
    return replace(settings, privacy=replace(plan, epsilon=plan.epsilon / (n_folds + 1)))


class FoldLabels:
    """The labels of a training as its repetitions may use them.

    Parameters
    ----------
    settings
        Of the training, shared by :func:`shared_settings`.
    seed
        Of noise that repeats, or None for secret noise.
    on_round
        Called after every round of the training.
    """

    def __init__(
        self, settings: Settings, seed: np.random.SeedSequence | None, on_round: OnRound | None
    ) -> None:
        self.settings, self._seed, self._then = settings, seed, on_round
        self._once: BoundPrivacy | None = None
        self._target: Float64 | None = None

    @property
    def watching(self) -> OnRound | None:
        """What the training has to call after every round."""
        return self._then if self.settings.privacy is None else self._watch

    def rounds(self, kept: int) -> int:
        """Return the rounds of a repetition: those kept, or, under privacy, all that were planned.

        The number kept is chosen by true labels, so it must not show.
        """
        return kept if self.settings.privacy is None else self.settings.n_rounds

    def bind(self, rows: Int64, n_outputs: int) -> BoundPrivacy | None:
        """Return the plan of one repetition that sends ``rows``.

        Raises
        ------
        ConfigError
            If labels were released once and this object did not watch it: nothing is
            released twice.
        """
        plan: LabelPrivacy | None = self.settings.privacy
        if plan is None:
            return None
        if self._once is not None and self._target is not None:
            once = self._once
            return _Released(once.mechanism, once.release, once.key, True, None, self._target[rows])
        if plan.epsilon is not None and plan.release != "per_round":
            raise ConfigError(
                "Expected a training whose rounds were watched, got labels that were released "
                "before. Train anew, or choose folds=0: labels are not released twice."
            )
        loss = make_loss(self.settings.loss)
        return plan.bind(loss, n_outputs, self.settings.n_rounds, self._key())

    def _key(self) -> NoiseKey:
        """Return a key of its own for each repetition."""
        if self._seed is None:
            key = NoiseKey.secret()
        else:
            key = NoiseKey.test(int(self._seed.spawn(1)[0].generate_state(1, np.uint64)[0] >> 1))
        key.claim()
        return key

    def _watch(self, under_way: Pass) -> None:
        public = under_way.sponsor.public
        if public is not None and public.privacy.once:
            self._once, self._target = public.privacy, public.track.target
        if self._then is not None:
            self._then(under_way)
