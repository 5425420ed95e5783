"""Relations between data sets, and which of them a joint price speaks of.

Prices under different relations compose, because each event says how the rows that *it* reads
differ when the owner's data set gains or loses one record, and its price bounds the privacy loss
for rows that differ so. The price of a replacement bounds an addition, too: let the row that takes
the absent one's place add nothing. So everything together speaks of one record added or removed.
Neighbours: ``events`` states the relation of one event, ``statement`` that of all.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from equigrad.privacy.accounting.events import PrivacyEvent

__all__ = ["ADD_OR_REMOVE_ONE", "RELATIONS", "REPLACE_ONE", "relation_of"]

ADD_OR_REMOVE_ONE: Final = "add-or-remove-one"
REPLACE_ONE: Final = "replace-one"
RELATIONS: Final = (ADD_OR_REMOVE_ONE, REPLACE_ONE)


def relation_of(events: Iterable["PrivacyEvent"]) -> str:
    """Return the relation between data sets that the joint price of ``events`` speaks of.

    Guarantee: the price of all events together holds for the relation returned.
    ``"replace-one"`` if every event is priced for one row replaced and none for a group: then it
    holds for one record replaced, and for one added or removed as well. In every other case, and
    for no event, ``"add-or-remove-one"``; a replacement would be two steps of it, and may cost
    more than the price. Derived in the documentation (What is proved, Relations compose).
    """
    seen = {(event.neighbouring, event.group_size) for event in events if event.steps}
    return REPLACE_ONE if seen == {(REPLACE_ONE, 1)} else ADD_OR_REMOVE_ONE
