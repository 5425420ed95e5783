"""The terms that every release shares: which scores may go, who pays, where the noise comes from.

Order of every release: conditions, the charge (which refuses before any noise is drawn), the draw,
the result. Neighbours: :mod:`.slots` (public places of records), :mod:`.scores` and
:mod:`.aggregate` (what is released).
"""

import math
from collections.abc import Sequence
from typing import Final, Literal

from equigrad._validate import positive
from equigrad.errors import ConfigError, PrivacyError, StabilityError, TaintedScoresError
from equigrad.privacy.account import PrivacyAccount
from equigrad.privacy.account.pricing import refuse_unless_fitting
from equigrad.privacy.accounting import PrivacyEvent
from equigrad.privacy.noise import NoiseKey
from equigrad.valuation.base import Bounds, Float64, Locality
from equigrad.valuation.scores import ScoreSet
from equigrad.valuation.trajectory import Origin

__all__ = [
    "NO_ACCOUNT",
    "Account",
    "admit",
    "charge",
    "check_account",
    "check_bounds",
    "check_key",
    "finite_values",
    "refuse_estimate",
    "refuse_pooled",
    "refuse_released",
    "refuse_tainted",
    "seeds",
]

NO_ACCOUNT: Final = "none"
"""Says that a release is charged to no account: whoever calls composes its event."""

Account = PrivacyAccount | Literal["none"] | None


def check_account(account: Account, what: str) -> None:
    """Refuse to go on without an account, unless that was said.

    Raises
    ------
    PrivacyError
        If the account is None or something else.
    """
    if isinstance(account, PrivacyAccount) or account == NO_ACCOUNT:
        return
    raise PrivacyError(
        f"Expected a privacy account to charge {what} to, got {account!r}. Give "
        "account=PrivacyAccount.open(...); account='none' charges nobody and leaves it to you to "
        "compose the event with all others."
    )


def check_key(key: NoiseKey | None, *, again: bool = False) -> None:
    """Refuse a private noise key that has served already.

    Raises
    ------
    PrivacyError
        If it has, and is not used ``again`` at another address by the same view.
    """
    if key is not None and key.claimed and not again:
        raise PrivacyError(
            "Expected a noise key that has served no release, got one that has. One key on two "
            "releases shows the difference of what they hide: give NoiseKey.secret(), or none."
        )


def seeds(key: NoiseKey | None) -> bool:
    """Return whether noise from this key protects nobody; no key means a new secret one."""
    return key is not None and not key.private


def admit(account: Account, events: Sequence[PrivacyEvent]) -> None:
    """Refuse events that do not fit into the account together; nothing is charged.

    Raises
    ------
    BudgetExceededError
        If they do not fit.
    """
    if not events or not isinstance(account, PrivacyAccount):
        return
    others = len(events) - 1
    what = (
        f"a release after {others} of the same call, counted as spent," if others else "1 release"
    )
    refuse_unless_fitting(
        [*account.reserved(), *events[:-1]],
        events[-1],
        what,
        owner=account.owner,
        limit=(account.epsilon, account.delta),
        accountant=account.accountant,
    )


def charge(
    account: Account, event: PrivacyEvent, key: NoiseKey | None, *, again: bool = False
) -> NoiseKey:
    """Charge one release and return the key to draw its noise with.

    Guarantee: a refusal changes neither the account nor the key. The charge is on the disk before
    a number is drawn, so an account never holds less than what was released.

    Raises
    ------
    PrivacyError
        If no account is named, or the key served another release.
    BudgetExceededError
        If the account refuses.
    """
    check_account(account, event.released or "a release")
    check_key(key, again=again)
    if isinstance(account, PrivacyAccount):
        account.charge(event)
    source = NoiseKey.secret() if key is None else key
    source.claim(again=again)
    return source


def check_bounds(bounds: Bounds | None, own: Bounds | None, scorer: str) -> Bounds:
    """Return public bounds (a, b) of a release: those given, else the scorer's own.

    Raises
    ------
    ConfigError
        If there are none, or not a < b, both finite.
    """
    chosen = own if bounds is None else bounds
    if chosen is None or (bounds is None and not all(map(math.isfinite, chosen))):
        raise ConfigError(
            f"Expected public bounds=(a, b) for a release of {scorer}, whose own range is "
            f"{'unknown' if own is None else f'[{own[0]:g}, {own[1]:g}]'}, got none. Choose them "
            "without looking at the records; scores beyond are cut."
        )
    if len(chosen) != 2:
        raise ConfigError(f"Expected bounds=(a, b), got bounds={chosen!r}.")
    low, high = (float(end) for end in chosen)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"Expected finite bounds (a, b) with a < b, got bounds=({low}, {high}).")
    positive("b - a", high - low)
    return low, high


def finite_values(scores: ScoreSet) -> Float64:
    """Return the scores, infinite counts of forgetting read as the number of checkpoints.

    Other infinite scores stay: clipping maps them to the bound on their side.
    """
    if scores.scorer.partition("(")[0] != "forgetting":
        return scores.values
    values = scores.values.copy()
    values[values == math.inf] = float(max(len(scores.checkpoints), 1))
    return values


def refuse_tainted(origin: Origin, scorer: str, use: str) -> None:
    """Refuse scores of a model that was trained on the records without privacy.

    Raises
    ------
    TaintedScoresError
        If they are.
    """
    if origin == "unprotected":
        raise TaintedScoresError(
            f"Expected scores of a public or a privately trained model for {use}, got {scorer} of "
            "a model trained on the records without privacy: each score depends on every record, "
            "and no noise on single scores hides that. Train the scorer's model with "
            "PrivateTrainer, or on public data."
        )


def refuse_estimate(estimate: bool, scorer: str, use: str) -> None:
    """Refuse values that are no sound bounds of what they claim to bound.

    Raises
    ------
    PrivacyError
        If they are estimates.
    """
    if estimate:
        raise PrivacyError(
            f"Expected sound values for {use}, got estimates of {scorer} (carried norms). "
            "Compute the norm of every step, without carry_last."
        )


def refuse_pooled(
    locality: Locality, scorer: str, use: str, remedy: str, *, public_validation: bool
) -> None:
    """Refuse scores that depend on other records than their own.

    Raises
    ------
    StabilityError
        If they are pooled, or compared with a private validation set.
    """
    if locality == "record" or (locality == "validation" and public_validation):
        return
    why = (
        "each looks at other scored records as well"
        if locality == "pooled"
        else "one record of the private validation set moves them all"
    )
    other = "" if locality == "pooled" else "Compare with a public validation set, or "
    raise StabilityError(
        f"Expected scores of which one record moves its own only for {use}, got {scorer} "
        f"({locality}): {why}. {other}{remedy[:1].lower() if other else remedy[:1]}{remedy[1:]}"
    )


def refuse_released(scores: ScoreSet) -> None:
    """Refuse scores that were released before.

    Raises
    ------
    ConfigError
        If they are not local.
    """
    if scores.view != "local":
        raise ConfigError(
            f"Expected local scores to release, got those of {scores.scorer} under the view "
            f"{scores.view!r}. They are paid for: whatever is made of them is free."
        )
