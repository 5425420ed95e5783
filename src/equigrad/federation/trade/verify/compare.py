"""Comparing one value for each party, so that the first that differs is named by its party.

Neighbour: :mod:`equigrad.federation.record.agreement` compares everything else.
"""

from collections.abc import Sequence
from typing import Any

from equigrad.federation.record.agreement import VerifyResult, fault, same
from equigrad.federation.record.chain import Line

__all__ = ["is_digest", "same_by_party"]


def same_by_party(
    line: Line,
    what: str,
    parties: Sequence[str],
    told: Sequence[Any],
    again: Sequence[Any],
    result: VerifyResult,
) -> None:
    """Compare recorded with recomputed values, one for each party.

    Parameters
    ----------
    line
        Where they stand.
    what
        What one of them is, in the singular.
    parties
        Whose they are.
    told, again
        As recorded and as recomputed.
    result
        Where comparisons are counted, under the plural of ``what``.

    Raises
    ------
    VerificationError
        If there are more or fewer than parties, or one differs.
    """
    if len(told) != len(parties):
        raise fault(
            line, f"expected one {what} for each of {len(parties)} parties, got {len(told)}"
        )
    one = VerifyResult()
    for party, ours, theirs in zip(parties, told, again, strict=True):
        same(line, f"the {what} of {party}", ours, theirs, one)
    result.exact = result.exact and one.exact
    result.count(f"{what}s", len(parties))


def is_digest(text: Any) -> bool:
    """Return whether something is a SHA-256 in hexadecimal digits."""
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")
