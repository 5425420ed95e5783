"""Attacks on the fair rewards: honest parties should end above attackers, and be left alone.

MNIST, seven honest parties (UNI, POW, CLA; 600 records on average) and three attackers of one kind
with 600 uniform records each; a tanh network 784-48-10, 30 rounds. By kind of attack and preset:
in how many runs every honest party's final reputation is above every attacker's (who is excluded
at the end has none), where the attackers rank, what the audits find and when, and how many
party-rounds honest parties were flagged. RFFL's list of attacks is tried on the presets robust and
paper only. All-honest runs count false alarms, also on small digits
with steps so small that honest uploads look like echoes. Interrupted runs go on where
``--work FILE`` ends.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from _common import Report, arguments, show
from _federation import SPLITS as RULES
from _federation import Task, Work, finished, needs_data, play, pools, run_jobs, work_of
from equigrad.data import divide, label_noise, rule
from equigrad.federation.config.schema import (
    AuditConfig,
    ModelConfig,
    RewardsConfig,
    TrainingConfig,
)
from equigrad.federation.report.reading import Run
from equigrad.federation.streams import numpy_stream

HONEST, ATTACKERS = 7, 3

MNIST = Task(
    data="mnist",
    model=ModelConfig(factory="mlp", options={"hidden": [48], "activation": "tanh"}),
    training=TrainingConfig(lr=0.1, batch_size=32, epochs=3),
    rounds=30,
    per_party=600,
    test_records=2000,
)
DIGITS = Task(
    data="digits",
    model=ModelConfig(factory="mlp"),
    training=TrainingConfig(lr=0.1, batch_size=16, epochs=2),
    rounds=30,
    per_party=175,
    test_records=350,
)

TARGETED = ("random", "echo", "noisy-echo", "clones", "sign-flip", "label-noise")
RFFL_LIST = ("label-flip", "rescale", "invert", "random-sign", "uniform")
KINDS = (*TARGETED, "replay", *RFFL_LIST)
PRESETS = {
    "robust": ("robust", "exclude"),
    "robust, no audits": ("robust", "flag"),
    "paper": ("paper", "flag"),
    "reference": ("reference", "flag"),
}
LISTED = ("robust", "paper")
"""The presets that RFFL's list is tried on, besides the other kinds."""


@cache
def attacked(split: str, seed: int, *, noisy: bool, rounds: int) -> Work:
    """Return seven honest parties and three more with 600 uniform records, all of them honest."""
    task = replace(MNIST, rounds=rounds)
    spare = ATTACKERS * task.per_party
    (theirs, pool, rest), test = pools(task, seed, spare, HONEST * task.per_party)
    options: dict[str, Any] = {}
    if split == "CLA":  # draws from all records that are left
        pool, options = rest, {"pool": HONEST * task.per_party}
    stream = numpy_stream(seed, "partition")
    honest = divide(pool, rule(RULES[split], n_parties=HONEST, **options), stream).parties
    others = divide(theirs, rule("uniform", n_parties=ATTACKERS), stream).parties
    parties = {f"honest-{i + 1}": data for i, data in enumerate(honest.values())}
    for i, data in enumerate(others.values()):
        name = f"attacker-{i + 1}"
        shuffled = label_noise(data, 0.9, numpy_stream(seed, "label noise", party=name))
        parties[name] = shuffled if noisy else data
    return work_of(task, parties, test, seed)


@cache
def all_honest(data: str, split: str, seed: int, rounds: int) -> Work:
    """Return honest parties only: ten on MNIST, eight on digits."""
    task = replace(DIGITS if data == "digits" else MNIST, rounds=rounds)
    n = 8 if data == "digits" else HONEST + ATTACKERS
    (pool, rest), test = pools(task, seed, n * task.per_party)
    options: dict[str, Any] = {}
    if split == "CLA":
        pool, options = rest, {"pool": n * task.per_party}
    dealer = rule(RULES[split], n_parties=n, **options)
    parties = divide(pool, dealer, numpy_stream(seed, "partition")).parties
    named = {f"honest-{i + 1}": records for i, records in enumerate(parties.values())}
    return work_of(task, named, test, seed)


def behaving(work: Work, kind: str) -> Work:
    """Return the work with the attackers behaving like ``kind``."""
    if kind == "label-noise":  # honest work on spoiled records
        return work
    specs = tuple(
        replace(spec, behaviour=kind) if spec.name.startswith("attacker") else spec
        for spec in work.specs
    )
    return replace(work, specs=specs)


