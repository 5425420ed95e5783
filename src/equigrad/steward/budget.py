"""The account that a training is charged to, if it is to outlive the training.

An account speaks of one owner's records. The data's name stands for the owner unless the settings
name another, so that trainings on other records are not charged to it unnoticed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from equigrad.errors import PrivacyError
from equigrad.privacy.account import PrivacyAccount
from equigrad.steward.config import ScoreSettings, TrainSettings

__all__ = ["account_facts", "opened_account"]

_BESIDE = ("", "-wal", "-shm", "-journal")


@contextmanager
def opened_account(
    settings: TrainSettings | ScoreSettings, name: str
) -> Iterator[PrivacyAccount | None]:
    """Yield the account that settings name, made where missing; None if they name none.

    An account made here goes again if what follows fails before anything was charged.

    Parameters
    ----------
    settings
        Of the training or scoring.
    name
        The data's name: the owner, unless the settings name one.

    Raises
    ------
    PrivacyError
        If the file is no account, has another owner or limit, or cannot be opened.
    """
    privacy = settings.privacy
    if privacy.account is None:
        yield None
        return
    path = Path(privacy.account)
    owner = name if privacy.account_owner is None else privacy.account_owner
    new = not path.exists()
    limit = privacy.epsilon if privacy.account_epsilon is None else privacy.account_epsilon
    account = PrivacyAccount.open(
        path,
        owner=owner if new else None,
        epsilon=limit if new else privacy.account_epsilon,
        delta=privacy.delta if new else None,
        accountant=privacy.accountant if new else None,
    )
    try:
        _check_owner(account, owner)
        yield account
    except BaseException:
        unused = new and account.head()[0] == 0
        account.close()
        if unused:
            for ending in _BESIDE:
                path.with_name(path.name + ending).unlink(missing_ok=True)
        raise
    finally:
        account.close()


def account_facts(settings: TrainSettings | ScoreSettings) -> dict[str, Any] | None:
    """Return owner, limit and what is spent and left of the account that settings name.

    Returns
    -------
    dict or None
        ``path``, ``owner``, ``epsilon`` and ``delta`` (the limit), ``spent``, ``left``; None if
        the settings name no account.

    Raises
    ------
    PrivacyError
        If the file is no account, or cannot be opened.
    """
    if settings.privacy.account is None:
        return None
    with PrivacyAccount.open(settings.privacy.account) as account:
        return {
            "path": str(account.path),
            "owner": account.owner,
            "epsilon": account.epsilon,
            "delta": account.delta,
            "spent": account.spent(),
            "left": account.remaining(),
        }


def _check_owner(account: PrivacyAccount, owner: str) -> None:
    """Refuse to charge a training to somebody else's account."""
    if account.owner != owner:
        raise PrivacyError(
            f"Expected an account of {owner!r}, got that of {account.owner!r} in {account.path}. "
            "Give each owner's records an account of their own; if these records are of "
            f"{account.owner}, say so by privacy.account_owner."
        )
