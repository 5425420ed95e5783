"""The tables of the fairness benchmark, from the result files that are there.

Costs are against the non-private run of the same seed (row 1: same weights, same sampled rows).
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from _common import Report, show
from _fair_rows import PROTOCOL, ROWS
from _fair_run import DELTA, Task, balanced, best_point, result_file, tuning_results, worst
from equigrad.fairness import GroupCost, group_cost
from equigrad.privacy.accounting import PrivacyEvent, epsilon

__all__ = ["PUBLISHED", "add_set"]

PUBLISHED = {
    "mnist": [
        ("non-private", "98.0+-.1", "84.3+-1.1", "", "", ""),
        ("DPSGD", "89.0+-.1", "26.3+-.4", "8.9+-.1", "57.9+-1.3", "48.9+-1.3"),
        ("Global-Adapt", "92.0+-.2", "65.5+-1.2", "6.0+-.2", "18.8+-.9", "12.8+-.8"),
    ],
    "adult": [
        ("non-private", "80.5+-.4", "92.2+-.1", "", "", ""),
        ("DPSGD", "69.9+-.4", "88.5+-.1", "10.6+-.3", "3.6+-.1", "6.9+-.3"),
        ("Global-Adapt", "80.7+-.4", "92.3+-.1", "-.1+-.1", "-.1+-.1", "0.0+-.1"),
    ],
}
"""Means and standard errors in % (Esipova et al., by a third party's transcription)."""

Result = dict[str, Any]


def add_set(report: Report, wanted: Sequence[Sequence[Task]], *, reveal: bool) -> None:
    """Print the table of one set and add its rows and claims to the report.

    ``wanted`` holds, row by row, the final runs of all seeds; what is not there is left out.
    """
    first = wanted[0][0]
    name, epochs = first.set, first.epochs
    plain = {"row": "non-private", "tuned_on": None, "criterion": "mean"}
    twins = _results([replace(t, **plain) for t in wanted[0]])
    table, chosen = [], []
    for tasks in wanted:
        if results := _results(tasks):
            line = _line(tasks[0].row, results, twins)
            table.append(report.row(part=name, **line))
            if reveal and ROWS[tasks[0].row].grid is not None:
                chosen.append(_chosen(tasks[0]))
    title = f"{name}, {epochs} epochs, delta {DELTA:g}: % +- standard error over seeds"
    show(title, [_part(line, costs=False) for line in table])
    show(f"{name}: cost of privacy against row 1", [_part(line, costs=True) for line in table])
    show(f"{name}: chosen points", chosen)
    if name in PUBLISHED:
        keys = ("row", "acc a", "acc b", "cost a", "cost b", "gap")
        lines = [dict(zip(keys, line, strict=True)) for line in PUBLISHED[name]]
        show(f"{name}: published (a, b: 2 and 8, or M and F)", lines)
    if epochs == PROTOCOL[name].epochs:
        _claims(report, name, table)


def _part(line: Result, *, costs: bool) -> Result:
    """Return the columns of one of the two printed tables."""
    later = ("cost", "loss gap", "Z or C", "eps")
    return {
        key: cell
        for key, cell in line.items()
        if key in ("row", "method") or key.startswith(later) == costs
    }


def _results(tasks: Sequence[Task]) -> dict[int, Result]:
    files = {task.seed: result_file(task) for task in tasks}
    return {s: json.loads(f.read_text("utf-8")) for s, f in files.items() if f.exists()}


def _line(key: str, results: dict[int, Result], twins: dict[int, Result]) -> Result:
    """Return one line of the table; accuracies and gaps in %."""
    row = ROWS[key]
    good = {s: r for s, r in results.items() if not r["diverged"]}
    first = next(iter(results.values()))
    a, b = first["pair"]
    accuracy = [r["metrics"]["by_group"]["accuracy"] for r in good.values()]
    overall = [r["metrics"]["overall"]["accuracy"] for r in good.values()]
    averaged = [min(r["averaged"]["by_group"]["accuracy"].values())
                for r in good.values() if "averaged" in r]  # fmt: skip
    costs = [_cost(twins[s], r) for s, r in good.items() if s in twins and key != "non-private"]
    line = {
        "row": row.number,
        "method": row.title,
        "seeds": f"{len(good)}" + (f" ({len(results) - len(good)} diverged)"
                                   if len(good) < len(results) else ""),
        f"acc {a}": _percent([x[a] for x in accuracy]),
        f"acc {b}": _percent([x[b] for x in accuracy]),
    }  # fmt: skip
    line["worst"] = _percent([min(x.values()) for x in accuracy])
    line["overall"] = _percent(overall)
    line["worst, averaged iterate"] = _percent(averaged)
    line[f"cost {a}"] = _percent([_at(c, a) for c in costs])
    line[f"cost {b}"] = _percent([_at(c, b) for c in costs])
    line["cost gap"] = _percent([c.cost_gap.pair for c in costs if c.cost_gap.pair is not None])
    line["loss gap"] = _mean([c.loss_gap.pair for c in costs if c.loss_gap.pair is not None])
    line["Z or C"] = _mean([r["last_bound"] for r in good.values() if "last_bound" in r], digits=2)
    line["eps PLD/RDP"] = _price(first)
    return line


def _cost(twin: Result, result: Result) -> GroupCost:
    names = tuple(result["names"])
    plain, private = (r["metrics"]["by_group"] for r in (twin, result))
    return group_cost(
        *([table[what][k] for k in names]
          for what in ("accuracy", "loss") for table in (plain, private)),
        names=names,
        pair=tuple(result["pair"]),
    )  # fmt: skip


def _at(cost: GroupCost, group: str) -> float:
    value = cost.privacy_cost[cost.names.index(group)]
    return float("nan") if value is None else value


def _percent(values: Sequence[float]) -> str:
    return _mean([100 * v for v in values], digits=1)


def _mean(values: Sequence[float], digits: int = 3) -> str:
    """Return mean and standard error as text; the error needs two values."""
    if not values:
        return ""
    text = f"{statistics.fmean(values):.{digits}f}"
    if len(values) > 1:
        error = statistics.stdev(values) / len(values) ** 0.5
        text += f"+-{error:.{digits}f}"
    return text


def _price(result: Result) -> str:
    if "sigma" not in result:
        return ""
    counts = tuple(tuple(pair) for pair in result["counts"])
    return _epsilons(result["sigma"], result["q"], result["steps"], counts)


@cache
def _epsilons(sigma: float, q: float, steps: int, counts: tuple[tuple[float, float], ...]) -> str:
    event = PrivacyEvent(noise_multiplier=sigma, sampling_rate=q, steps=steps, counts=counts)
    pld, rdp = (epsilon([event], DELTA, accountant=kind) for kind in ("pld", "rdp"))
    return f"{pld:.2f}/{rdp:.2f}"


def _chosen(task: Task) -> Result:
    """Return which point was chosen for a tuned row, and by what."""
    tried, at = tuning_results(task), best_point(task)
    result = tried[at]
    point = result["point"]
    varied = ", ".join(f"{k} {v:g}" for k, v in point["options"].items())
    extra = f", momentum {point['momentum']:g}" if point["momentum"] else ""
    return {
        "row": ROWS[task.row].number,
        "method": ROWS[task.row].title,
        "point": f"{at} of {len(tried)}",
        "setting": f"{point['optimizer']} eta {point['eta']:.3g}{extra}; {varied}",
        "validation: mean": 100 * balanced(result),
        "worst": 100 * worst(result),
    }


def _claims(report: Report, name: str, table: list[Result]) -> None:
    """Add the claims that the full protocol of a set has."""
    lines = {line["row"]: line for line in table}

    def value(row: str, column: str) -> float | None:
        cell = lines.get(row, {}).get(column, "")
        return float(cell.split("+-")[0]) if cell else None

    if name == "mnist":
        report.claim("MNIST Global-Adapt: class 8, %", value("7", "acc 8"), 65.5, "higher")
        report.claim("MNIST Global-Adapt: gap, %", value("7", "cost gap"), 12.8, "lower")
    if name == "adult":
        report.claim("Adult Global-Adapt: gap, %", value("7", "cost gap"), 0.1, "lower")
    best, base = (
        max((v for row in rows if (v := value(row, "worst")) is not None), default=None)
        for rows in ([r for r in lines if r.startswith("m")], ["7", "7t"])
    )
    if best is not None and base is not None:
        report.claim(f"{name}: worst group, best of m rows minus row 7", best - base, 3.0, "higher")
