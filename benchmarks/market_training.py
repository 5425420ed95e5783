"""What a bought model is worth: accuracy after 100 rounds, by auction, aggregation and budget.

1,000 parties, 100 rounds of 10 invited (each sells once), caps U[0.5, 2], linear softmax models
from zero, one full-batch gradient of each party, protected by the library's local mechanisms. Rules
of buying: the clock and the truthful All-in at budgets of 0.2 to 2 times what all caps cost; in
full information the largest common epsilon; all caps. The limit is federated averaging without
privacy. Learning rate and clip are chosen for every arm on the same grid, by the validation part,
on markets of other seeds than those reported. More tables measure what may help: iterate averaging
(in every table), more parties a round, fewer parameters by a public random projection, more parties
altogether, caps of four times the epsilon.

Run: ``EQUIGRAD_DATA=... OMP_NUM_THREADS=1 python benchmarks/market_training.py [--json FILE]``
"""

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from _common import Report, arguments
from _market_awards import Awards, Setting, clear_rounds, weights_of
from _market_fit import Arms, fit, scores
from _market_noise import MECHANISMS, check, unit
from _market_sets import PARTITIONS, READERS, Task, deal, projected, task
from _market_tables import print_plan
from equigrad.errors import EquigradError
from equigrad.market import Ladder

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

EPS_MAX, STEPS_OF_LADDER = 2.0, 32
RATES = (0.2, 0.5, 1.0, 2.0)
AGGREGATORS = ("opt-aggr", "conventional", "inverse-variance")
STEPS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
CLIPS = (0.1, 0.3, 1.0, 3.0)
TUNING_SEEDS = 1_000  # the first seed of the markets on which steps and clips are chosen
COLUMNS = 16
ITERATES = ("last", "averaged")
EVERY_CAP = Setting("all-caps", 1.0)


@dataclass(frozen=True)
class Plan:
    """What is bought and trained in one table."""

    name: str
    partition: str
    settings: tuple[Setting, ...]
    parties: int = 1_000
    invited: int = 10
    columns: int = 0
    caps: float = 1.0  # times the caps and the ladder
    mechanisms: tuple[str, ...] = ("laplace", "l2-sphere")
    aggregators: tuple[str, ...] = AGGREGATORS
    steps: tuple[float, ...] = STEPS
    clips: tuple[float, ...] = CLIPS


@dataclass(frozen=True, eq=False)
class Market:
    """One seed's parties in rounds, and what each setting buys of them."""

    rounds: list[list[Int64]]
    sizes: Int64
    awards: list[Awards]


def market(found: Task, plan: Plan, seed: int) -> Market:
    """Deal the records, invite every party once, clear every round."""
    dealt, drawn = deal(
        found.train[1], plan.parties, plan.partition, np.random.default_rng([seed, 0])
    )
    profiles = replace(drawn, caps=plan.caps * drawn.caps)
    ladder = Ladder(plan.caps * EPS_MAX, STEPS_OF_LADDER)
    order = np.random.default_rng([seed, 1]).permutation(plan.parties).reshape(-1, plan.invited)
    order.sort(axis=1)
    awards = clear_rounds(profiles, order, plan.settings, ladder)
    rounds = [[dealt[i] for i in row] for row in order.tolist()]
    return Market(rounds, profiles.sizes[0][order], awards)


def bought(
    made: Market, mechanism: str, aggregators: Sequence[str], dim: int
) -> tuple[Float64, Float64]:
    """Return epsilons and weights of every setting with every aggregator, ``(A, T, invited)``."""
    eps, weights = [], []
    for award in made.awards:
        precision = unit(mechanism, dim).precision(award.eps)
        for aggregator in aggregators:
            eps.append(award.eps)
            weights.append(weights_of(aggregator, made.sizes, precision))
    return np.array(eps), np.array(weights)


def federated(made: Market) -> tuple[Float64, Float64]:
    """Return what federated averaging without privacy takes: everybody, by size."""
    weights = made.sizes / made.sizes.sum(axis=1, keepdims=True)
    return np.zeros((1, *weights.shape)), weights[None]


