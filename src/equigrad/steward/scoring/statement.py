"""What a scoring promises: the statement that follows from its ledger and its settings.

The scoring writes it down and :mod:`.verify` makes it again, both from here.
"""

from collections.abc import Iterable

from equigrad.privacy.accounting import PrivacyEvent, PrivacyStatement, privacy_statement
from equigrad.steward.config import ScoreSettings

__all__ = ["nothing_leaves", "score_statement"]

_TRAINED = {
    "public": "the scorer's model saw public records only",
    "unprotected": "the scorer's model was trained without privacy, so its scores are tainted",
    "private": "the scorer's model stays with its owner",
}

_NOT_COVERED = (
    "everything in the part local/ of the folder: scores, the reliability flag, the selection and "
    "its size, keep rates, accuracies, the comparison of the models",
    "the number of training records and the names of classes and groups, which are taken for "
    "public",
)


def nothing_leaves(origin: str) -> str:
    """Return what stands in place of a statement where nothing leaves the owner."""
    return (
        f"Nothing leaves the owner of the records and no budget is spent: {_TRAINED[origin]}, and "
        "the scores stay in the part local/ of the folder."
    )


def score_statement(
    events: Iterable[PrivacyEvent], settings: ScoreSettings
) -> PrivacyStatement | None:
    """Return what the ``events`` of a scoring promise, and what not; None if there are none."""
    ledger = list(events)
    privacy = settings.privacy
    if not ledger or privacy.delta is None:
        return None
    more = list(_NOT_COVERED)
    if settings.selection.train and settings.selection.release != "best":
        other = "baseline" if settings.selection.release == "selected" else "selection's model"
        more.append(f"the {other}, which was not released; to release it later is charged on top")
    if settings.selection.train and settings.selection.release == "best":
        more.append("which model was released: the one that served the test records better")
    return privacy_statement(
        ledger, privacy.delta, accountant=privacy.accountant, also_not_covered=more
    )
