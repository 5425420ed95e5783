"""Who is asked to bid in a round; the same for who plays and for who verifies."""

from collections.abc import Mapping, Sequence

from equigrad.federation.trade.config.schema import MarketConfig, SellerConfig

__all__ = ["invited_in"]


def invited_in(
    config: MarketConfig, parties: Sequence[str], round_: int, out: Mapping[str, int]
) -> tuple[str, ...]:
    """Return who is asked to bid in a round: all who are there, or so many in turn.

    Parameters
    ----------
    config
        The run file: who joins and leaves when, and how many are invited.
    parties
        Everybody, in the run's order.
    round_
        From 0.
    out
        The last round that a party misses because it did not open a bid.
    """
    listed = {seller.name: seller for seller in config.party}
    here = [
        name
        for name in parties
        if (listed.get(name) or SellerConfig(name=name)).present(round_)
        and out.get(name, -1) < round_
    ]
    few = config.market.invite
    if few is None or few >= len(here):
        return tuple(here)
    first = round_ * few
    return tuple(sorted((here[(first + i) % len(here)] for i in range(few)), key=here.index))