def inputs(made: Market, mechanism: str, plan: Plan, dim: int) -> tuple[Float64, Float64]:
    """Return epsilons and weights of a mechanism's arms."""
    if mechanism.startswith(("none", "fedavg")):
        return federated(made)
    return bought(made, mechanism, plan.aggregators, dim)


def trained(
    found: Task,
    made: Market,
    mechanism: str,
    arms: tuple[Float64, Float64],
    step: Float64,
    clip: Float64,
    seed: int,
) -> tuple[Any, Any]:
    """Train arm by arm settings ``(A, G)`` of step and clip; models in the order of ``(A, G)``."""
    eps, weights = arms
    each = step.shape[1]
    kind = "none-l2" if mechanism == "fedavg" else mechanism
    flat = Arms(
        kind, np.repeat(eps, each, 0), np.repeat(weights, each, 0), step.ravel(), clip.ravel()
    )
    return fit(found, made.rounds, flat, np.random.default_rng([seed, 2]))


def choose(
    found: Task, plan: Plan, mechanism: str, made: dict[int, Market]
) -> tuple[Float64, Float64, Float64]:
    """Return step, clip and validation score of each arm for both iterates, ``(A, 2)``."""
    clips = (np.inf,) if mechanism == "fedavg" else plan.clips
    grid = np.array([(step, clip) for step in plan.steps for clip in clips])
    total: Float64 | float = 0.0
    for seed, one in made.items():
        arms = inputs(one, mechanism, plan, found.dim)
        step, clip = (np.tile(column, (len(arms[0]), 1)) for column in grid.T)
        both = trained(found, one, mechanism, arms, step, clip, seed)
        judged = [scores(found.validation, models, found.classes) for models in both]
        kept = [one.balanced if found.balanced else one.accuracy for one in judged]
        total = total + np.array(kept).reshape(2, len(arms[0]), len(grid)) / len(made)
    best = np.asarray(total).argmax(axis=2)  # (2, A)
    value = np.asarray(total).max(axis=2)
    return grid[best, 0].T, grid[best, 1].T, value.T


def labels_of(plan: Plan, mechanism: str) -> list[tuple[Setting, str]]:
    """Return setting and aggregator of each arm."""
    if mechanism.startswith(("none", "fedavg")):
        return [(Setting("everybody", 1.0), "conventional")]
    return [(setting, name) for setting in plan.settings for name in plan.aggregators]


def measure(found: Task, plan: Plan, seeds: int, tuning: int) -> list[dict[str, Any]]:
    """Return a row for every arm of a plan and each of its two iterates."""
    rows: list[dict[str, Any]] = []
    used = projected(found, plan.columns) if plan.columns else found
    chosen_on = {s: market(used, plan, s) for s in range(TUNING_SEEDS, TUNING_SEEDS + tuning)}
    tested_on = {s: market(used, plan, s) for s in range(seeds)}
    for mechanism in ("fedavg", "none-l1", "none-l2", *plan.mechanisms):
        start = time.process_time()
        step, clip, value = choose(used, plan, mechanism, chosen_on)
        accuracy, balanced = [], []
        for seed, one in tested_on.items():
            arms = inputs(one, mechanism, plan, used.dim)
            last, tail = trained(used, one, mechanism, arms, step, clip, seed)
            models = last.copy()  # each iterate with its own step and clip
            models[:, 1::2] = tail[:, 1::2]
            judged = scores(used.test, models, used.classes)
            accuracy.append(judged.accuracy.reshape(-1, 2))
            balanced.append(judged.balanced.reshape(-1, 2))
        seconds = time.process_time() - start
        for place, (setting, aggregator) in enumerate(labels_of(plan, mechanism)):
            awards = None
            if not mechanism.startswith(("none", "fedavg")):
                awards = [m.awards[plan.settings.index(setting)] for m in tested_on.values()]
            for iterate, name in enumerate(ITERATES):
                rows.append(
                    dict(
                        part=plan.name,
                        set=found.name,
                        partition=plan.partition,
                        parties=plan.parties,
                        invited=plan.invited,
                        parameters=used.dim,
                        mechanism=mechanism,
                        auction=setting.rule,
                        rate=setting.rate,
                        aggregator=aggregator,
                        iterate=name,
                        **_spread("accuracy", [a[place, iterate] for a in accuracy]),
                        **_spread("balanced", [b[place, iterate] for b in balanced]),
                        validation=float(value[place, iterate]),
                        step=float(step[place, iterate]),
                        clip=float(clip[place, iterate]),
                        **_bought(awards),
                        seeds=seeds,
                        tuning_seeds=tuning,
                        cpu_s=seconds,
                    )
                )
        print(
            f"{found.name} {plan.name} {plan.partition} {mechanism}: {seconds:.0f} CPU s",
            file=sys.stderr,
            flush=True,
        )
    return rows


