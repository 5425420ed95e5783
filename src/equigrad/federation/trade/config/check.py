"""Whether what a market's run file asks for exists and goes together.

Form (keys, types, ranges) was checked before; here are names of strategies and combinations.
Whether files and records are there is asked when the run is prepared.
"""

from collections.abc import Callable, Iterator
from pathlib import PurePath

from equigrad.errors import ConfigError, EquigradError
from equigrad.federation.config.check import pool_problems, unknown_name
from equigrad.federation.config.locate import Path
from equigrad.federation.config.parties import listed_names
from equigrad.federation.config.problems import Problem, Source, refuse
from equigrad.federation.trade.config.bids_check import bid_problems
from equigrad.federation.trade.config.schema import MarketConfig

__all__ = ["MECHANISMS", "check_market", "setup_problem"]

MECHANISMS = ("clock", "learned-clock", "all-in")
"""Auctions of market runs: those that award whole levels of the ladder."""

_COORDINATOR = "coordinator"
_LONGEST_SHARED = 51  # of a name in a shared ledger, where a mark of 13 letters goes before


def check_market(config: MarketConfig, source: Source | None = None) -> None:
    """Raise one ``ConfigError`` that lists everything that cannot work; return if all is well.

    Parameters
    ----------
    config
        A configuration of sound form.
    source
        The text it came from, for line numbers.
    """
    source = Source(data=config.model_dump()) if source is None else source
    refuse((p for check in _CHECKS for p in check(config)), source)


def setup_problem(config: MarketConfig, names: tuple[str, ...]) -> str | None:
    """Return what is wrong with the parties that the data gave, or None."""
    for name in (_COORDINATOR, config.buyer):
        if name in names:
            return f"Expected no party called {name!r}, which is somebody else here. Rename it."
    longest = max(names, key=len)
    if config.market.ledger is not None and len(longest) > _LONGEST_SHARED:
        return (
            f"Expected names of at most {_LONGEST_SHARED} letters in a shared ledger, got "
            f"{longest!r}. Shorten it, or leave market.ledger out."
        )
    for key, value in (("invite", config.market.invite), ("quorum", config.market.quorum)):
        if value is not None and value > len(names):
            return f"Expected market.{key} <= {len(names)}, the number of parties, got {value}."
    return None


def _names(config: MarketConfig) -> Iterator[Problem]:
    from equigrad.market.aggregation import AGGREGATORS

    trade = config.market
    yield from unknown_name(
        config, ("market", "mechanism"), "an auction of market runs", trade.mechanism, MECHANISMS
    )
    yield from unknown_name(
        config, ("market", "aggregator"), "an aggregator", trade.aggregator, AGGREGATORS
    )


def _mechanism(config: MarketConfig) -> Iterator[Problem]:
    trade = config.market
    if trade.form is not None and trade.mechanism != "all-in":
        text = f'Expected market.form with mechanism "all-in" only, got it with "{trade.mechanism}"'
        yield Problem(("market", "form"), f"{text}. Remove it.")
    learned = trade.mechanism == "learned-clock"
    if learned and trade.schedule is None:
        text = "Expected market.schedule, the file of a learned schedule, got nothing. Add it."
        yield Problem(("market", "mechanism"), text)
    if not learned and trade.schedule is not None:
        text = (
            'Expected market.schedule with mechanism "learned-clock" only, got it with '
            f'"{trade.mechanism}". Remove it.'
        )
        yield Problem(("market", "schedule"), text)
    for key, plain, most in (("quality_exponent", 1.0, 8.0), ("size_exponent", 0.0, 4.0)):
        value = getattr(trade, key)
        if value != plain and trade.mechanism != "clock":
            text = f'Expected market.{key} with mechanism "clock" only, got it with '
            yield Problem(("market", key), f'{text}"{trade.mechanism}". Remove it.')
        elif value > most:
            yield Problem(("market", key), f"Expected market.{key} <= {most:g}, got {value:g}.")
    if trade.eps_max > 100:
        text = f"Expected market.eps_max <= 100, got {trade.eps_max:g}: no protection is left."
        yield Problem(("market", "eps_max"), text)


