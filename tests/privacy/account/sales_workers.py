"""Sellers that are killed at chosen points, started by the tests of sales.

Usage: python sales_workers.py FILE. For each point a child of this process sells one award and is
killed there; what the account then says, and what a retry gives, is printed as one line of JSON.
"""

import hashlib
import json
import os
import signal
import sys

from equigrad.privacy.account import SalesAccount
from equigrad.privacy.account import account as account_module
from equigrad.privacy.accounting import pure_release

EVENT = pure_release("gradient", epsilon=0.25, neighbouring="replace-one")
POINTS = ("reserving", "reserved", "drawing", "stored", "charged", "ended", "committed")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def dying_append(point):
    """Return an append that dies before or after an entry of the sale is written."""
    plain = account_module.PrivacyAccount._append
    when = {"reserving": ("begin", True), "stored": ("step", False), "charged": ("step", True)}
    kind, after = when.get(point, ("end", True))

    def append(self, connection, what, **values):
        if what == kind and not after:
            die()
        entry = plain(self, connection, what, **values)
        if what == kind and after:
            die()
        return entry

    return append


def sell(path, award, point):
    """Sell an award, and die at ``point``."""
    if point in ("reserving", "stored", "charged", "ended"):
        SalesAccount._append = dying_append(point)
    with SalesAccount.open(path) as account:
        account.reserve(award, EVENT, buyer="b", round_number=1)
        if point == "reserved":
            die()

        def draw():
            if point == "drawing":
                die()
            return os.urandom(40)

        content = account.deliver(award, draw)
        os.write(1, (json.dumps({"left": hashlib.sha256(content).hexdigest()}) + "\n").encode())
        die()


def main(path):
    for point in POINTS:
        child = os.fork()
        if not child:
            sell(path, point, point)
            os._exit(3)  # not reached: every point kills
        status = os.waitpid(child, 0)[1]
        with SalesAccount.open(path) as account:
            states = {sale.award: sale.state for sale in account.sales()}
            found = {
                "point": point,
                "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
                "state": states.get(point),
                "spent": account.spent(),
            }
            account.reserve(point, EVENT, buyer="b", round_number=1)
            retries = {account.deliver(point, lambda: os.urandom(40)) for _ in range(3)}
            found["retries"] = sorted(hashlib.sha256(content).hexdigest() for content in retries)
            found["digest"] = account.sale(point).digest
            found["after"] = account.spent()
            account.entries()
        os.write(1, (json.dumps(found) + "\n").encode())


if __name__ == "__main__":
    main(sys.argv[1])
