"""What a party does with its turn: honest work, and the attacks that studies need.

One class for each behaviour, found by name in :data:`BEHAVIOURS`.
"""

from equigrad.federation.party.behaviours import distort, echo, honest, label_flip, noise, replay
from equigrad.federation.party.behaviours.base import (
    BEHAVIOURS,
    Behaviour,
    Situation,
    make_behaviour,
)

__all__ = [
    "BEHAVIOURS",
    "Behaviour",
    "Situation",
    "distort",
    "echo",
    "honest",
    "label_flip",
    "make_behaviour",
    "noise",
    "replay",
]
