"""How much memory work on many long vectors may take at a time, everywhere the same."""

__all__ = ["block_bytes"]

_LEAST, _MOST = 2**20, 2**24


def block_bytes(total: int) -> int:
    """Return the size of one block in bytes: an eighth of all, between 1 and 16 MiB.

    Parameters
    ----------
    total
        Size of all vectors together in bytes. With a few blocks alive at a time, work by blocks
        adds less than half of that from some tens of MiB on.
    """
    return min(max(total // 8, _LEAST), _MOST)
