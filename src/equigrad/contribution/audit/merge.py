"""Merging clones: the members of a group act as one party, for consortia that hold equal data.

The group's upload is the mean of its members', its value is shared equally. On inner products
both are one small matrix.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from equigrad.errors import ConfigError

__all__ = ["membership", "merge_gram", "share_values"]

Float64 = npt.NDArray[np.float64]


def membership(parties: Sequence[str], groups: Sequence[Sequence[str]]) -> Float64:
    """Return the matrix that averages the parties into groups.

    Parameters
    ----------
    parties
        The n parties' names.
    groups
        Disjoint groups of them (``AuditReport.groups``); who is in none stands for itself.

    Returns
    -------
    ``(g, n) float64``
        Row k holds ``1 / size`` for the members of group k; rows in the order of first members,
        so ``M @ uploads`` are the groups' uploads and ``M @ C @ M.T`` their inner products.

    Raises
    ------
    ConfigError
        For a name that is unknown or in two groups.
    """
    at = {name: i for i, name in enumerate(parties)}
    leader = np.arange(len(at))
    seen: set[str] = set()
    for group in groups:
        if seen & set(group) or not set(group) <= at.keys():
            raise ConfigError(f"Expected disjoint groups of the parties, got {list(groups)}.")
        seen |= set(group)
        members = [at[name] for name in group]
        leader[members] = min(members)
    _, row = np.unique(leader, return_inverse=True)
    matrix = np.zeros((int(row.max(initial=-1)) + 1, len(at)))
    matrix[row, np.arange(len(at))] = 1.0
    averaging: Float64 = matrix / matrix.sum(axis=1, keepdims=True)
    return averaging


def merge_gram(C: Float64, members: Float64) -> Float64:
    """Return ``(g, g)`` inner products of the groups' mean uploads from the parties' ``(n, n)``."""
    merged = members @ C @ members.T
    symmetric: Float64 = (merged + merged.T) / 2  # exactly, whatever order the product summed in
    return symmetric


def share_values(values: Float64, members: Float64) -> Float64:
    """Return ``(n,)`` values of the parties, each group's ``(g,)`` value shared equally."""
    shared: Float64 = values @ members
    return shared
