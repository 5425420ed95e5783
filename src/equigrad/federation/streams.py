"""Random streams: every draw in a run is keyed by (run seed, round, party, purpose).

Two draws with different keys are independent, and a draw does not depend on which party answered
first, on the number of workers, or on what was drawn before. That is what makes a run the same on
every engine, and a resumed run the same as an uninterrupted one.
"""

import hashlib

import numpy as np
import torch

__all__ = ["numpy_stream", "stream_seed", "torch_stream"]


def stream_seed(seed: int, purpose: str, *, round_: int = -1, party: str = "") -> int:
    """Return the 64-bit seed of one stream.

    Parameters
    ----------
    seed
        The run's seed.
    purpose
        What the numbers are for ("batches", "partition", "initial model", ...).
    round_
        Round 0..T-1, or -1 for what happens once a run.
    party
        The party's name, or "" for what the coordinator draws.
    """
    key = "\x1f".join(("equigrad", str(seed), str(round_), party, purpose))
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def numpy_stream(
    seed: int, purpose: str, *, round_: int = -1, party: str = ""
) -> np.random.Generator:
    """Return a fresh NumPy generator for one key (arguments of :func:`stream_seed`)."""
    return np.random.default_rng(stream_seed(seed, purpose, round_=round_, party=party))


def torch_stream(seed: int, purpose: str, *, round_: int = -1, party: str = "") -> torch.Generator:
    """Return a fresh CPU ``torch.Generator`` for one key (arguments of :func:`stream_seed`)."""
    generator = torch.Generator()
    generator.manual_seed(stream_seed(seed, purpose, round_=round_, party=party) & (2**63 - 1))
    return generator
