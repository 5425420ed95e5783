"""Keeping a library's log off the screen where it speaks of nothing that a user could change."""

import logging

__all__ = ["quiet_accountants"]


def quiet_accountants() -> None:
    """Leave out dp-accounting's warnings of Rényi orders that it skips.

    Skipped orders can only raise epsilon, never lower it; there would be dozens of lines.
    """
    import dp_accounting  # noqa: F401 - its logger must be there first, it has a class of its own

    logging.getLogger("absl").setLevel(logging.ERROR)
