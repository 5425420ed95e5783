"""Synthetic records of vertical runs: true to the schema, quick to make, with any trouble in them.

Nothing is trained; the numbers only look like a run's. Used by the tests of the report.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from equigrad.federation.record.canonical import plain
from equigrad.federation.record.chain import RecordWriter
from equigrad.federation.record.folder import RunFolder

Lines = Iterator[tuple[str, int | None, dict[str, Any]]]

CONFIG = {
    "kind": "vertical",
    "name": "shopping",
    "seed": 3,
    "vertical": {"task": "classification", "n_rounds": 8},
    "party": [{"name": "bank", "role": "sponsor", "data": "bank.csv"}],
}


def names(count: int) -> list[str]:
    known = ["bank", "shop", "<b>phone</b>", "registry"]
    return (known + [f"party-{i:03d}" for i in range(count)])[:count]


def lines(
    count: int = 4,
    rounds: int = 6,
    *,
    trouble: bool = True,
    finished: bool = True,
    refit: bool = False,
    mechanism: str = "none",
    method: str = "hmac",
) -> Lines:
    """Yield the lines of one run; ``trouble`` adds an absence, a refusal, a round asked twice."""
    parties = names(count)
    n_rows = 400
    common = {name: n_rows - 30 * m for m, name in enumerate(parties)}
    yield "start", None, _start(parties, mechanism)
    yield (
        "align",
        None,
        {
            "method": method,
            "n_rows": n_rows,
            "common": common,
            "masks": dict.fromkeys(parties, "0" * 64),
            "sent": dict.fromkeys(parties, 32 * n_rows),
            "received": dict.fromkeys(parties, n_rows),
        },
    )
    losses = 0.7 * 0.8 ** np.arange(rounds + 1)
    private = mechanism != "none"
    index = 0
    for pass_ in range(2 if refit else 1):
        for t in range(1, rounds + 1):
            yield from _exchanges(parties, common, pass_, t, index, trouble)
            w = np.linspace(1.0, 2.0, count) ** (t % 3 + 1)
            w[1] *= not (trouble and t == 2)
            yield "weigh", index, {
                "pass": pass_, "t": t, "rule": "l2", "n": 160.0, "w": w / w.sum(),
            }  # fmt: skip
            yield "step", index, {
                "pass": pass_,
                "t": t,
                "eta": 300.0 if trouble and t == rounds else 2.0 * t,
                "capped": bool(trouble and t == rounds),
                "loss_before": None if private and t == 1 else losses[t - 1],
                "loss": losses[t],
                "weigh_loss": None if private else losses[t] * 1.1,
                "validation_loss": None if private or pass_ else losses[t] * 1.2,
            }  # fmt: skip
            index += 1
    if finished:
        yield "finish", None, _finish(parties, rounds, refit, private)


def _start(parties: list[str], mechanism: str) -> dict[str, Any]:
    privacy: dict[str, Any] = {"mechanism": mechanism}
    if mechanism != "none":
        privacy |= {"release": "once", "epsilon": 2.0, "mark": None}
    return {
        "schema": "equigrad-record-1",
        "kind": "vertical",
        "name": "shopping",
        "config_sha256": "0" * 64,
        "versions": {"equigrad": "0.1.0"},
        "parties": parties,
        "roles": ["sponsor"] + ["assistor"] * (len(parties) - 1),
        "learners": ["ridge"] * len(parties),
        "task": "classification",
        "loss": "ce",
        "n_outputs": 2,
        "classes": 2,
        "settings": {"weigh_on": "holdout", "n_rounds": 8},
        "privacy": privacy,
    }


def _exchanges(
    parties: list[str], common: dict[str, int], pass_: int, t: int, index: int, trouble: bool
) -> Lines:
    twice = trouble and t == 4 and len(parties) > 2
    absent: dict[str, str] = {}
    refused: dict[str, str] = {}
    if trouble and t == 2:
        absent = {parties[1]: "deadline"}
    if trouble and t == 3 and len(parties) > 2:
        refused = {parties[2]: "NaN <script>alert(1)</script>"}
    away = {parties[1]: "raised"} if twice else {}
    asked = parties
    for attempt in range(2 if twice else 1):
        missing = {**(away if attempt == 0 else {}), **absent}
        answered = [p for p in asked if p not in missing and p not in refused]
        yield (
            "residual",
            index,
            {
                "pass": pass_,
                "t": t,
                "attempt": attempt,
                "sha256": "0" * 64,
                "to": asked,
                "rows": [common[p] // 2 for p in asked],
                "bytes": [16 * (common[p] // 2) + 200 for p in asked],
                "event": None,
                "joined": [parties[-1]] if trouble and index == 1 and len(parties) > 3 else [],
                "left": [],
            },
        )
        yield (
            "fit",
            index,
            {
                "pass": pass_,
                "answered": answered,
                "bytes": {p: 16 * common[p] + 150 for p in (*answered, *refused)},
                "absent": missing,
                "late": [],
                "refused": refused,
            },
        )
        asked = list(away)


def _finish(parties: list[str], rounds: int, refit: bool, private: bool) -> dict[str, Any]:
    count = len(parties)
    share = np.linspace(0.3, -0.01, count)
    told = {
        "assistance": np.full(count, 1 / count),
        "loss_share": share,
        "cosine": np.full((rounds, count), 0.5),
        "shapley": share * 0.9,
        "rows": "validation",
    }
    events = {"events": [], "pure_epsilon": 2.0, "epsilon": 1.9, "delta": 1e-5, "mark": None}
    return {
        "pass": int(refit),
        "rounds": rounds,
        "reason": "validation",
        "refitted": refit,
        "contributions": None if private else told,
        "participants": parties,
        "traffic": {
            "sent": {},
            "received": {},
            "total": 123_456,
            "split_learning": 9_876_543,
            "split_formula": "2 * epochs * width * bytes * rows held by the assistors",
            "split_assumptions": {"epochs": 10, "width": 32, "bytes": 4},
        },
        "privacy": events if private else None,
    }


def write(path: Path, **options: Any) -> RunFolder:
    """Write a run folder with the record of :func:`lines` in it."""
    place = RunFolder.create(path, "", CONFIG)
    with RecordWriter(place.record) as record:
        for stage, round_, body in lines(**options):
            told = plain(body)
            if stage == "start":
                told["config_sha256"] = place.config_sha256()
            record.append(stage, round_, told)
    return place
