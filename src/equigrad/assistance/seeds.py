"""Seeds of the learners: run seed, party name and round are all that a fit's randomness needs.

So a run repeats wherever its parties sit. Neighbours: ``parties`` hands seeds to ``learners``.
"""

import hashlib

import numpy as np

__all__ = ["party_seed", "split_seed"]


def party_seed(run_seed: int, name: str, t: int) -> np.random.SeedSequence:
    """Return the seed of a party's fit in round ``t`` >= 1.

    Parameters
    ----------
    run_seed
        >= 0, any size.
    name
        The party's name.
    t
        The round.
    """
    digest = hashlib.sha256(name.encode("utf-8")).digest()[:8]
    return np.random.SeedSequence(run_seed, spawn_key=(int.from_bytes(digest, "big"), t))


def split_seed(run_seed: int) -> np.random.SeedSequence:
    """Return the seed with which the sponsor holds rows out."""
    return np.random.SeedSequence(run_seed, spawn_key=(0,))
