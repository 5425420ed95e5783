"""The parties of a run of any kind, made from its run file.

Neighbours: the rooms of the kinds make them; :mod:`equigrad.federation.flower` asks on the machine
where a party lives.
"""

from collections.abc import Sequence

from equigrad.federation.config.loader import AnyConfig
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.trade.config.schema import MarketConfig
from equigrad.federation.transport.agents import AgentSpec
from equigrad.federation.vertical.config.schema import VerticalConfig

__all__ = ["party_names", "party_specs"]


def party_names(config: AnyConfig) -> tuple[str, ...]:
    """Return the parties' names in the run's order; errors as for :func:`party_specs`."""
    if isinstance(config, VerticalConfig):
        return tuple(party.name for party in config.parties)
    from equigrad.federation.config.parties import listed_names
    from equigrad.federation.dealing import deal

    return listed_names(config) or tuple(deal(config).parties)


def party_specs(config: AnyConfig, place: RunFolder) -> Sequence[AgentSpec]:
    """Return the parties of a run in the run's order; their own folders lie in ``place``.

    Raises
    ------
    ConfigError, DataError, ModelError
        If something that the run file asks for cannot be had on this machine.
    """
    if isinstance(config, VerticalConfig):
        from equigrad.federation.vertical.setup import party_specs as vertical_specs
        from equigrad.federation.vertical.setup import read_run_key

        return vertical_specs(config, read_run_key(config), place)
    if isinstance(config, MarketConfig):
        from equigrad.federation.trade.setup import make_specs
        from equigrad.federation.trade.setup import prepare as prepare_market

        place.make_accounts()
        market = prepare_market(config)
        place.make_sellers(market.parties)
        return make_specs(market, place)
    from equigrad.federation.private.account import with_accounts
    from equigrad.federation.setup import prepare

    setup = prepare(config)
    if setup.plans:
        place.make_accounts()
    return with_accounts(setup.specs, place)
