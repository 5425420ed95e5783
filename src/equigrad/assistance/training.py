"""A whole training: one pass to find the number of rounds, and one on all rows where that helps.

Neighbours: ``sponsor`` and ``parties`` of one pass; ``estimators`` and the federation call here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from equigrad.assistance.arrays import Float64, Int64
from equigrad.assistance.losses import make_loss
from equigrad.assistance.model import AssistedModel
from equigrad.assistance.parties import Parties
from equigrad.assistance.rows import Rows, all_rows, split_rows
from equigrad.assistance.seeds import split_seed
from equigrad.assistance.settings import Settings
from equigrad.assistance.sponsor import Sponsor
from equigrad.assistance.state import TrainingState, load_sponsor, save_sponsor
from equigrad.assistance.track import Round
from equigrad.assistance.warn import warn_of, warn_of_memorising
from equigrad.errors import BudgetExceededError
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey

__all__ = ["Training", "train"]

_MOST_FOR_REFIT: Final = 10_000

OnRound = Callable[["Pass"], object]


@dataclass(frozen=True)
class Training:
    """What a training gave; all but the model and the public rounds is the sponsor's alone.

    Attributes
    ----------
    model
        Start, weights and steps.
    rounds
        The rounds behind the model.
    losses
        Loss on the rows that were sent, rounds 0..T.
    validation_losses
        Mean loss on the rows that chose T, for all rounds of the pass that did; empty without.
    rows
        The rows of the last pass.
    reason
        Why it ended: ``"rounds"``, ``"validation"``, ``"training loss"``, ``"no descent"``,
        ``"budget"`` or ``"quorum"``.
    events
        Privacy events of all releases.
    public_rounds
        Rounds of the public track; those of the model without label privacy.
    F
        ``(N, K)`` scores after the last round of the pass, which are the model's if it kept all.
    refitted
        The model is of the second pass, on all rows.
    """

    model: AssistedModel
    rounds: tuple[Round, ...]
    losses: tuple[float, ...]
    validation_losses: tuple[float, ...]
    rows: Rows
    reason: str
    events: tuple[PrivacyEvent, ...]
    public_rounds: tuple[Round, ...]
    F: Float64 = field(repr=False)
    refitted: bool = False


class Pass:
    """One pass under way, as ``on_round`` gets it.

    Attributes
    ----------
    sponsor
        Its tracks, rounds and losses.
    refitting
        True in the second pass.
    """

    def __init__(self, sponsor: Sponsor, meta: dict[str, Any]) -> None:
        self.sponsor = sponsor
        self._meta = meta

    @property
    def refitting(self) -> bool:
        """True in the second pass."""
        return bool(self._meta["refitting"])

    def state(self) -> TrainingState:
        """Return what :func:`train` needs to go on from here."""
        return save_sponsor(self.sponsor, self._meta)


def train(
    parties: Parties,
    target: Float64,
    settings: Settings,
    *,
    classes: Int64 | None = None,
    weight: Float64 | None = None,
    run_seed: int = 0,
    key: NoiseKey | None = None,
    on_round: OnRound | None = None,
    state: TrainingState | None = None,
    resumed: bool = False,
) -> Training:
    """Train and return the model.

    Parameters
    ----------
    parties
        They fit; see :class:`Parties`. They are left with the models of the rounds kept.
    target
        ``(N, K)`` float64: values, or one-hot classes.
    settings
        Resolved settings.
    classes
        ``(N,)`` class numbers for stratified held-out rows, or None.
    weight
        ``(N,)`` sample weights or None.
    run_seed
        Chooses the rows held out; the parties have it for their learners.
    key
        Noise of label privacy; a secret key if None.
    on_round
        Called after every round; what it raises ends the training.
    state
        Go on from here, with the same arguments: to the same model, bit for bit (under label
        privacy, if a secret key is not kept, with other noise in the rounds to come).
    resumed
        The same training goes on with the same key, even where it had no state yet.

    Raises
    ------
    ConfigError, DataError, ModelError
        If settings, rows or learners do not fit each other.
    PrivacyError
        If a secret key has served another training.
    BudgetExceededError
        If labels are to be released once and the account refuses.
    """
    if settings.privacy is not None:
        classes = None
    meta: dict[str, Any] = {
        "refitting": False,
        "n_rounds": settings.n_rounds,
        "validation": [],
        "reason": "",
    }
    if state is not None:
        meta = {name: state.meta[name] for name in meta}
    validation, reason = meta["validation"], meta["reason"]
    if not meta["refitting"]:
        rows = split_rows(
            len(target),
            classes,
            weigh_on=settings.weigh_on,
            validate=settings.stopping == "validation",
            fraction=settings.validation_fraction,
            generator=np.random.default_rng(split_seed(run_seed)),
        )
        sponsor, reason = _pass(
            parties, target, rows, settings, weight, key, on_round, meta, state, resumed=resumed
        )
        warn_of_memorising(sponsor.memorising, parties.names)
        validation = [float(losses.mean()) for losses in sponsor.stop_losses]
        if not _refits(sponsor, settings):
            return _ended(sponsor, parties, validation, reason, settings)
        meta = {
            "refitting": True,
            "n_rounds": sponsor.best(),
            "validation": validation,
            "reason": reason,
        }
        state = None
    again = replace(settings, n_rounds=max(meta["n_rounds"], 1), stopping="none")
    rows = all_rows(len(target))
    sponsor, again_reason = _pass(
        parties, target, rows, again, weight, key, on_round, meta, state, meta["n_rounds"]
    )
    if again_reason == "quorum":
        reason = again_reason
    return _ended(sponsor, parties, validation, reason, again, refitted=True)


def _pass(
    parties: Parties,
    target: Float64,
    rows: Rows,
    settings: Settings,
    weight: Float64 | None,
    key: NoiseKey | None,
    on_round: OnRound | None,
    meta: dict[str, Any],
    state: TrainingState | None,
    most: int | None = None,
    *,
    resumed: bool = False,
) -> tuple[Sponsor, str]:
    """Run one pass, and return its sponsor and why it ended."""
    privacy = None
    if settings.privacy is not None:
        noise = key or NoiseKey.secret()
        noise.claim(again=resumed or state is not None)
        loss = make_loss(settings.loss)
        privacy = settings.privacy.bind(loss, target.shape[1], settings.n_rounds, noise)
    sponsor = Sponsor(
        target,
        rows=rows,
        held=parties.held,
        settings=settings,
        restating=parties.restating,
        weight=weight,
        privacy=privacy,
        resumed=state is not None,
        keep_messages=on_round is not None,
    )
    parties.begin(rows.fit, weight)
    if state is not None:
        load_sponsor(sponsor, state, parties)
    reason = "rounds" if most == 0 else sponsor.done()
    while reason is None:
        try:
            message = sponsor.message()
        except BudgetExceededError:
            return sponsor, "budget"
        answers = parties.answer(sponsor.t + 1, message)
        if _too_few(answers, settings.min_parties):
            answers = parties.answer(sponsor.t + 1, message)
            if _too_few(answers, settings.min_parties):
                return sponsor, "quorum"
        sponsor.settle(answers)
        if on_round is not None:
            on_round(Pass(sponsor, meta))
        reason = sponsor.done()
    return sponsor, reason


def _too_few(answers: Any, least: int) -> bool:
    return sum(answer is not None for answer in answers[1:]) < least


def _refits(sponsor: Sponsor, settings: Settings) -> bool:
    """Return whether a second pass on all rows follows."""
    return (
        settings.refit == "auto"
        and settings.privacy is None
        and settings.weigh_on == "train"
        and len(sponsor.rows.stop) > 0
        and len(sponsor.track.target) < _MOST_FOR_REFIT
    )


def _ended(
    sponsor: Sponsor,
    parties: Parties,
    validation: list[float],
    reason: str,
    settings: Settings,
    *,
    refitted: bool = False,
) -> Training:
    kept = sponsor.best() if settings.stopping != "none" else sponsor.t
    rounds = tuple(sponsor.kept_rounds(kept))
    parties.keep(kept)
    warn_of(rounds, parties.names)
    n_parties = len(parties.names)
    model = AssistedModel(
        parties.names,
        sponsor.track.start,
        np.array([r.weights for r in rounds]).reshape(-1, n_parties),
        np.array([r.eta for r in rounds]),
    )
    return Training(
        model,
        rounds,
        tuple(sponsor.train_losses[: kept + 1]),
        tuple(validation),
        sponsor.rows,
        reason,
        tuple(sponsor.events),
        tuple(sponsor.public_rounds),
        sponsor.track.F,
        refitted,
    )