def _spread(name: str, values: Sequence[float]) -> dict[str, Any]:
    return {
        name: float(np.mean(values)),
        f"{name}_sd": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        f"{name}_all": [round(float(v), 5) for v in values],
    }


def _bought(awards: Iterable[Awards] | None) -> dict[str, float | None]:
    if awards is None:
        return {"mean_eps": None, "spent": None, "invalid": None}
    found = list(awards)
    return {
        "mean_eps": float(np.mean([a.eps.mean() for a in found])),
        "spent": float(np.mean([a.spent.mean() for a in found])),
        "invalid": float(np.mean([a.invalid for a in found])),
    }


def plans(partition: str) -> list[Plan]:
    """Return the main table of a partition and, of equally dealt records, what may help."""
    rules = ("clock", "all-in", "equal-eps")
    settings = tuple(Setting(rule, rate) for rate in RATES for rule in rules)
    found = [Plan("main", partition, (*settings, EVERY_CAP))]
    if partition == "iid":
        one = Plan(
            "50 a round", "iid", (Setting("clock", 1.0), EVERY_CAP), aggregators=("opt-aggr",)
        )
        found += [
            replace(one, name="gaussian", mechanisms=("gaussian",)),
            replace(one, invited=50),
            replace(one, name=f"{COLUMNS} columns", columns=COLUMNS),
            replace(one, name=f"50 a round, {COLUMNS} columns", invited=50, columns=COLUMNS),
            replace(one, name="2,000 parties", parties=2_000, invited=20),
            replace(one, name="caps times 4", caps=4.0, mechanisms=MECHANISMS),
        ]
    return found


def quick(plan: Plan) -> Plan:
    """Return the plan with two rules of buying, one aggregator and a small grid."""
    return replace(
        plan,
        settings=(Setting("clock", 1.0), EVERY_CAP),
        aggregators=("opt-aggr",),
        steps=(0.03, 0.3, 3.0),
        clips=(0.3, 3.0),
    )


def main() -> None:
    """Train every arm and print the tables."""
    parser = arguments(__doc__)
    parser.add_argument("--sets", nargs="+", choices=tuple(READERS), default=tuple(READERS))
    parser.add_argument("--partitions", nargs="+", choices=PARTITIONS, default=PARTITIONS)
    parser.add_argument("--tables", nargs="+", metavar="NAME", help="only these, such as main")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tuning-seeds", type=int, default=5)
    options = parser.parse_args()
    report = Report("Training through the market")
    for mechanism in MECHANISMS:
        report.claim(f"{mechanism}: off the library's uploads", check(mechanism), 1e-9, "lower")
    sets = ("nsl-kdd",) if options.quick else options.sets
    seeds, tuning = (2, 1) if options.quick else (options.seeds, options.tuning_seeds)
    for name in sets:
        try:
            found = task(name)
        except EquigradError as error:  # a missing file, mostly: the message says what to do
            print(f"{name} is left out: {error}")
            continue
        for partition in options.partitions:
            for plan in plans(partition):
                if options.tables and plan.name not in options.tables:
                    continue
                used = quick(plan) if options.quick else plan
                rows = measure(found, used, seeds, tuning)
                print_plan(rows, "balanced" if found.balanced else "accuracy")
                report.rows += rows
                if options.json is not None:
                    partial = json.dumps({"rows": report.rows}, indent=1)
                    options.json.write_text(partial + "\n", encoding="utf-8")
    report.finish(options.json)


if __name__ == "__main__":
    main()
