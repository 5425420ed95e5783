"""What every party was rewarded with last: kept as prefixes of few aggregates, never as vectors.

A reward is a part of its round's aggregate, so the ledger keeps aggregates and prefix lengths. An
aggregate stays as long as somebody's last reward was taken from it; with everybody present that is
one aggregate at a time, with absent parties at most one for each of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from equigrad.federation.messages import Delivery
from equigrad.federation.methods.base import MethodState
from equigrad.federation.record.canonical import sha256_array
from equigrad.reward import REWARD_RULES, Masks, encode, energies, prefix_products, take
from equigrad.reward.masks import descending_order

__all__ = ["Issue", "RewardLedger"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Issue:
    """The rewards of one round: the aggregate, the masks and who owns which row of them."""

    aggregate: npt.NDArray[np.float32]
    masks: Masks
    rows: Mapping[str, int]

    def reward(self, party: str) -> dict[str, torch.Tensor]:
        """Return the wire form of one party's reward."""
        sparse = take(self.aggregate, self.masks, self.rows[party])
        return {name: torch.from_numpy(array) for name, array in encode(sparse).items()}


class RewardLedger:
    """Rewards that parties hold or still have to receive.

    Parameters
    ----------
    rule
        Name of the reward rule.
    layer_sizes
        Sizes of the model's parameter tensors.
    """

    def __init__(self, rule: str, layer_sizes: Sequence[int]) -> None:
        self._rule = REWARD_RULES[rule]()
        self._layer_sizes = tuple(layer_sizes)
        self._issues: dict[int, Issue] = {}
        self._last: dict[str, int] = {}

    def issue(
        self, round_: int, aggregate: npt.NDArray[np.float32], parties: Sequence[str], q: Float64
    ) -> Masks:
        """Reward ``parties`` by their ratios ``q``.

        Whose reward is the zero vector keeps its last one, and nothing is delivered to it.
        """
        masks = self._rule.masks(aggregate, q, self._layer_sizes)
        energy = energies(aggregate, masks)
        rows = {party: i for i, party in enumerate(parties) if energy[i] > 0}
        self._issues[round_] = Issue(aggregate, masks, rows)
        self._last |= dict.fromkeys(rows, round_)
        self._forget()
        return masks

    def digests(self, round_: int, parties: Sequence[str]) -> list[str | None]:
        """Return the SHA-256 of each party's reward in its wire form, None where it got nothing."""
        issue = self._issues.get(round_)
        if issue is None:
            return [None] * len(parties)
        by_length: dict[bytes, str] = {}
        digests: list[str | None] = []
        for party in parties:
            row = issue.rows.get(party)
            if row is None:
                digests.append(None)
                continue
            length = issue.masks.kept[row].tobytes()  # equal lengths are equal rewards
            if length not in by_length:
                wire = issue.reward(party)
                by_length[length] = sha256_array(*(wire[name] for name in sorted(wire)))
            digests.append(by_length[length])
        return digests

    @property
    def last(self) -> Mapping[str, int]:
        """By party, the round of its last reward that was not zero."""
        return self._last

    def pending(self, party: str, since: int) -> int | None:
        """Return the round of the reward that ``party`` has not acknowledged yet, or None."""
        last = self._last.get(party, -1)
        return last if last > since else None

    def delivery(self, party: str, since: int) -> Delivery | None:
        """Return the reward that ``party`` has not acknowledged yet, or None."""
        round_ = self.pending(party, since)
        if round_ is None:
            return None
        return Delivery(round=round_, reward=self._issues[round_].reward(party))

    def overlaps(
        self, parties: Sequence[str], uploads: Sequence[torch.Tensor]
    ) -> tuple[Float64, Float64]:
        """Return H ``(n, n)`` and V ``(n,)``: uploads against each party's last reward.

        ``H[i, j] = <u_j, vbar_i>``; rows and entries of parties without a reward are 0.
        """
        n = len(parties)
        H, V = np.zeros((n, n)), np.zeros(n)
        rows = [upload.numpy(force=True) for upload in uploads]
        rounds = sorted({self._last[p] for p in parties if p in self._last})
        for round_ in rounds:
            issue = self._issues[round_]
            at = [i for i, p in enumerate(parties) if self._last.get(p) == round_]
            masks = issue.masks.rows([issue.rows[parties[i]] for i in at])
            H[at] = prefix_products(issue.aggregate, masks, rows)
            V[at] = energies(issue.aggregate, masks)
        return H, V

    def keep(self, members: Sequence[str]) -> None:
        """Drop the rewards of parties that have left; what they had not fetched is forfeit."""
        left = self._last.keys() - set(members)
        if left:
            self._last = {p: t for p, t in self._last.items() if p not in left}
            self._forget()

    def save(self) -> MethodState:
        """Return the ledger's state; orders are not kept, they follow from the aggregates."""
        facts: dict[str, Any] = {"last": self._last, "rows": {}}
        arrays: dict[str, npt.NDArray[Any]] = {}
        for round_, issue in self._issues.items():
            facts["rows"][str(round_)] = dict(issue.rows)
            arrays[f"aggregate.{round_}"] = issue.aggregate
            arrays[f"kept.{round_}"] = issue.masks.kept
        return MethodState(facts, arrays)

    def load(self, state: MethodState) -> None:
        """Take up where :meth:`save` left off."""
        self._last = {party: int(round_) for party, round_ in state.facts["last"].items()}
        self._issues = {}
        segments = self._rule.segments(np.asarray(self._layer_sizes, dtype=np.int64))
        for name, rows in state.facts["rows"].items():
            aggregate, kept = state.arrays[f"aggregate.{name}"], state.arrays[f"kept.{name}"]
            masks = Masks(descending_order(aggregate, segments), segments, kept)
            self._issues[int(name)] = Issue(aggregate, masks, {p: int(i) for p, i in rows.items()})

    def _forget(self) -> None:
        needed = set(self._last.values())
        self._issues = {t: issue for t, issue in self._issues.items() if t in needed}
