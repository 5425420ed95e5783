"""The end of a scoring in words: what is promised, what the scores are worth, what came of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equigrad.cli.output import emit_json, note, number, percent, show_table

if TYPE_CHECKING:
    from equigrad.steward.scoring.report.story import ScoreStory

__all__ = ["tell_scoring"]

_OWNER = "For the owner of the records only: everything below, and the folder's part local/."


def tell_scoring(folder: Path, *, as_json: bool, account: dict[str, Any] | None = None) -> None:
    """Print a scoring's privacy statement and outcome, or the same as one JSON object.

    Parameters
    ----------
    folder
        The scoring's.
    as_json
        Whether to print JSON.
    account
        What :func:`equigrad.steward.budget.account_facts` tells of the account it was charged to.
    """
    from equigrad.federation.record.folder import RunFolder
    from equigrad.steward.scoring.places import ScorePlaces
    from equigrad.steward.scoring.report.story import read_score_story
    from equigrad.steward.scoring.report.summary import summary
    from equigrad.steward.scoring.table import read_table

    story = read_score_story(folder)
    places = ScorePlaces(RunFolder.open(folder))
    frame = read_table(places) if story.scores and places.scores.exists() else None
    outcome = summary(story, frame)
    report = str(places.report) if places.report.exists() else None
    if as_json:
        scores = str(places.scores) if places.scores.exists() else None
        emit_json(
            {
                "folder": str(folder),
                **outcome,
                "account": account,
                "scores": scores,
                "report": report,
            }
        )
        return
    _promise(story)
    if account is not None:
        note(
            f"Account of {account['owner']}: {account['spent']:.4g} of epsilon = "
            f"{account['epsilon']:g} spent at delta = {account['delta']:g}, {account['left']:.4g} "
            f"left ({account['path']})."
        )
    if not outcome["scorers"]:
        note(f"Not finished: no scores yet. Go on with: equigrad resume {folder}")
        return
    note(_OWNER)
    _scorers(outcome["scorers"])
    _selection(story)
    _comparison(story)
    if not story.finished:
        note(f"Not finished: {story.stage} done. Go on with: equigrad resume {folder}")
    note(f"Scores: {places.scores} (also .csv)")
    if report is not None:
        note(f"Report: {report}")


def _promise(story: "ScoreStory") -> None:
    from equigrad.steward.scoring.statement import nothing_leaves

    if story.statement is None:
        note(nothing_leaves(story.start["scoring"]["origin"]))
    else:
        for line in story.statement["lines"]:
            note(line)
    for sentence in story.start["warnings"]:
        note(f"Warning: {sentence}")
    for sentence in story.start["data"]["notes"]:
        note(sentence)


def _scorers(rows: list[dict[str, Any]]) -> None:
    columns = ["scorer", "least", "median", "most"]
    detected = any(row["detection"] for row in rows)
    if detected:
        columns += ["AUC", "average precision", "F1"]
    columns += ["reliability", "what it says"]
    show_table(columns, (_cells(row, detected=detected) for row in rows), right=2)
    for row in rows:
        for sentence in row["warnings"]:
            note(f"{row['scorer']}: {sentence}")
        if row["detection"] and "note" in row["detection"]:
            note(f"{row['scorer']}: {row['detection']['note']}")


def _cells(row: Mapping[str, Any], *, detected: bool) -> list[str]:
    cells = [row["scorer"], *(number(row.get(k)) for k in ("least", "median", "most"))]
    if detected:
        found = row["detection"] or {}
        cells += [number(found.get(k)) for k in ("auc", "average_precision", "f1")]
    flag = row["reliability"]
    words = "not assessed" if flag is None else flag["verdict"]
    if flag is not None and flag["rho"] is not None:
        words += f" ({flag['rho']:.2f})"
    return [*cells, words, row["means"]]


def _selection(story: "ScoreStory") -> None:
    body = story.selection
    if not body:
        return
    chosen = body["selection"]
    note(
        f"Selection by {chosen['selector']}: {body['kept']} of {body['records']} records kept; "
        f"tell nobody. A training on it is charged {chosen['training_is_charged']}."
    )
    for name, rates in body["rates"].items():
        told = ", ".join(
            f"{group} {'no records' if rate is None else percent(rate)}"
            for group, rate in zip(rates["names"], rates["rates"], strict=True)
        )
        note(f"Kept, by {name}: {told}.")
    for sentence in body["warnings"]:
        note(f"Warning: {sentence}")


def _comparison(story: "ScoreStory") -> None:
    found = story.comparison
    if found is None:
        return
    low, high = (100 * end for end in found["interval"])
    note(
        f"Test accuracy: {percent(found['selected'])} on the selection, "
        f"{percent(found['baseline'])} on all records (baseline). Difference in points "
        f"{100 * found['difference']:+.1f}, 95 % interval {low:+.1f} to {high:+.1f}: "
        f"{found['verdict']}."
    )
    released = story.finish["released"]
    other = "baseline" if released == "selected" else "selected"
    note(f"Released: the {released} model (models/model.safetensors).")
    if story.start["plan"]["release"] != "best":
        note(f"The {other} model stays with you; to release it later is charged on top.")
