"""All-in: every party sells its cap or nothing, the cheapest per unit of epsilon first.

After FL-Market's All-in; the truthful form is Singer's proportional share (FOCS 2010).
"""

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from equigrad._validate import choice
from equigrad.market.arithmetic import exact_sum, pick
from equigrad.market.auctions.base import AUCTIONS, Auction
from equigrad.market.awards import Allotment, Claims
from equigrad.market.book import BidBook
from equigrad.market.terms import Terms

__all__ = ["FORMS", "AllIn", "all_in_winners"]

FORMS = ("truthful", "reference")
"""The forms of :class:`AllIn`."""

Bools = npt.NDArray[np.bool_]


@AUCTIONS.register("all-in")
class AllIn(Auction):
    """Buys caps in the order of price per record and epsilon until the budget is shared out.

    With ``a_i = d_i cap_i`` (cap in levels of the ladder) and unit price ``t_i = cost_i / a_i``,
    ascending, and A = 0: accept i if ``(A + a_i) t_i <= B``, then ``A += a_i``.

    * ``form="truthful"`` (default): stop at the first that fails; a winner is paid a_i times the
      lower of ``B / A`` and the unit price of the first refused, rounded down. Exactly truthful in
      the price. **A party that states a lower cap than it has may gain**: the claim is for
      single-minded parties.
    * ``form="reference"``: go on after failures and pay ``a_i B / A``, which spends all. Not
      truthful: with costs 0.6 and 0.7, equal caps and sizes, B = 1, the second loses by the truth
      and wins 1.0 by a bid of 0.1.

    Both pay at least the declared cost and at most the budget. Parties with cap 0 do not take part.

    Parameters
    ----------
    form
        One of :data:`FORMS`.
    """

    name: ClassVar[str] = "all-in"

    def __init__(self, form: str = "truthful") -> None:
        self.form = choice("form", form, FORMS)

    @property
    def claims(self) -> Claims:
        """Rational and within budget; the truthful form, truthful for single-minded parties."""
        truthful = self.form == "truthful"
        return Claims("single-minded" if truthful else "no", rational=True, within_budget=True)

    @property
    def label(self) -> str:
        """Name and form."""
        return f"{self.name} form={self.form}"

    def allot(self, book: BidBook, terms: Terms, public_seed: bytes | None) -> Allotment:
        """See the base class."""
        del public_seed
        limit = book.limit
        able = np.flatnonzero(limit)
        levels = np.zeros(book.n, dtype=np.int64)
        payments = np.zeros(book.n, dtype=np.int64)
        if not able.size:
            return Allotment(levels, payments, notes=("Nobody sells since no cap allows it.",))
        k, d = limit[able], book.d[able]
        price = pick(book.u[able], k)  # per record, all k
        # t_i = price / k: by whole part, then by 26 binary digits, which tell fractions apart
        # whose denominators are at most 4096
        order = np.lexsort((np.left_shift(price % k, 26) // k, price // k))
        k, d, price, able = k[order], d[order], price[order], able[order]
        quantity = exact_sum(d) * book.steps
        largest = max(quantity * max(int(price.max()), 1), quantity * terms.budget)
        kind = np.dtype(np.int64) if largest < 2**63 else np.dtype(object)
        amount = d.astype(kind) * k.astype(kind)
        won, paid = all_in_winners(
            amount, price.astype(kind), k.astype(kind), terms.budget, self.form
        )
        levels[able[won]] = k[won]
        payments[able[won]] = paid
        return Allotment(levels, payments)


def all_in_winners(
    amount: npt.NDArray[Any],
    numerator: npt.NDArray[Any],
    denominator: npt.NDArray[Any],
    budget: Any,
    form: str,
) -> tuple[Bools, npt.NDArray[Any]]:
    """Return who wins, ``(n,)``, and what the winners are paid, in their order.

    Parties come in ascending order of unit price ``numerator / denominator``. All numbers are
    integers (payments are rounded down), or all are floats (real money).
    """
    real = amount.dtype.kind == "f"
    won = np.zeros(len(amount), dtype=np.bool_)
    if form == "truthful":
        fails = np.cumsum(amount) * numerator > budget * denominator
        count = int(np.argmax(fails)) if fails.any() else len(amount)
        won[:count] = True
    else:
        count, total = len(amount), amount[0] * 0
        rows = zip(amount.tolist(), numerator.tolist(), denominator.tolist(), strict=True)
        for i, (a, p, q) in enumerate(rows):
            if (total + a) * p <= budget * q:
                won[i], total = True, total + a
    sold = amount[won]
    if not sold.size:
        return won, sold
    paid = sold * budget / sold.sum() if real else sold * budget // sold.sum()
    if count < len(amount):
        top, bottom = numerator[count], denominator[count]
        paid = np.minimum(paid, sold * top / bottom if real else sold * top // bottom)
    return won, paid
