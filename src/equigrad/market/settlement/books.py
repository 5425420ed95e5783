"""Double entry: accounts, postings and entries whose postings sum to zero.

    deposit   world -> wallet of a party      pay      escrow of a round -> wallet of a party
    withdraw  wallet of a party -> world      fee      escrow of a round -> fees
    hold      wallet of the buyer -> escrow   refund   escrow of a round -> wallet of the buyer

Only ``world``, the money outside, may stand below zero: by exactly what is inside.
"""

from dataclasses import dataclass
from enum import StrEnum

from equigrad.market.settlement.money import MAX_UNITS

__all__ = ["Account", "AccountKind", "LedgerEntry", "Posting", "escrow", "fees", "wallet", "world"]


class AccountKind(StrEnum):
    """Kinds of accounts."""

    WORLD = "world"
    WALLET = "wallet"
    ESCROW = "escrow"
    FEES = "fees"


@dataclass(frozen=True, order=True)
class Account:
    """A place where money of one currency is."""

    kind: AccountKind
    owner: str
    currency: str

    @property
    def key(self) -> str:
        """``kind:owner:currency``."""
        return f"{self.kind.value}:{self.owner}:{self.currency}"

    def allows(self, balance: int) -> bool:
        """Return whether the account may stand at ``balance``."""
        return (-MAX_UNITS if self.kind is AccountKind.WORLD else 0) <= balance <= MAX_UNITS


def world(currency: str) -> Account:
    """Return the account of everything outside the market."""
    return Account(AccountKind.WORLD, "", currency)


def wallet(owner: str, currency: str) -> Account:
    """Return a party's wallet."""
    return Account(AccountKind.WALLET, owner, currency)


def escrow(round_: str, currency: str) -> Account:
    """Return a round's escrow."""
    return Account(AccountKind.ESCROW, round_, currency)


def fees(currency: str) -> Account:
    """Return the account of the operator's fees."""
    return Account(AccountKind.FEES, "", currency)


@dataclass(frozen=True)
class Posting:
    """What an entry adds to an account, in ledger units; below zero it takes."""

    account: Account
    amount: int


@dataclass(frozen=True)
class LedgerEntry:
    """A movement of money; ``key`` says why, and no two entries of a market share it.

    ``at`` is the coordinator's time. The postings sum to zero in each currency.
    """

    key: str
    at: int
    postings: tuple[Posting, ...]

    @property
    def imbalance(self) -> dict[str, int]:
        """What the postings sum to, per currency; all zero in a sound entry."""
        sums: dict[str, int] = {}
        for posting in self.postings:
            currency = posting.account.currency
            sums[currency] = sums.get(currency, 0) + posting.amount
        return sums