def _money(config: MarketConfig) -> Iterator[Problem]:
    from equigrad.federation.trade.money import currency_of
    from equigrad.market import to_units

    trade = config.market
    try:
        currency = currency_of(config)
    except ConfigError:
        text = (
            "Expected market.scale a power of ten (the ledger keeps decimals), got "
            f"{trade.scale}. The usual one is 1000000."
        )
        yield Problem(("market", "scale"), text)
        return
    for key in ("budget", "funds"):
        value = getattr(trade, key)
        if value is None:
            continue
        try:
            if key == "budget":
                to_units(value, trade.scale, name="market.budget")
            else:
                currency.parse(value)
        except ConfigError as error:
            yield Problem(("market", key), f"market.{key}: {error}")


def _protection(config: MarketConfig) -> Iterator[Problem]:
    from equigrad.federation.trade.protection import local_mechanism

    local, account = config.market.local, config.market.account
    path: Path = ("market", "local")
    if local.delta is not None and local.mechanism != "gaussian":
        text = (
            f'Expected market.local.delta with the mechanism "gaussian" only, got it with '
            f'"{local.mechanism}", which has none. Remove it.'
        )
        yield Problem((*path, "delta"), text)
        return
    if local.delta is None and local.mechanism == "gaussian":
        text = 'Expected market.local.delta for the mechanism "gaussian", got nothing. Add it.'
        yield Problem((*path, "mechanism"), text)
        return
    if local.sampler != "float" and local.mechanism != "laplace":
        text = (
            'Expected market.local.sampler = "discrete" with the mechanism "laplace" only, got it '
            f'with "{local.mechanism}". Remove it.'
        )
        yield Problem((*path, "sampler"), text)
        return
    try:
        local_mechanism(local, 1)
    except EquigradError as error:
        yield Problem(path, f"market.local: {error}")
    if local.delta is not None and local.delta > account.delta:
        text = (
            f"Expected market.account.delta >= {local.delta:g}, the delta of one sale, got "
            f"{account.delta:g}: nobody could sell. Raise it."
        )
        yield Problem(("market", "account", "delta"), text)


def _parties(config: MarketConfig) -> Iterator[Problem]:
    from equigrad.federation.trade.behaviours import SELLER_BEHAVIOURS, make_seller_behaviour

    for i, party in enumerate(config.party):
        path: Path = ("party", i)
        if party.name in (_COORDINATOR, config.buyer):
            text = f"Expected another name than {party.name!r}, which is somebody else here."
            yield Problem((*path, "name"), f"{text} Rename it.")
        if party.behaviour not in SELLER_BEHAVIOURS:
            known = SELLER_BEHAVIOURS
            yield from unknown_name(
                config, (*path, "behaviour"), "a behaviour", party.behaviour, known
            )
        else:
            try:
                make_seller_behaviour(party.behaviour, party.options)
            except ConfigError as error:
                yield Problem((*path, "options"), str(error))
        if party.join >= config.rounds:
            text = (
                f"Expected join below rounds = {config.rounds} (rounds count from 0), got "
                f"{party.join}. Lower it, or remove the party."
            )
            yield Problem((*path, "join"), text)


def _rounds(config: MarketConfig) -> Iterator[Problem]:
    trade = config.market
    if trade.invite is not None and trade.quorum > trade.invite:
        text = (
            f"Expected market.quorum <= invite = {trade.invite}, got {trade.quorum}: no round "
            "could ever sell. Lower it."
        )
        yield Problem(("market", "quorum"), text)
    names = listed_names(config)
    if names and (problem := setup_problem(config, names)):
        key = "invite" if "invite" in problem else "quorum"
        yield Problem(("market", key), problem)


def _ledger(config: MarketConfig) -> Iterator[Problem]:
    from equigrad.federation.ledger.database import parsed

    address = config.market.ledger
    if address is None or "://" not in address:
        return
    path: Path = ("market", "ledger")
    try:
        url = parsed(address)
    except ConfigError as error:
        yield Problem(path, f"market.ledger: {error}")
        return
    if url.get_backend_name() == "sqlite" and not PurePath(str(url.database)).is_absolute():
        text = (
            f"Expected market.ledger as a file's path or a URL with a whole path, got {address!r}."
        )
        yield Problem(path, f"{text} Write the path alone: it is taken from the run file.")
    if url.password is not None:
        text = (
            "Expected market.ledger without a password, which would be kept in the run folder, "
            "got one. Set PGPASSWORD, or keep it in ~/.pgpass."
        )
        yield Problem(path, text)


_CHECKS: tuple[Callable[[MarketConfig], Iterator[Problem]], ...] = (
    pool_problems,
    _names,
    _mechanism,
    _money,
    _protection,
    bid_problems,
    _parties,
    _rounds,
    _ledger,
)
