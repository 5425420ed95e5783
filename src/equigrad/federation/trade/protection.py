"""The local mechanism that a run file asks for, and where its noise comes from.

Everybody in a run builds the same mechanism: sellers to protect, the coordinator to check and to
weigh. Neighbours: :mod:`equigrad.market.local` has the mechanisms, ``agent`` draws.
"""

from typing import Any

from equigrad._validate import known_options
from equigrad.errors import ConfigError
from equigrad.federation.streams import numpy_stream
from equigrad.federation.trade.config.schema import LocalConfig
from equigrad.market.local import LOCAL_MECHANISMS, LocalMechanism, RandomSource, SystemRandom

__all__ = ["local_mechanism", "noise_source"]


def local_mechanism(local: LocalConfig, dim: int) -> LocalMechanism:
    """Return the mechanism of ``[market.local]`` for a model of ``dim`` parameters.

    Raises
    ------
    RegistryError
        If there is none of that name.
    ConfigError
        If a setting does not belong to it, is missing or impossible.
    """
    kind = LOCAL_MECHANISMS[local.mechanism]
    options: dict[str, Any] = {"bound": local.bound, "dim": dim}
    if local.delta is not None:
        options["delta"] = local.delta
    if local.sampler != "float":
        options["sampler"] = local.sampler
    known_options(f"local mechanism {local.mechanism!r}", kind, options)
    try:
        return kind(**options)
    except TypeError as error:
        raise ConfigError(
            f"Expected complete settings of market.local for {local.mechanism!r}, got "
            f"{options!r}: {error}. The gaussian mechanism needs delta."
        ) from error


def noise_source(local: LocalConfig, seed: int, round_: int, party: str) -> RandomSource:
    """Return where a seller's noise of a round comes from.

    A rehearsal's is a NumPy generator keyed by (seed, round, party): the same wherever and whenever
    it is drawn, and private to nobody who knows the seed. Otherwise it is the operating system.
    """
    if local.noise == "secret":
        return SystemRandom()
    return numpy_stream(seed, "local noise", round_=round_, party=party)
