"""Checks of the rows of a bid book; each names the party."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from equigrad.errors import DataError
from equigrad.market.arithmetic import Int64
from equigrad.market.units import MOST_UNITS

if TYPE_CHECKING:
    from equigrad.market.book import BidBook

__all__ = ["check_rows", "frozen", "integers"]

_BLOCK = 2**22  # entries of the bid tables that are checked at a time


def integers(name: str, values: npt.ArrayLike) -> Int64:
    """Return ``values`` as int64; refuse fractions, booleans and what int64 cannot hold."""
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise DataError(f"Expected {name} as integers, got {error}.") from error
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind == "i":
        return array.astype(np.int64, copy=False)
    if array.dtype.kind in "uO":
        try:
            exact = np.asarray([int(value.__index__()) for value in array.flat], dtype=np.int64)
            return exact.reshape(array.shape)
        except (AttributeError, TypeError, OverflowError):
            pass
    raise DataError(
        f"Expected {name} as integers of at most 2^62, got dtype {array.dtype}. "
        "Prices and sizes are integers."
    )


def frozen(array: Any) -> Any:
    """Return a read-only view of ``array`` that owns its data or shares the caller's."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def check_rows(book: "BidBook") -> None:
    """Raise ``DataError`` at the first party whose row is not what the class says."""
    names, top = book.party, book.steps
    twice = np.flatnonzero(names[1:] == names[:-1])
    if twice.size:
        raise DataError(
            f"Expected one bid of each party, got two of {str(names[twice[0]])!r}. "
            "An identity has one listing in a round; drop one of its bids."
        )
    text = "\n".join(names.tolist())
    if text.count("\n") != max(book.n - 1, 0) or "\x00" in text or (names == "").any():
        raise DataError("Expected parties with names of one line each, got an empty or broken one.")
    _refuse(book, book.d < 1, "a size d >= 1", book.d)
    _refuse(book, (book.dcap < 1) | (book.dcap > MOST_UNITS), "dcap in [1, 2^62]", book.dcap)
    _refuse(book, book.d > book.dcap, "a size d at most the attested size", book.d)
    _refuse(book, (book.kcap < 0) | (book.kcap > top), f"kcap in [0, {top}]", book.kcap)
    _refuse(book, (book.kbar < 0) | (book.kbar > top), f"kbar in [0, {top}]", book.kbar)
    step = max(_BLOCK // (top + 1), 1)
    for first in range(0, book.n, step):
        u = book.u[first : first + step]
        rows = book.party[first : first + step]
        bad = (u[:, 0] != 0) | (u[:, -1] > MOST_UNITS) | (u[:, 1:] < u[:, :-1]).any(axis=1)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                "Expected a bid table u with u[0] = 0, nondecreasing, at most 2^62, got "
                f"{u[row].tolist()} of party {str(rows[row])!r}."
            )


def _refuse(book: "BidBook", bad: npt.NDArray[np.bool_], want: str, got: Any) -> None:
    """Raise ``DataError`` that names the first party of ``bad``."""
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"Expected {want}, got {got[row].item()!r} of party {str(book.party[row])!r}."
        )
