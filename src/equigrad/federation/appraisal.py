"""One round's judgement, from inner products alone: caps, audits, values, reputation, ratios.

A pure function. The coordinator calls it once a round; ``equigrad verify`` calls it again on what
the record holds and must get the same numbers. It puts together what
:mod:`equigrad.contribution` and :mod:`equigrad.reward` each do alone; what goes in and comes out
is described in :mod:`equigrad.federation.evidence`.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from equigrad.contribution import (
    RULES,
    ContributionRule,
    Noise,
    SampledCGSV,
    Trust,
    Values,
    auto_rule,
    consensus,
    correct_gram,
    trust,
)
from equigrad.contribution.audit import (
    AuditReport,
    AuditSettings,
    check,
    membership,
    merge_gram,
    share_values,
)
from equigrad.errors import ConfigError
from equigrad.federation.config.presets import CgsvSettings
from equigrad.federation.evidence import Appraisal, Evidence, History
from equigrad.reward import (
    Mixing,
    PaperMixing,
    RobustMixing,
    Standing,
    paper_weights,
    ratio,
    robust_weights,
    uniform_weights,
)

__all__ = ["appraise", "make_rule"]

Float64 = npt.NDArray[np.float64]
_GAMMA_SLACK = 1e-4  # relative; float32 rounding of an honest upload stays far below it


def make_rule(name: str, n_parties: int, settings: CgsvSettings) -> ContributionRule:
    """Return the contribution rule ``name`` (or ``auto``) for a number of parties."""
    if name == "auto":
        return auto_rule(
            n_parties,
            tolerance=settings.tolerance,
            max_permutations=settings.max_permutations,
        )
    kind = RULES[name]
    if kind is SampledCGSV:
        return SampledCGSV(settings.tolerance, settings.max_permutations)
    if kind.needs != "gram":
        raise ConfigError(
            f"Expected a contribution rule that needs the Gram matrix only, got {name!r}, which "
            "needs the uploads. Use it as a method of its own: method = 'shapfed'."
        )
    return kind()


def appraise(
    evidence: Evidence, history: History, settings: CgsvSettings, generator: np.random.Generator
) -> tuple[Appraisal, History]:
    """Judge one round.

    Parameters
    ----------
    evidence
        The round's inner products and facts.
    history
        What earlier rounds left; not changed.
    settings
        The preset, resolved.
    generator
        Random numbers for sampled values, keyed by the round.

    Returns
    -------
    Appraisal, History
        The judgement and what it leaves to the next round. Equal arguments give equal results to
        the last bit on one platform.
    """
    mixing = _mixing(settings)
    standing = _with_members(mixing, history.standing, evidence.members)
    noise, gram = _clean(evidence)
    caps = _caps(gram, evidence, settings, noise)
    arrived, gram = evidence.gram * np.outer(caps, caps), gram * np.outer(caps, caps)
    noise = None if noise is None else noise.rescaled(caps)
    report, audits = check(
        arrived,  # copies are told by cosines of vectors, never by estimates of them
        evidence.overlap * caps[None, :],
        evidence.reward_energy,
        history.audits,
        _audit_settings(settings),
        parties=evidence.parties,
        round_index=evidence.round,
        n_params=evidence.n_params,
        noise=noise,
        repeat=evidence.repeat,
    )
    excluded = _excluded(report, evidence.members, settings)
    keep = np.array([p not in excluded for p in evidence.parties], dtype=np.bool_)
    valued = tuple(p for p in evidence.parties if p not in excluded)
    merging = settings.clone_action == "merge"
    groups = _merged(report, valued) if merging else []
    members = membership(valued, groups)
    weights = _weights(evidence, standing, valued, keep, members, settings)
    paid = gram if settings.pay_for == "signal" else arrived
    at = np.ix_(keep, keep)
    game = _game(gram[at], paid[at], weights, members, noise, keep, settings, generator)
    frozen = game.trust is not None and game.trust.level == "not trustworthy"
    standing = mixing.update(
        standing, game.values.values, game.kappa, valued, excluded, frozen=frozen
    )
    reputation = standing.shares(evidence.members)
    sharpened, ratios = _ratios(evidence, reputation, keep, np.diagonal(evidence.gram), settings)
    appraisal = Appraisal(
        caps=caps,
        weights=_spread(weights, keep),
        value_weights=_spread(game.weights, keep),
        valued=valued,
        rule=game.rule,
        values=_spread_values(game.values, keep),
        kappa=game.kappa,
        trust=game.trust,
        audit=report,
        excluded=excluded,
        reputation=reputation,
        sharpened=sharpened,
        ratios=ratios,
    )
    return appraisal, History(standing, audits)


def _with_members(mixing: Mixing, standing: Standing, members: tuple[str, ...]) -> Standing:
    """Let parties join and leave since the last round."""
    active = {name for name, on in zip(standing.names, standing.active, strict=True) if on}
    for name in members:
        if name not in active:
            standing = mixing.join(standing, name)
    for name in standing.names:
        if name in active and name not in members:
            standing = mixing.leave(standing, name)
    return standing


def _clean(evidence: Evidence) -> tuple[Noise | None, Float64]:
    """Return the declared noise (None without any) and the Gram matrix corrected for it."""
    declared = evidence.noise or ({},) * len(evidence.parties)
    variance = np.array([float(facts.get("variance", 0.0)) for facts in declared])
    if not variance.any():
        return None, evidence.gram
    kinds = {facts.get("kind") for facts in declared if facts.get("variance", 0.0) > 0}
    # mixed kinds are judged by the wider spread
    kind: Literal["gaussian", "laplace"] = "gaussian" if kinds == {"gaussian"} else "laplace"
    noise = Noise(variance, evidence.n_params, kind)
    return noise, correct_gram(evidence.gram, noise)


def _caps(
    gram: Float64, evidence: Evidence, settings: CgsvSettings, noise: Noise | None
) -> Float64:
    """Return each upload's factor: the median cap and, for whoever broke it, the announced bound.

    Where noise makes the corrected squared norm vanish, the norm as it arrived stands in for it:
    declaring noise is no way around the cap.
    """
    clean = np.sqrt(np.maximum(np.diagonal(gram), 0.0))
    arrived = np.sqrt(np.maximum(np.diagonal(evidence.gram), 0.0))
    caps = np.ones(len(clean))
    if np.isfinite(settings.norm_cap):
        moving = clean[clean > 0] if clean.any() else arrived[arrived > 0]
        norms = np.where(clean > 0, clean, arrived)
        if moving.size:
            over = norms > settings.norm_cap * np.median(moving)
            limit = settings.norm_cap * np.median(moving)
            caps = np.where(over, limit / np.where(over, norms, 1.0), 1.0)
    if settings.bounding == "clip" and evidence.gamma is not None:
        silent = np.ones(len(clean), np.bool_) if noise is None else noise.variance == 0
        over = silent & (arrived > evidence.gamma * (1 + _GAMMA_SLACK))  # broke its bound
        allowed = np.where(over, evidence.gamma / np.where(over, arrived, 1.0), 1.0)
        caps = np.minimum(caps, allowed)
    return caps


def _audit_settings(settings: CgsvSettings) -> AuditSettings:
    """Return the audits' thresholds; to merge look-alikes harms less than to exclude them."""
    thresholds = AuditSettings(clear_after=settings.clear_after)
    if settings.clone_action == "merge":
        return replace(thresholds, clones=thresholds.alike)
    return thresholds


