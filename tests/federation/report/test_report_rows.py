"""Rows, flags and summary: hand-made records whose right answers are plain to see."""

import math
from typing import Any

import pytest
import synthetic

from equigrad.errors import RecordError, VerificationError
from equigrad.federation.report.flags import flag_spans
from equigrad.federation.report.reading import read_lines, read_run
from equigrad.federation.report.rows import party_rows, round_rows
from equigrad.federation.report.summary import summarise_run

START = {
    "parties": ["a", "b"],
    "records": [10, 30],
    "classes": [2, 3],
    "behaviours": ["honest", "echo"],
    "method": "cgsv",
    "data": {"task": "classification"},
}


def score(*values: float | None) -> list[dict[str, float] | None]:
    return [None if v is None else {"score": v, "loss": 1 - v} for v in values]


def appraise(values: list[float], r: list[float], **more: Any) -> dict[str, Any]:
    return {"parties": ["a", "b"], "members": ["a", "b"], "values": values, "r": r} | more


def two_rounds() -> list[tuple[str, int | None, dict[str, Any]]]:
    both = ["a", "b"]
    flag = {"party": "b", "kind": "echo", "since": 1, "last_hit": 1, "echo": 0.99}
    return [
        ("start", None, START),
        ("standalone", None, {"parties": both, "metrics": score(0.5, 0.7)}),
        ("announce", 0, {"parties": both, "gamma": 2.0}),
        ("train", 0, {"parties": both, "metrics": score(0.1, 0.1), "absent": {}, "refused": {}}),
        ("appraise", 0, appraise([0.25, 0.75], [0.3, 0.7], kappa=0.5, rule="cgsv-exact")),
        ("reward", 0, {"parties": both, "q": [0.4, 1.0], "share": [0.4, 1.0], "cos": [0.8, 1.0]}),
        ("settle", 0, {"drift": {"a": 0.5, "b": 0.0}}),
        ("announce", 1, {"parties": both, "gamma": 1.0}),
        ("train", 1, {"parties": both, "metrics": score(0.6, 0.65)}),
        (
            "appraise",
            1,
            appraise([0.75, 0.25], [1.0, 0.0], kappa=0.25, flags=[flag], excluded=["b"]),
        ),
        ("reward", 1, {"parties": both, "q": [1.0, 0.0], "share": [1.0, 0.0], "cos": [1.0, 0.0]}),
        ("settle", 1, {"drift": {"a": 0.25, "b": 0.5}}),
        ("finish", None, {"parties": both, "metrics": score(0.8, 0.65)}),
    ]


def test_party_rows_by_hand() -> None:
    a, b = party_rows(read_lines(two_rounds()))
    assert (a.party, a.records, a.classes, a.behaviour) == ("a", 10, 2, "honest")
    assert (a.initial, a.standalone, a.final) == (0.1, 0.5, 0.8)
    assert a.gain == pytest.approx(30)
    assert a.contribution == 0.5
    assert a.contribution_last == 0.75
    assert a.reputation == 1.0
    assert a.share == pytest.approx(0.7)
    assert a.cos == pytest.approx(0.9)
    assert (a.rounds, a.absent, a.refused, a.excluded) == (2, 0, 0, 0)
    assert a.flags == ()
    assert b.gain == pytest.approx(-5)
    assert (b.rounds, b.excluded) == (2, 1)
    assert [str(flag) for flag in b.flags] == ["echo (round 1)"]
    assert b.flags[0].statistics == {"echo": 0.99}


def test_round_rows_say_what_the_round_led_to() -> None:
    rows = round_rows(read_lines(two_rounds()))
    assert [(row.round, row.party) for row in rows] == [(0, "a"), (0, "b"), (1, "a"), (1, "b")]
    assert [row.score for row in rows] == [0.6, 0.65, 0.8, 0.65]
    assert [row.state for row in rows] == ["present", "present", "present", "excluded"]
    assert [row.flags for row in rows] == ["", "", "", "echo"]
    assert (rows[0].gamma, rows[0].kappa, rows[0].drift, rows[0].ratio) == (2.0, 0.5, 0.5, 0.4)


def test_summary_by_hand() -> None:
    summary = summarise_run(read_lines(two_rounds()))
    everybody, unflagged = summary.everybody, summary.unflagged
    assert everybody.mean_final == pytest.approx(0.725)
    assert (everybody.max_final, everybody.min_final) == (0.8, 0.65)
    assert everybody.mean_gain == pytest.approx(12.5)
    assert everybody.least_gain == pytest.approx(-5)
    assert everybody.share_gaining == 0.5
    assert everybody.pearson == pytest.approx(-1)
    assert everybody.correlation == "ok"
    assert (unflagged.parties, unflagged.mean_gain) == (1, pytest.approx(30))
    assert unflagged.correlation == "undefined"
    assert (summary.flags, summary.exclusions, summary.rounds) == (1, 1, 2)


def test_an_absent_party_is_not_scored_and_a_leaver_keeps_its_last_score() -> None:
    lines = two_rounds()
    lines[8] = ("train", 1, {"parties": ["a"], "metrics": score(0.6), "absent": {"b": "timeout"}})
    lines[9] = ("appraise", 1, appraise([1.0], [0.5, 0.5]) | {"parties": ["a"]})
    lines[10] = ("reward", 1, {"parties": ["a"], "q": [1.0], "share": [1.0], "cos": [1.0]})
    lines[12] = ("finish", None, {"parties": ["a"], "metrics": score(0.8)})
    run = read_lines(lines)
    a, b = party_rows(run)
    assert (b.rounds, b.absent, b.share) == (1, 1, 1.0)
    assert b.final is None  # measured never again after the initial model
    assert round_rows(run)[3].state == "absent"
    assert round_rows(run)[3].value is None
    assert a.final == 0.8


