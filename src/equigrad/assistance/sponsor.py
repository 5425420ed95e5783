"""The sponsor of one pass: what it sends, and what it makes of the answers.

It knows no party's columns, models or process; whoever carries the messages (``training`` in one
process, the federation between several) asks for :meth:`Sponsor.message` and gives the answers to
:meth:`Sponsor.settle`. Neighbours: ``track`` steps, ``stopping`` ends, ``privacy`` protects.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from equigrad.assistance.arrays import Bool, Float64, mean_of_rows
from equigrad.assistance.checks import checked_answer
from equigrad.assistance.losses import Loss, make_loss
from equigrad.assistance.privacy import BoundPrivacy
from equigrad.assistance.rows import Rows
from equigrad.assistance.settings import Settings
from equigrad.assistance.stopping import chosen_round, hopeless, standing_still
from equigrad.assistance.track import Fits, Round, Track
from equigrad.errors import ConfigError
from equigrad.privacy.accounting import PrivacyEvent

__all__ = ["Sponsor"]

_MEMORISED: Final = 0.5


class Sponsor:
    """The sponsor's side of one pass: ``residual -> (fit) -> weigh -> step``.

    Guarantee: a message holds numbers of the rows ``fit`` alone; under label privacy it depends on
    labels only through what was released (see ``privacy``), never on the private track.

    Parameters
    ----------
    target
        ``(N, K)`` float64: values, or one-hot classes.
    rows
        Which rows are sent, weigh and end.
    held
        ``(N, M)``: party m holds row i; party 0 is the sponsor and holds all.
    settings
        Resolved settings.
    restating
        True if some learner's earlier outputs move (see :class:`Learner`).
    weight
        ``(N,)`` sample weights or None.
    privacy
        The bound plan, or None.
    resumed
        A saved state follows: release nothing now.

    Raises
    ------
    ConfigError
        If label privacy lacks its bounds, or goes together with learners that state rounds again
        while residuals are released per round.
    BudgetExceededError
        If the labels are to be released once and the account refuses; nothing was released.
    """

    def __init__(
        self,
        target: Float64,
        *,
        rows: Rows,
        held: Bool,
        settings: Settings,
        restating: bool = False,
        weight: Float64 | None = None,
        privacy: BoundPrivacy | None = None,
        resumed: bool = False,
    ) -> None:
        self.loss: Loss = make_loss(settings.loss)
        self.rows, self.held, self.settings = rows, held, settings
        self.privacy, self.restating = privacy, restating
        self.weight = weight
        sent = target[rows.fit]
        sent_weight = None if weight is None else weight[rows.fit]
        pick = self.loss.start if settings.init == "best" else self.loss.mean_start
        start = pick(sent, sent_weight)
        scale = mean_of_rows(np.abs(sent - start).mean(axis=1), sent_weight)
        self.track = Track(
            self.loss,
            target,
            start,
            fit=rows.fit,
            weigh=rows.weigh,
            weight=weight,
            held=held,
            rule=settings.rule,
            scale=scale,
        )
        self.public: Track = self.track
        self.events: list[PrivacyEvent] = []
        self.messages: list[Float64] = []
        self.train_losses = [self.track.value(rows.fit)]
        self.stop_losses: list[Float64] = [self._stop_loss()] if len(rows.stop) else []
        self.histories: list[list[Round]] = []
        self.memorising: set[int] = set()
        self._all_fits: list[list[Float64 | None]] = []
        self._all_reasons: list[dict[int, str]] = []
        self._estimates: list[Float64] = []
        if privacy is not None:
            self.public = self._public_track(privacy, resumed)

    @property
    def t(self) -> int:
        """Rounds settled."""
        return len(self.track.rounds)

    def message(self) -> Float64:
        """Return the residual to send in round ``t + 1``, ``(n_fit, K)`` in the rows' order.

        Asked twice for the same round it gives the same numbers.

        Raises
        ------
        BudgetExceededError
            If the privacy account refuses the release; nothing has left.
        """
        if len(self.messages) > self.t:
            return self.messages[self.t]
        residual = self.public.residual()[self.rows.fit]
        if self.privacy is not None and not self.privacy.once:
            self._charge()
            target = self.public_target()[self.rows.fit]
            scores = self.public.F[self.rows.fit]
            clean = self.loss.residual(target, scores, self.public.scale)
            residual = self.privacy.residual(clean, target, self.t + 1)
        self.messages.append(residual)
        return residual

    def settle(self, answers: Sequence[Any]) -> Round:
        """Take the answers to the last message, in declared order, and return the round.

        Parameters
        ----------
        answers
            For each party ``(N, K)`` outputs on the rows it holds (others are ignored), or
            ``(t, N, K)`` where it states all rounds again, or None.
        """
        fits, reasons = self._checked(answers)
        self._compare(fits)
        self._learn()
        if self.restating:
            made = self._settle_again(fits, reasons)
        else:
            made = self._settle_all(fits, reasons)
        self.train_losses.append(made.loss)
        if len(self.rows.stop):
            self.stop_losses.append(self._stop_loss())
        if self.restating:
            self.histories.append(list(self.track.rounds))
        return made

    def done(self) -> str | None:
        """Return why training ends before the next round, or None if it goes on.

        Under label privacy nothing but the number of rounds ends it: anything else would tell.
        """
        if self.t >= self.settings.n_rounds:
            return "rounds"
        if self.privacy is not None:
            return None
        recent = self.track.rounds[-2:]
        if len(recent) == 2 and all(r.eta == 0.0 and r.answered.any() for r in recent):
            return "no descent"
        if self.settings.stopping == "none":
            return None
        if len(self.rows.stop):
            return "validation" if hopeless(self.stop_losses) else None
        return "training loss" if standing_still(self.train_losses) else None

    def best(self) -> int:
        """Return the number of rounds to keep."""
        if len(self.rows.stop) and self.settings.stopping == "validation":
            return chosen_round(self.stop_losses)
        return self.t

    def kept_rounds(self, n_rounds: int) -> list[Round]:
        """Return the rounds behind the scores after ``n_rounds``."""
        if self.restating and n_rounds:
            return self.histories[n_rounds - 1]
        return self.track.rounds[:n_rounds]

    def public_target(self) -> Float64:
        """Return the targets with regression labels clipped to their public bounds."""
        bounds = None if self.privacy is None else self.privacy.release.label_bounds
        if self.loss.classification or bounds is None:
            return self.track.target
        return np.clip(self.track.target, *bounds)

    def _public_track(self, privacy: BoundPrivacy, resumed: bool) -> Track:
        """Return the track that drives the messages; it is made of releases alone."""
        if self.restating and not privacy.once:
            raise ConfigError(
                "Expected release='once' with a shared learner that refits, got 'per_round'. "
                "Choose sharing='frozen', or release the labels once."
            )
        n_rows, n_outputs = self.track.target.shape
        fit = self.rows.fit
        target = np.zeros((n_rows, n_outputs))
        start = np.zeros(n_outputs)
        if not self.loss.classification:
            bounds = privacy.release.label_bounds
            if bounds is None:
                raise ConfigError(
                    "Expected label_bounds=(low, high) with label privacy in regression, got "
                    "None. The start must not be read from the labels."
                )
            start += 0.5 * (bounds[0] + bounds[1])
        if privacy.once and not resumed:
            self._charge()
            target[fit] = privacy.labels(self.public_target()[fit])
            start = self.loss.start(target[fit])
        bounds = privacy.release.label_bounds or (0.0, 1.0)
        return Track(
            self.loss,
            target,
            start,
            fit=fit,
            weigh=fit,
            weight=self.weight,
            held=self.held,
            rule=self.settings.public_rule,
            scale=bounds[1] - bounds[0],
        )

    def _charge(self) -> None:
        if self.privacy is not None:
            event = self.privacy.pay()
            if event is not None:
                self.events.append(event)

    def _learn(self) -> None:
        """Let the public track's target follow from all messages so far."""
        if self.privacy is None or self.privacy.once:
            return
        fit = self.rows.fit
        implied = self.loss.implied_target(self.messages[self.t], self.public.F[fit])
        if implied is not None:
            self._estimates.append(implied)
            self.public.target[fit] = np.mean(self._estimates, axis=0)

    def _compare(self, fits: Sequence[Any]) -> None:
        """Note parties that fit the rows they were sent far better than rows held out."""
        rows = self.rows
        if rows.holdout or not len(rows.stop) or self.privacy is not None:
            return
        residual = self.track.residual()
        for m, fit in enumerate(fits):
            if fit is None:
                continue
            last = fit if fit.ndim == 2 else fit[-1]
            known, unseen = (
                _explained(residual[part[self.held[part, m]]], last[part[self.held[part, m]]])
                for part in (rows.fit, rows.stop)
            )
            if known - unseen > _MEMORISED:
                self.memorising.add(m)

    def _settle_all(self, fits: Fits, reasons: dict[int, str]) -> Round:
        if self.public is not self.track:
            fixed = self._public_step()
            told = None
            if fixed is not None:
                told = np.zeros_like(self.public.F)
                told[self.rows.fit] = self.messages[self.t]
            self.public.settle(fits, reasons, fixed=fixed, residual=told)
        return self.track.settle(fits, reasons)

    def _settle_again(self, fits: list[Any], reasons: dict[int, str]) -> Round:
        """Put restated rounds in their places, and find everything anew."""
        self._all_fits.append([None] * len(fits))
        self._all_reasons.append(reasons)
        for m, fit in enumerate(fits):
            if fit is None:
                continue
            told = fit if fit.ndim == 3 else fit[None]
            for s in range(len(told)):
                self._all_fits[len(self._all_fits) - len(told) + s][m] = told[s]
        if self.public is not self.track:
            self.public.settle_again(self._all_fits, self._all_reasons)
        return self.track.settle_again(self._all_fits, self._all_reasons)

    def _public_step(self) -> float | None:
        """Return the public step where no target follows from the messages.

        Signs move scores by up to one a round: T steps of it cross half the labels' range.
        """
        if self.privacy is None or self.privacy.once or self._estimates:
            return None
        return 0.5 * self.public.scale / self.settings.n_rounds

    def _checked(self, answers: Sequence[Any]) -> tuple[list[Any], dict[int, str]]:
        """Return the answers that can be used, and why the others cannot."""
        if len(answers) != self.held.shape[1]:
            raise ConfigError(
                f"Expected {self.held.shape[1]} answers, one for each party, got {len(answers)}."
            )
        message = self.messages[self.t]
        size = float(np.sqrt((message**2).mean()))
        fits, reasons = [], {}
        for m, answer in enumerate(answers):
            fit, reason = checked_answer(
                answer, self.held[:, m], self.t + 1, message.shape[1], size
            )
            fits.append(fit)
            if reason:
                reasons[m] = reason
        return fits, reasons

    def _stop_loss(self) -> Float64:
        rows = self.rows.stop
        return self.loss.rows(self.track.target[rows], self.track.F[rows])


def _explained(residual: Float64, fit: Float64) -> float:
    """Return the share of the residual's square that a fit explains, at least 0."""
    total = float((residual**2).sum())
    return max(0.0, 1.0 - float(((residual - fit) ** 2).sum()) / total) if total > 0.0 else 0.0
