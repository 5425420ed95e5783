"""A slow second opinion on whole rounds of the robust fair rewards, for tests only.

Written from the definitions: whole vectors in float64, loops over parties, pairs and coalitions,
no Gram matrix, no shortcut, and nothing of the package but its settings. Covers the robust mixing
with exact values, uniform value weights and the flat mask, declared noise included. Values are in
``oracle_values``, audits in ``oracle_audits``.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from oracle_audits import Audit, Memory, OracleAudits
from oracle_values import Sent, Vector, agreement, shapley, total, trusted

from equigrad.federation.config.presets import CgsvSettings

OVER_GAMMA = 1 + 1e-4


@dataclass
class Verdict:
    """One round's outcome; everything by party name, absent parties left out of the first rows."""

    caps: dict[str, float]
    audit: Audit
    flags: dict[tuple[str, str], dict[str, Any]]
    excluded: list[str]
    weights: dict[str, float]
    value_weights: dict[str, float]
    values: dict[str, float]
    degenerate: float
    kappa: float
    trust: tuple[float, str] | None
    earned: dict[str, float]
    attended: dict[str, float]
    reputation: dict[str, float]
    sharpened: dict[str, float]
    ratios: dict[str, float]
    kept: dict[str, list[int]]
    rewards: dict[str, Vector]
    aggregate: Vector