def test_flags_that_come_and_go() -> None:
    up = {1, 2, 5}
    both = ["a", "b"]
    lines: list[Any] = [("start", None, START)]
    for t in range(7):
        flags: list[Any] = [{"party": "a", "kind": "clones", "clone": float(t)}] if t in up else []
        lines.append(("train", t, {"parties": both, "metrics": [None, None]}))
        if t != 4:  # void: says nothing about flags
            lines.append(("appraise", t, appraise([0.5, 0.5], [0.5, 0.5], flags=flags)))
    spans = flag_spans(read_lines(lines))
    assert [(s.first, s.last, s.standing) for s in spans] == [(1, 2, False), (5, 5, False)]
    assert [s.statistics["clone"] for s in spans] == [2.0, 5.0]
    assert str(spans[0]) == "clones (rounds 1\u20132)"


def test_infinite_and_missing_numbers_are_unknown() -> None:
    lines = two_rounds()
    lines[4] = ("appraise", 0, appraise(["nan", 0.5], [0.5, "inf"], kappa="nan"))
    lines[3] = (
        "train",
        0,
        {"parties": ["a", "b"], "metrics": [{"score": None, "loss": None}, None]},
    )
    run = read_lines(lines)
    assert run.rounds[0].values == {"b": 0.5}
    assert run.rounds[0].reputation == {"a": 0.5}
    assert run.rounds[0].kappa is None
    assert party_rows(run)[0].initial is None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"count": 1, "rounds": 1},
        {"count": 1, "rounds": 0},
        {"count": 3, "rounds": 3, "finished": False},
        {"count": 5, "baseline": True},
        {"count": 5, "regression": True},
        {"count": 5, "standalone": False, "every": 3},
        {"count": 40, "rounds": 3, "sampled": True},
        {"count": 2, "rounds": 0, "finished": False},
    ],
)
def test_every_kind_of_run_has_its_rows(options: dict[str, Any]) -> None:
    run = read_lines(synthetic.lines(**options))
    rows = party_rows(run)
    assert [row.party for row in rows] == list(run.parties)
    assert len(round_rows(run)) == sum(len(r.members) for r in run.rounds)
    summary = summarise_run(run, rows)
    assert summary.everybody.parties == len(rows)
    assert summary.finished == options.get("finished", True)
    for row in rows:
        known = row.standalone is not None and row.final is not None
        assert (row.gain is not None) == known
        for number in (row.final, row.contribution, row.reputation, row.share):
            assert number is None or math.isfinite(number)


def test_regression_below_zero_has_gains_but_no_correlation() -> None:
    lines = two_rounds()
    lines[0] = ("start", None, START | {"data": {"task": "regression"}})
    lines[1] = ("standalone", None, {"parties": ["a", "b"], "metrics": score(-0.5, 0.7)})
    summary = summarise_run(read_lines(lines))
    assert summary.score == "R^2"
    assert summary.everybody.correlation == "not applicable"
    assert summary.everybody.pearson is None
    assert summary.everybody.mean_gain == pytest.approx(62.5)


def test_saturated_scores_are_marked() -> None:
    lines = two_rounds()
    lines[-1] = ("finish", None, {"parties": ["a", "b"], "metrics": score(0.800, 0.804)})
    everybody = summarise_run(read_lines(lines)).everybody
    assert everybody.correlation == "saturated"
    assert everybody.pearson == pytest.approx(1)


def test_a_line_that_makes_no_sense() -> None:
    lines = two_rounds()
    lines[3] = ("train", 0, {"parties": 3})
    with pytest.raises(RecordError, match="train of round 0"):
        read_lines(lines)


def test_unknown_stages_are_passed_over() -> None:
    lines = two_rounds()
    more = [*lines[:-1], ("bid", 1, {"x": 1}), ("audit", None, {}), lines[-1]]
    assert party_rows(read_lines(more)) == party_rows(read_lines(lines))


def test_read_run_checks_the_chain_and_leaves_out_a_cut_line(tmp_path: Any) -> None:
    folder = synthetic.write(tmp_path / "run", rounds=3)
    whole = read_run(folder)
    raw = folder.record.read_bytes()
    folder.record.write_bytes(raw[:-30])
    cut = read_run(folder.path)
    assert cut.lines == whole.lines - 1
    assert whole.finished
    assert not cut.finished
    folder.record.write_bytes(raw.replace(b'"records":[', b'"records":[7,', 1))
    with pytest.raises(VerificationError, match="line 1: "):
        read_run(folder)
    folder.record.write_bytes(b"")
    with pytest.raises(RecordError, match="begin with a start line"):
        read_run(folder)
    with pytest.raises(RecordError, match="Expected a run folder"):
        read_run(tmp_path)


def test_only_the_last_gram_matrix_is_kept() -> None:
    run = read_lines(synthetic.lines(count=4, rounds=4, trouble=False))
    assert [r.gram is None for r in run.rounds] == [True, True, True, False]
