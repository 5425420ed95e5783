"""What the coordinator itself remembers between rounds."""

from dataclasses import dataclass, field

import torch

__all__ = ["Memory"]


@dataclass
class Memory:
    """The coordinator's memory; the method and the parties remember the rest.

    Attributes
    ----------
    next_round
        The round to be played next.
    void
        Void rounds in a row.
    acknowledged
        By party, the last round whose delivery it has applied; -1 for none.
    starts
        Models that late joiners start from and have not acknowledged yet: party -> (round, model).
    present
        Whose upload was admitted in the last round.
    scores
        The last known score of each party's model.
    steps
        Steps that each party's privacy account held when it last told; empty without privacy.
    """

    next_round: int = 0
    void: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    starts: dict[str, tuple[int, torch.Tensor]] = field(default_factory=dict)
    present: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
