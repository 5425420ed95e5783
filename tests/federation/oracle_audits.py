"""The audits, from whole uploads and whole rewards; part of ``robust_oracle``."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from oracle_values import ZERO, Sent, Vector, cosine, total

from equigrad.contribution.audit.settings import AuditSettings
from equigrad.federation.config.presets import CgsvSettings

Statistics = dict[str, dict[str, float]]


@dataclass
class Memory:
    """What one round leaves to the next."""

    earned: dict[str, float] = field(default_factory=dict)
    attended: dict[str, float] = field(default_factory=dict)
    share: dict[str, float] = field(default_factory=dict)
    rewards: dict[str, Vector] = field(default_factory=dict)
    streaks: dict[str, int] = field(default_factory=dict)
    flags: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)


@dataclass
class Audit:
    """What the audits found in one round; ``table`` holds the statistics by party."""

    table: Statistics
    streaks: dict[str, int]
    groups: list[list[str]]
    hits: list[tuple[str, str]]
    untested: dict[str, list[str]]


@dataclass
class OracleAudits:
    """Audits round after round: reads rewards from its memory, keeps streaks and flags in it."""

    settings: CgsvSettings
    size: int
    memory: Memory
    thresholds: AuditSettings = field(default_factory=AuditSettings)

    def check(self, t: int, sent: Mapping[str, Sent]) -> Audit:
        """Audit round ``t`` and raise, renew and clear flags."""
        audit = self._audit(t, sent)
        self._raise_flags(t, audit)
        return audit

    def _audit(self, t: int, sent: Mapping[str, Sent]) -> Audit:
        known = self.thresholds
        names = list(sent)
        flagged = {p for p, _ in self.memory.flags}
        table: Statistics = {p: {"echo": 0.0, "clone": -1.0} for p in names}
        untested: dict[str, list[str]] = {"echo": [], "clones": [], "news": []}
        echoes = set()
        heard = {p: Sent(sent[p].vector) for p in names}  # as it arrived: noise is part of it
        merging = self.settings.clone_action == "merge"
        copied = known.alike if merging else known.clones
        for p in names:
            reward = self.memory.rewards.get(p, np.zeros(self.size))
            product = float(sent[p].vector @ reward)
            table[p]["echo"] = cosine(product, heard[p].square, float(reward @ reward))
            if clearness(sent[p]) < known.echo:
                untested["echo"].append(p)
            if t >= 1 and table[p]["echo"] >= known.echo:
                echoes.add(p)
        clones, alike, unclear = [], set(), set()
        for p, q in combinations(names, 2):
            product = float(sent[p].vector @ sent[q].vector)
            like = cosine(product, heard[p].square, heard[q].square)
            for one in (p, q):
                table[one]["clone"] = max(table[one]["clone"], like)
            if clearness(sent[p]) * clearness(sent[q]) < copied:
                unclear |= {p, q}
            if like >= copied:
                clones.append((p, q))
            if like >= known.alike:
                alike |= {(p, q), (q, p)}
        untested["clones"] = [p for p in names if p in unclear]
        groups = connected(names, clones)
        cloned = {p for group in groups for p in group}
        trusted_names = [p for p in names if p not in flagged | echoes | cloned]
        can = {}
        for p in names:
            others = [heard[q] for q in trusted_names if q != p and (p, q) not in alike]
            can[p] = self._news(p, heard, others, table[p])
        streaks, stale = self._streaks(sent, flagged, table, can, untested)
        hits = [(p, "echo") for p in names if p in echoes or stale.get(p) == "echo"]
        hits += [(p, "clones") for p in names if p in cloned]
        hits += [(p, "random") for p in names if stale.get(p) == "random"]
        for p in names:
            table[p]["streak"] = streaks[p]
        return Audit(table, streaks, groups, hits, untested)

    def _news(
        self, p: str, sent: Mapping[str, Sent], others: Sequence[Sent], row: dict[str, float]
    ) -> bool:
        """Fill in b and f of party ``p``; return whether they mean anything."""
        row["alignment"] = row["news"] = 0.0
        if not others:
            return False
        own, crowd = sent[p], total(others)
        row["alignment"] = cosine(float(own.vector @ crowd.vector), own.square, crowd.square)
        reward = self.memory.rewards.get(p)
        rest, around = own, crowd
        if reward is not None:
            unit = reward / math.sqrt(float(reward @ reward))
            rest = Sent(own.vector - (own.vector @ unit) * unit, own.variance)
            around = Sent(crowd.vector - (crowd.vector @ unit) * unit, crowd.variance)
        if rest.square >= 1e-6 * own.square and around.square >= ZERO * crowd.square:
            product = float(rest.vector @ around.vector)
            row["news"] = cosine(product, rest.square, around.square)
        trace = sum(one.square for one in sent.values())
        return own.square > 0 and crowd.square > ZERO * trace

    def _streaks(
        self,
        sent: Mapping[str, Sent],
        flagged: set[str],
        table: Statistics,
        can: Mapping[str, bool],
        untested: dict[str, list[str]],
    ) -> tuple[dict[str, int], dict[str, str]]:
        known = self.thresholds
        width = known.width / math.sqrt(self.size)
        fresh = [p for p in sent if p not in flagged]
        telling = [p for p in fresh if abs(table[p]["news"]) > width]
        noisy = any(one.variance > 0 for one in sent.values())
        silent = noisy or self.size < known.least_params
        silent = silent or not fresh or len(telling) < len(fresh) / 2
        streaks, stale = {}, {}
        for p in sent:
            streak = self.memory.streaks.get(p, 0)
            if silent or not can[p]:
                untested["news"].append(p)
                streaks[p] = streak
                continue
            hinted = table[p]["echo"] >= known.echo_hint
            apart = abs(table[p]["alignment"]) <= width
            nothing = abs(table[p]["news"]) <= width and (hinted or apart)
            streaks[p] = streak + 1 if nothing else 0
            if streaks[p] >= known.streak:
                stale[p] = "echo" if hinted else "random"
        return streaks, stale

    def _raise_flags(self, t: int, audit: Audit) -> None:
        self.memory.streaks |= audit.streaks
        flags = self.memory.flags
        for p, kind in audit.hits:
            since = flags[p, kind]["since"] if (p, kind) in flags else t
            flags[p, kind] = {"since": since, "last_hit": t, **audit.table[p]}
        for key in [
            key for key in flags if t - flags[key]["last_hit"] >= self.settings.clear_after
        ]:
            del flags[key]


def clearness(one: Sent) -> float:
    """Return the cosine that an upload of this length has with a vector it noised itself."""
    if one.variance == 0:
        return 1.0
    return math.sqrt(max(one.square, 0.0) / float(one.vector @ one.vector))


def connected(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Return the connected groups of two and more, in the names' order."""
    group_of = {p: {p} for p in names}
    for p, q in pairs:
        joined = group_of[p] | group_of[q]
        for one in joined:
            group_of[one] = joined
    groups = []
    for p in names:
        group = [q for q in names if q in group_of[p]]
        if len(group) > 1 and group not in groups:
            groups.append(group)
    return groups
