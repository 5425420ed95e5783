"""Fairness among parties: every preset and baseline on the same seeded splits.

MNIST under UNI, POW and CLA with 5, 10 and 20 parties of 600 records on average. The default is a
reduced setting that two cores can do: a tanh network 784-48-10, 40 rounds, 4,000 test records;
``--model cnn --rounds 200`` is the paper's size. ``--task cifar10`` (10,000 JPEG-compressed
training images, the paper's CNN, 15 rounds) and ``--task mr`` (movie reviews, a small text CNN, 10
rounds) are reduced further, and with fewer seeds. Interrupted runs go on where ``--work FILE``
ends.

All methods share split, initial model, batches and local training (three epochs a round on MNIST;
the five epochs of ShapFed's first round are left out). Training alone takes as many epochs.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from _common import Report, arguments, show
from _federation import Task, deal_split, finished, needs_data, play, run_jobs, work_of
from equigrad.fairness import (
    CorrelationSummary,
    PartyFairness,
    bootstrap_mean,
    fairness_among_parties,
    summarise,
)
from equigrad.federation.config.schema import ModelConfig, RewardsConfig, TrainingConfig
from equigrad.federation.streams import numpy_stream

METHODS = {
    "fedavg": ("fedavg", None),
    "shapfed": ("shapfed", None),
    "cffl": ("cffl", None),
    "rffl": ("rffl", None),
    "paper": ("cgsv", "paper"),
    "reference": ("cgsv", "reference"),
    "robust": ("cgsv", "robust"),
}

TASKS = {
    "mnist": Task(
        data="mnist",
        model=ModelConfig(factory="mlp", options={"hidden": [48], "activation": "tanh"}),
        training=TrainingConfig(lr=0.1, batch_size=32, epochs=3),
        rounds=40,
        per_party=600,
        test_records=4000,
    ),
    "cifar10": Task(
        data="cifar10",
        model=ModelConfig(factory="paper-cifar-cnn"),
        training=TrainingConfig(lr=0.05, batch_size=32, epochs=1),
        rounds=15,
        per_party=1000,
        test_records=2000,
    ),
    "mr": Task(
        data="movie_reviews",
        model=ModelConfig(factory="text-cnn", options={"embedding": 50, "kernels": 32}),
        training=TrainingConfig(optimizer="Adam", lr=1e-3, lr_decay=0.977, batch_size=128),
        rounds=10,
        per_party=1900,
        test_records=1000,
    ),
}
SEEDS = {"mnist": 5, "cifar10": 2, "mr": 3}
SPLITS = {"mnist": ("UNI", "POW", "CLA"), "cifar10": ("UNI", "POW", "CLA"), "mr": ("POW",)}
PARTIES = {"mnist": (5, 10, 20), "cifar10": (10,), "mr": (5,)}
CNN = {"mnist": "paper-mnist-cnn", "cifar10": "paper-cifar-cnn", "mr": "text-cnn"}


def play_job(
    task: str, model: str, rounds: int, split: str, n: int, seed: int, methods: Sequence[str]
) -> dict[str, Any]:
    """Play all methods on one seeded split; return accuracies by method and what they stood at."""
    setting = TASKS[task]
    if model == "cnn":
        setting = replace(setting, model=ModelConfig(factory=CNN[task]))
    setting = replace(setting, rounds=rounds)
    parties, test = deal_split(setting, split, n, seed)
    work = work_of(setting, parties, test, seed)
    alone = play(work, "fedavg", standalone=True, rounds=False)
    scores = {"standalone": [alone.standalone[p].score for p in alone.parties]}
    reputation, removed = {}, {}
    for name in methods:
        method, preset = METHODS[name]
        rewards = RewardsConfig.model_validate({"preset": preset}) if preset else None
        run = play(work, method, rewards=rewards)
        scores[name] = finished(run)
        last = run.rounds[-1]
        reputation[name] = [last.reputation.get(p) for p in run.parties]
        removed[name] = sum(party in last.excluded for party in run.parties)
    return {
        "split": split,
        "n": n,
        "seed": seed,
        "records": [len(spec.train) for spec in work.specs],
        "scores": scores,
        "reputation": reputation,
        "removed": removed,
    }


def points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def correlation(summary: CorrelationSummary) -> str:
    """Return a mean correlation with its interval; in brackets where all runs are saturated."""
    found = summary.interval
    if found.mean is None:
        return "undefined"
    text = f"{found.mean:.2f}"
    if found.low is not None and found.high is not None:
        text += f" [{found.low:.2f}, {found.high:.2f}]"
    elif summary.ok or summary.bracketed:
        text += f" (n={found.seeds})"
    if summary.bracketed:
        return f"({text})"
    return text + (f", {summary.saturated} sat." if summary.saturated else "")


def describe(
    key: tuple[str, int, str], found: Sequence[PartyFairness], removed: float
) -> dict[str, Any]:
    """Return one row of the table: one split, size and method over all seeds."""
    stream = numpy_stream(0, "bootstrap", party="/".join(map(str, key)))
    pearson = summarise([f.pearson for f in found], stream)
    spearman = summarise([f.spearman for f in found], stream)
    gain = bootstrap_mean([f.mean_gain for f in found], stream)
    return {
        "split": key[0],
        "N": key[1],
        "method": key[2],
        "seeds": len(found),
        "max": float(np.mean([f.max_accuracy for f in found])),
        "mean": float(np.mean([f.mean_accuracy for f in found])),
        "min": float(np.mean([f.min_accuracy for f in found])),
        "gain": gain.mean,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "gain_sd_parties": float(np.mean([f.sd_gain for f in found])),
        "worst_gain": float(min(f.gain.min() for f in found)),
        "share_gaining": float(np.mean([f.share_gaining for f in found])),
        "pearson": pearson.interval.mean,
        "pearson_text": correlation(pearson),
        "pearson_unsaturated": pearson.ok,
        "spearman": spearman.interval.mean,
        "spearman_text": correlation(spearman),
        "saturated": pearson.saturated,
        "removed": removed,
    }


def printed(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "split": row["split"],
        "N": row["N"],
        "method": row["method"],
        "mean": points(row["mean"]),
        "max": points(row["max"]),
        "min": points(row["min"]),
        "gain": f"{row['gain']:+.2f}",
        "worst gain": f"{row['worst_gain']:+.1f}",
        "gain >= 0": f"{row['share_gaining']:.0%}",
        "Pearson": row["pearson_text"] if row["method"] != "standalone" else "-",
        "Spearman": row["spearman_text"] if row["method"] != "standalone" else "-",
        "removed": f"{row['removed']:.1f}",
    }


def claims(report: Report, rows: Sequence[Mapping[str, Any]]) -> None:
    """Hold the robust preset against its targets, split by split."""
    by_key = {(row["split"], row["N"], row["method"]): row for row in rows}
    for split, n in sorted({(row["split"], row["N"]) for row in rows}):
        robust, fedavg = by_key[split, n, "robust"], by_key[split, n, "fedavg"]
        alone = by_key[split, n, "standalone"]
        better = 100 * (robust["mean"] - alone["mean"])
        report.claim(f"robust: points above standalone, {split} N={n}", better, 2.0, "higher")
        behind = 100 * (robust["mean"] - fedavg["mean"])
        report.claim(f"robust: points above FedAvg, {split} N={n}", behind, -1.0, "higher")
        if split == "POW":
            value = robust["pearson"] if robust["pearson_unsaturated"] else None
            report.claim(f"robust: mean Pearson, POW N={n}", value, 0.9, "higher")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--task", choices=list(TASKS), default="mnist")
    parser.add_argument("--model", choices=("mlp", "cnn"), default="mlp", help="cnn: the paper's")
    parser.add_argument("--rounds", type=int, help="rounds (default: the task's, 40 on MNIST)")
    parser.add_argument("--seeds", type=int, help="default: 5 on MNIST, 2 on CIFAR-10, 3 on MR")
    parser.add_argument("--parties", type=int, nargs="+")
    parser.add_argument("--splits", nargs="+", choices=("UNI", "POW", "CLA"))
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--work", type=Path, metavar="FILE", help="keep results, and go on there")
    options = parser.parse_args()
    task, rounds = options.task, options.rounds
    seeds = options.seeds or SEEDS[task]
    sizes = tuple(options.parties or PARTIES[task])
    if options.quick:
        rounds, seeds, sizes = rounds or 8, 1, sizes[:1]
        print("Quick: 1 seed, 8 rounds, the smallest number of parties; its numbers mean little.")
    rounds = rounds or TASKS[task].rounds
    needs_data(TASKS[task].data)
    jobs = [
        (task, options.model, rounds, split, n, seed, list(METHODS))
        for seed in range(seeds)
        for n in sizes
        for split in options.splits or SPLITS[task]
    ]
    fair: dict[tuple[str, int, str], list[PartyFairness]] = defaultdict(list)
    removed: dict[tuple[str, int, str], list[int]] = defaultdict(list)
    for result in run_jobs(jobs, play_job, store=options.work, workers=options.jobs):
        alone = result["scores"]["standalone"]
        print(f"{result['split']} N={result['n']} seed {result['seed']}: {result['seconds']:.0f} s")
        sys.stdout.flush()
        for method, scores in result["scores"].items():
            key = (result["split"], result["n"], method)
            fair[key].append(fairness_among_parties(alone, scores))
            removed[key].append(result["removed"].get(method, 0))
    report = Report(f"Fairness among parties, {task}, {options.model}, {rounds} rounds")
    order = ["standalone", *METHODS]
    keys = sorted(fair, key=lambda k: (k[0], k[1], order.index(k[2])))
    for key in keys:
        report.row(**describe(key, fair[key], float(np.mean(removed[key]))))
    show(report.title, [printed(row) for row in report.rows])
    claims(report, report.rows)
    report.finish(options.json)


if __name__ == "__main__":
    main()
