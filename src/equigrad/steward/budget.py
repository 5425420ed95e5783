"""The account that a training is charged to, if it is to outlive the training."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from equigrad.privacy.account import PrivacyAccount
from equigrad.steward.config import TrainSettings

__all__ = ["opened_account"]

_BESIDE = ("", "-wal", "-shm", "-journal")


@contextmanager
def opened_account(settings: TrainSettings, owner: str) -> Iterator[PrivacyAccount | None]:
    """Yield the account that settings name, made where missing; None if they name none.

    An account made here goes again if what follows fails before anything was charged.

    Parameters
    ----------
    settings
        Of the training.
    owner
        Whose records a new account speaks of.

    Raises
    ------
    PrivacyError
        If the file is no account, has another limit, or cannot be opened.
    """
    privacy = settings.privacy
    if privacy.account is None:
        yield None
        return
    path = Path(privacy.account)
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
