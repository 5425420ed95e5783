"""The tables and claims of part ``opendataval``, from the cells that are there."""

from typing import Any

import numpy as np

from _common import Report, show
from _valuation_data import TABLES
from _valuation_results import Cell, interval, mean_text

__all__ = ["PEERS", "add_claims", "add_tables"]

PEERS = ("knn-shapley", "data-oob", "influence", "tmc-shapley")
BEST = ("loss-mean", "aum", "el2n-mean", "grad-norm-mean", "tracin-self")
MEASURES = (("f1", "F1"), ("auc", "AUC"), ("average_precision", "AP"), ("precision", "precision"))


def add_tables(report: Report, name: str, ours: list[Cell], peers: list[Cell]) -> None:
    """Print detection, discovery and removal of one set."""
    lines = {label: [c["methods"][label] for c in ours] for label in ours[0]["methods"]}
    for method in PEERS if TABLES[name].positive is not None else ():
        here = [c for c in peers if c["method"] == method]
        lines[_peer_label(method, here)] = here
    rows = []
    for label, cells in lines.items():
        good = [c for c in cells if "error" not in c]
        note = "" if good else (cells[0]["error"] if cells else "not run")
        row = {"part": "opendataval", "set": name, "method": label, "seeds": len(good)}
        row |= {words: mean_text([c[what] for c in good]) for what, words in MEASURES}
        row["CPU s"] = mean_text([c["seconds"] for c in good], 2).partition("±")[0] or note
        rows.append(report.row(**row))
    base = mean_text([c["baseline"] for c in ours])
    kind = "accuracy" if TABLES[name].positive is not None else "R^2"
    show(f"{name}: wrong labels found (all data: {kind} {base})", _without(rows, "set"))
    _curves(report, name, lines)


def _peer_label(method: str, cells: list[Cell]) -> str:
    """Return a peer's name; of a sampled one, with its budget and what it managed."""
    rounds = [c["rounds"] for c in cells if c.get("rounds")]
    if method != "tmc-shapley" or not rounds:
        return f"pyDVL {method}"
    return f"pyDVL {method}, {cells[0]['budget']:g} s: {np.mean(rounds):.1f} updates a record"


def _curves(report: Report, name: str, lines: dict[str, list[Cell]]) -> None:
    """Print what is found after inspecting 5, 10, 20 and 40 %, and the removal curves."""
    found, removed = [], []
    for label, cells in lines.items():
        good = [c for c in cells if "error" not in c]
        if good:
            at = {f"{5 * k} %": mean_text([c["discovery"][k] for c in good]) for k in (1, 2, 4, 8)}
            found.append(report.row(part="discovery", set=name, method=label, **at))
        curves = [c["removal"] for c in good if "removal" in c]
        if curves:
            for kind in ("least", "most", "random"):
                cut = {
                    f"{100 * share:.0f} %": mean_text([c[kind][k] for c in curves])
                    for k, share in enumerate(curves[0]["removed"])
                    if k in (1, 2, 3, 5)
                }
                removed.append(
                    report.row(part="removal", set=name, method=label, first=kind, **cut)
                )
    show(f"{name}: share of wrong labels found after inspecting", _without(found, "set"))
    show(f"{name}: after removing the least or most valuable first", _without(removed, "set"))


def _without(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != key} for row in rows]


def _less(first: list[float], second: list[float]) -> list[float]:
    return [a - b for a, b in zip(first, second, strict=True)]


def add_claims(report: Report, ours: list[Cell]) -> None:
    """Add the targets on Adult."""

    def values(label: str, what: str) -> list[float]:
        return [c["methods"][label][what] for c in ours if label in c["methods"]]

    if len(ours) < 2:
        return
    for what, words in (("auc", "AUC"), ("f1", "F1")):
        best = max(BEST, key=lambda label: interval(values(label, what) or [0.0, 0.0])[0])
        low = interval(values(best, what))[0] - interval(values(best, what))[1]
        rivals = {
            rival: max(
                (label for label in ours[0]["methods"] if label.startswith(rival)),
                key=lambda label: interval(values(label, what))[0],
                default=None,
            )
            for rival in ("knn-shapley", "data-oob")
        }
        near, bags = rivals["knn-shapley"], rivals["data-oob"]
        report.claim(
            f"Adult, {words}: lower end of {best} less upper end of {near}",
            None if near is None else low - sum(interval(values(near, what))),
            0.0,
            "higher",
        )
        gains = [] if bags is None else _less(values(best, what), values(bags, what))
        report.claim(
            f"Adult, {words}: {best} less {bags} (stretch)",
            interval(gains)[0] if gains else None,
            0.0,
            "higher",
        )
        report.claim(
            "the same, lower end of the paired 95 % interval",
            interval(gains)[0] - interval(gains)[1] if gains else None,
            0.0,
            "higher",
        )
    private = interval(values("loss-mean, eps 3", "auc"))[0]
    report.claim("Adult, eps 3, loss-mean: AUC (must)", private, 0.86, "higher")
    report.claim("Adult, eps 3, loss-mean: AUC (stretch)", private, 0.87, "higher")
    for label in ("loss-mean", "loss-mean, eps 3"):
        curves = [c["methods"][label].get("removal") for c in ours]
        gains = [c["least"][2] - c["random"][2] for c in curves if c is not None]
        report.claim(
            f"Adult, 20 % most suspicious by {label} dropped: accuracy above a random drop",
            interval(gains)[0] if gains else None,
            0.0,
            "higher",
        )
        report.claim(
            f"the same, lower end of the paired 95 % interval ({label})",
            interval(gains)[0] - interval(gains)[1] if len(gains) > 1 else None,
            0.0,
            "higher",
        )
