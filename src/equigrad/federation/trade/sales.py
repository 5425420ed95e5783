"""A seller's privacy account as a market run uses it: its names of sales, its room, its figures.

Neighbours: :mod:`equigrad.privacy.account` keeps the account, ``agent`` sells.
"""

from pathlib import Path

from equigrad.federation.trade.config.schema import AccountConfig
from equigrad.market import Ladder
from equigrad.market.local import LocalMechanism
from equigrad.privacy.account import SALE_COSTS, Sale, SalesAccount
from equigrad.privacy.account.costs import account_epsilon, basic_parts

__all__ = ["affordable_level", "find_sale", "open_account", "sale_id", "spent_delta"]


def open_account(path: Path, owner: str, limit: AccountConfig) -> SalesAccount:
    """Open a seller's account, or make it; its folder is for its owner alone.

    Raises
    ------
    PrivacyError
        If the file is of another owner or limit, locked, damaged or cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return SalesAccount.open(
        path,
        owner=owner,
        epsilon=limit.limit,
        delta=limit.delta,
        accountant=SALE_COSTS[limit.cost],
    )


def sale_id(task: str, award: str) -> str:
    """Return the name of an award's sale in an account that several runs may share.

    An award's id is the ledger's, which another run may use as well; with the run's own mark in
    front no two sales of an account are confused.
    """
    return f"{task[:12]} {award}"


def find_sale(account: SalesAccount, name: str) -> Sale | None:
    """Return the sale of a name, None if it was never reserved."""
    return next((sale for sale in account.sales() if sale.award == name), None)


def affordable_level(
    account: SalesAccount, mechanism: LocalMechanism, ladder: Ladder, most: int
) -> int:
    """Return the largest level <= ``most`` that an account still holds, 0 if none.

    What other rounds and runs have reserved counts as spent. A promise it is not: somebody may
    reserve in between; only :meth:`~equigrad.privacy.account.SalesAccount.reserve` decides.
    """
    held = account.reserved()
    low, high = 0, most + 1
    while high - low > 1:
        level = (low + high) // 2
        event = mechanism.event(float(ladder.eps(level)))
        cost = account_epsilon([*held, event], account.delta, account.accountant)
        low, high = (level, high) if cost <= account.epsilon else (low, level)
    return low


def spent_delta(account: SalesAccount) -> float:
    """Return the delta that goes with ``account.spent()``.

    Where epsilons are added up, deltas are too, and a pure account has none; any other price is one
    at the account's own delta.
    """
    parts = [basic_parts(event) for event in account.events()]
    if account.accountant == "basic" and all(part is not None for part in parts):
        return sum(part[1] for part in parts if part is not None)
    return account.delta if parts else 0.0
