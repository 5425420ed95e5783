"""The local mechanism that sellers will use, from the names that an offer gives."""

from typing import TYPE_CHECKING, Any

from equigrad.errors import ConfigError

if TYPE_CHECKING:
    from equigrad.market.local import LocalMechanism

__all__ = ["local_of", "market_name"]


def local_of(name: str, dim: int, delta: float | None = None) -> "LocalMechanism":
    """Return the mechanism at the bound 1.

    Parameters
    ----------
    name
        Name of a local mechanism.
    dim
        Parameters of the model, >= 1.
    delta
        Of mechanisms that have one.

    Raises
    ------
    ConfigError
        If the name is unknown, or a delta is missing or one too many.
    """
    from equigrad.market.local import LOCAL_MECHANISMS

    options: dict[str, Any] = {} if delta is None else {"delta": delta}
    kind = LOCAL_MECHANISMS[name]
    try:
        return kind(bound=1.0, dim=dim, **options)
    except TypeError:
        have = "no delta" if options else "a delta: give --delta"
        raise ConfigError(f"Expected {have} for the mechanism {name}.") from None


def market_name(name: str, delta: float | None = None) -> str:
    """Return what a trained file calls the mechanism it was trained for."""
    return name if delta is None else f"{name} delta={delta!r}"
