"""Synthetic records: true to the schema, quick to make, of any size and with any trouble in them.

Nothing is trained; the numbers only look like a run's. Used by the tests of the report.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from equigrad.federation.record.canonical import encode_matrix, plain
from equigrad.federation.record.chain import RecordWriter
from equigrad.federation.record.folder import RunFolder

Lines = Iterator[tuple[str, int | None, dict[str, Any]]]

CONFIG = {
    "kind": "horizontal",
    "name": "consortium",
    "seed": 7,
    "method": "cgsv",
    "rounds": 12,
    "data": {"name": "digits", "path": None, "test_fraction": 0.2, "options": {}},
    "model": {"factory": "mlp", "options": {"hidden": [32]}},
    "training": {"optimizer": "SGD", "lr": 0.1, "epochs": 3},
    "party": [{"name": "echo-ltd", "behaviour": "echo"}],
}

D = 2410


def names(count: int) -> list[str]:
    known = [
        "st-mary",
        "north-clinic",
        "harbour",
        "echo-ltd",
        "old-town",
        "lakeside",
        "<b>hill</b>",
    ]
    return (known + [f"party-{i:03d}" for i in range(count)])[:count]


def lines(**options: Any) -> Lines:
    """Yield the lines of :func:`_lines` as a record would give them back."""
    for stage, round_, body in _lines(**options):
        yield stage, round_, plain(body)


def _lines(
    count: int = 7,
    rounds: int = 12,
    *,
    regression: bool = False,
    sampled: bool = False,
    trouble: bool = True,
    finished: bool = True,
    standalone: bool = True,
    every: int = 1,
    baseline: bool = False,
    seed: int = 1,
) -> Lines:
    """Yield the lines of one run; ``trouble`` adds an echo, absences, a refusal, a void round."""
    chance = np.random.default_rng(seed)
    parties = names(count)
    strength = np.sort(chance.uniform(0.2, 1.0, count))
    echo = 3 if trouble and count > 3 else -1
    behaviours = ["echo" if i == echo else "honest" for i in range(count)]
    yield "start", None, _start(parties, strength, behaviours, regression, baseline)
    alone = 0.6 + 0.25 * strength
    if standalone:
        yield "standalone", None, {"parties": parties, "metrics": _metrics(alone)}
    reputation = np.full(count, 1 / count)
    score = np.full(count, 0.1)
    for t in range(rounds):
        void = trouble and t == 5 and count > 2
        away = {parties[1]: "timeout"} if trouble and t in (2, 3) and count > 2 else {}
        refused: dict[str, list[str]] = {}
        if trouble and t == 4 and count > 2:
            refused = {parties[2]: ["non-finite", f"Party {parties[2]!r}: NaN <script>"]}
        if void:
            away = dict.fromkeys(parties[1:], "crashed")
        here = [i for i, p in enumerate(parties) if p not in away and p not in refused]
        yield "announce", t, _announce(parties, t, leaves=trouble and t == 7)
        measured = _metrics(score[here]) if t % every == 0 else [None] * len(here)
        yield "train", t, _train(parties, here, measured, away, refused, void)
        if void:
            continue
        C = _gram(chance, strength[here])
        values = strength[here] * (1 + 0.1 * chance.normal(size=len(here)))
        values /= values.sum()
        fresh = np.zeros(count)
        fresh[here] = values
        reputation = 0.8 * reputation + 0.2 * fresh
        flagged = echo in here and t >= 2
        excluded = [parties[echo]] if flagged else []
        r = np.where(np.arange(count) == echo, 0.0, reputation) if flagged else reputation
        r = r / r.sum()
        q = r[here] / r[here].max()
        kept = np.floor(D * q).astype(int)
        if baseline:
            yield "appraise", t, {"parties": [parties[i] for i in here], "weights": values}
        else:
            flags = [_flag(parties[echo], t)] if flagged else []
            rule = "cgsv-sampled" if sampled else "cgsv-exact"
            half = np.full(len(here), 0.04 / count) if sampled else None
            yield (
                "appraise",
                t,
                {
                    "parties": [parties[i] for i in here],
                    "gamma": 1.5 * 0.9**t,
                    "caps": np.ones(len(here)),
                    "C": encode_matrix(C),
                    "H": encode_matrix(0.5 * C),
                    "V": [None] * len(here),
                    "rule": rule,
                    "permutations": 20_000 if sampled else None,
                    "half_width": half,
                    "converged": not sampled,
                    "values": values,
                    "kappa": 0.5,
                    "noise": None,
                    "trust": None,
                    "flags": flags,
                    "audit": {"not_testable": {"news": [parties[0]]}},
                    "excluded": excluded,
                    "members": parties,
                    "A": r,
                    "B": r,
                    "r": r,
                },
            )
            yield (
                "reward",
                t,
                {
                    "parties": [parties[i] for i in here],
                    "q": q,
                    "kept": [[int(k)] for k in kept],
                    "mask": "flat",
                    "cos": np.sqrt(q),
                    "share": kept / D,
                    "digests": [None if k == 0 else "0" * 64 for k in kept],
                },
            )
        drift = {p: 0.01 * (i + 1) for i, p in enumerate(parties)}
        yield "settle", t, {"aggregate_norm": 1.0, "drift": drift, "drift_exact": True}
        target = 0.75 + 0.2 * (r / r.max())
        score = score + 0.3 * (target - score)
    if finished:
        final = {
            "parties": parties,
            "metrics": _metrics(score),
            "coordinator": {"score": float(score.max()), "loss": 0.2},
        }
        yield "finish", None, final


def write(path: Path, **options: Any) -> RunFolder:
    """Write a run folder with a synthetic record in it."""
    folder = RunFolder.create(path, 'name = "consortium"\n', CONFIG)
    with RecordWriter(folder.record) as writer:
        for stage, round_, body in lines(**options):
            if stage == "start":
                body["config_sha256"] = folder.config_sha256()
            writer.append(stage, round_, body)
    return folder


def _start(
    parties: list[str], strength: np.ndarray, behaviours: list[str], regression: bool, base: bool
) -> dict[str, Any]:
    task = "regression" if regression else "classification"
    return {
        "schema": "equigrad-record-1",
        "equigrad": "0.1.0",
        "method": "fedavg" if base else "cgsv",
        "parties": parties,
        "records": (1000 * strength).astype(int),
        "classes": None if regression else [10] * len(parties),
        "label_entropy": None if regression else [2.2] * len(parties),
        "behaviours": behaviours,
        "data": {"name": "digits", "train": 1437, "test": 360, "classes": 10, "task": task},
        "model": {"factory": "mlp", "parameters": D, "layer_sizes": [D], "names": ["w"]},
        "settings": {} if base else {"preset": "robust", "beta": "inf", "audit_action": "exclude"},
        "seed": 7,
    }


def _metrics(scores: np.ndarray) -> list[dict[str, float] | None]:
    return [{"score": float(s), "loss": float(1 - s), "records": 360} for s in scores]


def _announce(parties: list[str], t: int, *, leaves: bool) -> dict[str, Any]:
    left = ["gone-away"] if leaves else []
    return {"parties": parties, "gamma": 1.5 * 0.9**t, "joined": [], "left": left}


def _train(
    parties: list[str],
    here: list[int],
    measured: list[dict[str, float] | None],
    away: dict[str, str],
    refused: dict[str, list[str]],
    void: bool,
) -> dict[str, Any]:
    return {
        "parties": [parties[i] for i in here],
        "uploads": ["0" * 64] * len(here),
        "norms": [1.0] * len(here),
        "records": [100] * len(here),
        "metrics": measured,
        "absent": away,
        "refused": refused,
        "quorum": {"needed": 2, "answered": len(here), "void": void},
    }


def _flag(party: str, t: int) -> dict[str, Any]:
    statistics = {"echo": 0.993, "clone": 0.21, "alignment": 0.62, "news": 0.004, "streak": t}
    return {"party": party, "kind": "echo", "since": 2, "last_hit": t} | statistics


def _gram(chance: np.random.Generator, strength: np.ndarray) -> np.ndarray:
    shared = chance.normal(size=64)
    uploads = strength[:, None] * shared + 0.7 * chance.normal(size=(len(strength), 64))
    return uploads @ uploads.T / 64
