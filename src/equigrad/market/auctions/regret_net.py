"""The paper's learned auctions: a network names levels and shares of the budget.

Source: Zheng et al., "FL-Market" (IEEE BigData 2022). The budget holds by construction; truth and
rationality are penalties of training, so nothing is claimed for them: measure a network with
:func:`equigrad.market.regret.measure` before trusting it.
"""

import hashlib
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError, DataError
from equigrad.market.arithmetic import Int64
from equigrad.market.auctions.base import AUCTIONS, Auction
from equigrad.market.awards import Allotment, Claims
from equigrad.market.book import BidBook
from equigrad.market.terms import Terms

if TYPE_CHECKING:
    from equigrad.market.regret import RegretMechanism

__all__ = ["DMRegretNet", "MRegretNet", "RegretNet"]

Float64 = npt.NDArray[np.float64]

_SHARES = 2**40  # integer steps of a share of the budget


class _RegretAuction(Auction):
    """What the three have in common; a party sells level k of M, epsilon ``k cap_i / M``.

    Parameters
    ----------
    mechanism
        A trained mechanism of this variant; it serves rounds of its own number of parties only.
    """

    def __init__(self, mechanism: "RegretMechanism") -> None:
        if mechanism.variant != self.name:
            raise ConfigError(
                f"Expected a mechanism of variant {self.name!r}, got {mechanism.variant!r}."
            )
        self.mechanism = mechanism

    @property
    def claims(self) -> Claims:
        """Within budget; truth and rationality are not promised, whatever was measured."""
        return Claims(truthful="no", rational=False, within_budget=True)

    @property
    def label(self) -> str:
        """Name, shape and a digest of the weights."""
        m = self.mechanism
        digest = hashlib.sha256()
        for name, tensor in sorted(m.net.state_dict().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        shape = f"N={m.parties} M={m.levels} {m.architecture} {m.mode}"
        return f"{self.name} {shape} weights={digest.hexdigest()[:32]}"

    def allot(self, book: BidBook, terms: Terms, public_seed: bytes | None) -> Allotment:
        """See the base class; another number of parties than the network's is refused."""
        m = self.mechanism
        if book.n != m.parties:
            raise DataError(
                f"Expected {m.parties} bids, for which the network was trained, got {book.n}. "
                f"Train one: equigrad auction train {self.name} --parties {book.n}; or use the "
                "clock, which serves any number."
            )
        values, caps = _asked(book, terms, m.levels)
        chance, shares = m.decide(values, caps, book.d, terms.budget / terms.scale)
        picked = _picked(chance, public_seed)
        levels = picked * book.limit
        payments = _payments(shares, terms.budget)
        payments[levels == 0] = 0  # paid on delivery: who sells nothing delivers nothing
        return Allotment(levels, payments, parts=m.levels)


@AUCTIONS.register("regret")
class RegretNet(_RegretAuction):
    """Cap or nothing, drawn with the network's chances from the public seed (M = 1).

    Within budget by construction; rational in expectation at best. Recomputing a clearing needs
    the network and equal floating-point arithmetic.
    """

    name: ClassVar[str] = "regret"
    needs_seed: ClassVar[bool] = True


@AUCTIONS.register("m-regret")
class MRegretNet(_RegretAuction):
    """One of M levels or nothing, drawn with the network's chances from the public seed.

    Within budget by construction; rational in expectation at best. Recomputing a clearing needs
    the network and equal floating-point arithmetic.
    """

    name: ClassVar[str] = "m-regret"
    needs_seed: ClassVar[bool] = True


@AUCTIONS.register("dm-regret")
class DMRegretNet(_RegretAuction):
    """The network's likeliest of M levels and, with ``mode="right"``, nothing.

    Within budget by construction. Recomputing a clearing needs the network and equal
    floating-point arithmetic.
    """

    name: ClassVar[str] = "dm-regret"


def _asked(book: BidBook, terms: Terms, levels: int) -> tuple[Float64, Float64]:
    """Return prices per record at ``k cap / M`` and caps; tables are linear between levels."""
    limit = book.limit
    place = limit[:, None] * np.arange(1, levels + 1) / levels
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, book.steps)
    below, above = (np.take_along_axis(book.u, at, axis=1) / terms.scale for at in (low, high))
    return below + (place - low) * (above - below), terms.ladder.eps(limit)


def _picked(chance: Float64, public_seed: bytes | None) -> Int64:
    """Return the sold level of M of each party, 0: none; drawn where a seed is given."""
    if public_seed is None:
        sold = chance.max(axis=1) > 0.5
        return np.where(sold, chance.argmax(axis=1) + 1, 0).astype(np.int64)
    draws = np.empty(len(chance))
    for row in range(len(chance)):
        block = hashlib.sha256(public_seed + row.to_bytes(8, "little")).digest()
        draws[row] = (int.from_bytes(block[:8], "little") >> 11) * 2.0**-53
    below = np.cumsum(chance, axis=1) <= draws[:, None]
    level = below.sum(axis=1) + 1
    return np.where(level > chance.shape[1], 0, level).astype(np.int64)


def _payments(shares: Float64, budget: int) -> Int64:
    """Return ``floor(B share)``, exactly: in integers, the sum at most B whatever rounding did."""
    steps = [int(step) for step in np.floor(shares * _SHARES)]
    whole = max(_SHARES, sum(steps))
    return np.asarray([budget * step // whole for step in steps], dtype=np.int64)
