"""The parties of a run of any kind, made from its run file.

Neighbours: the rooms of the kinds make them; :mod:`equigrad.federation.flower` asks on the machine
where a party lives.
"""

from collections.abc import Sequence

from equigrad.federation.config.loader import AnyConfig
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.transport.agents import AgentSpec
from equigrad.federation.vertical.config.schema import VerticalConfig

__all__ = ["party_specs"]


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
    from equigrad.federation.private.account import with_accounts
    from equigrad.federation.setup import prepare

    setup = prepare(config)
    if setup.plans:
        place.make_accounts()
    return with_accounts(setup.specs, place)
