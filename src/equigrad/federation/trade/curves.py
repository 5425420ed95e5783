"""What each party of a run offers: its curve, its cap and its records, as written or as drawn.

Neighbours: ``setup`` makes sellers of it, ``baselines`` reads what buying from all would cost.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from equigrad.errors import ConfigError
from equigrad.federation.streams import numpy_stream
from equigrad.federation.trade.config.schema import BidsConfig, MarketConfig, SellerConfig
from equigrad.market import Curve

__all__ = ["Offered", "offers"]


@dataclass(frozen=True)
class Offered:
    """One party's offer.

    Attributes
    ----------
    curve
        Its cost per record, in currency.
    eps_cap
        Largest epsilon it sells at once.
    size, attested
        Records it sells, and records it holds.
    seller
        Its table in the run file, or that of a party that is not listed.
    """

    curve: Curve
    eps_cap: float
    size: int
    attested: int
    seller: SellerConfig


def offers(config: MarketConfig, sizes: Mapping[str, int]) -> dict[str, Offered]:
    """Return what each party offers, in the order of ``sizes``, which has its records.

    With ``source = "synthetic"`` a party's kind, factor and cap are drawn in this order from a
    stream of the seed and its name; what it says itself goes before.

    Raises
    ------
    ConfigError
        If a party says too little, or offers more records than it holds.
    """
    listed = {seller.name: seller for seller in config.party}
    found = {}
    for name, held in sizes.items():
        seller = listed.get(name) or SellerConfig(name=name)
        curve, cap = _curve(config.market.bids, config.seed, seller)
        size = held if seller.size is None else seller.size
        if size > held:
            raise ConfigError(
                f"Expected party.{name}.size of at most {held}, the records it holds, got {size}. "
                "Lower it, or leave it out."
            )
        found[name] = Offered(curve, cap, size, held, seller)
    return found


def _curve(bids: BidsConfig, seed: int, seller: SellerConfig) -> tuple[Curve, float]:
    kind, factor, cap = seller.kind, seller.factor, seller.eps_cap
    if bids.source == "synthetic":
        stream = numpy_stream(seed, "curve", party=seller.name)
        drawn_kind = bids.kinds[int(stream.integers(len(bids.kinds)))]
        drawn_factor = stream.uniform(bids.factors[0], bids.factors[1])
        drawn_cap = stream.uniform(bids.caps[0], bids.caps[1])
        kind = kind or drawn_kind
        factor = factor or (1.0 if kind == "table" else float(drawn_factor))
        cap = cap or float(drawn_cap)
    if kind is None or (factor is None and kind != "table"):
        raise ConfigError(
            f"Expected the privacy cost of party {seller.name!r} as kind and factor in its "
            '[[party]], got none. Add them, or draw them: market.bids.source = "synthetic".'
        )
    points = tuple((eps, cost) for eps, cost in seller.curve or ())
    try:
        curve = Curve(kind, 1.0 if factor is None else factor, points)
    except ConfigError as error:
        raise ConfigError(f"party.{seller.name}: {error}") from error
    if cap is None and kind != "table":
        raise ConfigError(
            f"Expected party.{seller.name}.eps_cap, the largest epsilon it sells at once, got "
            "nothing. Add it."
        )
    return curve, curve.cap if cap is None else cap
