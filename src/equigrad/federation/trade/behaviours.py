"""How a seller may stray from what it should do, for tests and studies; ``honest`` does not.

A behaviour bends what the honest agent is about to say. It cannot spend privacy that the account
does not hold, nor sell above the seller's own cap: the agent sees to that, whoever bends it.
Neighbour: ``agent`` asks here.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from equigrad._validate import choice, known_options, positive, positive_int
from equigrad.errors import ConfigError, DataError
from equigrad.federation.trade.deciding import DeclinedError
from equigrad.market.local import Upload
from equigrad.market.settlement import BidPaper
from equigrad.registry import Registry

__all__ = ["SELLER_BEHAVIOURS", "Handover", "SellerBehaviour", "make_seller_behaviour"]


@dataclass(frozen=True, eq=False)
class Handover:
    """What a seller knows when it is to deliver.

    Attributes
    ----------
    level, top
        The level awarded, and the largest that it sells at all.
    sell
        Protects at a level, charges the account and returns the upload's bytes.
    earlier
        Returns the bytes that it delivered for an earlier award, or None.
    """

    level: int
    top: int
    sell: Callable[[int], bytes]
    earlier: Callable[[], bytes | None]


class SellerBehaviour:
    """The honest seller; others override what they bend.

    A behaviour is a value object: its settings are the constructor's keyword arguments, checked
    there (``ConfigError``). Equal arguments give equal results, so a request that comes again is
    answered as before.
    """

    name: ClassVar[str] = "honest"

    def bid(self, paper: BidPaper, steps: int) -> BidPaper:
        """Return the bid to seal instead of the honest one, under a ladder of ``steps``."""
        del steps
        return paper

    def open(self, paper: BidPaper) -> BidPaper:
        """Return the bid to open; raise to keep silent."""
        return paper

    def hand_over(self, handover: Handover) -> tuple[bytes, int]:
        """Return the bytes to deliver and the level to claim for them."""
        return handover.sell(handover.level), handover.level


SELLER_BEHAVIOURS: Registry[type[SellerBehaviour]] = Registry("behaviour of sellers")


def make_seller_behaviour(name: str, options: Mapping[str, Any]) -> SellerBehaviour:
    """Return a behaviour by name.

    Raises
    ------
    RegistryError, ConfigError
        If the name or an option is unknown (the nearest is given), or a value is impossible.
    """
    kind = SELLER_BEHAVIOURS[name]
    known_options(f"behaviour {name!r}", kind, options)
    try:
        return kind(**options)
    except TypeError as error:
        raise ConfigError(
            f"Expected complete settings of the behaviour {name!r}, got {dict(options)!r}: {error}"
        ) from error


SELLER_BEHAVIOURS.register("honest")(SellerBehaviour)


@SELLER_BEHAVIOURS.register("misreport")
class Misreport(SellerBehaviour):
    """Asks ``factor`` times its own prices; a truthful auction gives it nothing for that."""

    name = "misreport"

    def __init__(self, factor: float = 1.5) -> None:
        self.factor = Fraction(positive("factor", factor))

    def bid(self, paper: BidPaper, steps: int) -> BidPaper:
        """Return the bid with other prices, rounded up to ledger units."""
        del steps
        return replace(paper, table=tuple(-int(-price * self.factor // 1) for price in paper.table))


@SELLER_BEHAVIOURS.register("overcap")
class Overcap(SellerBehaviour):
    """Offers every level, whatever its cap or account: an award above either it declines."""

    name = "overcap"

    def bid(self, paper: BidPaper, steps: int) -> BidPaper:
        """Return the bid with the largest cap."""
        return replace(paper, level_cap=steps)


@SELLER_BEHAVIOURS.register("oversize")
class Oversize(SellerBehaviour):
    """Offers ``factor`` times the records that it has."""

    name = "oversize"

    def __init__(self, factor: int = 2) -> None:
        self.factor = positive_int("factor", factor, least=2)

    def bid(self, paper: BidPaper, steps: int) -> BidPaper:
        """Return the bid with another size."""
        del steps
        return replace(paper, size=self.factor * paper.size)


@SELLER_BEHAVIOURS.register("silent-reveal")
class SilentReveal(SellerBehaviour):
    """Seals a bid and never opens it."""

    name = "silent-reveal"

    def open(self, paper: BidPaper) -> BidPaper:
        """Raise ``DataError``."""
        raise DataError(f"Expected an opened bid of {paper.party}, got silence, as it pleases.")


@SELLER_BEHAVIOURS.register("other-reveal")
class OtherReveal(SellerBehaviour):
    """Opens another bid than it sealed: every price but the first is one unit lower, or higher."""

    name = "other-reveal"

    def open(self, paper: BidPaper) -> BidPaper:
        """Return the other bid."""
        step = -1 if paper.table[1] else 1
        return replace(paper, table=(paper.table[0], *(price + step for price in paper.table[1:])))


@SELLER_BEHAVIOURS.register("refuses")
class Refuses(SellerBehaviour):
    """Bids, and then declines its award."""

    name = "refuses"

    def hand_over(self, handover: Handover) -> tuple[bytes, int]:
        """Decline."""
        raise DeclinedError(f"it does not sell level {handover.level} after all")


@SELLER_BEHAVIOURS.register("late")
class Late(SellerBehaviour):
    """Delivers what it should, after ``seconds``."""

    name = "late"

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = positive("seconds", seconds)

    def hand_over(self, handover: Handover) -> tuple[bytes, int]:
        """Sell, and wait."""
        sold = super().hand_over(handover)
        time.sleep(self.seconds)
        return sold


@SELLER_BEHAVIOURS.register("nan")
class NotANumber(SellerBehaviour):
    """Delivers ``value``, ``"nan"`` or ``"inf"``, in place of every number."""

    name = "nan"

    def __init__(self, value: str = "nan") -> None:
        self.value = float(choice("value", value, ("nan", "inf")))

    def hand_over(self, handover: Handover) -> tuple[bytes, int]:
        """Sell, and spoil what was sold."""
        content, level = super().hand_over(handover)
        upload = Upload.from_bytes(content)
        spoilt = np.full(upload.values.shape, self.value, dtype=np.float64)
        return replace(upload, values=spoilt).to_bytes(), level


@SELLER_BEHAVIOURS.register("too-large")
class TooLarge(SellerBehaviour):
    """Delivers ``factor`` times the bytes."""

    name = "too-large"

    def __init__(self, factor: int = 8) -> None:
        self.factor = positive_int("factor", factor, least=2)

    def hand_over(self, handover: Handover) -> tuple[bytes, int]:
        """Sell, and pad."""
        content, level = super().hand_over(handover)
        return content + bytes((self.factor - 1) * len(content)), level


@SELLER_BEHAVIOURS.register("wrong-epsilon")
class WrongEpsilon(SellerBehaviour):
    """Protects ``levels`` above (below, if negative) the level awarded, where there is one.

    Its account is charged for what is released. It claims the level awarded, unless ``tell``.
    """

    name = "wrong-epsilon"

    def __init__(self, levels: int = -1, tell: bool = False) -> None:
        if isinstance(levels, bool) or not isinstance(levels, int) or levels == 0:
            raise ConfigError(f"Expected levels as a whole number other than 0, got {levels!r}.")
        self.levels, self.tell = levels, tell

    def hand_over(self, handover: Handover) -> tuple[bytes, int]:
        """Sell another level."""
        other = min(max(handover.level + self.levels, 1), handover.top)
        return handover.sell(other), other if self.tell else handover.level


@SELLER_BEHAVIOURS.register("replay")
class Replay(SellerBehaviour):
    """Sells once, and delivers those bytes for every later award."""

    name = "replay"

    def hand_over(self, handover: Handover) -> tuple[bytes, int]:
        """Return the earlier bytes, or sell."""
        earlier = handover.earlier()
        return super().hand_over(handover) if earlier is None else (earlier, handover.level)
