"""The time of a market run: seconds that are counted, never read.

A run in one process has no use for waiting: a stage is over when everybody has answered, and the
ledger is told that its seconds have passed. So a run that is resumed tells its ledger the same
times again, and writes the same chain, bit for bit. How long a party may really take to answer is
the transport's deadline. Neighbour: ``money`` tells the ledger the time.
"""

from equigrad.federation.trade.config.schema import TradeConfig

__all__ = ["LogicalClock", "exclusion", "period"]


class LogicalClock:
    """Counts seconds; never goes back.

    Parameters
    ----------
    now
        Where it begins.
    """

    def __init__(self, now: int = 0) -> None:
        self._now = now

    @property
    def now(self) -> int:
        """The present second."""
        return self._now

    def at_least(self, second: int) -> None:
        """Let time pass until ``second``, unless it has passed already."""
        self._now = max(self._now, second)

    def beyond(self, deadline: int) -> None:
        """Let a deadline pass: it is one second after it then."""
        self.at_least(deadline + 1)


def period(trade: TradeConfig) -> int:
    """Return how many seconds a round takes: three stages, and one second after two of them."""
    return trade.commit_seconds + trade.reveal_seconds + trade.deliver_seconds + 2


def exclusion(trade: TradeConfig) -> int:
    """Return how long a listing stays out after a clearing, to miss ``exclude_rounds`` rounds.

    A clearing takes place one second after the bidding. With the seconds returned here the next
    ``exclude_rounds`` rounds begin while the listing is out, and no other does.
    """
    if trade.exclude_rounds == 0:
        return 0
    bidding = trade.commit_seconds + trade.reveal_seconds + 1
    return trade.exclude_rounds * period(trade) - bidding
