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
from equigrad.assistance.public import PublicTrack
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
    keep_messages
        Keep all messages, ``T n_fit K`` numbers, from which a state can be made; else the last.

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
        keep_messages: bool = True,
    ) -> None:
        self.loss: Loss = make_loss(settings.loss)
        self.rows, self.held, self.settings = rows, held, settings
        self.restating, self.weight = restating, weight
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
        self.messages: list[Float64] = []
        self.keep_messages = keep_messages
        self.train_losses = [self.track.value(rows.fit)]
        self.stop_losses: list[Float64] = [self._stop_loss()] if len(rows.stop) else []
        self.histories: list[list[Round]] = []
        self.memorising: set[int] = set()
        self._all_fits: list[list[Float64 | None]] = []
        self._all_reasons: list[dict[int, str]] = []
        self.public: PublicTrack | None = None
        if privacy is not None:
            self.public = PublicTrack(
                privacy,
                self.track,
                settings.public_rule,
                n_rounds=settings.n_rounds,
                restating=restating,
                resumed=resumed,
            )

    @property
    def events(self) -> list[PrivacyEvent]:
        """Privacy events of all releases so far."""
        return [] if self.public is None else self.public.events

    @property
    def public_rounds(self) -> list[Round]:
        """Rounds of the public track; the sponsor's own without label privacy."""
        return self.track.rounds if self.public is None else self.public.track.rounds

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
        if self.public is None:
            residual = self.track.residual()[self.rows.fit]
        else:
            residual = self.public.message(self.t + 1)
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
        if self.restating:
            made = self._settle_again(fits, reasons)
        else:
            made = self._settle_all(fits, reasons)
        self.train_losses.append(made.loss)
        if not self.keep_messages:
            self.messages[-1] = self.messages[-1][:0]
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
        if self.public is not None:
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

    def _compare(self, fits: Sequence[Any]) -> None:
        """Note parties that fit the rows they were sent far better than rows held out."""
        rows = self.rows
        if rows.holdout or not len(rows.stop) or self.public is not None:
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
        if self.public is not None:
            self.public.settle(self.messages[self.t], fits, reasons)
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
        if self.public is not None:
            self.public.settle_again(self._all_fits, self._all_reasons)
        return self.track.settle_again(self._all_fits, self._all_reasons)

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
