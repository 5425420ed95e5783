"""What a second stage and products win back of what an additive model cannot tell.

Planted sets of two parties (3000 rows, three columns each): *additive*, *main + product* and *pure
product* of one column of each; Adult and California (5000 rows drawn) divided by columns among
four parties. Parties boost histograms (30 trees a round; weights and steps come from held-out rows,
rounds from validation), or they have ridge (all rows, 15 rounds). Beside GAL and one boosting of
all columns (*joint*): the second stage on held-out rows, on parts out of fold and on answers, and
rounds with products of the sponsor's columns. R2, or accuracy in %; *closed* is the share of the
gap between GAL and joint. *Sent* counts residual columns to assisting parties, and answers, each of
all rows. California and Adult are read from the folder ``EQUIGRAD_DATA`` and left out where it is
not set.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from _common import Report, arguments, show
from _gal_data import table_of
from equigrad.assistance import (
    AssistanceWarning,
    FoldLabels,
    HistGradientBoosting,
    Learner,
    LocalParties,
    ProductParties,
    Ridge,
    SecondStage,
    Settings,
    fit_second_stage,
    train,
)

ROUNDS, MOST_ROWS = 15, 4_000
SPECIFIED = {
    ("additive", "GAL"): ".948",
    ("additive", "second stage, 5 folds"): ".948",
    ("additive", "joint"): ".942",
    ("main + product", "GAL"): ".455",
    ("main + product", "second stage, 5 folds"): ".851",
    ("main + product", "joint"): ".899",
    ("pure product", "GAL"): "-.011",
    ("pure product", "second stage, 5 folds"): "-.076",
    ("pure product", "joint"): ".859",
}
"""The prototype's figures without a gate, on its own planted sets."""
STAGES: dict[str, tuple[SecondStage | None, bool]] = {
    "GAL": (None, False),
    "second stage, held-out rows": (SecondStage(folds=0), False),
    "second stage, 5 folds": (SecondStage(), False),
    "products": (None, True),
    "products, second stage, held-out rows": (SecondStage(folds=0), True),
}
"""What is added to GAL: a plan of the second stage, and whether products are sent."""
RIDGE_STAGES: dict[str, tuple[SecondStage | None, bool]] = {
    "GAL": (None, False),
    "second stage on parts": (SecondStage(), False),
    "second stage on answers": (SecondStage(inputs="answers"), False),
    "products": (None, True),
}
"""The same for parties with ridge, whose answers on rows that were sent are as on others."""


@dataclass(frozen=True)
class Case:
    """Rows of one seed; ``target`` is one-hot for classes."""

    blocks: list[np.ndarray]
    test: list[np.ndarray]
    target: np.ndarray
    y_test: np.ndarray
    classification: bool

    def value(self, scores: np.ndarray) -> float:
        """Return R2, or % of right classes."""
        if self.classification:
            return 100.0 * float(np.mean(scores.argmax(axis=1) == self.y_test))
        error = np.mean((scores[:, 0] - self.y_test) ** 2)
        return 1.0 - float(error / np.var(self.y_test))


def planted(kind: str, seed: int) -> Case:
    """Return two parties of three columns each, and a label of noise 0.4."""
    generator = np.random.default_rng(seed)
    blocks = [generator.normal(size=(3000, 3)) for _ in range(2)]
    a, b = (block[:, 0] for block in blocks)
    signal = {
        "additive": a + np.sin(2 * blocks[0][:, 1]) + b + np.abs(blocks[1][:, 1]),
        "main + product": a + b + 1.4 * a * b,
        "pure product": 1.5 * a * b,
    }[kind]
    y = signal + 0.4 * generator.normal(size=3000)
    return divided(blocks, y, seed, classification=False)


