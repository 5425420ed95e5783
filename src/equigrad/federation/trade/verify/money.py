"""The money of a run, followed from round to round: escrow, payments, fee, refund, wallets.

A record's wallets are what the run itself moved, also in a ledger that several runs share.
Neighbours: ``judge`` calls, ``ledger`` compares with the database.
"""

from collections.abc import Mapping, Sequence

from equigrad.federation.record.agreement import VerifyResult, fault, same
from equigrad.federation.record.chain import Line
from equigrad.market.settlement import Terms, fee

__all__ = ["Books"]


class Books:
    """Wallets as the record's own numbers make them.

    Parameters
    ----------
    buyer, parties
        Who pays, and who is paid.
    funds
        Ledger units that the buyer paid in.

    Attributes
    ----------
    wallets, earned, fees
        Ledger units by name; what parties were paid; the market's share.
    """

    def __init__(self, buyer: str, parties: Sequence[str], funds: int) -> None:
        self.buyer = buyer
        self.wallets = {buyer: funds, **dict.fromkeys(parties, 0)}
        self.earned = dict.fromkeys(parties, 0)
        self.fees = 0

    def settle(
        self, line: Line, terms: Terms, payments: Mapping[str, int], result: VerifyResult
    ) -> None:
        """Compare a round's line `settle` with what its verified deliveries cost.

        Parameters
        ----------
        line
            The line.
        terms
            The round's terms.
        payments
            By party, of verified deliveries.
        result
            Where comparisons are counted.

        Raises
        ------
        VerificationError
            If a sum or a wallet is another.
        """
        body, paid = line.body, sum(payments.values())
        charge = fee(paid, terms.fee_bps)
        rest = terms.held - paid - charge
        told = [body["held"], body["paid"], body["fee"], body["refunded"]]
        names = ["money held", "money paid", "fee", "refund"]
        for name, ours, theirs in zip(names, told, [terms.held, paid, charge, rest], strict=True):
            same(line, name, ours, theirs, VerifyResult())
        result.count("money", len(names))
        self.wallets[self.buyer] -= paid + charge
        for party, amount in payments.items():
            self.wallets[party] += amount
            self.earned[party] += amount
        self.fees += charge
        self._compare(line, result)

    def _compare(self, line: Line, result: VerifyResult) -> None:
        told = line.body["wallets"]
        if set(told) != set(self.wallets):
            raise fault(line, f"expected the wallets of {sorted(self.wallets)}, got {sorted(told)}")
        for name, amount in self.wallets.items():
            same(line, f"the wallet of {name}", told[name], amount, VerifyResult())
        result.count("wallets", len(told))
