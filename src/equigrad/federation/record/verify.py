"""Verification: what a run's record claims, computed again from what it holds.

Nothing but the run folder is needed: no data, no gradients, no parties. First the chain is
checked, then each round is judged again by the function that judged it in the run
(:func:`equigrad.federation.appraisal.appraise`), on the inner products in the record; at last the
model files are compared with the digests in the last line.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from equigrad.errors import RecordError, VerificationError
from equigrad.federation.appraisal import appraise
from equigrad.federation.config.loader import restore_config
from equigrad.federation.config.presets import CgsvSettings, resolve
from equigrad.federation.config.schema import RunConfig
from equigrad.federation.evidence import Appraisal, Evidence, History
from equigrad.federation.methods import METHODS
from equigrad.federation.methods.lines import appraise_body
from equigrad.federation.record.agreement import TOLERANCE, VerifyResult, fault, same, where
from equigrad.federation.record.canonical import decode_matrix, plain, sha256_file
from equigrad.federation.record.chain import Line, iter_record
from equigrad.federation.record.folder import RunFolder
from equigrad.federation.streams import numpy_stream
from equigrad.reward import REWARD_RULES, gamma_at

__all__ = ["VerifyResult", "verify"]

Float64 = npt.NDArray[np.float64]

_MEASURED = 1e-5
"""Relative agreement of sums over float32 vectors with what follows from the Gram matrix."""


def verify(folder: Path | str) -> VerifyResult:
    """Check a run folder and return what was checked.

    Raises
    ------
    RecordError
        If the folder is no run folder.
    VerificationError
        At the first thing that does not agree, naming line, field, recorded and recomputed value.
    """
    place = RunFolder.open(folder)
    config = restore_config(place.read_config())
    lines = iter_record(place.record)
    result = VerifyResult()
    start = next(lines, None)
    if start is None or start.stage != "start":
        raise VerificationError(f"{place.record}: expected a start line first, got none.")
    if start.body.get("config_sha256") != place.config_sha256():
        raise VerificationError(
            f"{place.config_json}: expected the configuration that the record began with, got "
            "another one; it was changed."
        )
    result.count("configuration")
    checker = _Checker(config, start, result)
    for line in _counted(start, lines, result):
        try:
            checker.take(line)
        except (KeyError, TypeError, ValueError, IndexError, RecordError) as error:
            if isinstance(error, VerificationError):
                raise
            text = f"{where(line)}: expected a line as a run writes it, got a malformed one"
            raise VerificationError(f"{text} ({type(error).__name__}: {error}).") from error
    checker.end()
    _check_models(place, checker.files, result)
    return result


def _counted(start: Line, lines: Iterator[Line], result: VerifyResult) -> Iterator[Line]:
    result.head = start.hash
    result.count("lines of the chain")
    for line in lines:
        result.head = line.hash
        result.count("lines of the chain")
        yield line


def _check_models(place: RunFolder, files: Mapping[str, str], result: VerifyResult) -> None:
    for name, digest in files.items():
        path = place.models / name
        found = sha256_file(path) if path.is_file() else "no such file"
        if found != digest:
            raise VerificationError(
                f"{path}: expected the model with SHA-256 {digest[:12]}..., got {found[:12]}."
            )
        result.count("models")


class _Checker:
    """Follows a record line by line."""

    def __init__(self, config: RunConfig, start: Line, result: VerifyResult) -> None:
        self.config = config
        self.result = result
        self.settings: CgsvSettings = resolve(config.rewards, config.audit, config.data.name)
        self.size = int(start.body["model"]["parameters"])
        self.layer_sizes = [int(n) for n in start.body["model"]["layer_sizes"]]
        self.files: dict[str, str] = {}
        self.history = History()
        self._gamma: float | None = None
        self._round = -1
        self._due = "announce"
        self._announced: Mapping[str, Any] = {}
        self._trained: Mapping[str, Any] = {}
        self._appraised: tuple[Evidence, Appraisal] | None = None
        self._energy: dict[str, float] = {}
        result.recomputed = METHODS[config.method].recomputable
        recorded, again = start.body["settings"], plain(self.settings.facts())
        known = {key: again.get(key) for key in recorded}  # a later version may know more
        same(start, "settings", recorded, known, result)

    def take(self, line: Line) -> None:
        """Check one line after the first."""
        if line.stage in ("standalone", "finish"):
            self._aside(line)
            return
        if line.stage != self._due and (self.result.recomputed or self._due == "announce"):
            raise fault(line, f"expected the stage {self._due!r} here")
        expected = self._round + 1 if line.stage == "announce" else self._round
        if line.round != expected:
            raise fault(line, f"expected round {expected}")
        getattr(self, f"_{line.stage}")(line)

    def end(self) -> None:
        """Check that the record stops where a run may stop."""
        if self._due != "announce":
            raise VerificationError(
                f"record.jsonl: expected a {self._due!r} line of round {self._round} at the end, "
                "got none; the run was stopped within a round (resume it), or lines are missing."
            )
        if self.result.finished and self._round + 1 != self.config.rounds:
            raise VerificationError(
                f"record.jsonl: expected {self.config.rounds} rounds, got {self._round + 1}."
            )

    def _aside(self, line: Line) -> None:
        if self._due != "announce" or self.result.finished:
            raise fault(line, "expected no such line here")
        if line.stage == "finish":
            self.result.finished = True
            self.files = dict(line.body["models"])

    def _announce(self, line: Line) -> None:
        if self.result.finished:
            raise fault(line, "expected nothing after the finish line")
        self._round += 1
        self._announced, self._due = line.body, "train"
        norms = line.body["gamma_norms"]
        if norms and self.settings.gamma == "auto" and self._gamma is None:
            positive = [n for n in norms.values() if n > 0]
            self._gamma = 2.0 * float(np.median(positive)) if positive else None
        elif isinstance(self.settings.gamma, float):
            self._gamma = self.settings.gamma
        if self.result.recomputed and self._gamma is not None:
            rounds, end = self.config.rounds, self.settings.gamma_end
            gamma = gamma_at(self._round, rounds, self._gamma, end)
            same(line, "gamma", line.body["gamma"], gamma, self.result)

    def _train(self, line: Line) -> None:
        members, body = self._announced["parties"], line.body
        quorum = body["quorum"]
        needed = max(1, math.ceil(self.config.round.quorum * len(members)))
        same(line, "quorum", quorum["needed"], needed, self.result)
        same(line, "quorum", quorum["answered"], len(body["parties"]), self.result)
        same(line, "quorum", quorum["void"], len(body["parties"]) < needed, self.result)
        heard = {*body["parties"], *body["absent"], *body["refused"]}
        same(line, "members", sorted(heard), sorted(members), self.result)
        self._trained = body
        self._due = "announce" if quorum["void"] else "appraise"

    def _appraise(self, line: Line) -> None:
        self._due = "reward"
        if not self.result.recomputed:
            return
        body = line.body
        evidence = self._evidence(line)
        generator = numpy_stream(self.config.seed, "permutations", round_=line.round or 0)
        appraisal, self.history = appraise(evidence, self.history, self.settings, generator)
        again = plain(appraise_body(evidence, appraisal, self.history))
        same(line, "fields", sorted(body), sorted(again), self.result)
        for key, value in again.items():
            if key in _EVIDENCE:
                continue
            same(line, _WORDS.get(key, key), body[key], value, self.result)
        self._appraised = evidence, appraisal

    def _evidence(self, line: Line) -> Evidence:
        body = line.body
        gram = decode_matrix(body["C"])
        if not np.array_equal(gram, gram.T):
            raise fault(line, "expected a symmetric Gram matrix C")
        norms = np.array(self._trained["norms"], dtype=np.float64)
        if not np.allclose(np.diagonal(gram), norms**2, rtol=_MEASURED, atol=1e-30):
            raise fault(line, "expected the squares of the uploads' norms on the diagonal of C")
        self.result.count("upload norms", len(norms))
        energy = np.array([0.0 if v is None else v for v in body["V"]], dtype=np.float64)
        known = [self._energy.get(party, 0.0) for party in body["parties"]]
        if not np.allclose(energy, known, rtol=_MEASURED, atol=1e-30):
            raise fault(line, "expected V to be the squared norms of the parties' last rewards")
        self.result.count("reward norms", len(known))
        return Evidence(
            round=self._round,
            members=tuple(self._announced["parties"]),
            parties=tuple(self._trained["parties"]),
            gram=gram,
            overlap=decode_matrix(body["H"]),
            reward_energy=energy,
            records=np.array(self._trained["records"], dtype=np.float64),
            gamma=self._announced["gamma"],
            n_params=self.size,
            noise=tuple(body["noise"] or ()),
        )

    def _reward(self, line: Line) -> None:
        self._due = "settle"
        if self._appraised is None:
            return
        evidence, appraisal = self._appraised
        body = line.body
        same(line, "members", body["parties"], list(evidence.parties), self.result)
        same(line, "reward shares", body["s"], appraisal.sharpened.tolist(), self.result)
        same(line, "reward ratios", body["q"], appraisal.ratios.tolist(), self.result)
        same(line, "mask", body["mask"], self.settings.mask, self.result)
        kept = np.array(body["kept"], dtype=np.int64).reshape(len(evidence.parties), -1)
        self._check_sizes(line, kept, appraisal.ratios)
        share = (kept.sum(axis=1) / self.size).tolist()
        same(line, "reward sizes", body["share"], share, self.result)
        self._remember(line, evidence, appraisal, kept)

    def _check_sizes(self, line: Line, kept: npt.NDArray[np.int64], ratios: Float64) -> None:
        rule = REWARD_RULES[self.settings.mask]
        if rule.verifiable:
            again = rule.counts_from_ratio(ratios, self.layer_sizes)
            same(line, "reward sizes", kept.tolist(), again.tolist(), self.result)
            return
        order = np.argsort(ratios, kind="stable")  # a larger ratio never keeps less
        if (np.diff(kept[order], axis=0) < 0).any() or kept[ratios == 0].any():
            raise fault(line, "expected kept entries that do not fall as the ratio grows")
        self.result.count("reward sizes (order only)", len(ratios))

    def _remember(
        self, line: Line, evidence: Evidence, appraisal: Appraisal, kept: npt.NDArray[np.int64]
    ) -> None:
        """Check the cosines against the ratios' order and keep the rewards' squared norms."""
        cosines = np.array(line.body["cos"], dtype=np.float64)
        order = np.argsort(kept.sum(axis=1), kind="stable")
        if ((cosines < -TOLERANCE) | (cosines > 1 + TOLERANCE)).any():
            raise fault(line, "expected cosines of rewards with the aggregate in [0, 1]")
        if kept.shape[1] == 1 and (np.diff(cosines[order]) < -TOLERANCE).any():
            raise fault(line, "expected cosines that do not fall as more is kept")
        factor = appraisal.weights * appraisal.caps
        total = float(factor @ evidence.gram @ factor)
        self._aggregate = max(total, 0.0)
        self.result.count("reward cosines", len(cosines))
        for party, cosine, entries in zip(evidence.parties, cosines, kept.sum(axis=1), strict=True):
            if entries and cosine > 0:
                self._energy[party] = float(cosine) ** 2 * self._aggregate

    def _settle(self, line: Line) -> None:
        self._due = "announce"
        self.result.rounds += 1
        if self._appraised is None:
            return
        norm = float(line.body["aggregate_norm"])
        if not math.isclose(norm**2, self._aggregate, rel_tol=1e-4, abs_tol=1e-12):
            raise fault(
                line, "expected the norm of the aggregate that weights and Gram matrix give"
            )
        self.result.count("aggregate norms")


_EVIDENCE = ("C", "H", "V", "noise")
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
