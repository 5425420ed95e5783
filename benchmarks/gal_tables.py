"""Gradient assisted learning on small tables, beside what parties reach alone and all together.

Diabetes, Boston, Blob, Iris, Wine, BreastCancer and QSAR with columns divided among 2, 4 or 8
parties; rows and columns are divided anew for each seed. Boston and QSAR are read from the folder
``EQUIGRAD_DATA`` and left out where it is not set. MAD (lower is better) or accuracy in %.

Rows of the table: the sponsor *alone*; *late* (every party boosts alone on the labels, the scores
are averaged); *joint* (one model of the same kind of all columns, tuned by cross-validation; of two
kinds the better); *sequential* assistance, one party
after another with its own step, after ten cycles and after ten synchronisations; *GAL* with ten
rounds, stopped by validation, with equal weights, with weights chosen together with the step, and
with the authors' recipe. Published rows are
the best of eleven test evaluations of the authors' runs, on another split.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.svm import SVR

from _common import Report, arguments, show
from _gal_data import SETS, Split, joint_scores, metric, split
from equigrad.assistance import (
    AssistanceWarning,
    GALClassifier,
    GALRegressor,
    Learner,
    SklearnLearner,
    make_learner,
    make_loss,
    party_seed,
)

ROUNDS = 10
PUBLISHED: dict[tuple[str, str], dict[str, str]] = {
    ("alone", "linear"): {
        "Diabetes": "59.7(9.2)",
        "Boston": "5.8(0.9)",
        "Blob": "41.3(10.8)",
        "Wine": "63.9(15.6)",
        "BreastCancer": "92.5(3.4)",
        "QSAR": "68.8(3.4)",
    },
    ("late", "linear"): {
        "Diabetes": "136.2(0.1)",
        "Boston": "8.0(0.0)",
        "Blob": "100.0(0.0)",
        "Wine": "100.0(0.0)",
        "BreastCancer": "96.9(0.4)",
        "QSAR": "76.9(0.8)",
    },
    ("joint", "linear"): {
        "Diabetes": "43.4(0.3)",
        "Boston": "3.0(0.0)",
        "Blob": "100.0(0.0)",
        "Wine": "100.0(0.0)",
        "BreastCancer": "98.9(0.4)",
        "QSAR": "84.0(0.2)",
    },
    ("sequential", "linear"): {
        "Diabetes": "51.5(4.6)",
        "Boston": "4.7(0.6)",
        "Blob": "97.5(2.5)",
        "Wine": "95.1(3.6)",
        "BreastCancer": "97.7(1.1)",
        "QSAR": "70.6(5.2)",
    },
    ("GAL", "linear"): {
        "Diabetes": "42.7(0.6)",
        "Boston": "3.2(0.2)",
        "Blob": "100.0(0.0)",
        "Wine": "96.5(3.0)",
        "BreastCancer": "98.5(0.7)",
        "QSAR": "82.5(0.8)",
    },
    ("GAL", "gb"): {
        "Diabetes": "56.5(2.8)",
        "Boston": "3.8(0.5)",
        "Blob": "96.3(2.2)",
        "Wine": "95.8(1.4)",
        "BreastCancer": "96.1(1.0)",
        "QSAR": "84.8(0.9)",
    },
    ("GAL", "svm"): {
        "Diabetes": "46.6(1.4)",
        "Boston": "2.9(0.2)",
        "Blob": "96.3(4.1)",
        "Wine": "96.5(1.2)",
        "BreastCancer": "99.1(1.1)",
        "QSAR": "85.5(0.7)",
    },
    ("GAL", "gb-svm"): {
        "Diabetes": "49.8(2.6)",
        "Boston": "3.4(0.8)",
        "Blob": "70.0(7.9)",
        "Wine": "95.8(1.4)",
        "BreastCancer": "93.2(1.6)",
        "QSAR": "82.9(1.5)",
    },
}
"""Published rows for eight parties by row and learners: mean(std) over four seeds."""
LEARNERS = ("linear", "gb", "svm", "gb-svm")
REFERENCE_CPU_S = {"Iris": 32.0, "Wine": 38.0, "BreastCancer": 71.0, "Diabetes": 66.0}
"""The authors' code, four parties, ten rounds, one thread: measured elsewhere."""


