"""Seeded bids for the tests of the market."""

import numpy as np

from equigrad.market import BidBook, QualityTable


def random_tables(rng, n, steps, most, shape=None):
    """Nondecreasing tables of several shapes, with plateaus and ties."""
    rise = rng.integers(0, most + 1, size=(n, steps))
    rise[rng.random((n, steps)) < 0.25] = 0
    kind = rng.integers(0, 3, size=n) if shape is None else np.full(n, shape)
    ramp = np.arange(1, steps + 1)
    rise = np.where(kind[:, None] == 1, np.sort(rise, axis=1), rise)  # convex
    rise = np.where(kind[:, None] == 2, -np.sort(-rise, axis=1), rise)  # concave
    del ramp
    return np.concatenate([np.zeros((n, 1), np.int64), rise.cumsum(axis=1)], axis=1)


def random_book(rng, n, steps, most=9, sizes=5, loose=True):
    """A book of n parties with random tables, caps and sizes; dcap at least the size."""
    d = rng.integers(1, sizes + 1, size=n)
    dcap = d + rng.integers(0, sizes + 1, size=n) if loose else d
    return BidBook.of(
        [f"p{i:04d}" for i in range(n)],
        random_tables(rng, n, steps, most),
        rng.integers(0, steps + 1, size=n),
        d,
        dcap=dcap,
        kbar=rng.integers(0, steps + 1, size=n) if loose else None,
    )


def random_quality(rng, book, shared):
    """A nondecreasing integer quality with plateaus, one for all or one for each party."""
    count = 1 if shared else book.n
    rise = rng.integers(0, 4, size=(count, book.steps))
    rows = np.concatenate([np.zeros((count, 1), np.int64), rise.cumsum(axis=1)], axis=1)
    return QualityTable(rows[0]) if shared else QualityTable(rows, tuple(book.party.tolist()))
