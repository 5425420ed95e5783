"""Parties on machines of their own: what wraps a message there, and what a party keeps of a run.

An engine in one process owns the states of its parties; here every party keeps its own, and the
coordinator only says on which of them a request stands. Neighbours: ``envelope`` is what crosses,
``keeper`` answers at the party; :mod:`equigrad.federation.flower` carries envelopes.
"""

from equigrad.federation.remote.envelope import Answer, Envelope
from equigrad.federation.remote.keeper import Keeper

__all__ = ["Answer", "Envelope", "Keeper"]