@dataclass
class RobustOracle:
    """Judges round after round; keep one for a whole run."""

    settings: CgsvSettings
    size: int
    memory: Memory = field(default_factory=Memory)

    def judge(
        self,
        t: int,
        members: Sequence[str],
        uploads: Mapping[str, Vector],
        noise: Mapping[str, tuple[str, float]],
        gamma: float,
    ) -> Verdict:
        """Judge round ``t``; ``uploads`` in the members' order, ``noise`` of who declared some."""
        self._change_members(members)
        arrived = {p: Sent(u, noise[p][1] if p in noise else 0.0) for p, u in uploads.items()}
        caps = self._caps(arrived, gamma)
        sent = {p: arrived[p].scaled(caps[p]) for p in arrived}
        audit = OracleAudits(self.settings, self.size, self.memory).check(t, sent)
        excluded = self._excluded(members)
        valued = [p for p in sent if p not in excluded]
        groups = self._acting(valued, audit.groups)
        weights = self._weights(t, valued, groups)
        actors = [total([sent[p] for p in group]).scaled(1 / len(group)) for group in groups]
        paid = actors if self.settings.pay_for == "signal" else [Sent(a.vector) for a in actors]
        worths, degenerate = shapley(paid)
        values = {p: worth / len(g) for g, worth in zip(groups, worths, strict=True) for p in g}
        noisy = any(one.variance > 0 for one in actors)
        kappa = agreement(actors, noisy)
        trust = trusted(actors, noise, degenerate) if noisy else None
        if trust is None or trust[1] != "not trustworthy":
            self._earn(valued, values, kappa)
        if valued:
            self._share_out(valued, excluded)
        aggregate = np.zeros(self.size)
        for p in valued:
            aggregate = aggregate + weights[p] * caps[p] * uploads[p]
        aggregate = aggregate.astype(np.float32).astype(np.float64)  # as parties receive it
        sharpened, ratios = self._ratios(t, members, valued, uploads)
        kept = {p: largest(aggregate, ratios.get(p, 0.0)) for p in uploads}
        rewards = self._reward(aggregate, kept)
        none = dict.fromkeys(uploads, 0.0)
        acting = {p: 1 / (len(groups) * len(group)) for group in groups for p in group}
        return Verdict(
            caps=caps,
            audit=audit,
            flags={key: dict(flag) for key, flag in self.memory.flags.items()},
            excluded=excluded,
            weights=none | weights,
            value_weights=none | acting,
            values=none | values,
            degenerate=degenerate,
            kappa=kappa,
            trust=trust,
            earned={p: self.memory.earned[p] for p in members},
            attended={p: self.memory.attended[p] for p in members},
            reputation={p: self.memory.share[p] for p in members},
            sharpened={p: sharpened[p] for p in uploads},
            ratios=none | ratios,
            kept=kept,
            rewards=rewards,
            aggregate=aggregate,
        )

    def _change_members(self, members: Sequence[str]) -> None:
        share = self.memory.share
        for p in members:
            for book in (self.memory.earned, self.memory.attended, share):
                book.setdefault(p, 0.0)
        for p in [p for p in share if p not in members]:
            del share[p]  # a leaver's standing is kept; its share and its last reward are not
            self.memory.rewards.pop(p, None)
        left = sum(share.values())
        for p in share:
            share[p] = share[p] / left if left > 0 else 0.0

    def _caps(self, arrived: Mapping[str, Sent], gamma: float) -> dict[str, float]:
        raw = {p: math.sqrt(float(one.vector @ one.vector)) for p, one in arrived.items()}
        clean = {p: math.sqrt(max(one.square, 0.0)) for p, one in arrived.items()}
        moving = [norm for norm in clean.values() if norm > 0]
        moving = moving or [norm for norm in raw.values() if norm > 0]
        caps = {}
        for p, one in arrived.items():
            norm = clean[p] if clean[p] > 0 else raw[p]  # who drowns in noise is capped as heard
            allowed = self.settings.norm_cap * statistics.median(moving) if moving else math.inf
            if one.variance == 0 and norm > gamma * OVER_GAMMA:
                allowed = min(allowed, gamma)
            caps[p] = min(1.0, allowed / norm) if norm > 0 else 1.0
        return caps

    def _excluded(self, members: Sequence[str]) -> list[str]:
        if self.settings.audit_action == "flag":
            return []
        merging = self.settings.clone_action == "merge"
        out = {p for p, kind in self.memory.flags if not (merging and kind == "clones")}
        return [p for p in members if p in out]

    def _acting(self, valued: Sequence[str], groups: Sequence[list[str]]) -> list[list[str]]:
        """Return who acts as one party: clones under ``merge``, everybody else alone."""
        acting: list[list[str]] = []
        for p in valued:
            group = [p]
            if self.settings.clone_action == "merge":
                of_p = [g for g in groups if p in g]
                group = [q for q in of_p[0] if q in valued] if of_p else [p]
            if group[0] == p:
                acting.append(group)
        return acting

    def _weights(
        self, t: int, valued: Sequence[str], groups: Sequence[list[str]]
    ) -> dict[str, float]:
        known = sum(self.memory.share[p] for p in valued)
        if t < self.settings.warmup or known <= 0:
            return {p: 1 / (len(groups) * len(group)) for group in groups for p in group}
        return {p: self.memory.share[p] / known for p in valued}

    def _earn(self, valued: Sequence[str], values: Mapping[str, float], kappa: float) -> None:
        positive = sum(max(values[p], 0.0) for p in valued)
        if kappa <= 0 or positive <= 0:
            return
        alpha, memory = self.settings.alpha, self.memory
        for p in valued:
            relative = len(valued) * max(values[p], 0.0) / positive
            memory.earned[p] = alpha * memory.earned[p] + (1 - alpha) * kappa * relative
            memory.attended[p] = alpha * memory.attended[p] + (1 - alpha) * kappa

    def _share_out(self, valued: Sequence[str], excluded: Sequence[str]) -> None:
        memory = self.memory
        standing = {}
        for p in memory.share:
            evidence = p not in excluded and memory.attended[p] > 0
            standing[p] = memory.earned[p] / memory.attended[p] if evidence else 0.0
        everything = sum(standing.values())
        judged = [p for p in memory.share if p not in excluded and memory.attended[p] > 0]
        for p in memory.share:
            if everything > 0:
                memory.share[p] = standing[p] / everything
            else:
                memory.share[p] = 1 / len(valued) if not judged and p in valued else 0.0

    def _ratios(
        self, t: int, members: Sequence[str], valued: Sequence[str], uploads: Mapping[str, Vector]
    ) -> tuple[dict[str, float], dict[str, float]]:
        share, power = self.memory.share, self.settings.sharpness
        scale = sum(share[p] ** power for p in members)
        sharpened = {p: share[p] ** power / scale if scale > 0 else 0.0 for p in members}
        eligible = [p for p in valued if share[p] > 0 and np.any(uploads[p] != 0)]
        beta = self.settings.beta * len(members)
        heights = {p: math.tanh(beta * sharpened[p]) for p in eligible}
        if t < self.settings.warmup:
            return sharpened, dict.fromkeys(eligible, 1.0)
        return sharpened, {p: heights[p] / max(heights.values()) for p in eligible}

    def _reward(self, aggregate: Vector, kept: Mapping[str, Sequence[int]]) -> dict[str, Vector]:
        rewards = {}
        for p, indices in kept.items():
            reward = np.zeros(self.size)
            for index in indices:
                reward[index] = aggregate[index]
            rewards[p] = reward
            if reward.any():
                self.memory.rewards[p] = reward
        return rewards


def largest(aggregate: Vector, share: float) -> list[int]:
    """Return the positions of the largest magnitudes that a share of the aggregate buys."""
    count = min(max(math.floor(len(aggregate) * share + 1e-12), 0), len(aggregate))
    order = sorted(range(len(aggregate)), key=lambda k: (-abs(aggregate[k]), k))
    return sorted(order[:count])
