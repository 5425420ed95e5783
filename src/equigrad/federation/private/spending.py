"""What the record says that each party has spent, in epsilon.

The report shows it; ``equigrad verify`` works it out again and compares.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from equigrad.privacy.accounting import PrivacyEvent, epsilon
from equigrad.privacy.accounting.events import SEEDED_MARK

__all__ = ["NOT_PRIVATE", "epsilon_spent", "spent_by_party"]

NOT_PRIVATE = SEEDED_MARK
"""The mark of every epsilon of a run whose noise follows from its seed."""


def spent_by_party(facts: Mapping[str, Any], steps: Mapping[str, int]) -> dict[str, float]:
    """Return the epsilon that each party has spent.

    Parameters
    ----------
    facts
        The entry ``privacy`` of the record's first line.
    steps
        Steps that each party's account holds; a party that is missing has spent nothing.
    """
    delta, accountant = float(facts["delta"]), str(facts["accountant"])
    return {
        party: epsilon_spent(
            plan["event"],
            steps.get(party, 0),
            delta,
            accountant,
            before=plan.get("selection", {}).get("events", ()),
        )
        for party, plan in facts["parties"].items()
    }


def epsilon_spent(
    event: Mapping[str, Any],
    steps: int,
    delta: float,
    accountant: str = "pld",
    *,
    before: Sequence[Mapping[str, Any]] = (),
) -> float:
    """Return the epsilon of ``steps`` releases like ``event`` (as JSON holds it).

    ``before`` are events that come before the first step: a party that made a step made them.
    """
    texts = tuple(json.dumps(one, sort_keys=True) for one in (event, *before))
    return _epsilon(texts, steps, delta, accountant)


@lru_cache(maxsize=4096)  # parties with equally many records cost the same
def _epsilon(events: tuple[str, ...], steps: int, delta: float, accountant: str) -> float:
    step, *before = (PrivacyEvent.from_json(json.loads(text)) for text in events)
    made = [*before, step.with_steps(steps)] if steps else []
    return epsilon(made, delta, accountant=accountant)
