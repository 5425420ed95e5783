"""What the baselines share: lines for the record, and rewards on top of a kept local step.

The baselines themselves are one file each: ``fedavg``, ``shapfed``, ``cffl``, ``rffl``. Their lines
use the fair rewards' words where they mean the same, so that one report reads all methods; their
values do not follow from the record alone and are not recomputed when it is verified.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.federation.messages import Delivery
from equigrad.federation.methods.base import Intake, MethodState, Score, Settlement
from equigrad.federation.methods.ledger import RewardLedger
from equigrad.federation.record.canonical import sha256_array
from equigrad.reward import Masks, cosines

__all__ = [
    "OwnStepLedger",
    "named_arrays",
    "normalised",
    "reward_body",
    "settle_body",
    "settlement",
]

Float64 = npt.NDArray[np.float64]


class OwnStepLedger:
    """Masked rewards for parties that keep their own local step besides.

    Every party that took part in a settled round has a delivery: its own step, and its part of the
    aggregate if that is not zero. It stays pending until the party acknowledges it; a party that
    is absent misses the rounds of its absence.

    Parameters
    ----------
    rule
        Name of the reward rule.
    layer_sizes
        Sizes of the model's parameter tensors.
    """

    def __init__(self, rule: str, layer_sizes: Sequence[int]) -> None:
        self._ledger = RewardLedger(rule, layer_sizes)
        self._attended: dict[str, int] = {}

    def issue(
        self, round_: int, aggregate: npt.NDArray[np.float32], parties: Sequence[str], q: Float64
    ) -> Masks:
        """Reward ``parties`` by their ratios ``q``, ``(n,)`` in [0, 1]."""
        self._attended |= dict.fromkeys(parties, round_)
        return self._ledger.issue(round_, aggregate, parties, q)

    def digests(self, round_: int, parties: Sequence[str]) -> list[str | None]:
        """Return the SHA-256 of each party's reward, None where it got nothing."""
        return self._ledger.digests(round_, parties)

    def pending(self, party: str, since: int) -> int | None:
        """Return the last round that the party took part in, if later than ``since``."""
        round_ = self._attended.get(party, -1)
        return round_ if round_ > since else None

    def delivery(self, party: str, since: int) -> Delivery | None:
        """Return what follows for ``party`` from that round, or None."""
        round_ = self.pending(party, since)
        if round_ is None:
            return None
        reward = self._ledger.delivery(party, round_ - 1)
        if reward is None:
            return Delivery(round=round_, keep=1.0)
        return replace(reward, keep=1.0)

    def save(self) -> MethodState:
        """Return everything the next rounds depend on."""
        state = self._ledger.save()
        return MethodState({"attended": self._attended, "rewards": state.facts}, state.arrays)

    def load(self, state: MethodState) -> None:
        """Take up where :meth:`save` left off."""
        self._attended = {party: int(t) for party, t in state.facts["attended"].items()}
        self._ledger.load(MethodState(state.facts["rewards"], state.arrays))


def named_arrays(
    arrays: Mapping[str, npt.NDArray[Any]], prefix: str
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays whose names begin with ``prefix``, by what follows it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def normalised(amounts: npt.ArrayLike) -> Float64:
    """Return ``(n,)`` non-negative amounts divided by their sum; equal shares if that is 0."""
    parts = np.asarray(amounts, dtype=np.float64)
    total = parts.sum()
    return parts / total if total > 0 else np.full(parts.size, 1.0 / max(parts.size, 1))


def reward_body(
    parties: Sequence[str], q: Float64, masks: Masks, aggregate: npt.NDArray[np.float32]
) -> dict[str, Any]:
    """Return the body of a ``reward`` line for masked rewards, but for the digests."""
    return {
        "parties": list(parties),
        "q": q.tolist(),
        "kept": masks.kept.tolist(),
        "share": (masks.counts() / masks.n_params).tolist(),
        "cos": cosines(aggregate, masks).tolist(),
    }


def settle_body(
    before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]
) -> tuple[str, dict[str, Any]]:
    """Return the ``settle`` line of a coordinator's model that moved, both ``(D,)``."""
    step = after.astype(np.float64) - before
    return "settle", {
        "aggregate_norm": float(np.linalg.norm(step)),
        "model_sha256": sha256_array(after),
    }


def settlement(
    lines: Sequence[tuple[str, Mapping[str, Any]]],
    intake: Intake,
    *,
    values: npt.ArrayLike | None,
    reputation: Mapping[str, float],
    share: npt.ArrayLike,
    removed: Sequence[str] = (),
) -> Settlement:
    """Return the lines with every member's standing; arrays run over the intake's parties."""
    given = [None] * len(intake.parties) if values is None else np.asarray(values).tolist()
    shares = np.asarray(share, dtype=np.float64).tolist()
    rows = {p: (v, s) for p, v, s in zip(intake.parties, given, shares, strict=True)}
    scores = {
        member: Score(
            value=rows.get(member, (None, None))[0],
            reputation=reputation.get(member),
            share=rows.get(member, (None, None))[1],
            excluded=member in removed,
        )
        for member in intake.members
    }
    return Settlement(lines, scores)