def _merged(report: AuditReport, valued: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the clone groups among the valued parties."""
    groups = (tuple(p for p in group if p in valued) for group in report.groups)
    return [group for group in groups if len(group) > 1]


def _excluded(
    report: AuditReport, members: tuple[str, ...], settings: CgsvSettings
) -> tuple[str, ...]:
    if settings.audit_action != "exclude":
        return ()
    merged = settings.clone_action == "merge"
    flagged = {f.party for f in report.flags if not (merged and f.kind == "clones")}
    return tuple(name for name in members if name in flagged)


def _weights(
    evidence: Evidence,
    standing: Standing,
    valued: tuple[str, ...],
    keep: npt.NDArray[np.bool_],
    members: Float64,
    settings: CgsvSettings,
) -> Float64:
    """Return aggregation weights over the valued parties; a merged group counts as one party."""
    shares = standing.shares(valued)
    if settings.aggregation == "records-then-reputation":
        claimed = evidence.records[keep]
        records = claimed if claimed.any() else np.ones_like(claimed)  # nobody claims any
        return paper_weights(shares, records, first=evidence.round == 0)
    warm = evidence.round < settings.warmup
    if warm or not shares.sum() > 0:
        return share_values(uniform_weights(len(members)), members)
    return robust_weights(shares, warm=False)


@dataclass(frozen=True, eq=False)
class _Game:
    rule: str
    weights: Float64
    values: Values
    kappa: float
    trust: Trust | None


def _game(
    gram: Float64,
    paid: Float64,
    weights: Float64,
    members: Float64,
    noise: Noise | None,
    keep: npt.NDArray[np.bool_],
    settings: CgsvSettings,
    generator: np.random.Generator,
) -> _Game:
    """Value the parties (merged groups as one each) and judge consensus and trust.

    ``paid`` is the Gram matrix that values are taken from: corrected for noise like ``gram``, or
    as the uploads were delivered.
    """
    if not keep.any():
        return _Game(settings.contribution, weights, Values(np.zeros(0)), 0.0, None)
    merging = len(members) < len(gram)
    merged = merge_gram(gram, members) if merging else gram
    rule = make_rule(settings.contribution, len(merged), settings)
    own = noise.take(np.flatnonzero(keep)) if noise is not None else None
    if own is not None and merging:
        own = replace(own, variance=np.square(members) @ own.variance)
    uniform = settings.value_weights == "uniform"
    grouped = uniform_weights(len(merged)) if uniform else (members > 0) @ weights
    values = rule.value(merge_gram(paid, members) if merging else paid, grouped, generator)
    judged = None if own is None else trust(merged, grouped, own, values.degenerate_share)
    half = None if values.half_width is None else share_values(values.half_width, members)
    values = replace(values, values=share_values(values.values, members), half_width=half)
    spread = share_values(grouped, members)
    return _Game(rule.name, spread, values, consensus(merged, own), judged)


def _mixing(settings: CgsvSettings) -> Mixing:
    if settings.mixing == "paper":
        return PaperMixing(settings.alpha, settings.floor)
    return RobustMixing(settings.alpha)


def _ratios(
    evidence: Evidence,
    reputation: Float64,
    keep: npt.NDArray[np.bool_],
    energy: Float64,
    settings: CgsvSettings,
) -> tuple[Float64, Float64]:
    """Return s and q over the parties; who is absent, excluded or (robust) silent has q = 0."""
    places = {name: i for i, name in enumerate(evidence.members)}
    at = [places[p] for p in evidence.parties]
    delivered = np.zeros(len(evidence.members), dtype=np.bool_)
    delivered[at] = keep & (energy > 0) if settings.mixing == "robust" else keep
    peers = delivered if settings.mixing == "robust" else None
    q = ratio(
        reputation,
        beta=settings.beta,
        sharpness=settings.sharpness,
        factor=len(evidence.members) if settings.beta_times_members else 1.0,
        eligible=peers,
    )
    if evidence.round < settings.warmup:
        q = np.where(q > 0, 1.0, 0.0)
    q = np.where(delivered, q, 0.0)
    powers = np.power(reputation, settings.sharpness)
    total = powers.sum()
    s = powers / total if total > 0 else powers
    return s[at], q[at]


def _spread(part: Float64, keep: npt.NDArray[np.bool_]) -> Float64:
    """Return ``part`` over all parties, 0 for those left out."""
    whole = np.zeros(keep.size)
    whole[keep] = part
    return whole


def _spread_values(values: Values, keep: npt.NDArray[np.bool_]) -> Values:
    half = None if values.half_width is None else _spread(values.half_width, keep)
    return replace(values, values=_spread(values.values, keep), half_width=half)
