"""Files and databases that a market's run file names, taken from the run file's folder."""

from pathlib import Path

from equigrad.federation.trade.config.schema import MarketConfig

__all__ = ["with_places"]


def with_places(config: MarketConfig, folder: Path) -> MarketConfig:
    """Return the configuration with schedule and ledger file taken from ``folder``.

    A ledger with ``://`` in it is a database's URL and stays as it is.
    """
    market = config.market
    change: dict[str, str] = {}
    if market.schedule is not None:
        change["schedule"] = str((folder / market.schedule).resolve())
    if market.ledger is not None and "://" not in market.ledger:
        change["ledger"] = str((folder / market.ledger).resolve())
    return config.model_copy(update={"market": market.model_copy(update=change)})