def play_job(
    what: str, split: str, seed: int, kind: str, preset: str, rounds: int
) -> dict[str, Any]:
    """Play one run and return what became of honest parties and attackers."""
    if what == "attack":
        work = behaving(attacked(split, seed, noisy=kind == "label-noise", rounds=rounds), kind)
    else:
        work = all_honest(kind, split, seed, rounds)
    name, action = PRESETS[preset]
    rewards = RewardsConfig.model_validate({"preset": name})
    run = play(work, "cgsv", rewards=rewards, audit=AuditConfig.model_validate({"action": action}))
    key = {"what": what, "split": split, "seed": seed, "kind": kind, "preset": preset}
    return {**key, "rounds": rounds, **outcome(run)}


def outcome(run: Run) -> dict[str, Any]:
    """Return ranks, detections and false alarms of one run."""
    last, parties = run.rounds[-1], run.parties
    r = {p: 0.0 if p in last.excluded else last.reputation[p] for p in parties}
    attackers = [p for p in parties if p.startswith("attacker")]
    honest = [p for p in parties if p not in attackers]
    ranking = sorted(parties, key=lambda p: (-r[p], p in honest))  # a tie counts for the attacker
    flagged = [{flag["party"]: flag["kind"] for flag in t.flags} for t in run.rounds]
    first = {p: next(((i, t[p]) for i, t in enumerate(flagged) if p in t), None) for p in attackers}
    scores = dict(zip(parties, finished(run), strict=True))
    return {
        "r_honest": [r[p] for p in honest],
        "r_attackers": [r[p] for p in attackers],
        "q_attackers": [last.ratio.get(p, 0.0) for p in attackers],
        "ranks": [ranking.index(p) + 1 for p in attackers],
        "found": {p: list(hit) for p, hit in first.items() if hit is not None},
        "flagged_honest": sum(p in t for t in flagged for p in honest),
        "excluded_honest": sum(p in t.excluded for t in run.rounds for p in honest),
        "party_rounds": len(run.rounds) * len(honest),
        "ever_flagged_honest": sum(any(p in t for t in flagged) for p in honest),
        "score_honest": float(np.mean([scores[p] for p in honest])),
        "score_attackers": float(np.mean([scores[p] for p in attackers])) if attackers else None,
    }


def separated(result: Mapping[str, Any]) -> bool:
    """Whether every honest party's final reputation is above every attacker's."""
    return min(result["r_honest"]) > max(result["r_attackers"])