def learners(kind: str, n_parties: int) -> list[Any]:
    """Return each party's learner; of "gb-svm" the first half takes the first."""
    known: dict[str, Callable[[], Any]] = {
        "linear": lambda: "ridge",
        "gb": GradientBoostingRegressor,
        "svm": SVR,
    }
    kinds = kind.split("-")
    return [known[kinds[m * len(kinds) // n_parties]]() for m in range(n_parties)]


def raw(learner: Any) -> Any:
    """Return a learner that is given residuals as they are."""
    return learner if isinstance(learner, str) else SklearnLearner(learner, scale_residual=False)


def assisted(part: Split, kind: str, seed: int, **options: Any) -> tuple[np.ndarray, int]:
    """Return test scores of an assisted training, and its rounds, both passes together."""
    make = GALClassifier if part.classification else GALRegressor
    each: Any = dict(zip(part.parties, learners(kind, len(part.columns)), strict=True))
    if options.get("preset"):  # their learners get raw residuals
        each = {name: raw(learner) for name, learner in each.items()}
        each = "auto" if kind == "linear" else each
    model = make(each, parties=part.parties, random_state=seed, **options)
    rounds: list[int] = []
    model.fit(part.X, part.y, on_round=lambda p: rounds.append(p.sponsor.t))
    return model.answer(part.X_test).scores, len(rounds)


def fixed(**more: Any) -> dict[str, Any]:
    """Return the settings of ten rounds."""
    return {"n_rounds": ROUNDS, "stopping": "none", "refit": "never", **more}


def alone(part: Split, kind: str, m: int, seed: int) -> np.ndarray:
    """Return test scores of one party that boosts on the labels."""
    own = Split(part.X, part.y, part.X_test, part.y_test, [part.columns[m]], part.classification)
    make = GALClassifier if own.classification else GALRegressor
    learner = learners(kind, len(part.columns))[m]
    model = make(learner, random_state=seed, **fixed()).fit(own.X[:, part.columns[m]], own.y)
    return model.answer(own.X_test[:, part.columns[m]]).scores


def late(part: Split, kind: str, seed: int) -> np.ndarray:
    """Return the mean of all parties' scores."""
    return np.mean([alone(part, kind, m, seed) for m in range(len(part.columns))], axis=0)


def sequential(part: Split, kind: str, seed: int, synchronisations: int) -> np.ndarray:
    """Return test scores of assistance in turn: each party sees the residual of the current scores.

    A synchronisation is one party's fit.
    """
    loss = make_loss("ce" if part.classification else "mse")
    target = np.eye(part.y.max() + 1)[part.y] if part.classification else part.y[:, None] * 1.0
    start = loss.start(target)
    F, out = np.tile(start, (len(target), 1)), np.tile(start, (len(part.X_test), 1))
    for s in range(synchronisations):
        m = s % len(part.columns)
        columns = part.columns[m]
        learner: Learner = make_learner(learners(kind, len(part.columns))[m])
        learner.prepare(part.X[:, columns])
        learner.fit(1, loss.residual(target, F), party_seed(seed, f"party {m}", s))
        g = learner.predict(1, part.X[:, columns])
        eta = loss.step(target, F, g, 300.0)
        F, out = F + eta * g, out + eta * learner.predict(1, part.X_test[:, columns])
    return out


def measure(
    part: Split, kind: str, seed: int, *, reference: bool, most: int
) -> dict[str, dict[str, float]]:
    """Return value, CPU seconds, messages and bytes of every row of the table for one seed."""
    n_parties = len(part.columns)
    found: dict[str, dict[str, float]] = {}
    K = int(part.y.max()) + 1 if part.classification else 1

    def add(
        row: str, scores: Callable[[], Any], rounds: float = 0.0, turns: int | None = None
    ) -> None:
        begun = time.process_time()
        got = scores()
        spent = time.process_time() - begun
        if isinstance(got, tuple):
            got, rounds = got
        messages = 2.0 * (n_parties - 1) * rounds
        found[row] = {
            "value": metric(part, got),
            "cpu_s": spent,
            "syncs": rounds if turns is None else turns,
            "messages": messages,
            "bytes": 8.0 * messages * len(part.X) * K,
        }

    add("alone", lambda: alone(part, kind, 0, seed))
    add("late", lambda: late(part, kind, seed))
    add("joint", lambda: joint_scores(part, kind))
    if kind != "linear":
        add("joint, linear", lambda: joint_scores(part))
    cycles = ROUNDS * n_parties
    add("sequential, 10 cycles", lambda: sequential(part, kind, seed, cycles), ROUNDS, cycles)
    add(
        "sequential, 10 syncs",
        lambda: sequential(part, kind, seed, ROUNDS),
        ROUNDS / n_parties,
        ROUNDS,
    )
    for mode in ("train",) if kind == "linear" else ("train", "holdout"):
        mark = "" if mode == "train" else ", held out"
        add(f"GAL, 10 rounds{mark}", lambda m=mode: assisted(part, kind, seed, **fixed(weigh_on=m)))
        add(
            f"GAL, stopped{mark}",
            lambda m=mode: assisted(part, kind, seed, weigh_on=m, n_rounds=most),
        )
    add(
        "GAL, equal weights",
        lambda: assisted(part, kind, seed, **fixed(weights="equal", weigh_on="train")),
    )
    if kind == "linear":
        add(
            "GAL, weights with step",
            lambda: assisted(part, kind, seed, **fixed(weights="cone", weigh_on="train")),
        )
    if reference:
        add("GAL, authors' recipe", lambda: assisted(part, kind, seed, preset="reference"))
    return found


def published(row: str, kind: str, name: str, n_parties: int) -> str:
    """Return the published number that stands beside a row, or nothing."""
    word = {"GAL, 10 rounds": "GAL", "sequential, 10 cycles": "sequential"}.get(row, row)
    return PUBLISHED.get((word, kind), {}).get(name, "") if n_parties == 8 else ""


def table(
    report: Report, name: str, n_parties: int, kind: str, seeds: Sequence[int], given: Any
) -> None:
    """Measure one set, print its table and add its claims."""
    parts = {seed: split(name, n_parties, seed) for seed in seeds}
    runs = {
        seed: measure(part, kind, seed, reference=i < given.references, most=given.most_rounds)
        for i, (seed, part) in enumerate(parts.items())
        if part is not None
    }
    if not runs:
        return
    first = next(iter(runs.values()))
    lines = []
    for row in first:
        have = [run for run in runs.values() if row in run]
        values = np.array([run[row]["value"] for run in have])
        line = {
            "row": row,
            "mean(std)": f"{values.mean():.2f}({values.std():.2f})",
            "published": published(row, kind, name, n_parties),
            "minus joint": "",
            "seeds": len(have),
            "CPU s": f"{np.mean([run[row]['cpu_s'] for run in have]):.3f}",
            "syncs": f"{np.mean([run[row]['syncs'] for run in have]):.0f}",
            "messages": f"{np.mean([run[row]['messages'] for run in have]):.0f}",
            "kB": f"{np.mean([run[row]['bytes'] for run in have]) / 1e3:.0f}",
        }
        if "joint" in first:
            gap = np.array([run[row]["value"] - run["joint"]["value"] for run in have])
            line["minus joint"] = f"{gap.mean():+.2f}({gap.std():.2f})"
        lines.append(line)
        report.row(set=name, parties=n_parties, learners=kind, **line)
    show(f"{name}, {n_parties} parties, {kind}", lines)
    if kind == "linear":
        claims(report, name, n_parties, list(runs.values()))


def claims(
    report: Report, name: str, n_parties: int, runs: list[dict[str, dict[str, float]]]
) -> None:
    """Compare with the joint model, and with the authors' time where that was measured."""
    joint = np.mean([run["joint"]["value"] for run in runs])
    stopped = np.mean([run["GAL, stopped"]["value"] for run in runs])
    label = f"{name}, M={n_parties}: GAL stopped"
    if SETS[name][1]:
        report.claim(f"{label} below joint, points", float(joint - stopped), 1.5, "lower")
    else:
        report.claim(f"{label} above joint, %", 100 * float(stopped / joint - 1), 2.0, "lower")
    if n_parties == 4 and name in REFERENCE_CPU_S:
        spent = np.mean([run["GAL, 10 rounds"]["cpu_s"] for run in runs])
        faster = REFERENCE_CPU_S[name] / float(spent)
        report.claim(f"{name}: times less CPU than the authors' code", faster, 50.0, "higher")


def main() -> None:
    """Run the benchmark."""
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many (at least 4 to report)")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--parties", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--learners", nargs="+", default=["linear"], choices=LEARNERS)
    parser.add_argument("--most-rounds", type=int, default=50, help="of trainings that stop")
    parser.add_argument("--references", type=int, default=4, help="seeds of the authors' recipe")
    given = parser.parse_args()
    warnings.simplefilter("ignore", AssistanceWarning)
    report = Report("Gradient assisted learning on tables")
    seeds, sets = given.seeds, given.sets
    if given.quick:
        seeds, given.references, sets = 4, 0, [name for name in sets if name != "QSAR"]
    for name in sets:
        for n_parties in given.parties:
            for kind in given.learners:
                table(report, name, n_parties, kind, range(seeds), given)
                report.save(given.json)
    report.finish(given.json, ["numpy", "scikit-learn", "torch"])


if __name__ == "__main__":
    main()
