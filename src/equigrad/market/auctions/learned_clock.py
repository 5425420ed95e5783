"""The clock with a learned quality table: the same proofs, a lower error.

Derived here (MenuClock-Net). The table is a function of public facts only, and the clock's proofs
hold for any such table, so they hold for every weight a network could have.
"""

from typing import TYPE_CHECKING, ClassVar

from equigrad.errors import DataError
from equigrad.market.auctions.base import AUCTIONS
from equigrad.market.auctions.clock import Clock
from equigrad.market.book import BidBook
from equigrad.market.quality import QualityTable
from equigrad.market.terms import Terms

if TYPE_CHECKING:
    from equigrad.market.learned import Schedule

__all__ = ["LearnedClock"]


@AUCTIONS.register("learned-clock")
class LearnedClock(Clock):
    """Leave-one-out clock menus whose qualities a schedule has learned.

    Exactly truthful, rational and within budget, in integers, for any weights of the schedule: see
    :class:`equigrad.market.auctions.Clock`. Where validation did not find the menu better than the
    plain clock, and outside what was validated, it *is* the plain clock.

    Sizes must be the attested ones. Small listings are paid more per record, so splitting a
    listing would pay: one listing per identity and schema is a condition of the round.

    Parameters
    ----------
    schedule
        What was learned; see :class:`equigrad.market.learned.Schedule`.
    mechanism, dim
        The local mechanism and the model's dimension of this market; None: not compared.

    Raises
    ------
    CheckpointError
        If the schedule was trained for another mechanism or dimension.

    Notes
    -----
    :meth:`quality` gives the table that belongs into ``Terms.quality`` before anyone bids. Terms
    that hold one are cleared with it, and then no float is computed: that is how a clearing is
    recomputed. Terms without one are cleared with the table of all who bid.
    """

    name: ClassVar[str] = "learned-clock"

    def __init__(
        self, schedule: "Schedule", *, mechanism: str | None = None, dim: int | None = None
    ) -> None:
        schedule.check(
            schedule.mechanism if mechanism is None else mechanism,
            schedule.dim if dim is None else dim,
        )
        self.schedule = schedule

    @property
    def label(self) -> str:
        """Name and the schedule's digest."""
        return f"{self.name} schedule={self.schedule.digest}"

    def quality(self, book: BidBook, terms: Terms) -> QualityTable:
        """Return the published table, or else the schedule's for the attested sizes."""
        if terms.quality is not None:
            return terms.quality
        if (book.d != book.dcap).any():
            raise DataError(
                "Expected the attested sizes of all parties, got a smaller one: "
                "a learned schedule fixes them."
            )
        budget = terms.budget / terms.scale
        return self.schedule.quality(book.party, book.dcap, budget, terms.ladder)
