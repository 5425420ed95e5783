"""Judging a round again: everything that follows from the inner products in the record.

The judgement is made by the function that made it in the run
(:func:`equigrad.federation.appraisal.appraise`). The evidence itself is held against what the
record says elsewhere: norms of uploads and rewards, sizes, the announced bound. The neighbour
:mod:`equigrad.federation.record.verify` walks through the lines.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.federation.appraisal import appraise
from equigrad.federation.config.presets import CgsvSettings, resolve
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.evidence import Appraisal, Evidence, History
from equigrad.federation.methods.lines import appraise_body
from equigrad.federation.record.agreement import TOLERANCE, VerifyResult, fault, same
from equigrad.federation.record.canonical import decode_matrix, plain
from equigrad.federation.record.chain import Line
from equigrad.federation.streams import numpy_stream
from equigrad.reward import REWARD_RULES, auto_gamma, gamma_at

__all__ = ["Judge"]

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

_MEASURED = 1e-5
"""Relative agreement of sums over float32 vectors with what follows from the Gram matrix."""

_CANCELLED = 1e-9
"""Absolute agreement of these sums, as a part of what they would be without cancellation."""


class Judge:
    """Judges the rounds of one record again, in order.

    Parameters
    ----------
    config
        The frozen configuration.
    start
        The record's first line.
    result
        Where comparisons are counted.
    """

    def __init__(self, config: RunConfig, start: Line, result: VerifyResult) -> None:
        self.config = config
        self.result = result
        self.settings: CgsvSettings = resolve(config.rewards, config.audit, config.data.name)
        self._noise = {party.name: party.declared_noise for party in config.party}
        self._size = int(start.body["model"]["parameters"])
        self._layer_sizes = [int(n) for n in start.body["model"]["layer_sizes"]]
        self._history = History()
        self._first_gamma = self.settings.gamma if self.settings.gamma != "auto" else None
        self._energy: dict[str, tuple[float, float]] = {}
        self._announced: Mapping[str, Any] = {}
        self._trained: Mapping[str, Any] = {}
        self._declared: Sequence[Mapping[str, Any]] | None = None
        self._evidence: Evidence
        self._appraisal: Appraisal
        self._aggregate = (0.0, 0.0)

    def announce(self, line: Line) -> None:
        """Check the announced bound; forget the rewards of who has left."""
        body = self._announced = line.body
        members = set(body["parties"])
        self._energy = {p: energy for p, energy in self._energy.items() if p in members}
        if self.settings.bounding == "none":
            same(line, "gamma", body["gamma"], None, self.result)
            return
        norms = body["gamma_norms"]
        if self._first_gamma is None and norms is None:
            raise fault(line, "expected the norms that the bound is set from")
        if self._first_gamma is None and any(n > 0 for n in norms.values()):
            self._first_gamma = auto_gamma(list(norms.values()))
        if norms and not set(norms) <= members:
            raise fault(line, "expected norms of members only")
        if self._first_gamma is None and not norms:  # nobody could be asked to train
            same(line, "gamma", body["gamma"], None, self.result)
            return
        first = 1.0 if self._first_gamma is None else self._first_gamma
        rounds, end = self.config.rounds, self.settings.gamma_end
        gamma = gamma_at(line.round or 0, rounds, first, end)
        same(line, "gamma", body["gamma"], gamma, self.result)

    def train(self, line: Line, declared: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Take note of who answered with what.

        ``declared`` is the noise that each of them declared, where it differs from round to round
        (private training); None: what the run file says.
        """
        self._trained = line.body
        self._declared = declared

    def appraise(self, line: Line) -> None:
        """Judge the round again and compare every number."""
        evidence = self._evidence = self._read(line)
        generator = numpy_stream(self.config.seed, "permutations", round_=evidence.round)
        appraisal, self._history = appraise(evidence, self._history, self.settings, generator)
        again = plain(appraise_body(evidence, appraisal, self._history))
        same(line, "fields", sorted(line.body), sorted(again), self.result)
        for key, value in again.items():
            if key not in _EVIDENCE:
                same(line, _WORDS.get(key, key), line.body[key], value, self.result)
        self._appraisal = appraisal
        factor = appraisal.weights * appraisal.caps
        total = float(factor @ evidence.gram @ factor)
        slack = _CANCELLED * float(factor**2 @ np.diagonal(evidence.gram))
        self._aggregate = max(total, 0.0), slack

    def reward(self, line: Line) -> None:
        """Compare shares, ratios, sizes and cosines of the rewards."""
        evidence, appraisal, body = self._evidence, self._appraisal, line.body
        same(line, "members", body["parties"], list(evidence.parties), self.result)
        same(line, "reward shares", body["s"], appraisal.sharpened.tolist(), self.result)
        same(line, "reward ratios", body["q"], appraisal.ratios.tolist(), self.result)
        same(line, "mask", body["mask"], self.settings.mask, self.result)
        kept = np.array(body["kept"], dtype=np.int64).reshape(len(evidence.parties), -1)
        cosines = np.array(body["cos"], dtype=np.float64)
        self._check_sizes(line, kept, appraisal.ratios)
        share = (kept.sum(axis=1) / self._size).tolist()
        same(line, "reward sizes", body["share"], share, self.result)
        self._check_cosines(line, kept, cosines)
        self._check_digests(line, kept, cosines)
        total, slack = self._aggregate
        for party, cosine in zip(evidence.parties, cosines.tolist(), strict=True):
            if cosine > 0:
                self._energy[party] = cosine**2 * total, slack

    def settle(self, line: Line) -> None:
        """Compare the aggregate's norm with what weights and Gram matrix give."""
        norm = float(line.body["aggregate_norm"])
        total, slack = self._aggregate
        if not math.isclose(norm**2, total, rel_tol=_MEASURED, abs_tol=slack):
            raise fault(
                line, "expected the norm of the aggregate that weights and Gram matrix give"
            )
        self.result.count("aggregate norms")

    def _read(self, line: Line) -> Evidence:
        """Return the evidence of an ``appraise`` line, held against the lines before."""
        body, parties = line.body, self._trained["parties"]
        same(line, "members", body["parties"], parties, self.result)
        gram, overlap = decode_matrix(body["C"]), decode_matrix(body["H"])
        if not np.array_equal(gram, gram.T):
            raise fault(line, "expected a symmetric Gram matrix C")
        norms = np.array(self._trained["norms"], dtype=np.float64)
        if not np.allclose(np.diagonal(gram), norms**2, rtol=_MEASURED, atol=1e-30):
            raise fault(line, "expected the squares of the uploads' norms on the diagonal of C")
        self.result.count("upload norms", len(norms))
        energy = np.array([0.0 if v is None else v for v in body["V"]], dtype=np.float64)
        known = np.array([self._energy.get(party, (0.0, 0.0)) for party in parties])
        if (np.abs(energy - known[:, 0]) > _MEASURED * known[:, 0] + known[:, 1]).any():
            raise fault(line, "expected V to be the squared norms of the parties' last rewards")
        self.result.count("reward norms", len(known))
        self._check_overlap(line, gram, overlap, energy)
        declared = [self._noise.get(party, {}) for party in parties]
        if self._declared is not None:
            declared = [dict(noise) for noise in self._declared]
        noise = plain(declared) if any(declared) else None
        same(line, "declared noise", body["noise"], noise, self.result)
        return Evidence(
            round=line.round or 0,
            members=tuple(self._announced["parties"]),
            parties=tuple(parties),
            gram=gram,
            overlap=overlap,
            reward_energy=energy,
            records=np.array(self._trained["records"], dtype=np.float64),
            gamma=self._announced["gamma"],
            n_params=self._size,
            noise=tuple(declared),
            repeat=self._repeats(line),
        )

    def _repeats(self, line: Line) -> Float64:
        repeat = np.array(line.body["P"], dtype=np.float64)
        same(line, "members", len(repeat), len(self._trained["parties"]), self.result)
        if (np.abs(repeat) > 1 + TOLERANCE).any():
            raise fault(line, "expected cosines of repeated uploads in [-1, 1]")
        return repeat

    def _check_overlap(self, line: Line, gram: Float64, overlap: Float64, energy: Float64) -> None:
        """Check that H could be inner products: no larger than the product of the norms."""
        bound = np.sqrt(np.outer(energy, np.diagonal(gram)))
        if (np.abs(overlap) > bound * (1 + _MEASURED) + 1e-30).any():
            raise fault(line, "expected H within the norms of uploads and rewards")
        self.result.count("overlaps", overlap.size)

    def _check_sizes(self, line: Line, kept: Int64, ratios: Float64) -> None:
        rule = REWARD_RULES[self.settings.mask]
        if rule.verifiable:
            again = rule.counts_from_ratio(ratios, self._layer_sizes)
            same(line, "reward sizes", kept.tolist(), again.tolist(), self.result)
            return
        order = np.argsort(ratios, kind="stable")  # a larger ratio never keeps less
        if (np.diff(kept[order], axis=0) < 0).any() or kept[ratios == 0].any():
            raise fault(line, "expected kept entries that do not fall as the ratio grows")
        self.result.count("reward sizes (order only)", len(ratios))

    def _check_cosines(self, line: Line, kept: Int64, cosines: Float64) -> None:
        """Check cosines against the kept entries, which are the largest of their segments.

        The k largest of n entries hold at least k/n of the energy; equal entries give equal
        cosines; more entries never a smaller one.
        """
        segments = np.array([self._size] if kept.shape[1] == 1 else self._layer_sizes)
        moved = bool(cosines.any())  # a zero aggregate has no cosine with anything
        least = np.sqrt((kept / segments).min(axis=1)) if moved else np.zeros(len(cosines))
        wrong = (cosines < least - TOLERANCE) | (cosines > 1 + TOLERANCE)
        wrong |= (kept.sum(axis=1) == 0) & (cosines != 0)
        order = np.argsort(kept.sum(axis=1), kind="stable")
        falling = kept.shape[1] == 1 and (np.diff(cosines[order]) < -TOLERANCE).any()
        _, group = np.unique(kept, axis=0, return_inverse=True)
        one = np.zeros(len(cosines))
        one[group.ravel()] = cosines
        unequal = (one[group.ravel()] != cosines).any()
        if wrong.any() or falling or unequal:
            raise fault(line, "expected cosines that agree with the entries kept")
        if self.settings.mask == "energy" and (cosines < self._appraisal.ratios - 1e-6).any():
            raise fault(line, "expected cosines of at least the ratios")
        self.result.count("reward cosines", len(cosines))

    def _check_digests(self, line: Line, kept: Int64, cosines: Float64) -> None:
        digests = line.body["digests"]
        named = [digest is not None for digest in digests]
        same(line, "reward digests", named, (cosines > 0).tolist(), self.result)
        by_size: dict[bytes, str] = {}
        for row, digest in zip(kept, digests, strict=True):
            if digest is not None and by_size.setdefault(row.tobytes(), digest) != digest:
                raise fault(line, "expected one digest for rewards of one size")


_EVIDENCE = ("C", "H", "V", "P", "noise")
"""What the judgement starts from; its own checks are in ``_Checker._evidence``."""

_WORDS = {
    "values": "contributions",
    "half_width": "intervals",
    "A": "reputations",
    "B": "reputations",
    "r": "reputations",
    "flags": "audits",
    "audit": "audits",
    "excluded": "audits",
    "aggregation_weights": "weights",
    "value_weights": "weights",
    "caps": "caps",
    "kappa": "consensus",
    "rule": "contribution rules",
    "permutations": "permutations",
    "converged": "convergence",
    "degenerate_share": "zero coalitions",
    "trust": "trust under noise",
    "parties": "members",
}
