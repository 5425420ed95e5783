"""The public track: what drives the messages under label privacy, made of releases alone.

Weights and steps found from true labels shape all later residuals, so messages of other rows would
tell of a label. Here they are found from releases. Neighbours: ``sponsor`` keeps its own track of
the true labels beside this one; ``privacy`` makes the releases.
"""

from collections.abc import Sequence

import numpy as np

from equigrad.assistance.arrays import Float64
from equigrad.assistance.losses import Loss
from equigrad.assistance.privacy import BoundPrivacy
from equigrad.assistance.track import Fits, StepRule, Track
from equigrad.errors import ConfigError
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["PublicTrack"]


class PublicTrack:
    """Scores, weights and steps that follow from releases and the parties' answers alone.

    Guarantee: with row i's own message held fixed, no other row's message depends on row i's label.

    Parameters
    ----------
    privacy
        The bound plan. Released once, labels are released here, unless ``resumed``.
    private
        The sponsor's own track: its targets, rows and masks are taken.
    rule
        How to weigh and step.
    n_rounds
        Rounds planned.
    restating
        Some learner states earlier rounds again.
    resumed
        A saved state follows: release nothing now.

    Raises
    ------
    ConfigError
        If bounds are missing, or learners state rounds again under releases per round.
    BudgetExceededError
        If labels are to be released once and the account refuses; nothing was released.
    """

    def __init__(
        self,
        privacy: BoundPrivacy,
        private: Track,
        rule: StepRule,
        *,
        n_rounds: int,
        restating: bool,
        resumed: bool,
    ) -> None:
        self.privacy, self.n_rounds = privacy, n_rounds
        self.loss: Loss = private.loss
        self.events: list[PrivacyEvent] = []
        self.n_estimates = 0
        if restating and not privacy.once:
            raise ConfigError(
                "Expected release='once' with a shared learner that refits, got 'per_round'. "
                "Choose sharing='frozen', or release the labels once."
            )
        self.fit = private.fit
        target = np.zeros_like(private.target)
        self._labels = self._bounded(private.target)[self.fit]
        low, high = self._bounds()
        start = np.zeros(target.shape[1])
        if not self.loss.classification:
            start += 0.5 * (low + high)
        if privacy.once and not resumed:
            self._charge()
            target[self.fit] = privacy.labels(self._labels)
            start = self.loss.start(target[self.fit])
        self.track = Track(
            self.loss,
            target,
            start,
            fit=self.fit,
            weigh=self.fit,
            weight=private.weight,
            held=private.held,
            rule=rule,
            scale=high - low,
        )

    def message(self, t: int) -> Float64:
        """Return the residual to send in round t, ``(n_fit, K)``; a release per round is charged.

        Raises
        ------
        BudgetExceededError
            If the account refuses; nothing has left.
        """
        if self.privacy.once:
            return self.track.residual()[self.fit]
        self._charge()
        clean = self.loss.residual(self._labels, self.track.F[self.fit], self.track.scale)
        return self.privacy.residual(clean, self._labels, t)

    def settle(self, message: Float64, fits: Fits, reasons: dict[int, str]) -> None:
        """Learn from a message what it says of the labels, weigh the answers to it and step."""
        if self.privacy.once:
            self.track.settle(fits, reasons)
            return
        implied = self.loss.implied_target(message, self.track.F[self.fit])
        if implied is not None:
            self.n_estimates += 1
            known = self.track.target[self.fit]
            self.track.target[self.fit] = known + (implied - known) / self.n_estimates
            self.track.settle(fits, reasons)
            return
        told = np.zeros_like(self.track.F)
        told[self.fit] = message
        # Signs move scores by up to one a round: T such steps cross half of the labels' range.
        step = 0.5 * self.track.scale / self.n_rounds
        self.track.settle(fits, reasons, fixed=step, residual=told)

    def settle_again(
        self, fits_by_round: Sequence[Fits], reasons: Sequence[dict[int, str]]
    ) -> None:
        """Find all rounds anew; see :meth:`Track.settle_again`."""
        self.track.settle_again(fits_by_round, reasons)

    def _bounded(self, target: Float64) -> Float64:
        """Return labels within their public bounds."""
        bounds = self.privacy.release.label_bounds
        if self.loss.classification or bounds is None:
            return target
        return np.clip(target, *bounds)

    def _bounds(self) -> tuple[float, float]:
        bounds = self.privacy.release.label_bounds
        if bounds is None and not self.loss.classification:
            raise ConfigError(
                "Expected label_bounds=(low, high) with label privacy in regression, got None. "
                "The start must not be read from the labels."
            )
        return bounds or (0.0, 1.0)

    def _charge(self) -> None:
        event = self.privacy.pay()
        if event is not None:
            self.events.append(event)
