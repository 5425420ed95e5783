"""The record's lines of a judged round, the same words for who writes them and who checks them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.federation.config.presets import CgsvSettings
from equigrad.federation.evidence import Appraisal, Evidence, History
from equigrad.federation.record.canonical import encode_matrix
from equigrad.reward import Masks, cosines

__all__ = ["appraise_body", "reward_body"]


def appraise_body(evidence: Evidence, appraisal: Appraisal, history: History) -> dict[str, Any]:
    """Return the body of an ``appraise`` line: the evidence, and what was judged from it.

    Vectors run over ``parties``; ``A``, ``B`` and ``r`` run over ``members``. C and H are those of
    the uploads as they arrived (before caps and before any correction for noise); P holds each
    upload's largest cosine with an earlier one of its party.
    """
    standing = history.standing
    at = standing.positions(evidence.members)
    values, half = appraisal.values, appraisal.values.half_width
    return {
        "parties": list(evidence.parties),
        "gamma": evidence.gamma,
        "C": encode_matrix(evidence.gram),
        "H": encode_matrix(evidence.overlap),
        "V": [v if v > 0 else None for v in evidence.reward_energy.tolist()],
        "P": None if evidence.repeat is None else evidence.repeat.tolist(),
        "noise": [dict(facts) for facts in evidence.noise] if any(evidence.noise) else None,
        "caps": appraisal.caps.tolist(),
        "aggregation_weights": appraisal.weights.tolist(),
        "value_weights": appraisal.value_weights.tolist(),
        "rule": appraisal.rule,
        "values": values.values.tolist(),
        "half_width": None if half is None else half.tolist(),
        "permutations": values.permutations,
        "converged": values.converged,
        "degenerate_share": values.degenerate_share,
        "kappa": appraisal.kappa,
        "trust": None
        if appraisal.trust is None
        else {"snr": appraisal.trust.snr, "level": appraisal.trust.level},
        "audit": appraisal.audit.to_json(),
        "flags": appraisal.audit.to_json()["flags"],
        "excluded": list(appraisal.excluded),
        "members": list(evidence.members),
        "A": standing.earned[at].tolist(),
        "B": standing.attended[at].tolist(),
        "r": appraisal.reputation.tolist(),
    }


def reward_body(
    settings: CgsvSettings,
    evidence: Evidence,
    appraisal: Appraisal,
    masks: Masks,
    aggregate: npt.NDArray[np.float32],
) -> dict[str, Any]:
    """Return the body of a ``reward`` line, but for the digests of the rewards."""
    return {
        "parties": list(evidence.parties),
        "s": appraisal.sharpened.tolist(),
        "q": appraisal.ratios.tolist(),
        "mask": settings.mask,
        "kept": masks.kept.tolist(),
        "share": (masks.counts() / evidence.n_params).tolist(),
        "cos": cosines(aggregate, masks).tolist(),
    }
