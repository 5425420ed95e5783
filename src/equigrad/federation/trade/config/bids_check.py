"""Whether every party of a market's run file says what its privacy costs.

Neighbour: ``check`` asks about everything else.
"""

from collections.abc import Iterator

from equigrad.errors import ConfigError
from equigrad.federation.config.locate import Path
from equigrad.federation.config.parties import listed_names
from equigrad.federation.config.problems import Problem
from equigrad.federation.trade.config.schema import MarketConfig, SellerConfig

__all__ = ["bid_problems"]


def bid_problems(config: MarketConfig) -> Iterator[Problem]:
    """Yield what is missing or wrong in the parties' curves, caps and sizes."""
    drawn = config.market.bids.source == "synthetic"
    yield from _fixed_sizes(config)
    for i, party in enumerate(config.party):
        path: Path = ("party", i)
        found = list(_curve(path, party))
        yield from found
        if not drawn and not found:
            yield from _missing(path, party)
    if drawn:
        return
    known = listed_names(config) or ()
    listed = {party.name for party in config.party}
    silent = [name for name in known if name not in listed]
    if silent:
        text = (
            f"Expected a [[party]] with kind, factor and eps_cap for every party, got none for "
            f"{', '.join(silent[:5])}{' and others' if len(silent) > 5 else ''}. Add them, or draw "
            'curves: market.bids.source = "synthetic".'
        )
        yield Problem(("party",), text)


def _fixed_sizes(config: MarketConfig) -> Iterator[Problem]:
    """Yield the sizes that parties choose where prices depend on sizes, so that choosing pays."""
    trade = config.market
    if trade.mechanism != "learned-clock" and not trade.size_exponent:
        return
    what = "a learned schedule" if trade.mechanism == "learned-clock" else "size_exponent > 0"
    for i, party in enumerate(config.party):
        if party.size is not None:
            text = (
                f"Expected no size of party.{party.name}, got {party.size}: with {what} a party "
                "sells all the records it holds, or it could gain by its size. Remove it."
            )
            yield Problem(("party", i, "size"), text)


def _curve(path: Path, party: SellerConfig) -> Iterator[Problem]:
    """Yield what is wrong with what a party says."""
    from equigrad.market import Curve

    name = party.name
    if (party.kind == "table") != (party.curve is not None):
        what = "curve = [[epsilon, cost], ...]" if party.curve is None else 'kind = "table"'
        key = "kind" if party.curve is None else "curve"
        have = 'kind = "table"' if party.curve is None else "its curve"
        text = f"Expected party.{name} to have {what} beside {have}, got none. Add it."
        yield Problem((*path, key), text)
        return
    if party.kind is None:
        return
    points = tuple((eps, cost) for eps, cost in party.curve or ())
    try:
        Curve(party.kind, 1.0 if party.factor is None else party.factor, points)
    except ConfigError as error:
        key = "curve" if party.kind == "table" else "factor"
        yield Problem((*path, key), f"party.{name}.{key}: {error}")


def _missing(path: Path, party: SellerConfig) -> Iterator[Problem]:
    """Yield the keys that a party with a curve of its own needs and lacks."""
    needed = ["kind"] if party.kind == "table" else ["kind", "factor", "eps_cap"]
    missing = [key for key in needed if getattr(party, key) is None]
    if missing:
        text = (
            f"Expected party.{party.name} to say {', '.join(missing)}, got nothing. Add them, or "
            'draw curves: market.bids.source = "synthetic".'
        )
        yield Problem(path, text)
