"""What a training promises: the privacy statement that follows from its settings and events.

The training writes it down and :mod:`equigrad.steward.verify` makes it again, both from here.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from equigrad.privacy.accounting import PrivacyEvent, PrivacyStatement, privacy_statement
from equigrad.privacy.accounting.delta import warn_large_delta
from equigrad.steward.config import TrainSettings

__all__ = ["collected", "delta_warnings", "statement_body", "training_statement"]

_NOT_COVERED = (
    "accuracy and loss on the test records",
    "the number of training records and the names of the groups, which are taken for public",
)
_TWIN = "figures of the twin, which was trained without any protection"
_DIAGNOSED = "misalignment and excessive-risk terms recorded during training"


def training_statement(events: Iterable[PrivacyEvent], settings: TrainSettings) -> PrivacyStatement:
    """Return what ``events`` of a training with these settings promise, and what they do not."""
    more = list(_NOT_COVERED)
    if settings.fairness.paired:
        more.append(_TWIN)
    if settings.fairness.diagnostics is not None:
        more.append(_DIAGNOSED)
    privacy = settings.privacy
    return privacy_statement(
        events, privacy.delta, accountant=privacy.accountant, also_not_covered=more
    )


def statement_body(statement: PrivacyStatement) -> dict[str, Any]:
    """Return a statement as the record keeps it: its facts and its sentences."""
    return {**statement.to_json(), "lines": statement.lines()}


def delta_warnings(delta: float, records: int) -> list[str]:
    """Return what must stand beside the statement of a training with so large a delta."""
    said: list[str] = []
    with collected(said):
        warn_large_delta(delta, records)
    return said


@contextmanager
def collected(into: list[str]) -> Iterator[None]:
    """Turn warnings that speak to users into sentences; each is kept once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    told = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    into += [text for text in dict.fromkeys(told) if text not in into]