def row_of(key: tuple[str, str, str], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one row: one kind of attack under one preset, on one split or on all."""
    found = [run["found"] for run in runs]
    firsts = [hit[0] for hits in found for hit in hits.values()]
    kinds = sorted({hit[1] for hits in found for hit in hits.values()})
    rounds = sum(run["party_rounds"] for run in runs)
    return {
        "part": "attacks",
        "attack": key[0],
        "preset": key[1],
        "split": key[2],
        "runs": len(runs),
        "separated": sum(separated(run) for run in runs),
        "r attackers": float(np.max([run["r_attackers"] for run in runs])),
        "r honest": float(np.min([min(run["r_honest"]) for run in runs])),
        "mean rank": float(np.mean([run["ranks"] for run in runs])),
        "best rank": int(np.min([run["ranks"] for run in runs])),
        "found": sum(len(hits) for hits in found) / (ATTACKERS * len(runs)),
        "first round": float(np.median(firsts)) if firsts else None,
        "latest": max(firsts, default=None),
        "as": " ".join(kinds) or "-",
        "false exclusions": sum(run["excluded_honest"] for run in runs) / rounds,
        "false flags": sum(run["flagged_honest"] for run in runs) / rounds,
        "score honest": float(np.mean([run["score_honest"] for run in runs])),
        "score attackers": float(np.mean([run["score_attackers"] for run in runs])),
    }


def honest_row(key: tuple[str, str, str], runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one row on all-honest runs of one data set and split under one preset."""
    rounds = sum(run["party_rounds"] for run in runs)
    return {
        "part": "honest",
        "data": key[0],
        "split": key[1],
        "preset": key[2],
        "runs": len(runs),
        "party-rounds": rounds,
        "flagged": sum(run["flagged_honest"] for run in runs),
        "excluded": sum(run["excluded_honest"] for run in runs),
        "parties ever flagged": sum(run["ever_flagged_honest"] for run in runs),
    }


def printed(row: Mapping[str, Any]) -> dict[str, Any]:
    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    return {
        "attack": row["attack"],
        "preset": row["preset"],
        "honest on top": f"{row['separated']}/{row['runs']}",
        "r attackers": number(row["r attackers"], ".4f"),
        "r honest": number(row["r honest"], ".4f"),
        "rank": number(row["mean rank"], ".1f"),
        "best": row["best rank"],
        "found": number(row["found"], ".0%"),
        "round": number(row["first round"], "g"),
        "latest": number(row["latest"], "g"),
        "as": row["as"],
        "false excl.": number(row["false exclusions"], ".2%"),
        "score honest": number(row["score honest"], ".3f"),
        "attackers": number(row["score attackers"], ".3f"),
    }


def claims(report: Report, results: Sequence[Mapping[str, Any]]) -> None:
    """Hold the robust preset with its audits against the targets."""
    robust = [r for r in results if r["preset"] == "robust"]
    for kind in TARGETED:
        runs = [r for r in robust if r["what"] == "attack" and r["kind"] == kind]
        if runs:
            share = sum(separated(r) for r in runs) / len(runs)
            report.claim(f"robust: runs with honest parties on top, {kind}", share, 0.95, "higher")
    for what, label in (("attack", "under attack"), ("honest", "all honest")):
        for data in ("mnist", "digits"):
            runs = [
                r
                for r in robust
                if r["what"] == what and (r["kind"] == "digits") == (data == "digits")
            ]
            rounds = sum(r["party_rounds"] for r in runs)
            if rounds:
                share = sum(r["excluded_honest"] for r in runs) / rounds
                name = f"robust: honest party-rounds excluded, {label}, {data}"
                report.claim(name, share, 0.01, "lower")


def jobs_of(options: Any, splits: Sequence[str], seeds: int, rounds: int) -> list[tuple[Any, ...]]:
    """Return all jobs, the most telling first, so that an interrupted run is of use."""
    jobs: list[tuple[Any, ...]] = []
    for preset in options.presets:
        if preset.startswith("robust"):
            jobs += [
                ("honest", split, seed, data, preset, rounds)
                for data in ("digits", "mnist")
                for split in splits
                for seed in range(seeds)
                if (data, split) != ("digits", "CLA")
            ]
        jobs += [
            ("attack", split, seed, kind, preset, rounds)
            for kind in options.kinds
            if kind not in RFFL_LIST or preset in LISTED
            for seed in range(seeds)
            for split in splits
        ]
    return jobs


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS))
    parser.add_argument("--splits", nargs="+", choices=list(RULES), default=list(RULES))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--work", type=Path, metavar="FILE", help="keep results, and go on there")
    options = parser.parse_args()
    rounds, seeds, splits = options.rounds or MNIST.rounds, options.seeds, options.splits
    if options.quick:
        rounds, seeds, splits = options.rounds or 8, 1, ["POW"]
        options.kinds = [kind for kind in options.kinds if kind in TARGETED]
        options.presets = ["robust", "paper"]
        print("Quick: 1 seed, 8 rounds, POW, two presets; its numbers mean little.")
    needs_data("MNIST")
    jobs = jobs_of(options, splits, seeds, rounds)
    results = []
    for result in run_jobs(jobs, play_job, store=options.work, workers=options.jobs):
        results.append(result)
        print(f"{len(results)}/{len(jobs)} {result['kind']}, {result['preset']}", file=sys.stderr)
    finish(options, results, rounds)


def finish(options: Any, results: Sequence[Mapping[str, Any]], rounds: int) -> None:
    """Print tables and claims, write the JSON."""
    report = Report(f"Attacks on the fair rewards, {rounds} rounds")
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    honest: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for result in results:
        if result["what"] == "attack":
            groups[result["kind"], result["preset"], "all"].append(result)
            groups[result["kind"], result["preset"], result["split"]].append(result)
        else:
            honest[result["kind"], result["split"], result["preset"]].append(result)
    for kind in KINDS:
        for preset in PRESETS:
            for split in ("all", *RULES):
                if (kind, preset, split) in groups:
                    report.row(**row_of((kind, preset, split), groups[kind, preset, split]))
    show(report.title, [printed(row) for row in report.rows if row["split"] == "all"])
    alarms = [report.row(**honest_row(key, honest[key])) for key in sorted(honest)]
    show("False alarms on honest parties", alarms)
    claims(report, results)
    report.finish(options.json)


if __name__ == "__main__":
    main()