def table(name: str, seed: int) -> Case | None:
    """Return a table's columns, divided among four parties; None where it is not here."""
    found = table_of(name)
    if found is None:
        return None
    X, y = found
    rows = np.random.default_rng(1000 + seed).permutation(len(X))[: int(MOST_ROWS / 0.8)]
    mixed = np.random.default_rng(50 + seed).permutation(X.shape[1])
    ends = [*(m * (X.shape[1] // 4) for m in range(4)), X.shape[1]]
    blocks = [X[rows][:, mixed[a:b]] for a, b in pairwise(ends)]
    return divided(blocks, y[rows], seed, classification=name == "Adult")


def divided(blocks: list[np.ndarray], y: np.ndarray, seed: int, *, classification: bool) -> Case:
    """Return training rows (80 %) and test rows."""
    order = np.random.default_rng(2000 + seed).permutation(len(y))
    cut = int(0.8 * len(y))
    train_rows, test_rows = order[:cut], order[cut:]
    target = np.eye(2)[y[train_rows].astype(int)] if classification else y[train_rows, None] * 1.0
    train_blocks = [block[train_rows] for block in blocks]
    return Case(train_blocks, [b[test_rows] for b in blocks], target, y[test_rows], classification)


def party_learner(kind: str) -> Learner:
    """Return what each party fits with."""
    if kind == "ridge":
        return Ridge(1e-3)
    trees = HistGradientBoostingRegressor(
        max_iter=30, learning_rate=0.2, max_leaf_nodes=15, early_stopping=False
    )
    return HistGradientBoosting(trees)


def multipliers(case: Case) -> list[np.ndarray]:
    """Return the sponsor's columns, standardised by training rows and cut at three deviations."""
    own = case.blocks[0]
    mean, deviation = own.mean(axis=0), own.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return [np.clip((rows - mean) / scale, -3, 3) for rows in (own, case.test[0])]


def assisted(
    case: Case, kind: str, seed: int, plan: SecondStage | None, products: bool
) -> dict[str, float]:
    """Train, with what is added, and return value, what was sent and whether the gate kept it."""
    chosen = Settings(
        loss="ce" if case.classification else "mse",
        n_rounds=ROUNDS,
        weigh_on="train" if kind == "ridge" else "holdout",
        stopping="none" if kind == "ridge" else "validation",
    ).resolved(classification=case.classification)
    blocks = {f"party {m}": block for m, block in enumerate(case.blocks)}
    base = LocalParties(blocks, [party_learner(kind) for _ in blocks], run_seed=seed)
    factors, test_factors = multipliers(case)
    parties = ProductParties(base, factors) if products else base
    classes = case.target.argmax(axis=1) if case.classification else None
    rounds: list[int] = []
    training = train(
        parties,
        case.target,
        chosen,
        classes=classes,
        run_seed=seed,
        on_round=lambda under_way: rounds.append(under_way.sponsor.t),
    )
    known: dict[tuple[int, int], np.ndarray] = {}

    def outputs(m: int, t: int) -> np.ndarray:
        if (m, t) not in known:
            known[m, t] = base.learners[m].predict(t, case.test[m])
        return known[m, t]

    answers: Callable[[int, int], np.ndarray] = outputs
    if isinstance(parties, ProductParties):
        answers = parties.outputs(outputs, test_factors)
    held = np.ones((len(case.y_test), len(parties.names)), dtype=bool)
    scores = training.model.scores(answers, held)
    sent, kept = 2 * (len(parties.names) - 1) * len(rounds), -1.0
    if plan is not None:
        again = (lambda: ProductParties(base.again(), factors)) if products else base.again
        stage = fit_second_stage(
            plan,
            training,
            parties,
            again,
            case.blocks[0],
            case.target,
            FoldLabels(chosen, None, None),
            run_seed=seed,
        )
        scores = scores + stage.correction(training.model, answers, case.test[0], held.all(axis=1))
        sent, kept = sent + stage.n_messages, float(stage.kept)
    return {"value": case.value(scores), "sent": sent * case.target.shape[1], "kept": kept}


def joint(case: Case) -> dict[str, float]:
    """Boost on all columns."""
    X, X_test = np.concatenate(case.blocks, axis=1), np.concatenate(case.test, axis=1)
    if case.classification:
        model: Any = HistGradientBoostingClassifier(random_state=0)
        scores = model.fit(X, case.target.argmax(axis=1)).predict_proba(X_test)
    else:
        model = HistGradientBoostingRegressor(random_state=0)
        scores = model.fit(X, case.target[:, 0]).predict(X_test)[:, None]
    return {"value": case.value(scores), "sent": 0.0, "kept": -1.0}


def measure(
    report: Report, name: str, kind: str, make: Any, seeds: Sequence[int], only: Sequence[str]
) -> None:
    """Measure one set, print its table and add its claim."""
    cases = [found for seed in seeds if (found := make(seed)) is not None]
    if not cases:
        return
    found: dict[str, list[dict[str, float]]] = {}
    stages = RIDGE_STAGES if kind == "ridge" else STAGES
    stages = {row: what for row, what in stages.items() if not only or row in only}
    spent = dict.fromkeys((*stages, "joint"), 0.0)
    for seed, case in zip(seeds, cases, strict=True):
        for row, (plan, products) in stages.items():
            begun = time.process_time()
            found.setdefault(row, []).append(assisted(case, kind, seed, plan, products))
            spent[row] += time.process_time() - begun
        found.setdefault("joint", []).append(joint(case))
    values = {row: np.array([run["value"] for run in runs]) for row, runs in found.items()}
    gap = values["joint"].mean() - values["GAL"].mean()
    digits = 2 if cases[0].classification else 3
    lines = []
    for row, runs in found.items():
        kept = [run["kept"] for run in runs]
        closed = (values[row].mean() - values["GAL"].mean()) / gap
        lines.append(
            {
                "row": row,
                "mean(std)": f"{values[row].mean():.{digits}f}({values[row].std():.{digits}f})",
                "closed": f"{closed:.2f}" if gap > 0 and row != "GAL" else "",
                "kept": f"{int(sum(kept))} of {len(kept)}" if min(kept) >= 0 else "",
                "sent": f"{np.mean([run['sent'] for run in runs]):.0f}",
                "CPU s": f"{spent[row] / len(runs):.1f}",
                "prototype": SPECIFIED.get((name, row), "") if kind == "boosting" else "",
            }
        )
        report.row(set=name, learners=kind, seeds=len(runs), **lines[-1])
    show(f"{name}, parties with {kind}, {len(cases)} seeds", lines)
    best = max((row for row in stages if row != "GAL"), key=lambda row: values[row].mean())
    share = (values[best].mean() - values["GAL"].mean()) / gap if gap > 0 else None
    report.claim(f"{name}, {kind}: share of the gap closed by {best}", share, 0.5, "higher")
    if name == "pure product" and kind == "boosting":
        plain = sum(run["kept"] for run in found.get("second stage, 5 folds", []))
        report.claim("pure product: seeds in which the gate kept it", plain, 0.0, "lower")


def main() -> None:
    """Run the benchmark."""
    sets: dict[str, Any] = {
        kind: lambda seed, kind=kind: planted(kind, seed)
        for kind in ("additive", "main + product", "pure product")
    }
    sets |= {name: lambda seed, name=name: table(name, seed) for name in ("California", "Adult")}
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=4, help="how many (at least 4 to report)")
    parser.add_argument("--sets", nargs="+", default=list(sets), choices=list(sets))
    parser.add_argument("--learners", nargs="+", default=["boosting", "ridge"])
    parser.add_argument(
        "--rows", nargs="+", default=[], help="of the table, GAL among them; or all"
    )
    given = parser.parse_args()
    warnings.simplefilter("ignore", AssistanceWarning)
    report = Report("The second stage of assisted learning")
    for name in ["main + product"] if given.quick else given.sets:
        for kind in given.learners:
            seeds = range(1 if given.quick else given.seeds)
            measure(report, name, kind, sets[name], seeds, given.rows)
            report.save(given.json)
    report.finish(given.json, ["numpy", "scikit-learn"])


if __name__ == "__main__":
    main()
