"""A process that writes to a market until it is killed: says each key once it was answered.

Called with the address, the writer's name and the number of payments into its wallet.
"""

import sys

from equigrad.federation.ledger import SqlStore
from equigrad.market.settlement import Deposit


def main(address, name, count):
    with SqlStore(address) as store:
        for i in range(count):
            key = f"{name}-{i}"
            store.execute(Deposit("ann", "EUR", 1, key), key=key, now=1).require()
            sys.stdout.write(f"{key}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
